//! L2: the rules, pure: no clock, no randomness, no input or output.
//!
//! One folder (or file) per aggregate. `decide` judges a command against the state and returns facts or a refusal,
//! `evolve` folds facts into the state and never judges, `next_effect` says what the state still owes the world.
//! A saga is the open operation inside its own stream: its plan is one `match` from (phase, facts) to the next effect.

pub mod backup_group;
pub mod backup_job;
pub mod batch;
pub mod clock;
pub mod container;
pub mod directory;
pub mod effect;
pub mod laws;
pub mod maintenance;
pub mod network;
pub mod node;
mod notice;
pub mod refusal;
pub mod restore_job;
pub mod schedule;
pub mod session;
pub mod store;
pub mod template;
pub mod testing;

pub use effect::{
    Action, Answer, Ask, Asked, Due, Effect, Facts, Failure, FailureKind, HostEffect, Outcome, Report, Step,
};
pub use notice::Notice;
pub use refusal::{Refusal, RefusalClass};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::events::DomainEvent;
use crate::types::{Category, OperationId, Timestamp};

/// Is what stands around a command or a fact: rules know no other time and no other chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// The operation that it belongs to.
    pub operation: OperationId,
    /// When the command was given, or the fact recorded.
    pub at: Timestamp,
}

/// Is the rules of one kind of thing.
pub trait Aggregate: Default + Serialize + DeserializeOwned + Send + 'static {
    /// The kind of stream.
    const CATEGORY: Category;
    /// Which shape and meaning the state has: raise it whenever either changes, and older snapshots are ignored.
    const STATE_SCHEMA: u32;
    /// What can be asked of it; reports and asks of other aggregates are commands like any other.
    type Command: From<Report> + TryFrom<Asked> + Clone + std::fmt::Debug + Send + 'static;
    /// What can become true of it.
    type Event: DomainEvent;
    /// Why it refuses.
    type Rejection: Into<Refusal> + std::error::Error + Send + 'static;

    /// Decides what follows from `command`, or why it is refused.
    ///
    /// An empty list means that it is already so: repeating a command is harmless.
    ///
    /// # Errors
    /// The rejection says which fact about the state stands against the command.
    fn decide(&self, command: &Self::Command, given: Given) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// Folds one recorded fact into the state. Never fails, never judges: the log is the truth.
    fn evolve(&mut self, event: &Self::Event, given: Given);

    /// Returns the effect that this state still owes the world.
    fn next_effect(&self) -> Option<Effect>;

    /// Returns the operation of this aggregate that an effect's operation belongs to: whoever asked for that one asked for all
    /// that follows, also where the effect goes under an operation that was drawn for another aggregate.
    fn on_behalf_of(&self, operation: OperationId) -> OperationId {
        operation
    }

    /// Returns the moment that is awaited, or will be, from the fact on that named it: it is by the clock of then, however many
    /// facts come before it.
    fn moment(&self) -> Option<Timestamp> {
        None
    }

    /// Returns what the asker gets to know once its ask has been decided and recorded.
    ///
    /// Who asked and for which operation are part of it: a range or an address is found again by its holder.
    fn answer(&self, asked: &Asked) -> Answer {
        let _ = asked;
        Answer::Accepted
    }
}
