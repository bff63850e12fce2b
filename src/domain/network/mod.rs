//! The rules of one network: a bridge with addresses that containers lease.
//!
//! ```text
//!             define                            delete (nobody has an address)
//!   absent ──────────▶ there ◀── restore ──▶ ─────────────────▶ gone
//!      ▲    undone │                (a removal fails for good ──▶ stuck ── delete ──▶ gone)
//!      └───────────┘
//!
//!   define    claim-name ▸ make ▸ created        failure: remove ▸ release-name ▸ failed
//!   restore   make ▸ restored or failed          after a boot, or when something of it was found missing
//!   delete    remove ▸ release-name ▸ deleted
//! ```
//!
//! Leases are claims by stream: asking twice is having one. The gateway is the first host; link addresses follow from
//! network and address, so that a container keeps its own over every restart, the gateway its own whatever starts and
//! stops on its bridge, and no two are alike.

mod lease;
mod plan;
mod rejection;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

pub use lease::link_address;
pub use rejection::Rejection;

use serde::{Deserialize, Serialize};

use super::effect::{Answer, Ask, Asked, Effect, Report};
use super::{Aggregate, Given};
use crate::events::{AddressRequest, DomainEvent, Mark, NetworkEvent};
use crate::types::{Category, Ipv4Subnet, MacAddress, Name, NetworkId, OperationId, StreamName, Subnet};

/// The longest name of a bridge in bytes: IFNAMSIZ less its closing zero (linux/if.h).
pub const BRIDGE_LENGTH_MAX: usize = 15;
/// The smallest subnet: one with an address of its own for the network, and one for all.
const PREFIX_MAX: u8 = 30;

/// "This network", loopback, link-local, and from multicast upward (RFC 6890): a host takes them for itself.
const RESERVED: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// Is everything the log tells about one network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Network {
    life: Life,
    record: Option<Record>,
    open: Option<Open>,
    leases: BTreeMap<IpAddr, String>,
    holders: BTreeMap<String, (IpAddr, MacAddress)>,
    boot: Option<String>,
    shortcomings: Vec<String>,
}

/// Says what a network is between operations.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
enum Life {
    #[default]
    Absent,
    There,
    Gone,
    Stuck {
        reason: String,
    },
}

/// Is what was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    id: NetworkId,
    name: Name,
    subnet: Subnet,
    bridge: String,
    named: bool,
}

/// Is the operation under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Open {
    operation: OperationId,
    work: Work,
}

/// Says what the operation does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Work {
    Create,
    Undo { reason: String, removed: bool },
    Restore { boot: Option<String> },
    Delete { removed: bool },
}

impl Work {
    fn verb(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Undo { .. } => "undoing a failed create",
            Self::Restore { .. } => "restore",
            Self::Delete { .. } => "delete",
        }
    }
}

/// Is a wish, a report, or an observation.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Make a NAT network.
    Define {
        /// Its id, drawn at the edge.
        id: NetworkId,
        /// Its name.
        name: Name,
        /// Its addresses.
        subnet: Subnet,
        /// The bridge on the host.
        bridge: String,
    },
    /// Give the holder an address.
    Lease {
        /// To whom.
        holder: StreamName,
        /// Which.
        request: AddressRequest,
    },
    /// Free the holder's address; the sweeper says this for holders that are gone.
    Release {
        /// Whose.
        holder: StreamName,
    },
    /// The node runs under this boot id: what was made under another is not there.
    ReportBoot {
        /// The kernel's id of the boot.
        boot: String,
    },
    /// Something of it was seen to be missing on the host.
    ReportMissing {
        /// What.
        missing: Vec<String>,
    },
    /// What of the host falls short, or stands in its way, was looked at again.
    ReportShortcomings {
        /// Each in words, with what helps.
        shortcomings: Vec<String>,
    },
    /// Remove it.
    Delete,
    /// Call the open operation off.
    Cancel {
        /// Which operation.
        operation: OperationId,
    },
    /// An effect's outcome.
    Report(Report),
}

impl From<Report> for Command {
    fn from(report: Report) -> Self {
        Self::Report(report)
    }
}

impl TryFrom<Asked> for Command {
    type Error = Asked;

    fn try_from(asked: Asked) -> Result<Self, Asked> {
        Ok(match asked.ask {
            Ask::LeaseAddress(request) => Self::Lease { holder: asked.by, request },
            Ask::ReleaseAddress => Self::Release { holder: asked.by },
            _ => return Err(asked),
        })
    }
}

type Decision = Result<Vec<NetworkEvent>, Rejection>;

impl Network {
    /// Returns everybody who has an address, for the sweeper.
    pub fn holders(&self) -> impl Iterator<Item = &str> {
        self.holders.keys().map(String::as_str)
    }

    fn define(&self, id: NetworkId, name: &Name, subnet: Subnet, bridge: &str) -> Decision {
        if let Some(record) = &self.record {
            let same = record.id == id && record.subnet == subnet && self.life != Life::Gone;
            return if same { Ok(vec![]) } else { Err(Rejection::Exists) };
        }
        if bridge.is_empty() || bridge.len() > BRIDGE_LENGTH_MAX {
            return Err(Rejection::BridgeName { bridge: bridge.to_owned() });
        }
        if subnet.hosts().take(2).count() < 2 || subnet.prefix() > PREFIX_MAX {
            return Err(Rejection::SubnetTooSmall { subnet });
        }
        let reserved = RESERVED.iter().filter_map(|(network, prefix)| Ipv4Subnet::around(*network, *prefix));
        if reserved.map(Subnet::V4).any(|reserved| reserved.overlaps(subnet)) {
            return Err(Rejection::SubnetReserved { subnet });
        }
        let (name, bridge) = (name.clone(), bridge.to_owned());
        Ok(vec![NetworkEvent::NetworkRequested { id, name, subnet, bridge }])
    }

    fn there(&self) -> Result<&Record, Rejection> {
        match (&self.life, &self.record) {
            (Life::There, Some(record)) => Ok(record),
            (Life::Stuck { reason }, _) => Err(Rejection::Stuck { reason: reason.clone() }),
            (Life::Absent, Some(_)) => Err(Rejection::NotMade),
            _ => Err(Rejection::Unknown),
        }
    }

    fn not_busy(&self) -> Result<(), Rejection> {
        match &self.open {
            None => Ok(()),
            Some(open) => Err(Rejection::Busy { verb: open.work.verb(), operation: open.operation }),
        }
    }

    fn report_boot(&self, boot: &str) -> Vec<NetworkEvent> {
        let known = self.boot.as_deref() == Some(boot);
        if known { vec![] } else { self.restore(Some(boot.to_owned()), &[]) }
    }

    /// Makes it again, unless something is under way that does so or makes it needless.
    fn restore(&self, boot: Option<String>, missing: &[String]) -> Vec<NetworkEvent> {
        let idle = self.life == Life::There && self.open.is_none();
        let missing = missing.to_vec();
        if idle { vec![NetworkEvent::NetworkRestoreRequested { boot, missing }] } else { vec![] }
    }

    /// Tells what falls short only where that is news.
    fn report_shortcomings(&self, shortcomings: &[String]) -> Vec<NetworkEvent> {
        let news = self.life == Life::There && self.shortcomings != shortcomings;
        let shortcomings = shortcomings.to_vec();
        if news { vec![NetworkEvent::ShortcomingsFound { shortcomings }] } else { vec![] }
    }

    fn delete(&self) -> Decision {
        if self.life == Life::Gone || matches!(&self.open, Some(Open { work: Work::Delete { .. }, .. })) {
            return Ok(vec![]);
        }
        if self.record.is_none() {
            return Err(Rejection::Unknown);
        }
        self.not_busy()?;
        if !self.holders.is_empty() {
            return Err(Rejection::used_by(self.holders.keys()));
        }
        Ok(vec![NetworkEvent::NetworkDeleteRequested])
    }

    fn cancel(&self, operation: OperationId) -> Decision {
        match self.open.as_ref().filter(|open| open.operation == operation) {
            None => Err(Rejection::NoSuchOperation { operation }),
            Some(Open { work: Work::Create, .. }) => {
                Ok(vec![NetworkEvent::NetworkCreateFailing { reason: "cancelled".to_owned() }])
            }
            Some(open) => Err(Rejection::TooLate { verb: open.work.verb() }),
        }
    }

    fn begin(&mut self, given: Given, work: Work) {
        self.open = Some(Open { operation: given.operation, work });
    }

    fn removed(&mut self) {
        if let Some(Open { work: Work::Undo { removed, .. } | Work::Delete { removed }, .. }) = &mut self.open {
            *removed = true;
        }
    }

    fn restored(&mut self) {
        if let Some(Open { work: Work::Restore { boot: Some(boot) }, .. }) = &self.open {
            self.boot = Some(boot.clone());
        }
    }
}

impl Aggregate for Network {
    const CATEGORY: Category = Category::Network;
    const STATE_SCHEMA: u32 = 1;
    type Command = Command;
    type Event = NetworkEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _given: Given) -> Decision {
        match command {
            Command::Define { id, name, subnet, bridge } => self.define(*id, name, *subnet, bridge),
            Command::Lease { holder, request } => self.lease(holder.to_string(), *request),
            Command::Release { holder } => Ok(self.release(holder.to_string())),
            Command::ReportBoot { boot } => Ok(self.report_boot(boot)),
            Command::ReportMissing { missing } => Ok(self.restore(None, missing)),
            Command::ReportShortcomings { shortcomings } => Ok(self.report_shortcomings(shortcomings)),
            Command::Delete => self.delete(),
            Command::Cancel { operation } => self.cancel(*operation),
            Command::Report(report) => Ok(plan::decide_report(self, report)),
        }
    }

    fn evolve(&mut self, event: &NetworkEvent, given: Given) {
        match event {
            NetworkEvent::NetworkRequested { id, name, subnet, bridge } => {
                let (name, bridge) = (name.clone(), bridge.clone());
                self.record = Some(Record { id: *id, name, subnet: *subnet, bridge, named: false });
                self.begin(given, Work::Create);
            }
            NetworkEvent::NetworkNameClaimed => self.record.iter_mut().for_each(|record| record.named = true),
            NetworkEvent::NetworkCreated => self.life = Life::There,
            NetworkEvent::NetworkCreateFailing { reason } => {
                let work = Work::Undo { reason: reason.clone(), removed: false };
                self.open.iter_mut().for_each(|open| open.work = work.clone());
            }
            NetworkEvent::NetworkRemoved => self.removed(),
            NetworkEvent::NetworkCreateFailed { .. } | NetworkEvent::NetworkDeleted => self.life = Life::Gone,
            NetworkEvent::NetworkCreateStuck { reason } | NetworkEvent::NetworkDeleteStuck { reason } => {
                self.life = Life::Stuck { reason: reason.clone() };
            }
            NetworkEvent::ShortcomingsFound { shortcomings } => self.shortcomings.clone_from(shortcomings),
            NetworkEvent::NetworkRestoreRequested { boot, .. } => {
                self.begin(given, Work::Restore { boot: boot.clone() });
            }
            NetworkEvent::NetworkRestored => self.restored(),
            NetworkEvent::NetworkRestoreFailed { .. } => {}
            NetworkEvent::AddressLeased { holder, address, mac } => {
                self.leases.insert(*address, holder.clone());
                self.holders.insert(holder.clone(), (*address, *mac));
            }
            NetworkEvent::AddressReleased { holder } => {
                if let Some((address, _)) = self.holders.remove(holder) {
                    self.leases.remove(&address);
                }
            }
            NetworkEvent::NetworkDeleteRequested => self.begin(given, Work::Delete { removed: false }),
        }
        if let Mark::Closed { .. } = event.mark() {
            self.open = None;
        }
    }

    fn next_effect(&self) -> Option<Effect> {
        plan::next_effect(self)
    }

    fn answer(&self, asked: &Asked) -> Answer {
        match &asked.ask {
            Ask::LeaseAddress(_) => {
                self.lease_of(&asked.by.to_string()).map_or(Answer::Accepted, |lease| Answer::Lease(Box::new(lease)))
            }
            _ => Answer::Accepted,
        }
    }
}
