//! One schedule as the decision needs it, and the walk over its slots.

use super::Doubt;
use crate::projections::rows::{ScheduleRow, ScheduleState};
use crate::types::{
    CLOCK_SLACK, CatchUp, CronExpression, Gap, Gaps, ScheduleId, SkipReason, Span, Timestamp, Window, Zone,
};

/// Is one schedule with what is known of its past.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which schedule.
    pub schedule: ScheduleId,
    /// Which revision of it.
    pub revision: u64,
    /// When it is due.
    pub expression: CronExpression,
    /// Whose local time that is.
    pub zone: Zone,
    /// Whether it is to run at all.
    pub is_enabled: bool,
    /// When it was defined, revised or enabled, whichever was last: earlier slots are not this revision's.
    ///
    /// A slot of the old revision that still waits for its jitter then is dropped with that revision.
    pub since: Timestamp,
    /// What happens to slots that nobody could run.
    pub catch_up: CatchUp,
    /// Up to how much later than planned a slot runs, so that not everything starts in one second.
    pub jitter: Span,
    /// The part of the day in which slots are run.
    pub window: Option<Window>,
    /// The last slot that was recorded as fired, skipped or missed.
    pub last_slot: Option<Timestamp>,
    /// Whether a run of it has not ended.
    pub previous_running: bool,
    /// The last slot that is known to wait for room.
    pub deferred: Option<Timestamp>,
    /// Earlier slots that were set aside.
    pub gaps: Gaps,
    /// Whether there is room for what it does.
    pub has_room: bool,
    /// The slots up to `last_slot` that are known one by one.
    pub settled: Vec<Timestamp>,
    /// The last of those that were forgotten.
    pub forgotten: Option<Timestamp>,
    /// Why the present clock is not trusted.
    pub doubt: Option<Doubt>,
}

/// Is a slot to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// The planned instant.
    pub slot: Timestamp,
    /// When it is to run: the slot and its jitter.
    pub at: Timestamp,
    /// Why it will not run, where that is known before.
    pub skipped: Option<SkipReason>,
}

impl Plan {
    /// Returns a recorded schedule as the decision about its slots needs it.
    pub fn of(row: &ScheduleRow) -> Self {
        Self {
            schedule: row.id,
            revision: row.revision,
            expression: row.definition.cron.clone(),
            zone: row.definition.zone,
            is_enabled: row.state == ScheduleState::Enabled,
            since: row.from,
            catch_up: row.definition.catch_up,
            jitter: row.definition.jitter,
            window: row.definition.window,
            last_slot: row.last_slot,
            previous_running: row.running().next().is_some(),
            deferred: row.deferred,
            gaps: row.gaps.clone(),
            has_room: true,
            settled: row.slots.iter().map(|slot| slot.slot).filter(|slot| Some(*slot) <= row.last_slot).collect(),
            forgotten: row.forgotten,
            doubt: None,
        }
    }

    /// Returns from when on slots are to come again, if some were settled under a clock that was ahead of `now`: behind all that
    /// may have been settled by then.
    pub(super) fn reopened(&self, now: Timestamp) -> Option<Timestamp> {
        let ahead = self.handled().since(now) > CLOCK_SLACK;
        let known = self.settled.iter().copied().filter(|slot| *slot <= now).max();
        ahead.then(|| known.max(self.forgotten).map_or(now, |slot| slot.min(now)))
    }

    /// Returns the moment up to which every slot is settled.
    pub(super) fn handled(&self) -> Timestamp {
        self.last_slot.map_or(self.since, |slot| slot.max(self.since))
    }

    /// Returns the moment up to which nothing new is to be said: while there is no room, waiting slots are told once.
    pub(super) fn waited_for(&self) -> Timestamp {
        let told = self.deferred.filter(|_| !self.has_room);
        told.map_or(self.handled(), |slot| slot.max(self.handled()))
    }

    /// Returns the rows of slots that can be caught up now: none as long as the clock is not trusted, there is no room or the
    /// last run has not ended, which are no reason to let them go.
    pub(super) fn open_gaps(&self) -> impl Iterator<Item = &Gap> {
        let may_run = self.doubt.is_none() && self.has_room && !self.previous_running;
        self.gaps.iter().filter(move |_| may_run)
    }

    /// Walks the slots that wait in a gap.
    pub(super) fn within(&self, gap: Gap) -> impl Iterator<Item = Planned> {
        self.slots(gap.after).take_while(move |planned| planned.slot <= gap.until)
    }

    /// Walks the slots after `from`; their `at` ascend as the slots do.
    pub(super) fn slots(&self, from: Timestamp) -> impl Iterator<Item = Planned> {
        let mut slots = self.expression.slots(self.zone, from).peekable();
        std::iter::from_fn(move || {
            let slot = slots.next()?;
            // Without jitter nobody needs the slot after this one, which may be costly to find.
            let next = if self.jitter == Span::default() { None } else { slots.peek().copied() };
            Some(self.planned(slot, next))
        })
    }

    fn planned(&self, slot: Timestamp, next: Option<Timestamp>) -> Planned {
        let left = self.window.map(|window| window.left(self.zone, slot));
        let skipped = (left == Some(None)).then_some(SkipReason::OutsideWindow);
        let limits = [Some(self.jitter), left.flatten(), next.map(|next| next.since(slot))];
        let most = limits.into_iter().flatten().min().unwrap_or_default();
        let at = if skipped.is_some() { slot } else { slot.after(self.delay(slot, most)) };
        Planned { slot, at, skipped }
    }

    /// Draws a delay shorter than `most`, always the same for one slot of one schedule.
    fn delay(&self, slot: Timestamp, most: Span) -> Span {
        if most == Span::default() {
            return most;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.schedule.as_bytes()).update(&slot.as_micros().to_be_bytes());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Span::from_micros((u64::from_be_bytes(bytes) % most.as_micros() as u64) as i64)
    }
}
