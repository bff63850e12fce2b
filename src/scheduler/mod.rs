//! L6: what is due, and the ticker that says so.
//!
//! [`due`] is pure and decides; the [`ticker`] sleeps until [`due::next_due`], asks [`due::due`], and records what it
//! says. Nothing polls.

pub mod due;
mod resolve;
#[cfg(test)]
mod tests;
pub mod ticker;
