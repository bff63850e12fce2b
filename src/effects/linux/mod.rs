//! The real host: Linux, by way of `sys` and `kernel`.

pub mod archive;
mod failure;
pub mod firewall;
pub mod host_template;
pub mod network;
pub mod paths;
pub mod template;
