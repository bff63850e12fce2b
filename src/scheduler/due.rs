//! Decides what is due: a pure function of the schedules, their last slots and the time.
//!
//! Every slot after a schedule's last one is fired, skipped or missed exactly once, having waited for room before or not; what was decided is recorded by the
//! caller in the order given, and the recorded slot is the next call's `last_slot`. That makes a slot fire once across
//! restarts, clock steps and half-recorded answers. Preview and simulation walk the same slots. Nothing here knows a
//! clock, an actor or what a schedule does.

mod inside;
mod judge;
mod plan;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::events::ScheduleDefinition;
use crate::types::{
    CLOCK_SLACK, CatchUp, ClockWatch, MissReason, ScheduleId, SkipReason, Span, Timestamp, Trust, WaitReason,
};

pub use plan::{Plan, Planned};

/// How many slots tell how close to each other those of a schedule are.
const SLOTS_COMPARED: usize = 1_000;
/// How far ahead they are looked at: through both changes of the clock.
const YEAR: Span = Span::from_secs(366 * 24 * 3_600);

/// How late a slot may be and still be on time: enough for a restart of the daemon.
pub const ON_TIME: Span = Span::from_secs(5 * 60);
/// The most slots of one schedule that one call looks at; the rest comes with the next call, which is due at once.
pub const BACKLOG_MAX: usize = 10_000;

/// Is what has to be recorded about one slot, or a row of slots, of one schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Which schedule.
    pub schedule: ScheduleId,
    /// The revision of the schedule whose slots these are.
    pub revision: u64,
    /// What happens to them.
    pub verdict: Verdict,
}

/// Says what happens to a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It runs.
    Fire {
        /// The planned instant.
        slot: Timestamp,
        /// When it was due to run: the slot and its jitter, or now where it is caught up.
        at: Timestamp,
        /// Whether it is run late, to catch up.
        is_catch_up: bool,
    },
    /// It could run and must not.
    Skip {
        /// Which slots.
        slots: Slots,
        /// Why.
        why: SkipReason,
    },
    /// It cannot run now, and waits until it can be decided about.
    Defer {
        /// Which slots.
        slots: Slots,
        /// Why.
        why: SkipReason,
    },
    /// It is caught up once the clock is trusted, and later ones run meanwhile.
    SetAside {
        /// Which slots.
        slots: Slots,
        /// Why.
        why: WaitReason,
    },
    /// It should have run and could not.
    Miss {
        /// Which slots.
        slots: Slots,
        /// Why.
        why: MissReason,
    },
    /// It was settled under a clock that was ahead, and is to come again.
    Reopen {
        /// Up to when every slot is settled.
        after: Timestamp,
    },
}

/// Says why a clock is not trusted: slots that come now run, none is caught up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The machine came up only just, and a time service may still put its clock right.
    Settling,
    /// It stepped.
    Stepped {
        /// What it showed then.
        since: Timestamp,
    },
}

/// Is a row of neighbouring slots with one fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// How many there are, both ends counted.
    pub count: u64,
}

/// Names one run for ever: the same key twice is the same run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FireKey {
    /// Which schedule.
    pub schedule: ScheduleId,
    /// Which revision of it.
    pub revision: u64,
    /// The planned instant (not the jittered one).
    pub slot: Timestamp,
}

impl fmt::Display for FireKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}/{}", self.schedule, self.revision, self.slot))
    }
}

impl Doubt {
    /// Returns from when on slots are of the present clock.
    fn since(self) -> Timestamp {
        match self {
            Self::Settling => Timestamp::from_micros(i64::MIN),
            // A step is noticed some moments after it: a slot of these is of the present clock, too.
            Self::Stepped { since } => since.moved(-CLOCK_SLACK.as_micros()),
        }
    }

    /// Returns why slots wait by such a clock.
    const fn wait(self) -> WaitReason {
        match self {
            Self::Settling => WaitReason::Settling,
            Self::Stepped { .. } => WaitReason::ClockDoubted,
        }
    }

    /// Returns why slots are let go by such a clock for one that comes now.
    const fn miss(self, catch_up: CatchUp) -> MissReason {
        match (self, catch_up) {
            (Self::Stepped { .. }, _) => MissReason::ClockDoubted,
            (Self::Settling, CatchUp::None) => MissReason::TooLate,
            (Self::Settling, _) => MissReason::Superseded,
        }
    }
}

impl Slots {
    const fn one(slot: Timestamp) -> Self {
        Self { first: slot, last: slot, count: 1 }
    }

    fn joined(self, later: Self) -> Self {
        Self { first: self.first, last: later.last, count: self.count + later.count }
    }
}

impl Verdict {
    /// Returns the last slot it speaks of: what `last_slot` is once this is recorded, unless it waits.
    pub const fn last_slot(&self) -> Timestamp {
        match self {
            Self::Fire { slot, .. } | Self::Reopen { after: slot } => *slot,
            Self::Skip { slots, .. } | Self::Defer { slots, .. } => slots.last,
            Self::SetAside { slots, .. } | Self::Miss { slots, .. } => slots.last,
        }
    }

    /// Joins what follows, if it says the same of the next slots. Runs are never joined.
    fn join(&mut self, later: &Self) -> bool {
        match (self, later) {
            (Self::Skip { slots, why }, Self::Skip { slots: more, why: same }) if why == same => {
                *slots = slots.joined(*more);
                true
            }
            (Self::Defer { slots, why }, Self::Defer { slots: more, why: same }) if why == same => {
                *slots = slots.joined(*more);
                true
            }
            (Self::SetAside { slots, why }, Self::SetAside { slots: more, why: same }) if why == same => {
                *slots = slots.joined(*more);
                true
            }
            (Self::Miss { slots, why }, Self::Miss { slots: more, why: same }) if why == same => {
                *slots = slots.joined(*more);
                true
            }
            _ => false,
        }
    }
}

impl Due {
    /// Returns the key under which this is recorded once: of a row of slots, the last one's.
    pub const fn key(&self) -> FireKey {
        FireKey { schedule: self.schedule, revision: self.revision, slot: self.verdict.last_slot() }
    }
}

/// Returns everything that is to be recorded now, schedule by schedule, the slots of each in order.
///
/// Several catch-up runs of one schedule (`catch_up: all`) come at once and are meant to run one after another.
pub fn due(plans: &[Plan], now: Timestamp) -> Vec<Due> {
    plans.iter().filter(|plan| plan.is_enabled).flat_map(|plan| due_of(plan, now)).collect()
}

/// Returns when [`due`] has something to say next, which may be in the past; nothing if no schedule has a next slot.
pub fn next_due(plans: &[Plan], now: Timestamp) -> Option<Timestamp> {
    plans.iter().filter(|plan| plan.is_enabled).filter_map(|plan| next_of(plan, now)).min()
}

fn next_of(plan: &Plan, now: Timestamp) -> Option<Timestamp> {
    match plan.doubt {
        None => {
            let first = plan.slots(plan.waited_for()).next();
            let waiting = plan.open_gaps().filter_map(|gap| plan.within(*gap).next());
            waiting.chain(first).map(|planned| planned.at).min()
        }
        Some(_) => coming(plan, now, 1).first().map(|planned| planned.at), // what came before waits for the clock
    }
}

/// Returns why the present clock is not trusted, if it is not.
pub fn doubt(watch: &ClockWatch) -> Option<Doubt> {
    match watch.trust() {
        Trust::Sure => None,
        Trust::Settling => Some(Doubt::Settling),
        Trust::Doubted => Some(Doubt::Stepped { since: watch.epoch().unwrap_or(Timestamp::from_micros(i64::MIN)) }),
    }
}

/// Returns the next slots of a schedule after `from`, enabled or not, and which of them its window will skip.
pub fn preview(plan: &Plan, from: Timestamp, count: usize) -> Vec<Planned> {
    plan.slots(from).take(count).collect()
}

/// Returns the next runs of a schedule: what [`due`] will say as time goes on from `now`, if nothing else happens.
pub fn coming(plan: &Plan, now: Timestamp, count: usize) -> Vec<Planned> {
    walk(plan, now).take(count).collect()
}

/// Returns the next slot of a schedule that is to run.
pub fn next_run(plan: &Plan, now: Timestamp) -> Option<Planned> {
    let Some(window) = plan.window else { return walk(plan, now).next() };
    let mut from = beginning(plan, now);
    loop {
        let slot = inside::first_inside(&plan.expression, plan.zone, window, from)?;
        match plan.slots(slot.moved(-1)).next() {
            Some(planned) if planned.at <= now => from = slot,
            found => return found,
        }
    }
}

/// Returns the first slot after `from` of a schedule whose window leaves none to run.
pub fn never_runs(definition: &ScheduleDefinition, from: Timestamp) -> Option<Timestamp> {
    let window = definition.window?;
    let first = definition.cron.slots(definition.zone, from).next()?;
    let some = inside::first_inside(&definition.cron, definition.zone, window, from);
    some.is_none().then_some(first)
}

/// Returns the shortest time between two slots of a schedule in the year after `from`, if its jitter is longer.
pub fn overrun(definition: &ScheduleDefinition, from: Timestamp) -> Option<Span> {
    if definition.jitter == Span::default() {
        return None;
    }
    let slots = definition.cron.slots(definition.zone, from).take(SLOTS_COMPARED).collect::<Vec<_>>();
    let near = |pair: &&[Timestamp]| pair[1] <= from.after(YEAR);
    let gap = |pair: &[Timestamp]| pair[1].since(pair[0]);
    let shortest = slots.windows(2).take_while(near).map(gap).min();
    let shortest = shortest.or_else(|| slots.windows(2).map(gap).next())?;
    (definition.jitter > shortest).then_some(shortest)
}

fn walk(plan: &Plan, now: Timestamp) -> impl Iterator<Item = Planned> {
    plan.slots(beginning(plan, now)).filter(move |planned| planned.at > now)
}

/// Returns the moment after which the next slots are.
fn beginning(plan: &Plan, now: Timestamp) -> Timestamp {
    let handled = plan.reopened(now).unwrap_or_else(|| plan.handled());
    // A slot that has come may still wait for its jitter.
    handled.max(now.moved(-plan.jitter.as_micros()).moved(-1))
}

fn due_of(plan: &Plan, now: Timestamp) -> Vec<Due> {
    let verdicts = match (plan.reopened(now), plan.doubt) {
        (Some(after), _) => vec![Verdict::Reopen { after }],
        (None, Some(doubt)) => judge::in_doubt(plan, now, doubt),
        (None, None) if plan.has_room => judge::judged(plan, now),
        (None, None) => judge::without_room(plan, now),
    };
    let due = |verdict| Due { schedule: plan.schedule, revision: plan.revision, verdict };
    verdicts.into_iter().map(due).collect()
}
