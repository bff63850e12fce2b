//! L0: the only home of `unsafe` and of raw kernel calls, as thin safe wrappers.
//!
//! One file per subject. Errors are plain `std::io::Error`s: which step failed and why it was tried is known by the
//! caller alone.

pub mod bpf;
pub mod capability;
mod check;
pub mod clock;
pub mod descriptor;
pub mod ext4;
pub mod fs;
pub mod heritage;
pub mod kernel_log;
pub mod loop_device;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod pass;
pub mod poll;
pub mod process;
pub mod random;
pub mod seccomp;
pub mod service;
pub mod signal;
pub mod socket;
pub mod tty;
