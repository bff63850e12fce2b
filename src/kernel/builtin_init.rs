//! The built-in init: the code that is already loaded stays as process 1 and runs one command.
//!
//! Nothing is copied into the container. It forwards signals to the command, reaps every orphan, and ends as the
//! command ends, which ends the container.

use std::convert::Infallible;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use super::failure::{Failure, Step as _};
use super::launch::{COMMAND_SIGNAL, CONTROL, SIGNALED, Word, words};
use super::program;
use super::security::{self, Profile};
use crate::sys::poll::{self, Interest};
use crate::sys::process::{self, ForkOptions, Forked, WaitStatus};
use crate::sys::{descriptor, signal, socket, tty};

/// How long the command may take to begin.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts the command and stays as process 1 until it ends; returns only when something failed before that.
pub(super) fn run(argv: &[String], environment: &[String], profile: Profile) -> Result<Infallible, Failure> {
    let (ours, theirs) = socket::pair().step("make the command's socket")?;
    let command = match process::fork(ForkOptions::default()).step("fork the command")? {
        Forked::Child => begin(argv, environment, profile, theirs),
        Forked::Parent(child) => child.pid,
    };
    drop(theirs);
    let signals = forwarded_signals();
    let arrivals = signal::receive(&signals).step("receive signals")?;
    security::drop_capabilities(profile)?;
    words::wait_for_exec(&ours, PATIENCE, command)?;
    // The socket of the launch goes with the others: then the start is complete.
    let arrivals = descriptor::keep_only(arrivals).step("close descriptors")?;
    supervise(command, &arrivals)
}

/// Runs the command's part; never returns. Its own socket is closed by its exec.
fn begin(argv: &[String], environment: &[String], profile: Profile, socket: OwnedFd) -> ! {
    let Ok(socket) = descriptor::keep_only(socket) else { process::exit_now(127) };
    let Err(failure) = become_command(argv, environment, profile);
    let _ = Word::Failed(failure).send(&socket, &[]);
    process::exit_now(127)
}

fn forwarded_signals() -> Vec<i32> {
    (1..=signal::LAST).filter(|number| *number != signal::KILL && *number != signal::STOP).collect()
}

fn become_command(argv: &[String], environment: &[String], profile: Profile) -> Result<Infallible, Failure> {
    process::new_session().step("start a session")?;
    tty::make_controlling(std::io::stdin()).step("take the console")?;
    security::drop_capabilities(profile)?;
    program::become_program(argv, environment).step(&program::step(argv))
}

fn supervise(command: i32, arrivals: &OwnedFd) -> Result<Infallible, Failure> {
    loop {
        poll::wait(&mut [Interest::read(arrivals.as_fd())], None).step("wait for signals")?;
        while let Some(number) = signal::next(arrivals).step("read a signal")? {
            if number != signal::CHILD {
                let _ = process::kill(command, number);
            }
        }
        while let Some((pid, status)) = process::reap().step("reap")? {
            if pid == command {
                tell(status);
                process::exit_now(exit_code(status));
            }
        }
    }
}

/// As a shell says it: 128 + the signal that ended the command.
fn exit_code(status: WaitStatus) -> i32 {
    match status {
        WaitStatus::Exited(code) => code,
        WaitStatus::Signaled(number) => SIGNALED + number,
    }
}

/// Tells the supervisor which signal it was: the code alone could be the command's own. Nobody is there to be told of a failure.
fn tell(status: WaitStatus) {
    if let WaitStatus::Signaled(number) = status {
        let path = format!("/run/host/{CONTROL}/notify");
        let _ = socket::tell(Path::new(&path), format!("{COMMAND_SIGNAL}{number}").as_bytes());
    }
}
