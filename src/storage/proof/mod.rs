//! What the log can prove: leaves, the tree over them, signed checkpoints, and the verification that reads it all again.

pub mod checkpoint;
pub(super) mod history;
pub mod leaf;
pub mod merkle;
pub(super) mod report;
pub(super) mod verify;
