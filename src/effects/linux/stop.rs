//! The steps of a stop: whatever a container left on this host is taken away.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Instant;

use super::failure::cannot;
use super::host::LinuxHost;
use super::supervisor::{PATIENCE, connect, shim_failure};
use crate::domain::effect::{Facts, Failure, HostEffect};
use crate::effects::steps::{StepName, steps_of};
use crate::shim::client::{Client, ClientError};
use crate::shim::protocol::{self, Event, Phase};
use crate::shim::record;
use crate::types::ContainerId;

impl LinuxHost {
    /// Goes through all steps of a stop.
    pub(super) fn ensure_stopped(&self, container: ContainerId) -> Result<(), Failure> {
        let steps = steps_of(&HostEffect::EnsureStopped { container });
        steps.iter().try_for_each(|step| self.stop_step(container, step).map(drop))
    }

    pub(super) fn stop_step(&self, container: ContainerId, step: StepName) -> Result<Facts, Failure> {
        let directory = self.runtime_of(container);
        match step {
            "kill" => kill(&directory)?,
            "link" => self.remove_link(container)?,
            "supervisor" => dismiss(&directory)?,
            "control-group" => self.remove_cgroup(container)?,
            "runtime-folder" => {
                // A supervisor that was killed could not take its socket along.
                remove_file(&self.options.paths.session_socket(container))?;
                self.keep_console(container);
                remove_folder(&directory)?;
            }
            _ => {}
        }
        Ok(Facts::None)
    }

    fn remove_cgroup(&self, container: ContainerId) -> Result<(), Failure> {
        if !self.runtime_of(container).exists() {
            return Ok(());
        }
        let Some(cgroup) = self.cgroup(container)? else { return Ok(()) };
        if !cgroup.exists() {
            return Ok(());
        }
        match cgroup.kill() {
            Err(failure) if cgroup.exists() => return Err(Failure::transient(failure.to_string())),
            _ => {} // its supervisor may have removed it just now
        }
        cgroup.remove().map_err(|failure| Failure::transient(failure.to_string()))?;
        cgroup.remove_empty_parent();
        Ok(())
    }
}

/// Kills whatever runs. What has ended by now, or whose supervisor has, is as it is wanted: at each word with the
/// supervisor it may be so.
fn kill(directory: &Path) -> Result<(), Failure> {
    match end_processes(directory) {
        Err(failure) if lives(directory) => Err(failure),
        _ => Ok(()),
    }
}

/// Says whether something may still run; a supervisor that is there and does not answer in time may have it.
fn lives(directory: &Path) -> bool {
    match connect(directory).and_then(|client| client.status()) {
        Ok(status) => matches!(status.phase, Phase::Running | Phase::Created),
        Err(error) => matches!(error, ClientError::TimedOut { .. }),
    }
}

fn end_processes(directory: &Path) -> Result<(), Failure> {
    let Ok(events) = connect(directory).and_then(Client::subscribe) else { return Ok(()) };
    let client = connect(directory).map_err(shim_failure)?;
    match client.status().map_err(shim_failure)?.phase {
        Phase::Exited | Phase::New => return Ok(()),
        Phase::Running => client.kill().map_err(shim_failure)?,
        Phase::Created => {} // undone, or begun, by whoever created it
    }
    let patience = Instant::now() + PATIENCE;
    loop {
        let left = patience.saturating_duration_since(Instant::now());
        match events.next(left).map_err(shim_failure)? {
            Some(Event::Exited(_) | Event::CreationUndone) => return Ok(()),
            None => return Err(Failure::transient("the container's processes do not end")),
            Some(_) => {}
        }
    }
}

/// Lets the supervisor go; one that does not answer is ended.
pub(super) fn dismiss(directory: &Path) -> Result<(), Failure> {
    let Ok(Some(shim)) = record::living_shim(directory) else { return Ok(()) };
    let asked = connect(directory).and_then(|client| client.acknowledge_exit());
    if asked.is_err() {
        let _ = crate::sys::process::kill(shim.process.pid, 9);
    }
    let ended = wait_for_end(&shim.process).map_err(cannot("wait for", "the supervisor"))?;
    if ended {
        return Ok(());
    }
    Err(Failure::transient(format!("the supervisor, process {}, does not end", shim.process.pid)))
}

/// Waits until exactly this process has ended; tells whether it did in time.
fn wait_for_end(process: &protocol::ProcessIdentity) -> std::io::Result<bool> {
    // Opened first, looked at second: the number may have gone to another process before.
    let Ok(pidfd) = crate::sys::process::open_pidfd(process.pid) else { return Ok(!process.is_alive()) };
    Ok(!process.is_alive() || crate::sys::poll::wait_readable(pidfd.as_fd(), PATIENCE)?)
}

fn remove_file(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(cannot("remove", path.display())(error)),
        _ => Ok(()),
    }
}

pub(super) fn remove_folder(directory: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(cannot("remove", directory.display())(error)),
        _ => Ok(()),
    }
}
