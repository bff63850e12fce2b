//! Facts about one machine: its boots, and the id ranges it has given out.

use serde::{Deserialize, Serialize};

use super::{DomainEvent, Mark, kinds};
use crate::types::{Category, Position, Timestamp};

/// Is a fact about the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum NodeEvent {
    /// The state directory was made.
    NodeInitialised {
        /// The host name of that day.
        hostname: String,
        /// The eight hexadecimal digits that mark whatever this daemon makes on the host.
        instance: String,
    },
    /// The machine runs under another boot id than before: whatever ran then does not run now.
    NodeBooted {
        /// The kernel's id of this boot.
        boot: String,
        /// The kernel's release.
        kernel: String,
    },
    /// The daemon is ready for commands.
    DaemonStarted {
        /// Its version.
        berth: String,
    },
    /// The daemon ended in order.
    DaemonStopped,
    /// The log was shorter than, or another one than, what had been signed, and somebody took it for the true one.
    HistoryAccepted {
        /// How many events had been signed.
        signed: u64,
        /// The root over them, in hexadecimal.
        signed_root: String,
        /// When they were signed.
        signed_at: Timestamp,
        /// How many events the log had when it was accepted.
        events: u64,
        /// The root over them, in hexadecimal.
        root: String,
    },
    /// A container was there of which the log knows nothing, since an earlier log was put back: what runs of it is ended, for
    /// its name, its address and its ids are given to others.
    UnknownContainerFound {
        /// Its id.
        container: String,
    },
    /// These ids belong to others (`/etc/subuid`): none of them is given out from now on.
    IdRangesForbidden {
        /// The first id and the count of each range.
        ranges: Vec<(u32, u32)>,
    },
    /// A range of user ids belongs to the holder until it is purged.
    IdRangeClaimed {
        /// The stream of the thing that has it.
        holder: String,
        /// The first id.
        base: u32,
        /// How many.
        count: u32,
    },
    /// What stood beside an event is removed for good: a reason, a note, arguments, a path, a command line.
    AnnexRedacted {
        /// Which event.
        position: Position,
    },
    /// The holder's range is free again.
    IdRangeReleased {
        /// The stream of the thing that had it.
        holder: String,
    },
}

impl DomainEvent for NodeEvent {
    const CATEGORY: Category = Category::Node;
    const KINDS: &'static [&'static str] = kinds!(NodeEvent: NodeInitialised, NodeBooted, DaemonStarted, DaemonStopped, HistoryAccepted,
        UnknownContainerFound, IdRangesForbidden, IdRangeClaimed, IdRangeReleased, AnnexRedacted);

    fn mark(&self) -> Mark {
        Mark::Fact
    }

    fn sentence(&self) -> String {
        match self {
            Self::NodeInitialised { hostname, instance } => {
                format!("node {hostname} initialised as instance {instance}")
            }
            Self::NodeBooted { kernel, .. } => format!("node booted under Linux {kernel}"),
            Self::DaemonStarted { berth } => format!("daemon {berth} started"),
            Self::DaemonStopped => "daemon stopped".to_owned(),
            Self::HistoryAccepted { signed, events, .. } => {
                format!("history of {events} events accepted in the place of {signed} that were signed")
            }
            Self::UnknownContainerFound { container } => {
                format!("container {container} is ended: it was there, and the log knows nothing of it")
            }
            Self::IdRangesForbidden { ranges } => format!("{} ranges of ids belong to others", ranges.len()),
            Self::IdRangeClaimed { holder, base, count } => format!("ids {base}+{count} claimed by {holder}"),
            Self::AnnexRedacted { position } => format!("annex of event {position} redacted"),
            Self::IdRangeReleased { holder } => format!("ids of {holder} released"),
        }
    }
}
