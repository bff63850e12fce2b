//! How values look in tables: local times, ages, sizes against their limits.

use chrono::{DateTime, Local, TimeZone, Utc};

use super::table::{Cell, Tone};
use crate::projections::rows::Change;
use crate::types::{CLOCK_SLACK, Size, Span, Timestamp};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The longest a moment goes on behind its day: `T19:02:06.123456789Z`.
const MOMENT_TAIL_MAX: usize = 20;

/// Stands for an age that nobody knows.
const AHEAD: &str = "clock was ahead";

/// Knows the present moment and the user's zone.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    now: Timestamp,
}

impl Look {
    /// Makes the look of a moment.
    pub const fn at(now: Timestamp) -> Self {
        Self { now }
    }

    /// Returns the present moment.
    pub const fn now(self) -> Timestamp {
        self.now
    }

    /// Returns a moment by the user's clock: the time alone today, the day before it otherwise.
    pub fn time(self, moment: Timestamp) -> String {
        in_words(moment.as_datetime(), self.now.as_datetime(), &Local)
    }

    /// Returns a moment by the user's clock in full, to the second.
    pub fn full(self, moment: Timestamp) -> String {
        moment.as_datetime().with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// Returns how long ago something was: `4h ago`, `19d ago`.
    pub fn ago(self, moment: Timestamp) -> String {
        if self.lies_ahead(moment) { AHEAD.to_owned() } else { format!("{} ago", rough(self.now.since(moment))) }
    }

    /// Says whether something that was is of a time to come: nobody can tell how long ago that is.
    fn lies_ahead(self, moment: Timestamp) -> bool {
        moment.since(self.now) > CLOCK_SLACK
    }

    /// Returns how soon something will be: `in 15h`.
    pub fn ahead(self, moment: Timestamp) -> String {
        if moment <= self.now { "now".to_owned() } else { format!("in {}", rough(moment.since(self.now))) }
    }

    /// Returns how long something has lasted: `19d`.
    pub fn lasted(self, since: Timestamp) -> String {
        if self.lies_ahead(since) { AHEAD.to_owned() } else { rough(self.now.since(since)) }
    }
}

/// Returns what happened last, by whom, and what they said about it.
pub fn why(change: &Change) -> String {
    with_note(format!("{} ({})", local(&change.why), change.by), change.note.as_deref())
}

/// Returns a sentence of the daemon's with its moments by the user's clock; what stands in quotation marks was somebody's word.
pub fn local(sentence: &str) -> String {
    let (mut told, mut rest) = (String::with_capacity(sentence.len()), sentence);
    while let Some((start, moment, end)) = first_moment(rest) {
        let by_user = moment.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string();
        told.extend([&rest[..start], &by_user]);
        rest = &rest[end..];
    }
    told + rest
}

/// Finds the first moment in a text, as the log writes them: where it begins, which it is, and where it ends.
fn first_moment(text: &str) -> Option<(usize, DateTime<Utc>, usize)> {
    text.match_indices('T').find_map(|(at, _)| {
        let start = at.checked_sub("2026-11-28".len())?;
        let length = text.as_bytes()[at..].iter().take(MOMENT_TAIL_MAX).position(|byte| *byte == b'Z')?;
        let end = at + length + 1;
        let quoted = text.as_bytes()[..start].last() == Some(&b'"');
        let moment = DateTime::parse_from_rfc3339(text.get(start..end).filter(|_| !quoted)?).ok()?;
        Some((start, moment.to_utc(), end))
    })
}

/// Adds what was said about something, in quotation marks: it is somebody's word, not a fact.
pub fn with_note(words: String, note: Option<&str>) -> String {
    note.map_or(words.clone(), |note| format!("{words}: \"{note}\""))
}

fn in_words<Z: TimeZone>(moment: DateTime<Utc>, now: DateTime<Utc>, zone: &Z) -> String
where
    Z::Offset: std::fmt::Display,
{
    let (moment, now) = (moment.with_timezone(zone), now.with_timezone(zone));
    let days = moment.date_naive().signed_duration_since(now.date_naive()).num_days();
    let time = moment.format("%H:%M");
    match days {
        0 => format!("today {time}"),
        -1 => format!("yesterday {time}"),
        1 => format!("tomorrow {time}"),
        2..=6 => moment.format("%a %H:%M").to_string(),
        _ => moment.format("%Y-%m-%d %H:%M").to_string(),
    }
}

/// Returns a span in its largest whole unit.
pub fn rough(span: Span) -> String {
    let seconds = span.as_micros() / 1_000_000;
    match seconds {
        ..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => format!("{}m", seconds / MINUTE),
        HOUR..172_800 => format!("{}h", seconds / HOUR),
        _ => format!("{}d", seconds / DAY),
    }
}

/// Returns how long work took: `0.4s`, `19.2s`, `1m31s`.
pub fn took(span: Span) -> String {
    let tenths = span.as_micros() / 100_000;
    if tenths < 600 {
        return format!("{}.{}s", tenths / 10, tenths % 10);
    }
    let seconds = tenths / 10;
    if seconds < HOUR {
        return format!("{}m{:02}s", seconds / MINUTE, seconds % MINUTE);
    }
    format!("{}h{:02}m", seconds / HOUR, seconds % HOUR / MINUTE)
}

/// Returns what is used of a limit in one unit: `612 / 2048 MiB`, `3.1 / 4.0 GiB`.
pub fn used_of(used: Option<u64>, limit: Option<Size>) -> Cell {
    match (used, limit) {
        (None, None) => Cell::maybe(None::<String>),
        (None, Some(limit)) => Cell::from(nothing_of(limit)),
        (Some(used), None) => Cell::from(Size::from_bytes(used).to_string()),
        (Some(used), Some(limit)) => {
            let tight = used.saturating_mul(10) >= limit.as_bytes().saturating_mul(9);
            Cell::toned(in_one_unit(used, limit.as_bytes()), if tight { Tone::Warn } else { Tone::Plain })
        }
    }
}

/// Says that nothing is used of a limit.
pub fn nothing_of(limit: impl std::fmt::Display) -> String {
    format!("{NOTHING_USED} / {limit}")
}

const NOTHING_USED: &str = super::table::NOTHING;

fn in_one_unit(used: u64, limit: u64) -> String {
    let (unit, scale) = match limit {
        0..0x10_0000 => ("KiB", 10),
        0x10_0000..0x8000_0000 => ("MiB", 20),
        0x8000_0000..0x200_0000_0000 => ("GiB", 30),
        _ => ("TiB", 40),
    };
    let shown = |bytes: u64| {
        let value = bytes as f64 / (1_u64 << scale) as f64;
        if scale == 20 || value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
    };
    format!("{} / {} {unit}", shown(used), shown(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_named_while_they_are_near() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let now = at("2026-11-23T12:00:00Z");
        for (moment, words) in [
            ("2026-11-23T02:30:00Z", "today 02:30"),
            ("2026-11-22T23:59:00Z", "yesterday 23:59"),
            ("2026-11-24T02:30:00Z", "tomorrow 02:30"),
            ("2026-11-26T02:30:00Z", "Thu 02:30"),
            ("2026-11-03T09:12:00Z", "2026-11-03 09:12"),
        ] {
            assert_eq!(in_words(at(moment), now, &Utc), words);
        }
    }

    #[test]
    fn moments_in_sentences_are_by_the_user_s_clock_but_not_in_what_somebody_wrote() {
        let full = Look::at(Timestamp::default()).full(Timestamp::from_micros(1_795_435_200_123_456));
        for moment in ["2026-11-23T12:00:00Z", "2026-11-23T12:00:00.123456Z"] {
            assert_eq!(local(&format!("T {moment}, until {moment}")), format!("T {full}, until {full}"));
        }
        for kept in ["the moment \"2026-11-23T12:00:00Z\"", "ÄÄÄÄÄÄT12:00:00Z", "2026-11-23T99:00:00Z", "T", ""] {
            assert_eq!(local(kept), kept);
        }
    }

    #[test]
    fn what_bears_a_time_to_come_is_not_of_now() {
        let look = Look::at(Timestamp::from_micros(0));
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        assert_eq!([-90, 0, 2, 3].map(|seconds| look.ago(at(seconds))), ["1m ago", "0s ago", "0s ago", AHEAD]);
        assert_eq!([-90, 2, 3].map(|seconds| look.lasted(at(seconds))), ["1m", "0s", AHEAD]);
    }

    #[test]
    fn spans_are_short() {
        for (seconds, age, length) in [
            (0, "0s", "0.0s"),
            (19, "19s", "19.0s"),
            (91, "1m", "1m31s"),
            (7_500, "2h", "2h05m"),
            (200_000, "2d", "55h33m"),
        ] {
            assert_eq!(rough(Span::from_secs(seconds)), age);
            assert_eq!(took(Span::from_secs(seconds)), length);
        }
    }

    #[test]
    fn use_and_limit_share_a_unit() {
        assert_eq!(in_one_unit(612 << 20, 1 << 30), "612 / 1024 MiB");
        assert_eq!(in_one_unit(3 << 30, 4 << 30), "3.0 / 4.0 GiB");
    }
}
