//! The API as a whole: a real log, real actors, a simulated host, a real socket.

mod access;
mod asked;
mod backups;
mod containers;
mod daemon;
mod events;
mod mistakes;
mod odd;
mod redaction;
mod requests;
mod schedules;
mod sessions;

pub(crate) use daemon::{Daemon, run};
