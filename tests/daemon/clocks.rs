//! A clock that is wrong and put right: what fires, what is deleted, what is said. The daemon alone is shown another time
//! (libfaketime); the time since boot, and the clock of the machine, stay as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::check;
use crate::fixture::{Node, PATIENCE};
use crate::harness::{Outcome, Stop, Test, need};

pub const TESTS: &[Test] = &[
    ("two days ahead and then right: schedules fire, nothing is lost, and it is told", two_days_ahead),
    ("three days ahead: what is to be caught up waits, what comes runs", three_days_ahead),
    ("three years ahead and then right in one life: no grave is purged by it", three_years_ahead),
    ("half an hour ahead and back in one life stops nothing", there_and_back),
    ("a clock before 1970 is refused, one of 1970 or far ahead stops nobody", before_1970),
];

const DAY: i64 = 86_400;

/// Finds the library of Debian's package faketime.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all = folders.chain([PathBuf::from("/usr/lib"), PathBuf::from("/usr/local/lib")]);
    all.find_map(|folder| Some(folder.join("faketime/libfaketimeMT.so.1")).filter(|path| path.exists()))
}

/// Is a node whose daemon and command line are shown a time of their own.
struct Shifted {
    node: Node,
    file: PathBuf,
}

impl Shifted {
    /// Makes the place; nothing, with a word, where the library is not there.
    fn new(name: &str) -> Result<Option<Self>, Stop> {
        let Some(library) = library() else {
            eprintln!("skipped {name}: the package faketime is not installed");
            return Ok(None);
        };
        let mut node = Node::new(name)?;
        let file = node.place.join("time");
        let words = [
            "env".to_owned(),
            format!("LD_PRELOAD={}", library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", file.display()),
            "FAKETIME_NO_CACHE=1".to_owned(),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
            "DONT_FAKE_MONOTONIC=1".to_owned(),
        ];
        node.wrapper = words.to_vec();
        node.client_wrapper = words.to_vec();
        Ok(Some(Self { node, file }))
    }

    /// Sets the clock so many seconds off.
    fn shift(&self, seconds: i64) -> Outcome {
        // In one step: a reader must not find half a file.
        let fresh = self.file.with_extension("fresh");
        fs::write(&fresh, format!("{seconds:+}\n"))?;
        Ok(fs::rename(&fresh, &self.file)?)
    }

    /// Sets the clock so far off, and further to shortly before a full minute.
    fn shift_before_a_minute(&self, seconds: i64) -> Result<i64, Stop> {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let shift = seconds + (56 - (now + seconds).rem_euclid(60)).rem_euclid(60);
        self.shift(shift)?;
        Ok(shift)
    }

    fn node_status(&self) -> Result<Value, Stop> {
        self.node.must(&["node", "status", "-o", "json"])?.json()
    }

    fn clock_steps(&self) -> Result<Vec<Value>, Stop> {
        let all = self.node.must(&["event", "list", "--kind", "ClockStepped", "-o", "json"])?.json()?;
        Ok(all["items"].as_array().cloned().unwrap_or_default())
    }

    fn schedule(&self, name: &str) -> Result<Value, Stop> {
        self.node.must(&["schedule", "show", name, "-o", "json"])?.json()
    }

    /// Waits until something is so.
    fn until(&self, what: &str, patience: Duration, wanted: impl Fn() -> Result<bool, Stop>) -> Outcome {
        let begun = Instant::now();
        while !wanted()? {
            check!(begun.elapsed() < patience, "{what}: not after {patience:?}\n{}", self.node.words());
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Waits until the newest slot of a schedule was fired in this hour of the clock, and its batch has ended.
    fn fires(&self, name: &str, shift: i64) -> Outcome {
        self.until(&format!("{name} fires"), PATIENCE * 2, || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64 + shift;
            let row = self.schedule(name)?;
            let slots = row["slots"].as_array().cloned().unwrap_or_default();
            Ok(slots.last().is_some_and(|slot| {
                let at = chrono::DateTime::parse_from_rfc3339(slot["slot"].as_str().unwrap_or_default());
                let near = at.is_ok_and(|at| (at.timestamp() - now).abs() < 100);
                near && slot["fate"] == "fired" && slot["outcome"] != Value::Null
            }))
        })
    }

    fn state_of(&self, name: &str) -> Result<String, Stop> {
        let all = self.node.must(&["container", "list", "--all", "-o", "json"])?.json()?;
        let rows = all["items"].as_array().cloned().unwrap_or_default();
        let row = rows.iter().find(|row| row["name"] == name).ok_or(format!("no {name} in {all}"))?;
        Ok(row["state"].as_str().unwrap_or_default().to_owned())
    }
}

const CREATE: [&str; 6] = ["--template", "bb", "--disk-kind", "directory", "--network", "none"];

fn container(node: &Node, name: &str) -> Outcome {
    node.must(&[&["container", "create", name], CREATE.as_slice()].concat()).map(drop)
}

fn every_minute(node: &Node, name: &str) -> Outcome {
    let words = ["schedule", "create", name, "--cron", "* * * * *", "--action", "backup", "--select", "all"];
    node.must(&words).map(drop)
}

fn store(node: &Node) -> Outcome {
    let folder = node.place.join("store");
    node.must(&["store", "create", "main", &path(&folder)]).map(drop)
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn two_days_ahead() -> Outcome {
    need(&["start-containers"])?;
    let Some(mut clock) = Shifted::new("two-days")? else { return Ok(()) };
    clock.shift(2 * DAY)?;
    clock.node.start()?;
    clock.node.template()?;
    container(&clock.node, "c1")?;
    container(&clock.node, "c2")?;
    store(&clock.node)?;
    clock.node.must(&["container", "delete", "c2", "--grave", "1h"])?;
    every_minute(&clock.node, "tick")?;
    let ahead = clock.shift_before_a_minute(2 * DAY)?;
    clock.fires("tick", ahead)?;
    clock.node.stop()?;

    let right = clock.shift_before_a_minute(0)?;
    clock.node.start()?;
    let steps = clock.clock_steps()?;
    check!(
        steps.last().is_some_and(|step| step["sentence"].as_str().is_some_and(|words| words.contains("since boot"))),
        "{steps:#?}"
    );
    let status = clock.node_status()?;
    check!(status["clock"]["trust"] == "doubted", "{status:#}");
    for words in [&["ps"][..], &["backup", "coverage"], &["node", "status"]] {
        let told = clock.node.must(words)?.out;
        check!(told.contains("berth node confirm-clock"), "{words:?} does not say it: {told}");
    }
    let told = clock.node.must(&["ps"])?.out;
    check!(told.contains("clock was ahead") && !told.contains("0s ago"), "{told}");
    let coverage = clock.node.must(&["backup", "coverage", "-o", "json"])?.json()?;
    let row = &coverage["items"][0];
    check!(row["age"] == Value::Null && row["warnings"].to_string().contains("clock-ahead"), "{row:#}");
    let doctor = clock.node.must(&["doctor", "-o", "json"])?.json()?;
    let finding =
        doctor["findings"].as_array().and_then(|all| all.iter().find(|one| one["feature"] == "clock")).cloned();
    check!(finding.is_some_and(|finding| finding["ok"] == false), "{doctor:#}");

    every_minute(&clock.node, "other")?;
    let promised = clock.node.must(&["schedule", "next", "tick", "--count", "1", "-o", "json"])?.json()?;
    clock.fires("tick", right)?;
    clock.fires("other", right)?;
    let row = clock.schedule("tick")?;
    let fired = row["slots"].as_array().and_then(|slots| slots.last()).map(|slot| slot["slot"].clone());
    check!(fired.as_ref() == Some(&promised["items"][0]["slot"]), "promised {promised:#}, fired {row:#}");
    let latest = clock.node.must(&["backup", "show", "c1@latest", "-o", "json"])?.json()?;
    check!(latest["base"] != Value::Null, "it is not based on the one before it: {latest:#}");
    let told = clock.node.must(&["ps"])?.out;
    check!(!told.contains("clock was ahead"), "{told}");
    check!(clock.state_of("c2")? == "deleted", "the grave is purged");

    clock.node.must(&["node", "confirm-clock", "--reason", "looked at the watch"])?;
    check!(clock.node_status()?["clock"]["trust"] == "sure", "{:#}", clock.node_status()?);
    thread::sleep(Duration::from_secs(6));
    check!(clock.state_of("c2")? == "deleted", "the grave is purged");
    clock.node.must(&["schedule", "delete", "tick"])?;
    clock.node.must(&["schedule", "delete", "other"])?;
    let audit = clock.node.must(&["audit", "verify"])?;
    check!(audit.out.contains("whole"), "{audit:?}");
    clock.node.finish()
}

fn three_days_ahead() -> Outcome {
    need(&["start-containers"])?;
    let Some(mut clock) = Shifted::new("three-days")? else { return Ok(()) };
    clock.shift(0)?;
    clock.node.start()?;
    clock.node.template()?;
    container(&clock.node, "c1")?;
    let words = ["schedule", "create", "each", "--cron", "* * * * *", "--action", "defragment", "--select", "all"];
    clock.node.must(&[&words[..], &["--catch-up", "all"]].concat())?;
    let ahead = clock.shift_before_a_minute(3 * DAY)?;
    clock.until("the step is told", PATIENCE, || Ok(clock.clock_steps()?.len() == 1))?;
    let promised = clock.node.must(&["schedule", "next", "each"])?.out;
    check!(!promised.contains("does not fire") && promised.contains("berth node confirm-clock"), "{promised}");
    clock.fires("each", ahead)?;
    let row = clock.schedule("each")?;
    let fired = row["fired"].as_u64().unwrap_or_default();
    // All but the newest 24 of what it jumped over are let go at once.
    check!(row["missed"].as_u64() > Some(4_000) && row["gaps"] != serde_json::json!([]), "{row:#}");
    clock.node.must(&["node", "confirm-clock"])?;
    clock.until("what was set aside is caught up", PATIENCE * 2, || {
        let row = clock.schedule("each")?;
        Ok(row["fired"].as_u64().unwrap_or_default() >= fired + 24 && row["gaps"] == serde_json::json!([]))
    })?;
    clock.node.must(&["schedule", "delete", "each"])?;
    clock.node.finish()
}

fn three_years_ahead() -> Outcome {
    need(&["start-containers"])?;
    let Some(mut clock) = Shifted::new("three-years")? else { return Ok(()) };
    clock.shift(0)?;
    clock.node.start()?;
    clock.node.template()?;
    for name in ["c1", "c2", "c3"] {
        container(&clock.node, name)?;
    }
    clock.node.must(&["container", "delete", "c1", "--grave", "1h"])?;
    clock.shift(3 * 365 * DAY)?;
    clock.until("the step is told", PATIENCE, || Ok(clock.clock_steps()?.len() == 1))?;
    thread::sleep(Duration::from_secs(6));
    check!(clock.state_of("c1")? == "deleted", "the grave is purged by a clock that jumped");
    clock.node.must(&["container", "delete", "c2", "--grave", "1h"])?;
    clock.node.must(&["container", "delete", "c3", "--grave", "1s"])?;
    thread::sleep(Duration::from_secs(6));
    check!(clock.state_of("c3")? == "deleted", "something is deleted by a clock that is doubted");
    clock.node.must(&["node", "confirm-clock"])?;
    check!(clock.node_status()?["clock"]["trust"] == "sure", "{:#}", clock.node_status()?);
    clock.until("what is due is purged once it is confirmed", PATIENCE, || Ok(clock.state_of("c3")? == "purged"))?;
    check!(clock.state_of("c1")? == "deleted", "an hour lasts an hour, whatever the clock does");

    clock.shift(0)?;
    clock.until("the step back is told", PATIENCE, || Ok(clock.clock_steps()?.len() == 2))?;
    check!(clock.node_status()?["clock"]["trust"] == "doubted", "{:#}", clock.node_status()?);
    clock.node.must(&["node", "confirm-clock"])?;
    thread::sleep(Duration::from_secs(6));
    check!(clock.state_of("c1")? == "deleted" && clock.state_of("c2")? == "deleted", "a grave is purged");
    let row = clock.node.must(&["container", "list", "--all", "-o", "json"])?.json()?;
    let rows = row["items"].as_array().cloned().unwrap_or_default();
    for row in rows.iter().filter(|row| row["state"] == "deleted") {
        let until =
            chrono::DateTime::parse_from_rfc3339(row["deleted_until"].as_str().unwrap_or_default())?.timestamp();
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
        check!((0..=3_600).contains(&(until - now)), "{} is to be purged in {}s", row["name"], until - now);
    }
    let ahead = clock.clock_steps()?[1]["position"].as_u64().unwrap_or_default() - 1;
    let event = clock.node.must(&["event", "show", &ahead.to_string(), "-o", "json"])?.json()?;
    let time = event["recorded_at"].as_str().unwrap_or_default().to_owned();
    let then = clock.node.must(&["container", "list", "--all", "--as-of", &time, "-o", "json"])?.json()?;
    check!(then["as_of"]["position"] == ahead, "the time of then is not found: {then:#}");
    clock.node.finish()
}

fn there_and_back() -> Outcome {
    need(&["start-containers"])?;
    let Some(mut clock) = Shifted::new("there-and-back")? else { return Ok(()) };
    clock.shift(0)?;
    clock.node.start()?;
    clock.node.template()?;
    store(&clock.node)?;
    clock.node.must(&[
        "container",
        "create",
        "c1",
        "--template",
        "bb",
        "--disk-kind",
        "directory",
        "--start",
        "--",
        "sh",
        "-c",
        "trap '' TERM; sleep 1000",
    ])?;
    every_minute(&clock.node, "tick")?;
    let shift = clock.shift_before_a_minute(1_800)?;
    clock.fires("tick", shift)?;
    clock.node.must(&["container", "stop", "c1", "--grace", "8s", "--no-wait"])?;
    let begun = Instant::now();
    let shift = clock.shift_before_a_minute(0)?;
    clock.fires("tick", shift)?;
    clock.node.wait_for("c1", |row| row["state"] == "stopped")?;
    check!(begun.elapsed() < Duration::from_mins(1), "the grace is as long as the clock was off");
    clock.until("both steps are told", PATIENCE, || Ok(clock.clock_steps()?.len() >= 2))?;
    clock.node.must(&["schedule", "delete", "tick"])?;
    clock.node.finish()
}

fn before_1970() -> Outcome {
    let Some(mut clock) = Shifted::new("before-1970")? else { return Ok(()) };
    clock.shift(0)?;
    clock.node.start()?;
    clock.node.stop()?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    clock.shift(-now - 10 * DAY)?;
    let refused = clock.node.start();
    let words = clock.node.words();
    check!(refused.is_err() && words.contains("[clock.before-1970]") && words.contains("date --set"), "{words}");
    for words in [&["ps"][..], &["event", "list"], &["node", "status"]] {
        let told = clock.node.must(words)?;
        check!(!told.err.contains("panicked"), "{told:?}");
    }
    check!(!words.contains("panicked"), "{words}");
    // The first second of all: a clock without a battery, which a time service then puts right.
    clock.shift(-now + 60)?;
    clock.node.start()?;
    let status = clock.node_status()?;
    check!(status["clock"]["stepped"]["to"].as_str().is_some_and(|to| to.starts_with("1970-01-01")), "{status:#}");
    clock.node.must(&["ps"])?;
    clock.shift(0)?;
    clock.until("the right time is told", PATIENCE, || Ok(clock.clock_steps()?.len() == 2))?;
    // And far ahead, as a broken clock of the board may be.
    clock.shift(80 * 365 * DAY)?;
    clock.until("the time far ahead is told", PATIENCE, || Ok(clock.clock_steps()?.len() == 3))?;
    clock.node.must(&["node", "status"])?;
    clock.node.stop()?;
    clock.shift(0)?;
    clock.node.start()?;
    check!(clock.clock_steps()?.len() == 4, "{:#?}", clock.clock_steps()?);
    let words = clock.node.words();
    check!(!words.contains("panicked"), "{words}");
    clock.node.finish()
}
