//! The real host: Linux, by way of `sys` and `kernel`.

mod failure;
pub mod firewall;
pub mod network;
pub mod paths;

