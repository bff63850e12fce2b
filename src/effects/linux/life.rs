//! The life of a container on this host, by way of its supervisor: begun, watched, entered, ended.
//!
//! `ready` keeps a few supervisors that wait, `supervisor` orders and asks them, `specification` tells each what its container
//! is; `observe`, `watch` and `hits` bring back what the kernel says of it, `reach` what lies inside while it does not run.

pub(in crate::effects::linux) mod hits;
pub(in crate::effects::linux) mod inside;
pub(in crate::effects::linux) mod link;
pub(in crate::effects::linux) mod observe;
pub(in crate::effects::linux) mod out_of_memory;
pub(in crate::effects::linux) mod reach;
pub(in crate::effects::linux) mod ready;
pub(in crate::effects::linux) mod renew;
pub(in crate::effects::linux) mod specification;
pub(in crate::effects::linux) mod start;
pub(in crate::effects::linux) mod stop;
pub(in crate::effects::linux) mod supervisor;
pub(in crate::effects::linux) mod unrecorded;
pub(in crate::effects::linux) mod watch;
