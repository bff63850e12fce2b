//! One accepted connection: messages in, messages out, without ever blocking the shim.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::message::{self, Packed};

/// A client's connection.
#[derive(Debug)]
pub struct Connection {
    /// Its name within this shim.
    pub number: u64,
    /// Whether the greeting was exchanged.
    pub greeted: bool,
    /// Whether it wants events.
    pub subscribed: bool,
    socket: OwnedFd,
}

/// What came in.
#[derive(Debug)]
pub enum Incoming<T> {
    /// A message.
    Message(T),
    /// Nothing more now.
    Nothing,
    /// The other side is gone or talks nonsense: the connection ends.
    End,
}

impl Connection {
    /// Wraps an accepted, non-blocking socket.
    pub fn new(number: u64, socket: OwnedFd) -> Self {
        Self { number, greeted: false, subscribed: false, socket }
    }

    /// Takes the next message. Descriptors that came along are not wanted and closed.
    pub fn receive<T: DeserializeOwned>(&self) -> Incoming<T> {
        match message::receive(&self.socket) {
            Ok(Some((message, _))) => Incoming::Message(message),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Incoming::Nothing,
            Ok(None) | Err(_) => Incoming::End,
        }
    }

    /// Sends a message; `false` when the connection is no good any more (gone, or so slow that its buffer is full).
    pub fn send(&self, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> bool {
        Packed::new(message).is_ok_and(|packed| packed.send(&self.socket, descriptors).is_ok())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
