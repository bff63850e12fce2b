//! Moments as users write them: by their own clock where they name no zone.

use chrono::{DateTime, Days, Local, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};

use crate::types::{Span, Timestamp};

/// How a day with a time may be written without a zone.
const FORMS: [&str; 4] = ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];

/// Returns the text with its zone where it names a time by the user's clock (`2026-11-20 08:00`, `08:00` of today,
/// `yesterday`); any other text as it is, for the daemon to read.
pub fn with_zone(text: &str, now: Timestamp) -> String {
    in_zone(text, now, &Local).map_or_else(|| text.to_owned(), |moment| Timestamp::from(moment).to_string())
}

fn in_zone<Z: TimeZone>(text: &str, now: Timestamp, zone: &Z) -> Option<DateTime<Utc>> {
    let today = now.as_datetime().with_timezone(zone).date_naive();
    let day_and_time = FORMS.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let day = || match text {
        "today" => Some(today),
        "yesterday" => today.checked_sub_days(Days::new(1)),
        _ => NaiveDate::parse_from_str(text, "%Y-%m-%d").ok(),
    };
    let time = || NaiveTime::parse_from_str(text, "%H:%M").ok().map(|time| today.and_time(time));
    let local = day_and_time.or_else(|| day().map(|day| day.and_time(NaiveTime::MIN))).or_else(time)?;
    match zone.from_local_datetime(&local) {
        LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => Some(moment.to_utc()),
        LocalResult::None => None,
    }
}

/// Returns the moment that a span ago or a time with its zone is; nothing for a position.
pub fn of(text: &str, now: Timestamp) -> Option<Timestamp> {
    if text.parse::<u64>().is_ok() {
        return None;
    }
    if let Ok(span) = text.parse::<Span>() {
        return Some(Timestamp::from_micros(now.as_micros().saturating_sub(span.as_micros())));
    }
    DateTime::parse_from_rfc3339(text).ok().map(|moment| moment.to_utc().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_without_a_zone_are_by_the_users_clock() {
        let zone = chrono::FixedOffset::east_opt(3600).unwrap();
        let noon = Timestamp::from_micros(1_795_435_200_000_000); // 2026-11-23T12:00:00Z
        for (text, moment) in [
            ("2026-11-20 08:00", "2026-11-20T07:00:00.000000Z"),
            ("2026-11-20T08:00:30", "2026-11-20T07:00:30.000000Z"),
            ("2026-11-20", "2026-11-19T23:00:00.000000Z"),
            ("08:00", "2026-11-23T07:00:00.000000Z"),
            ("yesterday", "2026-11-21T23:00:00.000000Z"),
        ] {
            let found = in_zone(text, noon, &zone).map(|moment| Timestamp::from(moment).to_string());
            assert_eq!(found.as_deref(), Some(moment), "{text}");
        }
        for text in ["2h", "481", "2026-11-20T08:00:00Z", "noon", ""] {
            assert_eq!(in_zone(text, noon, &zone), None, "{text}");
        }
    }

    #[test]
    fn a_moment_is_known_unless_it_is_a_position() {
        let noon = Timestamp::from_micros(1_795_435_200_000_000);
        assert_eq!(of("2h", noon).unwrap().to_string(), "2026-11-23T10:00:00.000000Z");
        assert_eq!(of("2026-11-20T08:00:00+01:00", noon).unwrap().to_string(), "2026-11-20T07:00:00.000000Z");
        assert_eq!((of("481", noon), of("noon", noon)), (None, None));
    }
}
