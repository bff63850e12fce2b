//! The clock on the wall: the only place that reads it.

use std::sync::Mutex;

use std::time::Duration;

use crate::sys::clock;
use crate::types::{CLOCK_SLACK, Clock, Reading, Span, Timestamp};

/// How long two looks may lie apart and still be one moment.
const ONE_MOMENT: Duration = Duration::from_millis(100);
/// How often one moment is tried for: a machine that is busy, or falls asleep in between, must not look like a step.
const LOOKS: usize = 8;

/// Tells the time of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // Not by chrono: it ends the program where the clock stands before 1970.
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(since_1970.map_or_else(|before| -micros(before.duration()), micros))
    }

    fn reading(&self) -> Reading {
        let mut up = clock::since_boot();
        let mut wall = self.now();
        for _ in 1..LOOKS {
            let after = clock::since_boot();
            if after.saturating_sub(up) < ONE_MOMENT {
                break;
            }
            (up, wall) = (after, self.now());
        }
        Reading { wall, up: Some(Span::from_micros(i64::try_from(up.as_micros()).unwrap_or(i64::MAX))) }
    }

    /// The kernel speaks of its own clock: a program that is shown another one is not told that this one is right.
    fn is_synchronised(&self) -> bool {
        let told = clock::discipline();
        told.is_ok_and(|told| {
            told.is_synchronised && Timestamp::from_micros(told.wall).apart(self.now()) <= CLOCK_SLACK
        })
    }
}

/// Is a clock that tests turn by hand.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// Makes a clock that stands at `now`.
    pub const fn new(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }

    /// Turns it on.
    pub fn advance(&self, span: Span) {
        let mut now = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *now = now.after(span);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
