//! Figures of the event log, each beside its raw peer in the same run: `cargo bench --bench log`.
//!
//! Appending is measured with everything on (leaf hashes, idempotency keys, a projection, checkpoints) against plain
//! SQLite with the same durability and one row per commit. The rounds alternate; medians are printed, losses too.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth::events::Envelope;
use berth::storage::{
    Commit, EventStore, Evidence, Expected, InlineProjection, Options, Reader, SqliteStore, conformance, verify,
};
use berth::types::{Clock, Position, Timestamp, Version};
use rusqlite::{Connection, params};
use serde_json::{Value, json};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
const REPLAYED: u64 = 300_000;
const BODY: &str = "container started: memory 536870912, cpu 2.0, network lan, address 10.0.3.17";

struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from(chrono::Utc::now())
    }
}

/// Keeps the last state of each stream, as a real read model does.
struct Current;

impl InlineProjection for Current {
    fn name(&self) -> &'static str {
        "current"
    }
    fn version(&self) -> u32 {
        1
    }
    fn keys(&self, event: &Envelope) -> Vec<String> {
        vec![event.stream.to_string()]
    }
    fn fold(&self, _key: &str, row: Option<Value>, event: &Envelope) -> Option<Value> {
        let starts = row.map_or(0, |row| row["starts"].as_u64().unwrap_or(0)) + 1;
        Some(json!({ "starts": starts, "at": event.recorded_at, "version": event.version }))
    }
}

fn open(directory: &Path) -> SqliteStore {
    let mut options = Options::new(Arc::new(Wall), directory.join("keys"), Arc::new(|_: &Path| Ok(1 << 40)));
    options.projections = vec![Box::new(Current)];
    options.ballast = 0;
    SqliteStore::open(&directory.join("state"), options).expect("the log opens")
}

fn commit(key: &str, version: u64) -> Commit {
    Commit { key: Some(format!("{key}/{version}")), ..conformance::commit(key, version, &[BODY]) }
}

/// Appends from `appenders` tasks of one thread, as actors of one arbiter do, and returns events per second.
fn append_round(store: &Arc<SqliteStore>, appenders: usize, round: usize) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let started = Instant::now();
    let tasks = tokio::task::LocalSet::new();
    let done: Vec<_> = (0..appenders)
        .map(|appender| {
            tasks.spawn_local(append_in_turn(Arc::clone(store), format!("r{round}-{appenders}-{appender}"), started))
        })
        .collect();
    runtime.block_on(tasks);
    let done: u64 = done.into_iter().map(|task| runtime.block_on(task).expect("the task ends")).sum();
    done as f64 / started.elapsed().as_secs_f64()
}

async fn append_in_turn(store: Arc<SqliteStore>, key: String, started: Instant) -> u64 {
    let mut version = 0;
    while started.elapsed() < ROUND {
        store.append(commit(&key, version)).await.expect("the writer lives").expect("the commit fits");
        version += 1;
    }
    version
}

fn raw(directory: &Path) -> Connection {
    let raw = Connection::open(directory.join("raw.db")).expect("SQLite opens");
    raw.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE events (position INTEGER PRIMARY KEY, stream INTEGER, version INTEGER, kind INTEGER, at INTEGER,
            operation BLOB, body BLOB, UNIQUE (stream, version)) STRICT",
    )
    .expect("the table is made");
    raw
}

fn insert_raw(raw: &Connection, version: u64) {
    raw.prepare_cached("INSERT INTO events (stream, version, kind, at, operation, body) VALUES (1, ?1, 1, 1, ?2, ?3)")
        .and_then(|mut insert| insert.execute(params![version as i64, [7_u8; 16], BODY.as_bytes()]))
        .expect("the row fits");
}

/// Inserts `batch` plain rows per transaction for one round and returns rows per second.
fn raw_round(raw: &Connection, next: &mut u64, batch: u64) -> f64 {
    let (started, first) = (Instant::now(), *next);
    while started.elapsed() < ROUND {
        raw.execute_batch("BEGIN IMMEDIATE").expect("a transaction");
        for _ in 0..batch {
            insert_raw(raw, *next);
            *next += 1;
        }
        raw.execute_batch("COMMIT").expect("a commit");
    }
    (*next - first) as f64 / started.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn appending() {
    let directory = tempfile::tempdir_in(std::env::var("BERTH_BENCH_DIR").unwrap_or_else(|_| "target".to_owned()))
        .expect("a directory");
    let (store, raw, mut next) = (Arc::new(open(directory.path())), raw(directory.path()), 1);
    let mut figures: [Vec<f64>; 5] = Default::default();
    for round in 0..ROUNDS {
        figures[0].push(raw_round(&raw, &mut next, 1));
        figures[1].push(append_round(&store, 1, round));
        figures[2].push(append_round(&store, 10, round));
        figures[3].push(append_round(&store, 100, round));
        figures[4].push(raw_round(&raw, &mut next, 100));
    }
    let [one, solo, ten, hundred, batched] = figures.map(median);
    println!("append, durable before the answer, medians of {ROUNDS} alternating rounds");
    println!("  raw SQLite FULL, one row per commit     {one:>9.0}/s");
    println!("  raw SQLite FULL, 100 rows per commit    {batched:>9.0}/s  {:>5.1}x", batched / one);
    for (appenders, rate) in [(1, solo), (10, ten), (100, hundred)] {
        println!("  log, everything on, {appenders:>3} appenders       {rate:>9.0}/s  {:>5.1}x", rate / one);
    }
}

/// Fills a log with many large commits, without waiting for each.
fn fill(store: &SqliteStore) {
    const EVENTS: u64 = 50;
    let bodies = [BODY; EVENTS as usize];
    let mut answers = std::collections::VecDeque::new();
    for number in 0..REPLAYED / EVENTS {
        let (stream, version) = (number % 1_000, number / 1_000 * EVENTS);
        let commit = Commit {
            expected: Expected::Version(Version::new(version)),
            ..conformance::commit(&format!("s{stream}"), version, &bodies)
        };
        answers.push_back(store.append(commit));
        if answers.len() > 1_000 {
            let answer = answers.pop_front().map(tokio::sync::oneshot::Receiver::blocking_recv);
            answer.expect("one is waiting").expect("the writer lives").expect("the commit fits");
        }
    }
    for answer in answers {
        answer.blocking_recv().expect("the writer lives").expect("the commit fits");
    }
}

fn replaying() {
    let directory = tempfile::tempdir_in("target").expect("a directory");
    let store = open(directory.path());
    let started = Instant::now();
    fill(&store);
    rate("  append, 50 events per commit", started);
    drop(store);
    let reader = Reader::open(&directory.path().join("state")).expect("the log opens");
    let mut bytes = 0;
    let mut count = 0_u64;
    let started = Instant::now();
    reader
        .for_each(Position::default(), Position::new(u64::MAX), |event| {
            bytes += event.body.len();
            count += 1;
            std::ops::ControlFlow::Continue(())
        })
        .expect("the log is readable");
    rate("  replay into envelopes", started);
    assert_eq!(count, REPLAYED, "{bytes} bytes");
    let started = Instant::now();
    reader.rows_at(&Current, Position::new(u64::MAX)).expect("the log is readable");
    rate("  replay and fold a JSON projection", started);
    let started = Instant::now();
    let report = verify(&reader, &Evidence::default()).expect("the log is readable");
    rate("  verify: every hash, root and order", started);
    assert!(report.is_intact(), "{report}");
    let started = Instant::now();
    drop(open(directory.path()));
    println!("  open again                             {:>9.1} ms", started.elapsed().as_secs_f64() * 1e3);
    let size = std::fs::metadata(reader.path()).map_or(0, |file| file.len());
    println!("  on disk                                {:>9} bytes per event", size / REPLAYED);
}

fn rate(what: &str, started: Instant) {
    println!("{what:<40} {:>9.0}/s", REPLAYED as f64 / started.elapsed().as_secs_f64());
}

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only wants to know that it builds
    }
    appending();
    println!("replay, {REPLAYED} events in 1,000 streams, warm cache");
    replaying();
}
