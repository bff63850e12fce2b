//! The state of one stream as its actor has it: folded from the log, with a snapshot as a head start.
//!
//! A snapshot only saves reading. It is taken for what it says if this very version of Berth wrote it, for this shape of
//! state, at an event that this log has; anything else is as none, and the stream is read from its beginning.

use serde::{Deserialize, Serialize};

use crate::domain::{Aggregate, Given};
use crate::events::{self, AttemptFailed, DecodeError, DomainEvent as _, Envelope, Mark};
use crate::storage::{EventLog, ReadError, Reader, Snapshot};
use crate::types::{OperationId, Position, Principal, StreamName, Timestamp, Version};

/// How many events are read at once.
const PAGE: usize = 1_000;
/// The shortest tail that is worth a snapshot.
const TAIL_MIN: u64 = 32;
/// The shortest tail that is worth another one of the same stream when there is time, at the end of the daemon.
const TAIL_OF_REST: u64 = 8;
/// The longest tail that is left without one.
const TAIL_MAX: u64 = 10_000;
/// Between these, the part of a stream that may be tail: what is written for snapshots stays in proportion to the stream.
const TAIL_PART: u64 = 8;
/// Is the program that a snapshot is of: another one may fold the same facts into another state.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// Says why a stream cannot be folded.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It has a fact that this version does not know.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// Is what a snapshot holds, written from borrowed and read into owned parts.
#[derive(Serialize, Deserialize)]
struct Kept<P, A> {
    program: P,
    askers: Askers,
    moment: Moment,
    state: A,
}

/// Is who asked for what a stream does: for the operation that was opened last, and for whatever was recorded last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Askers {
    opened: Option<(OperationId, Principal)>,
    last: Option<(OperationId, Principal)>,
}

impl Askers {
    /// Takes note of an event: whoever recorded the first one of an operation asked for all that follows.
    fn note(&mut self, envelope: &Envelope, opens: bool) {
        let operation = envelope.context.operation;
        if !opens && self.last.as_ref().is_some_and(|(known, _)| *known == operation) {
            return;
        }
        let asker = (operation, self.of(operation).unwrap_or(&envelope.context.principal).clone());
        if opens {
            self.opened = Some(asker.clone());
        }
        self.last = Some(asker);
    }

    fn of(&self, operation: OperationId) -> Option<&Principal> {
        let mut askers = [&self.opened, &self.last].into_iter().flatten();
        askers.find(|(known, _)| *known == operation).map(|(_, principal)| principal)
    }
}

/// Is the moment that a state names, with the place in the log of the event that named it: it is by the clock of then.
type Moment = Option<(Timestamp, Position)>;

/// Is a state with its place in the stream.
pub struct Replica<A> {
    /// The state.
    pub state: A,
    /// The version it stands at.
    pub version: Version,
    askers: Askers,
    moment: Moment,
    /// At which version the newest snapshot stands.
    kept: Version,
}

impl<A: Aggregate> Default for Replica<A> {
    fn default() -> Self {
        let (version, kept) = (Version::default(), Version::default());
        Self { state: A::default(), version, askers: Askers::default(), moment: None, kept }
    }
}

impl<A: Aggregate> Replica<A> {
    /// Reads a stream: its snapshot, if there is a usable one, and what came after.
    ///
    /// # Errors
    /// The log cannot be read, or has facts that this version does not know.
    pub fn read(log: &dyn EventLog, stream: &StreamName) -> Result<Self, ReplayError> {
        let snapshot = log.snapshot(stream).unwrap_or_else(|error| {
            tracing::warn!(%stream, %error, "the snapshot cannot be read; the stream is read from its beginning");
            None
        });
        let mut replica = snapshot.and_then(Self::restore).unwrap_or_default();
        replica.catch_up(log, stream)?;
        Ok(replica)
    }

    /// Reads a stream from its beginning, whatever its snapshot says.
    ///
    /// # Errors
    /// The log cannot be read, or has facts that this version does not know.
    pub fn read_whole(log: &dyn EventLog, stream: &StreamName) -> Result<Self, ReplayError> {
        let mut replica = Self::default();
        replica.catch_up(log, stream)?;
        Ok(replica)
    }

    /// Says whether a snapshot holds another state than the facts before it make. One that nobody would read does not.
    pub(super) fn differs(reader: &Reader, snapshot: Snapshot) -> Result<bool, ReplayError> {
        let (stream, until) = (snapshot.stream.clone(), snapshot.version);
        if snapshot.state_schema != A::STATE_SCHEMA {
            return Ok(false);
        }
        let Ok(kept) = serde_json::from_slice::<Kept<String, serde_json::Value>>(&snapshot.state) else {
            return Ok(true);
        };
        if kept.program != PROGRAM {
            return Ok(false);
        }
        let mut replica = Self::default();
        while replica.version < until {
            let left = (until.get() - replica.version.get()).min(PAGE as u64);
            let page = reader.read_stream(&stream, replica.version, left as usize)?;
            if page.is_empty() {
                return Ok(true);
            }
            page.iter().try_for_each(|envelope| replica.fold(envelope))?;
        }
        let made = serde_json::to_value(&replica.state).ok();
        Ok(made.as_ref() != Some(&kept.state) || kept.askers != replica.askers || kept.moment != replica.moment)
    }

    fn restore(snapshot: Snapshot) -> Option<Self> {
        if snapshot.state_schema != A::STATE_SCHEMA {
            return None;
        }
        let kept: Kept<String, A> = serde_json::from_slice(&snapshot.state).ok()?;
        let Kept { program, askers, moment, state } = kept;
        let version = snapshot.version;
        (program == PROGRAM).then_some(Self { state, version, askers, moment, kept: version })
    }

    /// Folds what came since.
    ///
    /// # Errors
    /// The log cannot be read, or has facts that this version does not know.
    pub fn catch_up(&mut self, log: &dyn EventLog, stream: &StreamName) -> Result<(), ReplayError> {
        loop {
            let page = log.read_stream(stream, self.version, PAGE)?;
            for envelope in &page {
                self.fold(envelope)?;
            }
            if page.len() < PAGE {
                return Ok(());
            }
        }
    }

    /// Folds the next event.
    ///
    /// # Errors
    /// It is a fact that this version does not know.
    pub fn fold(&mut self, envelope: &Envelope) -> Result<(), DecodeError> {
        let mut opens = false;
        if AttemptFailed::read(envelope).is_none() {
            let event = events::decode::<A::Event>(&envelope.kind, envelope.schema, &envelope.body)?;
            let given = Given { operation: envelope.context.operation, at: envelope.recorded_at };
            self.state.evolve(&event, given);
            opens = matches!(event.mark(), Mark::Opened { .. });
            self.note_moment(envelope.position);
        }
        self.version = envelope.version;
        self.askers.note(envelope, opens);
        Ok(())
    }

    fn note_moment(&mut self, position: Position) {
        let moment = self.state.moment();
        if moment != self.moment.map(|(named, _)| named) {
            self.moment = moment.map(|named| (named, position));
        }
    }

    /// Returns the place in the log of the event that named the moment which is awaited.
    pub fn named_at(&self) -> Position {
        self.moment.map_or_else(Position::default, |(_, position)| position)
    }

    /// Returns who asked for an operation, under whose name all that follows from it is recorded; the runtime's own work has no
    /// other.
    pub fn asker(&self, operation: OperationId) -> Principal {
        self.askers.of(self.state.on_behalf_of(operation)).cloned().unwrap_or_else(Principal::runtime)
    }

    /// Returns a snapshot once the tail has grown long for the stream.
    pub fn due_snapshot(&mut self, stream: &StreamName) -> Option<Snapshot> {
        let version = self.version.get();
        let due = (version / TAIL_PART).clamp(TAIL_MIN, TAIL_MAX);
        if self.tail() >= due { self.snapshot(stream) } else { None }
    }

    /// Returns the last snapshot before a rest, if the tail is worth one.
    pub fn last_snapshot(&mut self, stream: &StreamName) -> Option<Snapshot> {
        let worth = self.version.get() >= TAIL_MIN && self.tail() >= TAIL_OF_REST;
        if worth { self.snapshot(stream) } else { None }
    }

    fn tail(&self) -> u64 {
        self.version.get() - self.kept.get()
    }

    fn snapshot(&mut self, stream: &StreamName) -> Option<Snapshot> {
        self.kept = self.version;
        let kept = Kept { program: PROGRAM, askers: self.askers.clone(), moment: self.moment, state: &self.state };
        let state = serde_json::to_vec(&kept).ok()?;
        Some(Snapshot { stream: stream.clone(), version: self.version, state_schema: A::STATE_SCHEMA, state })
    }
}
