//! What consoles printed in the last few runs of a container: kept beside its disk when a run is cleared away.
//!
//! A kept log is `NUMBER-RUN.log`. The number counts the runs; what stands for the run is when its order was written, so that
//! clearing away a second time keeps nothing twice. It is a help, no record: a log that cannot be kept is told, and the stop
//! goes on.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::host::LinuxHost;
use super::listing::entries;
use super::paths::ensure_directory;
use crate::effects::linux::life::observe::STARTED_FILE;
use crate::shim::protocol::SPEC_FILE;
use crate::shim::record::LOG;
use crate::types::ContainerId;

/// How many runs are kept.
const KEPT: usize = 3;

impl LinuxHost {
    /// Keeps what the console of a run printed, before everything of that run goes.
    pub(super) fn keep_console(&self, container: ContainerId) {
        let (runtime, folder) = (self.runtime_of(container), self.options.paths.consoles(container));
        // A container that is being removed keeps nothing.
        if !self.options.paths.container(container).exists() {
            return;
        }
        if let Err(error) = keep(&runtime, &folder) {
            tracing::warn!(%container, %error, "what its console printed is not kept");
        }
    }

    /// Returns the logs of the runs that there are, the oldest first; the last is the one under way, if there is one.
    pub(super) fn consoles(&self, container: ContainerId) -> Vec<PathBuf> {
        let mut logs: Vec<_> = kept(&self.options.paths.consoles(container)).unwrap_or_default();
        let live = self.runtime_of(container).join(LOG);
        logs.extend(live.exists().then_some(live));
        logs
    }
}

/// Copies both halves of a log, makes it the newest of those that are kept, and lets the oldest go.
fn keep(runtime: &Path, folder: &Path) -> io::Result<()> {
    let Some(run) = run_of(runtime)? else { return Ok(()) };
    let old = kept(folder)?;
    let name = |path: &PathBuf| path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if old.iter().any(|path| name(path).ends_with(&format!("-{run}"))) {
        return Ok(());
    }
    ensure_directory(folder).map_err(io::Error::other)?;
    let unfinished = folder.join("unfinished");
    let mut whole = File::create(&unfinished)?;
    for half in [runtime.join(LOG).with_extension("log.1"), runtime.join(LOG)] {
        match File::open(half) {
            Ok(mut half) => drop(io::copy(&mut half, &mut whole)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let last = old.last().and_then(|path| name(path).split('-').next()?.parse::<u64>().ok()).unwrap_or(0);
    fs::rename(unfinished, folder.join(format!("{:010}-{run}.log", last + 1)))?;
    let too_many = (old.len() + 1).saturating_sub(KEPT);
    old.iter().take(too_many).try_for_each(fs::remove_file)
}

/// Returns what stands for the run of a runtime directory; nothing for one that neither began nor printed anything.
fn run_of(runtime: &Path) -> io::Result<Option<String>> {
    let printed = fs::metadata(runtime.join(LOG)).is_ok_and(|log| log.len() > 0);
    if !printed && !runtime.join(STARTED_FILE).exists() {
        return Ok(None);
    }
    match fs::metadata(runtime.join(SPEC_FILE)) {
        Ok(order) => {
            Ok(Some(format!("{:x}", i128::from(order.mtime()) * 1_000_000_000 + i128::from(order.mtime_nsec()))))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the logs in a folder, the oldest first.
fn kept(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut logs: Vec<_> = entries(folder)?.into_iter().map(|entry| entry.path()).collect();
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.sort();
    Ok(logs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(runtime: &Path, moment: u64, text: &str) {
        fs::create_dir_all(runtime).unwrap();
        let order = File::create(runtime.join(SPEC_FILE)).unwrap();
        order.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(moment)).unwrap();
        fs::write(runtime.join(LOG), text).unwrap();
    }

    #[test]
    fn the_last_three_runs_are_kept_once_each() {
        let place = tempfile::tempdir().unwrap();
        let (runtime, folder) = (place.path().join("run"), place.path().join("consoles"));
        for moment in 1..=5 {
            run(&runtime, moment, &format!("run {moment}"));
            fs::write(runtime.join("console.log.1"), "older, ").unwrap();
            keep(&runtime, &folder).unwrap();
            keep(&runtime, &folder).unwrap();
        }
        let told: Vec<_> = kept(&folder).unwrap().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        assert_eq!(told, ["older, run 3", "older, run 4", "older, run 5"]);
    }

    #[test]
    fn a_run_that_printed_nothing_counts_if_it_began() {
        let place = tempfile::tempdir().unwrap();
        let (runtime, folder) = (place.path().join("run"), place.path().join("consoles"));
        run(&runtime, 1, "");
        keep(&runtime, &folder).unwrap();
        assert!(kept(&folder).unwrap().is_empty(), "a start that failed at once");
        fs::write(runtime.join(STARTED_FILE), "{}").unwrap();
        keep(&runtime, &folder).unwrap();
        assert_eq!(kept(&folder).unwrap().len(), 1);
        fs::remove_dir_all(&runtime).unwrap();
        keep(&runtime, &folder).unwrap();
        assert_eq!(kept(&folder).unwrap().len(), 1, "nothing is left to keep");
    }
}
