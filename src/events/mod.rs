//! L1: what can be recorded: one file per kind of stream, and the envelope around every fact.

mod envelope;

pub use envelope::{Context, Envelope, EventReference, NewEvent};
