//! The words of schedules: catching up, windows of the day, and why a slot did not run.
//!
//! A **slot** is an instant at which an expression is due. Every slot is fired, skipped (it could have run and must
//! not) or missed (it should have run and could not). What is due when is decided in `scheduler::due`.

use std::fmt;
use std::str::FromStr;

use chrono::{NaiveTime, TimeDelta, Timelike};
use serde::{Deserialize, Serialize};

use crate::types::{Span, Timestamp, Zone};

/// The longest a catch-up of every slot may be, one on time not counted; older slots are recorded as missed.
pub const CATCH_UP_ALL_MAX: usize = 24;

/// Says what happens to slots that came while nobody could run them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CatchUp {
    /// They are missed; the next slot comes in its time.
    #[default]
    None,
    /// One run stands for all of them.
    Once,
    /// Each is run, the newest [`CATCH_UP_ALL_MAX`] of them.
    All,
}

/// Is returned when a text names no way to catch up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no way to catch up; write none, once or all")]
pub struct InvalidCatchUp {
    text: String,
}

impl CatchUp {
    /// Lists every way.
    pub const ALL: [Self; 3] = [Self::None, Self::Once, Self::All];

    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Once => "once",
            Self::All => "all",
        }
    }
}

impl FromStr for CatchUp {
    type Err = InvalidCatchUp;
    fn from_str(text: &str) -> Result<Self, InvalidCatchUp> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == text);
        known.ok_or_else(|| InvalidCatchUp { text: text.chars().take(64).collect() })
    }
}

impl fmt::Display for CatchUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Is a part of every day, in the local time of a zone: `22:00-06:00`; the end is no longer in it.
///
/// One that ends before it begins goes over midnight.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    from: NaiveTime,
    to: NaiveTime,
}

/// Is returned when a text is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the window {text:?}; write two different times of day such as 22:00-06:00")]
pub struct InvalidWindow {
    text: String,
}

impl Window {
    /// Returns whether the zone's clock shows a time in the window.
    pub fn contains(self, zone: Zone, moment: Timestamp) -> bool {
        self.left(zone, moment).is_some()
    }

    /// Returns how much of the window is left by the zone's clock, nothing if the moment lies outside.
    ///
    /// A change of the clock inside the window is not counted: the clock on the wall decides.
    pub fn left(self, zone: Zone, moment: Timestamp) -> Option<Span> {
        let time = moment.as_datetime().with_timezone(&zone).time();
        let length = forward(self.from, self.to);
        let passed = forward(self.from, time);
        (passed < length).then(|| Span::from_micros((length - passed).num_microseconds().unwrap_or(0)))
    }
}

/// Returns how long it takes from one time of day to the next other.
fn forward(from: NaiveTime, to: NaiveTime) -> TimeDelta {
    let distance = to - from;
    if distance < TimeDelta::zero() { distance + TimeDelta::days(1) } else { distance }
}

fn time_of_day(text: &str) -> Option<NaiveTime> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let plain = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten()
    };
    NaiveTime::from_hms_opt(number(hour)?, number(minute).filter(|_| minute.len() == 2)?, 0)
}

impl FromStr for Window {
    type Err = InvalidWindow;

    fn from_str(text: &str) -> Result<Self, InvalidWindow> {
        let read = || {
            let (from, to) = text.split_once('-')?;
            let (from, to) = (time_of_day(from)?, if to == "24:00" { NaiveTime::MIN } else { time_of_day(to)? });
            (from != to).then_some(Self { from, to })
        };
        read().ok_or_else(|| InvalidWindow { text: text.chars().take(64).collect() })
    }
}

impl TryFrom<String> for Window {
    type Error = InvalidWindow;
    fn try_from(text: String) -> Result<Self, InvalidWindow> {
        text.parse()
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        f.pad(&format!("{:02}:{:02}-{:02}:{:02}", from.hour(), from.minute(), to.hour(), to.minute()))
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Says why a slot that could have run was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipReason {
    /// Its planned time lies outside the window.
    OutsideWindow,
    /// The run before has not ended.
    PreviousRunning,
    /// There is too little room for the log.
    NoSpace,
}

/// Says why slots wait while later ones are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitReason {
    /// The machine came up not long ago, and a time service may still put its clock right.
    Settling,
    /// The clock stepped, and nobody said that it is right.
    ClockDoubted,
}

/// Says why a slot that should have run was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissReason {
    /// Nobody could run it in time, and the schedule does not catch up.
    TooLate,
    /// Nobody could run it in time; one later run stands for it.
    Superseded,
    /// Nobody could run it in time, and more were missed than are caught up.
    TooMany,
    /// Nobody could run it in time, and catching up now would be outside the window.
    CatchUpOutsideWindow,
    /// The clock stepped over it, or nobody could run it in time, and the clock was not trusted when a later one was due.
    ClockDoubted,
    /// It waited, and the schedule was disabled.
    Disabled,
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Settling => {
                "the machine came up only just; they are caught up some minutes later, or once a time service keeps its clock"
            }
            Self::ClockDoubted => {
                "the clock stepped; they are caught up once a time service keeps it, or after: berth node confirm-clock"
            }
        })
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OutsideWindow => "the planned time lies outside the schedule's window",
            Self::PreviousRunning => "the previous run of the schedule has not ended",
            Self::NoSpace => "the log's file system is too full for a backup",
        })
    }
}

impl fmt::Display for MissReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TooLate => "berth was not running or too busy at that time, and the schedule does not catch up",
            Self::Superseded => "berth was not running or too busy at that time; one later run stands for it",
            Self::TooMany => "berth was not running or too busy at that time, and only the newest slots are caught up",
            Self::CatchUpOutsideWindow => {
                "berth was not running or too busy at that time, and catching up now would be outside the window"
            }
            Self::ClockDoubted => "the clock stepped, and nothing was caught up before it was confirmed",
            Self::Disabled => "the schedule was disabled before it could be caught up",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn moment(text: &str) -> Timestamp {
        text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().into()
    }

    #[test]
    fn a_window_may_go_over_midnight() {
        let window: Window = "22:00-06:00".parse().unwrap();
        let zone: Zone = "Europe/Budapest".parse().unwrap();
        for (at, left) in [
            ("2026-11-23T21:00:00Z", Some(8)),
            ("2026-11-24T04:00:00Z", Some(1)),
            ("2026-11-24T05:00:00Z", None),
            ("2026-11-24T12:00:00Z", None),
        ] {
            assert_eq!(window.left(zone, moment(at)), left.map(|hours| Span::from_secs(hours * 3_600)), "{at}");
        }
    }

    #[test]
    fn it_should_refuse_what_is_no_window() {
        for text in ["", "22:00", "22:00-22:00", "25:00-01:00", "1-2", "1:0-2:00", "01:00-02:00-03:00", "+1:00-02:00"] {
            assert!(text.parse::<Window>().is_err(), "{text}");
        }
        assert_eq!("8:00-24:00".parse::<Window>().unwrap().to_string(), "08:00-00:00");
    }

    proptest! {
        #[test]
        fn a_window_survives_text(from in 0_u32..1_440, length in 1_u32..1_440) {
            let time = |minutes: u32| NaiveTime::from_hms_opt(minutes / 60 % 24, minutes % 60, 0).unwrap();
            let window = Window { from: time(from), to: time(from + length) };
            prop_assert_eq!(window.to_string().parse(), Ok(window));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9:-]{0,12}|.{0,40}") {
            let _ = (text.parse::<Window>(), text.parse::<CatchUp>());
        }
    }

    #[test]
    fn the_ways_to_catch_up_survive_text_and_json() {
        for way in CatchUp::ALL {
            assert_eq!(way.to_string().parse(), Ok(way));
            assert_eq!(serde_json::to_string(&way).unwrap(), format!("\"{way}\""));
        }
    }
}
