//! Figures of recovery: `cargo bench --bench recovery [-- ACTORS EVENTS]`, 10,000 and 1,000,000 unless said otherwise.
//!
//! Each stream is a container's with its real facts: made, then started and stopped again and again. All states are made
//! from the log in three ways (one scan over everything, one read per stream, a snapshot and its tail), and at last as a
//! daemon does it: an actor each, which answers its first command.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use actix::{Arbiter, System};
use berth::actors::{House, Mode, Order, Registry, Replica, RetryPolicy};
use berth::domain::container::{Command, Container};
use berth::domain::{Given, testing};
use berth::effects::clock::SystemClock;
use berth::effects::sim::{SimulatedHost, World};
use berth::events::{ContainerEvent, Exit, InitKind, NewEvent, ProcessIdentity, StopReason, encode};
use berth::storage::{Commit, EventLog, Expected, Options, SqliteLog, conformance};
use berth::types::{
    Category, Clock, ContainerId, NodeId, OperationId, Position, Principal, Span, StreamName, Timestamp, Version,
};

type Error = Box<dyn std::error::Error>;

fn open(directory: &Path) -> Result<SqliteLog, Error> {
    let mut options = Options::new(Arc::new(SystemClock), directory.join("keys"), Arc::new(|_: &Path| Ok(1 << 40)));
    options.reserve = 0;
    Ok(SqliteLog::open(&directory.join("state"), options)?)
}

fn id(number: u64) -> ContainerId {
    ContainerId::derived(&format!("container {number}"))
}

fn stream(number: u64) -> StreamName {
    StreamName::new(Category::Container, id(number))
}

/// Returns the facts of a container that was started and stopped `cycles` times.
fn facts(number: u64, cycles: u64) -> Result<Vec<NewEvent>, Error> {
    let configuration = testing::configuration();
    let name = format!("c{number}").parse()?;
    let mut facts = vec![
        ContainerEvent::CreateRequested { id: id(number), name, configuration, parent: None },
        ContainerEvent::NameClaimed,
        ContainerEvent::TemplateClaimed { digest: "debian".to_owned(), init: Some(InitKind::Systemd) },
        ContainerEvent::ContainerCreated,
    ];
    for pid in 0..cycles as u32 {
        let init = ProcessIdentity { boot: "8f6d2c0e-boot".to_owned(), pid, started: 7 };
        facts.extend([
            ContainerEvent::StartRequested { parent: None },
            ContainerEvent::ContainerStarted { init, took: Span::default(), warnings: vec![], kept: vec![] },
            ContainerEvent::StopRequested { deadline: Timestamp::default(), grace: Span::default(), parent: None },
            ContainerEvent::ContainerStopped { reason: StopReason::Requested, exit: Exit::Code(0) },
        ]);
    }
    Ok(facts.iter().map(|fact| encode(fact, None)).collect::<Result<_, _>>()?)
}

/// Writes the history of every container, of different lengths.
fn fill(store: &SqliteLog, actors: u64, events: u64) -> Result<u64, Error> {
    let mut answers = Vec::new();
    for number in 0..actors {
        let cycles = events / actors / 4 + number % 8 - number % 8 / 4 * 4; // so that tails differ
        let commit = Commit {
            stream: stream(number),
            expected: Expected::Version(Version::default()),
            events: facts(number, cycles)?,
            ..conformance::commit("", 0, &[])
        };
        answers.push(store.append(commit));
        if answers.len() == 500 {
            for answer in answers.drain(..) {
                answer.blocking_recv()??;
            }
        }
    }
    for answer in answers {
        answer.blocking_recv()??;
    }
    Ok(store.head().position.get())
}

/// Makes every state by one scan over the log.
fn scan(store: &SqliteLog) -> Result<HashMap<StreamName, Replica<Container>>, Error> {
    let mut replicas: HashMap<StreamName, Replica<Container>> = HashMap::new();
    let mut failed = None;
    store.reader().for_each(Position::default(), Position::new(u64::MAX), |event| {
        failed = replicas.entry(event.stream.clone()).or_default().fold(&event).err();
        if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    failed.map_or(Ok(replicas), |error| Err(error.into()))
}

fn read_all(store: &SqliteLog, actors: u64) -> Result<Vec<Replica<Container>>, Error> {
    (0..actors).map(|number| Ok(Replica::read(store, &stream(number))?)).collect()
}

/// Keeps the snapshots that an actor would have kept on its way, or in the end.
fn snapshot_all(store: &SqliteLog, actors: u64, at_the_end: bool) -> Result<(), Error> {
    for number in 0..actors {
        let name = stream(number);
        let mut replica = if at_the_end { Replica::read(store, &name)? } else { Replica::<Container>::default() };
        let mut kept = if at_the_end { replica.last_snapshot(&name) } else { None };
        if !at_the_end {
            for event in store.read_stream(&name, Version::default(), 1_000)? {
                replica.fold(&event)?;
                kept = replica.due_snapshot(&name).or(kept);
            }
        }
        if let Some(snapshot) = kept {
            store.keep(snapshot);
        }
        if number % 1_000 == 999 {
            store.seal().blocking_recv()??;
        }
    }
    store.seal().blocking_recv()??;
    Ok(())
}

/// Has every actor made, and answer a command that is only tried.
fn wake_all(store: Arc<SqliteLog>, actors: u64) -> Result<(), Error> {
    System::new().block_on(async move {
        let host = Arc::new(SimulatedHost::new(Arc::new(Mutex::new(World::default())), vec![]));
        let (clock, boot) = (Arc::new(SystemClock), "boot".to_owned());
        let house = House::new(store, host, clock, NodeId::derived("node"), boot, RetryPolicy::default());
        let arbiter = Arbiter::new();
        let registry = Registry::new(Arc::new(house), arbiter.handle());
        let order = || Order {
            command: Command::Start { parent: None },
            given: Given { operation: OperationId::derived("start"), at: SystemClock.now() },
            principal: Principal::runtime(),
            idempotency: None,
            annex: None,
            mode: Mode::DryRun,
        };
        let streams: Vec<StreamName> = (0..actors).map(stream).collect();
        let answers = streams.iter().map(|stream| registry.perform::<Container>(stream, order()));
        for answer in futures_util::future::join_all(answers).await {
            assert_eq!(answer?.events.len(), 1, "a stopped container can be started");
        }
        println!("  memory of the process with them       {:>10.1} MiB", memory());
        arbiter.stop();
        Ok(())
    })
}

/// Returns the resident memory of this process in MiB (proc_pid_statm(5); pages of 4 KiB).
fn memory() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(f64::NAN) / 256.0
}

fn timed<T>(what: &str, scan: Option<f64>, work: impl FnOnce() -> Result<T, Error>) -> Result<(T, f64), Error> {
    let started = Instant::now();
    let done = work()?;
    let took = started.elapsed().as_secs_f64() * 1e3;
    let ratio = scan.map(|scan| format!("  {:>5.2}x", took / scan)).unwrap_or_default();
    println!("  {what:<38}{took:>10.1} ms{ratio}");
    Ok((done, took))
}

fn main() -> Result<(), Error> {
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(()); // `cargo test --benches` only wants to know that it builds
    }
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let (actors, events) = (numbers.next().unwrap_or(10_000), numbers.next().unwrap_or(1_000_000));
    let place = std::env::var("BERTH_BENCH_DIR").unwrap_or_else(|_| "target".to_owned());
    let directory = tempfile::tempdir_in(place)?;
    let store = open(directory.path())?;
    let events = fill(&store, actors, events)?;
    println!("recovery of {actors} containers from {events} events, warm cache");
    drop(store);
    let store = open(directory.path())?;
    let (states, whole) = timed("one scan over the log", None, || scan(&store))?;
    timed("one read per stream", Some(whole), || read_all(&store, actors))?;
    for (what, at_the_end) in [("snapshots and tails, after a crash", false), ("the same, after an end in order", true)]
    {
        snapshot_all(&store, actors, at_the_end)?;
        let (replicas, _) = timed(what, Some(whole), || read_all(&store, actors))?;
        let mut same =
            (0..actors).zip(&replicas).map(|(number, replica)| states[&stream(number)].state == replica.state);
        assert!(same.all(|same| same), "a snapshot changes nothing");
    }
    drop(states);
    println!("  memory of the process without actors  {:>10.1} MiB", memory());
    let store = Arc::new(store);
    timed("the same as actors, first command answered", Some(whole), || wake_all(store, actors))?;
    Ok(())
}
