//! Tables of what is due, and the law: every slot is settled exactly once.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::types::{CATCH_UP_ALL_MAX, CatchUp, CronExpression, Gaps, Zone};

fn moment(text: &str) -> Timestamp {
    text.parse::<DateTime<Utc>>().unwrap().into()
}

fn plan(expression: &str, since: &str) -> Plan {
    Plan {
        schedule: ScheduleId::from_bytes([7; 16]),
        revision: 1,
        expression: expression.parse().unwrap(),
        zone: Zone::UTC,
        is_enabled: true,
        since: moment(since),
        catch_up: CatchUp::None,
        jitter: Span::default(),
        window: None,
        last_slot: None,
        previous_running: false,
        deferred: None,
        gaps: Gaps::default(),
        has_room: true,
        settled: vec![],
        forgotten: None,
        doubt: None,
    }
}

/// Tells what is due in short words: `fire 02:00`, `miss 02:00-05:00 x4 TooLate`.
fn told(plan: &Plan, now: &str) -> Vec<String> {
    let clock = |slot: Timestamp| slot.as_datetime().format("%H:%M").to_string();
    let row = |slots: Slots| format!("{}-{} x{}", clock(slots.first), clock(slots.last), slots.count);
    let tell = |due: Due| match due.verdict {
        Verdict::Fire { slot, is_catch_up: false, .. } => format!("fire {}", clock(slot)),
        Verdict::Fire { slot, is_catch_up: true, .. } => format!("catch up {}", clock(slot)),
        Verdict::Skip { slots, why } => format!("skip {} {why:?}", row(slots)),
        Verdict::Defer { slots, why } => format!("defer {} {why:?}", row(slots)),
        Verdict::SetAside { slots, .. } => format!("set aside {}", row(slots)),
        Verdict::Miss { slots, why } => format!("miss {} {why:?}", row(slots)),
        Verdict::Reopen { after } => format!("reopen {}", clock(after)),
    };
    due(std::slice::from_ref(plan), moment(now)).into_iter().map(tell).collect()
}

#[test]
fn a_slot_is_fired_on_time_and_not_before() {
    let plan = plan("0 2 * * *", "2026-11-22T12:00:00Z");
    assert_eq!(told(&plan, "2026-11-23T01:59:59Z"), Vec::<String>::new());
    assert_eq!(told(&plan, "2026-11-23T02:00:00Z"), ["fire 02:00"]);
    assert_eq!(told(&plan, "2026-11-23T02:05:00Z"), ["fire 02:00"]);
    assert_eq!(told(&plan, "2026-11-23T02:05:01Z"), ["miss 02:00-02:00 x1 TooLate"]);
    assert_eq!(next_due(&[plan], moment("2026-11-22T12:00:00Z")), Some(moment("2026-11-23T02:00:00Z")));
}

#[test]
fn a_slot_before_the_schedule_was_defined_is_nobodys() {
    assert_eq!(told(&plan("0 2 * * *", "2026-11-23T02:00:00Z"), "2026-11-23T02:00:01Z"), Vec::<String>::new());
}

#[test]
fn a_disabled_schedule_is_silent() {
    let plan = Plan { is_enabled: false, ..plan("* * * * *", "2026-11-22T12:00:00Z") };
    assert_eq!(told(&plan, "2026-11-23T02:00:00Z"), Vec::<String>::new());
    assert_eq!(next_due(&[plan], moment("2026-11-22T12:00:00Z")), None);
}

#[test]
fn what_was_missed_is_caught_up_as_the_schedule_says() {
    for (catch_up, expected) in [
        (CatchUp::None, vec!["miss 01:00-04:00 x4 TooLate"]),
        (CatchUp::Once, vec!["miss 01:00-03:00 x3 Superseded", "catch up 04:00"]),
        (CatchUp::All, vec!["catch up 01:00", "catch up 02:00", "catch up 03:00", "catch up 04:00"]),
    ] {
        let plan = Plan { catch_up, ..plan("0 * * * *", "2026-11-23T00:00:00Z") };
        assert_eq!(told(&plan, "2026-11-23T04:30:00Z"), expected, "{catch_up}");
    }
}

#[test]
fn a_slot_on_time_stands_for_the_missed_ones_before_it() {
    for (catch_up, expected) in [
        (CatchUp::None, vec!["miss 01:00-02:00 x2 TooLate", "fire 03:00"]),
        (CatchUp::Once, vec!["miss 01:00-02:00 x2 Superseded", "fire 03:00"]),
        (CatchUp::All, vec!["catch up 01:00", "catch up 02:00", "fire 03:00"]),
    ] {
        let plan = Plan { catch_up, ..plan("0 * * * *", "2026-11-23T00:00:00Z") };
        assert_eq!(told(&plan, "2026-11-23T03:00:02Z"), expected, "{catch_up}");
    }
}

#[test]
fn catching_up_all_is_bounded() {
    let plan = Plan { catch_up: CatchUp::All, ..plan("*/10 * * * *", "2026-11-23T00:00:00Z") };
    let told = told(&plan, "2026-11-23T10:09:00Z");
    assert_eq!(told.len(), 1 + CATCH_UP_ALL_MAX);
    assert_eq!(told[0], "miss 00:10-06:00 x36 TooMany");
    assert_eq!(told[1], "catch up 06:10");
}

#[test]
fn nothing_runs_while_the_previous_run_has_not_ended() {
    for (catch_up, expected) in [
        (CatchUp::None, vec!["miss 01:00-02:00 x2 TooLate", "skip 03:00-03:00 x1 PreviousRunning"]),
        (CatchUp::Once, vec!["skip 01:00-03:00 x3 PreviousRunning"]),
        (CatchUp::All, vec!["skip 01:00-03:00 x3 PreviousRunning"]),
    ] {
        let plan = Plan { catch_up, previous_running: true, ..plan("0 * * * *", "2026-11-23T00:00:00Z") };
        assert_eq!(told(&plan, "2026-11-23T03:00:02Z"), expected, "{catch_up}");
    }
}

#[test]
fn slots_outside_the_window_are_skipped_and_not_caught_up() {
    let window = Some("22:00-03:00".parse().unwrap());
    let hourly = Plan { window, catch_up: CatchUp::Once, ..plan("0 * * * *", "2026-11-23T00:30:00Z") };
    assert_eq!(
        told(&hourly, "2026-11-23T05:00:00Z"),
        ["miss 01:00-02:00 x2 CatchUpOutsideWindow", "skip 03:00-05:00 x3 OutsideWindow"]
    );
    assert_eq!(told(&hourly, "2026-11-23T02:30:00Z"), ["miss 01:00-01:00 x1 Superseded", "catch up 02:00"]);
}

#[test]
fn a_window_means_the_local_time_of_the_zone() {
    let window = Some("01:00-05:00".parse().unwrap());
    let zone = "America/New_York".parse().unwrap();
    let plan = Plan { zone, window, ..plan("0 */3 * * *", "2026-11-23T00:00:00Z") };
    let skipped: Vec<bool> = preview(&plan, plan.since, 8).iter().map(|planned| planned.skipped.is_some()).collect();
    assert_eq!(skipped, [true, true, false, true, true, true, true, true]);
}

#[test]
fn a_year_of_missed_minutes_is_settled_in_slices() {
    let mut plan = Plan { catch_up: CatchUp::All, ..plan("* * * * *", "2026-11-01T00:00:00Z") };
    let now = moment("2026-11-20T00:00:30Z");
    let (mut count, mut fired, mut on_time) = (0, 0, 0);
    while next_due(std::slice::from_ref(&plan), now).is_some_and(|next| next <= now) {
        for due in due(std::slice::from_ref(&plan), now) {
            match &due.verdict {
                Verdict::Fire { is_catch_up: true, .. } => fired += 1,
                Verdict::Fire { .. } => on_time += 1,
                Verdict::Skip { slots, .. } | Verdict::Defer { slots, .. } | Verdict::Miss { slots, .. } => {
                    count += slots.count;
                }
                Verdict::SetAside { slots, .. } => panic!("the clock was trusted, and not for {slots:?}"),
                Verdict::Reopen { after } => panic!("the clock only went on, and not after {after}"),
            }
            plan.last_slot = Some(due.verdict.last_slot());
        }
    }
    assert_eq!((count + fired + on_time, fired, on_time), (19 * 1_440, CATCH_UP_ALL_MAX as u64, 1));
}

#[test]
fn a_slot_without_room_waits_where_it_is_caught_up_and_is_let_go_where_not() {
    let full = |catch_up| Plan { catch_up, has_room: false, ..plan("0 * * * *", "2026-11-23T00:30:00Z") };
    assert_eq!(told(&full(CatchUp::None), "2026-11-23T02:00:00Z"), ["skip 01:00-02:00 x2 NoSpace"]);
    for catch_up in [CatchUp::Once, CatchUp::All] {
        let mut plan = full(catch_up);
        assert_eq!(told(&plan, "2026-11-23T01:00:00Z"), ["defer 01:00-01:00 x1 NoSpace"]);
        plan.deferred = Some(moment("2026-11-23T01:00:00Z"));
        assert_eq!(told(&plan, "2026-11-23T01:59:00Z"), Vec::<String>::new(), "it is told once");
        assert_eq!(
            next_due(std::slice::from_ref(&plan), moment("2026-11-23T01:59:00Z")),
            Some(moment("2026-11-23T02:00:00Z"))
        );
        assert_eq!(told(&plan, "2026-11-23T03:00:00Z"), ["defer 02:00-03:00 x2 NoSpace"]);
        plan.deferred = Some(moment("2026-11-23T03:00:00Z"));
        plan.has_room = true;
        let caught_up: &[&str] = match catch_up {
            CatchUp::Once => &["miss 01:00-02:00 x2 Superseded", "catch up 03:00"],
            _ => &["catch up 01:00", "catch up 02:00", "catch up 03:00"],
        };
        assert_eq!(told(&plan, "2026-11-23T03:30:00Z"), caught_up);
    }
}

#[test]
fn the_jitter_is_the_same_every_time_and_different_between_schedules() {
    let first = Plan { jitter: Span::from_secs(3_600), ..plan("0 2 * * *", "2026-11-22T12:00:00Z") };
    let second = Plan { schedule: ScheduleId::from_bytes([8; 16]), ..first.clone() };
    let at = |plan: &Plan| preview(plan, plan.since, 5).iter().map(|planned| planned.at).collect::<Vec<_>>();
    assert_eq!(at(&first), at(&first.clone()));
    assert_ne!(at(&first), at(&second));
}

#[test]
fn what_was_settled_in_a_time_to_come_settles_nothing() {
    let ahead = Plan {
        settled: ["2026-11-23T09:00:00Z", "2026-11-25T10:00:00Z"].map(moment).to_vec(),
        last_slot: Some(moment("2026-11-25T10:00:00Z")),
        ..plan("0 * * * *", "2026-11-23T08:30:00Z")
    };
    assert_eq!(told(&ahead, "2026-11-23T09:20:00Z"), ["reopen 09:00"]);
    assert_eq!(told(&ahead, "2026-11-23T08:40:00Z"), ["reopen 08:40"], "none of them was then");
    assert_eq!(told(&ahead, "2026-11-25T09:59:58Z"), Vec::<String>::new(), "no clock is that good");
    let next = coming(&ahead, moment("2026-11-23T09:20:00Z"), 2).into_iter().map(|planned| planned.at);
    assert_eq!(next.collect::<Vec<_>>(), ["2026-11-23T10:00:00Z", "2026-11-23T11:00:00Z"].map(moment));
    let made_ahead = plan("0 * * * *", "2029-11-23T08:30:00Z");
    assert_eq!(told(&made_ahead, "2026-11-23T09:20:00Z"), ["reopen 09:20"]);
}

#[test]
fn under_a_doubted_clock_what_comes_runs_and_nothing_is_caught_up() {
    let doubted = |catch_up| Plan {
        catch_up,
        doubt: Some(Doubt::Stepped { since: moment("2026-11-23T05:30:00Z") }),
        last_slot: Some(moment("2026-11-23T02:00:00Z")),
        ..plan("0 * * * *", "2026-11-22T12:00:00Z")
    };
    let none = Vec::<String>::new();
    for catch_up in CatchUp::ALL {
        assert_eq!(told(&doubted(catch_up), "2026-11-23T05:31:00Z"), none, "{catch_up:?}");
    }
    for catch_up in [CatchUp::None, CatchUp::Once] {
        let plan = doubted(catch_up);
        assert_eq!(told(&plan, "2026-11-23T06:01:00Z"), ["miss 03:00-05:00 x3 ClockDoubted", "fire 06:00"]);
        assert_eq!(next_due(&[plan], moment("2026-11-23T05:31:00Z")), Some(moment("2026-11-23T06:00:00Z")));
    }
    let confirmed = Plan { doubt: None, ..doubted(CatchUp::All) };
    assert_eq!(
        told(&confirmed, "2026-11-23T06:01:00Z"),
        ["catch up 03:00", "catch up 04:00", "catch up 05:00", "fire 06:00"]
    );
    let steady = Plan { last_slot: Some(moment("2026-11-23T05:00:00Z")), ..doubted(CatchUp::All) };
    assert_eq!(told(&steady, "2026-11-23T06:01:00Z"), ["fire 06:00"]);
}

#[test]
fn after_a_boot_nobody_is_told_to_confirm_a_clock() {
    let settling = |catch_up| Plan {
        catch_up,
        doubt: Some(Doubt::Settling),
        last_slot: Some(moment("2026-11-23T02:00:00Z")),
        ..plan("0 * * * *", "2026-11-22T12:00:00Z")
    };
    for (catch_up, why) in [(CatchUp::None, "TooLate"), (CatchUp::Once, "Superseded")] {
        let expected = [format!("miss 03:00-05:00 x3 {why}"), "fire 06:00".to_owned()];
        assert_eq!(told(&settling(catch_up), "2026-11-23T06:00:00Z"), expected);
    }
    let first = due(&[settling(CatchUp::All)], moment("2026-11-23T06:00:00Z")).remove(0).verdict;
    assert!(matches!(first, Verdict::SetAside { why: WaitReason::Settling, .. }), "{first:?}");
    assert!(!WaitReason::Settling.to_string().contains("confirm-clock"));
}

#[test]
fn what_is_to_be_caught_up_waits_for_the_clock_and_holds_nothing_back() {
    let mut plan = Plan {
        catch_up: CatchUp::All,
        doubt: Some(Doubt::Stepped { since: moment("2026-11-23T05:30:00Z") }),
        last_slot: Some(moment("2026-11-23T02:00:00Z")),
        ..plan("0 * * * *", "2026-11-22T12:00:00Z")
    };
    let next = |plan: &Plan, now| {
        let promised: Vec<Timestamp> = coming(plan, moment(now), 1).iter().map(|planned| planned.at).collect();
        assert_eq!(next_run(plan, moment(now)).map(|planned| planned.at).as_ref(), promised.first());
        (next_due(std::slice::from_ref(plan), moment(now)).unwrap(), promised)
    };
    let six = moment("2026-11-23T06:00:00Z");
    assert_eq!(next(&plan, "2026-11-23T05:31:00Z"), (six, vec![six]));
    assert_eq!(told(&plan, "2026-11-23T06:00:00Z"), ["set aside 03:00-05:00 x3", "fire 06:00"]);
    plan.gaps.open(moment("2026-11-23T02:00:00Z"), moment("2026-11-23T05:00:00Z"));
    plan.last_slot = Some(six);
    assert_eq!(told(&plan, "2026-11-23T07:00:00Z"), ["fire 07:00"]);
    plan.doubt = None;
    for waits in [Plan { previous_running: true, ..plan.clone() }, Plan { has_room: false, ..plan.clone() }] {
        assert_eq!(told(&waits, "2026-11-23T06:30:00Z"), Vec::<String>::new(), "none is let go for that");
        assert_eq!(next(&waits, "2026-11-23T06:30:00Z").0, moment("2026-11-23T07:00:00Z"));
    }
    assert_eq!(next(&plan, "2026-11-23T06:30:00Z").0, moment("2026-11-23T03:00:00Z"), "at once");
    let caught_up = ["catch up 03:00", "catch up 04:00", "catch up 05:00"];
    assert_eq!(told(&plan, "2026-11-23T06:30:00Z"), caught_up);
    plan.gaps.settle(moment("2026-11-23T03:00:00Z"));
    assert_eq!(told(&plan, "2026-11-23T07:01:00Z"), ["fire 07:00", "catch up 04:00", "catch up 05:00"]);
}

#[test]
fn what_is_promised_is_what_comes_also_before_its_jitter_is_over() {
    let plan = Plan { jitter: Span::from_secs(3_000), ..plan("0 2 * * *", "2026-11-22T12:00:00Z") };
    let [first, second] = preview(&plan, plan.since, 2).try_into().unwrap();
    assert!(first.at > first.slot);
    let between = Timestamp::from_micros(first.slot.as_micros() + 1);
    assert_eq!(coming(&plan, between, 1), [first]);
    assert_eq!(coming(&plan, first.at, 1), [second]);
}

/// Records what is due, as the ticker does, up to the first run; returns it.
fn recorded(plan: &mut Plan, now: &str) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = Vec::new();
    for due in due(std::slice::from_ref(plan), moment(now)) {
        let last = due.verdict.last_slot();
        if let Verdict::SetAside { .. } = due.verdict {
            plan.gaps.open(plan.handled(), last);
        }
        if matches!(due.verdict, Verdict::SetAside { .. }) || !plan.gaps.settle(last) {
            plan.last_slot = Some(last);
        }
        verdicts.push(due.verdict);
        if matches!(verdicts.last(), Some(Verdict::Fire { .. })) {
            break;
        }
    }
    verdicts
}

/// Returns how many slots ran late, and how many were told to be too many.
fn caught_up(verdicts: &[Verdict]) -> (usize, u64) {
    let late = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Fire { is_catch_up: true, .. })).count();
    let many = verdicts.iter().filter_map(|verdict| match verdict {
        Verdict::Miss { slots, why: MissReason::TooMany } => Some(slots.count),
        _ => None,
    });
    (late, many.sum())
}

#[test]
fn no_more_than_promised_is_caught_up_of_all_that_a_clock_jumped_over() {
    let mut plan = Plan {
        catch_up: CatchUp::All,
        window: Some("01:00-05:00".parse().unwrap()),
        doubt: Some(Doubt::Stepped { since: moment("2026-12-23T00:30:00Z") }),
        last_slot: Some(moment("2026-11-23T00:00:00Z")),
        ..plan("0 * * * *", "2026-11-22T12:00:00Z")
    };
    let mut told = recorded(&mut plan, "2026-12-23T01:00:00Z"); // 30 nights of 4 slots
    assert_eq!(told.last().unwrap().last_slot(), moment("2026-12-23T01:00:00Z"));
    assert!(plan.gaps.iter().count() <= CATCH_UP_ALL_MAX, "{:?}", plan.gaps);
    plan.doubt = None;
    while next_due(std::slice::from_ref(&plan), moment("2026-12-23T01:30:00Z")).unwrap()
        < moment("2026-12-23T01:30:00Z")
    {
        told.extend(recorded(&mut plan, "2026-12-23T01:30:00Z"));
    }
    assert_eq!(caught_up(&told), (CATCH_UP_ALL_MAX, 30 * 4 - CATCH_UP_ALL_MAX as u64));
}

#[test]
fn what_waits_for_the_clock_does_not_grow_and_what_comes_goes_before_it() {
    let mut plan = Plan { catch_up: CatchUp::All, ..plan("0 * * * *", "2026-11-01T00:30:00Z") };
    let mut told = vec![];
    for day in 2..28 {
        // Every day the machine is on for some minutes in which nobody knows yet whether its clock is right.
        plan.doubt = Some(Doubt::Settling);
        told.extend(recorded(&mut plan, &format!("2026-11-{day:02}T08:00:00Z")));
        plan.doubt = None;
        told.extend(recorded(&mut plan, &format!("2026-11-{day:02}T08:10:00Z")));
    }
    let waits: usize = plan.gaps.iter().map(|gap| plan.within(*gap).count()).sum();
    assert!(waits < CATCH_UP_ALL_MAX, "{waits} slots wait in {} rows", plan.gaps.iter().count());
    told = recorded(&mut plan, "2026-11-27T09:00:00Z");
    assert_eq!((told.len(), told[0].last_slot()), (1, moment("2026-11-27T09:00:00Z")), "{told:?}");
    told = recorded(&mut plan, "2026-11-27T10:30:00Z");
    assert_eq!(told.last().unwrap().last_slot(), moment("2026-11-27T10:00:00Z"), "also if that is late: {told:?}");
}

fn plans() -> impl Strategy<Value = Plan> {
    let expression =
        select(vec!["* * * * *", "*/7 * * * *", "30 2 * * *", "0 1-4 * * *", "15,45 * * * 1-5", "0 3 13 * 5"]);
    let zone = select(vec!["UTC", "Europe/Budapest", "Australia/Lord_Howe", "America/St_Johns"]);
    let window = select(vec![None, Some("22:00-03:00"), Some("01:00-02:31")]);
    let catch_up = select(CatchUp::ALL.to_vec());
    let jitter = select(vec![0, 45, 3_000, 100_000]);
    // Two days before the clocks of Budapest, St John's or Lord Howe change in autumn 2026.
    let since = select(vec!["2026-10-23T20:00:00Z", "2026-10-30T01:00:17Z", "2026-10-02T03:00:00Z"]);
    (expression, zone, window, catch_up, jitter, since).prop_map(
        |(expression, zone, window, catch_up, jitter, since)| Plan {
            zone: zone.parse::<Zone>().unwrap(),
            expression: expression.parse::<CronExpression>().unwrap(),
            window: window.map(|window| window.parse().unwrap()),
            catch_up,
            jitter: Span::from_secs(jitter),
            ..plan("* * * * *", since)
        },
    )
}

/// Is one look of the ticker: how far the clock moved, whether a run goes on, there is room and the clock is doubted, and
/// how much is recorded before a crash.
#[derive(Debug, Clone)]
struct Tick {
    minutes: i64,
    previous_running: bool,
    has_room: bool,
    is_doubted: bool,
    recorded: usize,
}

fn ticks() -> impl Strategy<Value = Vec<Tick>> {
    let minutes = prop_oneof![4 => 0_i64..10, 2 => 10_i64..200, 1 => 1_000_i64..4_000, 1 => -90_i64..0];
    let recorded = prop_oneof![3 => Just(usize::MAX), 1 => 0_usize..3];
    let room = prop_oneof![3 => Just(true), 1 => Just(false)];
    let tick = (minutes, any::<bool>(), room, any::<bool>(), recorded);
    let tick = tick.prop_map(|(minutes, previous_running, has_room, is_doubted, recorded)| Tick {
        minutes,
        previous_running,
        has_room,
        is_doubted,
        recorded,
    });
    proptest::collection::vec(tick, 1..25)
}

/// Counts every slot that a verdict speaks of.
fn settle(plan: &Plan, verdict: &Verdict, settled: &mut BTreeMap<Timestamp, u32>) {
    let slots = match verdict {
        Verdict::Fire { slot, .. } => Slots::one(*slot),
        Verdict::Skip { slots, .. } | Verdict::Defer { slots, .. } | Verdict::Miss { slots, .. } => *slots,
        Verdict::SetAside { .. } => return,
        Verdict::Reopen { after } => {
            settled.retain(|slot, _| slot <= after);
            return;
        }
    };
    let before = Timestamp::from_micros(slots.first.as_micros() - 1);
    let row: Vec<_> = plan.expression.slots(plan.zone, before).take(slots.count as usize).collect();
    assert_eq!((row.first(), row.last()), (Some(&slots.first), Some(&slots.last)));
    for slot in row {
        *settled.entry(slot).or_default() += 1;
    }
}

proptest! {
    #[test]
    fn every_slot_is_settled_exactly_once(mut plan in plans(), ticks in ticks()) {
        let mut now = plan.since;
        let mut settled = BTreeMap::new();
        for tick in ticks {
            now = Timestamp::from_micros(now.as_micros() + tick.minutes * 60_000_000);
            plan.previous_running = tick.previous_running;
            plan.has_room = tick.has_room;
            plan.doubt = tick.is_doubted.then(|| Doubt::Stepped { since: now.moved(-600_000_000) });
            let all = due(std::slice::from_ref(&plan), now);
            let late = all.iter().filter(|due| matches!(due.verdict, Verdict::Fire { is_catch_up: true, .. }));
            prop_assert!(late.count() <= CATCH_UP_ALL_MAX);
            let is_long = |slots: &mut dyn Iterator<Item = Planned>| slots.take_while(|planned| planned.at <= now).nth(BACKLOG_MAX).is_some();
            let is_cut = is_long(&mut plan.slots(plan.waited_for()))
                || plan.gaps.iter().any(|gap| is_long(&mut plan.within(*gap)));
            let reopened = all.iter().any(|due| matches!(due.verdict, Verdict::Reopen { .. })); // the rest comes next
            let is_whole = tick.recorded >= all.len() && !is_cut;
            for due in all.into_iter().take(tick.recorded) {
                if let Verdict::Fire { at, .. } = due.verdict {
                    prop_assert!(at <= now && !tick.previous_running && tick.has_room);
                }
                if let Verdict::Defer { slots, .. } = due.verdict {
                    prop_assert!(!tick.has_room && plan.deferred.is_none_or(|told| slots.first > told));
                    plan.deferred = Some(slots.last);
                    continue;
                }
                settle(&plan, &due.verdict, &mut settled);
                let last = due.verdict.last_slot();
                if let Verdict::SetAside { .. } = due.verdict {
                    prop_assert!(tick.is_doubted);
                    plan.gaps.open(plan.handled(), last);
                }
                if matches!(due.verdict, Verdict::SetAside { .. } | Verdict::Reopen { .. }) || !plan.gaps.settle(last) {
                    plan.last_slot = Some(last);
                }
                if let Verdict::Reopen { after } = due.verdict {
                    (plan.since, plan.deferred) = (plan.since.min(after), None);
                    plan.gaps.cut(after);
                }
                plan.settled = settled.keys().copied().collect();
            }
            let waits: usize = plan.gaps.iter().map(|gap| plan.within(*gap).count()).sum();
            prop_assert!(waits <= CATCH_UP_ALL_MAX, "{waits} wait");
            let is_due = next_due(std::slice::from_ref(&plan), now).is_some_and(|next| next <= now);
            let is_whole = is_whole && plan.reopened(now).is_none() && !reopened;
            prop_assert!(!is_whole || !is_due, "a whole answer leaves nothing due");
        }
        prop_assert!(settled.values().all(|count| *count == 1));
        let handled = plan.handled();
        let expected = plan.expression.slots(plan.zone, plan.since).take_while(|slot| *slot <= handled);
        let expected: Vec<_> = expected.filter(|slot| !plan.gaps.holds(*slot)).collect();
        prop_assert_eq!(settled.into_keys().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn planned_runs_ascend_and_stay_in_their_window(plan in plans()) {
        let planned = preview(&plan, plan.since, 200);
        let is_inside = |at| plan.window.is_none_or(|window| window.contains(plan.zone, at));
        for planned in planned.iter().filter(|_| plan.zone == Zone::UTC) {
            // Elsewhere a change of the clock may end a window early.
            prop_assert_eq!(is_inside(planned.at), planned.skipped.is_none());
        }
        for pair in planned.windows(2) {
            prop_assert!(pair[0].slot <= pair[0].at && pair[0].at < pair[1].slot);
        }
    }

    #[test]
    fn next_due_is_when_due_first_speaks(plan in plans()) {
        let next = next_due(std::slice::from_ref(&plan), plan.since).unwrap();
        let before = Timestamp::from_micros(next.as_micros() - 1);
        prop_assert!(due(std::slice::from_ref(&plan), before).is_empty());
        prop_assert!(!due(std::slice::from_ref(&plan), next).is_empty());
    }
}
