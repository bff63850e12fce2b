//! The next slot that lies in a window, by the calendar.
//!
//! A cron expression has the same times of day on each day on which it has any, and a window asks for the time of day alone.
//! So one such day tells of all others but those on which the zone's clock is set: what that skips or repeats comes at other
//! times (a slot at 02:30 at 03:00), and these days are looked at one by one.

use crate::types::{CronExpression, Span, Timestamp, Window, Zone};

/// How far it is looked: the longest time between two days of an expression are the 40 years from one 29th of February that is
/// a certain weekday to the next, where a century has none.
const REACH: Span = Span::from_secs(41 * 366 * 86_400);
const DAY: Span = Span::from_secs(86_400);
/// How long before and after a day the clock may be set for it to count as one on which it is.
const MARGIN: Span = Span::from_secs(3 * 3_600);

/// Returns the first slot after `from` that lies in the window; nothing if there is none.
pub(super) fn first_inside(cron: &CronExpression, zone: Zone, window: Window, from: Timestamp) -> Option<Timestamp> {
    let end = from.after(REACH);
    let (mut from, mut one_is_known) = (from, false);
    loop {
        let first = cron.slots(zone, from).next().filter(|first| *first <= end)?;
        let midnight = first.moved(-zone.time_of_day(first).as_micros());
        let next = midnight.after(DAY);
        let is_even = zone.is_even(midnight.moved(-MARGIN.as_micros()), next.after(MARGIN));
        if !(is_even && one_is_known) {
            let mut slots = cron.slots(zone, from).take_while(|slot| *slot < next);
            if let Some(found) = slots.find(|slot| window.contains(zone, *slot)) {
                return Some(found);
            }
        }
        one_is_known |= is_even && midnight > from;
        from = next.moved(-1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Timestamp {
        Timestamp::from_micros(chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros())
    }

    fn first(cron: &str, zone: &str, window: &str, from: &str) -> Option<String> {
        let found = first_inside(&cron.parse().unwrap(), zone.parse().unwrap(), window.parse().unwrap(), moment(from));
        found.map(|slot| slot.to_string())
    }

    #[test]
    fn what_comes_once_in_many_years_comes() {
        let from = "2026-01-02T00:00:00Z";
        for (cron, zone, window, expected) in [
            ("30 2 * * *", "UTC", "02:00-03:00", Some("2026-01-02T02:30:00")),
            ("* * * * *", "UTC", "23:59-00:00", Some("2026-01-02T23:59:00")),
            // The clock of Budapest goes from 02:00 to 03:00 on 29 March 2026: what it leaves out comes then.
            ("30 2 * * *", "Europe/Budapest", "03:00-03:01", Some("2026-03-29T01:00:00")),
            ("1-59 2 * * *", "Europe/Budapest", "03:00-03:01", Some("2026-03-29T01:00:00")),
            ("1-59 2 30 3 *", "Europe/Budapest", "03:00-03:01", Some("2031-03-30T01:00:00")),
            ("1-59 2 * * *", "UTC", "03:00-03:01", None),
            ("1-59 2 * * *", "Europe/Budapest", "04:00-05:00", None),
            ("0 1,23 1 * *", "UTC", "00:30-02:00", Some("2026-02-01T01:00:00")),
            ("0 4 29 2 *", "UTC", "04:00-05:00", Some("2028-02-29T04:00:00")),
            ("0 4 29 2 */7", "UTC", "04:00-05:00", Some("2032-02-29T04:00:00")),
            ("0 4 29 2 */7", "UTC", "05:00-06:00", None),
        ] {
            let found = first(cron, zone, window, from);
            let is_it = match (&found, expected) {
                (Some(found), Some(expected)) => found.starts_with(expected),
                (None, None) => true,
                _ => false,
            };
            assert!(is_it, "{cron} in {zone} within {window}: {found:?}, not {expected:?}");
        }
    }

    #[test]
    fn it_is_the_first_of_all_that_lie_inside() {
        let from = moment("2026-03-20T12:34:56Z");
        for cron in ["*/7 * * * *", "0 1,23 1,29 * *", "30 2 * * *", "15 */5 * * sun", "* 3 * * *"] {
            for zone in ["Europe/Budapest", "America/Sao_Paulo", "Australia/Lord_Howe", "UTC"] {
                for window in ["00:00-01:00", "02:15-02:45", "03:00-03:01", "22:00-02:00"] {
                    let (cron, zone, window) = (
                        cron.parse::<CronExpression>().unwrap(),
                        zone.parse().unwrap(),
                        window.parse::<Window>().unwrap(),
                    );
                    let plain = cron.slots(zone, from).take(20_000).find(|slot| window.contains(zone, *slot));
                    let found = first_inside(&cron, zone, window, from);
                    assert!(plain.is_none() || plain == found, "{cron} {zone} {window:?}: {found:?}, not {plain:?}");
                }
            }
        }
    }
}
