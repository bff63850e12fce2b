//! Lengths of time, as users write them: `30s`, `1h30m`, `2d`, `500ms`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const UNITS: [(&str, i64); 6] = [
    ("w", 604_800_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
];

/// Is a length of time in microseconds, never negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(i64);

/// Is returned when a text is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the duration {text:?}; write 30s, 10m, 1h30m, 2d or 500ms")]
pub struct InvalidSpan {
    text: String,
}

impl Span {
    /// Makes a span of microseconds; a negative number counts as none.
    pub const fn from_micros(micros: i64) -> Self {
        Self(if micros < 0 { 0 } else { micros })
    }

    /// Makes a span of whole seconds.
    pub const fn from_secs(seconds: i64) -> Self {
        Self::from_micros(seconds.saturating_mul(1_000_000))
    }

    /// Returns the length in microseconds.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Returns the length as the standard library's type.
    pub const fn as_duration(self) -> std::time::Duration {
        std::time::Duration::from_micros(self.0 as u64)
    }
}

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let invalid = || InvalidSpan { text: text.chars().take(64).collect() };
        let mut rest = text;
        let mut total = 0_i64;
        if rest.is_empty() {
            return Err(invalid());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
            let count: i64 = rest[..digits].parse().map_err(|_| invalid())?;
            let tail = &rest[digits..];
            let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (_, micros) = UNITS.iter().find(|(unit, _)| *unit == &tail[..letters]).ok_or_else(invalid)?;
            total = count.checked_mul(*micros).and_then(|part| total.checked_add(part)).ok_or_else(invalid)?;
            rest = &tail[letters..];
        }
        Ok(Self(total))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut text = String::new();
        for (unit, micros) in UNITS {
            if rest >= micros {
                text.extend([(rest / micros).to_string().as_str(), unit]);
                rest %= micros;
            }
        }
        f.pad(if text.is_empty() { "0s" } else { &text })
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_span_survives_text(millis in 0_i64..100_000_000_000) {
            let span = Span::from_micros(millis * 1_000);
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = text.parse::<Span>();
        }
    }

    #[test]
    fn it_should_refuse_what_is_no_duration() {
        for text in ["", "5", "-5s", "1y", "s", "99999999999999999999s", "9999999999999w"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
