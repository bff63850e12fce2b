//! The daemon's side of the protocol: blocking calls with a time limit.

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use super::message::{self, Packed};
use super::protocol::{
    Directory, Event, Failure, MESSAGE_MAX, Prepared, ProcessIdentity, Reply, Request, SPEC_FILE, SessionTarget, Spec,
    Status, VERSION, VERSION_LONG, VERSION_OLDEST,
};
use super::record;
pub use super::record::{ShimRecord, forget_exit, living_shim, unacknowledged_exit};
use crate::sys::socket;

/// Why a call to a shim failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket cannot be reached or went away: the shim is dead, or was never there.
    #[error("cannot talk to the shim at {path}: {source}")]
    Unreachable {
        /// The socket.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The shim did not answer in time.
    #[error("the shim at {path} did not answer within {limit:?}")]
    TimedOut {
        /// The socket.
        path: String,
        /// The limit.
        limit: Duration,
    },
    /// The request does not fit the container's state.
    #[error("{reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// The kernel refused a step.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The answer makes no sense here.
    #[error("the shim at {path} answered {reply} to {request}")]
    Unexpected {
        /// The socket.
        path: String,
        /// What was asked.
        request: String,
        /// What came.
        reply: String,
    },
}

/// What `Create` returns.
#[derive(Debug)]
pub struct CreatedContainer {
    /// The first process.
    pub init: ProcessIdentity,
    /// Its pidfd.
    pub pidfd: OwnedFd,
    /// Its network namespace.
    pub network: OwnedFd,
    /// What is to be told of its root.
    pub prepared: Prepared,
}

/// A connection to a shim.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    path: String,
    limit: Duration,
    /// The version both speak.
    pub version: u32,
}

impl Client {
    /// Connects and greets; no later call on this connection waits longer than `limit`.
    ///
    /// # Errors
    /// Nobody listens, or no common version.
    pub fn connect(path: &Path, limit: Duration) -> Result<Self, ClientError> {
        let text = path.display().to_string();
        let socket = socket::connect(path, limit).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => ClientError::TimedOut { path: text.clone(), limit },
            _ => ClientError::Unreachable { path: text.clone(), source },
        })?;
        Self::greet(socket, text, limit)
    }

    /// Gives a waiting shim, whose standard input is the other end of `socket`, its runtime directory and its standard
    /// error, and greets it: when this returns, its other sockets listen too.
    ///
    /// # Errors
    /// The shim is gone; `record::FAILURE` in the directory or what it wrote to `words` says why.
    pub fn order(socket: OwnedFd, runtime_dir: &Path, words: &fs::File, limit: Duration) -> Result<Self, ClientError> {
        let text = runtime_dir.display().to_string();
        socket::send(&socket, runtime_dir.as_os_str().as_bytes(), &[words.as_fd()])
            .map_err(|source| ClientError::Unreachable { path: text.clone(), source })?;
        Self::greet(socket, text, limit)
    }

    fn greet(socket: OwnedFd, path: String, limit: Duration) -> Result<Self, ClientError> {
        socket::set_timeout(&socket, limit)
            .map_err(|source| ClientError::Unreachable { path: path.clone(), source })?;
        let mut client = Self { socket, path, limit, version: VERSION };
        match client.call(&Request::Hello { version: VERSION })?.0 {
            Reply::Hello { version, .. } if (VERSION_OLDEST..=VERSION).contains(&version) => client.version = version,
            other => return Err(client.unexpected("hello", &other)),
        }
        Ok(client)
    }

    fn unexpected(&self, request: &str, reply: &Reply) -> ClientError {
        match reply {
            Reply::Refused { reason } => ClientError::Refused { reason: reason.clone() },
            Reply::Failed(failure) => failure.clone().into(),
            other => ClientError::Unexpected {
                path: self.path.clone(),
                request: request.to_owned(),
                reply: format!("{other:?}"),
            },
        }
    }

    fn call(&self, request: &Request) -> Result<(Reply, Vec<OwnedFd>), ClientError> {
        let unreachable = |source| ClientError::Unreachable { path: self.path.clone(), source };
        let packed = Packed::new(request).map_err(|error| ClientError::Refused { reason: error.to_string() })?;
        if packed.is_long() && self.version < VERSION_LONG {
            let reason = format!(
                "the container was started by an older version, whose supervisor takes {MESSAGE_MAX} bytes at once; a \
                 restart of the container ends that"
            );
            return Err(ClientError::Refused { reason });
        }
        packed.send(&self.socket, &[]).map_err(unreachable)?;
        self.receive(self.limit)
    }

    fn receive(&self, limit: Duration) -> Result<(Reply, Vec<OwnedFd>), ClientError> {
        let unreachable = |source| ClientError::Unreachable { path: self.path.clone(), source };
        let message = message::receive(&self.socket).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => ClientError::TimedOut { path: self.path.clone(), limit },
            _ => unreachable(error),
        })?;
        message.ok_or_else(|| unreachable(io::ErrorKind::UnexpectedEof.into()))
    }

    fn expect_done(&self, request: &Request) -> Result<(), ClientError> {
        match self.call(request)?.0 {
            Reply::Done => Ok(()),
            other => Err(self.unexpected(&format!("{request:?}"), &other)),
        }
    }

    /// Asks for the state.
    ///
    /// # Errors
    /// As every call: unreachable, out of time, refused, failed.
    pub fn status(&self) -> Result<Status, ClientError> {
        match self.call(&Request::Status)?.0 {
            Reply::Status(status) => Ok(*status),
            other => Err(self.unexpected("status", &other)),
        }
    }

    /// Creates the container; it is undone when this client is dropped before [`Client::start`].
    ///
    /// # Errors
    /// Names the step that the kernel refused.
    pub fn create(&self) -> Result<CreatedContainer, ClientError> {
        let (reply, descriptors) = self.call(&Request::Create)?;
        match (reply, <[OwnedFd; 2]>::try_from(descriptors)) {
            (Reply::Created { init, prepared }, Ok([pidfd, network])) => {
                Ok(CreatedContainer { init, pidfd, network, prepared })
            }
            (other, _) => Err(self.unexpected("create", &other)),
        }
    }

    /// Lets the created container begin; returns when its program runs.
    ///
    /// # Errors
    /// Names the step that failed (profile, exec).
    pub fn start(&self) -> Result<(), ClientError> {
        self.expect_done(&Request::Start)
    }

    /// Sends a signal to the first process.
    pub fn signal(&self, number: i32) -> Result<(), ClientError> {
        self.expect_done(&Request::Signal { number })
    }

    /// Kills every process of the container.
    pub fn kill(&self) -> Result<(), ClientError> {
        self.expect_done(&Request::Kill)
    }

    /// Freezes the container for at most this long; returns the name of the lease.
    pub fn freeze(&self, lease: Duration) -> Result<u64, ClientError> {
        match self.call(&Request::Freeze { lease_ms: lease.as_millis() as u64 })?.0 {
            Reply::Frozen { lease } => Ok(lease),
            other => Err(self.unexpected("freeze", &other)),
        }
    }

    /// Ends a freeze and returns how long it held; `None` when it had ended by itself.
    pub fn thaw(&self, lease: u64) -> Result<Option<Duration>, ClientError> {
        match self.call(&Request::Thaw { lease })?.0 {
            Reply::Thawed { expired: true, .. } => Ok(None),
            Reply::Thawed { frozen_us, .. } => Ok(Some(Duration::from_micros(frozen_us))),
            other => Err(self.unexpected("thaw", &other)),
        }
    }

    /// Freezes the container until [`Client::resume`].
    pub fn pause(&self) -> Result<(), ClientError> {
        self.expect_done(&Request::Pause)
    }

    /// Ends a pause.
    pub fn resume(&self) -> Result<(), ClientError> {
        self.expect_done(&Request::Resume)
    }

    /// Opens the directories of the disk, mounting it if need be.
    pub fn open_disk(&self) -> Result<Vec<(Directory, OwnedFd)>, ClientError> {
        match self.call(&Request::OpenDisk)? {
            (Reply::Disk { directories }, descriptors) => Ok(directories.into_iter().zip(descriptors).collect()),
            (other, _) => Err(self.unexpected("open disk", &other)),
        }
    }

    /// Announces a session to whoever shows the token within 30 s; its end is told to subscribers by `name`.
    pub fn open_session(&self, token: &str, name: Option<&str>, target: SessionTarget) -> Result<(), ClientError> {
        self.expect_done(&Request::OpenSession { token: token.to_owned(), name: name.map(str::to_owned), target })
    }

    /// Sends a signal to the command of a session.
    pub fn signal_session(&self, token: &str, number: i32) -> Result<(), ClientError> {
        self.expect_done(&Request::SignalSession { token: token.to_owned(), number })
    }

    /// Forgets the exit and lets the shim end; tells whether the disk is unmounted.
    pub fn acknowledge_exit(&self) -> Result<bool, ClientError> {
        match self.call(&Request::AcknowledgeExit)?.0 {
            Reply::Acknowledged { disk_released } => Ok(disk_released),
            other => Err(self.unexpected("acknowledge exit", &other)),
        }
    }

    /// Turns the connection into a stream of events. What happened before is in [`Client::status`], asked on another
    /// connection after this one has subscribed.
    pub fn subscribe(self) -> Result<Events, ClientError> {
        self.expect_done(&Request::Subscribe)?;
        Ok(Events(self))
    }
}

/// The events of a container.
#[derive(Debug)]
pub struct Events(Client);

impl Events {
    /// Waits for the next event, at most this long; `None` when the time is over.
    ///
    /// # Errors
    /// The shim is gone.
    pub fn next(&self, limit: Duration) -> Result<Option<Event>, ClientError> {
        let unreachable = |source| ClientError::Unreachable { path: self.0.path.clone(), source };
        socket::set_timeout(&self.0.socket, limit.max(Duration::from_micros(1))).map_err(unreachable)?;
        match self.0.receive(limit) {
            Ok((Reply::Event(event), _)) => Ok(Some(event)),
            Ok((other, _)) => Err(self.0.unexpected("events", &other)),
            Err(ClientError::TimedOut { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl std::os::fd::AsFd for Events {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.0.socket)
    }
}

/// Makes the runtime directory (mode 0700) with the specification and without records of an earlier shim.
///
/// # Errors
/// What the file system says.
pub fn prepare_runtime_directory(directory: &Path, spec: &Spec) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    for name in [record::FAILURE, record::SHIM] {
        record::remove(directory, name)?;
    }
    record::write(directory, SPEC_FILE, spec)
}
