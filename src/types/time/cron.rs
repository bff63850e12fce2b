//! Unix cron expressions: when a schedule is due, in the local time of a zone.
//!
//! The language is that of crontab(5) as Vixie cron reads it: five fields, names, ranges, lists, steps and the
//! shorthands (`@daily` …); 0 and 7 are Sunday; restricted days of the month and of the week are alternatives.
//! [`field`] reads one field, [`instants`] maps local times to instants across clock changes. Nothing here knows the
//! present time or what is to be run.

mod field;
mod instants;
#[cfg(test)]
mod oracle;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use ::cron::Schedule;
use serde::{Deserialize, Serialize};

use crate::types::counted;
use field::{DAY_OF_MONTH, DAY_OF_WEEK, Field, HOUR, MINUTE, MONTH};

/// The shorthands of crontab(5) and what they stand for.
const SHORTHANDS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// The most days each month can have, January first.
const MONTH_LENGTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Is a Unix cron expression that fires at least now and then.
///
/// Two are equal if they are written alike (but for white space).
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CronExpression {
    text: String,
    /// The same for the `cron` crate, which ANDs days: one expression, or two that are alternatives.
    schedules: Arc<[Schedule]>,
    /// Whether minute or hour begin with a star: such expressions follow elapsed time when clocks change.
    is_wildcard: bool,
}

/// Says why a text is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCron {
    /// Not five fields.
    #[error(
        "the cron expression {text:?} has {}; five are wanted: minute hour day-of-month month day-of-week, \
         such as \"30 2 * * mon-fri\", or a shorthand such as @daily",
        counted(*count as u64, "field", "fields")
    )]
    FieldCount {
        /// What was given.
        text: String,
        /// How many fields it has.
        count: usize,
    },
    /// An unknown word with an @.
    #[error("{text:?} is no shorthand here; write @hourly, @daily, @weekly, @monthly, @yearly or five fields")]
    Shorthand {
        /// What was given.
        text: String,
    },
    /// A field that cannot be read.
    #[error("the {field} {value:?} of a cron expression cannot be used: {reason}")]
    Field {
        /// Which field.
        field: &'static str,
        /// The part that does not fit.
        value: String,
        /// Why, and what to write.
        reason: String,
    },
    /// A day that no month has.
    #[error("the cron expression {text:?} never fires: no chosen month has such a day")]
    Never {
        /// What was given.
        text: String,
    },
    /// The crate that walks the calendar refused the normalised form.
    #[error("the cron expression {text:?} cannot be walked: {reason}")]
    Calendar {
        /// What was given.
        text: String,
        /// What the crate said.
        reason: String,
    },
}

/// Holds the five fields as read.
struct Fields {
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

impl Fields {
    fn read(text: &str) -> Result<Self, InvalidCron> {
        let parts: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts[..] else {
            return Err(InvalidCron::FieldCount { text: shown(text), count: parts.len() });
        };
        Ok(Self {
            minute: MINUTE.read(minute)?,
            hour: HOUR.read(hour)?,
            day: DAY_OF_MONTH.read(day)?,
            month: MONTH.read(month)?,
            weekday: DAY_OF_WEEK.read(weekday)?,
        })
    }

    /// Tells whether the two kinds of day are alternatives: both restricted, neither beginning with a star.
    fn days_are_alternatives(&self) -> bool {
        !self.day.begins_with_star() && !self.weekday.begins_with_star()
    }

    /// Tells whether no chosen month ever has a chosen day. Every date of the calendar falls on every weekday in time.
    fn never_fires(&self) -> bool {
        let has_day = |month: u32| self.day.values().any(|day| day <= MONTH_LENGTHS[month as usize - 1]);
        !self.days_are_alternatives() && !self.month.values().any(has_day)
    }

    /// Writes the fields for the `cron` crate: six of them, weekdays by name, as it counts Sunday as 1.
    fn normalised(&self) -> Vec<String> {
        let (minute, hour, month) = (self.minute.numbers(), self.hour.numbers(), self.month.numbers());
        let write = |day: &str, weekday: &str| format!("0 {minute} {hour} {day} {month} {weekday}");
        let (day, weekday) = (self.day.numbers(), self.weekday.names());
        if self.days_are_alternatives() {
            vec![write(&day, "*"), write("*", &weekday)]
        } else {
            vec![write(&day, &weekday)]
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

impl CronExpression {
    /// Returns the expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for CronExpression {
    type Err = InvalidCron;

    fn from_str(text: &str) -> Result<Self, InvalidCron> {
        let text = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        let shorthand = SHORTHANDS.iter().find(|(word, _)| text.eq_ignore_ascii_case(word));
        let fields = match shorthand {
            Some((_, meaning)) => Fields::read(meaning)?,
            None if text.starts_with('@') => return Err(InvalidCron::Shorthand { text: shown(&text) }),
            None => Fields::read(&text)?,
        };
        if fields.never_fires() {
            return Err(InvalidCron::Never { text: shown(&text) });
        }
        let refused =
            |error: ::cron::error::Error| InvalidCron::Calendar { text: shown(&text), reason: error.to_string() };
        let schedules = fields.normalised().into_iter().map(|line| line.parse::<Schedule>());
        let schedules = schedules.collect::<Result<Arc<[_]>, _>>().map_err(refused)?;
        let is_wildcard = fields.minute.begins_with_star() || fields.hour.begins_with_star();
        Ok(Self { text, schedules, is_wildcard })
    }
}

impl TryFrom<String> for CronExpression {
    type Error = InvalidCron;
    fn try_from(text: String) -> Result<Self, InvalidCron> {
        text.parse()
    }
}

impl From<CronExpression> for String {
    fn from(expression: CronExpression) -> Self {
        expression.text
    }
}

impl PartialEq for CronExpression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for CronExpression {}

impl Hash for CronExpression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for CronExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for CronExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(text: &str) -> String {
        text.parse::<CronExpression>().expect_err(text).to_string()
    }

    #[test]
    fn it_should_read_what_crontabs_have() {
        for text in [
            "* * * * *",
            "*/5 * * * *",
            "0 2 * * mon-fri",
            "0 0 1,15 * 5",
            "5 4 * JAN-mar,dec Sun",
            "0 22 * * 1-5",
            "23 0-23/2 * * *",
            "0 0 * * 7",
            "0 0 * * 5-7",
            "0 0 * * sat-sun",
            "0 0 29 2 *",
            "0 0 30 2 mon",
            "@hourly",
            "@Daily",
            "@midnight",
            "@weekly",
            "@monthly",
            "@yearly",
            "@annually",
            "  0  2  * * *  ",
            "00 02 * * *",
        ] {
            assert!(text.parse::<CronExpression>().is_ok(), "{text}");
        }
    }

    #[test]
    fn it_should_name_the_field_the_value_and_the_reason() {
        for (text, part) in [
            ("60 * * * *", "the minute \"60\""),
            ("* 24 * * *", "the hour \"24\""),
            ("* * 0 * *", "the day of month \"0\""),
            ("* * * 13 *", "the month \"13\""),
            ("* * * * 8", "the day of week \"8\""),
            ("*/0 * * * *", "a step of 0"),
            ("*/60 * * * *", "the step 60"),
            ("5/10 * * * *", "5-59/10"),
            ("30-10 * * * *", "runs backwards"),
            ("* * * jna *", "did you mean jan?"),
            ("1,,2 * * * *", "the minute \"\""),
            ("* * ? * *", "the day of month \"?\""),
            ("0 0 30 2 *", "never fires"),
            ("0 0 31 2,4,6,9,11 */2", "never fires"),
            ("0 0 2 * * *", "has 6 fields"),
            ("", "has 0 fields"),
            ("@reboot", "no shorthand"),
        ] {
            assert!(message(text).contains(part), "{text}: {}", message(text));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_survives_text(text in "([0-9*,/-]{1,5} ){4}[0-9*,/a-z-]{1,5}") {
            if let Ok(expression) = text.parse::<CronExpression>() {
                prop_assert_eq!(expression.to_string().parse::<CronExpression>(), Ok(expression));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[@*0-9a-z,/ -]{0,40}|.{0,40}") {
            let _ = text.parse::<CronExpression>();
        }
    }
}
