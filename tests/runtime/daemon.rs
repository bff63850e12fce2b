//! A daemon that can die, and what it leaves behind.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use actix::{Arbiter, System};
use berth::actors::sweep::{self, Claim, Swept};
use berth::actors::{
    CommandError, House, Idempotency, Mode, Order, Receipt, Registry, RetryPolicy, reconcile, recover,
};
use berth::domain::effect::{Action, Due, Facts, Failure, HostEffect};
use berth::domain::{Aggregate, Asked, Given};
use berth::effects::clock::SystemClock;
use berth::effects::sim::{Fault, SimulatedHost, World};
use berth::effects::{Change, EffectContext, Host, Observation};
use berth::events::Envelope;
use berth::projections::query::Query;
use berth::storage::{
    AppendError, Commit, Committed, EventLog, Head, OpenError, Options, ReadError, Snapshot, SqliteLog, Subscription,
};
use berth::types::{Clock, ContainerId, NodeId, OperationId, Position, Principal, Span, StreamName, Version};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::picture::Picture;

/// How long anything may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_mins(2);
/// A wait that ends later than this counts as quiet: graves.
const FAR: Span = Span::from_secs(5);

/// Runs a test in an actor system of its own.
pub fn in_system<T>(test: impl Future<Output = T>) -> T {
    System::new().block_on(test)
}

pub fn node() -> NodeId {
    NodeId::derived("node")
}

/// Is what survives a daemon: its state directory and the world.
pub struct Scene {
    home: TempDir,
    pub world: Arc<Mutex<World>>,
}

impl Scene {
    pub fn new() -> Self {
        let mut world = World::default();
        "boot-1".clone_into(&mut world.boot);
        Self { home: directory(), world: Arc::new(Mutex::new(world)) }
    }

    /// Makes another one just like it; no daemon may live here.
    pub fn copy(&self) -> Self {
        let home = directory();
        copy_tree(self.home.path(), home.path());
        let world = self.world.lock().unwrap().clone();
        Self { home, world: Arc::new(Mutex::new(world)) }
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// Opens the log; the one before may need a moment to let go of it.
    fn open(&self) -> SqliteLog {
        let begun = Instant::now();
        loop {
            let mut options =
                Options::new(Arc::new(SystemClock), self.home.path().join("keys"), Arc::new(|_: &Path| Ok(1 << 40)));
            options.reserve = 0;
            options.projections = berth::projections::all();
            match SqliteLog::open(&self.state(), options) {
                Err(OpenError::InUse { .. }) if begun.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                opened => return opened.unwrap(),
            }
        }
    }
}

/// Returns a directory in memory where there is one: these tests are about order, not about disks.
fn directory() -> TempDir {
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("berth-runtime");
        builder
    };
    builder().tempdir_in("/dev/shm").or_else(|_| builder().tempdir()).unwrap()
}

fn copy_tree(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            std::fs::set_permissions(&target, entry.metadata().unwrap().permissions()).unwrap();
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Says what is to go wrong with the log; appends are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFault {
    /// The daemon dies before this append is written.
    DieBefore(u64),
    /// The daemon dies when it is durable and nobody heard of it.
    DieAfter(u64),
    /// It is not written, and the daemon lives on.
    Refuse(u64),
    /// It is written, and the daemon is told that it was not.
    Deny(u64),
    /// It is written, and the daemon is told when the test says so.
    Hold(u64),
}

/// Says what is to go wrong.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    pub host: Vec<Fault>,
    pub log: Option<LogFault>,
    /// Only appends to this stream count for it.
    pub of: Option<StreamName>,
    /// Everything the host does, it does twice.
    pub twice: bool,
    /// Effects of these names panic, once.
    pub panics: Vec<&'static str>,
    /// How long each effect takes at least.
    pub slow: Duration,
    /// The shortest and the longest pause before an actor that broke down is made anew.
    pub revival: Option<(Duration, Duration)>,
}

/// Is the log of a daemon that may die.
struct MortalLog {
    inner: Arc<SqliteLog>,
    fault: Option<LogFault>,
    of: Option<StreamName>,
    appends: AtomicU64,
    shut: AtomicBool,
    /// Whether an answer is kept back.
    keeps: Arc<AtomicBool>,
    dead: Arc<AtomicBool>,
}

impl EventLog for MortalLog {
    fn append(&self, commit: Commit) -> oneshot::Receiver<Result<Committed, AppendError>> {
        if self.dead.load(Ordering::Acquire) {
            return unanswered();
        }
        if self.of.as_ref().is_some_and(|stream| *stream != commit.stream) {
            return self.inner.append(commit);
        }
        let number = self.appends.fetch_add(1, Ordering::AcqRel) + 1;
        if self.shut.load(Ordering::Acquire) {
            return unanswered();
        }
        match self.fault {
            Some(LogFault::DieBefore(at)) if at == number => {
                self.dead.store(true, Ordering::Release);
                unanswered()
            }
            Some(LogFault::DieAfter(at)) if at == number => {
                self.write(commit);
                self.dead.store(true, Ordering::Release);
                unanswered()
            }
            Some(LogFault::Refuse(at)) if at == number => unanswered(),
            Some(LogFault::Deny(at)) if at == number => {
                self.write(commit);
                unanswered()
            }
            Some(LogFault::Hold(at)) if at == number => self.hold(commit),
            _ => self.inner.append(commit),
        }
    }

    fn recall(&self, key: &str, request_hash: [u8; 32]) -> Result<Option<Committed>, AppendError> {
        self.inner.recall(key, request_hash)
    }

    fn read_stream(&self, stream: &StreamName, after: Version, limit: usize) -> Result<Vec<Envelope>, ReadError> {
        self.inner.read_stream(stream, after, limit)
    }

    fn read_all(&self, after: Position, limit: usize) -> Result<Vec<Envelope>, ReadError> {
        self.inner.read_all(after, limit)
    }

    fn subscribe(&self, after: Position) -> Subscription {
        self.inner.subscribe(after)
    }

    fn head(&self) -> Head {
        self.inner.head()
    }

    fn snapshot(&self, stream: &StreamName) -> Result<Option<Snapshot>, ReadError> {
        self.inner.snapshot(stream)
    }

    fn keep(&self, snapshot: Snapshot) {
        self.inner.keep(snapshot);
    }
}

impl MortalLog {
    /// Writes and keeps the answer back until it is asked for.
    fn hold(&self, commit: Commit) -> oneshot::Receiver<Result<Committed, AppendError>> {
        let (written, (told, heard)) = (self.inner.append(commit), oneshot::channel());
        let (keeps, dead) = (Arc::clone(&self.keeps), Arc::clone(&self.dead));
        std::thread::spawn(move || {
            let result = written.blocking_recv().unwrap();
            keeps.store(true, Ordering::Release);
            while keeps.load(Ordering::Acquire) && !dead.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = told.send(result); // a daemon that died listens no more
        });
        heard
    }

    fn write(&self, commit: Commit) {
        let answer = self.inner.append(commit);
        std::thread::spawn(move || answer.blocking_recv().unwrap().unwrap()).join().unwrap();
    }
}

fn unanswered() -> oneshot::Receiver<Result<Committed, AppendError>> {
    oneshot::channel().1
}

/// Is the host of a daemon that may die.
pub struct MortalHost {
    pub inner: SimulatedHost,
    twice: bool,
    slow: Duration,
    panics: Mutex<Vec<&'static str>>,
    dead: Arc<AtomicBool>,
    performed: Mutex<Vec<HostEffect>>,
    /// How often what is to be recorded was written down.
    pub kept: AtomicU64,
}

impl Host for MortalHost {
    fn perform(&self, effect: &HostEffect, context: &EffectContext) -> Result<Facts, Failure> {
        if self.dead.load(Ordering::Acquire) {
            return Err(Failure::permanent("the daemon is dead"));
        }
        self.performed.lock().unwrap().push(effect.clone());
        let begun = Instant::now();
        while begun.elapsed() < self.slow && !context.cancel.is_cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut panics = self.panics.lock().unwrap();
        if let Some(index) = panics.iter().position(|name| *name == effect.name()) {
            panics.remove(index);
            drop(panics);
            panic!("{} panics, as it was told to", effect.name());
        }
        drop(panics);
        let mut result = self.inner.perform(effect, context);
        if self.twice && result.is_ok() {
            result = self.inner.perform(effect, context);
        }
        if self.inner.has_died() {
            self.dead.store(true, Ordering::Release);
        }
        result
    }

    fn observe(&self, container: ContainerId) -> Observation {
        self.inner.observe(container)
    }

    fn observed(&self) -> Result<Vec<ContainerId>, Failure> {
        self.inner.observed()
    }

    fn keep_unrecorded(&self, container: ContainerId, deed: Option<&[u8]>) -> Result<(), Failure> {
        self.kept.fetch_add(1, Ordering::AcqRel);
        self.inner.keep_unrecorded(container, deed)
    }

    fn unrecorded(&self) -> Vec<(ContainerId, Vec<u8>)> {
        self.inner.unrecorded()
    }

    fn next_change(&self) -> Option<Change> {
        self.inner.next_change()
    }

    fn close(&self) {
        self.inner.close();
    }
}

/// Says how a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nobody owes anything.
    Quiet,
    /// The daemon died.
    Died,
}

/// Is a living daemon on a scene.
pub struct Daemon {
    pub registry: Arc<Registry>,
    pub store: Arc<SqliteLog>,
    pub host: Arc<MortalHost>,
    log: Arc<MortalLog>,
    arbiter: Arbiter,
    dead: Arc<AtomicBool>,
    world: Arc<Mutex<World>>,
}

impl Daemon {
    /// Starts on what the scene has, with the faults that are to come.
    pub fn start(scene: &Scene, faults: Faults) -> Self {
        let dead = Arc::new(AtomicBool::new(false));
        let store = Arc::new(scene.open());
        let log = Arc::new(MortalLog {
            inner: Arc::clone(&store),
            fault: faults.log,
            of: faults.of.clone(),
            appends: AtomicU64::new(0),
            shut: AtomicBool::new(false),
            keeps: Arc::default(),
            dead: Arc::clone(&dead),
        });
        let host = Arc::new(MortalHost {
            inner: SimulatedHost::new(Arc::clone(&scene.world), faults.host),
            twice: faults.twice,
            slow: faults.slow,
            panics: Mutex::new(faults.panics),
            dead: Arc::clone(&dead),
            performed: Mutex::default(),
            kept: AtomicU64::new(0),
        });
        let pauses = (Duration::from_millis(1), Duration::from_millis(4));
        let (revival, pause_max) = faults.revival.unwrap_or((pauses.1, pauses.1));
        let retry = RetryPolicy { forward: 3, undo: 4, pause: pauses.0, pause_max, revival };
        let boot = scene.world.lock().unwrap().boot.clone();
        let house =
            House::new(Arc::clone(&log) as _, Arc::clone(&host) as _, Arc::new(SystemClock), node(), boot, retry);
        let arbiter = Arbiter::new();
        let registry = Registry::new(Arc::new(house), arbiter.handle());
        let follower = Arc::clone(&registry);
        arbiter.spawn_fn(move || reconcile::follow(follower));
        registry.take_up_unrecorded();
        Self { registry, store, host, log, arbiter, dead, world: Arc::clone(&scene.world) }
    }

    /// Starts after a crash: tells what is true of running containers, then lets the plans go on.
    pub async fn restart(scene: &Scene, faults: Faults) -> Self {
        let daemon = Self::start(scene, faults);
        daemon.recover().await;
        daemon
    }

    pub async fn recover(&self) {
        let picture = self.picture();
        reconcile::settle(&self.registry, &picture.running()).await;
        recover(&self.registry, &picture.owing());
    }

    /// Lets the log take nothing from now on, or everything again.
    pub fn shut_log(&self, shut: bool) {
        self.log.shut.store(shut, Ordering::Release);
    }

    /// Says whether the log keeps an answer back.
    pub fn keeps_answer(&self) -> bool {
        self.log.keeps.load(Ordering::Acquire)
    }

    /// Gives the answer that was kept back.
    pub fn answer(&self) {
        self.log.keeps.store(false, Ordering::Release);
    }

    /// Looks at the world.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Gives an order and returns what came of it.
    pub async fn order<A: Aggregate + Unpin>(
        &self,
        stream: &StreamName,
        command: A::Command,
        operation: &str,
    ) -> Result<Receipt<A::Event>, CommandError> {
        self.give::<A>(stream, command, operation, None, Mode::Commit).await
    }

    pub async fn give<A: Aggregate + Unpin>(
        &self,
        stream: &StreamName,
        command: A::Command,
        operation: &str,
        idempotency: Option<Idempotency>,
        mode: Mode,
    ) -> Result<Receipt<A::Event>, CommandError> {
        let given = Given { operation: OperationId::derived(operation), at: SystemClock.now() };
        let principal = Principal::local("test", 0);
        let order = Order { command, given, principal, idempotency, annex: None, mode };
        self.registry.perform::<A>(stream, order).await
    }

    /// Asks again whatever was asked and taken, now that everybody has moved on; returns how much that was.
    pub async fn ask_again(&self) -> usize {
        let mut known = 0;
        for (by, effect) in Picture::asks(&*self.store) {
            let Action::Ask(to, ask) = effect.action else { continue };
            let (step, at, principal) = (effect.step, SystemClock.now(), Principal::local("test", 0));
            let operation = ask.operation(effect.operation, step);
            let asked = Asked { ask, by, operation, step, at, principal };
            if self.store.recall(&asked.key(), [0; 32]).unwrap().is_some() {
                known += 1;
                self.registry.ask(&to, asked, None).await.unwrap();
            }
        }
        known
    }

    /// Frees what the dead left, as a start does.
    pub async fn sweep(&self) -> Swept {
        let owners = Query::new(self.store.reader()).owners(node()).unwrap();
        sweep::sweep(&self.registry, &owners, self.picture().open()).await
    }

    /// Lists what the dead left, of whatever stream.
    pub fn dead_claims(&self) -> Vec<Claim> {
        let picture = self.picture();
        let owners: Vec<_> = picture.streams().cloned().collect();
        sweep::look(&*self.store, &owners, picture.open()).dead
    }

    /// Waits until nobody owes anything, or the daemon is dead.
    pub async fn quiet(&self) -> End {
        let begun = Instant::now();
        let mut picture = Picture::default();
        loop {
            if self.is_dead() {
                return End::Died;
            }
            picture.catch_up(&*self.store);
            if self.is_quiet(&picture) {
                return End::Quiet;
            }
            assert!(begun.elapsed() < PATIENCE, "something hangs: {:#?}\n{}", picture.owed(), self.history());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn is_quiet(&self, picture: &Picture) -> bool {
        let far = SystemClock.now().after(FAR);
        let later = |action: &Action| matches!(action, Action::Wake(Due::Soon(at) | Due::Trusted(at)) if *at > far);
        let unnoticed = picture.running().into_iter().any(|id| {
            let world = self.world.lock().unwrap();
            world.exits.contains_key(&id) && !picture.is_stuck(id)
        });
        !unnoticed && picture.open().is_empty() && picture.owed().iter().all(|(_, effect)| later(&effect.action))
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Folds the log.
    pub fn picture(&self) -> Picture {
        let mut picture = Picture::default();
        picture.catch_up(&*self.store);
        picture
    }

    /// Returns how many appends were asked for.
    pub fn appends(&self) -> u64 {
        self.log.appends.load(Ordering::Acquire)
    }

    /// Returns what the host was asked to do.
    pub fn performed(&self) -> Vec<HostEffect> {
        self.host.performed.lock().unwrap().clone()
    }

    /// Tells the log in lines.
    pub fn history(&self) -> String {
        let events = self.store.read_all(Position::default(), 10_000).unwrap();
        let line = |event: &Envelope| {
            format!("{} {} {} {}\n", event.position, event.stream, event.kind, String::from_utf8_lossy(&event.body))
        };
        events.iter().map(line).collect()
    }

    /// Ends it as `kill -9` does: nothing is closed in order. Threads of the host end first: in a real world they would
    /// not outlive their process.
    pub fn crash(self) {
        self.dead.store(true, Ordering::Release);
        self.host.close();
        self.arbiter.stop();
        let _ = self.arbiter.join();
    }
}
