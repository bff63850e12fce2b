//! Waiting for several descriptors at once (poll(2)).

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

/// One descriptor to wait for, and afterwards what is true of it.
#[derive(Debug)]
pub struct Interest<'a> {
    descriptor: BorrowedFd<'a>,
    write: bool,
    /// Reading would not block (or the other end is gone, which reading tells).
    pub readable: bool,
    /// Writing would not block.
    pub writable: bool,
}

impl<'a> Interest<'a> {
    /// Waits for something to read.
    pub fn read(descriptor: BorrowedFd<'a>) -> Self {
        Self { descriptor, write: false, readable: false, writable: false }
    }

    /// Waits for something to read or room to write.
    pub fn read_write(descriptor: BorrowedFd<'a>) -> Self {
        Self { descriptor, write: true, readable: false, writable: false }
    }
}

/// Waits until one of them is ready or the time is over (`None`: for ever). An interrupted wait returns early.
pub fn wait(interests: &mut [Interest<'_>], timeout: Option<Duration>) -> io::Result<()> {
    let flags = |write: bool| if write { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
    let mut polled: Vec<PollFd<'_>> =
        interests.iter().map(|one| PollFd::from_borrowed_fd(one.descriptor, flags(one.write))).collect();
    let limit = timeout.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
    match rustix::event::poll(&mut polled, limit.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let ready: Vec<PollFlags> = polled.iter().map(PollFd::revents).collect();
    for (interest, flags) in interests.iter_mut().zip(ready) {
        interest.readable = flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
        interest.writable = flags.intersects(PollFlags::OUT);
    }
    Ok(())
}

/// Waits for one descriptor; tells whether it became readable in time.
pub fn wait_readable(descriptor: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    let mut interest = [Interest::read(descriptor)];
    wait(&mut interest, Some(timeout))?;
    Ok(interest[0].readable)
}
