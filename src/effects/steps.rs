//! The ordered steps inside one host effect, run alike by the real and the simulated host.
//!
//! A host effect lies between two commits, but it is not one act: a start attaches a disk, makes a control group, spawns
//! a supervisor and so on. Each step has *ensure* meaning and an undo. When a step fails, those before it are undone in
//! reverse. A crash between two steps is not repaired here: the log still owes the effect, and recovery performs it again
//! from the first step, which finds what is there.

use std::time::Instant;

use super::EffectContext;
use crate::domain::effect::{Failure, HostEffect};

/// Names a step of a host effect.
pub type StepName = &'static str;

/// Is called before and after each step; tests end the world there.
pub trait CrashPoint: Send + Sync {
    /// Returns whether the host is to die at this point, as by `kill -9`.
    fn dies(&self, effect: &HostEffect, step: StepName, moment: Moment) -> bool;
}

/// Says on which side of a step a crash point lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing of the step is done.
    Before,
    /// All of it is.
    After,
}

/// Never dies.
#[derive(Debug, Clone, Copy, Default)]
pub struct Immortal;

impl CrashPoint for Immortal {
    fn dies(&self, _: &HostEffect, _: StepName, _: Moment) -> bool {
        false
    }
}

/// Says how a list of steps ended.
#[derive(Debug)]
pub enum Ending {
    /// Every step is so.
    Done,
    /// One did not work; the ones before it are undone, as far as that went.
    Failed(Failure),
    /// The host died at a crash point: nobody hears of this effect.
    Died,
}

/// Does the steps of effects.
pub trait Steps {
    /// Makes one step so.
    ///
    /// # Errors
    /// Why it did not work.
    fn ensure(&self, effect: &HostEffect, step: StepName, context: &EffectContext) -> Result<(), Failure>;

    /// Takes one step back; what was not there is fine.
    ///
    /// # Errors
    /// Why it did not work.
    fn undo(&self, effect: &HostEffect, step: StepName) -> Result<(), Failure>;
}

/// Returns the steps of an effect in order. Effects that are one act have one step of their own name.
pub fn steps_of(effect: &HostEffect) -> &'static [StepName] {
    match effect {
        HostEffect::EnsureTemplate { .. } => &["copy", "seal"],
        HostEffect::EnsureDisk { .. } => &["folder", "disk"],
        HostEffect::EnsureRunning(_) => &["runtime-folder", "supervisor", "namespaces", "link", "init"],
        HostEffect::EnsureStopped { .. } => &["kill", "link", "supervisor", "control-group", "runtime-folder"],
        HostEffect::EnsureNetwork { .. } => &["bridge", "ports"],
        HostEffect::EnsureNetworkGone { .. } => &["filter", "bridge"],
        HostEffect::EnsureStore { .. } => &["repository", "place"],
        HostEffect::FrozenPass { .. } => &["freeze", "read", "thaw"],
        HostEffect::ExchangeRoot { .. } => &["set-aside", "put-in-place"],
        other => single(other),
    }
}

fn single(effect: &HostEffect) -> &'static [StepName] {
    match effect {
        HostEffect::EnsureTemplateGone { .. } | HostEffect::EnsureDiskGone { .. } => &["remove"],
        HostEffect::LivePass { .. } => &["read"],
        HostEffect::SealBackup(_) => &["seal"],
        HostEffect::RestoreFiles { .. } | HostEffect::ExtractFiles { .. } => &["write"],
        _ => &["act"],
    }
}

/// Runs the steps of `effect` in order; a failure undoes those before it.
pub fn run(host: &dyn Steps, effect: &HostEffect, context: &EffectContext, crash: &dyn CrashPoint) -> Ending {
    let steps = steps_of(effect);
    for (index, step) in steps.iter().enumerate() {
        if crash.dies(effect, step, Moment::Before) {
            return Ending::Died;
        }
        let begun = Instant::now();
        let done = context.cancel.check().and_then(|()| host.ensure(effect, step, context));
        tracing::debug!(effect = effect.name(), step, micros = begun.elapsed().as_micros(), "step");
        if let Err(failure) = done {
            let left = undo(host, effect, &steps[..=index]);
            return Ending::Failed(with_remains(failure, &left));
        }
        if crash.dies(effect, step, Moment::After) {
            return Ending::Died;
        }
    }
    Ending::Done
}

fn undo(host: &dyn Steps, effect: &HostEffect, steps: &[StepName]) -> Vec<String> {
    let undone = steps.iter().rev().map(|step| (step, host.undo(effect, step)));
    undone.filter_map(|(step, result)| result.err().map(|failure| format!("{step}: {failure}"))).collect()
}

/// Names what could not be taken back, so that nothing half-done stays unnamed.
fn with_remains(failure: Failure, left: &[String]) -> Failure {
    if left.is_empty() {
        return failure;
    }
    Failure { reason: format!("{}; not undone: {}", failure.reason, left.join(", ")), ..failure }
}
