//! The rules of one machine: its boots, the daemon's comings and goings, and the ranges of user ids it gives out.
//!
//! ```text
//!   id ranges   slot n = ids from 1,000,000,000 + n × 65,536   free ── claim ──▶ held by one stream ── release ──▶ free
//! ```
//!
//! A container without privileges gets the lowest free slot and keeps it until it is purged: two containers never share
//! an id, and a file left behind by one is never another's. Ranges that `/etc/subuid` gives to somebody else are left out;
//! they are told at the start of the daemon, because rules do not read files.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::effect::{Answer, Ask, Asked, Effect, Report};
use super::refusal::{Refusal, RefusalClass};
use super::{Aggregate, Given};
use crate::events::NodeEvent;
use crate::types::{Category, ContainerId, IdRange, Position, StreamName, Timestamp};

/// The first id that is given out: above everything that distributions and directory services use.
pub const ID_BASE: u32 = 1_000_000_000;
/// How many ids a container gets: every id that 16 bits can say, `nobody` included (user_namespaces(7)).
pub const ID_COUNT: u32 = 65_536;
/// How many ranges there are: the last ends below 2³¹, where programs with signed ids still see a positive number.
pub const ID_SLOTS_MAX: u32 = 16_384;

/// Is everything the log tells about one machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Node {
    instance: Option<String>,
    boot: Option<String>,
    daemon: bool,
    ranges: BTreeMap<u32, String>,
    bases: BTreeMap<String, u32>,
    forbidden: Vec<(u32, u32)>,
    redacted: BTreeSet<Position>,
}

/// Is a wish or an observation.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Make the node's stream.
    Initialise {
        /// The host name of this day.
        hostname: String,
        /// The eight hexadecimal digits that mark what this daemon makes.
        instance: String,
    },
    /// The machine runs under this boot id.
    ReportBoot {
        /// The kernel's id of the boot.
        boot: String,
        /// The kernel's release.
        kernel: String,
    },
    /// The daemon is ready.
    ReportDaemonStarted {
        /// Its version.
        berth: String,
    },
    /// The daemon ends in order.
    ReportDaemonStopped,
    /// This log is the true one, although another was signed.
    AcceptHistory {
        /// How many events had been signed.
        signed: u64,
        /// The root over them, in hexadecimal.
        signed_root: String,
        /// When they were signed.
        signed_at: Timestamp,
        /// How many events the log has.
        events: u64,
        /// The root over them, in hexadecimal.
        root: String,
    },
    /// A container is there of which the log knows nothing.
    ReportUnknownContainer(ContainerId),
    /// These ids belong to others: first id and count of each range.
    ForbidRanges(Vec<(u32, u32)>),
    /// Give the holder a range.
    ClaimIdRange {
        /// To whom.
        holder: StreamName,
    },
    /// Remove what stands beside an event.
    Redact {
        /// Which event.
        position: Position,
        /// Whether anything stands there.
        present: bool,
    },
    /// Free the holder's range; the sweeper says this for holders that are gone.
    ReleaseIdRange {
        /// Whose.
        holder: StreamName,
    },
    /// An effect's outcome; a node has none.
    Report(Report),
}

/// Is a refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Nothing can be done with a node that is not there.
    #[error("the node is not initialised")]
    NotInitialised,
    /// The stream belongs to another instance.
    #[error("the node is initialised as instance {instance}")]
    Initialised {
        /// Which.
        instance: String,
    },
    /// Nothing stands beside that event.
    #[error("nothing stands beside event {position} that could be redacted")]
    NothingToRedact {
        /// Which event.
        position: Position,
    },
    /// Every range is held or forbidden.
    #[error("all {ID_SLOTS_MAX} ranges of user ids are held or belong to others")]
    NoIdRange,
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        let message = rejection.to_string();
        match rejection {
            Rejection::NotInitialised => Self::new(RefusalClass::Conflict, "node.not-initialised", message),
            Rejection::Initialised { .. } => Self::new(RefusalClass::Conflict, "node.initialised", message),
            Rejection::NothingToRedact { position } => Self::new(RefusalClass::Conflict, "event.no-annex", message)
                .hinted(format!("berth event show {position}")),
            Rejection::NoIdRange => {
                Self::new(RefusalClass::Limit, "node.no-id-range", message).hinted("berth container list --all")
            }
        }
    }
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
            Ask::ClaimIdRange => Self::ClaimIdRange { holder: asked.by },
            Ask::ReleaseIdRange => Self::ReleaseIdRange { holder: asked.by },
            _ => return Err(asked),
        })
    }
}

impl Node {
    /// Returns the mark of everything this daemon makes on the host, once the node is initialised.
    pub fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    /// Returns the boot under which the machine was last seen.
    pub fn boot(&self) -> Option<&str> {
        self.boot.as_deref()
    }

    /// Returns the holder's range.
    pub fn range_of(&self, holder: &StreamName) -> Option<IdRange> {
        self.bases.get(&holder.to_string()).map(|base| IdRange { base: *base, count: ID_COUNT })
    }

    /// Returns the events whose annexes are to be gone.
    pub fn redacted(&self) -> impl Iterator<Item = Position> {
        self.redacted.iter().copied()
    }

    /// Returns every holder of a range, for the sweeper.
    pub fn holders(&self) -> impl Iterator<Item = &str> {
        self.bases.keys().map(String::as_str)
    }

    fn initialise(&self, hostname: &str, instance: &str) -> Result<Vec<NodeEvent>, Rejection> {
        match &self.instance {
            None => {
                Ok(vec![NodeEvent::NodeInitialised { hostname: hostname.to_owned(), instance: instance.to_owned() }])
            }
            Some(present) if present == instance => Ok(vec![]),
            Some(present) => Err(Rejection::Initialised { instance: present.clone() }),
        }
    }

    fn initialised(&self) -> Result<(), Rejection> {
        if self.instance.is_some() { Ok(()) } else { Err(Rejection::NotInitialised) }
    }

    fn claim(&self, holder: String) -> Result<Vec<NodeEvent>, Rejection> {
        if self.bases.contains_key(&holder) {
            return Ok(vec![]);
        }
        let slots = (0..ID_SLOTS_MAX).map(|slot| ID_BASE + slot * ID_COUNT);
        let base = slots.into_iter().find(|base| self.is_free(*base)).ok_or(Rejection::NoIdRange)?;
        Ok(vec![NodeEvent::IdRangeClaimed { holder, base, count: ID_COUNT }])
    }

    fn is_free(&self, base: u32) -> bool {
        let (first, end) = (u64::from(base), u64::from(base) + u64::from(ID_COUNT));
        let overlaps =
            |(start, count): &(u32, u32)| u64::from(*start) < end && first < u64::from(*start) + u64::from(*count);
        !self.ranges.contains_key(&base) && !self.forbidden.iter().any(overlaps)
    }

    fn release(&self, holder: String) -> Vec<NodeEvent> {
        if self.bases.contains_key(&holder) { vec![NodeEvent::IdRangeReleased { holder }] } else { vec![] }
    }
}

impl Aggregate for Node {
    const CATEGORY: Category = Category::Node;
    const STATE_SCHEMA: u32 = 2;
    type Command = Command;
    type Event = NodeEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _given: Given) -> Result<Vec<NodeEvent>, Rejection> {
        if let Command::Initialise { hostname, instance } = command {
            return self.initialise(hostname, instance);
        }
        // What was rolled back may be from before the first start.
        if let Command::AcceptHistory { signed, signed_root, signed_at, events, root } = command {
            let (signed_root, root) = (signed_root.clone(), root.clone());
            let (signed, signed_at, events) = (*signed, *signed_at, *events);
            return Ok(vec![NodeEvent::HistoryAccepted { signed, signed_root, signed_at, events, root }]);
        }
        self.initialised()?;
        Ok(match command {
            Command::Initialise { .. } | Command::AcceptHistory { .. } | Command::Report(_) => vec![],
            Command::ReportBoot { boot, .. } if self.boot.as_ref() == Some(boot) => vec![],
            Command::ReportBoot { boot, kernel } => {
                vec![NodeEvent::NodeBooted { boot: boot.clone(), kernel: kernel.clone() }]
            }
            // A daemon that was killed never said that it stopped: its successor's start is a fact all the same.
            Command::ReportDaemonStarted { berth } => vec![NodeEvent::DaemonStarted { berth: berth.clone() }],
            Command::ReportDaemonStopped if self.daemon => vec![NodeEvent::DaemonStopped],
            Command::ReportDaemonStopped => vec![],
            Command::ReportUnknownContainer(container) => {
                vec![NodeEvent::UnknownContainerFound { container: container.to_string() }]
            }
            Command::ForbidRanges(ranges) if *ranges == self.forbidden => vec![],
            Command::ForbidRanges(ranges) => vec![NodeEvent::IdRangesForbidden { ranges: ranges.clone() }],
            Command::Redact { position, .. } if self.redacted.contains(position) => vec![],
            Command::Redact { position, present: true } => vec![NodeEvent::AnnexRedacted { position: *position }],
            Command::Redact { position, present: false } => {
                return Err(Rejection::NothingToRedact { position: *position });
            }
            Command::ClaimIdRange { holder } => self.claim(holder.to_string())?,
            Command::ReleaseIdRange { holder } => self.release(holder.to_string()),
        })
    }

    fn evolve(&mut self, event: &NodeEvent, _given: Given) {
        match event {
            NodeEvent::NodeInitialised { instance, .. } => self.instance = Some(instance.clone()),
            NodeEvent::NodeBooted { boot, .. } => self.boot = Some(boot.clone()),
            NodeEvent::DaemonStarted { .. } => self.daemon = true,
            NodeEvent::DaemonStopped => self.daemon = false,
            NodeEvent::HistoryAccepted { .. } | NodeEvent::UnknownContainerFound { .. } => {}
            NodeEvent::IdRangesForbidden { ranges } => self.forbidden.clone_from(ranges),
            NodeEvent::IdRangeClaimed { holder, base, .. } => {
                self.ranges.insert(*base, holder.clone());
                self.bases.insert(holder.clone(), *base);
            }
            NodeEvent::AnnexRedacted { position } => {
                self.redacted.insert(*position);
            }
            NodeEvent::IdRangeReleased { holder } => {
                if let Some(base) = self.bases.remove(holder) {
                    self.ranges.remove(&base);
                }
            }
        }
    }

    fn next_effect(&self) -> Option<Effect> {
        None
    }

    fn answer(&self, asked: &Asked) -> Answer {
        match (&asked.ask, self.range_of(&asked.by)) {
            (Ask::ClaimIdRange, Some(IdRange { base, count })) => Answer::IdRange { base, count },
            _ => Answer::Accepted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::{answers_everything, asked, given};

    fn initialised() -> Vec<NodeEvent> {
        vec![NodeEvent::NodeInitialised { hostname: "host".to_owned(), instance: "0011aabb".to_owned() }]
    }

    #[test]
    fn it_should_redact_once_and_only_what_is_there() {
        let (position, present) = (Position::new(7), true);
        let redacted = NodeEvent::AnnexRedacted { position };
        given::<Node>(initialised()).when(Command::Redact { position, present }).then([redacted.clone()]);
        let after = initialised().into_iter().chain([redacted]);
        given::<Node>(after.clone()).when(Command::Redact { position, present: false }).then_nothing();
        assert_eq!(given::<Node>(after).state().redacted().collect::<Vec<_>>(), [position]);
        given::<Node>(initialised()).when(Command::Redact { position, present: false }).then_refused("event.no-annex");
    }

    fn holder(key: &str) -> StreamName {
        StreamName::new(Category::Container, key)
    }

    fn claim(key: &str) -> Command {
        Command::ClaimIdRange { holder: holder(key) }
    }

    fn claimed(key: &str, base: u32) -> NodeEvent {
        NodeEvent::IdRangeClaimed { holder: format!("container/{key}"), base, count: ID_COUNT }
    }

    fn after(more: impl IntoIterator<Item = NodeEvent>) -> Vec<NodeEvent> {
        initialised().into_iter().chain(more).collect()
    }

    #[test]
    fn it_should_be_initialised_once() {
        let initialise =
            |instance: &str| Command::Initialise { hostname: "host".to_owned(), instance: instance.to_owned() };
        given::<Node>([]).when(initialise("0011aabb")).then(initialised());
        given::<Node>(initialised()).when(initialise("0011aabb")).then_nothing();
        given::<Node>(initialised()).when(initialise("ffffffff")).then_refused("node.initialised");
        given::<Node>([]).when(claim("a")).then_refused("node.not-initialised");
    }

    #[test]
    fn it_should_record_a_boot_only_when_it_is_another() {
        let report = |boot: &str| Command::ReportBoot { boot: boot.to_owned(), kernel: "6.18".to_owned() };
        let booted = |boot: &str| NodeEvent::NodeBooted { boot: boot.to_owned(), kernel: "6.18".to_owned() };
        given::<Node>(initialised()).when(report("b1")).then([booted("b1")]);
        given::<Node>(after([booted("b1")])).when(report("b1")).then_nothing();
        given::<Node>(after([booted("b1")])).when(report("b2")).then([booted("b2")]);
    }

    #[test]
    fn it_should_record_every_start_and_one_stop_of_the_daemon() {
        let started = NodeEvent::DaemonStarted { berth: "1".to_owned() };
        let start = Command::ReportDaemonStarted { berth: "1".to_owned() };
        given::<Node>(after([started.clone()])).when(start).then([started.clone()]);
        given::<Node>(after([started])).when(Command::ReportDaemonStopped).then([NodeEvent::DaemonStopped]);
        given::<Node>(initialised()).when(Command::ReportDaemonStopped).then_nothing();
    }

    fn accept() -> Command {
        let (signed_root, root, signed_at) = ("aa".to_owned(), "bb".to_owned(), Timestamp::default());
        Command::AcceptHistory { signed: 9, signed_root, signed_at, events: 7, root }
    }

    #[test]
    fn it_should_record_that_a_history_was_accepted_even_one_from_before_the_first_start() {
        let (signed_root, root, signed_at) = ("aa".to_owned(), "bb".to_owned(), Timestamp::default());
        let accepted = NodeEvent::HistoryAccepted { signed: 9, signed_root, signed_at, events: 7, root };
        given::<Node>([]).when(accept()).then([accepted.clone()]);
        given::<Node>(initialised()).when(accept()).then([accepted]);
    }

    #[test]
    fn it_should_record_a_container_that_the_log_does_not_know_before_it_is_ended() {
        let container = ContainerId::derived("ghost");
        let found = NodeEvent::UnknownContainerFound { container: container.to_string() };
        given::<Node>(initialised()).when(Command::ReportUnknownContainer(container)).then([found]);
    }

    #[test]
    fn it_should_give_out_the_lowest_free_range() {
        given::<Node>(initialised()).when(claim("a")).then([claimed("a", ID_BASE)]);
        let two = after([claimed("a", ID_BASE), claimed("b", ID_BASE + ID_COUNT)]);
        given::<Node>(two.clone()).when(claim("a")).then_nothing();
        given::<Node>(two.clone()).when(claim("c")).then([claimed("c", ID_BASE + 2 * ID_COUNT)]);
        let released = NodeEvent::IdRangeReleased { holder: "container/a".to_owned() };
        given::<Node>(two.clone()).when(Command::ReleaseIdRange { holder: holder("a") }).then([released.clone()]);
        let history = [two, vec![released]].concat();
        given::<Node>(history).when(claim("c")).then([claimed("c", ID_BASE)]);
        given::<Node>(initialised()).when(Command::ReleaseIdRange { holder: holder("a") }).then_nothing();
    }

    #[test]
    fn it_should_leave_out_what_belongs_to_others() {
        let forbid = Command::ForbidRanges(vec![(ID_BASE + ID_COUNT - 1, 2)]);
        let forbidden = NodeEvent::IdRangesForbidden { ranges: vec![(ID_BASE + ID_COUNT - 1, 2)] };
        given::<Node>(initialised()).when(forbid.clone()).then([forbidden.clone()]);
        given::<Node>(after([forbidden.clone()])).when(forbid).then_nothing();
        given::<Node>(after([forbidden])).when(claim("a")).then([claimed("a", ID_BASE + 2 * ID_COUNT)]);
        let all = NodeEvent::IdRangesForbidden { ranges: vec![(0, u32::MAX)] };
        given::<Node>(after([all])).when(claim("a")).then_refused("node.no-id-range");
    }

    #[test]
    fn it_should_tell_the_holder_its_own_range() {
        let node = given::<Node>(after([claimed("a", ID_BASE), claimed("b", ID_BASE + ID_COUNT)])).state();
        let answer = node.answer(&asked(Ask::ClaimIdRange, holder("a")));
        assert_eq!(answer, Answer::IdRange { base: ID_BASE, count: ID_COUNT });
    }

    #[test]
    fn the_last_range_is_a_positive_number_to_everybody() {
        let end = u64::from(ID_BASE) + u64::from(ID_SLOTS_MAX) * u64::from(ID_COUNT);
        assert!(end <= 1 << 31, "{end}");
    }

    #[test]
    fn every_command_has_an_answer_in_every_state() {
        let commands = [
            Command::Initialise { hostname: "h".to_owned(), instance: "i".to_owned() },
            Command::ReportBoot { boot: "b".to_owned(), kernel: "k".to_owned() },
            Command::ReportDaemonStarted { berth: "1".to_owned() },
            Command::ReportDaemonStopped,
            Command::ForbidRanges(vec![]),
            accept(),
            claim("a"),
            Command::ReleaseIdRange { holder: holder("a") },
        ];
        answers_everything::<Node>(&[vec![], initialised(), after([claimed("a", ID_BASE)])], &commands);
    }
}
