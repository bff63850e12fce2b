//! L1: what can be recorded: one file per kind of stream, and the envelope around every fact.
//!
//! Events are facts in the past tense that an operator could read aloud. An operation opens with `…Requested` and closes
//! with its outcome. Only intent, allocations and outcomes are recorded: mounts, control groups and links die with the
//! boot and are observed instead.

mod attempt;
mod backup;
mod batch;
mod clock;
mod codec;
mod container;
mod directory;
mod envelope;
mod maintenance;
mod network;
mod node;
mod restore;
mod schedule;
mod session;
mod store;
mod template;
mod upcast;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use attempt::AttemptFailed;
pub use backup::{BackupGroupEvent, BackupJobEvent, BackupMode, BackupOutcome, BackupSummary};
pub use batch::{BatchAction, BatchEvent, BatchMember};
pub use clock::ClockEvent;
pub use codec::{DecodeError, decode, encode};
pub use container::{
    AddressRequest, Configuration, ContainerEvent, DiskKind, Exit, HoldKind, InitKind, KillReason, Lease, LimitChange,
    Limits, ProcessIdentity, RestartPolicy, StopReason,
};
pub use directory::DirectoryEvent;
pub use envelope::{Context, Envelope, EventReference, NewEvent};
pub use maintenance::{MaintenanceAction, MaintenanceEvent, MaintenanceResult, PendingUpdate};
pub use network::NetworkEvent;
pub use node::NodeEvent;
pub use restore::{RestoreEvent, RestoreTarget};
pub use schedule::{ScheduleDefinition, ScheduleEvent, ScheduledAction, Selection};
pub use session::{Reading, SessionEvent};
pub use store::StoreEvent;
pub use template::{TakenOut, TemplateEvent, TemplateSource, TemplateSummary};

use crate::types::Category;

/// Is a kind of fact: one enum per kind of stream implements this.
pub trait DomainEvent: Serialize + DeserializeOwned + Clone + std::fmt::Debug + PartialEq + Send + 'static {
    /// The kind of stream these facts belong to.
    const CATEGORY: Category;

    /// The names of all facts of this enum, in the order of its definition.
    const KINDS: &'static [&'static str];

    /// Returns what the fact means to the operation it belongs to.
    fn mark(&self) -> Mark;

    /// Returns the fact in words an operator could read aloud.
    fn sentence(&self) -> String;

    /// Returns what is not as it should be, though the operation goes on.
    fn warnings(&self) -> Vec<String> {
        vec![]
    }
}

/// Says what a fact does to its operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// It opens the operation: what was asked for, as a verb.
    Opened {
        /// `start`, `create`, `backup` …
        verb: &'static str,
    },
    /// The operation reached another phase.
    Phase {
        /// `live pass`, `undoing` …
        name: &'static str,
    },
    /// The operation is over.
    Closed {
        /// How it ended.
        outcome: Closing,
    },
    /// It is an operation by itself, over when it was recorded.
    Done {
        /// `read` …
        verb: &'static str,
    },
    /// A fact beside any operation of this stream.
    Fact,
}

/// Says how an operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Closing {
    /// As asked.
    Done,
    /// As asked, but for some parts that are listed.
    DoneWithExceptions {
        /// Which.
        reason: String,
    },
    /// Not at all; what was begun has been undone.
    Failed {
        /// Why.
        reason: String,
    },
    /// There was nothing to do, or it was not the time for it.
    Skipped {
        /// Why.
        reason: String,
    },
    /// Somebody called it off.
    Cancelled,
    /// Neither done nor undone: a person has to look.
    Stuck {
        /// What does not work.
        reason: String,
    },
}

impl Closing {
    /// Returns the outcome in words.
    pub fn words(&self) -> String {
        match self {
            Self::Done => "done".to_owned(),
            Self::DoneWithExceptions { reason } => format!("done with exceptions: {reason}"),
            Self::Failed { reason } => format!("failed: {reason}"),
            Self::Skipped { reason } => format!("skipped: {reason}"),
            Self::Cancelled => "cancelled".to_owned(),
            Self::Stuck { reason } => format!("stuck: {reason}"),
        }
    }

    /// Says whether what was asked for is there, perhaps with exceptions.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Done | Self::DoneWithExceptions { .. })
    }
}

/// Names the variants of an event enum for [`DomainEvent::KINDS`], checked by the compiler.
macro_rules! kinds {
    ($event:ident: $($kind:ident),+ $(,)?) => {{
        #[allow(dead_code)]
        fn complete(event: &$event) {
            match event { $($event::$kind { .. } => (),)+ }
        }
        &[$(stringify!($kind)),+]
    }};
}
pub(crate) use kinds;
