//! A shim that is spawned before it is needed: it waits on its standard input, a packet socket, for the one message
//! that names its runtime directory, and ends when the daemon that spawned it is gone.
//!
//! After that the socket goes on as the daemon's first connection: nobody has to wait for a listening socket to appear.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use super::protocol::MESSAGE_MAX;
use crate::sys::{descriptor, process, socket};

/// Waits for the order; none when the daemon went away without one. The descriptor that comes along becomes the
/// standard error: what the shim says on its way out belongs to the container.
///
/// # Errors
/// Standard input is no packet socket.
pub(super) fn wait() -> io::Result<Option<PathBuf>> {
    let message = socket::receive(io::stdin(), MESSAGE_MAX)?;
    if message.bytes.is_empty() {
        return Ok(None);
    }
    if let Some(words) = message.descriptors.first() {
        descriptor::duplicate_onto(words, 2)?;
    }
    // So that ps(1) tells whose it is; a path that is too long for it changes nothing else.
    let _ = process::set_command_line(&[b"berth", b"shim", &message.bytes]);
    Ok(Some(PathBuf::from(OsString::from_vec(message.bytes))))
}

/// Takes the socket of the order as a connection and leaves /dev/null in its place; none in a shim that was named its
/// directory on the command line.
///
/// # Errors
/// The descriptor cannot be copied.
pub(super) fn take_connection() -> io::Result<Option<OwnedFd>> {
    if !socket::is_packet_socket(io::stdin()) {
        return Ok(None);
    }
    let connection = descriptor::copy(io::stdin())?;
    descriptor::duplicate_onto(std::fs::File::open("/dev/null")?, 0)?;
    socket::never_block(&connection)?;
    Ok(Some(connection))
}
