//! Signals as descriptors: a process blocks them and reads them from a signalfd(2).

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::check;

/// Child ended or stopped.
pub const CHILD: i32 = libc::SIGCHLD;
/// Hang-up.
pub const HANGUP: i32 = libc::SIGHUP;
/// Interrupt from the keyboard.
pub const INTERRUPT: i32 = libc::SIGINT;
/// Polite request to end.
pub const TERMINATE: i32 = libc::SIGTERM;
/// End without appeal.
pub const KILL: i32 = libc::SIGKILL;
/// Quit from the keyboard.
pub const QUIT: i32 = libc::SIGQUIT;
/// Write to a pipe that nobody reads.
pub const PIPE: i32 = libc::SIGPIPE;
/// First user signal.
pub const USER_1: i32 = libc::SIGUSR1;
/// Second user signal.
pub const USER_2: i32 = libc::SIGUSR2;
/// Window size changed.
pub const WINDOW_CHANGE: i32 = libc::SIGWINCH;

/// Go on after a stop.
pub const CONTINUE: i32 = libc::SIGCONT;
/// Stop without appeal.
pub const STOP: i32 = libc::SIGSTOP;
/// The two that the C library keeps for itself and lets nobody set.
const KEPT_BY_LIBRARY: [i32; 2] = [32, 33];
/// The highest signal number.
pub const LAST: i32 = 64;

/// Returns the n-th real-time signal; systemd takes 3 as "halt".
pub fn realtime(offset: i32) -> i32 {
    libc::SIGRTMIN() + offset
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: sigset_t is plain data; sigemptyset initialises it and sigaddset changes only it.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        set
    }
}

fn set_mask(set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: the set lives across the call, the old mask is not asked for.
    check::int(unsafe { libc::sigprocmask(libc::SIG_SETMASK, set, std::ptr::null_mut()) }).map(drop)
}

/// Blocks these signals and returns a non-blocking descriptor that becomes readable when one arrives.
pub fn receive(signals: &[i32]) -> io::Result<OwnedFd> {
    let set = set_of(signals);
    set_mask(&set)?;
    // SAFETY: the set lives across the call; the result is a fresh descriptor.
    let number = check::int(unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })?;
    // SAFETY: nobody else owns the descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Takes the next signal from a descriptor made by [`receive`]; `None` when there is none now.
pub fn next(descriptor: impl AsFd) -> io::Result<Option<i32>> {
    // SAFETY: signalfd_siginfo is plain data.
    let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::signalfd_siginfo>();
    // SAFETY: the buffer is exactly one signalfd_siginfo and lives across the call.
    let length = unsafe { libc::read(descriptor.as_fd().as_raw_fd(), (&raw mut info).cast(), size) };
    match check::long(length as libc::c_long) {
        Ok(_) => Ok(Some(info.ssi_signo as i32)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives every signal its default meaning and unblocks all, as a new program expects it.
pub fn restore_defaults() -> io::Result<()> {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL installs no code; failures (KILL, STOP, the two numbers the C library keeps) do not matter.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // All zero is the kernel's structure for SIG_DFL with no flags and an empty mask.
    let default = [0_u64; 4];
    for signal in KEPT_BY_LIBRARY {
        // SAFETY: the structure lives across the call, the old one is not asked for; the library needs these signals for
        // threads, and whoever calls this has one and is about to become another program or has just begun.
        let old = std::ptr::null_mut::<u64>();
        check::long(unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), old, size_of::<u64>()) })?;
    }
    set_mask(&set_of(&[]))
}

/// Ignores a signal.
pub fn ignore(signal: i32) {
    // SAFETY: SIG_IGN installs no code.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}
