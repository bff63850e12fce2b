//! The rules of one container.
//!
//! ```text
//!            create            start                    pause
//!   absent ────────▶ stopped ────────▶ running ◀──────────────▶ paused
//!              ▲        │  ▲              │ stop, exit, kill      │ stop
//!     undone ──┘ delete │  └──────────────┴───────────────────────┘
//!                       ▼
//!             undelete ─ buried ── purge ──▶ purged         (undo fails for good ──▶ stuck ── purge ──▶ purged)
//! ```
//!
//! An *operation* is what is under way between these states; at most one is open. A stop waits for none of them: it calls
//! off what is under way, and overtakes a rename. *Holds* of other operations (backups,
//! restores) keep some commands out without opening an operation here. Both are read by `decide.rs`; `plan.rs` is the
//! saga: one match from (operation, facts) to the next effect. Only the container's own actor uses this module.
//!
//! Who stops a container for a while does not know what others want of it meanwhile. So it is recorded here what it was
//! (`ReturnPromised`), whatever is wanted later stands over that, and to carry on is to do what this record says.

mod command;
mod decide;
mod evolve;
mod hits;
mod plan;
mod rejection;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use command::{Command, GRACE_OF_SAGAS};
pub use rejection::{DISK_SIZE_MAX, DISK_SIZE_MIN, MEMORY_MAX, MEMORY_MIN, PIDS_MAX, PIDS_MIN, Rejection};

use serde::{Deserialize, Serialize};

use super::effect::{Answer, Ask, Asked, Effect};
use super::{Aggregate, Given, Notice};
use crate::events::{
    AddressRequest, Configuration, ContainerEvent, Exit, HoldKind, InitKind, Lease, LimitChange, ProcessIdentity,
    StopReason,
};
use crate::types::{Category, ContainerId, IdRange, Name, NetworkId, OperationId, Span, StreamName, Timestamp};

/// How long a container has to run for its next end to count as the first.
pub(crate) const GOOD_RUN: Span = Span::from_secs(600);

/// How long after a stop was called off an init that ends does so because it was told to.
const OBEDIENCE: Span = Span::from_secs(300);
/// How long it stands still before it starts again the second time in a row; from then on twice as long each time.
const DELAY_FIRST: Span = Span::from_secs(1);
/// How long it stands still at most.
const DELAY_MAX: Span = Span::from_secs(300);

/// Returns how long a container stands still that has started again by itself so many times in a row. The first time is
/// a reboot like any other.
fn delay_after(restarts: u32) -> Span {
    let Some(doublings) = restarts.checked_sub(1) else { return Span::default() };
    let factor = 1_i64.checked_shl(doublings).filter(|factor| *factor > 0).unwrap_or(i64::MAX);
    Span::from_micros(DELAY_FIRST.as_micros().saturating_mul(factor)).min(DELAY_MAX)
}

/// Is everything the log tells about one container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Container {
    life: Life,
    record: Option<Box<Record>>,
    open: Option<Open>,
    /// A rename that something overtook: a name is one ask away, and what overtakes it does not wait for more.
    beside: Option<Open>,
    /// What it was when a saga stopped it for a while; nothing once somebody wanted otherwise.
    before: Option<Before>,
    holds: BTreeMap<OperationId, HoldKind>,
    /// The restore in place that keeps, or is about to keep, files of before beside its own.
    aside: Option<StreamName>,
    notices: Vec<Notice>,
    ready: bool,
    /// When its init began.
    started: Option<Timestamp>,
    /// Whether an init of it ever began.
    begun: bool,
    /// How its init ended, until the next one begins.
    ended: Option<Exit>,
    /// When a stop was called off that may have told its init to end.
    told_to_end: Option<Timestamp>,
    /// How many times in a row it has started again by itself.
    restarts: u32,
    /// How often it ran into its limits since its start, as far as that was told.
    told: hits::Told,
    /// Whether a start that was called off may have left something in the kernel.
    remains: bool,
    /// Whether it stands still, or is about to, for want of space on the host alone.
    short_of_space: bool,
}

/// Says what a container is between operations.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
enum Life {
    /// There is none, or not yet.
    #[default]
    Absent,
    Stopped,
    Running(ProcessIdentity),
    Paused(ProcessIdentity),
    Buried {
        until: Timestamp,
        /// Since when that is so: by the clock of then, as the end is.
        since: Timestamp,
    },
    Purged,
    /// An undo or a removal failed for good.
    Stuck {
        reason: String,
    },
}

/// Says what a container was that is stopped for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Before {
    Running,
    Paused,
}

/// Is what the container was asked to be, and what it was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    id: ContainerId,
    name: Name,
    configuration: Configuration,
    named: bool,
    ids: Option<IdRange>,
    template: Option<(String, Option<InitKind>)>,
    lease: Option<Lease>,
    disk: bool,
}

/// Is the operation under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Open {
    operation: OperationId,
    parent: Option<StreamName>,
    work: Work,
    /// Sagas that wait for its end, too, each under its own operation.
    joined: Vec<(OperationId, StreamName)>,
}

/// Says what the operation does and how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Work {
    Create,
    /// Takes claims and files back, after a failed creation or for good.
    Dissolve(Dissolution),
    Start {
        failing: Option<String>,
    },
    Stop(Stopping),
    /// Stands still before it starts again.
    Wait {
        until: Timestamp,
    },
    Pause,
    Resume,
    ChangeLimits {
        change: LimitChange,
        failing: Option<String>,
    },
    Rename {
        name: Name,
    },
    Bury {
        until: Timestamp,
        /// Whether a start that was called off may have left something.
        remains: bool,
    },
    Undelete {
        until: Timestamp,
        before: Box<Burial>,
        failing: Option<String>,
    },
}

/// Is what a container was in its grave, for one that cannot come back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Burial {
    name: Name,
    /// The network and the address that it had, if others were chosen.
    place: Option<(Option<NetworkId>, AddressRequest)>,
}

impl Work {
    /// Returns the moment that it waits for, or that something else will.
    const fn moment(&self) -> Option<Timestamp> {
        match self {
            Self::Stop(stopping) => Some(stopping.deadline),
            Self::Wait { until } | Self::Bury { until, .. } | Self::Undelete { until, .. } => Some(*until),
            _ => None,
        }
    }
}

/// Says how far a stop is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Stopping {
    deadline: Timestamp,
    grace: Span,
    phase: StopPhase,
    reason: StopReason,
    again: bool,
}

impl Stopping {
    /// Says whether somebody asked for this stop, and it ends there.
    fn is_asked_for(&self) -> bool {
        !self.again && !self.is_of_init()
    }

    /// Has its patience end sooner.
    fn hurry(&mut self, deadline: Timestamp) {
        let less = self.deadline.since(deadline).as_micros();
        self.grace = Span::from_micros(self.grace.as_micros().saturating_sub(less));
        self.deadline = deadline;
    }

    /// Says whether its init is not waited for.
    fn is_kill(&self) -> bool {
        matches!(self.reason, StopReason::Killed { .. })
    }

    /// Says whether nobody wants it, but its init ended.
    fn is_of_init(&self) -> bool {
        matches!(self.reason, StopReason::Exited | StopReason::CalledOff)
    }
}

/// Says what a stop waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum StopPhase {
    Signalling,
    Waiting,
    /// Its init ended or is to be killed: what is left in the kernel goes.
    Clearing,
}

/// Says what is taken back, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Dissolution {
    /// Why the creation failed; nothing when the container is purged.
    failure: Option<String>,
    disk: bool,
    lease: bool,
    template: bool,
    ids: bool,
    name: bool,
}

impl Work {
    fn verb(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Dissolve(Dissolution { failure: Some(_), .. }) => "undoing a failed create",
            Self::Dissolve(_) => "purge",
            Self::Start { .. } => "start",
            Self::Stop(Stopping { again: true, .. }) | Self::Wait { .. } => "restart",
            Self::Stop(_) => "stop",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::ChangeLimits { .. } => "set",
            Self::Rename { .. } => "rename",
            Self::Bury { .. } => "delete",
            Self::Undelete { .. } => "undelete",
        }
    }
}

impl Container {
    /// Returns the process that is the container's init, running or paused.
    pub fn init(&self) -> Option<&ProcessIdentity> {
        match &self.life {
            Life::Running(init) | Life::Paused(init) => Some(init),
            Life::Absent | Life::Stopped | Life::Buried { .. } | Life::Purged | Life::Stuck { .. } => None,
        }
    }

    /// Returns the operations that hold it, for the sweeper.
    pub fn holders(&self) -> impl Iterator<Item = OperationId> {
        self.holds.keys().copied()
    }

    /// Returns the restore that keeps files of before beside its own, for the sweeper.
    pub fn keeper_of_old_files(&self) -> Option<&StreamName> {
        self.aside.as_ref()
    }

    /// Returns the operation that acts now.
    fn acting(&self) -> Option<&Open> {
        self.beside.as_ref().or(self.open.as_ref())
    }

    /// Says whether an end is still to be told under this operation, or on its way.
    fn will_tell(&self, operation: OperationId) -> bool {
        let is_its = |open: &Open| open.operation == operation || open.joined.iter().any(|(own, _)| *own == operation);
        self.open.as_ref().is_some_and(is_its) || self.notices.iter().any(|notice| notice.operation == operation)
    }

    /// Says whether its files change places, so that nothing starts it.
    fn is_held_still(&self) -> bool {
        self.holds.values().any(|kind| *kind == HoldKind::Exchanging)
    }

    fn holder_name(id: ContainerId) -> StreamName {
        StreamName::new(Category::Container, id)
    }
}

impl Aggregate for Container {
    const CATEGORY: Category = Category::Container;
    const STATE_SCHEMA: u32 = 11;
    type Command = Command;
    type Event = ContainerEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, given: Given) -> Result<Vec<ContainerEvent>, Rejection> {
        decide::decide(self, command, given)
    }

    fn evolve(&mut self, event: &ContainerEvent, given: Given) {
        evolve::evolve(self, event, given);
    }

    fn next_effect(&self) -> Option<Effect> {
        plan::next_effect(self)
    }

    fn moment(&self) -> Option<Timestamp> {
        let of_work = [&self.open, &self.beside].into_iter().flatten().find_map(|open| open.work.moment());
        of_work.or(match &self.life {
            Life::Buried { until, .. } => Some(*until),
            _ => None,
        })
    }

    fn answer(&self, asked: &Asked) -> Answer {
        match (&asked.ask, &self.record) {
            (Ask::Hold(_), Some(record)) => Answer::Held {
                name: record.name.clone(),
                configuration: Box::new(record.configuration.clone()),
                template_digest: record.template.as_ref().map(|(digest, _)| digest.clone()).unwrap_or_default(),
            },
            (Ask::StopContainer | Ask::CarryOn { .. }, _) if self.will_tell(asked.operation) => Answer::Accepted,
            (Ask::CarryOn { .. }, _) if self.life == Life::Stopped && self.before == Some(Before::Paused) => {
                Answer::LeftStopped
            }
            (Ask::CarryOn { .. }, _) => Answer::AlreadySo,
            (Ask::StopContainer, _) if self.init().is_none() => Answer::AlreadySo,
            (Ask::StartContainer, _) if self.open.is_none() && self.init().is_some() => Answer::AlreadySo,
            (Ask::RemoveContainer, _) if self.life == Life::Purged || self.record.is_none() => Answer::AlreadySo,
            (Ask::CreateContainer { .. }, _) if self.open.is_none() && self.life == Life::Stopped => Answer::AlreadySo,
            _ => Answer::Accepted,
        }
    }
}
