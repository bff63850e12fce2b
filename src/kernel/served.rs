//! File systems that a container serves itself (FUSE), taken from their server.
//!
//! A process that closes a file of one waits until the server has answered, killed or not. One that was to answer itself waits
//! for ever, and so does everybody who waits for its end. The kernel lets the host's root end the connection.

use std::io;
use std::os::fd::AsFd as _;

use crate::sys::fs::{self, Access, names, open_beneath, stat_at};
use crate::sys::mount::{Safety, new_file_system};
use crate::types::IdRange;

/// Ends every file system that somebody with an id of this range has mounted; returns how many those are. What waits for
/// them fails, and all that is asked of them from now on.
///
/// # Errors
/// What the kernel says; one without FUSE has none, which is no error.
pub fn end_all_of(range: IdRange) -> io::Result<usize> {
    let control = match new_file_system("fusectl", &[], Safety::DataOnly) {
        Err(error) if fs::is_gone(&error) => return Ok(0),
        other => other?,
    };
    let connections = open_beneath(control.as_fd(), b"", Access::Directory)?;
    let mut ended = 0;
    for name in names(connections.as_fd())? {
        // One that ends by itself meanwhile is what is wanted.
        let Ok(found) = stat_at(connections.as_fd(), &name) else { continue };
        if range.contains(found.uid) {
            ended += usize::from(end(&connections, &name).is_ok());
        }
    }
    Ok(ended)
}

fn end(connections: &fs::OwnedFd, name: &[u8]) -> io::Result<()> {
    let file = open_beneath(connections.as_fd(), &[name, b"/abort"].concat(), Access::Write)?;
    io::Write::write_all(&mut fs::into_file(file), b"1")
}
