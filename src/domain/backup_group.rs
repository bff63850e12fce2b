//! The rules of a backup group: the backups of one container in one store (`backup-group/STORE,CONTAINER`).
//!
//! ```text
//!   run      admit ──▶ expected ── commit ──▶ one more backup        withdraw ──▶ not expected any more
//!   backup   pin ──▶ read by an operation ── unpin ──▶ free          verify ──▶ whole or damaged
//! ```
//!
//! The group is the boundary of consistency: what is compared with what, which backup is the last complete one and who
//! reads which is decided here, one command at a time. It outlives the container. A damaged backup is never compared with:
//! its damage would be inherited. How backups are read and written is the repository's business.

#[cfg(test)]
pub(super) mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::effect::{Answer, Ask, Asked, Effect, Report};
use super::refusal::{Refusal, RefusalClass};
use super::{Aggregate, Given};
use crate::events::{BackupGroupEvent, BackupOutcome, BackupSummary};
use crate::types::{BackupId, Category, ContainerId, OperationId, StoreId, StreamName};

/// Names the group of that container in that store.
pub fn stream(store: StoreId, container: ContainerId) -> StreamName {
    StreamName::new(Category::BackupGroup, format!("{store},{container}"))
}

/// Is everything the log tells about one group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BackupGroup {
    expected: BTreeMap<OperationId, Option<BackupId>>,
    backups: BTreeMap<BackupId, Backup>,
    pins: BTreeSet<(BackupId, OperationId)>,
    /// How many were ever committed: the order of backups is that in which they came, whatever the clock said.
    committed: u64,
}

/// Is what the rules need to know of one backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Backup {
    place: u64,
    outcome: BackupOutcome,
    damage: Option<String>,
    verified_by: Option<OperationId>,
}

/// Is a wish.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// A backup will come.
    Admit {
        /// By which operation.
        operation: OperationId,
    },
    /// It will not; the sweeper says this for operations that are over.
    Withdraw {
        /// Which operation.
        operation: OperationId,
    },
    /// Here it is.
    Commit {
        /// By which operation.
        operation: OperationId,
        /// The backup.
        summary: Box<BackupSummary>,
    },
    /// The backup stays while the operation reads it.
    Pin {
        /// Which backup.
        backup: BackupId,
        /// Which operation.
        operation: OperationId,
    },
    /// The operation reads it no more; the sweeper says this for operations that are over.
    Unpin {
        /// Which backup.
        backup: BackupId,
        /// Which operation.
        operation: OperationId,
    },
    /// The backup was read again.
    RecordVerification {
        /// Which backup.
        backup: BackupId,
        /// What is damaged, if anything.
        damage: Option<String>,
    },
    /// An effect's outcome; a group has none.
    Report(Report),
}

/// Is a refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such backup here.
    #[error("there is no backup {backup} of this container in this store", backup = backup.short())]
    Unknown {
        /// Which.
        backup: BackupId,
    },
    /// Nobody expects a backup of that operation.
    #[error("operation {operation} was not admitted to this group", operation = operation.short())]
    NotAdmitted {
        /// Which.
        operation: OperationId,
    },
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        let message = rejection.to_string();
        match rejection {
            Rejection::Unknown { .. } => {
                Self::new(RefusalClass::NotFound, "backup.not-found", message).hinted("berth backup list")
            }
            Rejection::NotAdmitted { .. } => Self::new(RefusalClass::Conflict, "backup.not-admitted", message),
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
        let operation = asked.operation;
        Ok(match asked.ask {
            Ask::AdmitBackup => Self::Admit { operation },
            Ask::WithdrawBackup => Self::Withdraw { operation },
            Ask::CommitBackup(summary) => Self::Commit { operation, summary },
            Ask::PinBackup(backup) => Self::Pin { backup, operation },
            Ask::UnpinBackup(backup) => Self::Unpin { backup, operation },
            Ask::RecordVerification { backup, damage } => Self::RecordVerification { backup, damage },
            _ => return Err(asked),
        })
    }
}

type Decision = Result<Vec<BackupGroupEvent>, Rejection>;

impl BackupGroup {
    /// Returns the newest backup without known damage: what the next run is compared with.
    pub fn base(&self) -> Option<BackupId> {
        self.newest(|backup| backup.damage.is_none())
    }

    /// Returns the newest backup that lacks nothing: what is never pruned.
    pub fn last_complete(&self) -> Option<BackupId> {
        self.newest(|backup| backup.damage.is_none() && backup.outcome == BackupOutcome::Complete)
    }

    /// Returns the operations that are expected to add a backup, for the sweeper.
    pub fn expected(&self) -> impl Iterator<Item = OperationId> {
        self.expected.keys().copied()
    }

    /// Returns every pin, for the sweeper.
    pub fn pins(&self) -> impl Iterator<Item = (BackupId, OperationId)> {
        self.pins.iter().copied()
    }

    fn newest(&self, fits: impl Fn(&Backup) -> bool) -> Option<BackupId> {
        let fitting = self.backups.iter().filter(|(_, backup)| fits(backup));
        fitting.max_by_key(|(_, backup)| backup.place).map(|(id, _)| *id)
    }

    fn known(&self, backup: BackupId) -> Result<&Backup, Rejection> {
        self.backups.get(&backup).ok_or(Rejection::Unknown { backup })
    }

    fn admit(&self, operation: OperationId) -> Vec<BackupGroupEvent> {
        let known = self.expected.contains_key(&operation);
        if known { vec![] } else { vec![BackupGroupEvent::BackupAdmitted { operation, base: self.base() }] }
    }

    fn withdraw(&self, operation: OperationId) -> Vec<BackupGroupEvent> {
        let known = self.expected.contains_key(&operation);
        if known { vec![BackupGroupEvent::BackupWithdrawn { operation }] } else { vec![] }
    }

    fn commit(&self, operation: OperationId, summary: &BackupSummary) -> Decision {
        if self.backups.contains_key(&summary.backup) {
            return Ok(vec![]);
        }
        if !self.expected.contains_key(&operation) {
            return Err(Rejection::NotAdmitted { operation });
        }
        Ok(vec![BackupGroupEvent::BackupCommitted(summary.clone())])
    }

    fn pin(&self, backup: BackupId, operation: OperationId) -> Decision {
        self.known(backup)?;
        let known = self.pins.contains(&(backup, operation));
        Ok(if known { vec![] } else { vec![BackupGroupEvent::BackupPinned { backup, operation }] })
    }

    fn unpin(&self, backup: BackupId, operation: OperationId) -> Vec<BackupGroupEvent> {
        let known = self.pins.contains(&(backup, operation));
        if known { vec![BackupGroupEvent::BackupUnpinned { backup, operation }] } else { vec![] }
    }

    fn record(&self, backup: BackupId, damage: Option<&String>, operation: OperationId) -> Decision {
        let known = self.known(backup)?;
        if known.verified_by == Some(operation) && known.damage.as_ref() == damage {
            return Ok(vec![]);
        }
        Ok(vec![match damage {
            None => BackupGroupEvent::BackupVerified { backup },
            Some(reason) => BackupGroupEvent::BackupDamageFound { backup, reason: reason.clone() },
        }])
    }

    fn verified(&mut self, backup: BackupId, damage: Option<String>, operation: OperationId) {
        if let Some(known) = self.backups.get_mut(&backup) {
            known.damage = damage;
            known.verified_by = Some(operation);
        }
    }
}

impl Aggregate for BackupGroup {
    const CATEGORY: Category = Category::BackupGroup;
    const STATE_SCHEMA: u32 = 2;
    type Command = Command;
    type Event = BackupGroupEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, given: Given) -> Decision {
        match command {
            Command::Admit { operation } => Ok(self.admit(*operation)),
            Command::Withdraw { operation } => Ok(self.withdraw(*operation)),
            Command::Commit { operation, summary } => self.commit(*operation, summary),
            Command::Pin { backup, operation } => self.pin(*backup, *operation),
            Command::Unpin { backup, operation } => Ok(self.unpin(*backup, *operation)),
            Command::RecordVerification { backup, damage } => self.record(*backup, damage.as_ref(), given.operation),
            Command::Report(_) => Ok(vec![]),
        }
    }

    fn evolve(&mut self, event: &BackupGroupEvent, given: Given) {
        match event {
            BackupGroupEvent::BackupAdmitted { operation, base } => {
                self.expected.insert(*operation, *base);
            }
            BackupGroupEvent::BackupWithdrawn { operation } => {
                self.expected.remove(operation);
            }
            BackupGroupEvent::BackupCommitted(summary) => {
                self.expected.remove(&given.operation);
                self.committed += 1;
                let (place, outcome) = (self.committed, summary.outcome);
                self.backups.insert(summary.backup, Backup { place, outcome, damage: None, verified_by: None });
            }
            BackupGroupEvent::BackupPinned { backup, operation } => {
                self.pins.insert((*backup, *operation));
            }
            BackupGroupEvent::BackupUnpinned { backup, operation } => {
                self.pins.remove(&(*backup, *operation));
            }
            BackupGroupEvent::BackupVerified { backup } => self.verified(*backup, None, given.operation),
            BackupGroupEvent::BackupDamageFound { backup, reason } => {
                self.verified(*backup, Some(reason.clone()), given.operation);
            }
        }
    }

    fn next_effect(&self) -> Option<Effect> {
        None
    }

    fn answer(&self, asked: &Asked) -> Answer {
        match &asked.ask {
            Ask::AdmitBackup => Answer::Base(self.expected.get(&asked.operation).copied().flatten()),
            _ => Answer::Accepted,
        }
    }
}
