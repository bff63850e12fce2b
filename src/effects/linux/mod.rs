//! The real host: Linux, by way of `sys` and `kernel`.

pub mod archive;
pub mod defragment;
pub mod disk;
mod failure;
pub mod firewall;
pub mod host_template;
pub mod network;
pub mod paths;
pub mod template;
pub mod update_check;
