//! What daemon, CLI and shim say to each other: the specification file, requests and replies, events, sessions.
//!
//! Messages are JSON, one per packet of a `SOCK_SEQPACKET` Unix socket; descriptors come along by `SCM_RIGHTS`, and a
//! message that no packet takes comes as one (`message`). The
//! first message of a connection is a greeting with the version. A shim outlives upgrades of the daemon, so a newer
//! daemon must go on speaking every version from [`VERSION_OLDEST`] on; unknown fields are ignored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::kernel::cgroup::{Cgroup, Layout};
pub use crate::kernel::cgroup::{Limits, Statistics};
pub use crate::kernel::disk::Disk;
pub use crate::kernel::enter::Command;
pub use crate::kernel::failure::{Failure, Step};
pub use crate::kernel::identity::ProcessIdentity;
pub use crate::kernel::launch::{Container, Init, Network, Prepared};
pub use crate::sys::tty::WindowSize;

/// The version spoken here.
pub const VERSION: u32 = 2;
/// The oldest version still spoken.
pub const VERSION_OLDEST: u32 = 1;
/// The longest message in bytes that goes in a packet.
pub const MESSAGE_MAX: usize = 128 * 1024;
/// The longest message in bytes; what is longer than a packet goes in memory whose descriptor comes along.
pub const LONG_MESSAGE_MAX: usize = 16 * 1024 * 1024;
/// The first version that takes a message longer than [`MESSAGE_MAX`].
pub const VERSION_LONG: u32 = 2;
/// The specification's name in the runtime directory.
pub const SPEC_FILE: &str = "spec.json";

/// Where the container's cgroup is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPlace {
    /// Path from the root of each hierarchy; none = below the shim's own group.
    #[serde(default)]
    pub parent: Option<String>,
    /// The group it lies below in a hierarchy, by the hierarchy's name, where that is not `parent`: a later daemon may
    /// have another group of its own, and the container stays where it was started.
    #[serde(default)]
    pub below: BTreeMap<String, String>,
    /// `berth-INSTANCE/CONTAINER`.
    pub name: String,
}

impl CgroupPlace {
    /// Names the group on this host.
    ///
    /// # Errors
    /// The caller's own groups are asked for and cannot be read.
    pub fn group(&self, layout: &Layout) -> Result<Cgroup, Failure> {
        let parent = self.parent.as_deref();
        if self.below.is_empty() {
            return Cgroup::at(layout, parent, &self.name);
        }
        Ok(Cgroup::below(layout, parent, &self.below, &self.name))
    }
}

/// What tells that a container has started up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// `READY=1` on its `NOTIFY_SOCKET` (sd_notify(3)).
    Notify,
    /// The exec of its first program.
    Exec,
}

/// The whole order for one shim; written by the daemon before it spawns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The version of this structure and of the protocol wanted.
    pub version: u32,
    /// The container's id.
    pub id: String,
    /// Where the daemon connects (mode 0600; at most 107 bytes).
    pub control_socket: PathBuf,
    /// Where the CLI connects with a token.
    pub session_socket: PathBuf,
    /// Group that may connect to the session socket beside root.
    #[serde(default)]
    pub session_group: Option<u32>,
    /// The container's disk.
    pub disk: Disk,
    /// The container to run; none = the disk alone (of a container that is stopped).
    #[serde(default)]
    pub container: Option<Container>,
    /// Its cgroup; needed when there is a container.
    #[serde(default)]
    pub cgroup: Option<CgroupPlace>,
    /// Its limits at the start.
    #[serde(default)]
    pub limits: Limits,
    /// What makes it ready.
    pub readiness: Readiness,
    /// The most bytes of console output kept.
    pub log_bytes_max: u64,
}

impl Spec {
    /// Reads the specification of a runtime directory.
    ///
    /// # Errors
    /// It is missing, no specification, or of a version that is not spoken here.
    pub fn load(runtime_dir: &Path) -> Result<Self, Failure> {
        let path = runtime_dir.join(SPEC_FILE);
        let bytes = std::fs::read(&path).step(&format!("read {}", path.display()))?;
        let spec: Self = serde_json::from_slice(&bytes).map_err(std::io::Error::from).step("read the specification")?;
        if (VERSION_OLDEST..=VERSION).contains(&spec.version) {
            return Ok(spec);
        }
        Err(Failure::new("read the specification", format!("version {} is not spoken here", spec.version)))
    }
}

/// A request of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Greets with the newest version the client speaks; always the first.
    Hello {
        /// The client's version.
        version: u32,
    },
    /// Asks for the state.
    Status,
    /// Mounts the disk, makes the namespaces and holds the first process back. Undone when this connection closes or
    /// 30 s pass before `Start`. Descriptors in the reply: pidfd, network namespace.
    Create,
    /// Lets the first process begin; replied when it has.
    Start,
    /// Sends a signal to the first process.
    Signal {
        /// Its number.
        number: i32,
    },
    /// Kills every process of the container.
    Kill,
    /// Freezes for a bounded time; it thaws by itself when that is over, or when this connection ends.
    Freeze {
        /// The time in milliseconds.
        lease_ms: u64,
    },
    /// Ends a freeze.
    Thaw {
        /// As the reply to `Freeze` named it.
        lease: u64,
    },
    /// Freezes until `Resume`.
    Pause,
    /// Ends a pause; a freeze of a backup goes on.
    Resume,
    /// Asks for directories; the reply says which come along.
    OpenDisk,
    /// Announces a session: whoever shows the token next, within 30 s, gets it.
    OpenSession {
        /// A secret for one use.
        token: String,
        /// The name that its end is told by ([`Event::SessionEnded`]); none = nobody is told.
        #[serde(default)]
        name: Option<String>,
        /// What it is to be.
        target: SessionTarget,
    },
    /// Sends a signal to the command of a session.
    SignalSession {
        /// The session's token.
        token: String,
        /// The signal's number.
        number: i32,
    },
    /// Asks for events on this connection.
    Subscribe,
    /// The exit is recorded elsewhere: forget it, unmount the disk, end.
    AcknowledgeExit,
}

/// What a session is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionTarget {
    /// A new command in the container.
    Command(Command),
    /// The console of its first process.
    Console,
}

/// Where the life of a container stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No process yet (or no container at all).
    New,
    /// The first process is held back.
    Created,
    /// It runs.
    Running,
    /// It has ended; the exit waits to be acknowledged.
    Exited,
}

/// The state of the shim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The container's id.
    pub id: String,
    /// Where its life stands.
    pub phase: Phase,
    /// The first process, from `Created` on.
    pub init: Option<ProcessIdentity>,
    /// Whether it is ready.
    pub ready: bool,
    /// What it last said of itself (`STATUS=` of sd_notify(3)).
    pub status_text: Option<String>,
    /// Whether a pause is on.
    pub paused: bool,
    /// Whether anything (pause or lease) freezes it now.
    pub frozen: bool,
    /// How it ended.
    pub exit: Option<ExitRecord>,
    /// Whether the disk is mounted.
    pub disk_mounted: bool,
    /// Commands that run beside the first process.
    pub sessions: usize,
    /// The names of the sessions that are announced or open.
    #[serde(default)]
    pub session_names: Vec<String>,
}

/// How the first process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Exit {
    /// The container asked for a restart (reboot(2) inside ends init by `SIGHUP`).
    Reboot,
    /// The container switched itself off (`SIGINT`).
    PowerOff,
    /// The first process returned.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// A signal ended it.
    Signaled {
        /// Its number.
        number: i32,
    },
    /// A signal ended the command of the built-in init.
    CommandSignaled {
        /// Its number.
        number: i32,
    },
}

/// What is kept of a container's end until it is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The first process.
    pub init: ProcessIdentity,
    /// How it ended.
    pub exit: Exit,
    /// What it had used.
    pub statistics: Statistics,
    /// A cgroup that could not be removed, and why.
    pub leftover: Option<Failure>,
}

/// An answer or an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The version to speak on this connection.
    Hello {
        /// The lower of both sides' newest.
        version: u32,
        /// The container's id.
        id: String,
    },
    /// Done, nothing to tell.
    Done,
    /// The state.
    Status(Box<Status>),
    /// The first process is held back.
    Created {
        /// Its identity.
        init: ProcessIdentity,
        /// What is to be told of its root.
        #[serde(flatten)]
        prepared: Prepared,
    },
    /// The freeze holds.
    Frozen {
        /// The name of the lease.
        lease: u64,
    },
    /// The freeze has ended.
    Thawed {
        /// How long it held.
        frozen_us: u64,
        /// Whether it ended by itself before.
        expired: bool,
    },
    /// Directories come along in this order.
    Disk {
        /// What each descriptor is.
        directories: Vec<Directory>,
    },
    /// The exit is forgotten and the shim ends.
    Acknowledged {
        /// Whether the disk is unmounted; not so while somebody holds a descriptor on it.
        disk_released: bool,
    },
    /// The request does not fit the state.
    Refused {
        /// Why.
        reason: String,
    },
    /// The kernel refused a step.
    Failed(Failure),
    /// Something happened (subscribers only).
    Event(Event),
}

/// A directory handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Directory {
    /// The root of the disk.
    Disk,
    /// The overlay's upper layer: the container's own files.
    Upper,
}

/// What subscribers are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The container has started up.
    Ready,
    /// Its first process ended.
    Exited(Box<ExitRecord>),
    /// A freeze ended by itself.
    LeaseExpired {
        /// Its name.
        lease: u64,
        /// How long it held.
        frozen_us: u64,
    },
    /// A creation was undone, since nobody started it.
    CreationUndone,
    /// A session is over: its command ended, or it had none and its client went away, or nobody came in time.
    SessionEnded {
        /// As it was announced.
        name: String,
        /// The exit code of its command, if it had one.
        code: Option<i32>,
    },
}

/// What the client of a session says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionRequest {
    /// Shows the token; always the first.
    Attach {
        /// The client's version.
        version: u32,
        /// The token.
        token: String,
    },
    /// The client's terminal has this size now.
    Resize(WindowSize),
    /// Sends a signal to the command.
    Signal {
        /// Its number.
        number: i32,
    },
}

/// What the shim says in a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionReply {
    /// It runs; one descriptor (terminal) or three (input, output, errors) come along.
    Attached {
        /// Whether it is a terminal.
        terminal: bool,
    },
    /// The token is unknown or used, or the container does not run.
    Refused {
        /// Why.
        reason: String,
    },
    /// The command could not be run.
    Failed(Failure),
    /// The command ended; 128 + the number where a signal ended it.
    Exited {
        /// Its exit code.
        code: i32,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_newer_peer_may_add_fields() {
        let text = r#"{"freeze":{"lease_ms":5,"reason":"new"}}"#;
        assert_eq!(serde_json::from_str::<Request>(text).unwrap(), Request::Freeze { lease_ms: 5 });
    }

    #[test]
    fn the_order_of_an_older_daemon_is_read() {
        let text = r#"{"hostname":"web1","ids":null,"lowers":[],"init":{"kind":"builtin","argv":["true"]},"network":"own",
            "resolv_conf":"nameserver 192.0.2.1\n"}"#;
        let container: Container = serde_json::from_str(text).unwrap();
        assert_eq!((container.names.hostname.as_str(), container.renew), ("web1", false));
        assert!(container.names.resolv_conf.is_some() && container.names.address.is_none());
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = serde_json::from_slice::<Request>(&bytes);
            let _ = serde_json::from_slice::<SessionRequest>(&bytes);
        }

        #[test]
        fn a_session_request_survives_the_wire(token in ".*", rows in any::<u16>(), columns in any::<u16>()) {
            for request in [
                SessionRequest::Attach { version: VERSION, token },
                SessionRequest::Resize(WindowSize { rows, columns }),
            ] {
                let bytes = serde_json::to_vec(&request).unwrap();
                prop_assert_eq!(serde_json::from_slice::<SessionRequest>(&bytes).unwrap(), request);
            }
        }
    }
}
