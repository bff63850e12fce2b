//! The rules of one backup store: it is made once, and knows who writes to it.
//!
//! ```text
//!             create                    open-writer
//!   absent ──────────▶ there, unused ◀──────────────▶ there, written by operations
//!      ▲    undone │                    close-writer
//!      └───────────┘
//!
//!   create   claim-name ▸ make ▸ created          failure: release-name ▸ failed
//! ```
//!
//! What a failed creation left in the directory stays: a store's files are never removed because something went wrong.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::effect::{Ask, Asked, Effect, Facts, HostEffect, Outcome, Report, Step};
use super::refusal::{Refusal, RefusalClass};
use super::{Aggregate, Given};
use crate::events::StoreEvent;
use crate::types::{Category, Name, NodeId, OperationId, StoreId, StreamName};

const CLAIM_NAME: Step = "claim-name";
const MAKE: Step = "make";
const RELEASE_NAME: Step = "release-name";

/// Is everything the log tells about one store.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Store {
    life: Life,
    record: Option<Record>,
    writers: BTreeSet<OperationId>,
    recovery_key_confirmed: bool,
}

/// Says how far the store is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
enum Life {
    #[default]
    Absent,
    Making(OperationId),
    Failing(OperationId, String),
    There,
    Failed,
}

/// Is what was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    id: StoreId,
    name: Name,
    path: String,
    node: NodeId,
    named: bool,
}

/// Is a wish or a report.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Make a store in a directory.
    Create {
        /// Its id, drawn at the edge.
        id: StoreId,
        /// Its name.
        name: Name,
        /// The absolute path of its directory.
        path: String,
        /// Who owns it.
        node: NodeId,
    },
    /// The operation writes to it.
    OpenWriter {
        /// Which.
        operation: OperationId,
    },
    /// The operation does not write any more; the sweeper says this for operations that are over.
    CloseWriter {
        /// Which.
        operation: OperationId,
    },
    /// Somebody wants to see the recovery key.
    ShowRecoveryKey,
    /// The recovery key is in a safe place.
    ConfirmRecoveryKey,
    /// Call the creation off.
    Cancel {
        /// Which operation.
        operation: OperationId,
    },
    /// An effect's outcome.
    Report(Report),
}

/// Is a refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is none.
    #[error("there is no such store")]
    Unknown,
    /// The id is taken.
    #[error("a store with this id exists already")]
    Exists,
    /// It is still being made.
    #[error("the store is not made yet")]
    NotMade,
    /// A store's path must mean the same everywhere.
    #[error("{path:?} is no absolute path")]
    PathNotAbsolute {
        /// What was asked.
        path: String,
    },
    /// The operation is over, or was never one of this store.
    #[error("operation {operation} is not under way here", operation = operation.short())]
    NoSuchOperation {
        /// Which.
        operation: OperationId,
    },
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        use RefusalClass::{Conflict, Invalid, NotFound};
        let message = rejection.to_string();
        let (class, code, hint) = match rejection {
            Rejection::Unknown => (NotFound, "store.not-found", Some("berth store list")),
            Rejection::Exists => (Conflict, "store.exists", None),
            Rejection::NotMade => (Conflict, "store.not-made", Some("berth operation list")),
            Rejection::PathNotAbsolute { .. } => (Invalid, "store.path-not-absolute", None),
            Rejection::NoSuchOperation { .. } => (NotFound, "operation.not-found", Some("berth operation list")),
        };
        Self { code: code.to_owned(), class, message, hint: hint.map(str::to_owned) }
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
            Ask::OpenWriter => Self::OpenWriter { operation: asked.operation },
            Ask::CloseWriter => Self::CloseWriter { operation: asked.operation },
            _ => return Err(asked),
        })
    }
}

type Decision = Result<Vec<StoreEvent>, Rejection>;

impl Store {
    /// Returns the operations that write to it, for the sweeper.
    pub fn writers(&self) -> impl Iterator<Item = OperationId> {
        self.writers.iter().copied()
    }

    /// Says whether somebody has the recovery key in a safe place.
    pub fn is_recovery_key_confirmed(&self) -> bool {
        self.recovery_key_confirmed
    }

    fn create(&self, id: StoreId, name: &Name, path: &str, node: NodeId) -> Decision {
        if let Some(record) = &self.record {
            let same = record.id == id && record.path == path && self.life != Life::Failed;
            return if same { Ok(vec![]) } else { Err(Rejection::Exists) };
        }
        if !path.starts_with('/') {
            return Err(Rejection::PathNotAbsolute { path: path.to_owned() });
        }
        Ok(vec![StoreEvent::StoreRequested { id, name: name.clone(), path: path.to_owned(), node }])
    }

    fn there(&self) -> Result<(), Rejection> {
        match self.life {
            Life::There => Ok(()),
            Life::Making(_) | Life::Failing(..) => Err(Rejection::NotMade),
            Life::Absent | Life::Failed => Err(Rejection::Unknown),
        }
    }

    fn open_writer(&self, operation: OperationId) -> Decision {
        self.there()?;
        let known = self.writers.contains(&operation);
        Ok(if known { vec![] } else { vec![StoreEvent::WriterAdmitted { operation }] })
    }

    fn close_writer(&self, operation: OperationId) -> Vec<StoreEvent> {
        let known = self.writers.contains(&operation);
        if known { vec![StoreEvent::WriterReleased { operation }] } else { vec![] }
    }

    fn show_recovery_key(&self) -> Decision {
        self.there()?;
        Ok(vec![StoreEvent::RecoveryKeyShown])
    }

    fn confirm_recovery_key(&self) -> Decision {
        self.there()?;
        Ok(if self.recovery_key_confirmed { vec![] } else { vec![StoreEvent::RecoveryKeyConfirmed] })
    }

    fn cancel(&self, operation: OperationId) -> Decision {
        match self.life {
            Life::Making(open) if open == operation => {
                Ok(vec![StoreEvent::StoreCreateFailing { reason: "cancelled".to_owned() }])
            }
            Life::Failing(open, _) if open == operation => Ok(vec![]),
            _ => Err(Rejection::NoSuchOperation { operation }),
        }
    }

    fn decide_report(&self, report: &Report) -> Vec<StoreEvent> {
        if !self.next_effect().is_some_and(|owed| owed.is_reported_by(report)) {
            return vec![];
        }
        let failing = |reason: &str| vec![StoreEvent::StoreCreateFailing { reason: reason.to_owned() }];
        match (&self.life, report.step, &report.outcome) {
            // A release that fails for good is left to the sweep of the directory.
            (Life::Failing(_, reason), ..) => vec![StoreEvent::StoreCreateFailed { reason: reason.clone() }],
            (_, CLAIM_NAME, Outcome::Answered(_)) => vec![StoreEvent::StoreNameClaimed],
            (_, MAKE, Outcome::Done(Facts::Repository { repository, recovery_fingerprint })) => {
                let recovery_fingerprint = recovery_fingerprint.clone();
                vec![StoreEvent::StoreCreated { repository: repository.clone(), recovery_fingerprint }]
            }
            (_, _, Outcome::Failed(failure)) => failing(&failure.reason),
            (_, _, Outcome::Refused(refusal)) => failing(&refusal.message),
            (_, _, Outcome::Done(_) | Outcome::Answered(_) | Outcome::Woken) => vec![],
        }
    }
}

impl Aggregate for Store {
    const CATEGORY: Category = Category::Store;
    const STATE_SCHEMA: u32 = 1;
    type Command = Command;
    type Event = StoreEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _given: Given) -> Decision {
        match command {
            Command::Create { id, name, path, node } => self.create(*id, name, path, *node),
            Command::OpenWriter { operation } => self.open_writer(*operation),
            Command::CloseWriter { operation } => Ok(self.close_writer(*operation)),
            Command::ShowRecoveryKey => self.show_recovery_key(),
            Command::ConfirmRecoveryKey => self.confirm_recovery_key(),
            Command::Cancel { operation } => self.cancel(*operation),
            Command::Report(report) => Ok(self.decide_report(report)),
        }
    }

    fn evolve(&mut self, event: &StoreEvent, given: Given) {
        match event {
            StoreEvent::StoreRequested { id, name, path, node } => {
                let (name, path) = (name.clone(), path.clone());
                self.record = Some(Record { id: *id, name, path, node: *node, named: false });
                self.life = Life::Making(given.operation);
            }
            StoreEvent::StoreNameClaimed => self.record.iter_mut().for_each(|record| record.named = true),
            StoreEvent::StoreCreated { .. } => self.life = Life::There,
            StoreEvent::StoreCreateFailing { reason } => {
                if let Life::Making(operation) = self.life {
                    self.life = Life::Failing(operation, reason.clone());
                }
            }
            StoreEvent::StoreCreateFailed { .. } => self.life = Life::Failed,
            StoreEvent::WriterAdmitted { operation } => {
                self.writers.insert(*operation);
            }
            StoreEvent::WriterReleased { operation } => {
                self.writers.remove(operation);
            }
            StoreEvent::RecoveryKeyConfirmed => self.recovery_key_confirmed = true,
            StoreEvent::RecoveryKeyShown => {}
        }
    }

    fn next_effect(&self) -> Option<Effect> {
        let record = self.record.as_ref()?;
        let directory = StreamName::new(Category::Directory, Category::Store);
        match &self.life {
            Life::Making(operation) if !record.named => {
                Some(Effect::ask(*operation, CLAIM_NAME, directory, Ask::ReserveName(record.name.clone())))
            }
            Life::Making(operation) => {
                let (store, path, node) = (record.id, record.path.clone(), record.node);
                Some(Effect::host(*operation, MAKE, HostEffect::EnsureStore { store, path, node }))
            }
            Life::Failing(operation, _) => {
                Some(Effect::ask(*operation, RELEASE_NAME, directory, Ask::ReleaseName).undoing())
            }
            Life::Absent | Life::There | Life::Failed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::effect::{Answer, Failure};
    use crate::domain::testing::{Decided, answers_everything, given, operation, report};

    fn create(path: &str) -> Command {
        let (id, node) = (StoreId::derived("s"), NodeId::derived("n"));
        Command::Create { id, name: "local".parse().unwrap(), path: path.to_owned(), node }
    }

    fn making() -> Vec<StoreEvent> {
        let (id, node) = (StoreId::derived("s"), NodeId::derived("n"));
        let name = "local".parse().unwrap();
        let requested = StoreEvent::StoreRequested { id, name, path: "/backup".to_owned(), node };
        vec![requested, StoreEvent::StoreNameClaimed]
    }

    fn created() -> StoreEvent {
        StoreEvent::StoreCreated { repository: "r".to_owned(), recovery_fingerprint: "f".to_owned() }
    }

    fn after(history: Vec<StoreEvent>, more: impl IntoIterator<Item = StoreEvent>) -> Vec<StoreEvent> {
        history.into_iter().chain(more).collect()
    }

    fn there() -> Vec<StoreEvent> {
        after(making(), [created()])
    }

    fn made() -> Command {
        let (repository, recovery_fingerprint) = ("r".to_owned(), "f".to_owned());
        report(MAKE, Outcome::Done(Facts::Repository { repository, recovery_fingerprint }))
    }

    #[track_caller]
    fn when(history: Vec<StoreEvent>, command: Command) -> Decided<Store> {
        given(history).when(command)
    }

    #[test]
    fn it_should_claim_its_name_then_make_the_repository() {
        when(vec![], create("/backup")).then([making().remove(0)]).owing(Some(CLAIM_NAME));
        when(vec![making().remove(0)], report(CLAIM_NAME, Outcome::Answered(Answer::Accepted)))
            .then([StoreEvent::StoreNameClaimed])
            .owing(Some(MAKE));
        when(making(), made()).then([created()]).owing(None);
        when(there(), create("/backup")).then_nothing();
        when(there(), create("/other")).then_refused("store.exists");
        when(vec![], create("backup")).then_refused("store.path-not-absolute");
    }

    #[test]
    fn it_should_release_the_name_of_a_failed_create() {
        let failing = StoreEvent::StoreCreateFailing { reason: "no space".to_owned() };
        when(making(), report(MAKE, Outcome::Failed(Failure::permanent("no space"))))
            .then([failing.clone()])
            .owing(Some(RELEASE_NAME));
        let history = after(making(), [failing]);
        let failed = StoreEvent::StoreCreateFailed { reason: "no space".to_owned() };
        for outcome in [Outcome::Answered(Answer::Accepted), Outcome::Failed(Failure::permanent("parked"))] {
            when(history.clone(), report(RELEASE_NAME, outcome)).then([failed.clone()]).owing(None);
        }
        let writer = Command::OpenWriter { operation: operation() };
        when(after(history, [failed]), writer).then_refused("store.not-found");
        let refusal = Refusal::new(RefusalClass::Conflict, "name.taken", "taken");
        when(vec![making().remove(0)], report(CLAIM_NAME, Outcome::Refused(refusal)))
            .then([StoreEvent::StoreCreateFailing { reason: "taken".to_owned() }]);
    }

    #[test]
    fn it_should_let_a_creation_be_called_off() {
        let cancel = Command::Cancel { operation: operation() };
        let failing = StoreEvent::StoreCreateFailing { reason: "cancelled".to_owned() };
        when(making(), cancel.clone()).then([failing.clone()]);
        when(after(making(), [failing]), cancel.clone()).then_nothing();
        when(there(), cancel).then_refused("operation.not-found");
    }

    #[test]
    fn it_should_know_who_writes() {
        let operation = operation();
        let (open, close) = (Command::OpenWriter { operation }, Command::CloseWriter { operation });
        when(making(), open.clone()).then_refused("store.not-made");
        when(there(), open.clone()).then([StoreEvent::WriterAdmitted { operation }]);
        let written = after(there(), [StoreEvent::WriterAdmitted { operation }]);
        when(written.clone(), open).then_nothing();
        when(written, close.clone()).then([StoreEvent::WriterReleased { operation }]);
        when(vec![], close).then_nothing();
    }

    #[test]
    fn it_should_remember_that_the_recovery_key_is_safe() {
        when(there(), Command::ShowRecoveryKey).then([StoreEvent::RecoveryKeyShown]);
        when(there(), Command::ConfirmRecoveryKey).then([StoreEvent::RecoveryKeyConfirmed]);
        when(after(there(), [StoreEvent::RecoveryKeyConfirmed]), Command::ConfirmRecoveryKey).then_nothing();
        when(vec![], Command::ConfirmRecoveryKey).then_refused("store.not-found");
    }

    #[test]
    fn every_command_has_an_answer_in_every_state() {
        let operation = operation();
        let failing = StoreEvent::StoreCreateFailing { reason: "x".to_owned() };
        let histories = [there(), after(making(), [failing, StoreEvent::StoreCreateFailed { reason: "x".to_owned() }])];
        let commands = [
            create("/backup"),
            Command::OpenWriter { operation },
            Command::CloseWriter { operation },
            Command::ConfirmRecoveryKey,
            Command::Cancel { operation },
            made(),
        ];
        answers_everything::<Store>(&histories, &commands);
    }
}
