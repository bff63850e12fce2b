//! What is said to an actor, and what it answers.

use std::sync::Arc;

use actix::Message;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::domain::effect::{Answer, Asked, Outcome, Step};
use crate::domain::{Aggregate, Given, Refusal};
use crate::events::{Envelope, EventReference};
use crate::storage::AppendError;
use crate::types::{OperationId, Principal};

/// Is a command with everything the edge drew for it.
#[derive(Debug, Clone)]
pub struct Order<C> {
    /// What is wanted.
    pub command: C,
    /// For which operation, and when.
    pub given: Given,
    /// By whom.
    pub principal: Principal,
    /// What makes a repetition recognisable.
    pub idempotency: Option<Idempotency>,
    /// What stands beside the first event and may be redacted: the reason.
    pub annex: Option<Vec<u8>>,
    /// Whether it is meant.
    pub mode: Mode,
}

/// Makes a repeated request recognisable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// The key.
    pub key: String,
    /// The hash of what was requested under it.
    pub request: [u8; 32],
}

/// Says whether a command is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is.
    Commit,
    /// Only tell what would be recorded first.
    DryRun,
}

/// Is what came of an accepted command.
#[derive(Debug, Clone)]
pub struct Receipt<E> {
    /// The facts, decided now or when the same request came first.
    pub events: Vec<E>,
    /// The same as the log has them; empty after a dry run, and when it was so already.
    pub recorded: Vec<Arc<Envelope>>,
    /// Whether this request was carried out before.
    pub repeated: bool,
}

/// Says why a command came to nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommandError {
    /// The rules refuse.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many commands wait for the same thing.
    #[error("{stream} is busy: too many commands wait for it; try again")]
    Busy {
        /// Which stream.
        stream: String,
    },
    /// The stream cannot be read by this version, or its plan is at a loss.
    #[error("{stream} is parked: {reason}")]
    Parked {
        /// Which stream.
        stream: String,
        /// Why.
        reason: String,
        /// Whether the file could not be read as it was written: making its indexes anew may help.
        damaged: bool,
    },
    /// The log did not take it.
    #[error("the command was not recorded: {0}")]
    Log(#[from] AppendError),
    /// The actor or the daemon is ending.
    #[error("the daemon is stopping, or what was asked is made anew after a fault; look whether it was recorded")]
    Stopping,
}

/// Carries an order to the shell of its aggregate.
pub struct Perform<A: Aggregate> {
    /// The order.
    pub order: Order<A::Command>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Receipt<A::Event>, CommandError>>,
}

impl<A: Aggregate> Message for Perform<A> {
    type Result = ();
}

/// Carries the ask of another aggregate.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct AskMessage {
    pub asked: Asked,
    pub causation: Option<EventReference>,
    pub reply: oneshot::Sender<Result<Answer, CommandError>>,
}

/// Carries the end of one try of an effect back to the shell that owed it.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Finished {
    pub operation: OperationId,
    pub step: Step,
    pub attempt: u32,
    pub outcome: Outcome,
}

/// Tells a shell that the daemon is about to end; it is over when the message is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Rest {
    pub done: mpsc::UnboundedSender<()>,
}

/// Tells a shell that somebody else wrote into its stream.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ReadOn;

/// Makes a shell look at what it owes.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Wake;

/// Makes a shell that is parked, or whose snapshot is not to be trusted, read its stream again from the beginning.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ReadAgain {
    pub distrusted: bool,
}
