//! From local times to instants: what a cron expression means where clocks are changed.
//!
//! The `cron` crate walks the calendar in naive local time, where every day has 24 hours. This file maps what it finds:
//! - **fixed** times (neither minute nor hour begins with a star) mean a reading of the clock. One that is skipped runs
//!   at the first instant after the gap, together with any other skipped ones; one that comes twice runs the first time.
//! - **wildcard** times mean elapsed time. They run whenever the clock shows such a time: in both passes of a fold, and
//!   in a gap not at all.
//!
//! That is how Vixie cron behaves (cron(8), "daylight saving time and other time changes"), but for any size of change.

use chrono::{DateTime, Datelike, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};

use super::CronExpression;
use crate::types::{Timestamp, Zone};

/// The last year the `cron` crate knows.
const YEAR_MAX: i32 = 2100;
/// More than any zone has ever been away from UTC (15:13:42, Manila before 1844).
const OFFSET_MAX: TimeDelta = TimeDelta::hours(26);

impl CronExpression {
    /// Returns the first slot after the moment, in the local time of the zone.
    ///
    /// Slots are found from 1970 to 2100. The longest pause of any expression is 40 years (29 February on one weekday,
    /// around 2100), so every expression has a next slot until 2060.
    pub fn next_after(&self, zone: Zone, after: Timestamp) -> Option<Timestamp> {
        let after = after.max(Timestamp::default()).as_datetime();
        if after.year() > YEAR_MAX {
            return None;
        }
        let after = after.with_timezone(&zone);
        let found = if self.is_wildcard { self.next_by_elapsed_time(after) } else { self.next_by_reading(after) };
        found.map(|slot| Timestamp::from(slot.to_utc()))
    }

    /// Returns every slot after the moment, ascending, each once.
    pub fn slots(&self, zone: Zone, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next_after(zone, after), move |slot| self.next_after(zone, *slot))
    }

    fn next_by_reading(&self, after: DateTime<Zone>) -> Option<DateTime<Zone>> {
        self.readings_after(after.naive_local())
            .map(|local| match after.timezone().from_local_datetime(&local) {
                LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => instant,
                LocalResult::None => gap_end(after.timezone(), local),
            })
            .find(|instant| *instant > after)
    }

    fn next_by_elapsed_time(&self, after: DateTime<Zone>) -> Option<DateTime<Zone>> {
        let next = self.first_shown(after.naive_local(), after);
        match fold_after(after) {
            // The clock will go back over what it showed: what comes then is sooner than what it has not shown yet.
            Some(fold) if next.is_none_or(|next| next >= fold) => {
                let just_before = fold.naive_local() - TimeDelta::seconds(1);
                self.first_shown(just_before, fold - TimeDelta::seconds(1))
            }
            _ => next,
        }
    }

    /// Finds the first instant after `after` at which the clock shows a time that is chosen and later than `local`.
    fn first_shown(&self, local: NaiveDateTime, after: DateTime<Zone>) -> Option<DateTime<Zone>> {
        self.readings_after(local).find_map(|local| match after.timezone().from_local_datetime(&local) {
            LocalResult::Single(instant) => Some(instant).filter(|instant| *instant > after),
            LocalResult::Ambiguous(first, second) => [first, second].into_iter().find(|instant| *instant > after),
            LocalResult::None => None,
        })
    }

    /// Walks the chosen times after `local`, as if no clock were ever changed.
    fn readings_after(&self, local: NaiveDateTime) -> impl Iterator<Item = NaiveDateTime> {
        std::iter::successors(self.reading_after(local), |local| self.reading_after(*local))
    }

    fn reading_after(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        let found = self.schedules.iter().filter_map(|schedule| schedule.after(&local.and_utc()).next());
        found.min().map(|reading| reading.naive_utc())
    }
}

/// Finds the first instant at which the clock shows more than `local`, a time it skips.
fn gap_end(zone: Zone, local: NaiveDateTime) -> DateTime<Zone> {
    let around = zone.from_utc_datetime(&local);
    bisect(around - OFFSET_MAX, around + OFFSET_MAX, |instant| instant.naive_local() > local)
}

/// Finds the instant at which the clock goes back over what it shows now, if this is the first time that it shows it.
fn fold_after(now: DateTime<Zone>) -> Option<DateTime<Zone>> {
    match now.timezone().from_local_datetime(&now.naive_local()) {
        LocalResult::Ambiguous(first, second) if now < second => {
            let offset = first.offset().fix();
            Some(bisect(first, second, |instant| instant.offset().fix() != offset))
        }
        _ => None,
    }
}

/// Finds the first second in (`low`, `high`] from which `holds` is true; it is false at `low` and true at `high`.
fn bisect(mut low: DateTime<Zone>, mut high: DateTime<Zone>, holds: impl Fn(DateTime<Zone>) -> bool) -> DateTime<Zone> {
    while high - low > TimeDelta::seconds(1) {
        let middle = low + TimeDelta::seconds((high - low).num_seconds() / 2);
        if holds(middle) { high = middle } else { low = middle }
    }
    high
}
