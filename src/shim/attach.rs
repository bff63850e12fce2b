//! The CLI's side of a session: connect, show the token, take the descriptors, wait for the end.

pub mod relay;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use super::message::{self, Packed};
use super::protocol::{Failure, SessionReply, SessionRequest, VERSION, WindowSize};
use crate::sys::socket;

/// How long the shim may take to let somebody in.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a session did not come about or broke.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The socket cannot be reached or went away.
    #[error("cannot talk to the container's shim: {0}")]
    Unreachable(#[from] io::Error),
    /// The token or the container is no good (any more).
    #[error("{0}")]
    Refused(String),
    /// The command could not be run.
    #[error(transparent)]
    Failed(Failure),
    /// The command was told to end and did not, and nobody waits for it any more.
    #[error(
        "the command was told to end and has not; it is hung up on now (SIGHUP), and may go on inside all the same"
    )]
    Left,
}

/// Input and output of the other side.
#[derive(Debug)]
pub enum SessionStreams {
    /// One stream for both ways.
    Terminal(OwnedFd),
    /// Three pipes.
    Pipes {
        /// To write the command's input to.
        input: OwnedFd,
        /// To read its output from.
        output: OwnedFd,
        /// To read its error output from.
        errors: OwnedFd,
    },
}

/// A session that runs.
#[derive(Debug)]
pub struct Session {
    socket: OwnedFd,
}

/// Connects and shows the token; returns the session and its streams.
///
/// # Errors
/// See [`AttachError`].
pub fn attach(path: &Path, token: &str) -> Result<(Session, SessionStreams), AttachError> {
    let session = Session { socket: socket::connect(path, PATIENCE)? };
    session.send(&SessionRequest::Attach { version: VERSION, token: token.to_owned() })?;
    let (reply, descriptors) = session.receive()?;
    let streams = match (reply, descriptors) {
        (SessionReply::Attached { terminal: true }, mut descriptors) => descriptors.pop().map(SessionStreams::Terminal),
        (SessionReply::Attached { terminal: false }, descriptors) => <[OwnedFd; 3]>::try_from(descriptors)
            .ok()
            .map(|[input, output, errors]| SessionStreams::Pipes { input, output, errors }),
        (SessionReply::Refused { reason }, _) => return Err(AttachError::Refused(reason)),
        (SessionReply::Failed(failure), _) => return Err(AttachError::Failed(failure)),
        (SessionReply::Exited { .. }, _) => None,
    };
    let streams = streams.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok((session, streams))
}

impl Session {
    fn send(&self, request: &SessionRequest) -> Result<(), AttachError> {
        Ok(Packed::new(request)?.send(&self.socket, &[])?)
    }

    fn receive(&self) -> Result<(SessionReply, Vec<OwnedFd>), AttachError> {
        let message = message::receive(&self.socket)?;
        message.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof).into())
    }

    /// Passes the size of the client's terminal on.
    pub fn resize(&self, size: WindowSize) -> Result<(), AttachError> {
        self.send(&SessionRequest::Resize(size))
    }

    /// Sends a signal to the command.
    pub fn signal(&self, number: i32) -> Result<(), AttachError> {
        self.send(&SessionRequest::Signal { number })
    }

    /// Waits for the command's end and returns its exit code.
    ///
    /// # Errors
    /// The container ended with it, or the shim is gone: the code is unknown.
    pub fn wait(&self) -> Result<i32, AttachError> {
        match self.receive()?.0 {
            SessionReply::Exited { code } => Ok(code),
            SessionReply::Refused { reason } => Err(AttachError::Refused(reason)),
            SessionReply::Failed(failure) => Err(AttachError::Failed(failure)),
            SessionReply::Attached { .. } => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
        }
    }
}

/// Readable when the session has something to say (its end): for the CLI's own poll.
impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
