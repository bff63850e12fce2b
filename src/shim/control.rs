//! Answers the daemon's requests.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::connection::Incoming;
use super::protocol::{
    Directory, Disk, Failure, Phase, ProcessIdentity, Readiness, Reply, Request, Status, Step as _, VERSION,
    VERSION_OLDEST,
};
use super::supervisor::{Life, PATIENCE, Supervisor};
use super::{console::Console, record};
use crate::kernel::cgroup::Cgroup;
use crate::kernel::disk::{self, DISK, UPPER};
use crate::kernel::launch;
use crate::sys::{descriptor, process};

const NOT_AT_REST: &str = "its processes did not stop within 5 s; one is in the kernel and waits there, as for a file system that does not answer, or has much to do";

/// A reply with the descriptors that go along.
type Answer = (Reply, Vec<OwnedFd>);

fn refuse(reason: &str) -> Reply {
    Reply::Refused { reason: reason.to_owned() }
}

impl Supervisor {
    /// Answers one waiting message of a connection.
    pub(super) fn serve_connection(&mut self, number: u64) {
        let Some(connection) = self.connections.iter().find(|one| one.number == number) else { return };
        let request = match connection.receive::<Request>() {
            Incoming::Message(request) => request,
            Incoming::Nothing => return,
            Incoming::End => return self.close_connection(number),
        };
        let (reply, descriptors) = self.answer(number, request);
        let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        let connection = self.connections.iter().find(|one| one.number == number);
        if !connection.is_some_and(|connection| connection.send(&reply, &borrowed)) {
            self.close_connection(number);
        }
    }

    fn answer(&mut self, number: u64, request: Request) -> Answer {
        let Some(connection) = self.connections.iter_mut().find(|one| one.number == number) else {
            return (refuse("the connection is gone"), Vec::new());
        };
        if let Request::Hello { version } = request {
            connection.greeted = version >= VERSION_OLDEST;
            return (self.greet(version), Vec::new());
        }
        if !connection.greeted {
            return (refuse("no greeting yet"), Vec::new());
        }
        if request == Request::Subscribe {
            connection.subscribed = true;
        }
        self.perform(number, request).unwrap_or_else(|failure| (Reply::Failed(failure), Vec::new()))
    }

    fn greet(&self, version: u32) -> Reply {
        if version < VERSION_OLDEST {
            return refuse(&format!("versions {VERSION_OLDEST} to {VERSION} are spoken here, not {version}"));
        }
        Reply::Hello { version: version.min(VERSION), id: self.spec.id.clone() }
    }

    fn perform(&mut self, connection: u64, request: Request) -> Result<Answer, Failure> {
        let reply = match request {
            Request::Create => return self.create(connection),
            Request::OpenDisk => return self.open_disk(),
            Request::Start => self.start()?,
            Request::Signal { number } => self.signal_init(number)?,
            Request::Kill => self.kill()?,
            Request::Freeze { lease_ms } => self.freeze(connection, Duration::from_millis(lease_ms))?,
            Request::Thaw { lease } => self.thaw(lease),
            Request::Pause => self.pause()?,
            Request::Resume => self.resume(),
            Request::OpenSession { token, name, target } => {
                self.sessions.announce(token, name, target, Instant::now() + PATIENCE);
                Reply::Done
            }
            Request::SignalSession { token, number } => self.sessions.signal(&token, number)?,
            Request::AcknowledgeExit => self.acknowledge_exit()?,
            Request::Hello { .. } | Request::Status => Reply::Status(Box::new(self.status())),
            Request::Subscribe => Reply::Done,
        };
        Ok((reply, Vec::new()))
    }

    fn status(&self) -> Status {
        Status {
            id: self.spec.id.clone(),
            phase: self.life.phase(),
            init: self.life.init().map(|(init, _)| init.clone()),
            ready: self.ready,
            status_text: self.status_text.clone(),
            paused: self.freezer.is_paused(),
            frozen: self.freezer.is_frozen(),
            exit: match &self.life {
                Life::Exited(record) => Some(record.clone()),
                _ => None,
            },
            disk_mounted: self.disk_mounted,
            sessions: self.sessions.running(),
            session_names: self.sessions.names(),
        }
    }

    fn ensure_disk(&mut self) -> Result<(), Failure> {
        if !self.disk_mounted {
            disk::mount_disk(&self.spec.disk)?;
            self.disk_mounted = true;
        }
        Ok(())
    }

    fn create(&mut self, connection: u64) -> Result<Answer, Failure> {
        if self.life.phase() != Phase::New {
            return Ok((refuse("the container is created already"), Vec::new()));
        }
        let (Some(container), Some(cgroup)) = (self.spec.container.clone(), self.cgroup.clone()) else {
            return Ok((refuse("the specification has no container"), Vec::new()));
        };
        self.ensure_disk()?;
        cgroup.ensure()?;
        disk::give_spare();
        let created = cgroup
            .restrict_devices(container.is_host())
            .and_then(|()| cgroup.set_limits(&self.spec.limits))
            .and_then(|()| launch::create(&container, &cgroup));
        disk::keep_spare();
        let created = match created {
            Ok(created) => created,
            Err(failure) => {
                let _ = self.remove_cgroup();
                return Err(failure);
            }
        };
        let (child, until) = (created.child, Instant::now() + PATIENCE);
        let facts = describe(&self.boot, &child)
            .and_then(|facts| Ok((facts, Console::new(created.console, created.terminals)?)));
        let ((init, descriptors), console) = match facts {
            Ok(facts) => facts,
            Err(failure) => {
                self.end_child(&child);
                return Err(failure);
            }
        };
        self.console = Some(console);
        let reply = Reply::Created { init: init.clone(), prepared: created.prepared };
        self.life = Life::Created { init, child, gate: Some(created.gate), creator: connection, until };
        Ok((reply, descriptors))
    }

    fn start(&mut self) -> Result<Reply, Failure> {
        let Life::Created { gate, init, .. } = &mut self.life else {
            return Ok(refuse("the container is not created"));
        };
        self.questions.begin(init.pid);
        let opened = gate.take().map_or_else(|| Err(Failure::new("start", "it was tried before")), launch::Gate::open);
        let listener = opened.inspect_err(|_| self.undo_creation())?;
        self.questions.add(listener);
        if let Life::Created { init, child, .. } = std::mem::replace(&mut self.life, Life::New) {
            self.life = Life::Running { init, child };
        }
        if self.spec.readiness == Readiness::Exec {
            self.become_ready();
        }
        Ok(Reply::Done)
    }

    fn signal_init(&mut self, number: i32) -> Result<Reply, Failure> {
        if !matches!(self.life, Life::Running { .. }) {
            return Ok(refuse("the container does not run"));
        }
        self.signal_running(number).step(&format!("send signal {number}"))?;
        Ok(Reply::Done)
    }

    /// Kills whether frozen or not: the unified freezer lets the dying through.
    fn kill(&self) -> Result<Reply, Failure> {
        match (&self.life, &self.cgroup) {
            (Life::Running { .. } | Life::Created { .. }, Some(cgroup)) => cgroup.kill().map(|()| Reply::Done),
            (Life::Running { .. } | Life::Created { .. }, None) => Ok(refuse("the container has no control group")),
            (Life::New | Life::Exited(_), _) => Ok(Reply::Done), // nothing runs, as is wanted
        }
    }

    /// Has every process frozen, and says whether all are at rest; nothing if the container does not run.
    fn freeze_kernel(&self) -> Result<Option<bool>, Failure> {
        match (&self.life, &self.cgroup) {
            (Life::Running { .. }, Some(cgroup)) => cgroup.freeze().map(Some),
            _ => Ok(None),
        }
    }

    /// Whoever holds a lease copies what is on the disk: every process is at rest, or the lease is refused.
    fn freeze(&mut self, holder: u64, lease: Duration) -> Result<Reply, Failure> {
        let since = Instant::now();
        match self.freeze_kernel() {
            Ok(Some(true)) => Ok(Reply::Frozen { lease: self.freezer.add(holder, since, lease) }),
            Ok(None) => Ok(refuse("the container does not run")),
            Ok(Some(false)) => {
                self.settle_freeze();
                Err(Failure::new("freeze the container", NOT_AT_REST))
            }
            Err(failure) => {
                self.settle_freeze();
                Err(failure)
            }
        }
    }

    /// Ends a lease. While the supervisor itself stood still a stop may have thawed the group without it: who held the lease
    /// has then read what moved.
    fn thaw(&mut self, number: u64) -> Reply {
        let stood_still = self.cgroup.as_ref().is_none_or(Cgroup::is_told_to_freeze);
        let lease = self.freezer.end(number);
        self.settle_freeze();
        match lease {
            Some(lease) if stood_still => Reply::Thawed { frozen_us: lease.held_us(Instant::now()), expired: false },
            _ => Reply::Thawed { frozen_us: 0, expired: true },
        }
    }

    /// A pause is on although one process is in the kernel: it ends what it asked for there, and is frozen when it leaves. The
    /// container's other processes would go on else, and write where a full disk loses it.
    fn pause(&mut self) -> Result<Reply, Failure> {
        match self.freeze_kernel() {
            Ok(Some(_)) => {
                self.freezer.set_paused(true);
                Ok(Reply::Done)
            }
            Ok(None) => Ok(refuse("the container does not run")),
            Err(failure) => {
                self.settle_freeze();
                Err(failure)
            }
        }
    }

    fn resume(&mut self) -> Reply {
        self.freezer.set_paused(false);
        self.settle_freeze();
        Reply::Done
    }

    fn open_disk(&mut self) -> Result<Answer, Failure> {
        self.ensure_disk()?;
        let mut descriptors = vec![descriptor::open_directory(DISK.as_ref()).step("open the disk")?];
        let mut directories = vec![Directory::Disk];
        // A disk that was never started has no upper layer yet.
        if let Ok(upper) = descriptor::open_directory(format!("{DISK}/{UPPER}").as_ref()) {
            descriptors.push(upper);
            directories.push(Directory::Upper);
        }
        Ok((Reply::Disk { directories }, descriptors))
    }

    /// Lets go of everything. A disk shim without a container is dismissed the same way.
    fn acknowledge_exit(&mut self) -> Result<Reply, Failure> {
        if !matches!(self.life, Life::Exited(_) | Life::New) {
            return Ok(refuse("the container has not ended"));
        }
        record::remove(&self.directory, record::EXIT).step("forget the exit")?;
        let disk_released = if self.disk_mounted { disk::unmount_disk()? } else { true };
        self.disk_mounted = false;
        self.ending = true;
        Ok(Reply::Acknowledged { disk_released })
    }
}

/// Returns the identity of a first process, its pidfd and its network namespace.
fn describe(boot: &str, child: &process::Child) -> Result<(ProcessIdentity, Vec<OwnedFd>), Failure> {
    let init = ProcessIdentity::in_boot(boot, child.pid).step("read the identity of the first process")?;
    let pidfd = child.pidfd.try_clone().step("copy the pidfd")?;
    let network = std::fs::File::open(format!("/proc/{}/ns/net", child.pid)).step("open the network namespace")?;
    Ok((init, vec![pidfd, network.into()]))
}

impl Disk {
    /// Returns the path on the host that holds the data, for messages.
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::Image { path, .. } | Self::Device { path, .. } | Self::Directory { path } => path,
        }
    }
}
