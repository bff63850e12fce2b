//! Messages on the wire: JSON in a packet, or, where it is too long for one, in sealed memory that comes along.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::protocol::{LONG_MESSAGE_MAX, MESSAGE_MAX};
use crate::sys::{descriptor, socket};

/// The packet in place of a message that comes along as a descriptor; no JSON text is this.
const ENCLOSED: &[u8] = b"@";

/// A message as it goes out.
#[derive(Debug)]
pub(super) struct Packed(Vec<u8>);

impl Packed {
    /// Writes it as JSON.
    pub(super) fn new(message: &impl Serialize) -> io::Result<Self> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > LONG_MESSAGE_MAX {
            let text = format!("a message of {} bytes is too long, {LONG_MESSAGE_MAX} is the most", bytes.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(Self(bytes))
    }

    /// Tells whether it needs more than a packet, which peers of the first version do not understand.
    pub(super) fn is_long(&self) -> bool {
        self.0.len() > MESSAGE_MAX
    }

    /// Sends it with descriptors.
    pub(super) fn send(&self, socket: impl AsFd, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        if !self.is_long() {
            return socket::send(socket, &self.0, descriptors);
        }
        let memory = descriptor::sealed_memory("message", &self.0)?;
        let all: Vec<BorrowedFd<'_>> = descriptors.iter().copied().chain([memory.as_fd()]).collect();
        socket::send(socket, ENCLOSED, &all)
    }
}

/// Receives a message and the descriptors that came along; none at the end of the connection.
///
/// # Errors
/// As [`socket::receive`]; what came is no message.
pub(super) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut packet = socket::receive(socket, MESSAGE_MAX)?;
    if packet.bytes.is_empty() {
        return Ok(None);
    }
    if packet.bytes == ENCLOSED {
        let memory = packet.descriptors.pop().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        packet.bytes = descriptor::read_sealed_memory(memory, LONG_MESSAGE_MAX)?;
    }
    Ok(Some((serde_json::from_slice(&packet.bytes)?, packet.descriptors)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_whole_whatever_its_length_and_so_does_what_comes_along() {
        let (one, other) = socket::pair().unwrap();
        for length in [0, 1, MESSAGE_MAX - 3, MESSAGE_MAX, 3 << 20] {
            let text = "x".repeat(length);
            let packed = Packed::new(&text).unwrap();
            assert_eq!(packed.is_long(), length + 2 > MESSAGE_MAX);
            packed.send(&one, &[one.as_fd()]).unwrap();
            let (received, descriptors) = receive::<String>(&other).unwrap().unwrap();
            assert!(received == text && descriptors.len() == 1, "{length} bytes");
        }
        drop(one);
        assert!(receive::<String>(&other).unwrap().is_none());
    }

    #[test]
    fn what_could_block_or_change_is_not_read() {
        let (one, other) = socket::pair().unwrap();
        let (pipe, _writer) = descriptor::pipe().unwrap();
        socket::send(&one, ENCLOSED, &[pipe.as_fd()]).unwrap();
        assert!(receive::<String>(&other).is_err());
        socket::send(&one, ENCLOSED, &[]).unwrap();
        assert!(receive::<String>(&other).is_err());
        assert!(Packed::new(&"x".repeat(LONG_MESSAGE_MAX)).is_err());
    }
}
