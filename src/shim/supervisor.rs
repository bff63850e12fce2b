//! The loop and the life of the one container.
//!
//! ```text
//! New ─Create─▶ Created ─Start─▶ Running ─init ends─▶ Exited ─AcknowledgeExit─▶ (shim ends)
//!  ▲               │ creator gone, 30 s
//!  └─── undone ◀───┘
//! ```
//! A shim without a container (New, or the disk of a stopped one) ends by itself when nobody has been connected for
//! 30 s; one with a container ends only by `AcknowledgeExit`. Requests are answered in `control`, sessions in
//! `session`, ends recorded in `ending`.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::console::{Console, ConsoleLog};
use super::freezer::{Freezer, Lease};
use super::notify::NotifySocket;
use super::protocol::{Event, ExitRecord, Failure, Phase, ProcessIdentity, Readiness, Reply, Spec, Step as _, VERSION};
use super::questions::Questions;
use super::record::{self, ShimRecord};
use super::session::{Ended, Sessions};
use super::unheard::Unheard;
use crate::kernel::cgroup::{Cgroup, Layout};
use crate::kernel::launch::Gate;
use crate::kernel::{disk, pressure, stage};
use crate::sys::poll::{self, Interest};
use crate::sys::process::{self, Child};
use crate::sys::{descriptor, signal, socket};

/// How long a created container waits to be started, and a shim without a container for a client.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// The folder of the runtime directory on which the staging place is mounted, in the shim's own namespace.
const STAGE: &str = "stage";
/// The most connections at once, so that a client gone wild cannot use up the descriptors.
const CONNECTIONS_MAX: usize = 256;

/// Where the life of the container stands, with what that phase holds.
#[derive(Debug)]
pub(super) enum Life {
    New,
    Created { init: ProcessIdentity, child: Child, gate: Option<Gate>, creator: u64, until: Instant },
    Running { init: ProcessIdentity, child: Child },
    Exited(ExitRecord),
}

impl Life {
    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::New => Phase::New,
            Self::Created { .. } => Phase::Created,
            Self::Running { .. } => Phase::Running,
            Self::Exited(_) => Phase::Exited,
        }
    }

    pub(super) fn init(&self) -> Option<(&ProcessIdentity, &Child)> {
        match self {
            Self::Created { init, child, .. } | Self::Running { init, child } => Some((init, child)),
            Self::New | Self::Exited(_) => None,
        }
    }
}

/// The whole state of a shim.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) directory: PathBuf,
    pub(super) spec: Spec,
    /// Which boot of the host this is.
    pub(super) boot: String,
    pub(super) layout: Layout,
    pub(super) cgroup: Option<Cgroup>,
    pub(super) life: Life,
    pub(super) disk_mounted: bool,
    pub(super) freezer: Freezer,
    pub(super) unheard: Option<Unheard>,
    pub(super) ready: bool,
    pub(super) status_text: Option<String>,
    pub(super) command_signal: Option<i32>,
    pub(super) console: Option<Console>,
    pub(super) sessions: Sessions,
    pub(super) questions: Questions,
    pub(super) connections: Vec<Connection>,
    pub(super) ending: bool,
    pub(super) log: ConsoleLog,
    notify: NotifySocket,
    pub(super) signals: OwnedFd,
    control_listener: OwnedFd,
    session_listener: OwnedFd,
    last_connection: u64,
    pub(super) alone_since: Instant,
}

/// Leaves the host's mounts, all but what the container needs and the folders of the own files and sockets.
fn enter_stage(directory: &Path, spec: &Spec, layout: &Layout) -> Result<(), Failure> {
    let mut needed = stage::needs(&spec.disk, spec.container.as_ref(), layout);
    let sockets = [&spec.control_socket, &spec.session_socket].into_iter().filter_map(|path| path.parent());
    needed.extend(sockets.chain([directory]).map(Path::to_path_buf));
    stage::enter(&directory.join(STAGE), &needed)
}

/// What can wake the shim.
#[derive(Debug, Clone, Copy)]
enum Source {
    Signals,
    Control,
    SessionListener,
    Notify,
    Console,
    Viewer(usize),
    Questions,
    Connection(u64),
    Session(u64),
}

impl Supervisor {
    /// Sets up namespace, sockets and record; afterwards anybody can connect. `first` is connected already.
    pub(super) fn new(directory: PathBuf, spec: Spec, first: Option<OwnedFd>) -> Result<Self, Failure> {
        let layout = Layout::detect()?;
        let cgroup = match &spec.cgroup {
            Some(place) => Some(place.group(&layout)?),
            None => None,
        };
        let signals = signal::receive(&[signal::CHILD, signal::TERMINATE]).step("receive signals")?;
        // Before the stage, which shows a /proc without what the host has put over parts of it.
        let process = ProcessIdentity::of(process::own_pid()).step("read the own identity")?;
        let _ = pressure::close_to_containers(); // only a host's own root may, and where this is none it was done above
        enter_stage(&directory, &spec, &layout)?;
        let log = ConsoleLog::open(&directory, spec.log_bytes_max).step("open the console log")?;
        let notify = NotifySocket::bind()?;
        let session_listener = socket::listen(&spec.session_socket).step("bind the session socket")?;
        if let Some(group) = spec.session_group {
            descriptor::share_with_group(&spec.session_socket, group).step("share the session socket")?;
        }
        let control_listener = socket::listen(&spec.control_socket).step("bind the control socket")?;
        let boot = process.boot.clone();
        record::write(&directory, record::SHIM, &ShimRecord { process, version: VERSION }).step("write shim.json")?;
        Ok(Self {
            directory,
            spec,
            boot,
            layout,
            cgroup,
            life: Life::New,
            disk_mounted: false,
            freezer: Freezer::default(),
            unheard: None,
            ready: false,
            status_text: None,
            command_signal: None,
            console: None,
            sessions: Sessions::default(),
            questions: Questions::new(Instant::now()),
            connections: first.into_iter().map(|socket| Connection::new(0, socket)).collect(),
            ending: false,
            log,
            notify,
            signals,
            control_listener,
            session_listener,
            last_connection: 0,
            alone_since: Instant::now(),
        })
    }

    /// Works until the shim's task is over.
    pub(super) fn run(mut self) -> Result<(), Failure> {
        while !self.ending {
            for source in self.wait()? {
                self.serve(source);
            }
            self.keep_deadlines(Instant::now());
            for Ended { name, code } in self.sessions.take_ended() {
                self.announce(&Event::SessionEnded { name, code });
            }
        }
        self.leave();
        Ok(())
    }

    /// Waits in one poll for everything there is; returns what is ready.
    fn wait(&self) -> Result<Vec<Source>, Failure> {
        let mut sources = vec![Source::Signals, Source::Control, Source::SessionListener];
        let fixed = [self.signals.as_fd(), self.control_listener.as_fd(), self.session_listener.as_fd()];
        let mut interests: Vec<_> = fixed.into_iter().map(Interest::read).collect();
        if let Some(notify) = self.notify.open() {
            sources.push(Source::Notify);
            interests.push(Interest::read(notify));
        }
        if let Some(console) = &self.console {
            sources.push(Source::Console);
            interests.push(Interest::read(console.as_fd()));
            for (index, stream) in console.viewer_streams().enumerate() {
                sources.push(Source::Viewer(index));
                interests.push(Interest::read(stream));
            }
        }
        for connection in &self.connections {
            sources.push(Source::Connection(connection.number));
            interests.push(Interest::read(connection.as_fd()));
        }
        for connection in self.sessions.connections() {
            sources.push(Source::Session(connection.number));
            interests.push(Interest::read(connection.as_fd()));
        }
        let now = Instant::now();
        for listener in self.questions.listeners(now) {
            sources.push(Source::Questions);
            interests.push(Interest::read(listener));
        }
        let timeout = self.next_deadline(now).map(|deadline| deadline.saturating_duration_since(now));
        poll::wait(&mut interests, timeout).step("wait")?;
        let mut ready: Vec<_> =
            sources.into_iter().zip(interests).filter(|(_, one)| one.readable).map(|(source, _)| source).collect();
        // One round of answers goes through all listeners.
        ready.dedup_by(|one, other| matches!((one, other), (Source::Questions, Source::Questions)));
        Ok(ready)
    }

    fn serve(&mut self, source: Source) {
        match source {
            Source::Signals => self.take_signals(),
            Source::Control => self.accept_control(),
            Source::SessionListener => self.accept_session(),
            Source::Notify => self.take_notification(),
            Source::Console => {
                if let Some(console) = &mut self.console {
                    console.pump(&mut self.log);
                }
            }
            Source::Viewer(index) => {
                if let Some(console) = &mut self.console {
                    console.type_from(index);
                }
            }
            Source::Questions => {
                self.questions.answer(Instant::now());
            }
            Source::Connection(number) => self.serve_connection(number),
            Source::Session(number) => self.serve_session(number),
        }
    }

    fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let creation = match &self.life {
            Life::Created { until, .. } => Some(*until),
            _ => None,
        };
        let alone = self.is_unused().then(|| self.alone_since + PATIENCE);
        let unheard = self.unheard.map(|unheard| unheard.next);
        let others = [self.freezer.next_expiry(), self.sessions.next_expiry(), self.questions.goes_on(now)];
        [creation, alone, unheard].into_iter().chain(others).flatten().min()
    }

    fn keep_deadlines(&mut self, now: Instant) {
        if matches!(&self.life, Life::Created { until, .. } if *until <= now) {
            self.undo_creation();
        }
        self.signal_again(now);
        let over = self.freezer.expire(now);
        self.end_leases(&over, now);
        self.sessions.expire(now);
        if self.is_unused() && self.alone_since + PATIENCE <= now {
            self.ending = true;
        }
    }

    fn end_leases(&mut self, over: &[Lease], now: Instant) {
        for lease in over {
            self.settle_freeze();
            self.announce(&Event::LeaseExpired { lease: lease.number, frozen_us: lease.held_us(now) });
        }
    }

    /// Nobody is connected and no container depends on this shim.
    fn is_unused(&self) -> bool {
        matches!(self.life, Life::New) && self.connections.is_empty() && self.sessions.is_empty()
    }

    fn accept_control(&mut self) {
        while let Ok(Some(socket)) = socket::accept(&self.control_listener) {
            let is_root = socket::peer(&socket).is_ok_and(|peer| peer.user == process::effective_user());
            if is_root && self.connections.len() < CONNECTIONS_MAX {
                self.last_connection += 1;
                self.connections.push(Connection::new(self.last_connection, socket));
            }
        }
    }

    fn accept_session(&mut self) {
        while let Ok(Some(socket)) = socket::accept(&self.session_listener) {
            if self.sessions.len() < CONNECTIONS_MAX {
                self.last_connection += 1;
                self.sessions.accept(Connection::new(self.last_connection, socket));
            }
        }
        self.alone_since = Instant::now();
    }

    /// Forgets a connection; a creation that hangs on it is undone, its leases end.
    pub(super) fn close_connection(&mut self, number: u64) {
        self.connections.retain(|connection| connection.number != number);
        self.alone_since = Instant::now();
        if matches!(&self.life, Life::Created { creator, .. } if *creator == number) {
            self.undo_creation();
        }
        let over = self.freezer.abandon(number);
        self.end_leases(&over, Instant::now());
    }

    /// Tells every subscriber.
    pub(super) fn announce(&mut self, event: &Event) {
        let reply = Reply::Event(event.clone());
        self.connections.retain(|connection| !connection.subscribed || connection.send(&reply, &[]));
    }

    pub(super) fn take_notification(&mut self) {
        let said = self.notify.take();
        self.status_text = said.text.or(self.status_text.take());
        self.command_signal = said.command_signal.or(self.command_signal);
        if said.ready && self.spec.readiness == Readiness::Notify {
            self.become_ready();
        }
    }

    pub(super) fn become_ready(&mut self) {
        if !self.ready && matches!(self.life, Life::Running { .. }) {
            self.ready = true;
            self.announce(&Event::Ready);
        }
    }

    /// Brings the kernel's freezer in line with the bookkeeping.
    pub(super) fn settle_freeze(&mut self) {
        if !self.freezer.is_frozen() {
            // A group that is gone has nothing to thaw.
            let _ = self.cgroup.as_ref().map_or(Ok(()), Cgroup::thaw);
            self.begin_waiting_sessions();
        }
    }

    /// The last steps: sockets and records go, the disk goes with the mount namespace.
    fn leave(&mut self) {
        for path in [&self.spec.control_socket, &self.spec.session_socket] {
            let _ = std::fs::remove_file(path);
        }
        if self.disk_mounted {
            let _ = disk::unmount_disk();
        }
        let _ = record::remove(&self.directory, record::SHIM);
    }
}
