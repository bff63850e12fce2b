//! The few words that the launching parent and its child exchange over a packet socket.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kernel::failure::{Failure, Step as _};
use crate::sys::{poll, socket};
use crate::types::ManagedFile;

const LENGTH_MAX: usize = 16 * 1024;
/// More characters of a failure's words than these are not passed on: they may name what the caller gave.
const WORDS_MAX: usize = 1000;
/// More warnings than these are counted only.
const WARNINGS_MAX: usize = 10;

/// One message of a launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// To the child: the layers come along, then the node of the console.
    Layers,
    /// From the child: the root stands; the root of its devpts comes along.
    Prepared(Prepared),
    /// To the child: become the program.
    Go,
    /// To a helper: the command's terminal comes along.
    Terminal,
    /// From a helper: this process is the command; its pidfd comes along, then the outer ends of its pipes if it has some.
    Entered(i32),
    /// From whoever becomes a program: the listener of its system call filter comes along.
    Listener,
    /// From the child: it gives up.
    Failed(Failure),
}

/// What is to be told of a root that stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Prepared {
    /// What is not as it should be there.
    pub warnings: Vec<String>,
    /// Whether what no two machines may share was made anew.
    pub renewed: bool,
    /// The container's programs that are to make the rest of it before its first one begins.
    pub makers: Vec<Vec<String>>,
    /// The files of `/etc` that were left as the container has them.
    pub kept: Vec<ManagedFile>,
}

impl Prepared {
    /// The same, short enough for one message, whatever the names of files are.
    fn shortened(&self) -> Self {
        let mut warnings: Vec<String> = self.warnings.iter().take(WARNINGS_MAX).map(|text| short(text)).collect();
        if let Some(more @ 1..) = self.warnings.len().checked_sub(WARNINGS_MAX) {
            warnings.push(format!("{more} more of the kind"));
        }
        Self { warnings, ..self.clone() }
    }
}

impl Word {
    pub fn send(&self, socket: impl AsFd, descriptors: &[BorrowedFd<'_>]) -> Result<(), Failure> {
        let short = match self {
            Self::Failed(failure) => Some(Self::Failed(shortened(failure))),
            Self::Prepared(prepared) => Some(Self::Prepared(prepared.shortened())),
            _ => None,
        };
        let word = short.as_ref().unwrap_or(self);
        let bytes = serde_json::to_vec(word).map_err(std::io::Error::from).step("write a launch message")?;
        socket::send(socket, &bytes, descriptors).step("talk to the launched process")
    }

    /// Receives the next word; none at the end of the connection.
    pub fn receive(socket: impl AsFd) -> Result<Option<(Self, Vec<OwnedFd>)>, Failure> {
        let message = socket::receive(socket, LENGTH_MAX).step("listen to the launched process")?;
        if message.bytes.is_empty() {
            return Ok(None);
        }
        let word =
            serde_json::from_slice(&message.bytes).map_err(std::io::Error::from).step("read a launch message")?;
        Ok(Some((word, message.descriptors)))
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}

fn shortened(failure: &Failure) -> Failure {
    Failure { step: short(&failure.step), reason: short(&failure.reason), errno: failure.errno }
}

fn receive_within(socket: &OwnedFd, patience: Duration) -> Result<Option<(Word, Vec<OwnedFd>)>, Failure> {
    if !poll::wait_readable(socket.as_fd(), patience).step("wait for the launched process")? {
        return Err(Failure::new("wait for the launched process", format!("no answer within {patience:?}")));
    }
    Word::receive(socket)
}

/// Waits for exactly this word and returns what came along.
pub fn expect(socket: &OwnedFd, wanted: &Word, patience: Duration) -> Result<Vec<OwnedFd>, Failure> {
    match receive_within(socket, patience)? {
        Some((word, descriptors)) if word == *wanted => Ok(descriptors),
        Some((Word::Failed(failure), _)) => Err(failure),
        Some((word, _)) => Err(Failure::new("launch", format!("the process said {word:?}"))),
        None => Err(Failure::new("launch", "the process died before its root stood")),
    }
}

/// Waits for the word that the root stands, and returns what is to be told of it and what came along.
pub fn expect_prepared(socket: &OwnedFd, patience: Duration) -> Result<(Prepared, Vec<OwnedFd>), Failure> {
    match receive_within(socket, patience)? {
        Some((Word::Prepared(prepared), descriptors)) => Ok((prepared, descriptors)),
        Some((Word::Failed(failure), _)) => Err(failure),
        Some((word, _)) => Err(Failure::new("launch", format!("the process said {word:?}"))),
        None => Err(Failure::new("launch", "the process died before its root stood")),
    }
}

/// Gives the listener of a filter that asks to the supervisor; the own descriptor is closed.
pub fn hand_over(listener: Option<OwnedFd>, socket: &OwnedFd) -> Result<(), Failure> {
    listener.map_or(Ok(()), |listener| Word::Listener.send(socket, &[listener.as_fd()]))
}

/// Waits until exec has closed the other end, and returns the listener if one came before.
pub fn wait_for_end(socket: &OwnedFd, patience: Duration) -> Result<Option<OwnedFd>, Failure> {
    match receive_within(socket, patience)? {
        None => Ok(None),
        Some((Word::Listener, mut descriptors)) => wait_for_end(socket, patience).map(|_| descriptors.pop()),
        Some((Word::Failed(failure), _)) => Err(failure),
        Some((word, _)) => Err(Failure::new("launch", format!("the process said {word:?}"))),
    }
}

/// What a helper has said of a command that runs.
#[derive(Debug)]
pub struct Told {
    pub pid: i32,
    /// The command's pidfd, then the outer ends of its pipes if it has some.
    pub descriptors: Vec<OwnedFd>,
    /// The listener, if the command was quicker than the helper that made it.
    pub listener: Option<OwnedFd>,
}

/// Waits for the helper's word that the command runs.
pub fn expect_entered(socket: &OwnedFd, patience: Duration) -> Result<Told, Failure> {
    match receive_within(socket, patience)? {
        Some((Word::Entered(pid), descriptors)) => Ok(Told { pid, descriptors, listener: None }),
        Some((Word::Listener, mut first)) => Ok(Told { listener: first.pop(), ..expect_entered(socket, patience)? }),
        Some((Word::Failed(failure), _)) => Err(failure),
        Some((word, _)) => Err(Failure::new("enter the container", format!("the helper said {word:?}"))),
        None => Err(Failure::new("enter the container", "the helper died")),
    }
}
