//! Time zones by their IANA names: `Europe/Budapest`, `UTC`.
//!
//! The rules of every zone are compiled in (`chrono-tz`), so that a schedule means the same on a machine without
//! tzdata. A zone turns instants into local time and back; what runs when is not its matter.

use std::fmt;
use std::str::FromStr;

use chrono_tz::{TZ_VARIANTS, Tz};
use serde::{Deserialize, Serialize};

use super::suggest::suggest;

/// Is a time zone of the IANA database.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(Tz);

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
    pub const UTC: Self = Self(Tz::UTC);

    /// Returns the rules of the zone.
    pub const fn rules(self) -> Tz {
        self.0
    }

    /// Returns the IANA name.
    pub fn as_str(self) -> &'static str {
        self.0.name()
    }

    /// Lists the names of all zones.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TZ_VARIANTS.iter().map(|zone| zone.name())
    }
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
        let refused = |_| InvalidZone { text: text.chars().take(64).collect(), meant: meant_by(text) };
        Tz::from_str(text).map(Self).map_err(refused)
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
        for zone in TZ_VARIANTS {
            assert_eq!(zone.name().parse::<Zone>(), Ok(Zone(zone)));
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = text.parse::<Zone>();
        }
    }
}
