//! L6: the HTTP API on a Unix socket.

pub mod resources;
