//! Namespaces: which ones, leaving and entering them, and the few settings inside that need a system call.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::{check, pass, process};

/// A set of namespaces (namespaces(7)).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Namespaces(u64);

impl Namespaces {
    /// Mounts.
    pub const MOUNT: Self = Self(libc::CLONE_NEWNS as u64);
    /// Process ids.
    pub const PID: Self = Self(libc::CLONE_NEWPID as u64);
    /// Network.
    pub const NETWORK: Self = Self(libc::CLONE_NEWNET as u64);
    /// Host name.
    pub const UTS: Self = Self(libc::CLONE_NEWUTS as u64);
    /// System V IPC and POSIX message queues.
    pub const IPC: Self = Self(libc::CLONE_NEWIPC as u64);
    /// The visible root of the cgroup tree.
    pub const CGROUP: Self = Self(libc::CLONE_NEWCGROUP as u64);
    /// User and group ids, capabilities.
    pub const USER: Self = Self(libc::CLONE_NEWUSER as u64);

    /// Returns the union.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the flags of clone(2).
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// Moves the caller into new namespaces (unshare(2)).
pub fn leave(namespaces: Namespaces) -> io::Result<()> {
    // SAFETY: only CLONE_NEW* flags can be in the set; they concern no memory of the process.
    unsafe { pass::call(libc::SYS_unshare, [namespaces.0 as libc::c_long, 0, 0, 0, 0]) }.map(drop)
}

/// Enters the given namespaces of the process behind the pidfd in one call (setns(2) with a pidfd, kernel 5.8).
/// The pid namespace counts for later children only.
pub fn enter(pidfd: impl AsFd, namespaces: Namespaces) -> io::Result<()> {
    let arguments = [pidfd.as_fd().as_raw_fd().into(), namespaces.0 as libc::c_long, 0, 0, 0];
    // SAFETY: the descriptor is borrowed for the call.
    process::keeping_closed(|| unsafe { pass::call(libc::SYS_setns, arguments) }.map(drop))
}

/// Sets the host name of the UTS namespace.
pub fn set_hostname(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length belong to the same live string.
    unsafe { pass::call(libc::SYS_sethostname, [pass::pointer(name.as_ptr()), name.len() as libc::c_long, 0, 0, 0]) }
        .map(drop)
}

/// Brings `lo` of the network namespace up (netdevice(7) `SIOCSIFFLAGS`).
pub fn bring_loopback_up() -> io::Result<()> {
    // SAFETY: plain numbers; the result is a fresh descriptor.
    let socket = check::int(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: nobody else owns the descriptor.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: ifreq is plain data, all-zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: `request` is a whole ifreq that lives across the call; the kernel reads name and flags.
    check::int(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) }).map(drop)
}
