//! The word by which a launching process passes its own system call filter.
//!
//! The filter is put on while the process still has the host's privileges, so before its namespaces and mounts are made, and
//! lets some calls through only with this word in the register of the sixth argument, which none of them has. It is drawn
//! anew for each launch, and goes when the process becomes its program.

#![allow(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{check, random};

/// Zero where there is none; no filter has that.
static CARRIED: AtomicU64 = AtomicU64::new(0);

/// Is one such word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pass(u64);

impl Pass {
    /// Draws one that nobody can guess.
    ///
    /// # Errors
    /// The kernel has no randomness to give.
    pub fn draw() -> io::Result<Self> {
        loop {
            match u128::from_ne_bytes(random::bytes()?) as u64 {
                0 => {}
                word => return Ok(Self(word)),
            }
        }
    }

    /// Returns its low and its high half.
    pub fn halves(self) -> [u32; 2] {
        [self.0 as u32, (self.0 >> 32) as u32]
    }

    /// Has the calling process and its children show it.
    pub fn carry(self) {
        CARRIED.store(self.0, Ordering::Relaxed);
    }
}

/// Forgets the word that is carried.
pub fn forget() {
    CARRIED.store(0, Ordering::Relaxed);
}

/// Makes a system call of up to five arguments with the word that is carried behind them.
///
/// # Safety
/// The same as for the call itself.
pub(super) unsafe fn call(number: libc::c_long, arguments: [libc::c_long; 5]) -> io::Result<libc::c_long> {
    let [first, second, third, fourth, fifth] = arguments;
    let word = CARRIED.load(Ordering::Relaxed) as libc::c_long;
    // SAFETY: as the caller says; no call of so few arguments looks at the sixth.
    check::long(unsafe { libc::syscall(number, first, second, third, fourth, fifth, word) })
}

/// Turns a pointer into an argument.
pub(super) fn pointer<T: ?Sized>(to: *const T) -> libc::c_long {
    to.cast::<u8>() as libc::c_long
}

/// Turns a mutable pointer into an argument.
pub(super) fn pointer_mut<T>(to: *mut T) -> libc::c_long {
    to as libc::c_long
}
