//! Why a container refuses: facts about its state, with the next command to type.

use crate::domain::refusal::{Refusal, RefusalClass};
use crate::types::{OperationId, Size, StreamName, Timestamp};

/// The smallest disk: below this an ext4 file system has no room for its own tables and the overlay's folders.
pub const DISK_SIZE_MIN: Size = Size::from_mib(32);
/// The least memory: below this not even the built-in init and a shell come up.
pub const MEMORY_MIN: Size = Size::from_mib(8);
/// The most memory: what a page table of five levels addresses (4 PiB); no machine has more.
pub const MEMORY_MAX: Size = Size::from_mib(4 << 30);
/// The largest disk: the most that ext4 puts into one image (16 TiB).
pub const DISK_SIZE_MAX: Size = Size::from_mib(16 << 20);
/// The fewest processes: init, and one it may start.
pub const PIDS_MIN: u64 = 2;
/// The most processes that a limit can name: `PID_MAX_LIMIT` of a 64-bit kernel.
pub const PIDS_MAX: u64 = 4_194_304;

/// Is a refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No such container was ever made.
    #[error("there is no such container")]
    Unknown,
    /// The id is taken.
    #[error("a container with this id exists already")]
    Exists,
    /// It is still being made, or its making is being undone.
    #[error("the container is not made yet")]
    NotMade,
    /// It does not run.
    #[error("the container is not running")]
    NotRunning,
    /// It runs already, and the command needs it stopped.
    #[error("the container is running")]
    Running,
    /// It stands still.
    #[error("the container is paused")]
    Paused,
    /// Another operation is at work.
    #[error("the container is busy: {verb} (operation {operation}) is under way", operation = operation.short())]
    Busy {
        /// What it does.
        verb: &'static str,
        /// Which.
        operation: OperationId,
    },
    /// Another operation holds it.
    #[error("the container is held by operation {operation}", operation = operation.short())]
    Held {
        /// Which.
        operation: OperationId,
    },
    /// Files of before an earlier restore in place lie beside its own: which of them would come back?
    #[error(
        "the container was restored in place already (restore {run}), and its files of before are kept until that is \
         confirmed or rolled back",
        run = restore.short_key()
    )]
    Unsettled {
        /// That restore.
        restore: StreamName,
    },
    /// It lies in its grave.
    #[error("the container was deleted on {since}; it can be taken back until {until}")]
    Buried {
        /// When.
        since: Timestamp,
        /// Until when it can be taken back.
        until: Timestamp,
    },
    /// It does not lie in a grave.
    #[error("the container is not deleted")]
    NotBuried,
    /// It is gone for good.
    #[error("the container is gone for good")]
    Purged,
    /// A person has to look first.
    #[error("the container is stuck: {reason}")]
    Stuck {
        /// What does not work.
        reason: String,
    },
    /// The disk would have no room.
    #[error("a disk of {size} is too small; {DISK_SIZE_MIN} is the least")]
    DiskTooSmall {
        /// What was asked.
        size: Size,
    },
    /// No file system would hold it.
    #[error("a disk of {size} cannot be had; {DISK_SIZE_MAX} is the most")]
    DiskTooLarge {
        /// What was asked.
        size: Size,
    },
    /// Disks only grow.
    #[error("the disk has {present} and cannot shrink to {size}")]
    DiskShrinks {
        /// What it has.
        present: Size,
        /// What was asked.
        size: Size,
    },
    /// Nothing would come up.
    #[error("{size} of memory are too little; {MEMORY_MIN} is the least")]
    MemoryTooSmall {
        /// What was asked.
        size: Size,
    },
    /// No machine has it.
    #[error("{size} of memory cannot be had; {MEMORY_MAX} is the most")]
    MemoryTooLarge {
        /// What was asked.
        size: Size,
    },
    /// Nothing would come up.
    #[error("{pids} processes are too few; {PIDS_MIN} is the least")]
    PidsTooFew {
        /// What was asked.
        pids: u64,
    },
    /// The kernel counts no further.
    #[error("{pids} processes are more than a kernel counts; {PIDS_MAX} is the most")]
    PidsTooMany {
        /// What was asked.
        pids: u64,
    },
    /// The template has no init, and no command was given.
    #[error("the template has no init, and no command was given at create")]
    NoInit,
    /// The operation is over, or was never one of this container.
    #[error("operation {operation} is not under way here", operation = operation.short())]
    NoSuchOperation {
        /// Which.
        operation: OperationId,
    },
    /// The operation is past the point where it could be called off.
    #[error("{verb} cannot be called off any more")]
    TooLate {
        /// What it does.
        verb: &'static str,
    },
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        use RefusalClass::{Conflict, Invalid, NotFound, Unsupported};
        let message = rejection.to_string();
        let (class, code, hint) = match &rejection {
            Rejection::Unknown => (NotFound, "container.not-found", Some("berth container list".to_owned())),
            Rejection::Exists => (Conflict, "container.exists", None),
            Rejection::NotMade => (Conflict, "container.not-made", Some("berth operation list".to_owned())),
            Rejection::NotRunning => (Conflict, "container.not-running", Some("berth container start NAME".to_owned())),
            Rejection::Running => (Conflict, "container.running", Some("berth container stop NAME".to_owned())),
            Rejection::Paused => (Conflict, "container.paused", Some("berth container resume NAME".to_owned())),
            Rejection::Busy { operation, .. } => {
                (Conflict, "container.busy", Some(format!("berth operation wait {}", operation.short())))
            }
            Rejection::Held { operation } => {
                (Conflict, "container.held", Some(format!("berth operation wait {}", operation.short())))
            }
            Rejection::Unsettled { restore } => {
                let run = restore.short_key();
                let ways = format!("berth backup confirm {run}, or berth backup roll-back {run}");
                (Conflict, "restore.unconfirmed", Some(ways))
            }
            Rejection::Buried { .. } => {
                (Conflict, "container.deleted", Some("berth container undelete NAME".to_owned()))
            }
            Rejection::NotBuried => (Conflict, "container.not-deleted", Some("berth ps --all".to_owned())),
            Rejection::Purged => (NotFound, "container.purged", Some("berth container history NAME".to_owned())),
            Rejection::Stuck { .. } => (
                Conflict,
                "container.stuck",
                Some("berth container stop NAME; if that does not help: berth container purge NAME".to_owned()),
            ),
            Rejection::DiskTooSmall { .. } => (Invalid, "container.disk-too-small", None),
            Rejection::DiskTooLarge { .. } => (Invalid, "container.disk-too-large", None),
            Rejection::DiskShrinks { .. } => (Invalid, "container.disk-shrinks", None),
            Rejection::MemoryTooSmall { .. } => (Invalid, "container.memory-too-small", None),
            Rejection::MemoryTooLarge { .. } => (Invalid, "container.memory-too-large", None),
            Rejection::PidsTooFew { .. } => (Invalid, "container.pids-too-few", None),
            Rejection::PidsTooMany { .. } => (Invalid, "container.pids-too-many", None),
            Rejection::NoInit => (
                Unsupported,
                "container.no-init",
                Some("berth container create NAME --template T -- COMMAND".to_owned()),
            ),
            Rejection::NoSuchOperation { .. } => {
                (NotFound, "operation.not-found", Some("berth operation list".to_owned()))
            }
            Rejection::TooLate { .. } => (Conflict, "operation.too-late", None),
        };
        Self { code: code.to_owned(), class, message, hint }
    }
}
