//! Connects the caller's own terminal or pipes with a session until it ends.
//!
//! Blocking and single-threaded, for the CLI. The window size is looked at whenever something happens and twice a
//! second, so that no signal handler is needed.

use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::attach::{AttachError, Session, SessionStreams};
use crate::sys::descriptor;
use crate::sys::poll::{self, Interest};
use crate::sys::tty::{self, RawMode, WindowSize};

const CHUNK: usize = 16 * 1024;
const LOOK_AT_SIZE: Duration = Duration::from_millis(500);

/// How a relay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayEnd {
    /// The command ended with this code.
    Exited(i32),
    /// The user typed the escape; the other side goes on.
    Detached,
}

/// The outside ends of the session that are still open.
struct Open {
    input: Option<OwnedFd>,
    output: Option<OwnedFd>,
    errors: Option<OwnedFd>,
    typing: bool,
}

/// Passes input and output on until the session ends. With a terminal on both sides the caller's is in raw mode
/// meanwhile, and the byte `escape` (such as 0x1d for Ctrl-]), typed there, ends the relay.
///
/// # Errors
/// The session broke: the command's code is unknown.
pub fn relay(session: &Session, streams: SessionStreams, escape: Option<u8>) -> Result<RelayEnd, AttachError> {
    let (stdin, is_terminal) = (io::stdin(), matches!(streams, SessionStreams::Terminal(_)));
    let raw = is_terminal && tty::is_terminal(stdin.as_fd());
    let _raw = if raw { Some(RawMode::enter(stdin.as_fd())?) } else { None };
    let mut open = Open::new(streams)?;
    let mut size = None;
    loop {
        if raw {
            follow_size(session, stdin.as_fd(), &mut size)?;
        }
        let ready = open.wait(session, stdin.as_fd(), raw.then_some(LOOK_AT_SIZE))?;
        if ready.typed && open.pass_input(if raw { escape } else { None })? {
            return Ok(RelayEnd::Detached);
        }
        if ready.output {
            pass(&mut open.output, io::stdout());
        }
        if ready.errors {
            pass(&mut open.errors, io::stderr());
        }
        if ready.session {
            open.drain();
            return session.wait().map(RelayEnd::Exited);
        }
    }
}

fn follow_size(session: &Session, stdin: BorrowedFd<'_>, known: &mut Option<WindowSize>) -> Result<(), AttachError> {
    let now = tty::size(stdin).ok();
    if let Some(size) = now.filter(|_| now != *known) {
        session.resize(size)?;
        *known = now;
    }
    Ok(())
}

/// Passes one chunk on; an end is remembered by closing.
fn pass(from: &mut Option<OwnedFd>, mut to: impl io::Write) {
    let mut buffer = [0; CHUNK];
    let read = from.as_ref().map(|stream| descriptor::read_now(stream, &mut buffer));
    match read {
        Some(Ok(Some(length @ 1..))) if to.write_all(&buffer[..length]).and_then(|()| to.flush()).is_ok() => {}
        Some(Ok(None)) | None => {}
        // A terminal whose other end is closed reads as an error.
        Some(_) => *from = None,
    }
}

struct Ready {
    session: bool,
    typed: bool,
    output: bool,
    errors: bool,
}

impl Open {
    fn new(streams: SessionStreams) -> Result<Self, AttachError> {
        Ok(match streams {
            SessionStreams::Terminal(master) => {
                Self { input: Some(master.try_clone()?), output: Some(master), errors: None, typing: true }
            }
            SessionStreams::Pipes { input, output, errors } => {
                Self { input: Some(input), output: Some(output), errors: Some(errors), typing: true }
            }
        })
    }

    fn wait(&self, session: &Session, stdin: BorrowedFd<'_>, limit: Option<Duration>) -> io::Result<Ready> {
        let typed = self.typing.then_some(stdin);
        let all = [
            Some(session.as_fd()),
            typed,
            self.output.as_ref().map(AsFd::as_fd),
            self.errors.as_ref().map(AsFd::as_fd),
        ];
        let mut interests: Vec<_> = all.iter().flatten().copied().map(Interest::read).collect();
        poll::wait(&mut interests, limit)?;
        let mut found = interests.iter().map(|one| one.readable);
        let mut ready = all.map(|one| one.is_some() && found.next().unwrap_or(false)).into_iter();
        let mut take = || ready.next().unwrap_or(false);
        Ok(Ready { session: take(), typed: take(), output: take(), errors: take() })
    }

    /// Passes on what was typed; `true` when it was the escape. The end of the input is passed on by closing.
    fn pass_input(&mut self, escape: Option<u8>) -> Result<bool, AttachError> {
        let mut buffer = [0; CHUNK];
        let length = io::stdin().lock().read(&mut buffer)?;
        if length == 0 {
            self.typing = false;
            self.input = None;
            return Ok(false);
        }
        if escape.is_some_and(|escape| buffer[..length].contains(&escape)) {
            return Ok(true);
        }
        let mut rest = &buffer[..length];
        while let Some(input) = self.input.as_ref().filter(|_| !rest.is_empty()) {
            if let Ok(written) = descriptor::write_some(input, rest) {
                rest = &rest[written..];
            } else {
                // Nobody reads any more: the command's own end tells the rest.
                (self.typing, self.input) = (false, None);
            }
        }
        Ok(false)
    }

    /// Passes on what the command printed last; something it left behind may hold the pipes, so only what is there.
    fn drain(&mut self) {
        for stream in [&self.output, &self.errors].into_iter().flatten() {
            // A stream that cannot be switched would block: it is left alone then.
            if descriptor::set_nonblocking(stream).is_err() {
                return;
            }
        }
        for _ in 0..CHUNK {
            let before = (self.output.is_some(), self.errors.is_some());
            let waiting = self.something_waits();
            pass(&mut self.output, io::stdout());
            pass(&mut self.errors, io::stderr());
            if !waiting || before == (false, false) {
                return;
            }
        }
    }

    fn something_waits(&self) -> bool {
        let streams = [&self.output, &self.errors].into_iter().flatten();
        streams.into_iter().any(|stream| poll::wait_readable(stream.as_fd(), Duration::ZERO).unwrap_or(false))
    }
}
