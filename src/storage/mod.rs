//! L3: the event log: one SQLite file, one writer thread, any number of readers.
//!
//! Everything above sees the log through [`EventLog`]; another engine only has to pass [`conformance`]. The log
//! knows nothing of rules: events are names and bytes to it, projections are folds that it is handed. It keeps what
//! it was told for ever, in order, and can prove it: see `docs/formats/log.md` for every byte.

pub mod conformance;
mod database;
mod derived;
mod error;
pub mod format;
mod intern;
mod keys;
mod ledger;
mod log;
mod mend;
mod projection;
mod proof;
mod reader;
mod reserve;
mod row;
mod segment;
mod snapshot;
mod subscription;
mod upkeep;
mod watermark;
mod writer;

#[cfg(test)]
mod tests;

use crate::sys::fs::durable as file;
use std::sync::Arc;

use tokio::sync::oneshot;

pub use database::LOG_FILE;
pub use derived::compare;
pub use error::{AppendError, KeyTrouble, OpenError, ReadError, who_may_read};
pub use log::{CHECKPOINT_FILE, Options, Purpose, SqliteLog};
pub use mend::rebuild;
pub use projection::{InlineProjection, ProjectionStatus, UNIFORM_SCHEMA, fold_events, table_of};
pub use proof::history::{Divergence, RECORD_FILE};
pub use proof::report::{Evidence, Finding, Told, VerifyReport};
pub use proof::verify::verify;
pub use proof::{checkpoint, leaf, merkle};
use proof::{history, report};
pub use reader::{PAGE, Reader};
pub use snapshot::{Kept, Snapshot};
pub use subscription::{Pages, Subscription, SubscriptionError};
pub use watermark::{Level, SpaceProbe, Watermarks};

use crate::events::{Context, Envelope, NewEvent};
use crate::types::{ClockWatch, LogId, Position, Step, StreamName, Version};
use merkle::Hash;

/// Is the largest body or annex in bytes: long lists belong into manifests, not into events.
pub const CONTENT_LIMIT: usize = 4 << 20;

/// Says at which version the stream must be for a commit to be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// At exactly this one; 0 for a stream that does not exist yet.
    Version(Version),
    /// At any; only for tools, tests and the log's own timekeeping, because two writers would not notice each other.
    Any,
}

/// Is what is appended at once or not at all: events of one stream with one context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The stream.
    pub stream: StreamName,
    /// Where it must be.
    pub expected: Expected,
    /// The idempotency key, if the request has one.
    pub key: Option<String>,
    /// What the key was given for: the same key with another hash is an error.
    pub request_hash: [u8; 32],
    /// Who, when, why.
    pub context: Context,
    /// The facts, in order.
    pub events: Vec<NewEvent>,
}

/// Keeps the log true to a clock that steps: a commit that says so stands in front of whatever comes at the new time.
pub struct Timekeeper {
    /// Notices steps.
    pub watch: Arc<ClockWatch>,
    /// Says in a commit that the clock stepped.
    pub told: Box<dyn Fn(&Step) -> Commit + Send>,
}

/// Is what became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The events as they stand in the log.
    pub events: Vec<Arc<Envelope>>,
    /// Whether the same request was appended before, and these are the events of then.
    pub repeated: bool,
}

/// Is the end of a log at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The log.
    pub log: LogId,
    /// The last position, which is also the number of events.
    pub position: Position,
    /// The Merkle root over all of them.
    pub root: Hash,
}

/// Is the proof that one event is in the tree of a given size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MerkleProof {
    /// The leaf hash of the event.
    pub leaf: Hash,
    /// Its place from 0: position minus one.
    pub index: u64,
    /// How many leaves the tree has.
    pub size: u64,
    /// The root that the proof leads to.
    pub root: Hash,
    /// The siblings, from the leaf upward.
    pub hashes: Vec<Hash>,
}

/// Keeps events; one implementation per engine.
pub trait EventLog: Send + Sync + 'static {
    /// Appends a commit; the answer comes once it is durable. Never blocks: a full queue answers [`AppendError::Busy`].
    fn append(&self, commit: Commit) -> oneshot::Receiver<Result<Committed, AppendError>>;
    /// Returns what a key's commit appended, so that a repeated request is answered before anything is decided again.
    ///
    /// # Errors
    ///
    /// [`AppendError::KeyReused`] if the key belongs to another request; [`AppendError::Unavailable`] if nobody can tell.
    fn recall(&self, key: &str, request_hash: [u8; 32]) -> Result<Option<Committed>, AppendError>;
    /// Reads events of a stream after a version, at most `limit` and at most [`PAGE`].
    fn read_stream(&self, stream: &StreamName, after: Version, limit: usize) -> Result<Vec<Envelope>, ReadError>;
    /// Reads events after a position, at most `limit` and at most [`PAGE`].
    fn read_all(&self, after: Position, limit: usize) -> Result<Vec<Envelope>, ReadError>;
    /// Delivers every event after a position, each once and in order: first the past, then what comes.
    fn subscribe(&self, after: Position) -> Subscription;
    /// Tells where the log ends.
    fn head(&self) -> Head;
    /// Says why nothing is appended, whatever it is, until a person decides; nothing where appending is tried.
    fn refuses(&self) -> Option<AppendError> {
        None
    }
    /// Returns the snapshot of a stream, if it has one that is whole and stands at an event of this log.
    fn snapshot(&self, stream: &StreamName) -> Result<Option<Snapshot>, ReadError>;
    /// Keeps a snapshot in the place of the stream's last one. Nobody waits for it, and it may come to nothing.
    fn keep(&self, snapshot: Snapshot);
}
