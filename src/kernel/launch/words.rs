//! The few words that the launching parent and its child exchange over a packet socket.

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::kernel::failure::{Failure, Step as _};
use crate::sys::process::{self, Child};
use crate::sys::{poll, socket};
use crate::types::ManagedFile;

const LENGTH_MAX: usize = 16 * 1024;
/// What a failure's words may take as JSON: they may name what the caller gave.
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
    /// To the child, or to a command: become the program.
    Go,
    /// To a helper: the command's terminal comes along.
    Terminal,
    /// From a helper: this process will be the command or the first process; its pidfd comes along, then the outer ends of its
    /// pipes if it has some.
    Entered(i32),
    /// From a helper, before anything else: the listener of the system call filter comes along.
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
        let message = match socket::receive(&socket, LENGTH_MAX) {
            // The other side ended without having read all that was sent to it. The kernel says so once; what it said before
            // comes then.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => socket::receive(&socket, LENGTH_MAX),
            other => other,
        };
        let message = message.step("listen to the launched process")?;
        if message.bytes.is_empty() {
            return Ok(None);
        }
        let word =
            serde_json::from_slice(&message.bytes).map_err(std::io::Error::from).step("read a launch message")?;
        Ok(Some((word, message.descriptors)))
    }
}

/// As much of a text as takes no more than its share of a message.
fn short(text: &str) -> String {
    let mut length = 0;
    for (at, character) in text.char_indices() {
        length += written(character);
        if length > WORDS_MAX {
            return format!("{} …", &text[..at]);
        }
    }
    text.to_owned()
}

/// Says how many bytes a character takes in JSON.
fn written(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
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

/// Waits until the other end is closed.
pub fn wait_for_end(socket: &OwnedFd, patience: Duration) -> Result<(), Failure> {
    match receive_within(socket, patience)? {
        None => Ok(()),
        Some((Word::Failed(failure), _)) => Err(failure),
        Some((word, _)) => Err(Failure::new("launch", format!("the process said {word:?}"))),
    }
}

/// Waits until exec has closed the other end, as the end of this process does, too.
pub fn wait_for_exec(socket: &OwnedFd, patience: Duration, pid: i32) -> Result<(), Failure> {
    wait_for_end(socket, patience)?;
    match process::has_executed(pid) {
        Ok(false) => {
            Err(Failure::new("begin the program", "its process was killed before that, as for want of memory"))
        }
        _ => Ok(()), // where /proc does not tell, its end will
    }
}

/// What a helper has said of a process that waits for the word to begin.
#[derive(Debug)]
pub struct Told {
    pub child: Child,
    /// The outer ends of its pipes if it has some.
    pub pipes: Vec<OwnedFd>,
    /// Where its system call filter asks, if it does.
    pub listener: Option<OwnedFd>,
}

/// Waits for the helper's word that the process is there.
pub fn expect_entered(socket: &OwnedFd, patience: Duration) -> Result<Told, Failure> {
    let (until, mut listener) = (Instant::now() + patience, None);
    loop {
        match receive_within(socket, until.saturating_duration_since(Instant::now()))? {
            Some((Word::Entered(pid), mut pipes)) if !pipes.is_empty() => {
                return Ok(Told { child: Child { pid, pidfd: pipes.remove(0) }, pipes, listener });
            }
            Some((Word::Listener, mut first)) => listener = first.pop(),
            Some((Word::Failed(failure), _)) => return Err(failure),
            Some((word, _)) => return Err(Failure::new("launch", format!("the helper said {word:?}"))),
            None => return Err(Failure::new("launch", "the helper died")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrives(word: &Word) -> Word {
        let (one, other) = socket::pair().unwrap();
        word.send(&one, &[]).unwrap();
        Word::receive(&other).unwrap().unwrap().0
    }

    #[test]
    fn what_names_files_of_the_container_fits_into_a_message_whatever_their_names_are() {
        for name in ["\u{1}", "\u{7f}", "\"", "\\", "ä", "😀", "\n", "x"] {
            let long = name.repeat(5000);
            let prepared = Prepared { warnings: vec![long.clone(); 50], ..Prepared::default() };
            let Word::Prepared(told) = arrives(&Word::Prepared(prepared)) else { panic!("another word") };
            assert_eq!(told.warnings.len(), WARNINGS_MAX + 1, "{name:?}");
            assert!(told.warnings[0].ends_with('…') && told.warnings[10].starts_with("40 more"), "{name:?}");
            let failure = Failure { step: long.clone(), reason: long, errno: Some(1) };
            assert!(matches!(arrives(&Word::Failed(failure)), Word::Failed(_)), "{name:?}");
        }
        let plain = Word::Prepared(Prepared { warnings: vec!["ä\n".to_owned()], ..Prepared::default() });
        assert_eq!(arrives(&plain), plain);
    }

    #[test]
    fn whoever_gives_up_is_heard_though_a_word_to_it_came_too_late() {
        let (ours, theirs) = socket::pair().unwrap();
        let failed = Word::Failed(Failure::new("go to /gone", "it is not there"));
        failed.send(&theirs, &[]).unwrap();
        Word::Go.send(&ours, &[]).unwrap();
        drop(theirs);
        assert_eq!(Word::receive(&ours).unwrap().map(|(word, _)| word), Some(failed));
        assert!(Word::receive(&ours).unwrap().is_none());
    }

    #[test]
    fn a_character_takes_in_json_what_is_said() {
        for character in ('\0'..'\u{3000}').chain(['😀']) {
            let text = serde_json::to_string(&character.to_string()).unwrap();
            assert_eq!(text.len() - 2, written(character), "{character:?}");
        }
    }
}
