//! What every log engine must do, as a suite that any adapter runs.
//!
//! Call [`conformance`] from a test with a function that makes a fresh, empty log each time. It asserts; a failed
//! assertion names the law. It needs no runtime, only threads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{AppendError, Commit, Committed, EventLog, Expected, Snapshot};
use crate::events::{Context, Envelope, EventReference, NewEvent};
use crate::types::{Category, NodeId, OperationId, Position, Principal, StreamName, Timestamp, Version};

const PATIENCE: Duration = Duration::from_secs(20);
type Log = Arc<dyn EventLog>;

/// Runs every law against fresh logs.
///
/// # Panics
///
/// A law is broken.
pub fn conformance(make: impl Fn() -> Log) {
    let laws: [fn(&Log); 10] = [
        a_new_log_is_empty,
        an_event_comes_back_as_it_was_written,
        a_conflict_rejects_one_commit_and_nothing_else,
        the_same_key_is_the_same_result,
        one_of_many_racers_wins,
        one_of_many_repetitions_is_appended,
        positions_have_no_gaps_under_many_appenders,
        a_subscription_tells_the_same_from_every_position,
        a_live_subscription_tells_everything_once_and_in_order,
        a_snapshot_is_no_event_and_nothing_waits_for_it,
    ];
    for law in laws {
        let log = make();
        law(&log);
        every_read_tells_the_same_story(&log);
    }
}

/// Makes a commit of the container `key` that expects `version` and has one event per body.
pub fn commit(key: &str, version: u64, bodies: &[&str]) -> Commit {
    let event = |body: &&str| NewEvent {
        kind: "Noted".to_owned(),
        schema: 1,
        body: format!("{{\"text\":{body:?}}}").into_bytes(),
        annex: None,
    };
    Commit {
        stream: stream(key),
        expected: Expected::Version(Version::new(version)),
        key: None,
        request_hash: [0; 32],
        context: context(),
        events: bodies.iter().map(event).collect(),
    }
}

fn stream(key: &str) -> StreamName {
    StreamName::new(Category::Container, key)
}

fn context() -> Context {
    Context {
        wall_clock: Timestamp::from_micros(1_234_567),
        boot: "8f6d2c0e-boot".to_owned(),
        principal: Principal::local("alice", 1000),
        operation: OperationId::from_bytes([7; 16]),
        causation: Some(EventReference { stream: stream("cause"), version: Version::new(3) }),
        node: NodeId::from_bytes([9; 16]),
    }
}

fn append(log: &Log, commit: Commit) -> Result<Committed, AppendError> {
    log.append(commit).blocking_recv().expect("the engine answers every commit")
}

fn everything(log: &Log) -> Vec<Envelope> {
    let mut events: Vec<Envelope> = Vec::new();
    loop {
        let after = events.last().map_or(Position::default(), |event| event.position);
        let page = log.read_all(after, 7).expect("the log is readable");
        if page.is_empty() {
            return events;
        }
        events.extend(page);
    }
}

fn a_new_log_is_empty(log: &Log) {
    assert_eq!(log.head().position, Position::default(), "a new log has no event");
    assert!(everything(log).is_empty(), "a new log has no event");
    let read = log.read_stream(&stream("nobody"), Version::default(), 10);
    assert!(read.expect("a stream that does not exist can be read").is_empty());
}

fn an_event_comes_back_as_it_was_written(log: &Log) {
    let mut wanted = commit("a", 0, &["first", "second"]);
    wanted.events[1].annex = Some(b"because".to_vec());
    wanted.events[1].kind.insert(0, 'Ü');
    let committed = append(log, wanted.clone()).expect("a new stream is at version 0");
    let read = log.read_stream(&wanted.stream, Version::default(), 10).expect("the log is readable");
    assert_eq!(read.iter().collect::<Vec<_>>(), committed.events.iter().map(AsRef::as_ref).collect::<Vec<_>>());
    for (index, (event, new)) in read.iter().zip(&wanted.events).enumerate() {
        assert_eq!(event.version.get(), index as u64 + 1, "versions count from 1");
        assert_eq!(event.position.get(), index as u64 + 1, "positions count from 1");
        assert_eq!(event.context, wanted.context, "the context is kept whole");
        assert_eq!((&event.kind, event.schema), (&new.kind, new.schema));
        assert_eq!((&event.body, &event.annex), (&new.body, &new.annex), "bytes are kept as they are");
    }
    let rest = log.read_stream(&wanted.stream, Version::new(1), 10).expect("the log is readable");
    assert_eq!(rest, read[1..], "a read begins after the version it names");
}

fn a_conflict_rejects_one_commit_and_nothing_else(log: &Log) {
    append(log, commit("a", 0, &["1"])).expect("version 0 fits");
    let answers: Vec<_> = [("a", 0), ("b", 0), ("a", 1), ("a", 5), ("c", 1)]
        .into_iter()
        .map(|(key, version)| log.append(commit(key, version, &["x", "y"])))
        .collect();
    let outcomes: Vec<_> = answers.into_iter().map(|answer| answer.blocking_recv().expect("an answer")).collect();
    let conflict = |key: &str, expected, actual| {
        let (expected, actual) = (Version::new(expected), Version::new(actual));
        Some(AppendError::Conflict { stream: stream(key), expected, actual })
    };
    let errors: Vec<_> = outcomes.into_iter().map(Result::err).collect();
    let wanted = [conflict("a", 0, 1), None, None, conflict("a", 5, 3), conflict("c", 1, 0)];
    assert_eq!(errors, wanted, "exactly the stale commits are rejected");
    assert_eq!(log.head().position, Position::new(5), "a rejected commit leaves nothing");
    let any = Commit { expected: Expected::Any, ..commit("a", 0, &["z"]) };
    let appended = append(log, any).expect("any version fits");
    assert_eq!(appended.events[0].version, Version::new(4));
}

fn the_same_key_is_the_same_result(log: &Log) {
    let keyed = |version, hash, bodies| Commit {
        key: Some("operation/1".to_owned()),
        request_hash: [hash; 32],
        ..commit("a", version, bodies)
    };
    let first = append(log, keyed(0, 1, &["1", "2"])).expect("a new key");
    assert!(!first.repeated);
    append(log, commit("a", 2, &["3"])).expect("version 2 fits");
    let again = append(log, keyed(0, 1, &["1", "2"])).expect("the same request is no conflict");
    assert!(again.repeated);
    assert_eq!(again.events, first.events, "the same key is the same result");
    assert_eq!(log.recall("operation/1", [1; 32]), Ok(Some(again)), "and can be asked for");
    assert_eq!(log.recall("operation/1", [2; 32]), Err(AppendError::KeyReused { key: "operation/1".to_owned() }));
    assert_eq!(log.recall("operation/9", [1; 32]), Ok(None));
    let other = append(log, keyed(3, 2, &["4"]));
    assert_eq!(other, Err(AppendError::KeyReused { key: "operation/1".to_owned() }));
    let conflicting = Commit { key: Some("operation/2".to_owned()), ..commit("a", 0, &["5"]) };
    assert!(matches!(append(log, conflicting.clone()), Err(AppendError::Conflict { .. })));
    let retried = Commit { expected: Expected::Version(Version::new(3)), ..conflicting };
    assert!(append(log, retried).is_ok(), "a rejected commit does not use up its key");
}

fn one_of_many_racers_wins(log: &Log) {
    for round in 0..50 {
        let winners = race(8, |racer| append(log, commit("race", round, &[&racer.to_string()])).is_ok());
        assert_eq!(winners, 1, "exactly one of many commits with the same expected version wins");
    }
}

fn one_of_many_repetitions_is_appended(log: &Log) {
    for round in 0..20 {
        let keyed = Commit { key: Some(format!("key/{round}")), ..commit("race", round, &["once"]) };
        let fresh = race(8, |_| !append(log, keyed.clone()).expect("the same request succeeds").repeated);
        assert_eq!(fresh, 1, "a key appends once, however often it comes at the same time");
    }
}

/// Runs `attempt` in many threads at once and counts those that say yes.
fn race(racers: usize, attempt: impl Fn(usize) -> bool + Sync) -> usize {
    std::thread::scope(|scope| {
        let attempt = &attempt;
        let threads: Vec<_> = (0..racers).map(|racer| scope.spawn(move || attempt(racer))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|won| *won).count()
    })
}

fn positions_have_no_gaps_under_many_appenders(log: &Log) {
    let done = race(8, |appender| {
        (0..40).all(|step| append(log, commit(&format!("s{appender}"), step * 2, &["a", "b"])).is_ok())
    });
    assert_eq!(done, 8, "nobody disturbs the others");
    assert_eq!(log.head().position, Position::new(8 * 40 * 2));
}

fn a_subscription_tells_the_same_from_every_position(log: &Log) {
    for step in 0..30 {
        append(log, commit("a", step, &["x"])).expect("nobody else appends");
    }
    let all = everything(log);
    for after in 0..=all.len() {
        let mut subscription = log.subscribe(Position::new(after as u64));
        for event in &all[after..] {
            let told = subscription.next_within(PATIENCE).expect("the log is open").expect("the event is there");
            assert_eq!(*told, *event);
        }
        let more = subscription.try_next().expect("the log is open");
        assert!(more.is_none(), "nothing is told twice");
    }
}

fn a_snapshot_is_no_event_and_nothing_waits_for_it(log: &Log) {
    append(log, commit("a", 0, &["1", "2"])).expect("version 0 fits");
    let snapshot = |version| Snapshot {
        stream: stream("a"),
        version: Version::new(version),
        state_schema: 1,
        state: b"two".to_vec(),
    };
    log.keep(snapshot(3));
    log.keep(snapshot(2));
    append(log, commit("a", 2, &["3"])).expect("version 2 fits");
    let deadline = Instant::now() + PATIENCE;
    let kept = || log.snapshot(&stream("a")).expect("the log is readable");
    while kept().is_none() && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(kept(), Some(snapshot(2)), "it stands at an event, or it is none");
    assert_eq!(log.head().position, Position::new(3), "a snapshot takes no position");
}

fn a_live_subscription_tells_everything_once_and_in_order(log: &Log) {
    const EVENTS: u64 = 4 * 100;
    let listen = |after: u64| {
        let mut subscription = log.subscribe(Position::new(after));
        move || {
            for position in after + 1..=EVENTS {
                let told = subscription.next_within(PATIENCE).expect("the log is open").expect("the event comes");
                assert_eq!(told.position.get(), position, "each event once and in order");
            }
            true
        }
    };
    std::thread::scope(|scope| {
        let listeners: Vec<_> = [0, 0, 17].map(|after| scope.spawn(listen(after))).into();
        let done =
            race(4, |appender| (0..100).all(|step| append(log, commit(&format!("s{appender}"), step, &["x"])).is_ok()));
        assert_eq!(done, 4);
        let late = scope.spawn(listen(0));
        assert!(listeners.into_iter().chain([late]).all(|listener| listener.join().is_ok_and(|told| told)));
    });
}

fn every_read_tells_the_same_story(log: &Log) {
    let all = everything(log);
    assert_eq!(all.len() as u64, log.head().position.get(), "the head is the last event");
    let mut streams: BTreeMap<StreamName, Vec<Envelope>> = BTreeMap::new();
    let mut recorded_at = Timestamp::from_micros(i64::MIN);
    for (event, position) in all.iter().zip(1..) {
        assert_eq!(event.position.get(), position, "positions have no gaps");
        assert!(event.recorded_at >= recorded_at, "recorded times never run backwards");
        recorded_at = event.recorded_at;
        streams.entry(event.stream.clone()).or_default().push(event.clone());
    }
    for (name, events) in &streams {
        assert!(events.iter().zip(1..).all(|(event, version)| event.version.get() == version));
        let mut read = Vec::new();
        while read.len() < events.len() {
            let page = log.read_stream(name, Version::new(read.len() as u64), 11).expect("the log is readable");
            assert!(!page.is_empty(), "{name} has all its events");
            read.extend(page);
        }
        assert_eq!(read, *events, "{name} tells what the whole log tells of it");
    }
    assert_eq!(everything(log), all, "a second replay equals the first");
}
