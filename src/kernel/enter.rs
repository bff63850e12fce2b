//! Runs a command in a running container.
//!
//! The shim forks a helper, which joins the cgroups and namespaces of the container's init and forks once more (only
//! a child is in the pid namespace). That one is the shim's own child (`CLONE_PARENT`), so that the shim reaps it; it
//! enters the same security profile as the init and becomes the command.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::account::{self, Account};
use super::cgroup::{Cgroup, Doors, Layout};
use super::failure::{Failure, Step as _};
use super::launch::words::Told;
use super::launch::{self, Word, words};
use super::program;
use super::security::{self, Profile};
use super::terminal;
use crate::sys::namespace::{self, Namespaces};
use crate::sys::process::{self, Child, ForkOptions, Forked};
use crate::sys::tty::{self, PseudoTerminal, WindowSize};
use crate::sys::{descriptor, heritage, signal, socket};

/// How long helper and command may take together. The shim does nothing else meanwhile, so a container that blocks the
/// helper (by a file system of its own in the way) must not hold it for long.
const PATIENCE: Duration = Duration::from_secs(5);
/// What helper and command end with when they could not become the command; the report says why.
const EXIT_FAILED: i32 = 127;

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// `NAME=value`; `PATH`, `HOME`, `USER` and `TERM` are added where they are missing.
    #[serde(default)]
    pub environment: Vec<String>,
    /// A name of the container's `/etc/passwd`, or `UID` or `UID:GID`.
    pub user: String,
    /// Where it begins; none = the user's home.
    #[serde(default)]
    pub directory: Option<String>,
    /// A terminal of this size; none = three pipes.
    #[serde(default)]
    pub terminal: Option<WindowSize>,
    /// Whether that terminal does not print what is typed: it is a file that types.
    #[serde(default)]
    pub without_echo: bool,
}

/// The container to enter.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The init's pid.
    pub init: i32,
    /// The init's pidfd.
    pub pidfd: &'a OwnedFd,
    /// The root of its devpts.
    pub terminals: &'a OwnedFd,
    /// The id of its root on the host.
    pub root: u32,
    /// Whether it has a user namespace of its own.
    pub user_namespace: bool,
    /// Whether it has a network of its own.
    pub network_namespace: bool,
    /// The profile of its init.
    pub profile: Profile,
}

/// The outside ends of the command's input and output.
#[derive(Debug)]
pub enum Streams {
    /// The master of its terminal.
    Terminal(OwnedFd),
    /// Its input, output and error output.
    Pipes([OwnedFd; 3]),
}

/// A command that runs; the caller is its parent.
#[derive(Debug)]
pub struct Entered {
    /// The process.
    pub child: Child,
    /// Input and output.
    pub streams: Streams,
    /// Where its system call filter asks, if it does.
    pub listener: Option<OwnedFd>,
}

/// Starts the command and returns when exec has taken place.
///
/// # Errors
/// Names the step in helper or command that failed; what was forked ends by itself and is to be reaped.
pub fn enter(target: Target<'_>, cgroup: &Cgroup, layout: &Layout, command: &Command) -> Result<Entered, Failure> {
    let (ours, theirs) = socket::pair().step("make the helper's socket")?;
    let terminal = command.terminal.map(|size| terminal::open(target.terminals, target.root, size)).transpose()?;
    let (birthplace, doors) = (cgroup.open_group_of(target.init, layout)?, cgroup.open_v1()?);
    let options = ForkOptions { cgroup: Some(birthplace.as_fd()), ..ForkOptions::default() };
    match process::fork(options).step("fork the helper")? {
        Forked::Child => help(target, doors, command, theirs),
        Forked::Parent(helper) => {
            drop(theirs);
            take_over(&ours, terminal, PATIENCE).inspect_err(|_| {
                // It may hang in something the container put in its way; one that has ended needs no signal.
                let _ = process::signal_pidfd(&helper.pidfd, signal::KILL);
            })
        }
    }
}

/// Hears of the command and has it begin. It waits for that word, which does not come once anything has gone wrong here: what
/// is told as failed never runs.
fn take_over(socket: &OwnedFd, terminal: Option<PseudoTerminal>, patience: Duration) -> Result<Entered, Failure> {
    let deadline = Instant::now() + patience;
    if let Some(pair) = &terminal {
        Word::Terminal.send(socket, &[pair.slave.as_fd()])?;
    }
    let Told { child, pipes, listener } = words::expect_entered(socket, patience)?;
    let missing = || Failure::new("enter the container", "the helper sent other descriptors than were asked for");
    let streams = match terminal {
        Some(pair) => Streams::Terminal(pair.master),
        None => Streams::Pipes(<[OwnedFd; 3]>::try_from(pipes).map_err(|_| missing())?),
    };
    let _ = Word::Go.send(socket, &[]); // a command that has given up by now has said why
    let left = deadline.saturating_duration_since(Instant::now());
    words::wait_for_exec(socket, left, child.pid).inspect_err(|_| {
        let _ = process::signal_pidfd(&child.pidfd, signal::KILL);
    })?;
    Ok(Entered { child, streams, listener })
}

/// The helper's part; never returns.
///
/// From the moment it is in the container's namespaces it holds nothing of the host but its standard streams, which the
/// command replaces, and the socket on which it reports: only then does it look at anything of the container's.
fn help(target: Target<'_>, doors: Doors, command: &Command, socket: OwnedFd) -> ! {
    let joined = join(target, doors, &socket);
    let Ok(socket) = descriptor::keep_only(socket) else { process::exit_now(EXIT_FAILED) };
    let Err(failure) = joined.and_then(|()| fork_command(target.profile, command, &socket));
    let _ = Word::Failed(failure).send(&socket, &[]);
    process::exit_now(EXIT_FAILED)
}

/// The filter comes before the namespaces: it needs the privileges of the host.
fn join(target: Target<'_>, doors: Doors, socket: &OwnedFd) -> Result<(), Failure> {
    process::forbid_dump().step("close /proc of the helper")?;
    heritage::set_oom_score("self", 0).step("set the oom score of the helper")?;
    doors.pass()?;
    words::hand_over(security::put_filter_on(target.profile)?, socket)?;
    namespace::enter(target.pidfd, namespaces(target)).step("enter the namespaces")
}

/// Finds the user, makes the streams and forks the command, up to the report.
fn fork_command(profile: Profile, command: &Command, socket: &OwnedFd) -> Result<Infallible, Failure> {
    std::env::set_current_dir("/").step("go to the root")?;
    process::become_user(0, 0, &[]).step("become root of the container")?;
    let account = account::find(&command.user)?;
    let ends = match command.terminal {
        Some(_) => Ends::terminal(socket, !command.without_echo, account.user),
        None => Ends::pipes(account.user).step("make the pipes"),
    };
    let Ends { inner, outer } = ends.map_err(account::beyond("user", account.user))?;
    match process::fork(ForkOptions { as_sibling: true, ..ForkOptions::default() }).step("fork the command")? {
        Forked::Child => {
            let Err(failure) = become_command(profile, command, &account, inner, socket);
            let _ = Word::Failed(failure).send(socket, &[]);
            process::exit_now(EXIT_FAILED)
        }
        Forked::Parent(child) => {
            let descriptors: Vec<_> = std::iter::once(&child.pidfd).chain(&outer).map(AsFd::as_fd).collect();
            Word::Entered(child.pid).send(socket, &descriptors)?;
            process::exit_now(0)
        }
    }
}

fn namespaces(target: Target<'_>) -> Namespaces {
    let mut all =
        Namespaces::MOUNT.and(Namespaces::PID).and(Namespaces::UTS).and(Namespaces::IPC).and(Namespaces::CGROUP);
    if target.user_namespace {
        all = all.and(Namespaces::USER);
    }
    if target.network_namespace {
        all = all.and(Namespaces::NETWORK);
    }
    all
}

/// Both sides of the command's input, output and error output. Pipes are made inside, by the container's root; a terminal
/// comes from the shim, which has kept its outer side. They belong to the command's user, so that it can open
/// `/dev/stdout` anew.
struct Ends {
    inner: [OwnedFd; 3],
    outer: Vec<OwnedFd>,
}

impl Ends {
    fn terminal(socket: &OwnedFd, echo: bool, user: u32) -> Result<Self, Failure> {
        let sent = words::expect(socket, &Word::Terminal, PATIENCE)?.pop();
        let slave = sent.ok_or_else(|| Failure::new("take the terminal", "none was sent"))?;
        if !echo {
            tty::stop_echo(&slave).step("stop the echo of the terminal")?;
        }
        tty::give_slave_to(&slave, user, terminal::GROUP).step("give the terminal to the user")?;
        let copy = || descriptor::copy(&slave).step("copy the terminal");
        Ok(Self { inner: [copy()?, copy()?, slave], outer: Vec::new() })
    }

    fn pipes(user: u32) -> io::Result<Self> {
        let pipe = || {
            let (read, write) = descriptor::pipe()?;
            descriptor::give_open_to(&read, user)?;
            Ok::<_, io::Error>((read, write))
        };
        let (input, output, error) = (pipe()?, pipe()?, pipe()?);
        Ok(Self { inner: [input.0, output.1, error.1], outer: vec![input.1, output.0, error.0] })
    }
}

/// The command's part. The capabilities go before the ids change: a plain user cannot take any off for good.
fn become_command(
    profile: Profile,
    command: &Command,
    account: &Account,
    streams: [OwnedFd; 3],
    socket: &OwnedFd,
) -> Result<Infallible, Failure> {
    process::new_session().step("start a session")?;
    if command.terminal.is_some() {
        tty::make_controlling(&streams[0]).step("take the terminal")?;
    }
    take_streams(streams)?;
    signal::restore_defaults().step("restore signals")?;
    process::set_file_mode_mask(0o022);
    launch::join_new_keyring();
    descriptor::close_all_but_kept().step("close descriptors")?;
    security::drop_capabilities(profile)?;
    launch::lower_descriptor_limit()?;
    let groups = taken_groups(&account.groups);
    let became = process::become_user(account.user, account.group, &groups).step("become the user");
    became.map_err(account::beyond("group", account.group))?;
    go_to(command, account)?;
    let environment = environment(command, account);
    words::expect(socket, &Word::Go, PATIENCE)?;
    program::become_program(&command.argv, &environment).step(&format!("execute {}", command.argv[0]))
}

/// Returns the groups that the kernel takes. What else the container's file lists, beyond the range of the user namespace, is
/// nobody's group there, as the file's other wrong lines are: it keeps nobody out.
fn taken_groups(listed: &[u32]) -> Vec<u32> {
    listed.iter().copied().filter(|group| process::set_groups(&[*group]).is_ok()).collect()
}

fn take_streams(streams: [OwnedFd; 3]) -> Result<(), Failure> {
    // The shim keeps 0, 1 and 2 occupied, so none of these stands there.
    for (number, stream) in streams.into_iter().enumerate() {
        descriptor::duplicate_onto(stream, number as i32).step("take input and output")?;
    }
    Ok(())
}

fn go_to(command: &Command, account: &Account) -> Result<(), Failure> {
    if let Some(directory) = &command.directory {
        return descriptor::enter_untrusted_directory(directory).step(&format!("go to {directory}"));
    }
    // A home that is missing is no reason to refuse: the command begins at the root then.
    let _ = descriptor::enter_untrusted_directory(&account.home);
    Ok(())
}

fn environment(command: &Command, account: &Account) -> Vec<String> {
    let mut all = command.environment.clone();
    let fixed = [
        ("PATH=", program::DEFAULT_PATH),
        ("HOME=", account.home.as_str()),
        ("USER=", account.name.as_str()),
        ("LOGNAME=", account.name.as_str()),
        ("TERM=", "xterm-256color"),
        ("container=", "berth"),
    ];
    for (name, value) in fixed {
        if !all.iter().any(|entry| entry.starts_with(name)) {
            all.push(format!("{name}{value}"));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::process;
    use std::thread;

    use super::*;

    const SHORT: Duration = Duration::from_millis(400);

    /// Is a process in the place of the command.
    struct StandIn(process::Child);

    impl StandIn {
        fn new() -> Self {
            Self(process::Command::new("sleep").arg("60").spawn().unwrap())
        }

        /// Says what a helper says once it has forked the command.
        fn is_told(&self, socket: &OwnedFd) {
            let pidfd = crate::sys::process::open_pidfd(self.0.id() as i32).unwrap();
            let pipes = [(); 3].map(|()| descriptor::pipe().unwrap().0);
            let descriptors: Vec<_> = std::iter::once(&pidfd).chain(&pipes).map(AsFd::as_fd).collect();
            Word::Entered(self.0.id() as i32).send(socket, &descriptors).unwrap();
        }
    }

    impl Drop for StandIn {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn may_begin(socket: &OwnedFd) -> bool {
        words::expect(socket, &Word::Go, SHORT).is_ok()
    }

    #[test]
    fn a_command_begins_when_it_is_told_to_and_not_before() {
        let (ours, theirs) = socket::pair().unwrap();
        let begun = thread::spawn(move || {
            let stand_in = StandIn::new();
            stand_in.is_told(&theirs);
            (may_begin(&theirs), stand_in)
        });
        let entered = take_over(&ours, None, PATIENCE).unwrap();
        let (begun, stand_in) = begun.join().unwrap();
        assert!(begun && entered.child.pid == stand_in.0.id() as i32);
    }

    #[test]
    fn a_command_of_which_too_late_is_heard_never_begins() {
        let (ours, theirs) = socket::pair().unwrap();
        assert!(take_over(&ours, None, SHORT).is_err());
        drop(ours);
        let pidfd = crate::sys::process::open_pidfd(process::id() as i32).unwrap();
        let _ = Word::Entered(1).send(&theirs, &[pidfd.as_fd()]);
        assert!(!may_begin(&theirs));
    }

    #[test]
    fn a_command_of_which_half_is_heard_never_begins() {
        let (ours, theirs) = socket::pair().unwrap();
        let stand_in = StandIn::new();
        let pidfd = crate::sys::process::open_pidfd(stand_in.0.id() as i32).unwrap();
        Word::Entered(stand_in.0.id() as i32).send(&theirs, &[pidfd.as_fd()]).unwrap();
        assert!(take_over(&ours, None, SHORT).is_err());
        drop(ours);
        assert!(!may_begin(&theirs));
    }

    #[test]
    fn helper_and_command_have_one_time_limit_and_what_exceeds_it_is_killed() {
        let (ours, theirs) = socket::pair().unwrap();
        let mut stand_in = StandIn::new();
        let (failed, took) = thread::scope(|scope| {
            let speaker = scope.spawn(|| {
                for _ in 0..3 {
                    thread::sleep(SHORT / 4);
                    Word::Listener.send(&theirs, &[]).unwrap();
                }
                stand_in.is_told(&theirs);
                while Word::Listener.send(&theirs, &[]).is_ok() {
                    thread::sleep(SHORT / 4);
                }
            });
            let begun = Instant::now();
            let failed = take_over(&ours, None, SHORT).is_err();
            let took = begun.elapsed();
            drop(ours);
            speaker.join().unwrap();
            (failed, took)
        });
        assert!(failed && took < SHORT * 2, "{failed} {took:?}");
        assert!(!stand_in.0.wait().unwrap().success(), "it goes on");
    }
}
