//! Waiting for several descriptors at once (poll(2)).

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

/// What a pipe that poll(2) calls writable has room for (`PIPE_BUF`).
pub const ROOM: usize = 4096;

/// One descriptor to wait for, and afterwards what is true of it.
#[derive(Debug)]
pub struct Interest<'a> {
    descriptor: BorrowedFd<'a>,
    flags: PollFlags,
    /// Reading would not block (or the other end is gone, which reading tells).
    pub readable: bool,
    /// Writing would not block (or the other end is gone, which writing tells).
    pub writable: bool,
}

impl<'a> Interest<'a> {
    /// Waits for something to read.
    pub fn read(descriptor: BorrowedFd<'a>) -> Self {
        Self { descriptor, flags: PollFlags::IN, readable: false, writable: false }
    }

    /// Waits for room to write. Where there is some, a blocking pipe takes at least [`ROOM`] bytes without a wait.
    pub fn write(descriptor: BorrowedFd<'a>) -> Self {
        Self { descriptor, flags: PollFlags::OUT, readable: false, writable: false }
    }

    /// Tells whether what was waited for is so.
    pub fn is_ready(&self) -> bool {
        self.readable || self.writable
    }
}

/// Waits until one of them is ready or the time is over (`None`: for ever). An interrupted wait returns early.
pub fn wait(interests: &mut [Interest<'_>], timeout: Option<Duration>) -> io::Result<()> {
    let mut polled: Vec<PollFd<'_>> =
        interests.iter().map(|one| PollFd::from_borrowed_fd(one.descriptor, one.flags)).collect();
    let limit = timeout.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
    match rustix::event::poll(&mut polled, limit.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let ready: Vec<PollFlags> = polled.iter().map(PollFd::revents).collect();
    for (interest, flags) in interests.iter_mut().zip(ready) {
        let ready = flags.intersects(interest.flags | PollFlags::HUP | PollFlags::ERR);
        interest.readable = ready && interest.flags.contains(PollFlags::IN);
        interest.writable = ready && interest.flags.contains(PollFlags::OUT);
    }
    Ok(())
}

/// Waits for one descriptor; tells whether it became readable in time.
pub fn wait_readable(descriptor: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    let mut interest = [Interest::read(descriptor)];
    wait(&mut interest, Some(timeout))?;
    Ok(interest[0].readable)
}
