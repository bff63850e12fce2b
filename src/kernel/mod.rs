//! L2: what the shim and the host share: cgroups, mounts, launching, security profiles. Functions, no policy.
//!
//! The story of a start: `stage` makes the view of the host, `disk` mounts the disk, `cgroup` makes the group, `launch`
//! forks the first process into its namespaces, which assembles its root (`launch::root`), waits for the word, enters its
//! profile (`security`) and becomes the program. `enter` is the same for a command that joins a running container.

pub mod account;
pub mod builtin_init;
pub mod cgroup;
pub mod disk;
pub mod enter;
pub mod etc;
pub mod failure;
pub mod identity;
pub mod inner;
pub mod launch;
pub mod pressure;
pub mod probe;
pub mod program;
pub mod seccomp;
pub mod security;
pub mod served;
pub mod stage;
mod terminal;
pub mod unshared;
pub mod writers;
