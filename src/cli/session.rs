//! A command inside a container: the daemon opens the session, the container's shim runs it, this connects the two ends.
//!
//! The daemon is asked first, so that the session is an event before anything runs. After that it is not in the way:
//! a restart of the daemon does not end a shell.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::change::RecordOptions;
use super::container::targets;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use crate::api::client::{ChangeHeaders, Client};
use crate::api::resources::{CloseSession, SessionRequest, SessionTicket};
use crate::shim::attach::{AttachError, Session, SessionStreams, attach};
use crate::sys::poll::{self, Interest};
use crate::sys::tty::{self, RawMode};
use crate::sys::{descriptor, signal};

/// The exit code where a command cannot be run (POSIX shells, podman).
const CANNOT_RUN: u8 = 126;
/// The exit code where it is not there.
const NOT_THERE: u8 = 127;
/// `ENOENT`, as the shim passes it on.
const ERRNO_NOT_THERE: i32 = 2;

/// Is what somebody wants to run.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// More environment.
    pub environment: Vec<String>,
    /// The user inside.
    pub user: Option<String>,
    /// The directory inside.
    pub directory: Option<String>,
    /// Whether it has a terminal; if this command has one where that is not said.
    pub terminal: Option<bool>,
}

/// Runs a command in a container and returns its exit code.
///
/// # Errors
/// The daemon refuses, or the shim cannot be reached.
pub fn run(context: &mut Context<'_>, name: &str, wish: Wish, record: &RecordOptions) -> Result<Exit, Failure> {
    let client = context.client()?;
    let wants_terminal = wish.terminal.unwrap_or(context.screen.in_is_terminal && context.screen.out_is_terminal);
    let size = tty::size(io::stdin()).ok().map_or((24, 80), |size| (size.rows, size.columns));
    let request = SessionRequest {
        argv: wish.argv,
        environment: wish.environment,
        user: wish.user,
        directory: wish.directory,
        terminal: wants_terminal.then_some(size),
    };
    let target = targets::one(name).segment("sessions");
    let answer = context.block_on(client.change(&target, &request, &record.headers()))?;
    if record.dry_run {
        context.screen.write(&output::json::document(&answer))?;
        return Ok(Exit::Done);
    }
    let ticket: SessionTicket = output::row(answer)?;
    let code = connect(&ticket);
    close(context, &client, name, &ticket, code.as_ref().ok().copied());
    code.map(|code| Exit::Command(code as u8)).or_else(|error| refused(context, error))
}

/// Reports the end; the shim tells the daemon too, so nothing is lost if this does not get through.
fn close(context: &Context<'_>, client: &Client, name: &str, ticket: &SessionTicket, code: Option<i32>) {
    let target = targets::one(name).segment("sessions").segment(ticket.session).segment("close");
    let _ = context.block_on(client.change(&target, &CloseSession { code }, &ChangeHeaders::default()));
}

fn refused(context: &mut Context<'_>, error: AttachError) -> Result<Exit, Failure> {
    let exit = match &error {
        AttachError::Failed(failure) if failure.errno == Some(ERRNO_NOT_THERE) => Exit::Command(NOT_THERE),
        AttachError::Failed(_) => Exit::Command(CANNOT_RUN),
        AttachError::Refused(_) => Exit::Conflict,
        AttachError::Unreachable(_) => Exit::Failed,
    };
    Ok(context.tell(Failure::new(exit, "session.failed", error.to_string())))
}

/// Connects to the shim and passes everything on until the command ends.
fn connect(ticket: &SessionTicket) -> Result<i32, AttachError> {
    let (session, streams) = attach(&ticket.socket, &ticket.token)?;
    let forwarded = [signal::INTERRUPT, signal::TERMINATE, signal::HANGUP, signal::QUIT, signal::WINDOW_CHANGE];
    let signals = signal::receive(&forwarded)?;
    let stdin = io::stdin();
    match streams {
        SessionStreams::Terminal(terminal) => {
            // Raw only where there is a terminal to make raw: `exec -t` may well read from a pipe.
            let _raw = if tty::is_terminal(&stdin) { Some(RawMode::enter(stdin.as_fd())?) } else { None };
            pass_input(terminal.try_clone()?);
            pass(&session, &signals, vec![(terminal, End::Output)])
        }
        SessionStreams::Pipes { input, output, errors } => {
            pass_input(input);
            pass(&session, &signals, vec![(output, End::Output), (errors, End::Errors)])
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
    let mut buffer = [0; 32 * 1024];
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
        let polled = poll::wait(&mut interests, Some(std::time::Duration::ZERO));
        let ready: Vec<bool> = interests.iter().map(|interest| interest.readable).collect();
        if polled.is_err() || ready.iter().all(|ready| !ready) {
            return;
        }
        drain(streams, &ready);
    }
}
