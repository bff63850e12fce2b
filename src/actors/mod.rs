//! L5: one generic event-sourced shell around every aggregate, and what keeps the shells going. No rules here.
//!
//! * `shell` – the actor: decide, append, evolve, then pay what the state owes;
//! * `runner` – performs one effect off the actor's thread, with patience, and reports;
//! * `replica` – the state of a stream, from its snapshot and what came after;
//! * `registry` – finds or makes the actor of a stream, and makes it anew after a panic;
//! * `recovery` – at start, wakes the streams that owe something: the plan goes on by itself;
//! * `reconcile` – turns what the host shows into commands;
//! * `sweep` – frees what the dead left claimed;
//! * `unrecorded` – stops that were made where nothing could be recorded.

mod house;
mod kinds;
mod message;
pub mod reconcile;
mod recovery;
mod registry;
mod replica;
mod runner;
mod shell;
pub mod sweep;
mod unrecorded;

pub use house::{House, RetryPolicy};
pub use kinds::differs;
pub use message::{CommandError, Idempotency, Mode, Order, Perform, Receipt};
pub use recovery::recover;
pub use registry::Registry;
pub use replica::{ReplayError, Replica};
pub use runner::at_once;
pub use unrecorded::{Recorded, UnrecordedStop};
