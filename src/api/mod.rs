//! L6: the HTTP API on a Unix socket: resources, operations, events. One file per noun, handlers small.
//!
//! The edge ([`edge`]) draws what rules must not: ids, time, names resolved to ids, defaults. Reads go by [`look`] to
//! `projections::query`, changes to the actors; whatever reaches into what is there (sessions, consoles, files of
//! backups) goes through `effects::access`. Nothing here decides anything.

pub mod client;
mod edge;
mod forecast;
mod look;
mod peer;
pub mod pieces;
mod places;
mod ports;
mod problem;
mod reading;
pub mod resources;
mod routes;
mod server;
mod sse;
#[cfg(test)]
pub(crate) mod tests;

pub use peer::{group_id, own_principal};
pub use ports::{Acceptance, Capacity, LogPorts, NodeFacts, Ports};
pub use server::serve;
