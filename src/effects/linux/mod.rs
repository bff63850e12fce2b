//! The real host: Linux, by way of `sys` and `kernel`.
//!
//! `host` says which work goes where; `run`, `watch` and `reach` speak to supervisors, of which `ready` keeps a few; `stores`, `backup`, `restore` and
//! `mapped` to the backup engine; the rest each do one kind of work.

mod access;
pub mod archive;
mod backup;
pub mod defragment;
pub mod disk;
mod failure;
pub mod firewall;
mod host;
pub mod host_template;
mod mapped;
pub mod network;
pub mod paths;
mod reach;
mod ready;
mod restore;
mod run;
mod stores;
pub mod template;
pub mod update_check;
mod watch;
mod work;

pub use host::{HostOptions, LinuxHost};
