//! The embedded log: a state directory, its lock, the writer thread, and readers.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU8;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{broadcast, oneshot};

use super::checkpoint::{KEY_FILE, SignedCheckpoint, Signer, VerifierKey, origin};
use super::database::LOG_FILE;
use super::error::{AppendError, KeyTrouble, OpenError, ReadError};
use super::history::{self, Divergence, STRANGERS};
use super::keys::Keys;
use super::ledger::Ledger;
use super::projection::{InlineProjection, Slot};
use super::reader::Reader;
use super::reserve::{Reserve, SPARE};
use super::subscription::{Batch, Subscription};
use super::watermark::{self, Level, Room, SpaceProbe, Watermarks};
use super::writer::{Request, Time, Writer};
use super::{Commit, Committed, EventLog, Head, Snapshot, Timekeeper, file, format};
use crate::events::Envelope;
use crate::sys::fs::lock::exclusive;
use crate::types::{Clock, Position, StreamName, Version};

/// Is the name of the newest checkpoint's file in the state directory.
pub const CHECKPOINT_FILE: &str = "checkpoint";
/// Is the name of the file that whoever writes the log holds locked.
pub(super) const LOCK_FILE: &str = "log.lock";
/// Is how many batches a subscription may lag before it pages from disk.
const BATCHES_HELD: usize = 64;

/// Is what a log is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// To work with it; a log that is made gets a key.
    #[default]
    Work,
    /// To work with it under a new key, where the one that it had is lost for good.
    Rekey,
    /// To record what somebody says of it, with the key that it has.
    Amend,
    /// To look at it: nothing is signed, and no key is made.
    Look,
}

/// Is what a log needs to know to be opened.
pub struct Options {
    /// What it is opened for.
    pub purpose: Purpose,
    /// The read models kept in the append transaction.
    pub projections: Vec<Box<dyn InlineProjection>>,
    /// Tells the time of recording.
    pub clock: Arc<dyn Clock>,
    /// Records the steps of that clock, if anybody does.
    pub timekeeper: Option<Timekeeper>,
    /// Where keys live: outside of the state directory.
    pub key_dir: PathBuf,
    /// Asks for free space.
    pub space: SpaceProbe,
    /// When to warn of little space.
    pub watermarks: Watermarks,
    /// How many bytes the database keeps for itself beyond what it holds; 0: the log keeps no room at all.
    pub reserve: u64,
    /// How many requests may wait.
    pub queue: usize,
    /// After how many events the root is signed.
    pub seal_events: u64,
    /// After what time the root is signed, if anything came.
    pub seal_interval: Duration,
}

impl Options {
    /// Returns the usual options.
    pub fn new(clock: Arc<dyn Clock>, key_dir: impl Into<PathBuf>, space: SpaceProbe) -> Self {
        Self {
            purpose: Purpose::default(),
            projections: Vec::new(),
            clock,
            timekeeper: None,
            key_dir: key_dir.into(),
            space,
            watermarks: Watermarks::default(),
            reserve: 16 << 20,
            queue: 4_096,
            seal_events: 1_000,
            seal_interval: Duration::from_mins(1),
        }
    }
}

/// Is what the writer tells everybody else.
pub(super) struct Shared {
    pub(super) head: Mutex<Head>,
    pub(super) batches: Mutex<Option<broadcast::Sender<Batch>>>,
    /// Why the log cannot be written, if so.
    pub(super) read_only: Mutex<Option<String>>,
    /// What was signed and is not in it, until somebody accepts it as it is.
    pub(super) divergence: Mutex<Option<Divergence>>,
    pub(super) reader: Reader,
}

/// Keeps events in an SQLite file.
pub struct SqliteLog {
    requests: SyncSender<Request>,
    queue: usize,
    shared: Arc<Shared>,
    level: Arc<AtomicU8>,
    reader: Reader,
    keys: Arc<Mutex<Keys>>,
    key: VerifierKey,
    key_folder: PathBuf,
    /// Whether none of its keys had signed the log when it was opened.
    strangers: bool,
    thread: Mutex<Option<JoinHandle<()>>>,
    _lock: File,
}

impl SqliteLog {
    /// Opens the log of a state directory, or makes one in a directory that has none.
    ///
    /// # Errors
    ///
    /// The directory is in use, of a newer format, or has lost its log; the log is damaged; a key cannot be used. One that is
    /// not as it was signed is no error: it is read, and takes nothing until it is accepted.
    pub fn open(state: &Path, options: Options) -> Result<Self, OpenError> {
        file::private_directory(state).map_err(OpenError::file(state))?;
        let lock = lock(state)?;
        let path = state.join(LOG_FILE);
        let known = format::read(state)?;
        if known.is_some() && !path.exists() {
            let reason = "the log is missing from a state directory that had one".to_owned();
            return Err(ReadError::Damaged { path, reason }.into());
        }
        let slots = options.projections.into_iter().map(Slot::new).collect();
        let room = Room::new(state, options.space, options.watermarks);
        let (ledger, read_only) = open_ledger(&path, slots, known.is_none(), (options.reserve, room.free()))?;
        if read_only.is_none() {
            file::restrict(&ledger.path).map_err(OpenError::file(&ledger.path))?;
        }
        check_belonging(state, &ledger)?;
        // A log that was there has a key somewhere: a new one in silence would leave its stores without theirs.
        let makes_key = match options.purpose {
            Purpose::Work => known.is_none(),
            Purpose::Rekey => true,
            Purpose::Amend | Purpose::Look => false,
        };
        let signer = Signer::open(&options.key_dir, ledger.log, makes_key)?;
        let key_folder = options.key_dir.join(ledger.log.to_string());
        let known_keys = history::Keys::of(key_folder.clone(), &signer);
        let divergence = history::check(state, &ledger, &known_keys)?;
        let strangers = known_keys.are_strange(&ledger)?;
        if known.is_none() {
            file::sync_parent(&ledger.path).map_err(OpenError::file(state))?;
            format::write(state)?;
        }
        let (level, key, keys) = (room.level(), signer.key().clone(), Arc::clone(&ledger.keys));
        let reader = Reader::open(state)?;
        let unsigned = divergence.is_some() || options.purpose == Purpose::Look;
        let shared = Arc::new(Shared {
            head: Mutex::new(ledger.head()),
            batches: Mutex::new(Some(broadcast::Sender::new(BATCHES_HELD))),
            read_only: Mutex::new(read_only),
            divergence: Mutex::new(divergence),
            reader: reader.clone(),
        });
        let (requests, inbox) = sync_channel(options.queue);
        let seal = (options.seal_events.max(1), options.seal_interval);
        let exports = [state.join(CHECKPOINT_FILE), known_keys.record()];
        let time = Time { clock: options.clock, keeper: options.timekeeper };
        let mut writer = Writer::new(ledger, signer, room, time, Arc::clone(&shared), (exports, unsigned), seal);
        writer.look();
        let thread = std::thread::Builder::new().name("log-writer".to_owned()).spawn(move || writer.run(&inbox));
        let thread = Mutex::new(Some(thread.map_err(OpenError::file(state))?));
        let queue = options.queue;
        Ok(Self { requests, queue, shared, level, reader, keys, key, key_folder, strangers, thread, _lock: lock })
    }

    /// Returns a reader of the same log.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Returns the key that checkpoints are signed with.
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Returns what was signed and is not in this log, until it is accepted as it is.
    pub fn divergence(&self) -> Option<Divergence> {
        self.shared.divergence.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what is wrong with the keys: they are not those that signed this log, are not there any more, or cannot be read.
    /// Looks at their directory, which may take its time.
    pub fn key_trouble(&self) -> Option<KeyTrouble> {
        let (folder, path) = (self.key_folder.clone(), self.key_folder.join(KEY_FILE));
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(KeyTrouble::Gone { folder }),
            Err(source) => Some(KeyTrouble::Unreadable { path, source }),
            Ok(_) => self.strangers.then_some(KeyTrouble::Strangers { folder, why: STRANGERS }),
        }
    }

    /// Keeps what was signed beside the keys, before another history takes its place; returns where.
    ///
    /// # Errors
    ///
    /// The key directory cannot be written.
    pub fn set_aside(&self, divergence: &Divergence) -> Result<PathBuf, OpenError> {
        history::set_aside(divergence, &self.key_folder)
    }

    /// Tells how much room is left; actors refuse by it.
    pub fn level(&self) -> Level {
        watermark::level_of(&self.level)
    }

    /// Goes on with a log that differs from what was signed: records `commit`, which says so, signs, and returns the note.
    pub fn accept(&self, commit: Commit) -> oneshot::Receiver<Result<Option<String>, AppendError>> {
        let (reply, answer) = oneshot::channel();
        self.hand_over(Request::Accept(Box::new(commit), reply));
        answer
    }

    /// Tells why the log cannot be written, if so.
    pub fn read_only(&self) -> Option<String> {
        let unaccepted = self.refuses().map(|error| error.to_string());
        unaccepted.or_else(|| self.shared.read_only.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Signs the present root and returns the newest checkpoint's note; nothing for an empty log.
    pub fn seal(&self) -> oneshot::Receiver<Result<Option<String>, AppendError>> {
        self.send(Request::Seal)
    }

    /// Deletes the annexes of events for good and returns how many there were; the tree stays as it is.
    pub fn redact(&self, positions: Vec<Position>) -> oneshot::Receiver<Result<usize, AppendError>> {
        self.send(|reply| Request::Redact(positions, reply))
    }

    /// Packs the bodies up to a position into compressed segments and returns how many were moved.
    pub fn archive(&self, until: Position) -> oneshot::Receiver<Result<usize, AppendError>> {
        self.send(|reply| Request::Archive(until, reply))
    }

    /// Makes indexes, read models, keys and triggers anew from the log, and drops the snapshots of these streams.
    pub fn rebuild(&self, condemned: Vec<i64>) -> oneshot::Receiver<Result<Position, AppendError>> {
        self.send(|reply| Request::Rebuild(condemned, reply))
    }

    /// Writes what is waiting, signs the root and ends; later appends are refused.
    pub fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            self.reader.close_idle();
            let _ = self.requests.send(Request::Stop);
            let _ = thread.join();
        }
    }

    fn send<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, AppendError>>) -> Request,
    ) -> oneshot::Receiver<Result<T, AppendError>> {
        let (reply, answer) = oneshot::channel();
        match self.refuses() {
            Some(error) => request(reply).refuse(error),
            None => self.hand_over(request(reply)),
        }
        answer
    }

    fn hand_over(&self, request: Request) {
        if let Err(refused) = self.requests.try_send(request) {
            let (request, error) = match refused {
                TrySendError::Full(request) => (request, AppendError::Busy { waiting: self.queue }),
                TrySendError::Disconnected(request) => {
                    (request, AppendError::Unavailable { reason: "the log is closed".to_owned() })
                }
            };
            request.refuse(error);
        }
    }
}

impl EventLog for SqliteLog {
    fn append(&self, commit: Commit) -> oneshot::Receiver<Result<Committed, AppendError>> {
        self.send(|reply| Request::Append(Box::new(commit), reply))
    }

    fn recall(&self, key: &str, request_hash: [u8; 32]) -> Result<Option<Committed>, AppendError> {
        let recent = self.keys.lock().unwrap_or_else(PoisonError::into_inner).recent(key);
        self.reader.recall(key, request_hash, &recent)
    }

    fn read_stream(&self, stream: &StreamName, after: Version, limit: usize) -> Result<Vec<Envelope>, ReadError> {
        self.reader.read_stream(stream, after, limit)
    }

    fn read_all(&self, after: Position, limit: usize) -> Result<Vec<Envelope>, ReadError> {
        self.reader.read_all(after, limit)
    }

    fn subscribe(&self, after: Position) -> Subscription {
        let batches = self.shared.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let live = batches.as_ref().map_or_else(|| broadcast::channel(1).1, broadcast::Sender::subscribe);
        drop(batches);
        Subscription::new(Arc::new(self.reader.clone()), live, after)
    }

    fn head(&self) -> Head {
        *self.shared.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuses(&self) -> Option<AppendError> {
        self.divergence().map(|found| AppendError::Unaccepted { reason: found.to_string(), cure: found.cure() })
    }

    fn snapshot(&self, stream: &StreamName) -> Result<Option<Snapshot>, ReadError> {
        self.reader.snapshot(stream)
    }

    fn keep(&self, snapshot: Snapshot) {
        if self.refuses().is_some() {
            return;
        }
        let _ = self.requests.try_send(Request::Snapshot(snapshot)); // a full queue has better things to do
    }
}

impl Drop for SqliteLog {
    fn drop(&mut self) {
        self.close();
    }
}

/// Opens the file for writing. Where its file system takes nothing now, it is read, and why is told: the writer makes it
/// whole once it can. What SQLite needs for its index at a start has room of its own.
fn open_ledger(
    path: &Path,
    slots: Vec<Slot>,
    create: bool,
    (bytes, free): (u64, Option<u64>),
) -> Result<(Ledger, Option<String>), OpenError> {
    let reserve = Reserve::new(path, bytes);
    if free.is_some_and(|free| free < SPARE) {
        reserve.give_up_spare(); // a hole in the index is no error that SQLite could tell
    }
    let open = || Ledger::open(path.to_owned(), create, reserve.clone());
    let mut opened = open();
    while opened.as_ref().is_err_and(OpenError::is_of_the_place) && reserve.give_up_spare() {
        opened = open();
    }
    let (slots, error) = match opened {
        Ok(mut ledger) => match ledger.adopt(slots) {
            Ok(()) => return Ok((ledger, None)),
            Err(error) => (std::mem::take(&mut ledger.slots), error),
        },
        Err(error) => (slots, error),
    };
    if create || !error.is_of_the_place() {
        return Err(error);
    }
    tracing::error!(%error, "the log cannot be written now; it is read");
    Ok((Ledger::open_for_reading(path.to_owned(), slots, reserve)?, Some(error.to_string())))
}

/// One process writes a state directory: the version map in memory would not notice another.
pub(super) fn lock(state: &Path) -> Result<File, OpenError> {
    let path = state.join(LOCK_FILE);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = match file {
        Err(error) if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => File::open(&path),
        opened => opened,
    };
    let file = file.map_err(OpenError::file(&path))?;
    match exclusive(file.as_fd()) {
        Ok(true) => Ok(file),
        Ok(false) => Err(OpenError::InUse { path: state.to_owned() }),
        Err(source) => Err(OpenError::File { path, source }),
    }
}

/// Compares the log's id with the checkpoint beside it, before keys are made for an id that nobody gave.
fn check_belonging(state: &Path, ledger: &Ledger) -> Result<(), OpenError> {
    let path = state.join(CHECKPOINT_FILE);
    let Ok(note) = std::fs::read_to_string(&path) else { return Ok(()) };
    let Ok(signed) = SignedCheckpoint::parse(&note) else { return Ok(()) };
    let (own, sealed) = (origin(ledger.log), signed.checkpoint.origin);
    if own == sealed {
        return Ok(());
    }
    let reason = format!(
        "it calls itself {own}, but {} seals {sealed}; if another log was put here on purpose, move that checkpoint away",
        path.display()
    );
    Err(ReadError::Damaged { path: ledger.path.clone(), reason }.into())
}
