//! The real host: Linux, by way of `sys` and `kernel`.
//!
//! `host` says which work goes where. `life` speaks to the supervisors of containers, `stores`, `backup` and `restore` to the
//! backup engine; `leftovers` is for instances that nobody answers for; the rest each do one kind of work.

mod access;
mod backup;
mod consoles;
pub mod defragment;
pub mod disk;
mod each;
mod failure;
pub mod firewall;
mod host;
pub mod leftovers;
mod life;
mod listing;
pub mod network;
pub mod paths;
mod restore;
mod room;
mod stores;
pub mod template;
mod update_check;
mod work;

pub use host::{HostOptions, LinuxHost};
