//! A command inside a container: the daemon opens the session, the container's shim runs it, this connects the two ends.
//!
//! The daemon is asked first, so that the session is an event before anything runs. After that it is not in the way:
//! a restart of the daemon does not end a shell.

use std::io;

use super::change::{self, RecordOptions};
use super::container::targets;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use crate::api::client::{ChangeHeaders, Client};
use crate::api::resources::{CloseSession, SessionRequest, SessionTicket};
use crate::shim::attach::{AttachError, attach, relay};
use crate::sys::tty;

/// The exit code where a command cannot be run (POSIX shells, podman).
const CANNOT_RUN: u8 = 126;
/// The exit code where it is not there.
const NOT_THERE: u8 = 127;
/// `ENOENT`, as the shim passes it on.
const ERRNO_NOT_THERE: i32 = 2;
/// `E2BIG`.
const ERRNO_TOO_LONG: i32 = 7;
/// `EAGAIN` of a fork.
const ERRNO_NO_PROCESS: i32 = 11;

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
        without_echo: !context.screen.in_is_terminal,
    };
    let target = targets::one(name).segment("sessions");
    let answer = context.block_on(client.change(&target, &request, &record.headers()))?;
    if record.dry_run {
        return change::tell_plan(context, name, answer);
    }
    let ticket: SessionTicket = output::row(answer)?;
    let code = connect(&ticket);
    if code.as_ref().is_err_and(|error| !matches!(error, AttachError::Left)) {
        close(context, &client, name, &ticket);
    }
    code.map(|code| Exit::Command(code as u8)).or_else(|error| refused(context, name, error))
}

/// Reports that nothing came of it. The end of what did run is told by the shim, and nobody waits for it to be recorded.
fn close(context: &Context<'_>, client: &Client, name: &str, ticket: &SessionTicket) {
    let target = targets::one(name).segment("sessions").segment(ticket.session).segment("close");
    let _ = context.block_on(client.change(&target, &CloseSession { code: None }, &ChangeHeaders::default()));
}

fn refused(context: &mut Context<'_>, name: &str, error: AttachError) -> Result<Exit, Failure> {
    let errno = match &error {
        AttachError::Failed(failure) => failure.errno,
        _ => None,
    };
    let exit = match &error {
        AttachError::Failed(_) if errno == Some(ERRNO_NOT_THERE) => Exit::Command(NOT_THERE),
        AttachError::Failed(_) => Exit::Command(CANNOT_RUN),
        AttachError::Refused(_) => Exit::Conflict,
        AttachError::Unreachable(_) | AttachError::Left => Exit::Failed,
    };
    let word = if matches!(error, AttachError::Left) { "session.left" } else { "session.failed" };
    let told = Failure::new(exit, word, error.to_string());
    Ok(context.tell(match errno {
        Some(ERRNO_NO_PROCESS) => told.hinted(format!("berth container set {name} --pids N")),
        Some(ERRNO_TOO_LONG) => told
            .hinted("Arguments and environment together may have 2 MiB (a quarter of the stack limit), each 128 KiB."),
        _ => told,
    }))
}

/// Connects to the shim and passes everything on until the command ends.
fn connect(ticket: &SessionTicket) -> Result<i32, AttachError> {
    let (session, streams) = attach(&ticket.socket, &ticket.token)?;
    relay::until_the_end(&session, streams)
}
