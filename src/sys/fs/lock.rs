//! Locks that end with the process that holds them (flock(2)): nothing is left to be deleted by hand.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

/// How long a lock may be held by what is no holder any more: a program that was spawned a moment before its holder let go
/// has the holder's descriptors, and so its lock, until its exec.
const PATIENCE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(5);

/// Takes the exclusive lock as [`try_exclusive`] does, but gives a program that is being spawned the time to become one;
/// `false` if another holds it still.
///
/// # Errors
/// What flock(2) says.
pub fn exclusive(file: BorrowedFd<'_>) -> io::Result<bool> {
    patiently(|| try_exclusive(file))
}

/// Takes the shared lock as patiently, which any number may hold; `false` if another holds the exclusive one still.
///
/// # Errors
/// What flock(2) says.
pub fn shared(file: BorrowedFd<'_>) -> io::Result<bool> {
    patiently(|| attempt(file, FlockOperation::NonBlockingLockShared))
}

fn patiently(mut attempt: impl FnMut() -> io::Result<bool>) -> io::Result<bool> {
    let begun = Instant::now();
    while !attempt()? {
        if begun.elapsed() >= PATIENCE {
            return Ok(false);
        }
        std::thread::sleep(PAUSE);
    }
    Ok(true)
}

/// Takes the exclusive lock on an open file or directory; `false` if another holds it. It ends when the descriptor closes.
///
/// # Errors
/// What flock(2) says.
pub fn try_exclusive(file: BorrowedFd<'_>) -> io::Result<bool> {
    attempt(file, FlockOperation::NonBlockingLockExclusive)
}

fn attempt(file: BorrowedFd<'_>, operation: FlockOperation) -> io::Result<bool> {
    match rustix::fs::flock(file, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs::{AsFd, open_root};

    #[test]
    fn the_second_is_refused_until_the_first_closes() {
        let place = tempfile::tempdir().unwrap();
        let first = open_root(place.path()).unwrap();
        let second = open_root(place.path()).unwrap();
        assert!(try_exclusive(first.as_fd()).unwrap());
        assert!(!try_exclusive(second.as_fd()).unwrap());
        drop(first);
        assert!(try_exclusive(second.as_fd()).unwrap());
    }
}
