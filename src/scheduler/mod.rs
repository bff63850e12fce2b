//! L6: what is due, and the ticker that says so.
//!
//! [`due`] is pure and decides; whoever ticks sleeps until [`due::next_due`], asks [`due::due`], records what it says
//! and does it. Nothing polls.

pub mod due;
