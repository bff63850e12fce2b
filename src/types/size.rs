//! Sizes in bytes, counted in powers of two: `512M` is 512 MiB, and `512MB` is refused as ambiguous.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const UNITS: [(char, u64); 5] = [('T', 1 << 40), ('G', 1 << 30), ('M', 1 << 20), ('K', 1 << 10), ('B', 1)];

/// Is a number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Size(u64);

/// Says why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSize {
    /// `GB` and its like.
    #[error(
        "cannot read the size {text:?}: berth counts in powers of two, so {unit}B would be ambiguous; write {number}{unit} (= {number} {unit}iB)"
    )]
    Decimal {
        /// What was given.
        text: String,
        /// The digits.
        number: String,
        /// K, M, G or T.
        unit: char,
    },
    /// More bytes than can be counted.
    #[error("the size {text:?} is too large; 16777215T is the most")]
    TooLarge {
        /// What was given.
        text: String,
    },
    /// Anything else that is no size.
    #[error("cannot read the size {text:?}; write a whole or decimal number with K, M, G or T, like 512M or 1.5G")]
    Other {
        /// What was given.
        text: String,
    },
}

impl Size {
    /// Makes a size of bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Makes a size of mebibytes.
    pub const fn from_mib(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    /// Returns the bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let other = || InvalidSize::Other { text: text.chars().take(64).collect() };
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(digits);
        let mut letters = suffix.chars();
        let unit = letters.next().unwrap_or('B').to_ascii_uppercase();
        let scale = UNITS.iter().find(|(known, _)| *known == unit).map(|(_, scale)| *scale).ok_or_else(other)?;
        match letters.as_str() {
            "" | "iB" | "ib" if unit != 'B' || letters.as_str().is_empty() => {}
            "B" | "b" if unit != 'B' => {
                return Err(InvalidSize::Decimal { text: text.to_owned(), number: number.to_owned(), unit });
            }
            _ => return Err(other()),
        }
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || fraction.len() > 6 || number.ends_with('.') {
            return Err(other());
        }
        let too_large = || InvalidSize::TooLarge { text: text.chars().take(64).collect() };
        let whole: u64 = whole.parse().map_err(|_| too_large())?;
        let fraction_scale = 10_u64.pow(fraction.len() as u32);
        let fraction: u64 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| other())? };
        let part = u128::from(fraction) * u128::from(scale) / u128::from(fraction_scale);
        let bytes = whole.checked_mul(scale).and_then(|bytes| bytes.checked_add(part as u64)).ok_or_else(too_large)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = UNITS.iter().find(|(unit, scale)| *unit != 'B' && self.0 >= *scale);
        let text = match found {
            None => format!("{} B", self.0),
            Some((unit, scale)) if self.0.is_multiple_of(*scale) => format!("{} {unit}iB", self.0 / scale),
            Some((unit, scale)) => format!("{:.1} {unit}iB", self.0 as f64 / *scale as f64),
        };
        f.pad(&text)
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}B", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whole_units_survive_text(count in 0_u64..9_999, unit in 0_usize..5) {
            let text = format!("{count}{}", UNITS[unit].0);
            prop_assert_eq!(text.parse::<Size>().map(Size::as_bytes), Ok(count * UNITS[unit].1));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = text.parse::<Size>();
        }
    }

    #[test]
    fn it_should_read_powers_of_two() {
        for (text, bytes) in
            [("512M", 512 << 20), ("1.5G", 3 << 29), ("10GiB", 10 << 30), ("0", 0), ("4096", 4096), ("7k", 7 << 10)]
        {
            assert_eq!(text.parse::<Size>(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_too_large_is_told_as_such() {
        for text in ["99999999999999999999", "16777216T", "99999999999999999999G"] {
            assert!(text.parse::<Size>().unwrap_err().to_string().contains("too large"), "{text}");
        }
        assert!("16777215T".parse::<Size>().is_ok());
    }

    #[test]
    fn it_should_refuse_what_is_ambiguous_or_no_size() {
        for text in ["2GB", "-1", "1e99", "", "G", "1..5G", "1.G", "99999999999999T", "1X", "5BB", "5BiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
