//! Freezing with a lease, pausing, and both at once.

use std::time::Duration;

use berth::shim::protocol::Event;

use crate::check;
use crate::fixture::{PATIENCE, Plan, TestContainer};
use crate::harness::{Outcome, Stop};

pub const TESTS: &[crate::harness::Test] = &[
    ("a lease thaws by itself and subscribers are told", lease),
    ("a lease ends with the connection that took it", holder),
    ("the end of a freeze does not resume a pause", pause),
    ("a lease behind which the group was thawed is over", behind),
    ("a frozen container dies at once when it is killed", kill),
    ("a command that comes during a freeze begins when it thaws", command),
];

fn counting() -> Result<TestContainer, Stop> {
    let line = "i=0; while true; do i=$((i+1)); echo $i > /count; usleep 10000; done";
    TestContainer::start(Plan::command(&["sh", "-c", line])?)
}

/// Reads the count; the file is empty for a moment whenever it is written.
fn count(test: &TestContainer) -> Result<i64, Stop> {
    let file = berth_upper(test).join("count");
    for _ in 0..20 {
        if let Some(count) = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok()) {
            return Ok(count);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // A freeze may have caught it in that moment.
    Ok(-1)
}

/// Tells whether it counts on while watched for a moment.
fn stands_still(test: &TestContainer) -> Result<bool, Stop> {
    let before = count(test)?;
    std::thread::sleep(Duration::from_millis(150));
    Ok(count(test)? == before)
}

/// Waits until it counts on.
fn goes_on(test: &TestContainer) -> Result<bool, Stop> {
    let (before, begun) = (count(test)?, std::time::Instant::now());
    while begun.elapsed() < PATIENCE {
        if count(test)? > before {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(false)
}

pub fn berth_upper(test: &TestContainer) -> std::path::PathBuf {
    test.spec.disk.path().join("upper")
}

fn lease() -> Outcome {
    let test = counting()?;
    let events = test.events()?;
    check!(goes_on(&test)?, "it does not count");
    let lease = test.client().freeze(Duration::from_millis(800))?;
    check!(stands_still(&test)?, "it goes on while frozen");
    check!(test.client().status()?.frozen, "not said to be frozen");
    match events.next(PATIENCE)? {
        Some(Event::LeaseExpired { lease: number, frozen_us }) => {
            check!(number == lease && frozen_us >= 800_000, "{number} {frozen_us}");
        }
        other => return Err(Stop::Failed(format!("{other:?}"))),
    }
    check!(goes_on(&test)?, "it did not go on");
    check!(test.client().thaw(lease)?.is_none(), "an expired lease was thawed");
    let lease = test.client().freeze(Duration::from_mins(1))?;
    std::thread::sleep(Duration::from_millis(50));
    let held = test.client().thaw(lease)?.unwrap_or_default();
    check!(held >= Duration::from_millis(50), "{held:?}");
    test.finish().map(drop)
}

fn holder() -> Outcome {
    let test = counting()?;
    let (events, other) = (test.events()?, test.another_client()?);
    let lease = other.freeze(Duration::from_mins(1))?;
    check!(stands_still(&test)?, "it goes on while frozen");
    drop(other);
    match events.next(PATIENCE)? {
        Some(Event::LeaseExpired { lease: number, .. }) => check!(number == lease, "{number} instead of {lease}"),
        other => return Err(Stop::Failed(format!("{other:?}"))),
    }
    check!(goes_on(&test)?, "it did not go on");
    test.finish().map(drop)
}

fn pause() -> Outcome {
    let test = counting()?;
    std::thread::sleep(Duration::from_millis(100));
    test.client().pause()?;
    let lease = test.client().freeze(Duration::from_mins(1))?;
    test.client().thaw(lease)?;
    check!(stands_still(&test)?, "a thaw resumed the pause");
    test.client().resume()?;
    check!(goes_on(&test)?, "it did not resume");
    test.finish().map(drop)
}

/// A stop thaws the group by itself where the supervisor does not answer.
fn behind() -> Outcome {
    let test = counting()?;
    let lease = test.client().freeze(Duration::from_mins(1))?;
    let thawed = test.cgroup()?.thaw();
    check!(thawed.is_ok(), "{thawed:?}");
    check!(goes_on(&test)?, "it did not go on");
    check!(test.client().thaw(lease)?.is_none(), "what moved is said to have stood still");
    check!(goes_on(&test)?, "it does not go on");
    test.finish().map(drop)
}

fn kill() -> Outcome {
    let test = counting()?;
    test.client().pause()?;
    test.client().kill()?;
    test.wait_exit()?;
    test.finish().map(drop)
}

fn command() -> Outcome {
    let test = counting()?;
    let begun = std::time::Instant::now();
    test.client().freeze(Duration::from_millis(300))?;
    let (code, text) = test.shell("echo late")?;
    check!(code == 0 && text == "late\n", "{code} {text}");
    check!(begun.elapsed() >= Duration::from_millis(300), "it did not wait");
    test.finish().map(drop)
}
