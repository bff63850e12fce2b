//! The part of a first start that only programs of the container can do: keys that no two machines may share.
//!
//! They run before the first program, so that a server finds its keys there, and as every command that the host runs
//! inside: not trusted, bounded in time. What they do not make is told and keeps nothing from starting.

use std::time::{Duration, Instant};

use super::supervisor::shim_failure;
use crate::domain::effect::{Failure, FailureKind};
use crate::effects::EffectContext;
use crate::effects::linux::failure::cannot;
use crate::effects::linux::host::LinuxHost;
use crate::effects::linux::update_check::Output;
use crate::shim::client::Client;
use crate::shim::protocol::{Directory, Prepared};
use crate::sys::fs as sysfs;
use crate::types::ContainerId;

/// How long all of them may take. A supervisor holds a container back for 30 s.
const PATIENCE: Duration = Duration::from_secs(20);

impl LinuxHost {
    /// Has the rest made, sees to it that all of it is on the disk, and returns what is missing.
    ///
    /// # Errors
    /// The start was called off, or the disk fails.
    pub(in crate::effects::linux) fn finish_renewal(
        &self,
        container: ContainerId,
        client: &Client,
        prepared: &Prepared,
        context: &EffectContext,
    ) -> Result<Vec<String>, Failure> {
        if !prepared.renewed {
            return Ok(vec![]);
        }
        let deadline = Instant::now() + PATIENCE;
        let mut missing = vec![];
        for argv in &prepared.makers {
            context.report("making keys", 0, None);
            let words: Vec<&str> = argv.iter().map(String::as_str).collect();
            let ended = self.run_inside(container, &words, deadline, &|| context.cancel.is_cancelled());
            missing.extend(shortcoming(&words.join(" "), ended)?);
        }
        sync_disk(client)?;
        Ok(missing)
    }
}

fn shortcoming(words: &str, ended: Result<Output, Failure>) -> Result<Option<String>, Failure> {
    let why = match ended {
        Ok(Output { code: 0, .. }) => return Ok(None),
        Ok(Output { code, stderr, .. }) => format!("exit code {code}{}", last_words(&stderr)),
        Err(failure) if failure.kind == FailureKind::Cancelled => return Err(failure),
        Err(failure) => failure.reason,
    };
    Ok(Some(format!("the container has no keys of its own yet: {words} failed ({why}); run it inside")))
}

/// Returns the last line of what a program complained of, which is anybody's.
fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let line: String = line.chars().filter(|character| !character.is_control()).take(200).collect();
    if line.is_empty() { line } else { format!(": {line}") }
}

/// From here on its events say that it has keys; a power cut must not take them.
fn sync_disk(client: &Client) -> Result<(), Failure> {
    let opened = client.open_disk().map_err(shim_failure)?;
    let disk = opened.iter().find(|(directory, _)| *directory == Directory::Disk);
    disk.map_or(Ok(()), |(_, disk)| sysfs::sync_file_system(sysfs::AsFd::as_fd(disk)))
        .map_err(cannot("sync", "the disk"))
}
