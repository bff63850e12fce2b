//! What the writer can be asked for.

use tokio::sync::oneshot;

use crate::storage::error::AppendError;
use crate::storage::{Commit, Committed, Snapshot};
use crate::types::Position;

pub(super) type Reply<T> = oneshot::Sender<Result<T, AppendError>>;

/// Is what the writer can be asked for.
pub(in crate::storage) enum Request {
    Append(Box<Commit>, Reply<Committed>),
    Accept(Box<Commit>, Reply<Option<String>>),
    Seal(Reply<Option<String>>),
    Snapshot(Snapshot),
    Redact(Vec<Position>, Reply<usize>),
    Archive(Position, Reply<usize>),
    Rebuild(Vec<i64>, Reply<Position>),
    Stop,
}

impl Request {
    /// Answers with an error; nobody listening is no concern.
    pub(in crate::storage) fn refuse(self, error: AppendError) {
        match self {
            Self::Append(_, reply) => drop(reply.send(Err(error))),
            Self::Seal(reply) | Self::Accept(_, reply) => drop(reply.send(Err(error))),
            Self::Redact(_, reply) | Self::Archive(_, reply) => drop(reply.send(Err(error))),
            Self::Rebuild(_, reply) => drop(reply.send(Err(error))),
            Self::Snapshot(_) | Self::Stop => {}
        }
    }
}
