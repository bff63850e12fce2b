//! Words with a container's supervisor: how one is ordered, what it is asked, and what its failures mean.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use super::observe::process_of;
use super::ready::words_of;
use super::specification::{shim_limits, stop_signal};
use super::stop::hold;
use crate::domain::effect::{Facts, Failure, InitSignal};
use crate::effects::Observation;
use crate::effects::linux::failure::cannot;
use crate::effects::linux::host::LinuxHost;
use crate::events::{Exit, Limits, ProcessIdentity};
use crate::kernel::cgroup::{Cgroup, Layout};
use crate::shim::client::{Client, ClientError};
use crate::shim::protocol::{SPEC_FILE, Spec};
use crate::shim::{protocol, record};
use crate::sys::process;
use crate::types::ContainerId;

/// How long a supervisor may take for anything.
pub(in crate::effects::linux) const PATIENCE: Duration = Duration::from_secs(30);

/// How long a supervisor may be silent where it can be done without: the kernel is asked instead.
pub(in crate::effects::linux) const ANSWER: Duration = Duration::from_secs(5);

/// Is a supervisor of this daemon; it undoes a creation when the connection closes.
pub(in crate::effects::linux) struct Supervisor {
    pub(in crate::effects::linux) client: Client,
    pub(in crate::effects::linux) child: Child,
}

impl LinuxHost {
    pub(in crate::effects::linux) fn runtime_of(&self, container: ContainerId) -> PathBuf {
        self.options.paths.container_runtime(container)
    }

    /// Orders a supervisor for a runtime directory; when this returns it listens.
    pub(in crate::effects::linux) fn supervisor(&self, directory: &Path) -> Result<Supervisor, Failure> {
        let words = words_of(directory)?;
        let unordered = self.ready.take()?;
        match Client::order(unordered.socket, directory, &words, PATIENCE) {
            Ok(client) => Ok(Supervisor { client, child: unordered.child }),
            Err(error) => {
                reap(unordered.child);
                Err(with_words(shim_failure(error), directory))
            }
        }
    }

    /// Connects to a supervisor that runs.
    pub(in crate::effects::linux) fn shim(&self, container: ContainerId) -> Result<Client, Failure> {
        connect(&self.runtime_of(container)).map_err(shim_failure)
    }

    /// Tells init to end. One that stands still could not hear it; one that has ended need not.
    pub(in crate::effects::linux) fn signal(
        &self,
        container: ContainerId,
        signal: InitSignal,
    ) -> Result<Facts, Failure> {
        let number = stop_signal(signal);
        let told = connect_for(&self.runtime_of(container), ANSWER).and_then(|shim| {
            shim.resume()?;
            shim.signal(number)
        });
        match (told, self.look(container)) {
            (_, Observation::Exited { exit, hits, .. }) => Ok(Facts::InitEnded { exit, hits }),
            (_, Observation::Absent | Observation::Remains) => {
                Ok(Facts::InitEnded { exit: Exit::Unknown, hits: Box::default() })
            }
            (Err(ClientError::TimedOut { .. }), Observation::Running { init, .. }) => {
                self.signal_without_supervisor(container, &init, number)
            }
            (told, Observation::Running { .. }) => told.map(|()| Facts::None).map_err(shim_failure),
        }
    }

    fn signal_without_supervisor(
        &self,
        container: ContainerId,
        init: &ProcessIdentity,
        signal: i32,
    ) -> Result<Facts, Failure> {
        if let Some(cgroup) = self.cgroup(container)? {
            cgroup.thaw().map_err(|failure| Failure::transient(failure.to_string()))?;
        }
        if let Some(init) = hold(&process_of(init))? {
            process::signal_pidfd(&init, signal).map_err(cannot("signal", "the init"))?;
        }
        Ok(Facts::None)
    }

    /// Says whether anything runs that an order could be about.
    fn runs(&self, container: ContainerId) -> bool {
        matches!(self.look(container), Observation::Running { .. })
    }

    pub(in crate::effects::linux) fn pause(&self, container: ContainerId) -> Result<Facts, Failure> {
        self.shim(container)?.pause().map_err(shim_failure)?;
        Ok(Facts::None)
    }

    pub(in crate::effects::linux) fn resume(&self, container: ContainerId) -> Result<Facts, Failure> {
        let resumed = self.shim(container).and_then(|shim| shim.resume().map_err(shim_failure));
        // What has ended does not stand still.
        if self.runs(container) { resumed.map(|()| Facts::None) } else { Ok(Facts::None) }
    }

    pub(in crate::effects::linux) fn limit(&self, container: ContainerId, limits: &Limits) -> Result<Facts, Failure> {
        if !self.runs(container) {
            return Ok(Facts::None); // its next start reads them anew
        }
        let cgroup = self.cgroup(container)?.ok_or_else(|| Failure::permanent("this host has no control groups"))?;
        match cgroup.set_limits(&shim_limits(limits)) {
            Err(failure) if self.runs(container) => Err(Failure::permanent(failure.to_string())),
            _ => Ok(Facts::None),
        }
    }

    /// Brings a group in line with what its supervisor knows: a freeze that ends leaves it as it is to be. One that is silent
    /// for long, or in which a process is in the kernel, is asked what it knows.
    pub(in crate::effects::linux) fn settle_freeze(&self, container: ContainerId, group: &Cgroup) {
        let directory = self.runtime_of(container);
        let connect = || connect_for(&directory, ANSWER);
        let settled = connect().and_then(|shim| {
            let lease = shim.freeze(ANSWER)?;
            shim.thaw(lease)
        });
        let is_held = || connect().and_then(|shim| shim.status()).is_ok_and(|status| status.frozen);
        if settled.is_err() && !is_held() {
            let _ = group.thaw();
        }
    }

    /// Returns the handle of a container's control group; none on a host without any.
    ///
    /// It is where the order for its supervisor says: this daemon may run in another group than the one that gave it.
    pub(in crate::effects::linux) fn cgroup(&self, container: ContainerId) -> Result<Option<Cgroup>, Failure> {
        let Ok(layout) = Layout::detect() else { return Ok(None) };
        let directory = self.runtime_of(container);
        let ordered = record::read_if_whole::<Spec>(&directory, SPEC_FILE);
        let place = ordered.and_then(|spec| spec.cgroup).unwrap_or_else(|| self.cgroup_place(container));
        place.group(&layout).map(Some).map_err(|failure| Failure::permanent(failure.to_string()))
    }
}

/// Returns where the supervisor of a runtime directory takes orders.
pub(in crate::effects::linux) fn control_socket(directory: &Path) -> PathBuf {
    directory.join(record::CONTROL)
}

/// Connects to the supervisor of a runtime directory.
pub(in crate::effects::linux) fn connect(directory: &Path) -> Result<Client, ClientError> {
    connect_for(directory, PATIENCE)
}

/// Connects to it, and waits for each answer at most so long.
pub(in crate::effects::linux) fn connect_for(directory: &Path, patience: Duration) -> Result<Client, ClientError> {
    Client::connect(&control_socket(directory), patience)
}

/// Returns the failure of a call to a supervisor; one that is slow may answer yet, one that is gone or refuses will not.
pub(in crate::effects::linux) fn shim_failure(error: ClientError) -> Failure {
    match &error {
        ClientError::TimedOut { .. } => Failure::transient(error.to_string()),
        _ => Failure::permanent(error.to_string()),
    }
}

/// Adds what the supervisor said on its way out.
pub(in crate::effects::linux) fn with_words(failure: Failure, directory: &Path) -> Failure {
    let words = std::fs::read_to_string(directory.join("words")).unwrap_or_default();
    let said = record::read::<protocol::Failure>(directory, record::FAILURE).ok().flatten();
    let reason = said.map_or_else(|| words.trim().to_owned(), |failure| failure.to_string());
    if reason.is_empty() { failure } else { Failure { reason: format!("{}: {reason}", failure.reason), ..failure } }
}

/// Reaps a supervisor that ends by itself, on a thread of its own.
pub(in crate::effects::linux) fn reap(mut child: Child) {
    std::thread::spawn(move || child.wait());
}
