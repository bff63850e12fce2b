//! One field of a cron expression: which numbers it chooses, and whether it begins with a star.

use super::InvalidCron;
use crate::types::suggest::suggest;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

pub(super) const MINUTE: Kind = Kind { name: "minute", low: 0, high: 59, words: &[] };
pub(super) const HOUR: Kind = Kind { name: "hour", low: 0, high: 23, words: &[] };
pub(super) const DAY_OF_MONTH: Kind = Kind { name: "day of month", low: 1, high: 31, words: &[] };
pub(super) const MONTH: Kind = Kind { name: "month", low: 1, high: 12, words: &MONTHS };
pub(super) const DAY_OF_WEEK: Kind = Kind { name: "day of week", low: 0, high: 7, words: &WEEKDAYS };

/// Says what a field may have in it.
pub(super) struct Kind {
    name: &'static str,
    low: u32,
    high: u32,
    /// Names of the numbers from `low` on.
    words: &'static [&'static str],
}

/// Is a field as read: a bit for each chosen number.
pub(super) struct Field {
    bits: u64,
    begins_with_star: bool,
    is_everything: bool,
}

impl Kind {
    /// Reads a field: ranges, numbers and names with commas between.
    pub(super) fn read(&self, text: &str) -> Result<Field, InvalidCron> {
        let mut chosen = 0;
        for part in text.split(',') {
            chosen |= self.part(part).map_err(|reason| InvalidCron::Field {
                field: self.name,
                value: part.chars().take(40).collect(),
                reason,
            })?;
        }
        if self.is_weekday() && chosen & (1 << 7) != 0 {
            chosen = (chosen & !(1 << 7)) | 1; // 7 is Sunday as 0 is.
        }
        let all = bits(self.low, if self.is_weekday() { 6 } else { self.high }, 1);
        Ok(Field { bits: chosen, begins_with_star: text.starts_with('*'), is_everything: chosen == all })
    }

    /// Reads `*`, a value or a range, each but the value with a step if wanted.
    fn part(&self, text: &str) -> Result<u64, String> {
        let (range, step) = text.split_once('/').map_or((text, None), |(range, step)| (range, Some(step)));
        let (first, last) = match (range, range.split_once('-')) {
            ("*", _) => (self.low, self.high),
            (_, Some((first, last))) => (self.value(first)?, self.range_end(last)?),
            (single, None) => {
                let value = self.value(single)?;
                if let Some(step) = step {
                    return Err(format!("a step needs a range; write {value}-{}/{step}", self.high));
                }
                (value, value)
            }
        };
        if first > last {
            return Err(format!("the range runs backwards; write {first}-{},{}-{last}", self.high, self.low));
        }
        Ok(bits(first, last, step.map_or(Ok(1), |step| self.step(step, last - first))?))
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        if let Some(index) = self.words.iter().position(|word| word.eq_ignore_ascii_case(text)) {
            return Ok(self.low + index as u32);
        }
        let wanted = || match suggest(text, self.words.iter().copied()) {
            Some(meant) => format!("did you mean {meant}?"),
            None if self.words.is_empty() => format!("write a number from {} to {}", self.low, self.high),
            None => format!("write a number from {} to {} or one of {}", self.low, self.high, self.words.join(" ")),
        };
        let number = number(text).ok_or_else(wanted)?;
        if (self.low..=self.high).contains(&number) { Ok(number) } else { Err(wanted()) }
    }

    /// Reads the end of a range, where `sun` ends the week and does not begin it.
    fn range_end(&self, text: &str) -> Result<u32, String> {
        let value = self.value(text)?;
        Ok(if self.is_weekday() && text.eq_ignore_ascii_case(WEEKDAYS[0]) { 7 } else { value })
    }

    /// Reads a step. One beyond the range chooses the first value alone, which is a mistake in a time of day
    /// (`*/60`), but in days a known way to begin a field with a star (`0 0 1-7 * */7` is the first Sunday).
    fn step(&self, text: &str, length: u32) -> Result<u32, String> {
        let is_time = self.name == MINUTE.name || self.name == HOUR.name;
        match number(text) {
            None => Err("a step is a whole number, as in */5".to_owned()),
            Some(0) => Err("a step of 0 goes nowhere; write */1 or *".to_owned()),
            Some(step) if is_time && step > length.max(1) => {
                Err(format!("the step {step} is beyond the range and leaves its first value alone; write that value"))
            }
            Some(step) => Ok(step),
        }
    }

    fn is_weekday(&self) -> bool {
        self.high == DAY_OF_WEEK.high
    }
}

fn bits(first: u32, last: u32, step: u32) -> u64 {
    (first..=last).step_by(step as usize).fold(0, |bits, value| bits | 1 << value)
}

fn number(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

impl Field {
    /// Returns whether the field begins with a star, which is what counts as unrestricted in Vixie cron (`*/2` too).
    pub(super) fn begins_with_star(&self) -> bool {
        self.begins_with_star
    }

    /// Returns the chosen numbers, ascending.
    pub(super) fn values(&self) -> impl Iterator<Item = u32> {
        let bits = self.bits;
        (0..64).filter(move |value| bits & (1 << value) != 0)
    }

    /// Writes the chosen numbers as a list.
    pub(super) fn numbers(&self) -> String {
        self.listed(|value| value.to_string())
    }

    /// Writes the chosen weekdays by name.
    pub(super) fn names(&self) -> String {
        self.listed(|value| WEEKDAYS[value as usize].to_owned())
    }

    fn listed(&self, write: impl Fn(u32) -> String) -> String {
        if self.is_everything { "*".to_owned() } else { self.values().map(write).collect::<Vec<_>>().join(",") }
    }
}
