//! A clock that steps: what is recorded at the new time stands behind an event that says so.

use std::sync::Mutex;

use super::*;
use crate::types::{Reading, Span, Step, Trust};

/// Is a clock whose wall and whose time since boot are set by hand, in seconds.
struct Wall(Mutex<(i64, i64)>);

const START: i64 = 1_800_000_000;

impl Wall {
    fn turn(&self, wall: i64, up: i64) {
        let mut state = self.0.lock().unwrap();
        *state = (state.0 + wall, state.1 + up);
    }
}

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        self.reading().wall
    }

    fn reading(&self) -> Reading {
        let (wall, up) = *self.0.lock().unwrap();
        Reading { wall: at(wall), up: Some(Span::from_secs(up)) }
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((START + seconds) * 1_000_000)
}

struct Kept {
    home: Home,
    wall: Arc<Wall>,
    watch: Arc<ClockWatch>,
}

impl Kept {
    fn new() -> Self {
        let wall = Arc::new(Wall(Mutex::new((0, 100))));
        Self { home: Home::new(), watch: Arc::new(ClockWatch::new(wall.clone())), wall }
    }

    fn open(&self) -> SqliteLog {
        let told = |step: &Step| {
            let mut commit = commit("clock", 0, &[&format!("{}", step.micros() / 1_000_000)]);
            commit.expected = Expected::Any;
            commit
        };
        let mut options = self.home.options();
        options.clock = self.wall.clone();
        options.timekeeper = Some(Timekeeper { watch: Arc::clone(&self.watch), told: Box::new(told) });
        SqliteLog::open(&self.home.state(), options).unwrap()
    }
}

/// Returns the stream and the second of each event.
fn told(log: &SqliteLog) -> Vec<(String, i64)> {
    let events = log.read_all(Position::default(), 100).unwrap();
    events
        .iter()
        .map(|event| (event.stream.key().to_owned(), event.recorded_at.as_micros() / 1_000_000 - START))
        .collect()
}

fn row(stream: &str, second: i64) -> (String, i64) {
    (commit(stream, 0, &["x"]).stream.key().to_owned(), second)
}

#[test]
fn a_step_is_told_in_front_of_whatever_comes_at_the_new_time() {
    let kept = Kept::new();
    let log = kept.open();
    append(&log, commit("a", 0, &["x"])).unwrap();
    kept.wall.turn(5, 5);
    append(&log, commit("a", 1, &["x"])).unwrap();
    kept.wall.turn(94_608_000, 1);
    append(&log, commit("a", 2, &["x", "y"])).unwrap();
    kept.wall.turn(-94_607_999, 1);
    append(&log, commit("a", 4, &["x"])).unwrap();
    kept.wall.turn(-1, 0);
    append(&log, commit("a", 5, &["x"])).unwrap();
    let ahead = 94_608_005;
    let expected = [
        row("a", 0),
        row("a", 5),
        row("clock", ahead),
        row("a", ahead),
        row("a", ahead),
        row("clock", 6),
        row("a", 6),
        row("a", 6),
    ];
    assert_eq!(told(&log), expected);
    assert_eq!(kept.watch.trust(), Trust::Doubted);
    assert_eq!(kept.watch.moved(at(5), Position::new(2)), at(4), "there and back, and the second that was lost");
    assert!(verify(&log.reader(), &Evidence::default()).unwrap().is_intact(), "an epoch is no damage");
}

#[test]
fn a_step_is_told_though_nobody_has_anything_to_say() {
    let kept = Kept::new();
    let log = kept.open();
    append(&log, commit("a", 0, &["x"])).unwrap();
    kept.wall.turn(-1_800, 1);
    let begun = std::time::Instant::now();
    while log.head().position.get() < 2 {
        assert!(begun.elapsed() < std::time::Duration::from_mins(1), "the step is not told");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(told(&log), [row("a", 0), row("clock", -1_800)]);
}

#[test]
fn a_log_that_is_ahead_of_the_clock_goes_back_with_a_word() {
    let kept = Kept::new();
    let log = kept.open();
    append(&log, commit("a", 0, &["x"])).unwrap();
    log.close();
    drop(log);
    kept.wall.turn(-94_608_000, 0);
    let later = Kept { watch: Arc::new(ClockWatch::new(kept.wall.clone())), ..kept };
    let log = later.open();
    append(&log, commit("a", 1, &["x"])).unwrap();
    assert_eq!(told(&log), [row("a", 0), row("clock", -94_608_000), row("a", -94_608_000)]);
    assert_eq!(later.watch.epoch(), Some(at(-94_608_000)));
}
