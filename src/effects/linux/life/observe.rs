//! What is true of a container on this host: what its supervisor says, and what lies in its runtime directory.
//!
//! What must be known later (which init it was, should its supervisor die without a word) is recorded there; the directory
//! ends with the boot like everything it names.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::hits;
use super::supervisor::{ANSWER, connect_for};
use crate::domain::effect::{Facts, Failure};
use crate::effects::Observation;
use crate::effects::linux::failure::cannot;
use crate::effects::linux::host::LinuxHost;
use crate::events::{Exit, ProcessIdentity};
use crate::shim::protocol::{self, ExitRecord, Phase, Status};
use crate::shim::record;
use crate::types::{ContainerId, ManagedFile, Span};

/// The init that was started, should its supervisor die without a word.
pub(in crate::effects::linux) const STARTED_FILE: &str = "started.json";

#[derive(Serialize, Deserialize)]
pub(in crate::effects::linux) struct Started {
    pub(in crate::effects::linux) init: ProcessIdentity,
    pub(in crate::effects::linux) took: Span,
    #[serde(default)]
    pub(in crate::effects::linux) warnings: Vec<String>,
    #[serde(default)]
    pub(in crate::effects::linux) kept: Vec<ManagedFile>,
}

impl LinuxHost {
    pub(in crate::effects::linux) fn look(&self, container: ContainerId) -> Observation {
        look_into(&self.runtime_of(container))
    }
}

/// Reads what a runtime directory and its supervisor tell.
pub(in crate::effects::linux) fn look_into(directory: &Path) -> Observation {
    if !directory.exists() {
        return Observation::Absent;
    }
    let alive = record::living_shim(directory).ok().flatten().is_some();
    if alive
        && let Ok(client) = connect_for(directory, ANSWER)
        && let Ok(status) = client.status()
    {
        return observation_of(directory, status);
    }
    if let Ok(Some(exit)) = record::unacknowledged_exit(directory) {
        return ended(directory, &exit);
    }
    match record::read::<Started>(directory, STARTED_FILE) {
        // On a machine that is busy enough a supervisor is silent for longer than anybody waits, and all is well.
        Ok(Some(started)) if alive && process_of(&started.init).is_alive() => {
            Observation::Running { init: started.init, ready: false }
        }
        // Nobody is left who saw it end: whatever still runs of it is killed when it is cleared away.
        Ok(Some(started)) => Observation::Exited { init: started.init, exit: Exit::Unknown, hits: Box::default() },
        _ => Observation::Remains,
    }
}

/// Returns what a supervisor says of its container.
pub(in crate::effects::linux) fn observation_of(directory: &Path, status: Status) -> Observation {
    match (status.phase, status.init, status.exit) {
        (Phase::Running, Some(init), _) => Observation::Running { init: identity(&init), ready: status.ready },
        (Phase::Exited, _, Some(exit)) => ended(directory, &exit),
        _ => Observation::Remains,
    }
}

/// Returns what a supervisor recorded of its container's end.
pub(in crate::effects::linux) fn ended(directory: &Path, exit: &ExitRecord) -> Observation {
    let init = identity(&exit.init);
    let hits = hits::at_the_end(directory, exit, &init);
    Observation::Exited { init, exit: exit_of(exit.exit), hits: Box::new(hits) }
}

/// Tells again of a start that was made before. The daemon that made it may have died before it could write that down.
///
/// # Errors
/// It cannot be written down now.
pub(in crate::effects::linux) fn started(directory: &Path) -> Result<Option<Facts>, Failure> {
    let Observation::Running { init, .. } = look_into(directory) else { return Ok(None) };
    let known = record::read::<Started>(directory, STARTED_FILE).ok().flatten();
    if let Some(Started { init, took, warnings, kept }) = known.filter(|known| known.init == init) {
        return Ok(Some(Facts::Started { init, took, warnings, kept }));
    }
    let started = Started { init: init.clone(), took: Span::default(), warnings: vec![], kept: vec![] };
    record::write(directory, STARTED_FILE, &started).map_err(cannot("write", directory.display()))?;
    Ok(Some(Facts::Started { init, took: started.took, warnings: vec![], kept: vec![] }))
}

pub(in crate::effects::linux) fn process_of(init: &ProcessIdentity) -> protocol::ProcessIdentity {
    let pid = i32::try_from(init.pid).unwrap_or(0);
    protocol::ProcessIdentity { boot: init.boot.clone(), pid, started: init.started }
}

pub(in crate::effects::linux) fn identity(process: &protocol::ProcessIdentity) -> ProcessIdentity {
    ProcessIdentity { boot: process.boot.clone(), pid: process.pid.unsigned_abs(), started: process.started }
}

fn exit_of(exit: protocol::Exit) -> Exit {
    match exit {
        protocol::Exit::Reboot => Exit::Reboot,
        protocol::Exit::PowerOff => Exit::PowerOff,
        protocol::Exit::Exited { code } => Exit::Code(code),
        protocol::Exit::Signaled { number } => Exit::Signal(number),
        protocol::Exit::CommandSignaled { number } => Exit::CommandSignal(number),
    }
}
