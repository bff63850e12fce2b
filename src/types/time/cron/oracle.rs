//! The oracle of the cron tests: every minute tried, one by one, and the clock read at each.
//!
//! It shares nothing with what it judges, not even the rules of the zones, which it has from another library: fields are made
//! as text and as sets side by side.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use proptest::sample::select;

use super::CronExpression;
use crate::types::{Timestamp, Zone};

const ZONES: [&str; 12] = [
    "Europe/Budapest",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "UTC",
    "Africa/Casablanca",
    "America/St_Johns",
    "Pacific/Apia",
    "Africa/Cairo",
    "America/Santiago",
    "Asia/Kathmandu",
    "Europe/Dublin",
];

/// Is a field as text and as the set of its numbers.
#[derive(Debug, Clone)]
struct Spec {
    text: String,
    chosen: BTreeSet<u32>,
}

#[derive(Debug, Clone)]
struct Line {
    minute: Spec,
    hour: Spec,
    day: Spec,
    month: Spec,
    weekday: Spec,
}

/// Makes fields whose numbers lie between `low` and `likely`, and stars up to `high`.
fn spec(low: u32, high: u32, likely: u32) -> impl Strategy<Value = Spec> {
    let part = move |first: u32, last: u32, step: u32| {
        let (first, last) = (first.min(last), first.max(last));
        let step = step.min((last - first).max(1));
        match (first == last, step) {
            (true, _) => Spec { text: first.to_string(), chosen: [first].into() },
            (_, 1) => Spec { text: format!("{first}-{last}"), chosen: (first..=last).collect() },
            _ => {
                Spec { text: format!("{first}-{last}/{step}"), chosen: (first..=last).step_by(step as usize).collect() }
            }
        }
    };
    let range =
        (low..=likely, low..=likely, prop_oneof![Just(1_u32), 1_u32..8]).prop_map(move |(a, b, s)| part(a, b, s));
    let single = (low..=likely).prop_map(move |value| part(value, value, 1));
    let item = prop_oneof![2 => single, 1 => range];
    let list = proptest::collection::vec(item, 1..4).prop_map(|parts| Spec {
        text: parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join(","),
        chosen: parts.iter().flat_map(|part| part.chosen.clone()).collect(),
    });
    let top = if high == 7 { 6 } else { high };
    let star = Just(Spec { text: "*".to_owned(), chosen: (low..=top).collect() });
    let stepped = (2..=top - low)
        .prop_map(move |n| Spec { text: format!("*/{n}"), chosen: (low..=top).step_by(n as usize).collect() });
    prop_oneof![3 => list, 2 => star, 1 => stepped]
}

fn line() -> impl Strategy<Value = Line> {
    let all = |low: u32, high: u32| Spec { text: "*".to_owned(), chosen: (low..=high).collect() };
    let month = prop_oneof![3 => Just(all(1, 12)), 1 => spec(1, 12, 12)];
    let day = prop_oneof![1 => Just(all(1, 31)), 1 => spec(1, 31, 31)];
    let weekday = prop_oneof![1 => Just(all(0, 6)), 1 => spec(0, 7, 7)];
    // The small hours are where clocks change, so half of the hours lie there.
    let hour = prop_oneof![spec(0, 23, 23), spec(0, 23, 4)];
    (spec(0, 59, 59), hour, day, month, weekday).prop_map(|(minute, hour, day, month, weekday)| {
        let weekday = Spec { chosen: weekday.chosen.iter().map(|day| day % 7).collect(), ..weekday };
        Line { minute, hour, day, month, weekday }
    })
}

impl Line {
    fn text(&self) -> String {
        let fields = [&self.minute, &self.hour, &self.day, &self.month, &self.weekday];
        fields.map(|field| field.text.as_str()).join(" ")
    }

    fn shows(&self, local: NaiveDateTime) -> bool {
        self.minute.chosen.contains(&local.minute()) && self.hour.chosen.contains(&local.hour()) && self.has_day(local)
    }

    fn has_day(&self, local: NaiveDateTime) -> bool {
        let day = self.day.chosen.contains(&local.day());
        let weekday = self.weekday.chosen.contains(&local.weekday().num_days_from_sunday());
        let starred = self.day.text.starts_with('*') || self.weekday.text.starts_with('*');
        self.month.chosen.contains(&local.month()) && if starred { day && weekday } else { day || weekday }
    }

    fn is_wildcard(&self) -> bool {
        self.minute.text.starts_with('*') || self.hour.text.starts_with('*')
    }

    /// Tries every minute in (`from`, `to`], watching the clock from two days before.
    fn brute_force(&self, zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let mut slots = Vec::new();
        let mut now = from - TimeDelta::days(2);
        let mut high = now.with_timezone(&zone).naive_local();
        while now < to {
            now += TimeDelta::minutes(1);
            let local = now.with_timezone(&zone).naive_local();
            let fires = if self.is_wildcard() {
                self.shows(local)
            } else {
                let minutes = (local - high).num_minutes();
                (0..minutes).any(|ago| self.shows(local - TimeDelta::minutes(ago)))
            };
            high = high.max(local);
            if fires && now > from {
                slots.push(now);
            }
        }
        slots
    }
}

/// Lists the moments in 2010-2023 at which the zone's clock changes; of later years two editions of the database differ.
fn changes(zone: Tz) -> Vec<DateTime<Utc>> {
    let first = DateTime::from_timestamp(1_262_304_000, 0).unwrap();
    let local = |hour: i64| (first + TimeDelta::hours(hour)).with_timezone(&zone).naive_local();
    let jumps = |hour: &i64| local(hour + 1) - local(*hour) != TimeDelta::hours(1);
    (0..14 * 8_766).filter(jumps).map(|hour| first + TimeDelta::hours(hour)).collect()
}

fn rules(zone: Zone) -> Tz {
    zone.as_str().parse().unwrap()
}

fn zones_with_changes() -> Vec<(Zone, Vec<DateTime<Utc>>)> {
    let zone = |name: &str| name.parse::<Zone>().unwrap();
    ZONES.iter().map(|name| (zone(name), changes(rules(zone(name))))).collect()
}

fn found(expression: &CronExpression, zone: Zone, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let slots = expression.slots(zone, Timestamp::from(from)).map(Timestamp::as_datetime);
    slots.take_while(|slot| *slot <= to).collect()
}

#[test]
fn it_agrees_with_trying_every_minute_around_clock_changes() {
    let zones = zones_with_changes();
    let place =
        (select(zones), any::<prop::sample::Index>(), 0_i64..2_400).prop_map(|((zone, changes), index, minutes)| {
            let centre = if changes.is_empty() {
                DateTime::from_timestamp(1_700_000_000 / 60 * 60, 0).unwrap()
            } else {
                changes[index.index(changes.len())]
            };
            (zone, centre - TimeDelta::minutes(minutes))
        });
    let config = ProptestConfig::with_cases(1_500);
    proptest!(config, |(line in line(), (zone, from) in place, seconds in 0_i64..60)| {
        let Ok(expression) = line.text().parse::<CronExpression>() else { return Ok(()) };
        let to = from + TimeDelta::days(3);
        let start = from + TimeDelta::seconds(seconds);
        let expected: Vec<_> = line.brute_force(rules(zone), from, to).into_iter().filter(|s| *s > start).collect();
        prop_assert_eq!(found(&expression, zone, start, to), expected, "{} in {}", line.text(), zone);
    });
}

#[test]
fn it_agrees_with_trying_every_day_of_twelve_years() {
    let first = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
    proptest!(ProptestConfig::with_cases(200), |(line in line())| {
        let one = |value: u32| Spec { text: value.to_string(), chosen: [value].into() };
        let line = Line { minute: one(0), hour: one(12), ..line };
        let days = (0..12 * 366).map(|day| first + TimeDelta::days(day) + TimeDelta::hours(12));
        let expected: Vec<_> = days.clone().filter(|day| line.has_day(day.naive_utc())).collect();
        match line.text().parse::<CronExpression>() {
            Ok(expression) => {
                let last = days.clone().next_back().unwrap();
                prop_assert_eq!(found(&expression, Zone::UTC, first, last), expected, "{}", line.text());
            }
            Err(error) => prop_assert!(expected.is_empty(), "{}: {error}", line.text()),
        }
    });
}

#[test]
fn known_cases_of_clock_changes() {
    for (text, zone, from, slots) in [
        // Budapest skips 02:00-03:00 on 29 March 2026 and shows 02:00-03:00 twice on 25 October 2026.
        ("30 2 * * *", "Europe/Budapest", "2026-03-28T12:00:00Z", ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
        ("15,45 2 * * *", "Europe/Budapest", "2026-03-29T00:00:00Z", ["2026-03-29T01:00:00Z", "2026-03-30T00:15:00Z"]),
        ("0 2,3 * * *", "Europe/Budapest", "2026-03-29T00:00:00Z", ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]),
        ("*/20 2 * * *", "Europe/Budapest", "2026-03-29T00:00:00Z", ["2026-03-30T00:00:00Z", "2026-03-30T00:20:00Z"]),
        ("30 2 * * *", "Europe/Budapest", "2026-10-24T12:00:00Z", ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
        ("30 * * * *", "Europe/Budapest", "2026-10-25T00:00:00Z", ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]),
        ("*/30 2 * * *", "Europe/Budapest", "2026-10-25T00:29:00Z", ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"]),
        // Lord Howe moves by half an hour: 02:00 becomes 02:30 on 4 October 2026.
        ("10 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", ["2026-10-03T15:30:00Z", "2026-10-04T15:10:00Z"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", ["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"]),
        // Apia had no 30 December 2011.
        ("0 12 * * *", "Pacific/Apia", "2011-12-29T21:00:00Z", ["2011-12-29T22:00:00Z", "2011-12-30T10:00:00Z"]),
        // The days are alternatives where both are restricted, and both are needed where one begins with a star.
        ("0 0 13 * 5", "UTC", "2026-02-01T00:00:00Z", ["2026-02-06T00:00:00Z", "2026-02-13T00:00:00Z"]),
        ("0 0 */13 * 5", "UTC", "2026-01-01T00:00:00Z", ["2026-02-27T00:00:00Z", "2026-03-27T00:00:00Z"]),
        ("0 0 1-7 * */7", "UTC", "2026-11-23T00:00:00Z", ["2026-12-06T00:00:00Z", "2027-01-03T00:00:00Z"]),
        ("0 0 * * 7", "UTC", "2026-11-23T00:00:00Z", ["2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z"]),
        ("59 23 29 2 *", "UTC", "2096-03-01T00:00:00Z", ["", ""]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]),
        ("0 0 29 2 */7", "UTC", "2033-01-01T00:00:00Z", ["2060-02-29T00:00:00Z", "2088-02-29T00:00:00Z"]),
        ("@weekly", "Asia/Kolkata", "2026-11-23T00:00:00Z", ["2026-11-28T18:30:00Z", "2026-12-05T18:30:00Z"]),
    ] {
        let moment = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let zone: Zone = zone.parse().unwrap();
        let expression: CronExpression = text.parse().unwrap();
        let found: Vec<_> = expression.slots(zone, moment(from).into()).take(2).map(Timestamp::as_datetime).collect();
        let expected: Vec<_> = slots.into_iter().filter(|slot| !slot.is_empty()).map(moment).collect();
        assert_eq!(found, expected, "{text} in {zone}");
    }
}

#[test]
fn a_moment_outside_the_calendar_is_no_trouble() {
    let expression: CronExpression = "* * * * *".parse().unwrap();
    for zone in ZONES {
        let zone: Zone = zone.parse().unwrap();
        assert_eq!(
            expression.next_after(zone, Timestamp::from_micros(i64::MIN)),
            expression.next_after(zone, Timestamp::default())
        );
        let _ = expression.next_after(zone, Timestamp::from_micros(i64::MAX));
        let _ = expression.next_after(zone, "2101-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap().into());
    }
}
