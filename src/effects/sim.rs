//! A host in memory with a schedule of faults: for tests of what the runtime does when the world misbehaves.
//!
//! It runs the same steps as the real one and keeps the same kind of marks, so a crash between any two of them can be
//! tried by the thousand. It is no part of what ships: nothing but tests makes one. What outlives it is the [`World`].

mod facts;
mod world;

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use world::World;

use super::steps::{self, CrashPoint, Ending, Moment, StepName, Steps};
use super::{Change, EffectContext, Host, Observation};
use crate::domain::effect::{Facts, Failure, HostEffect, SealSpecification};
use crate::events::Exit;
use crate::types::{ContainerId, RunId, SessionId};
use facts::facts;
use world::{act, undo};

/// Says what is to go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The step fails for good.
    Permanent {
        /// The effect's name.
        effect: String,
        /// The step.
        step: StepName,
    },
    /// The step fails that many times, then works.
    Transient {
        /// The effect's name.
        effect: String,
        /// The step.
        step: StepName,
        /// How many times.
        times: u32,
    },
    /// The daemon dies there, once.
    Crash {
        /// The effect's name.
        effect: String,
        /// The step.
        step: StepName,
        /// On which side of it.
        after: bool,
    },
}

/// Is the simulated host: a view of a world, gone with the daemon that holds it.
pub struct SimulatedHost {
    world: Arc<Mutex<World>>,
    faults: Mutex<Vec<Fault>>,
    died: Arc<Mutex<bool>>,
    /// Backups under way: they live in the daemon's memory and die with it.
    runs: Mutex<BTreeSet<RunId>>,
    changes: Mutex<Receiver<Option<Change>>>,
    sender: Sender<Option<Change>>,
}

impl SimulatedHost {
    /// Makes a host on `world` where `faults` will happen.
    pub fn new(world: Arc<Mutex<World>>, faults: Vec<Fault>) -> Self {
        let (sender, receiver) = channel();
        let (faults, changes) = (Mutex::new(faults), Mutex::new(receiver));
        Self { world, faults, died: Arc::default(), runs: Mutex::default(), changes, sender }
    }

    /// Says whether the host died at a crash point.
    pub fn has_died(&self) -> bool {
        *lock(&self.died)
    }

    /// Ends a container's init from inside.
    pub fn end_init(&self, container: ContainerId, exit: Exit) {
        let mut world = lock(&self.world);
        if let Some(init) = world.inits.remove(&container) {
            world.exits.insert(container, (init.clone(), exit));
            let observation = Observation::Exited { init, exit, hits: Box::default() };
            let _ = self.sender.send(Some(Change::Observed { container, observation }));
        }
    }

    /// Ends a session's command.
    pub fn end_session(&self, session: SessionId, code: i32) {
        let _ = self.sender.send(Some(Change::SessionEnded { session, code: Some(code) }));
    }

    fn fault(&self, effect: &HostEffect, step: StepName) -> Option<Failure> {
        let mut faults = lock(&self.faults);
        let name = effect.name();
        for fault in faults.iter_mut() {
            match fault {
                Fault::Permanent { effect, step: at } if effect == name && *at == step => {
                    return Some(Failure::permanent(format!("{name}: {step} does not work")));
                }
                Fault::Transient { effect, step: at, times } if effect == name && *at == step && *times > 0 => {
                    *times -= 1;
                    return Some(Failure::transient(format!("{name}: {step} is busy")));
                }
                _ => {}
            }
        }
        None
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CrashPoint for SimulatedHost {
    fn dies(&self, effect: &HostEffect, step: StepName, moment: Moment) -> bool {
        let mut faults = lock(&self.faults);
        let at = faults.iter().position(|fault| match fault {
            Fault::Crash { effect: name, step: at, after } => {
                name == effect.name() && *at == step && *after == (moment == Moment::After)
            }
            _ => false,
        });
        if let Some(index) = at {
            faults.remove(index);
            *lock(&self.died) = true;
        }
        self.has_died()
    }
}

impl Steps for SimulatedHost {
    fn ensure(&self, effect: &HostEffect, step: StepName, _: &EffectContext) -> Result<(), Failure> {
        if let Some(failure) = self.fault(effect, step) {
            return Err(failure);
        }
        match effect {
            HostEffect::SignalInit { container, .. } => self.hear(*container),
            HostEffect::LivePass { run, .. } => drop(lock(&self.runs).insert(*run)),
            HostEffect::FrozenPass { run, .. } if !lock(&self.runs).contains(run) => return Err(lost()),
            HostEffect::SealBackup(seal) => self.seal(seal)?,
            HostEffect::DiscardBackup { run, .. } => drop(lock(&self.runs).remove(run)),
            _ => {}
        }
        if let HostEffect::EnsurePaused { container } = effect
            && !lock(&self.world).inits.contains_key(container)
        {
            return Err(Failure::permanent("the container does not run"));
        }
        act(&mut lock(&self.world), effect, step);
        if let (HostEffect::EnsureRunning(run), "init") = (effect, step) {
            self.begun(run.container);
        }
        Ok(())
    }

    fn undo(&self, effect: &HostEffect, step: StepName) -> Result<(), Failure> {
        undo(&mut lock(&self.world), effect, step);
        Ok(())
    }
}

impl SimulatedHost {
    /// Tells that an init is ready, or ends one that is not meant to last.
    fn begun(&self, container: ContainerId) {
        let init = lock(&self.world).inits.get(&container).cloned();
        let observation = init.map(|init| Observation::Running { init, ready: true });
        let _ = observation.map(|observation| self.sender.send(Some(Change::Observed { container, observation })));
        if lock(&self.world).short_lived.contains(&container) {
            self.end_init(container, Exit::Code(1));
        }
    }

    /// A seal that is repeated finds its backup; one whose run died with the daemon fails for good.
    fn seal(&self, seal: &SealSpecification) -> Result<(), Failure> {
        let known = lock(&self.runs).remove(&seal.run);
        let sealed = known && lock(&self.world).backups.insert(seal.backup);
        if sealed || lock(&self.world).backups.contains(&seal.backup) { Ok(()) } else { Err(lost()) }
    }

    fn hear(&self, container: ContainerId) {
        if !lock(&self.world).deaf.contains(&container) {
            self.end_init(container, Exit::PowerOff);
        }
    }
}

fn lost() -> Failure {
    Failure::permanent("the run is not known any more")
}

impl Host for SimulatedHost {
    fn perform(&self, effect: &HostEffect, context: &EffectContext) -> Result<Facts, Failure> {
        if self.has_died() {
            return Err(Failure::permanent("the simulated host is dead"));
        }
        lock(&self.world).performed += 1;
        if let HostEffect::SignalInit { container, .. } = effect
            && !lock(&self.world).inits.contains_key(container)
        {
            let exit = lock(&self.world).exits.get(container).map_or(Exit::Unknown, |(_, exit)| *exit);
            return Ok(Facts::InitEnded { exit, hits: Box::default() });
        }
        match steps::run(self, effect, context, self) {
            Ending::Done => Ok(facts(&lock(&self.world), effect)),
            Ending::Failed(failure) => Err(failure),
            Ending::Died => Err(Failure::permanent("the simulated host is dead")),
        }
    }

    fn observe(&self, container: ContainerId) -> Observation {
        let world = lock(&self.world);
        if let Some(init) = world.inits.get(&container) {
            return Observation::Running { init: init.clone(), ready: true };
        }
        if let Some((init, exit)) = world.exits.get(&container) {
            return Observation::Exited { init: init.clone(), exit: *exit, hits: Box::default() };
        }
        let left = world.marks.contains_key(&format!("running/{container}"));
        if left { Observation::Remains } else { Observation::Absent }
    }

    fn observed(&self) -> Result<Vec<ContainerId>, Failure> {
        let world = lock(&self.world);
        let keys = world.marks.keys().filter_map(|key| key.strip_prefix("running/"));
        Ok(keys.filter_map(|key| key.parse().ok()).collect())
    }

    fn keep_unrecorded(&self, container: ContainerId, deed: Option<&[u8]>) -> Result<(), Failure> {
        let mut world = lock(&self.world);
        match deed {
            Some(deed) => drop(world.unrecorded.insert(container, deed.to_vec())),
            None => drop(world.unrecorded.remove(&container)),
        }
        Ok(())
    }

    fn unrecorded(&self) -> Vec<(ContainerId, Vec<u8>)> {
        lock(&self.world).unrecorded.clone().into_iter().collect()
    }

    fn next_change(&self) -> Option<Change> {
        lock(&self.changes).recv().ok().flatten()
    }

    fn close(&self) {
        let _ = self.sender.send(None);
    }
}
