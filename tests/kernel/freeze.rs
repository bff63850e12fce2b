//! Freezing with a lease, pausing, and both at once.

use std::time::Duration;

use berth::shim::protocol::Event;

use crate::check;
use crate::fixture::{Outcome, Plan, Stop, TestContainer};

pub const TESTS: &[crate::Test] = &[
    ("a lease thaws by itself and subscribers are told", lease),
    ("the end of a freeze does not resume a pause", pause),
    ("a frozen container dies at once when it is killed", kill),
    ("a command that comes during a freeze begins when it thaws", command),
];

fn counting() -> Result<TestContainer, Stop> {
    let line = "i=0; while true; do i=$((i+1)); echo $i > /count; usleep 10000; done";
    TestContainer::start(Plan::command(&["sh", "-c", line])?)
}

/// Counts over a tenth of a second.
fn progress(test: &TestContainer) -> Result<i64, Stop> {
    let file = berth_upper(test).join("count");
    let read = || std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<i64>().ok()).unwrap_or(-1);
    let before = read();
    std::thread::sleep(Duration::from_millis(150));
    Ok(read() - before)
}

fn berth_upper(test: &TestContainer) -> std::path::PathBuf {
    test.spec.disk.path().join("upper")
}

fn lease() -> Outcome {
    let test = counting()?;
    let events = test.events()?;
    check!(progress(&test)? > 0, "it does not count");
    let lease = test.client().freeze(Duration::from_millis(400))?;
    check!(progress(&test)? == 0, "it goes on while frozen");
    check!(test.client().status()?.frozen, "not said to be frozen");
    match events.next(Duration::from_secs(5))? {
        Some(Event::LeaseExpired { lease: number, frozen_us }) => {
            check!(number == lease && frozen_us >= 400_000 && frozen_us < 900_000, "{number} {frozen_us}");
        }
        other => return Err(Stop::Failed(format!("{other:?}"))),
    }
    check!(progress(&test)? > 0, "it did not go on");
    check!(test.client().thaw(lease)?.is_none(), "an expired lease was thawed");
    let lease = test.client().freeze(Duration::from_secs(60))?;
    std::thread::sleep(Duration::from_millis(50));
    let held = test.client().thaw(lease)?.unwrap_or_default();
    check!(held >= Duration::from_millis(50), "{held:?}");
    test.finish().map(drop)
}

fn pause() -> Outcome {
    let test = counting()?;
    std::thread::sleep(Duration::from_millis(100));
    test.client().pause()?;
    let lease = test.client().freeze(Duration::from_secs(60))?;
    test.client().thaw(lease)?;
    check!(progress(&test)? == 0, "a thaw resumed the pause");
    test.client().resume()?;
    check!(progress(&test)? > 0, "it did not resume");
    test.finish().map(drop)
}

fn kill() -> Outcome {
    let test = counting()?;
    test.client().pause()?;
    let begun = std::time::Instant::now();
    test.client().kill()?;
    test.wait_exit()?;
    check!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    test.finish().map(drop)
}

fn command() -> Outcome {
    let test = counting()?;
    test.client().freeze(Duration::from_millis(300))?;
    let begun = std::time::Instant::now();
    let (code, text) = test.shell("echo late")?;
    check!(code == 0 && text == "late\n", "{code} {text}");
    check!(begun.elapsed() > Duration::from_millis(200), "it did not wait");
    test.finish().map(drop)
}
