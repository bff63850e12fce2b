//! The real host as a whole: which work goes where.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::backup::Run;
use super::failure::cannot;
use super::listing::entries;
use super::network::Networks;
use super::paths::StatePaths;
use super::stores::Repositories;
use crate::domain::effect::{Facts, Failure, HostEffect};
use crate::effects::linux::life::ready::Ready;
use crate::effects::linux::life::start::Starting;
use crate::effects::linux::life::unrecorded;
use crate::effects::patience::Looks;
use crate::effects::steps::{self, CrashPoint, Ending, StepName, Steps};
use crate::effects::{Change, EffectContext, Host, Observation};
use crate::types::{Clock, ContainerId, NodeId, RunId, StoreId};

/// Is what a host needs to know of the machine and of its daemon.
pub struct HostOptions {
    /// Where things lie.
    pub paths: StatePaths,
    /// The eight hexadecimal digits that every name on the host carries.
    pub instance: String,
    /// The directory of this log's keys.
    pub key_dir: PathBuf,
    /// This machine.
    pub node: NodeId,
    /// The program that is started as supervisor.
    pub executable: PathBuf,
    /// The control group below which containers live; none means below the daemon's own.
    pub cgroup_parent: Option<String>,
    /// The group that may enter sessions beside root; none for root alone.
    pub group: Option<u32>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where tests let it die.
    pub crash: Arc<dyn CrashPoint>,
}

/// Is this machine.
pub struct LinuxHost {
    pub(super) options: HostOptions,
    pub(super) networks: Networks,
    /// What holds a creation open between its steps.
    pub(super) starting: Mutex<HashMap<ContainerId, Starting>>,
    pub(super) ready: Ready,
    /// Backups under way; they end with the daemon, and the next one finds what they stored.
    pub(super) runs: Mutex<HashMap<RunId, Run>>,
    /// Stores that are open; their locks are held as long as this daemon lives.
    pub(super) repositories: Repositories,
    /// Looks at the places of stores that have not answered yet.
    pub(super) store_looks: Looks<StoreId, Result<(), Failure>>,
    pub(super) changes: Sender<Option<Change>>,
    inbox: Mutex<Receiver<Option<Change>>>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LinuxHost {
    /// Makes the host and finds the supervisors of an earlier daemon.
    ///
    /// # Errors
    /// The directories cannot be made.
    pub fn open(options: HostOptions) -> Result<Arc<Self>, Failure> {
        options.paths.ensure(options.group)?;
        let (changes, inbox) = channel();
        let ready = Ready::new(&options.executable, &options.paths.runtime().join("containers"));
        let networks = Networks::new(&options.instance, options.paths.runtime());
        let host = Arc::new(Self {
            options,
            networks,
            starting: Mutex::default(),
            ready,
            runs: Mutex::default(),
            repositories: Repositories::default(),
            store_looks: Looks::default(),
            changes,
            inbox: Mutex::new(inbox),
        });
        host.dismiss_reached();
        for container in host.observed()? {
            host.watch(container, None);
        }
        // Without root nothing is started.
        if crate::sys::process::effective_user() == 0 {
            host.ready.refill();
        }
        Ok(host)
    }

    fn act(&self, effect: &HostEffect, step: StepName, context: &EffectContext) -> Result<Facts, Failure> {
        match effect {
            HostEffect::EnsureTemplate { .. }
            | HostEffect::EnsureTemplateGone { .. }
            | HostEffect::VerifyTemplate { .. } => self.template(effect, step, context),
            HostEffect::EnsureDisk { .. } | HostEffect::EnsureDiskSize { .. } | HostEffect::EnsureDiskGone { .. } => {
                self.disk(effect, step)
            }
            HostEffect::EnsureRunning(run) => self.start_step(run, step, context),
            HostEffect::EnsureStopped { container } => self.stop_step(*container, step),
            HostEffect::SignalInit { container, signal } => self.signal(*container, *signal),
            HostEffect::EnsurePaused { container } => self.pause(*container),
            HostEffect::EnsureResumed { container } => self.resume(*container),
            HostEffect::EnsureLimits { container, limits } => self.limit(*container, limits),
            HostEffect::EnsureNetwork { .. } | HostEffect::EnsureNetworkGone { .. } => self.network(effect, step),
            HostEffect::EnsureStore { store, path, node } => self.store(*store, path, *node, step),
            HostEffect::LivePass { .. }
            | HostEffect::FrozenPass { .. }
            | HostEffect::SealBackup(_)
            | HostEffect::DiscardBackup { .. } => self.backup(effect, step, context),
            HostEffect::RestoreFiles { .. }
            | HostEffect::ExchangeRoot { .. }
            | HostEffect::RevertRoot { .. }
            | HostEffect::DiscardOldRoot { .. }
            | HostEffect::ExtractFiles { .. } => self.restore(effect, step, context),
            HostEffect::Defragment { container } => self.defragment(*container, context),
            HostEffect::UpdateCheck { container } => self.update_check(*container, context),
            HostEffect::VerifyBackup { store, backup } => self.verify_backup(*store, *backup, context),
        }
    }

    fn network(&self, effect: &HostEffect, step: StepName) -> Result<Facts, Failure> {
        match effect {
            HostEffect::EnsureNetwork { network, bridge, subnet } if step == "bridge" => {
                let shortcomings = self.networks.ensure_network(*network, bridge, *subnet)?;
                for words in &shortcomings {
                    tracing::warn!(bridge, words);
                }
                return Ok(Facts::Network { shortcomings });
            }
            HostEffect::EnsureNetwork { network, bridge, subnet } if step == "ports" => {
                self.ensure_ports(*network, bridge, *subnet)?;
            }
            HostEffect::EnsureNetworkGone { bridge, .. } if step == "bridge" => {
                self.networks.ensure_network_gone(bridge)?;
            }
            _ => {}
        }
        Ok(Facts::None)
    }
}

/// Is one effect being performed: the steps leave their facts here.
struct Work<'a> {
    host: &'a LinuxHost,
    facts: RefCell<Facts>,
}

impl Steps for Work<'_> {
    fn ensure(&self, effect: &HostEffect, step: StepName, context: &EffectContext) -> Result<(), Failure> {
        let facts = self.host.act(effect, step, context)?;
        if facts != Facts::None {
            *self.facts.borrow_mut() = facts;
        }
        Ok(())
    }

    fn undo(&self, effect: &HostEffect, step: StepName) -> Result<(), Failure> {
        match effect {
            HostEffect::EnsureRunning(run) => self.host.undo_start(run.container, step),
            HostEffect::FrozenPass { run, .. } if step == "freeze" => self.host.thaw(*run),
            _ => Ok(()), // the others leave nothing behind, or their plan has an undo of its own
        }
    }
}

impl Host for LinuxHost {
    fn perform(&self, effect: &HostEffect, context: &EffectContext) -> Result<Facts, Failure> {
        let work = Work { host: self, facts: RefCell::new(Facts::None) };
        match steps::run(&work, effect, context, self.options.crash.as_ref()) {
            Ending::Done => Ok(work.facts.into_inner()),
            Ending::Failed(failure) => Err(failure),
            Ending::Died => Err(Failure::permanent("the host died at a crash point")),
        }
    }

    fn observe(&self, container: ContainerId) -> Observation {
        self.look(container)
    }

    fn observed(&self) -> Result<Vec<ContainerId>, Failure> {
        let folder = self.options.paths.runtime().join("containers");
        let found = entries(&folder).map_err(cannot("list", folder.display()))?;
        Ok(found.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
    }

    fn keep_unrecorded(&self, container: ContainerId, deed: Option<&[u8]>) -> Result<(), Failure> {
        unrecorded::keep(&self.options.paths.unrecorded(), container, deed)
    }

    fn unrecorded(&self) -> Vec<(ContainerId, Vec<u8>)> {
        unrecorded::kept(&self.options.paths.unrecorded())
    }

    fn next_change(&self) -> Option<Change> {
        lock(&self.inbox).recv().ok().flatten()
    }

    fn close(&self) {
        self.ready.close();
        let _ = self.changes.send(None);
    }
}
