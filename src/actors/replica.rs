//! The state of one stream as its actor has it: folded from the log, with a snapshot as a head start.
//!
//! A snapshot only saves reading. It is taken for what it says if this very version of Berth wrote it, for this shape of
//! state, at an event that this log has; anything else is as none, and the stream is read from its beginning.

use serde::{Deserialize, Serialize};

use crate::domain::{Aggregate, Given};
use crate::events::{self, AttemptFailed, DecodeError, Envelope};
use crate::storage::{EventStore, ReadError, Reader, Snapshot};
use crate::types::{Principal, StreamName, Version};

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
    principal: Principal,
    state: A,
}

/// Is a state with its place in the stream.
pub struct Replica<A> {
    /// The state.
    pub state: A,
    /// The version it stands at.
    pub version: Version,
    /// On whose behalf the state is as it is.
    pub principal: Principal,
    /// At which version the newest snapshot stands.
    kept: Version,
}

impl<A: Aggregate> Default for Replica<A> {
    fn default() -> Self {
        let (version, kept) = (Version::default(), Version::default());
        Self { state: A::default(), version, principal: Principal::runtime(), kept }
    }
}

impl<A: Aggregate> Replica<A> {
    /// Reads a stream: its snapshot, if there is a usable one, and what came after.
    ///
    /// # Errors
    /// The log cannot be read, or has facts that this version does not know.
    pub fn read(log: &dyn EventStore, stream: &StreamName) -> Result<Self, ReplayError> {
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
    pub fn read_whole(log: &dyn EventStore, stream: &StreamName) -> Result<Self, ReplayError> {
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
        Ok(made.as_ref() != Some(&kept.state) || kept.principal != replica.principal)
    }

    fn restore(snapshot: Snapshot) -> Option<Self> {
        if snapshot.state_schema != A::STATE_SCHEMA {
            return None;
        }
        let kept: Kept<String, A> = serde_json::from_slice(&snapshot.state).ok()?;
        let Kept { program, principal, state } = kept;
        let version = snapshot.version;
        (program == PROGRAM).then_some(Self { state, version, principal, kept: version })
    }

    fn catch_up(&mut self, log: &dyn EventStore, stream: &StreamName) -> Result<(), ReplayError> {
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
        if AttemptFailed::read(envelope).is_none() {
            let event = events::decode::<A::Event>(&envelope.kind, envelope.schema, &envelope.body)?;
            let given = Given { operation: envelope.context.operation, at: envelope.recorded_at };
            self.state.evolve(&event, given);
        }
        self.version = envelope.version;
        self.principal.clone_from(&envelope.context.principal);
        Ok(())
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
        let kept = Kept { program: PROGRAM, principal: self.principal.clone(), state: &self.state };
        let state = serde_json::to_vec(&kept).ok()?;
        Some(Snapshot { stream: stream.clone(), version: self.version, state_schema: A::STATE_SCHEMA, state })
    }
}
