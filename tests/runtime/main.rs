//! The runtime as a whole: the real log, the real actors, and a simulated host in a world that outlives daemons.
//!
//! * `daemon` – a daemon that can be killed at any append and at any step of the host, and the scene that survives it;
//! * `picture` – what the log and the world tell, in a form that two runs can be compared by;
//! * `plans` – every plan, each as "prepare, then order";
//! * `laws` – crash, failure and repetition at every point of every plan;
//! * `shell` – what the actor around an aggregate promises;
//! * `snapshots` – that they save reading and nothing else;
//! * `claims` – races for what exists once, and the sweep of what the dead left;
//! * `standing` – a container that a restore stops for a while, and others who want something of it meanwhile;
//! * `gone` – what is gone already is taken away with success;
//! * `cancels` – calling off at each step of every plan;
//! * `operations` – which operation may start while which runs: the table in `docs/operations.md`.

// Locks of the world are let go before anything is awaited that takes them: these are tests of one thread each.
#![allow(clippy::unwrap_used, clippy::await_holding_lock, clippy::needless_for_each, clippy::format_push_string)]

mod cancels;
mod claims;
mod daemon;
mod gone;
mod laws;
mod operations;
mod picture;
mod plans;
mod shell;
mod snapshots;
mod standing;
