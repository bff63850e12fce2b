//! The world of the simulated host: what survives a crash of the daemon, and what each step does to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::effect::HostEffect;
use crate::effects::steps::StepName;
use crate::events::{Exit, Limits, ProcessIdentity};
use crate::types::{BackupId, ContainerId, RunId, Size};

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
    /// What was done to containers without a record.
    pub unrecorded: BTreeMap<ContainerId, Vec<u8>>,
    /// How many effects were performed.
    pub performed: u64,
    /// The boot id.
    pub boot: String,
    next_pid: u32,
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

/// Does one step to the world.
pub(super) fn act(world: &mut World, effect: &HostEffect, step: StepName) {
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
                "namespaces" => drop(world.limits.insert(run.container, run.configuration.limits)),
                _ => {}
            }
        }
        // What does not run is held to nothing; its next start reads them anew.
        HostEffect::EnsureLimits { container, limits } if world.inits.contains_key(container) => {
            world.limits.insert(*container, *limits);
        }
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

/// Takes one step back.
pub(super) fn undo(world: &mut World, effect: &HostEffect, step: StepName) {
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
                "namespaces" => drop(world.limits.remove(&run.container)),
                _ => {}
            }
        }
        HostEffect::FrozenPass { container, .. } => drop(world.frozen.remove(container)),
        _ => {} // the others leave nothing behind, or their plan has an undo of its own
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
