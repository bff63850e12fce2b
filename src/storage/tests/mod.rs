//! The log as a whole, on real files.

mod damage;
mod derived;
mod durability;
mod epochs;
mod formats;
mod full;
mod read_models;
mod upkeep;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::types::{Clock, Timestamp};
pub(super) use conformance::commit;

/// Is a clock that is turned by hand.
#[derive(Default)]
pub(super) struct Hand(AtomicI64);

impl Hand {
    pub(super) fn set(&self, micros: i64) {
        self.0.store(micros, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000 + self.0.load(Ordering::Relaxed))
    }
}

/// Is a state directory that goes away, with its keys beside it.
pub(super) struct Home {
    directory: tempfile::TempDir,
    pub(super) clock: Arc<Hand>,
}

impl Home {
    pub(super) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), clock: Arc::default() }
    }

    pub(super) fn state(&self) -> std::path::PathBuf {
        self.directory.path().join("state")
    }

    pub(super) fn log(&self) -> std::path::PathBuf {
        self.state().join(LOG_FILE)
    }

    pub(super) fn options(&self) -> Options {
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        let mut options = Options::new(clock, self.directory.path().join("keys"), Arc::new(|_: &Path| Ok(1 << 40)));
        options.reserve = 0;
        options
    }

    pub(super) fn open(&self) -> SqliteLog {
        SqliteLog::open(&self.state(), self.options()).unwrap()
    }
}

pub(super) fn append(log: &SqliteLog, commit: Commit) -> Result<Committed, AppendError> {
    log.append(commit).blocking_recv().unwrap()
}

pub(super) fn wait<T>(answer: oneshot::Receiver<Result<T, AppendError>>) -> Result<T, AppendError> {
    answer.blocking_recv().unwrap()
}

/// Appends `count` commits of one event to each of three streams in turn.
pub(super) fn fill(log: &SqliteLog, count: u64) {
    for step in 0..count {
        for key in ["a", "b", "c"] {
            let mut commit = commit(key, step, &[&format!("{key}{step}")]);
            commit.events[0].annex = (key == "b").then(|| format!("secret of {step}").into_bytes());
            append(log, commit).unwrap();
        }
    }
}

#[test]
fn the_embedded_log_is_a_log() {
    let homes = std::sync::Mutex::new(Vec::new());
    conformance::conformance(|| {
        let home = Home::new();
        let log = Arc::new(home.open());
        homes.lock().unwrap().push(home);
        log
    });
}

#[test]
fn a_full_queue_answers_at_once() {
    let home = Home::new();
    let log = SqliteLog::open(&home.state(), Options { queue: 1, ..home.options() }).unwrap();
    let answers: Vec<_> = (0..2_000).map(|n| log.append(commit(&format!("s{n}"), 0, &["x"]))).collect();
    let outcomes: Vec<_> = answers.into_iter().map(wait).collect();
    assert!(outcomes.iter().any(|outcome| matches!(outcome, Err(AppendError::Busy { waiting: 1 }))));
    let appended = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(log.reader().position().unwrap().get(), appended as u64, "what was refused is not in the log");
}

#[test]
fn the_recorded_time_never_runs_backwards_and_finds_positions() {
    let home = Home::new();
    let log = home.open();
    for (step, micros) in [10, 30, 20, 50].into_iter().enumerate() {
        home.clock.set(micros);
        append(&log, commit("a", step as u64, &["x"])).unwrap();
    }
    home.clock.set(0);
    let base = home.clock.now().as_micros();
    let recorded = |event: Envelope| event.recorded_at.as_micros() - base;
    let times: Vec<_> = log.read_all(Position::default(), 10).unwrap().into_iter().map(recorded).collect();
    assert_eq!(times, [10, 30, 30, 50]);
    let (first, last) = (Position::new(1), log.head().position);
    let at = |micros| log.reader().position_at(Timestamp::from_micros(base + micros), first, last).unwrap().get();
    assert_eq!([9, 10, 29, 30, 49, 50, 99].map(at), [0, 1, 1, 3, 3, 4, 4]);
}

#[test]
fn an_event_too_large_is_refused_alone() {
    let home = Home::new();
    let log = home.open();
    let mut large = commit("a", 0, &["x"]);
    large.events[0].body = vec![b'x'; CONTENT_LIMIT + 1];
    assert!(matches!(append(&log, large), Err(AppendError::TooLarge { .. })));
    assert!(append(&log, commit("a", 0, &["x"])).is_ok());
}

#[tokio::test]
async fn a_subscription_can_be_awaited() {
    let home = Home::new();
    let log = Arc::new(home.open());
    let mut subscription = log.subscribe(Position::default());
    let writer = Arc::clone(&log);
    let appending = tokio::spawn(async move {
        for step in 0..100 {
            writer.append(commit("a", step, &["x"])).await.unwrap().unwrap();
        }
    });
    for position in 1..=100 {
        assert_eq!(subscription.next().await.unwrap().position.get(), position);
    }
    appending.await.unwrap();
    log.close();
    assert!(matches!(subscription.next().await, Err(SubscriptionError::Closed)));
    let refused = log.append(commit("a", 100, &["x"])).await.unwrap();
    assert!(matches!(refused, Err(AppendError::Unavailable { .. })));
}

#[test]
fn a_slow_subscription_falls_back_to_the_disk() {
    let home = Home::new();
    let log = home.open();
    let mut slow = log.subscribe(Position::default());
    append(&log, commit("a", 0, &["x"])).unwrap();
    assert_eq!(slow.try_next().unwrap().unwrap().position.get(), 1);
    for step in 1..300 {
        append(&log, commit("a", step, &["x"])).unwrap();
    }
    for position in 2..=300 {
        assert_eq!(slow.try_next().unwrap().unwrap().position.get(), position);
    }
    assert!(slow.try_next().unwrap().is_none());
}
