//! Moments and the clock that tells them.
//!
//! Nothing outside the real clock reads the wall: rules get the time in their commands, so that a replay is exact.

mod clock_watch;
mod cron;
mod gaps;
mod schedule;
mod span;
mod zone;

use std::fmt;

pub use clock_watch::{CLOCK_SLACK, ClockWatch, Step, StepNotice, Trust};
pub use cron::{CronExpression, InvalidCron};
pub use gaps::{Gap, Gaps};
pub use schedule::{
    CATCH_UP_ALL_MAX, CatchUp, InvalidCatchUp, InvalidWindow, MissReason, SkipReason, WaitReason, Window,
};
pub use span::{InvalidSpan, Span};
pub use zone::{InvalidZone, Zone};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Is a moment in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Makes a moment of microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Makes a moment of what a file system or a stranger says, which may be any number: what lies beyond the years that RFC
    /// 3339 can write is the first or the last moment of them.
    pub fn from_foreign(seconds: i64, nanos: u32) -> Self {
        const FIRST: i64 = -62_135_596_800_000_000; // 0001-01-01T00:00:00Z
        const LAST: i64 = 253_402_300_799_999_999; // 9999-12-31T23:59:59.999999Z
        let micros = seconds.saturating_mul(1_000_000).saturating_add(i64::from(nanos / 1_000));
        Self(micros.clamp(FIRST, LAST))
    }

    /// Returns the microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Returns the moment as a calendar time; a value beyond the calendar is cut to the epoch.
    pub fn as_datetime(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }

    /// Returns the moment `span` later.
    pub fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.as_micros()))
    }

    /// Returns the moment that many microseconds later, or earlier if there are fewer than none.
    pub const fn moved(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Returns the time between two moments, whichever is the earlier.
    pub fn apart(self, other: Self) -> Span {
        self.since(other).max(other.since(self))
    }

    /// Returns the time from `earlier` to this moment, nothing if it lies later.
    pub fn since(self, earlier: Self) -> Span {
        Span::from_micros(self.0.saturating_sub(earlier.0).max(0))
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(moment: DateTime<Utc>) -> Self {
        Self(moment.timestamp_micros())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.as_datetime().to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DateTime::<Utc>::deserialize(deserializer).map(Self::from)
    }
}

/// Is what one look at the clocks shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What the clock on the wall shows.
    pub wall: Timestamp,
    /// How long the machine has been up, which nobody can set; nothing if that is not counted.
    pub up: Option<Span>,
}

/// Tells the time; the real one reads the wall, tests turn theirs by hand.
pub trait Clock: Send + Sync + 'static {
    /// Returns the present moment.
    fn now(&self) -> Timestamp;

    /// Looks at the wall and at what nobody can set, at the same moment.
    fn reading(&self) -> Reading {
        Reading { wall: self.now(), up: None }
    }

    /// Says whether a time service keeps the wall clock right at this moment.
    fn is_synchronised(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_moment_is_never_beyond_what_can_be_written() {
        for (seconds, nanos, told) in [
            (i64::MAX, 999_999_999, "9999-12-31T23:59:59.999999Z"),
            (253_402_300_800, 0, "9999-12-31T23:59:59.999999Z"),
            (i64::MIN, 0, "0001-01-01T00:00:00.000000Z"),
            (5, 7_000, "1970-01-01T00:00:05.000007Z"),
        ] {
            let moment = Timestamp::from_foreign(seconds, nanos);
            assert_eq!(moment.to_string(), told, "{seconds}");
            let written = serde_json::to_string(&moment).unwrap();
            assert_eq!(serde_json::from_str::<Timestamp>(&written).unwrap(), moment);
        }
    }
}
