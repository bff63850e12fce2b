//! How much processor time a container may use, as users write it: `2`, `1.5`, `50%`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The most that can be asked for, in thousandths of a processor: 1,024 processors.
const MILLIS_MAX: u32 = 1_024_000;

/// Is an amount of processor time per time: thousandths of one processor, 0.001 to 1,024 processors.
///
/// Thousandths, because cgroup quotas are counted in microseconds per period of usually 100 ms
/// (`cpu.max`, Documentation/admin-guide/cgroup-v2.rst), and no float needs to be compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cpus(u32);

/// Says why a text is no amount of processors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCpus {
    /// Not a number with at most three decimals.
    #[error("cannot read {text:?} as a number of processors; write 2, 1.5 or 50%")]
    Unreadable {
        /// What was given.
        text: String,
    },
    /// More decimals than are kept.
    #[error("{text:?} is finer than processors are given out; three decimals are the most, of a percentage one")]
    TooFine {
        /// What was given.
        text: String,
    },
    /// Nothing, or more than any machine has.
    #[error("{text:?} processors cannot be had; the amount lies between 0.001 and 1024")]
    OutOfRange {
        /// What was given.
        text: String,
    },
}

impl Cpus {
    /// Makes an amount of thousandths of a processor, if it lies in range.
    pub const fn from_millis(millis: u32) -> Option<Self> {
        if millis >= 1 && millis <= MILLIS_MAX { Some(Self(millis)) } else { None }
    }

    /// Returns the amount in thousandths of a processor.
    pub const fn as_millis(self) -> u32 {
        self.0
    }

    /// Returns the microseconds of processor time that this is in a period of that many microseconds.
    pub const fn quota_micros(self, period_micros: u32) -> u64 {
        self.0 as u64 * period_micros as u64 / 1_000
    }
}

/// Reads a decimal number as thousandths; `places` is how many of the three decimals the text may use.
fn thousandths(number: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 9 || number.ends_with('.') || fraction.len() > places {
        return None;
    }
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let fraction: u64 = format!("{fraction:0<3}").parse().ok()?;
    Some(whole * 1_000 + fraction)
}

impl FromStr for Cpus {
    type Err = InvalidCpus;

    fn from_str(text: &str) -> Result<Self, InvalidCpus> {
        let shown = || text.chars().take(64).collect::<String>();
        let millis = match text.strip_suffix('%') {
            Some(percent) => thousandths(percent, 1).map(|thousandths| thousandths / 100),
            None => thousandths(text, 3),
        };
        let is_number =
            |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '.') && text.parse::<f64>().is_ok();
        let millis = millis.ok_or_else(|| match text.trim_end_matches('%') {
            number if !is_number(number) => InvalidCpus::Unreadable { text: shown() },
            number if number.split('.').next().is_some_and(|whole| whole.len() > 9) => {
                InvalidCpus::OutOfRange { text: shown() }
            }
            _ => InvalidCpus::TooFine { text: shown() },
        })?;
        u32::try_from(millis).ok().and_then(Self::from_millis).ok_or_else(|| InvalidCpus::OutOfRange { text: shown() })
    }
}

impl TryFrom<String> for Cpus {
    type Error = InvalidCpus;
    fn try_from(text: String) -> Result<Self, InvalidCpus> {
        text.parse()
    }
}

impl From<Cpus> for String {
    fn from(cpus: Cpus) -> Self {
        cpus.to_string()
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1_000, self.0 % 1_000);
        if rest == 0 {
            return f.pad(&whole.to_string());
        }
        f.pad(format!("{whole}.{rest:03}").trim_end_matches('0'))
    }
}

impl fmt::Debug for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_should_read_processors_and_percent() {
        for (text, millis) in [
            ("2", 2_000),
            ("1.5", 1_500),
            ("0.001", 1),
            ("50%", 500),
            ("150%", 1_500),
            ("0.1%", 1),
            ("1024", 1_024_000),
        ] {
            assert_eq!(text.parse::<Cpus>(), Ok(Cpus(millis)), "{text}");
        }
    }

    #[test]
    fn it_should_refuse_what_no_machine_can_give() {
        for text in ["", "0", "0%", "0.0", "-1", "1.", ".5", "1,5", "1e3", "1025", "0.0001", "%", "1.5 ", "99999999999"]
        {
            assert!(text.parse::<Cpus>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_too_fine_or_out_of_range_is_told_as_such() {
        let why = |text: &str| text.parse::<Cpus>().unwrap_err().to_string();
        for text in ["0.0001", "1.23456789", "0.05%"] {
            assert!(why(text).contains("three decimals"), "{}", why(text));
        }
        assert!(why("99999999999").contains("between 0.001 and 1024") && why("-1").contains("cannot read"));
    }

    #[test]
    fn a_quota_is_the_share_of_the_period() {
        assert_eq!(Cpus(1_500).quota_micros(100_000), 150_000);
    }

    proptest! {
        #[test]
        fn an_amount_survives_text(millis in 1..=MILLIS_MAX) {
            prop_assert_eq!(Cpus(millis).to_string().parse::<Cpus>(), Ok(Cpus(millis)));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = text.parse::<Cpus>();
        }
    }
}
