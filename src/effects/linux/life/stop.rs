//! The steps of a stop: whatever a container left on this host is taken away.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use super::supervisor::{ANSWER, PATIENCE, connect_for, shim_failure};
use crate::domain::effect::{Facts, Failure, HostEffect};
use crate::effects::linux::failure::cannot;
use crate::effects::linux::host::LinuxHost;
use crate::effects::steps::{StepName, steps_of};
use crate::kernel::cgroup::Cgroup;
use crate::kernel::served;
use crate::shim::client::ClientError;
use crate::shim::protocol::{Event, Phase, ProcessIdentity, SPEC_FILE, Spec};
use crate::shim::record;
use crate::sys::{poll, process, signal};
use crate::types::ContainerId;

/// How long between two looks at a group whose processes end.
const PAUSE: Duration = Duration::from_millis(10);

/// Says what a stop waits for that has done all there is to do.
const UNENDED: &str = "what was killed has not ended yet: the kernel still gives back what it held (open files, memory, pressure \
                       triggers), which nothing can hurry";

impl LinuxHost {
    /// Goes through all steps of a stop.
    pub(in crate::effects::linux) fn ensure_stopped(&self, container: ContainerId) -> Result<(), Failure> {
        let steps = steps_of(&HostEffect::EnsureStopped { container });
        steps.iter().try_for_each(|step| self.stop_step(container, step).map(drop))
    }

    pub(in crate::effects::linux) fn stop_step(
        &self,
        container: ContainerId,
        step: StepName,
    ) -> Result<Facts, Failure> {
        let directory = self.runtime_of(container);
        match step {
            "kill" => self.kill(container, &directory)?,
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

    /// Kills whatever runs. The kernel does it, whatever its supervisor is about: one that hangs in something of the
    /// container's may go on only then.
    fn kill(&self, container: ContainerId, directory: &Path) -> Result<(), Failure> {
        if !directory.exists() {
            return Ok(());
        }
        let cgroup = self.cgroup(container)?;
        if let Some(cgroup) = &cgroup {
            kill_group(cgroup)?;
        }
        end_file_systems(directory);
        match (hear_of_end(directory), &cgroup) {
            (Err(_), Some(cgroup)) if !becomes_empty(cgroup) => Err(Failure::transient(UNENDED)),
            (Err(error @ ClientError::TimedOut { .. }), None) => Err(shim_failure(error)),
            _ => Ok(()),
        }
    }

    fn remove_cgroup(&self, container: ContainerId) -> Result<(), Failure> {
        if !self.runtime_of(container).exists() {
            return Ok(());
        }
        let Some(cgroup) = self.cgroup(container)? else { return Ok(()) };
        if !cgroup.exists() {
            return Ok(());
        }
        kill_group(&cgroup)?;
        cgroup.remove().map_err(|failure| Failure::transient(failure.to_string()))?;
        cgroup.remove_empty_parent();
        Ok(())
    }
}

fn kill_group(cgroup: &Cgroup) -> Result<(), Failure> {
    match cgroup.kill() {
        Err(failure) if cgroup.exists() => Err(Failure::transient(failure.to_string())),
        _ => Ok(()), // its supervisor may have removed it just now
    }
}

/// Takes the file systems that the container serves itself from it: what was killed may wait for them. Those of a privileged
/// one belong to the host's root as others do, and cannot be told from them.
fn end_file_systems(directory: &Path) {
    let ordered = record::read_if_whole::<Spec>(directory, SPEC_FILE);
    let Some(range) = ordered.and_then(|spec| spec.container?.ids) else { return };
    if let Err(error) = served::end_all_of(range) {
        tracing::warn!(%error, "file systems that a container serves itself may hold up its end");
    }
}

/// Waits until the supervisor has seen the end of what runs; what has ended by now, or whose supervisor has, is as it is
/// wanted: at each word with the supervisor it may be so.
fn hear_of_end(directory: &Path) -> Result<(), ClientError> {
    let connect = || connect_for(directory, ANSWER);
    let events = connect()?.subscribe()?;
    if let Phase::Exited | Phase::New = connect()?.status()?.phase {
        return Ok(());
    }
    let patience = Instant::now() + PATIENCE;
    loop {
        let left = patience.saturating_duration_since(Instant::now());
        match events.next(left)? {
            Some(Event::Exited(_) | Event::CreationUndone) => return Ok(()),
            None => return Err(ClientError::TimedOut { path: directory.display().to_string(), limit: PATIENCE }),
            Some(_) => {}
        }
    }
}

/// Waits until no process is left in a group, or it is gone; tells whether that was in time.
fn becomes_empty(group: &Cgroup) -> bool {
    let patience = Instant::now() + PATIENCE;
    while group.is_populated().unwrap_or(false) {
        if Instant::now() > patience {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
    true
}

/// Lets the supervisor go; one that does not answer is ended.
pub(in crate::effects::linux) fn dismiss(directory: &Path) -> Result<(), Failure> {
    let found = record::living_shim(directory).map_err(cannot("find", "the supervisor"))?;
    let Some(pidfd) = found.as_ref().map_or(Ok(None), |shim| hold(&shim.process))? else { return Ok(()) };
    let asked = connect_for(directory, ANSWER).and_then(|client| client.acknowledge_exit());
    if asked.is_err() {
        let _ = process::signal_pidfd(&pidfd, signal::KILL);
    }
    if poll::wait_readable(pidfd.as_fd(), PATIENCE).map_err(cannot("wait for", "the supervisor"))? {
        return Ok(());
    }
    Err(Failure::transient(format!("the supervisor in {} does not end", directory.display())))
}

/// Opens exactly this process; nothing if it has ended.
pub(in crate::effects::linux) fn hold(process: &ProcessIdentity) -> Result<Option<OwnedFd>, Failure> {
    // Opened first, looked at second: the number may go to another process at any moment.
    match process::open_pidfd(process.pid) {
        Err(error) if process.is_alive() => Err(cannot("open", "the supervisor")(error)),
        opened => Ok(opened.ok().filter(|_| process.is_alive())),
    }
}

fn remove_file(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(cannot("remove", path.display())(error)),
        _ => Ok(()),
    }
}

pub(in crate::effects::linux) fn remove_folder(directory: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(cannot("remove", directory.display())(error)),
        _ => Ok(()),
    }
}
