//! What becomes of the slots of one schedule that have come: on time, late, without room, or by a clock that is not trusted.

use super::plan::{Plan, Planned};
use super::{BACKLOG_MAX, Doubt, ON_TIME, Slots, Verdict};
use crate::types::{CATCH_UP_ALL_MAX, CatchUp, Gap, MissReason, SkipReason, Timestamp};

fn joined(verdicts: impl IntoIterator<Item = Verdict>) -> Vec<Verdict> {
    let mut joined: Vec<Verdict> = Vec::new();
    for verdict in verdicts {
        if !joined.last_mut().is_some_and(|last| last.join(&verdict)) {
            joined.push(verdict);
        }
    }
    joined
}

/// Says what becomes of slots for which there is no room: one that is caught up waits, and whatever comes behind it too, so
/// that the slots are settled in order once there is room again.
pub(super) fn without_room(plan: &Plan, now: Timestamp) -> Vec<Verdict> {
    let waits = plan.catch_up != CatchUp::None;
    let mut waiting = waits && plan.waited_for() > plan.handled();
    let verdict = |planned: Planned| {
        waiting |= waits && planned.skipped.is_none();
        let (slots, why) = (Slots::one(planned.slot), planned.skipped.unwrap_or(SkipReason::NoSpace));
        if waiting { Verdict::Defer { slots, why: SkipReason::NoSpace } } else { Verdict::Skip { slots, why } }
    };
    let backlog = plan.slots(plan.waited_for()).take_while(|planned| planned.at <= now).take(BACKLOG_MAX);
    joined(backlog.map(verdict))
}

/// Says what becomes of slots while the clock is not trusted: one that comes now runs, if there is room; what lies behind it is set
/// aside if each is to be caught up, else told to be missed. Nothing is caught up: what no later slot follows waits for the clock.
/// What would be too much to catch up is let go at once, so that never more than that waits.
pub(super) fn in_doubt(plan: &Plan, now: Timestamp, doubt: Doubt) -> Vec<Verdict> {
    let recent = now.moved(-plan.jitter.as_micros()).moved(-ON_TIME.as_micros()).moved(-1);
    let from = plan.handled().max(doubt.since()).max(recent);
    let fresh: Vec<Planned> = plan.slots(from).take_while(|planned| planned.at <= now).collect();
    let judge = Judge::new(plan, now, &fresh, false);
    let newest = judge.newest.and_then(|slot| fresh.iter().find(|planned| planned.slot == slot));
    let Some(newest) = newest.filter(|planned| plan.has_room && judge.is_on_time(planned)) else { return vec![] };
    let older = plan.slots(plan.handled()).take_while(|planned| planned.slot < newest.slot);
    let older: Vec<Planned> = older.take(BACKLOG_MAX).collect();
    let gaps = rows(plan, plan.gaps.iter());
    let kept = oldest_of_newest(gaps.iter().flatten().chain(&older));
    let passed = older.iter().map(|planned| match (Slots::one(planned.slot), planned.skipped) {
        (slots, Some(why)) => Verdict::Skip { slots, why },
        (slots, None) if plan.catch_up != CatchUp::All => Verdict::Miss { slots, why: doubt.miss(plan.catch_up) },
        (slots, None) if Some(planned.slot) < kept => Verdict::Miss { slots, why: MissReason::TooMany },
        (slots, None) => Verdict::SetAside { slots, why: doubt.wait() },
    });
    let run = (older.len() < BACKLOG_MAX).then(|| judge.run(newest, newest.at, false)); // else with the next call
    let mut verdicts: Vec<Verdict> = gaps.iter().flat_map(|row| let_go(row, kept)).collect();
    verdicts.extend(joined(passed.chain(run)));
    verdicts
}

/// Returns the slots that wait in gaps, row by row: neighbours in different ones are not the next slots of each other.
fn rows<'a>(plan: &Plan, gaps: impl Iterator<Item = &'a Gap>) -> Vec<Vec<Planned>> {
    gaps.map(|gap| plan.within(*gap).collect()).collect()
}

/// Returns the first slot that is still caught up where each is.
fn oldest_of_newest<'a>(slots: impl DoubleEndedIterator<Item = &'a Planned>) -> Option<Timestamp> {
    let wanted = slots.rev().filter(|planned| planned.skipped.is_none());
    wanted.take(CATCH_UP_ALL_MAX).last().map(|planned| planned.slot)
}

/// Lets go what waits before `kept` in one row.
fn let_go(row: &[Planned], kept: Option<Timestamp>) -> Vec<Verdict> {
    let old = row.iter().filter(|planned| Some(planned.slot) < kept);
    joined(old.map(|planned| Verdict::Miss { slots: Slots::one(planned.slot), why: MissReason::TooMany }))
}

/// Says what becomes of slots by a clock that is trusted, those that waited for that and those that came since: only so many of
/// all of them are caught up. What was too much is told first, lest it counts anew after the first run; then what came since goes
/// before what waited, so that no slot comes late for one that is late already.
pub(super) fn judged(plan: &Plan, now: Timestamp) -> Vec<Verdict> {
    let backlog = plan.slots(plan.handled()).take_while(|planned| planned.at <= now);
    let mut backlog: Vec<Planned> = backlog.take(BACKLOG_MAX + 1).collect();
    let is_cut = backlog.len() > BACKLOG_MAX;
    if is_cut {
        backlog.truncate(BACKLOG_MAX - CATCH_UP_ALL_MAX); // What is caught up must be left for the next call.
    }
    let gaps = rows(plan, plan.open_gaps().filter(|_| !is_cut)); // What waits depends on the rest of the backlog.
    let judge = Judge::new(plan, now, gaps.iter().flatten().chain(&backlog), is_cut);
    let told = |slots: &[Planned]| joined(slots.iter().map(|planned| judge.verdict(planned)));
    let mut verdicts: Vec<Verdict> = gaps.iter().flat_map(|row| told(row)).collect();
    let first_run = verdicts.iter().position(|verdict| matches!(verdict, Verdict::Fire { .. }));
    let place = first_run.unwrap_or(verdicts.len());
    verdicts.splice(place..place, told(&backlog));
    verdicts
}

/// Holds what the fate of one slot in a backlog depends on.
struct Judge<'a> {
    plan: &'a Plan,
    now: Timestamp,
    is_cut: bool,
    /// The last slot inside the window: the one that is run if only one is.
    newest: Option<Timestamp>,
    /// The first slot that `catch_up: all` still runs, one that is on time not counted.
    oldest_caught_up: Option<Timestamp>,
}

impl<'a> Judge<'a> {
    fn new<'s>(plan: &'a Plan, now: Timestamp, backlog: impl IntoIterator<Item = &'s Planned>, is_cut: bool) -> Self {
        let slots: Vec<&Planned> = backlog.into_iter().collect();
        let newest = slots.iter().rfind(|planned| planned.skipped.is_none());
        let is_late = |planned: &&&Planned| Some(*planned) != newest || now.since(planned.at) > ON_TIME;
        let oldest_caught_up = oldest_of_newest(slots.iter().filter(is_late).copied());
        let newest = newest.map(|planned| planned.slot);
        Self { plan, now, is_cut, newest, oldest_caught_up }
    }

    fn is_on_time(&self, planned: &Planned) -> bool {
        self.now.since(planned.at) <= ON_TIME
    }

    fn verdict(&self, planned: &Planned) -> Verdict {
        let slots = Slots::one(planned.slot);
        let missed = |why| Verdict::Miss { slots, why };
        if let Some(why) = planned.skipped {
            return Verdict::Skip { slots, why };
        }
        let is_newest = self.newest == Some(planned.slot) && !self.is_cut;
        if is_newest && self.is_on_time(planned) {
            return self.run(planned, planned.at, false);
        }
        match self.plan.catch_up {
            CatchUp::None => missed(MissReason::TooLate),
            _ if self.is_cut => missed(MissReason::TooMany),
            CatchUp::Once if !is_newest && self.may_run() => missed(MissReason::Superseded),
            CatchUp::All if Some(planned.slot) < self.oldest_caught_up => missed(MissReason::TooMany),
            CatchUp::Once | CatchUp::All => self.catch_up(planned),
        }
    }

    fn catch_up(&self, planned: &Planned) -> Verdict {
        if self.is_outside_window() {
            return Verdict::Miss { slots: Slots::one(planned.slot), why: MissReason::CatchUpOutsideWindow };
        }
        self.run(planned, self.now, true)
    }

    fn run(&self, planned: &Planned, at: Timestamp, is_catch_up: bool) -> Verdict {
        if self.plan.previous_running {
            return Verdict::Skip { slots: Slots::one(planned.slot), why: SkipReason::PreviousRunning };
        }
        Verdict::Fire { slot: planned.slot, at, is_catch_up }
    }

    fn may_run(&self) -> bool {
        !self.plan.previous_running && !self.is_outside_window()
    }

    fn is_outside_window(&self) -> bool {
        self.plan.window.is_some_and(|window| !window.contains(self.plan.zone, self.now))
    }
}
