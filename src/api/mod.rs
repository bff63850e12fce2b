//! L6: the HTTP API on a Unix socket: resources, operations, events. One file per noun, handlers small.
//!
//! The edge ([`edge`]) draws what rules must not: ids, time, names resolved to ids, defaults. Reads go by [`look`] to
//! `projections::query`, changes to the actors; whatever reaches into what is there (sessions, consoles, files of
//! backups) goes through `effects::access`. Nothing here decides anything.

mod backups;
pub mod client;
mod console_log;
mod containers;
mod disks;
mod edge;
mod events;
mod forecast;
mod look;
mod maintenance;
mod networks;
mod node;
mod operations;
mod peer;
pub mod pieces;
mod places;
mod ports;
mod problem;
mod reading;
mod redaction;
pub mod resources;
mod restores;
mod schedules;
mod server;
mod sessions;
mod sse;
mod stores;
mod templates;
#[cfg(test)]
pub(crate) mod tests;

pub use peer::{group_id, own_principal};
pub use ports::{Acceptance, Capacity, LogPorts, NodeFacts, Ports};
pub use server::serve;
