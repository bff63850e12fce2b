//! The built-in init: the code that is already loaded stays as process 1 and runs one command.
//!
//! Nothing is copied into the container. It forwards signals to the command, reaps every orphan, and ends as the
//! command ends, which ends the container.

use std::convert::Infallible;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use super::failure::{Failure, Step as _};
use super::launch::{COMMAND_SIGNAL, CONTROL, SIGNALED, Word};
use super::program;
use super::security::{self, Profile};
use crate::sys::poll::{self, Interest};
use crate::sys::process::{self, ForkOptions, Forked, WaitStatus};
use crate::sys::{descriptor, signal, socket, tty};

/// Starts the command and stays as process 1 until it ends; returns only when something failed before that.
pub(super) fn run(
    argv: &[String],
    environment: &[String],
    profile: Profile,
    socket: &OwnedFd,
) -> Result<Infallible, Failure> {
    let command = match process::fork(ForkOptions::default()).step("fork the command")? {
        Forked::Child => {
            let Err(failure) = become_command(argv, environment, profile);
            let _ = Word::Failed(failure).send(socket, &[]);
            process::exit_now(127)
        }
        Forked::Parent(child) => child.pid,
    };
    // The copy of the socket in the command is closed by its exec, this one here: then the start is complete.
    let signals = forwarded_signals();
    let arrivals = signal::receive(&signals).step("receive signals")?;
    security::drop_capabilities(profile)?;
    let arrivals = descriptor::keep_only(arrivals).step("close descriptors")?;
    supervise(command, &arrivals)
}

fn forwarded_signals() -> Vec<i32> {
    (1..=signal::LAST).filter(|number| *number != signal::KILL && *number != signal::STOP).collect()
}

fn become_command(argv: &[String], environment: &[String], profile: Profile) -> Result<Infallible, Failure> {
    process::new_session().step("start a session")?;
    tty::make_controlling(std::io::stdin()).step("take the console")?;
    descriptor::close_all_but_kept().step("close descriptors")?;
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
