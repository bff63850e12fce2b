//! Figures of the event log, each beside its raw peer in the same run: `cargo bench --bench log [-- append|replay]`.
//!
//! Appending is measured with everything on (leaf hashes, idempotency keys, a projection, checkpoints) against plain
//! SQLite with the same durability, and against PostgreSQL where `BERTH_BENCH_POSTGRES` names the socket directory of a
//! server (`bench/log.sh` starts one). The rounds alternate; medians are printed, losses too. On a disk that others use,
//! too, the times say little: what is told as CPU is the time that the kernel counted for the thread.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth::events::Envelope;
use berth::storage::{
    Commit, EventLog, Evidence, Expected, InlineProjection, Options, Reader, SqliteLog, conformance, verify,
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

fn open(directory: &Path) -> SqliteLog {
    let mut options = Options::new(Arc::new(Wall), directory.join("keys"), Arc::new(|_: &Path| Ok(1 << 40)));
    options.projections = vec![Box::new(Current)];
    options.reserve = 0;
    SqliteLog::open(&directory.join("state"), options).expect("the log opens")
}

fn commit(key: &str, version: u64) -> Commit {
    Commit { key: Some(format!("{key}/{version}")), ..conformance::commit(key, version, &[BODY]) }
}

/// Appends from `appenders` tasks of one thread, as actors of one arbiter do, and returns events per second.
fn append_round(store: &Arc<SqliteLog>, appenders: usize, round: usize) -> f64 {
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

async fn append_in_turn(store: Arc<SqliteLog>, key: String, started: Instant) -> u64 {
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

/// Returns for how many seconds a thread has run on a processor (the first field of `schedstat`, in nanoseconds).
fn cpu(task: &Path) -> f64 {
    let text = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    text.split(' ').next().and_then(|field| field.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e9
}

fn own_cpu() -> f64 {
    cpu(Path::new("/proc/thread-self"))
}

/// Returns how long the writer's thread has run.
fn writer_cpu() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the kernel lists threads").flatten();
    let named = |task: &Path| std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "log-writer");
    tasks.map(|task| task.path()).filter(|task| named(task)).map(|task| cpu(&task)).sum()
}

/// Runs one round of single-row commits by pgbench, some 4,000 in all; nothing where there is no server.
fn postgres_round(clients: usize) -> Option<f64> {
    let socket = std::env::var("BERTH_BENCH_POSTGRES").ok()?;
    let script = Path::new(&socket).join("insert.sql");
    let (each, clients) = ((4_000 / clients).min(1_000).to_string(), clients.to_string());
    let output = std::process::Command::new("pgbench")
        .args(["-h", &socket, "-U", "postgres", "-n", "-M", "prepared", "-j", "1", "-t", &each, "-c", &clients, "-f"])
        .arg(script)
        .arg("postgres")
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    assert!(rate.is_some(), "pgbench said {said} {}", String::from_utf8_lossy(&output.stderr));
    rate
}

const APPENDERS: [usize; 3] = [1, 10, 100];

/// Is what the rounds of appending measured, one value per round.
#[derive(Default)]
struct Appending {
    raw: Vec<f64>,
    raw_hundred: Vec<f64>,
    raw_cpu: Vec<f64>,
    log: [Vec<f64>; 3],
    log_cpu: Vec<f64>,
    postgres: [Vec<f64>; 3],
}

impl Appending {
    fn round(&mut self, store: &Arc<SqliteLog>, raw: &Connection, next: &mut u64, round: usize) {
        self.raw.push(raw_round(raw, next, 1));
        for (index, appenders) in APPENDERS.into_iter().enumerate() {
            let (before, head) = (writer_cpu(), store.head().position.get());
            self.log[index].push(append_round(store, appenders, round));
            let (spent, events) = (writer_cpu() - before, store.head().position.get() - head);
            if appenders == 100 {
                self.log_cpu.push(spent * 1e6 / events as f64);
            }
            self.postgres[index].extend(postgres_round(appenders));
        }
        let (before, first) = (own_cpu(), *next);
        self.raw_hundred.push(raw_round(raw, next, 100));
        self.raw_cpu.push((own_cpu() - before) * 1e6 / (*next - first) as f64);
    }

    fn print(self) {
        let [one, batched, raw_cpu, log_cpu] = [self.raw, self.raw_hundred, self.raw_cpu, self.log_cpu].map(median);
        println!("append, durable before the answer, medians of {ROUNDS} alternating rounds");
        println!("  raw SQLite FULL, one row per commit     {one:>9.0}/s");
        println!("  raw SQLite FULL, 100 rows per commit    {batched:>9.0}/s  {:>5.1}x", batched / one);
        for ((appenders, log), postgres) in APPENDERS.into_iter().zip(self.log).zip(self.postgres) {
            let rate = median(log);
            print!("  log, everything on, {appenders:>3} appenders       {rate:>9.0}/s  {:>5.1}x", rate / one);
            if postgres.is_empty() {
                println!();
            } else {
                let postgres = median(postgres);
                println!("  PostgreSQL {postgres:>7.0}/s, {:.2}x of it", rate / postgres);
            }
        }
        println!("  CPU of the writer, 100 appenders        {log_cpu:>9.2} us per event");
        println!("  CPU of raw SQLite, 100 rows per commit  {raw_cpu:>9.2} us per row  {:>5.1}x", log_cpu / raw_cpu);
        if std::env::var_os("BERTH_BENCH_POSTGRES").is_none() {
            println!("  PostgreSQL is left out: bench/log.sh starts one where it is installed");
        }
    }
}

/// Makes a directory on the disk that is measured.
fn workplace() -> tempfile::TempDir {
    let place = std::env::var("BERTH_BENCH_DIR").unwrap_or_else(|_| "target".to_owned());
    tempfile::tempdir_in(place).expect("a directory")
}

fn appending() {
    let directory = workplace();
    let (store, raw, mut next) = (Arc::new(open(directory.path())), raw(directory.path()), 1);
    let mut figures = Appending::default();
    for round in 0..ROUNDS {
        figures.round(&store, &raw, &mut next, round);
    }
    figures.print();
}

/// Fills a log with many large commits, without waiting for each.
fn fill(store: &SqliteLog) {
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
    let directory = workplace();
    let store = open(directory.path());
    let started = Instant::now();
    fill(&store);
    let took = started.elapsed().as_secs_f64();
    println!("{:<40} {:>9.0}/s", "  append, 50 events per commit", REPLAYED as f64 / took);
    drop(store);
    let reader = Reader::open(&directory.path().join("state")).expect("the log opens");
    let mut count = 0_u64;
    rate("  replay into envelopes", || {
        let counted = reader.for_each(Position::default(), Position::new(u64::MAX), |_| {
            count += 1;
            std::ops::ControlFlow::Continue(())
        });
        counted.expect("the log is readable");
    });
    assert_eq!(count, REPLAYED);
    rate("  replay and fold a JSON projection", || {
        reader.rows_at(&Current, Position::new(u64::MAX)).expect("the log is readable");
    });
    rate("  verify: every hash, root and order", || {
        let report = verify(&reader, &Evidence::default()).expect("the log is readable");
        assert!(report.is_intact(), "{report}");
    });
    let started = Instant::now();
    drop(open(directory.path()));
    println!("  open again                             {:>9.1} ms", started.elapsed().as_secs_f64() * 1e3);
    let size = std::fs::metadata(reader.path()).map_or(0, |file| file.len());
    println!("  on disk                                {:>9} bytes per event", size / REPLAYED);
}

/// Prints how many events of the log are done per second, and per second of this thread on a processor.
fn rate(what: &str, work: impl FnOnce()) {
    let (started, before) = (Instant::now(), own_cpu());
    work();
    let (wall, cpu) = (started.elapsed().as_secs_f64(), own_cpu() - before);
    let of = |seconds: f64| REPLAYED as f64 / seconds;
    println!("{what:<40} {:>9.0}/s  {:>9.0} per second of CPU", of(wall), of(cpu));
}

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only wants to know that it builds
    }
    let wanted = |part: &str| {
        let mut named = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
        named.peek().is_none() || named.any(|argument| argument == part)
    };
    if wanted("append") {
        appending();
    }
    if wanted("replay") {
        println!("replay, {REPLAYED} events in 1,000 streams, warm cache");
        replaying();
    }
}
