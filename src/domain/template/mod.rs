//! The rules of one template: a sealed tree that containers share.
//!
//! ```text
//!             import                         delete (nobody uses it)
//!   absent ──────────▶ sealed ◀── verify ──▶ ────────────────▶ gone
//!      ▲    undone │                 (a removal fails for good ──▶ stuck ── delete ──▶ gone)
//!      └───────────┘
//!
//!   import   claim-name ▸ copy ▸ sealed          failure: remove-tree ▸ release-name ▸ failed, or cancelled
//!   verify   verify ▸ verified or drift found
//!   delete   remove-tree ▸ release-name ▸ deleted
//! ```
//!
//! Users are streams, counted by name: asking twice is using once. A tree is never changed after it is sealed; what it
//! holds is known by its digest. How a tree is copied and compared is the host's business.

mod plan;
mod rejection;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use rejection::Rejection;

use serde::{Deserialize, Serialize};

use super::effect::{Answer, Ask, Asked, Effect, Report};
use super::{Aggregate, Given};
use crate::events::{DomainEvent, Mark, TemplateEvent, TemplateSource, TemplateSummary};
use crate::types::{Category, Name, OperationId, StreamName, TemplateId};

/// Is everything the log tells about one template.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Template {
    life: Life,
    record: Option<Record>,
    open: Option<Open>,
    holders: BTreeSet<String>,
}

/// Says what a template is between operations.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
enum Life {
    #[default]
    Absent,
    Sealed(TemplateSummary),
    Gone,
    Stuck {
        reason: String,
    },
}

/// Is what was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    id: TemplateId,
    name: Name,
    source: TemplateSource,
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
    Import,
    /// Takes an import back; no reason means that it was called off.
    Undo {
        reason: Option<String>,
        removed: bool,
    },
    Verify,
    Delete {
        removed: bool,
    },
}

impl Work {
    fn verb(&self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Undo { .. } => "undoing an import",
            Self::Verify => "verify",
            Self::Delete { .. } => "delete",
        }
    }
}

/// Is a wish or a report.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Make it from a source.
    Import {
        /// Its id, drawn at the edge.
        id: TemplateId,
        /// Its name.
        name: Name,
        /// Where from.
        source: TemplateSource,
    },
    /// The holder uses it.
    Claim {
        /// Who.
        holder: StreamName,
    },
    /// The holder does not use it any more; the sweeper says this for holders that are gone.
    Release {
        /// Who.
        holder: StreamName,
    },
    /// Compare it with its digest.
    Verify,
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
            Ask::ClaimTemplate => Self::Claim { holder: asked.by },
            Ask::ReleaseTemplate => Self::Release { holder: asked.by },
            _ => return Err(asked),
        })
    }
}

type Decision = Result<Vec<TemplateEvent>, Rejection>;

impl Template {
    /// Returns everybody who uses it, for the sweeper.
    pub fn holders(&self) -> impl Iterator<Item = &str> {
        self.holders.iter().map(String::as_str)
    }

    fn import(&self, id: TemplateId, name: &Name, source: &TemplateSource) -> Decision {
        match &self.record {
            None => Ok(vec![TemplateEvent::TemplateImportRequested { id, name: name.clone(), source: source.clone() }]),
            Some(record) if record.id == id && record.source == *source && self.life != Life::Gone => Ok(vec![]),
            Some(_) => Err(Rejection::Exists),
        }
    }

    fn sealed(&self) -> Result<&TemplateSummary, Rejection> {
        match &self.life {
            Life::Sealed(summary) => Ok(summary),
            Life::Stuck { reason } => Err(Rejection::Stuck { reason: reason.clone() }),
            Life::Absent if self.record.is_some() => Err(Rejection::NotSealed),
            Life::Absent | Life::Gone => Err(Rejection::Unknown),
        }
    }

    fn not_busy(&self) -> Result<(), Rejection> {
        match &self.open {
            None => Ok(()),
            Some(open) => Err(Rejection::Busy { verb: open.work.verb(), operation: open.operation }),
        }
    }

    fn claim(&self, holder: String) -> Decision {
        self.sealed()?;
        if matches!(&self.open, Some(Open { work: Work::Delete { .. }, .. })) {
            self.not_busy()?;
        }
        if self.holders.contains(&holder) {
            return Ok(vec![]);
        }
        Ok(vec![TemplateEvent::TemplateClaimed { holder }])
    }

    fn release(&self, holder: String) -> Vec<TemplateEvent> {
        if self.holders.contains(&holder) { vec![TemplateEvent::TemplateReleased { holder }] } else { vec![] }
    }

    fn verify(&self) -> Decision {
        self.sealed()?;
        if matches!(&self.open, Some(Open { work: Work::Verify, .. })) {
            return Ok(vec![]);
        }
        self.not_busy()?;
        Ok(vec![TemplateEvent::TemplateVerifyRequested])
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
            return Err(Rejection::used_by(&self.holders));
        }
        Ok(vec![TemplateEvent::TemplateDeleteRequested])
    }

    fn cancel(&self, operation: OperationId) -> Decision {
        match self.open.as_ref().filter(|open| open.operation == operation) {
            None => Err(Rejection::NoSuchOperation { operation }),
            Some(Open { work: Work::Import, .. }) => Ok(vec![TemplateEvent::TemplateImportCancelRequested]),
            Some(Open { work: Work::Undo { reason: None, .. }, .. }) => Ok(vec![]),
            Some(open) => Err(Rejection::TooLate { verb: open.work.verb() }),
        }
    }

    fn begin(&mut self, given: Given, work: Work) {
        self.open = Some(Open { operation: given.operation, work });
    }

    fn turn(&mut self, reason: Option<String>) {
        if let Some(open) = &mut self.open {
            open.work = Work::Undo { reason, removed: false };
        }
    }

    fn tree_removed(&mut self) {
        if let Some(Open { work: Work::Undo { removed, .. } | Work::Delete { removed }, .. }) = &mut self.open {
            *removed = true;
        }
    }
}

impl Aggregate for Template {
    const CATEGORY: Category = Category::Template;
    const STATE_SCHEMA: u32 = 1;
    type Command = Command;
    type Event = TemplateEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _given: Given) -> Decision {
        match command {
            Command::Import { id, name, source } => self.import(*id, name, source),
            Command::Claim { holder } => self.claim(holder.to_string()),
            Command::Release { holder } => Ok(self.release(holder.to_string())),
            Command::Verify => self.verify(),
            Command::Delete => self.delete(),
            Command::Cancel { operation } => self.cancel(*operation),
            Command::Report(report) => Ok(plan::decide_report(self, report)),
        }
    }

    fn evolve(&mut self, event: &TemplateEvent, given: Given) {
        match event {
            TemplateEvent::TemplateImportRequested { id, name, source } => {
                self.record = Some(Record { id: *id, name: name.clone(), source: source.clone(), named: false });
                self.begin(given, Work::Import);
            }
            TemplateEvent::TemplateNameClaimed => self.record.iter_mut().for_each(|record| record.named = true),
            TemplateEvent::TemplateSealed(summary) => self.life = Life::Sealed(summary.clone()),
            TemplateEvent::TemplateImportFailing { reason } => self.turn(Some(reason.clone())),
            TemplateEvent::TemplateImportCancelRequested => self.turn(None),
            TemplateEvent::TemplateTreeRemoved => self.tree_removed(),
            TemplateEvent::TemplateImportFailed { .. }
            | TemplateEvent::TemplateImportCancelled
            | TemplateEvent::TemplateDeleted => self.life = Life::Gone,
            TemplateEvent::TemplateImportStuck { reason } | TemplateEvent::TemplateDeleteStuck { reason } => {
                self.life = Life::Stuck { reason: reason.clone() };
            }
            TemplateEvent::TemplateClaimed { holder } => {
                self.holders.insert(holder.clone());
            }
            TemplateEvent::TemplateReleased { holder } => {
                self.holders.remove(holder);
            }
            TemplateEvent::TemplateVerifyRequested => self.begin(given, Work::Verify),
            TemplateEvent::TemplateDeleteRequested => self.begin(given, Work::Delete { removed: false }),
            TemplateEvent::TemplateVerified
            | TemplateEvent::TemplateDriftFound { .. }
            | TemplateEvent::TemplateVerifyFailed { .. } => {}
        }
        if let Mark::Closed { .. } = event.mark() {
            self.open = None;
        }
    }

    fn next_effect(&self) -> Option<Effect> {
        plan::next_effect(self)
    }

    fn answer(&self, asked: &Asked) -> Answer {
        match (&asked.ask, &self.life) {
            (Ask::ClaimTemplate, Life::Sealed(summary)) => {
                Answer::Template { digest: summary.digest.clone(), init: summary.init }
            }
            _ => Answer::Accepted,
        }
    }
}
