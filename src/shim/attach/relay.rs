//! Ties a session to this process: its three streams, its signals, the size of its terminal.
//!
//! One poll for the outputs, the signals and the session's end; a thread for the input, since a command that does not
//! read must not keep its output from being read. Raw mode ends with this, however it ends.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::{AttachError, Session, SessionStreams};
use crate::sys::poll::{self, Interest};
use crate::sys::tty::{self, RawMode};
use crate::sys::{descriptor, signal};

/// Passes input, output and signals on until the command ends, and returns its exit code.
///
/// Blocks the forwarded signals for the whole process: call it once, when nothing else is left to do.
///
/// # Errors
/// The container ended with the command, or its shim is gone.
pub fn until_the_end(session: &Session, streams: SessionStreams) -> Result<i32, AttachError> {
    let forwarded = [signal::INTERRUPT, signal::TERMINATE, signal::HANGUP, signal::QUIT, signal::WINDOW_CHANGE];
    let signals = signal::receive(&forwarded)?;
    let stdin = io::stdin();
    match streams {
        SessionStreams::Terminal(terminal) => {
            // Raw only where there is a terminal to make raw: `exec -t` may well read from a pipe.
            let _raw = if tty::is_terminal(&stdin) { Some(RawMode::enter(stdin.as_fd())?) } else { None };
            pass_input(terminal.try_clone()?);
            pass(session, &signals, vec![(terminal, End::Output)])
        }
        SessionStreams::Pipes { input, output, errors } => {
            pass_input(input);
            pass(session, &signals, vec![(output, End::Output), (errors, End::Errors)])
        }
    }
}

/// Copies standard input in a thread of its own: a full pipe must not keep output from being read.
///
/// The thread ends with the process, or with the input, which closes the command's.
fn pass_input(to: OwnedFd) {
    std::thread::spawn(move || {
        let mut to = std::fs::File::from(to);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match io::stdin().read(&mut buffer) {
                Ok(0) => return,
                Ok(length) if to.write_all(&buffer[..length]).is_ok() => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    });
}

/// Says which output of this process a stream belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Output,
    Errors,
}

/// Passes output and signals until the session is over, then what is still in the pipes.
fn pass(session: &Session, signals: &OwnedFd, mut streams: Vec<(OwnedFd, End)>) -> Result<i32, AttachError> {
    loop {
        let ready = wait(session, signals, &streams)?;
        if ready.signals {
            while let Some(number) = signal::next(signals)? {
                forward(session, number);
            }
        }
        drain(&mut streams, &ready.streams);
        if ready.session {
            let code = session.wait()?;
            pass_rest(&mut streams);
            return Ok(code);
        }
    }
}

struct Ready {
    session: bool,
    signals: bool,
    streams: Vec<bool>,
}

fn wait(session: &Session, signals: &OwnedFd, streams: &[(OwnedFd, End)]) -> io::Result<Ready> {
    let mut interests = vec![Interest::read(session.as_fd()), Interest::read(signals.as_fd())];
    interests.extend(streams.iter().map(|(stream, _)| Interest::read(stream.as_fd())));
    poll::wait(&mut interests, None)?;
    let readable: Vec<bool> = interests.iter().map(|interest| interest.readable).collect();
    Ok(Ready { session: readable[0], signals: readable[1], streams: readable[2..].to_vec() })
}

/// A session that is over cannot be told anything; its end is read in the next round.
fn forward(session: &Session, number: i32) {
    let _ = if number == signal::WINDOW_CHANGE {
        tty::size(io::stdin()).map_err(AttachError::from).and_then(|size| session.resize(size))
    } else {
        session.signal(number)
    };
}

/// Copies one piece of each stream that has some; a stream that ended, or whose reader left, is closed.
fn drain(streams: &mut Vec<(OwnedFd, End)>, ready: &[bool]) {
    let mut ready = ready.iter();
    streams.retain(|(stream, end)| !ready.next().copied().unwrap_or(false) || copy_piece(stream.as_fd(), *end));
}

fn copy_piece(stream: BorrowedFd<'_>, end: End) -> bool {
    let mut buffer = [0; 8 * 1024];
    let length = match descriptor::read_now(stream, &mut buffer) {
        Ok(None) => return true,
        Ok(Some(0)) | Err(_) => return false, // A terminal whose other end is closed says EIO.
        Ok(Some(length)) => length,
    };
    let piece = &buffer[..length];
    let written = match end {
        End::Output => io::stdout().write_all(piece).and_then(|()| io::stdout().flush()),
        End::Errors => io::stderr().write_all(piece),
    };
    written.is_ok()
}

/// The command is over; what its processes in the background print later is not waited for.
fn pass_rest(streams: &mut Vec<(OwnedFd, End)>) {
    while !streams.is_empty() {
        let mut interests: Vec<Interest<'_>> =
            streams.iter().map(|(stream, _)| Interest::read(stream.as_fd())).collect();
        let polled = poll::wait(&mut interests, Some(Duration::ZERO));
        let ready: Vec<bool> = interests.iter().map(|interest| interest.readable).collect();
        if polled.is_err() || ready.iter().all(|ready| !ready) {
            return;
        }
        drain(streams, &ready);
    }
}
