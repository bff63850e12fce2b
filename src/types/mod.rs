//! L0: the words everything else is said in.
//!
//! Newtypes that parse what comes in and print what goes out; nothing here knows about events, rules or the kernel.

mod id;
mod name;
mod principal;
mod size;
mod span;
mod stream;
mod time;

pub use id::{
    BackupId, ContainerId, ID_LENGTH, InvalidId, LogId, NetworkId, NodeId, OperationId, PREFIX_LENGTH_MIN, RunId,
    ScheduleId, SessionId, StoreId, TemplateId,
};
pub use name::{InvalidName, NAME_LENGTH_MAX, Name};
pub use principal::Principal;
pub use size::{InvalidSize, Size};
pub use span::{InvalidSpan, Span};
pub use stream::{Category, InvalidStreamName, Position, StreamName, Version};
pub use time::{Clock, Timestamp};
