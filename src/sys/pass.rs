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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use crate::sys::seccomp::OF_LAUNCHES;

    /// Adds the calls that the sources below a directory make with the word.
    fn calls_made(place: &Path, found: &mut BTreeSet<String>) {
        const CALL: &str = "pass::call(libc::";
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                calls_made(&path, found);
            } else if path != Path::new(file!()) {
                let source = fs::read_to_string(&path).unwrap();
                let names = source.split(CALL).skip(1).filter_map(|rest| rest.split(',').next());
                found.extend(names.map(str::to_owned));
            }
        }
    }

    #[test]
    fn the_word_lets_through_what_a_launch_calls_and_no_more() {
        let mut made = BTreeSet::new();
        calls_made(Path::new("src/sys"), &mut made);
        let passed = OF_LAUNCHES.iter().map(|(name, _)| *name).chain(["SYS_clone3", "SYS_keyctl"]);
        assert_eq!(made, passed.map(str::to_owned).collect());
    }
}
