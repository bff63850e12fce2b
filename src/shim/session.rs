//! Sessions: a command beside the first process, or a look at its console, for a client that shows a token.
//!
//! The token is announced by the daemon and good for one use; the socket itself asks for nothing else. A client that
//! goes before its command has ended is a line that broke: the command is hung up on, whether it has a terminal or not.
//! One that goes on all the same (nohup) keeps its session until it ends.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use super::connection::{Connection, Incoming};
use super::protocol::{
    Failure, Reply, SessionReply, SessionRequest, SessionTarget, Step as _, VERSION_OLDEST, WindowSize,
};
use super::supervisor::Supervisor;
use crate::kernel::cgroup::Cgroup;
use crate::kernel::enter::{self, Command, Entered, Streams, Target};
use crate::kernel::launch::Network;
use crate::sys::process::{self, Child, WaitStatus};
use crate::sys::{signal, tty};

/// `EAGAIN`, as fork(2) says it.
const NO_PROCESS: i32 = 11;

/// A token that waits to be shown.
#[derive(Debug)]
struct Ticket {
    token: String,
    name: Option<String>,
    target: SessionTarget,
    until: Instant,
}

/// What a session's connection is doing.
#[derive(Debug)]
enum Stage {
    /// No token yet.
    Silent,
    /// The container is frozen for a moment; the command begins when it thaws.
    Waiting { token: String, command: Command },
    /// The command runs; `terminal` is a copy of its master, to size it and to hang up when the client goes.
    Running { token: String, child: Child, terminal: Option<OwnedFd> },
    /// It watches the console.
    Console,
}

#[derive(Debug)]
struct Session {
    connection: Connection,
    name: Option<String>,
    stage: Stage,
}

/// A command whose client went away, until it ends.
#[derive(Debug)]
struct Left {
    name: Option<String>,
    token: String,
    child: Child,
}

/// The end of a session that has a name.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) name: String,
    pub(super) code: Option<i32>,
}

/// All sessions of the container.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    tickets: Vec<Ticket>,
    open: Vec<Session>,
    left: Vec<Left>,
    ended: Vec<Ended>,
}

impl Sessions {
    pub(super) fn announce(&mut self, token: String, name: Option<String>, target: SessionTarget, until: Instant) {
        self.tickets.push(Ticket { token, name, target, until });
    }

    pub(super) fn accept(&mut self, connection: Connection) {
        self.open.push(Session { connection, name: None, stage: Stage::Silent });
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.open.iter().map(|session| &session.connection)
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Counts the commands that run.
    pub(super) fn running(&self) -> usize {
        self.open.iter().filter(|session| matches!(session.stage, Stage::Running { .. })).count() + self.left.len()
    }

    /// Lists the sessions that have a name, announced or open.
    pub(super) fn names(&self) -> Vec<String> {
        let announced = self.tickets.iter().map(|ticket| &ticket.name);
        let open = self.open.iter().map(|session| &session.name);
        announced.chain(open).chain(self.left.iter().map(|left| &left.name)).flatten().cloned().collect()
    }

    /// Returns what has ended since the last call.
    pub(super) fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    fn note_end(&mut self, name: Option<String>, code: Option<i32>) {
        self.ended.extend(name.map(|name| Ended { name, code }));
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.tickets.iter().map(|ticket| ticket.until).min()
    }

    pub(super) fn expire(&mut self, now: Instant) {
        let over: Vec<Ticket> = self.tickets.extract_if(.., |ticket| ticket.until <= now).collect();
        for ticket in over {
            self.note_end(ticket.name, None);
        }
    }

    /// Takes the ticket of a token, which is used up by that.
    fn redeem(&mut self, token: &str) -> Option<Ticket> {
        let index = self.tickets.iter().position(|ticket| is_same(&ticket.token, token))?;
        Some(self.tickets.swap_remove(index))
    }

    /// Tells the client of a command that has ended.
    pub(super) fn ended(&mut self, pid: i32, status: WaitStatus) {
        let code = match status {
            WaitStatus::Exited(code) => code,
            WaitStatus::Signaled(number) => 128 + number,
        };
        let is_it = |session: &Session| matches!(&session.stage, Stage::Running { child, .. } if child.pid == pid);
        let over: Vec<Session> = self.open.extract_if(.., |session| is_it(session)).collect();
        for session in over {
            session.connection.send(&SessionReply::Exited { code }, &[]);
            self.note_end(session.name, Some(code));
        }
        let over: Vec<Left> = self.left.extract_if(.., |left| left.child.pid == pid).collect();
        for left in over {
            self.note_end(left.name, Some(code));
        }
    }

    /// Ends what hangs on a container that has ended; commands have been reaped before its init was.
    pub(super) fn container_ended(&mut self) {
        for ticket in std::mem::take(&mut self.tickets) {
            self.note_end(ticket.name, None);
        }
        for session in std::mem::take(&mut self.open) {
            session.connection.send(&refused("the container has ended"), &[]);
            self.note_end(session.name, None);
        }
        for left in std::mem::take(&mut self.left) {
            self.note_end(left.name, None);
        }
    }

    pub(super) fn signal(&self, wanted: &str, number: i32) -> Result<Reply, Failure> {
        let open = self.open.iter().filter_map(|session| match &session.stage {
            Stage::Running { token, child, .. } => Some((token, child)),
            _ => None,
        });
        let mut all = open.chain(self.left.iter().map(|left| (&left.token, &left.child)));
        let Some((_, child)) = all.find(|(token, _)| *token == wanted) else {
            return Ok(Reply::Refused { reason: "there is no such session".to_owned() });
        };
        process::signal_pidfd(&child.pidfd, number).step(&format!("send signal {number}"))?;
        Ok(Reply::Done)
    }

    fn index(&self, number: u64) -> Option<usize> {
        self.open.iter().position(|session| session.connection.number == number)
    }

    fn set_stage(&mut self, number: u64, stage: Stage) {
        if let Some(index) = self.index(number) {
            self.open[index].stage = stage;
        }
    }

    fn set_name(&mut self, number: u64, name: Option<String>) {
        if let Some(index) = self.index(number) {
            self.open[index].name = name;
        }
    }

    fn close(&mut self, number: u64) {
        let Some(index) = self.index(number) else { return };
        let Session { name, stage, .. } = self.open.remove(index);
        match stage {
            Stage::Running { token, child, terminal } => {
                drop(terminal);
                hang_up(&child);
                self.left.push(Left { name, token, child });
            }
            Stage::Silent | Stage::Waiting { .. } | Stage::Console => self.note_end(name, None),
        }
    }
}

/// Sends a command its client's signal. What is to end is woken if it is stopped, as by timeout(1): it would not hear of it.
fn pass_on(child: &Child, number: i32) {
    let wakes = matches!(number, signal::TERMINATE | signal::HANGUP);
    for number in [number].into_iter().chain(wakes.then_some(signal::CONTINUE)) {
        // A command that has just ended needs no signal any more.
        let _ = process::signal_pidfd(&child.pidfd, number);
    }
}

/// Tells a command and the processes of its group that nobody is there any more. It leads a session of its own, and it is
/// not reaped yet, so that the number can be nobody else's group; a stopped one is woken to hear it.
fn hang_up(child: &Child) {
    for number in [signal::HANGUP, signal::CONTINUE] {
        // What has just ended need not hear it.
        let _ = process::kill(-child.pid, number);
    }
}

fn refused(reason: &str) -> SessionReply {
    SessionReply::Refused { reason: reason.to_owned() }
}

/// Compares without telling by its time how much was right.
fn is_same(left: &str, right: &str) -> bool {
    let difference = left.bytes().zip(right.bytes()).fold(0, |sum, (one, other)| sum | (one ^ other));
    left.len() == right.len() && difference == 0
}

impl Supervisor {
    /// Takes one message of a session's client.
    pub(super) fn serve_session(&mut self, number: u64) {
        let Some(index) = self.sessions.index(number) else { return };
        let session = &self.sessions.open[index];
        match (session.connection.receive::<SessionRequest>(), &session.stage) {
            (Incoming::Nothing, _) => {}
            (Incoming::End, _) => self.close_session(number),
            (Incoming::Message(SessionRequest::Attach { version, token }), Stage::Silent) => {
                self.attach_session(number, version, token);
            }
            (Incoming::Message(SessionRequest::Resize(size)), stage) => self.resize_session(stage, size),
            (Incoming::Message(SessionRequest::Signal { number }), Stage::Running { child, .. }) => {
                pass_on(child, number);
            }
            (Incoming::Message(_), _) => self.close_session(number),
        }
    }

    fn close_session(&mut self, number: u64) {
        self.sessions.close(number);
        if let Some(console) = &mut self.console {
            console.detach(number);
        }
    }

    fn resize_session(&self, stage: &Stage, size: WindowSize) {
        match (stage, &self.console) {
            // A size that the kernel refuses leaves the old one.
            (Stage::Running { terminal: Some(master), .. }, _) => drop(tty::set_size(master, size)),
            (Stage::Console, Some(console)) => console.resize(size),
            _ => {}
        }
    }

    fn attach_session(&mut self, number: u64, version: u32, token: String) {
        if version < VERSION_OLDEST {
            return self.refuse_session(number, refused("this version is not spoken here"));
        }
        let Some(ticket) = self.sessions.redeem(&token) else {
            return self.refuse_session(number, refused("the token is unknown, used or too old"));
        };
        self.sessions.set_name(number, ticket.name);
        match ticket.target {
            SessionTarget::Console => self.attach_console(number),
            SessionTarget::Command(_) if self.freezer.is_paused() => {
                self.refuse_session(number, refused("the container is paused"));
            }
            SessionTarget::Command(command) if self.freezer.is_frozen() => {
                self.sessions.set_stage(number, Stage::Waiting { token, command });
            }
            SessionTarget::Command(command) => self.begin_command(number, token, &command),
        }
    }

    fn refuse_session(&mut self, number: u64, reply: SessionReply) {
        if let Some(index) = self.sessions.index(number) {
            self.sessions.open[index].connection.send(&reply, &[]);
        }
        self.close_session(number);
    }

    /// Begins what had to wait for the end of a freeze.
    pub(super) fn begin_waiting_sessions(&mut self) {
        let waiting: Vec<_> = self
            .sessions
            .open
            .iter()
            .filter_map(|session| match &session.stage {
                Stage::Waiting { token, command } => Some((session.connection.number, token.clone(), command.clone())),
                _ => None,
            })
            .collect();
        for (number, token, command) in waiting {
            self.begin_command(number, token, &command);
        }
    }

    fn attach_console(&mut self, number: u64) {
        let Some(console) = &mut self.console else {
            return self.refuse_session(number, refused("the container does not run"));
        };
        match console.attach(number) {
            Ok(stream) => {
                self.sessions.set_stage(number, Stage::Console);
                self.tell_attached(number, true, &[stream]);
            }
            Err(failure) => self.refuse_session(number, SessionReply::Failed(failure)),
        }
    }

    fn begin_command(&mut self, number: u64, token: String, command: &Command) {
        match self.enter(command) {
            Ok(Some(Entered { child, streams, listener })) => {
                self.questions.add(listener);
                self.run_session(number, token, child, streams);
            }
            Ok(None) => self.refuse_session(number, refused("the container does not run")),
            Err(failure) => self.refuse_session(number, SessionReply::Failed(failure)),
        }
    }

    fn enter(&self, command: &Command) -> Result<Option<Entered>, Failure> {
        // Before its first program begins a container can be entered, too: its programs prepare its root then.
        let (Some((init, child)), Some(container), Some(console), Some(cgroup)) =
            (self.life.init(), &self.spec.container, &self.console, &self.cgroup)
        else {
            return Ok(None);
        };
        let target = Target {
            init: init.pid,
            pidfd: &child.pidfd,
            terminals: console.terminals(),
            root: container.root(),
            user_namespace: container.ids.is_some(),
            network_namespace: container.network == Network::Own,
            profile: container.profile(),
        };
        let entered = enter::enter(target, cgroup, &self.layout, command);
        entered.map(Some).map_err(|failure| self.by_limit(failure))
    }

    /// Names the limit where the kernel says only that it makes no process.
    fn by_limit(&self, failure: Failure) -> Failure {
        let limit =
            self.cgroup.as_ref().filter(|_| failure.errno == Some(NO_PROCESS)).and_then(Cgroup::pids_limit_reached);
        match limit {
            Some(limit) => {
                let reason = format!("the container's limit of {limit} processes is reached");
                Failure { reason, ..failure }
            }
            None => failure,
        }
    }

    fn run_session(&mut self, number: u64, token: String, child: Child, streams: Streams) {
        let (descriptors, terminal) = match streams {
            Streams::Terminal(master) => (vec![master], true),
            Streams::Pipes(pipes) => (pipes.into_iter().collect(), false),
        };
        self.tell_attached(number, terminal, &descriptors);
        let terminal = if terminal { descriptors.into_iter().next() } else { None };
        self.sessions.set_stage(number, Stage::Running { token, child, terminal });
    }

    fn tell_attached(&self, number: u64, terminal: bool, descriptors: &[OwnedFd]) {
        let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        if let Some(index) = self.sessions.index(number) {
            // A client that is gone is noticed when its connection is read.
            self.sessions.open[index].connection.send(&SessionReply::Attached { terminal }, &borrowed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_one_use_and_must_match_whole() {
        let mut sessions = Sessions::default();
        sessions.announce("secret".into(), None, SessionTarget::Console, Instant::now());
        assert!(sessions.redeem("secre").is_none());
        assert!(sessions.redeem("").is_none());
        assert!(sessions.redeem("secret").is_some());
        assert!(sessions.redeem("secret").is_none());
    }

    #[test]
    fn a_ticket_that_nobody_takes_ends_its_session_once() {
        let mut sessions = Sessions::default();
        let until = Instant::now();
        sessions.announce("secret".into(), Some("s1".into()), SessionTarget::Console, until);
        assert_eq!(sessions.names(), ["s1"]);
        sessions.expire(until);
        let ended = sessions.take_ended();
        assert!(matches!(ended.as_slice(), [Ended { name, code: None }] if name == "s1"));
        assert!(sessions.take_ended().is_empty() && sessions.names().is_empty());
    }
}
