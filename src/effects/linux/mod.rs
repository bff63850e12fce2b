//! The real host: Linux, by way of `sys` and `kernel`.
//!
//! `host` says which work goes where. `start`, `stop`, `link`, `observe`, `watch`, `hits` and `reach` speak to supervisors:
//! `ready` keeps a few, `supervisor` orders and asks them, `specification` tells each what its container is. `stores`,
//! `backup` and `restore` speak to the backup engine; `leftovers` is for instances that nobody answers for; the rest each do
//! one kind of work.

mod access;
pub mod archive;
mod backup;
mod consoles;
pub mod defragment;
pub mod disk;
mod each;
mod failure;
pub mod firewall;
mod hits;
mod host;
pub mod host_template;
mod inside;
pub mod leftovers;
mod link;
mod listing;
pub mod network;
mod observe;
mod out_of_memory;
pub mod paths;
mod reach;
mod ready;
mod renew;
mod restore;
mod room;
mod specification;
mod start;
mod stop;
mod stores;
mod supervisor;
pub mod template;
mod unrecorded;
mod update_check;
mod watch;
mod work;

pub use host::{HostOptions, LinuxHost};
