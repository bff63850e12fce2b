//! Facts about the clock of one machine: since when it is up, and each step of the time on the wall.

use serde::{Deserialize, Serialize};

use super::{DomainEvent, Mark, kinds};
use crate::types::{Category, Step, StepNotice, Timestamp};

/// Is a fact about the clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ClockEvent {
    /// The daemon runs in another boot than before: the time since boot is compared with the clock from here on.
    BootTimed {
        /// The kernel's id of this boot.
        boot: String,
        /// When the machine came up, by the clock as it is believed now.
        up_since: Timestamp,
    },
    /// The clock shows another time than it should: from here on a new epoch is told, later times may be those of before.
    ClockStepped {
        /// What it would show without the step.
        from: Timestamp,
        /// What it shows.
        to: Timestamp,
        /// How that was noticed.
        noticed: StepNotice,
    },
    /// A person says that the clock is right: what waited for that goes on.
    ClockConfirmed,
    /// A time service keeps the clock: what waited for that goes on.
    ClockSynchronised,
}

impl From<Step> for ClockEvent {
    fn from(Step { from, to, noticed }: Step) -> Self {
        Self::ClockStepped { from, to, noticed }
    }
}

impl DomainEvent for ClockEvent {
    const CATEGORY: Category = Category::Clock;
    const KINDS: &'static [&'static str] =
        kinds!(ClockEvent: BootTimed, ClockStepped, ClockConfirmed, ClockSynchronised);

    fn mark(&self) -> Mark {
        Mark::Fact
    }

    fn sentence(&self) -> String {
        match self {
            Self::BootTimed { up_since, .. } => format!("machine up since {up_since}"),
            Self::ClockStepped { from, to, noticed } => {
                format!("clock stepped from {from} to {to}: {}", words(*noticed))
            }
            Self::ClockConfirmed => "clock confirmed".to_owned(),
            Self::ClockSynchronised => "clock found synchronised".to_owned(),
        }
    }
}

fn words(noticed: StepNotice) -> &'static str {
    match noticed {
        StepNotice::Running => "seen while the daemon ran",
        StepNotice::BetweenRuns => "seen by the time since boot",
        StepNotice::BehindLog => "the last event was recorded later than that",
        StepNotice::BeforeBoot => "the last event of an earlier boot was recorded after this boot began",
        StepNotice::FarAhead => "so long after the last event that it is not believed unasked",
    }
}
