//! Berth: system containers on Linux as an actor-based, event-sourced runtime.
//!
//! One command travels one way: CLI, API or scheduler → actor → `decide` → log (and projections, in the same
//! transaction) → query. What a state still owes the world is an effect; the one seam to the world is the trait
//! `effects::Host`. The modules stand in layer order, and imports point only to lower layers
//! (`tests/architecture.rs` enforces it; `docs/architecture.md` follows two commands through the files).

// A module head may speak of the parts behind it.
#![allow(rustdoc::private_intra_doc_links)]

pub mod sys;

pub mod types;

pub mod events;

pub mod domain;
pub mod kernel;

pub mod repository;
pub mod shim;
pub mod storage;

pub mod effects;
pub mod projections;

pub mod actors;

pub mod api;
pub mod scheduler;

pub mod cli;
