//! A host in memory with a schedule of faults: for tests of what the runtime does when the world misbehaves.
//!
//! It runs the same steps as the real one and keeps the same kind of marks, so a crash between any two of them can be
//! tried by the thousand. It is no part of what ships: nothing but tests makes one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::steps::{self, CrashPoint, Ending, Moment, StepName, Steps};
use super::{Change, EffectContext, Host, Observation};
use crate::domain::effect::{Facts, Failure, HostEffect, SealSpecification};
use crate::events::{
    BackupOutcome, BackupSummary, Exit, InitKind, Limits, MaintenanceResult, ProcessIdentity, TemplateSummary,
};
use crate::types::{BackupId, ContainerId, RunId, SessionId, Size, Span, Timestamp};

/// The name of the tree that a container sees.
const UPPER: &str = "upper";

/// Is the world: what survives a crash of the daemon.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct World {
    /// Steps that are so, by object: `container/ID` → `disk`, `supervisor` …
    pub marks: BTreeMap<String, BTreeSet<&'static str>>,
    /// The init of each running container.
    pub inits: BTreeMap<ContainerId, ProcessIdentity>,
    /// Containers that stand still while a backup reads them.
    pub frozen: BTreeSet<ContainerId>,
    /// Containers that stand still because somebody wanted it so; a backup that lets go leaves them alone.
    pub paused: BTreeSet<ContainerId>,
    /// What the kernel holds each running container to.
    pub limits: BTreeMap<ContainerId, Limits>,
    /// The size of each disk.
    pub disks: BTreeMap<ContainerId, Size>,
    /// The backups that are whole.
    pub backups: BTreeSet<BackupId>,
    /// What lies on each disk: `upper` is what the container sees, and whose files it is.
    pub files: BTreeMap<ContainerId, BTreeMap<String, String>>,
    /// Containers whose init ends as soon as it has begun.
    pub short_lived: BTreeSet<ContainerId>,
    /// Inits that ended without anyone taking note.
    pub exits: BTreeMap<ContainerId, (ProcessIdentity, Exit)>,
    /// Inits that do not listen to signals.
    pub deaf: BTreeSet<ContainerId>,
    /// How many effects were performed.
    pub performed: u64,
    /// The boot id.
    pub boot: String,
    next_pid: u32,
}

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
            let observation = Observation::Exited { init, exit };
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

/// Returns the object whose marks an effect sets, and the step's name there.
fn object(effect: &HostEffect) -> String {
    match effect {
        HostEffect::EnsureTemplate { template, .. }
        | HostEffect::EnsureTemplateGone { template }
        | HostEffect::VerifyTemplate { template, .. } => format!("template/{template}"),
        HostEffect::EnsureNetwork { network, .. } | HostEffect::EnsureNetworkGone { network, .. } => {
            format!("network/{network}")
        }
        HostEffect::EnsureStore { store, .. } | HostEffect::VerifyBackup { store, .. } => format!("store/{store}"),
        HostEffect::LivePass { run, .. }
        | HostEffect::FrozenPass { run, .. }
        | HostEffect::DiscardBackup { run, .. }
        | HostEffect::RestoreFiles { run, .. }
        | HostEffect::ExchangeRoot { run, .. }
        | HostEffect::RevertRoot { run, .. }
        | HostEffect::DiscardOldRoot { run, .. }
        | HostEffect::ExtractFiles { run, .. } => format!("run/{run}"),
        HostEffect::SealBackup(seal) => format!("run/{}", seal.run),
        HostEffect::EnsureDisk { container, .. }
        | HostEffect::EnsureDiskSize { container, .. }
        | HostEffect::EnsureDiskGone { container } => format!("disk/{container}"),
        HostEffect::EnsureStopped { container }
        | HostEffect::SignalInit { container, .. }
        | HostEffect::EnsurePaused { container }
        | HostEffect::EnsureResumed { container }
        | HostEffect::EnsureLimits { container, .. }
        | HostEffect::Defragment { container }
        | HostEffect::UpdateCheck { container } => format!("running/{container}"),
        HostEffect::EnsureRunning(run) => format!("running/{}", run.container),
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
        act(&mut lock(&self.world), effect, step);
        if let (HostEffect::EnsureRunning(run), "init") = (effect, step) {
            self.begun(run.container);
        }
        Ok(())
    }

    fn undo(&self, effect: &HostEffect, step: StepName) -> Result<(), Failure> {
        let mut world = lock(&self.world);
        match effect {
            HostEffect::EnsureRunning(run) => {
                let key = object(effect);
                let marks = world.marks.entry(key.clone()).or_default();
                marks.remove(step);
                if marks.is_empty() {
                    world.marks.remove(&key);
                }
                match step {
                    "init" => drop(world.inits.remove(&run.container)),
                    "control-group" => drop(world.limits.remove(&run.container)),
                    _ => {}
                }
            }
            HostEffect::FrozenPass { container, .. } => drop(world.frozen.remove(container)),
            _ => {} // the others leave nothing behind, or their plan has an undo of its own
        }
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

/// Does one step to the world.
fn act(world: &mut World, effect: &HostEffect, step: StepName) {
    let key = object(effect);
    match effect {
        HostEffect::EnsureStopped { container } => stop_step(world, *container, &key, step),
        HostEffect::EnsureTemplateGone { .. } | HostEffect::EnsureNetworkGone { .. } => {
            drop(world.marks.remove(&key));
        }
        HostEffect::EnsureDiskGone { container } => {
            world.marks.remove(&key);
            world.disks.remove(container);
            world.files.remove(container);
        }
        HostEffect::EnsureDisk { container, size, .. } => {
            mark(world, key, step);
            world.disks.entry(*container).or_insert(*size);
            let files = world.files.entry(*container).or_default();
            files.entry(UPPER.to_owned()).or_insert_with(|| "own".to_owned());
        }
        HostEffect::RestoreFiles { run, backup, container, .. } => {
            let files = world.files.entry(*container).or_default();
            files.insert(format!("restore-{run}"), backup.to_string());
        }
        HostEffect::ExchangeRoot { run, container } => exchange(world, *run, *container, step),
        HostEffect::RevertRoot { run, container } => revert(world, *run, *container),
        HostEffect::DiscardOldRoot { run, container } => {
            let files = world.files.entry(*container).or_default();
            files.remove(&format!("before-{run}"));
        }
        HostEffect::EnsureDiskSize { container, size, .. } => drop(world.disks.insert(*container, *size)),
        HostEffect::EnsureRunning(run) => {
            mark(world, key, step);
            match step {
                "init" => begin_init(world, run.container),
                "control-group" => drop(world.limits.insert(run.container, run.configuration.limits)),
                _ => {}
            }
        }
        HostEffect::EnsureLimits { container, limits } => drop(world.limits.insert(*container, *limits)),
        HostEffect::EnsureTemplate { .. } | HostEffect::EnsureNetwork { .. } | HostEffect::EnsureStore { .. } => {
            mark(world, key, step);
        }
        HostEffect::EnsurePaused { container } => drop(world.paused.insert(*container)),
        HostEffect::EnsureResumed { container } => drop(world.paused.remove(container)),
        HostEffect::FrozenPass { container, .. } if step == "freeze" => drop(world.frozen.insert(*container)),
        HostEffect::FrozenPass { container, .. } if step == "thaw" => drop(world.frozen.remove(container)),
        HostEffect::DiscardBackup { container, .. } => drop(world.frozen.remove(container)),
        _ => {}
    }
}

/// Moves whole trees by name, as the real host does: how far an earlier try got is told by the names.
fn exchange(world: &mut World, run: RunId, container: ContainerId, step: StepName) {
    let files = world.files.entry(container).or_default();
    let (fresh, before) = (format!("restore-{run}"), format!("before-{run}"));
    if !files.contains_key(&fresh) {
        return;
    }
    if step == "set-aside" && !files.contains_key(&before) {
        rename(files, UPPER, &before);
    }
    if step == "put-in-place" {
        rename(files, &fresh, UPPER);
    }
}

fn revert(world: &mut World, run: RunId, container: ContainerId) {
    let files = world.files.entry(container).or_default();
    let (fresh, before) = (format!("restore-{run}"), format!("before-{run}"));
    if files.contains_key(&before) {
        rename(files, &before, UPPER);
    }
    files.remove(&fresh);
}

fn rename(files: &mut BTreeMap<String, String>, old: &str, new: &str) {
    if let Some(tree) = files.remove(old) {
        files.insert(new.to_owned(), tree);
    }
}

fn mark(world: &mut World, key: String, step: StepName) {
    world.marks.entry(key).or_default().insert(step);
}

fn begin_init(world: &mut World, container: ContainerId) {
    if world.inits.contains_key(&container) {
        return;
    }
    world.next_pid += 1;
    let init =
        ProcessIdentity { boot: world.boot.clone(), pid: 1000 + world.next_pid, started: u64::from(world.next_pid) };
    world.exits.remove(&container);
    world.inits.insert(container, init);
}

fn stop_step(world: &mut World, container: ContainerId, key: &str, step: StepName) {
    if step == "kill" {
        world.inits.remove(&container);
        world.frozen.remove(&container);
        world.paused.remove(&container);
        return;
    }
    if step == "control-group" {
        world.limits.remove(&container);
    }
    if step == "runtime-folder" {
        world.exits.remove(&container);
        world.marks.remove(key);
        return;
    }
    let marks = world.marks.entry(key.to_owned()).or_default();
    marks.remove(step);
    marks.remove("init");
    marks.remove("namespaces");
    if marks.is_empty() {
        world.marks.remove(key);
    }
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
            return Err(Failure::permanent("there is no init to signal"));
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
            return Observation::Exited { init: init.clone(), exit: *exit };
        }
        let left = world.marks.contains_key(&format!("running/{container}"));
        if left { Observation::Remains } else { Observation::Absent }
    }

    fn observed(&self) -> Vec<ContainerId> {
        let world = lock(&self.world);
        let keys = world.marks.keys().filter_map(|key| key.strip_prefix("running/"));
        keys.filter_map(|key| key.parse().ok()).collect()
    }

    fn next_change(&self) -> Option<Change> {
        lock(&self.changes).recv().ok().flatten()
    }

    fn close(&self) {
        let _ = self.sender.send(None);
    }
}

fn facts(world: &World, effect: &HostEffect) -> Facts {
    match effect {
        HostEffect::EnsureTemplate { .. } => Facts::Template(TemplateSummary {
            digest: "simulated".to_owned(),
            size: Size::from_mib(1),
            entries: 1,
            init: Some(InitKind::Busybox),
            system: None,
        }),
        HostEffect::EnsureRunning(run) => {
            // An init that has ended meanwhile did begin: its end is told on its own.
            let ended = world.exits.get(&run.container).map(|(init, _)| init);
            let init = world.inits.get(&run.container).or(ended);
            init.map_or(Facts::None, |init| Facts::Started { init: init.clone(), took: Span::from_micros(1_000) })
        }
        HostEffect::EnsureStore { .. } => {
            Facts::Repository { repository: "simulated".to_owned(), recovery_fingerprint: "simulated".to_owned() }
        }
        HostEffect::LivePass { .. } => Facts::LivePass { entries: 1, read: Size::from_bytes(1) },
        HostEffect::FrozenPass { .. } => Facts::FrozenPass { frozen: Span::from_micros(1_000) },
        HostEffect::SealBackup(seal) => Facts::Sealed(Box::new(summary(seal))),
        HostEffect::RestoreFiles { .. } | HostEffect::ExtractFiles { .. } => {
            Facts::Restored { entries: 1, written: Size::from_bytes(1) }
        }
        HostEffect::Defragment { .. } => Facts::Maintenance(MaintenanceResult::Defragmented {
            fragments_before: 2,
            fragments_after: 1,
            allocated_before: Size::from_mib(2),
            allocated_after: Size::from_mib(1),
        }),
        HostEffect::UpdateCheck { .. } => Facts::Maintenance(MaintenanceResult::UpdatesListed {
            manager: "simulated".to_owned(),
            pending: vec![],
            count: 0,
            security: 0,
            stale: None,
        }),
        HostEffect::VerifyBackup { .. } => Facts::Maintenance(MaintenanceResult::Verified),
        _ => Facts::None,
    }
}

fn summary(seal: &SealSpecification) -> BackupSummary {
    BackupSummary {
        backup: seal.backup,
        run: seal.run,
        container: seal.container,
        container_name: seal.container_name.clone(),
        store: seal.store,
        taken_at: Timestamp::from_micros(0),
        mode: seal.mode,
        base: seal.base,
        outcome: BackupOutcome::Complete,
        entries: 1,
        read: Size::from_bytes(1),
        new: Size::from_bytes(1),
        stored: Size::from_bytes(1),
        frozen: Span::from_micros(1_000),
        unreadable: 0,
        schedule: seal.schedule.clone(),
    }
}
