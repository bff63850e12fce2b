//! What a verification says: each finding, and in words what was shown and what was not.

use std::fmt;

use super::checkpoint::VerifierKey;
use super::merkle::Hash;
use crate::types::{LogId, Position, Timestamp};

/// Is what a verifier brings along.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// A checkpoint's note that was kept elsewhere.
    pub checkpoint: Option<String>,
    /// The public key, from anywhere but the log.
    pub key: Option<VerifierKey>,
}

/// Is one thing that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// The content does not fit its leaf hash.
    #[error("event {position} is altered: {what}")]
    Altered {
        /// Where.
        position: Position,
        /// What does not fit.
        what: String,
    },
    /// Positions are not there.
    #[error("{} missing", span(*first, *last))]
    Missing {
        /// The first.
        first: Position,
        /// The last.
        last: Position,
    },
    /// An event stands where it cannot have been written.
    #[error("event {position} is out of place: {reason}")]
    OutOfPlace {
        /// Where.
        position: Position,
        /// Why.
        reason: String,
    },
    /// The log is not the one that was sealed.
    #[error(
        "events {first} to {last} are not what was sealed at {sealed_at}: one was altered, swapped or replaced along with its hash"
    )]
    Rewritten {
        /// The first that may be concerned.
        first: Position,
        /// The last.
        last: Position,
        /// When they were sealed.
        sealed_at: Timestamp,
    },
    /// The end is gone.
    #[error("the log ends at event {head}, but {sealed} events were sealed at {sealed_at}: its end was cut off")]
    CutOff {
        /// The last event.
        head: Position,
        /// How many there were.
        sealed: u64,
        /// When.
        sealed_at: Timestamp,
    },
    /// A checkpoint proves nothing.
    #[error("the checkpoint {name} proves nothing: {reason}")]
    Checkpoint {
        /// Which one.
        name: String,
        /// Why.
        reason: String,
    },
    /// The file is damaged beside its events.
    #[error("the structure of the file is damaged: {reason}")]
    Structure {
        /// What SQLite said.
        reason: String,
    },
    /// The file cannot be read to its end.
    #[error("the file cannot be read beyond event {position}: {reason}")]
    Unreadable {
        /// The last event that was read.
        position: Position,
        /// What SQLite said.
        reason: String,
    },
}

/// Is what a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// The log.
    pub log: LogId,
    /// How many events were read.
    pub events: u64,
    /// The root over them.
    pub root: Hash,
    /// How many annexes are redacted.
    pub redacted: u64,
    /// How many bodies stand in segments.
    pub archived: u64,
    /// The newest checkpoint in the log that fits, and when it was made.
    pub sealed: Option<(u64, Timestamp)>,
    /// The checkpoint from outside, if one was given and fits.
    pub outside: Option<(u64, Timestamp)>,
    /// The name of the key that the signatures were checked with.
    pub key: Option<String>,
    /// What is not as it was written.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// Tells whether everything that could be checked fits.
    pub const fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "log {}: {} events", self.log, self.events)?;
        for finding in self.told() {
            writeln!(f, "WRONG      {finding}")?;
        }
        self.statements().iter().try_for_each(|statement| writeln!(f, "{statement}"))
    }
}

impl VerifyReport {
    /// Says what is wrong; events in a row that are altered in the same way are told together.
    pub fn told(&self) -> Vec<String> {
        let runs = self.findings.chunk_by(Finding::goes_on_in);
        runs.filter_map(|run| match (run.first()?, run.last()?) {
            (Finding::Altered { position: first, what }, Finding::Altered { position: last, .. }) => {
                Some(format!("{} altered: {what}", span(*first, *last)))
            }
            (finding, _) => Some(finding.to_string()),
        })
        .collect()
    }

    /// Says what was shown and what was not.
    pub fn statements(&self) -> Vec<String> {
        let mut told = Vec::new();
        if self.is_intact() {
            told.push("shown      consistent with itself: every event fits its hash and its place".to_owned());
        }
        if self.redacted + self.archived > 0 {
            let (redacted, archived) = (self.redacted, self.archived);
            told.push(format!(
                "shown      annexes redacted: {redacted}, bodies archived: {archived}; their hashes remain"
            ));
        }
        let signed = if self.key.is_some() { "signature checked" } else { "signature not checked: no key was given" };
        told.extend(self.sealed.map(|(size, date)| {
            format!("shown      consistent with its own checkpoint of {size} events from {date} ({signed})")
        }));
        told.push(match self.outside {
            Some((size, date)) => {
                format!("shown      consistent with the given checkpoint of {size} events from {date} ({signed})")
            }
            None => "not shown  that the log was not cut or rewritten as a whole: no fitting checkpoint from elsewhere"
                .to_owned(),
        });
        let sealed = self.sealed.into_iter().chain(self.outside).map(|(size, _)| size).max().unwrap_or(0);
        let tail = self.events.saturating_sub(sealed);
        if tail > 0 {
            told.push(format!("not shown  the last {tail} events are sealed by no checkpoint yet"));
        }
        told
    }
}

/// Names events in a row, and says that they are.
fn span(first: Position, last: Position) -> String {
    if first == last { format!("event {first} is") } else { format!("events {first} to {last} are") }
}

impl Finding {
    /// Tells whether the next finding says the same of the next event.
    fn goes_on_in(&self, next: &Self) -> bool {
        let (Self::Altered { position, what }, Self::Altered { position: later, what: same }) = (self, next) else {
            return false;
        };
        *later == position.next() && what == same
    }

    /// Tells whether this says that the event at `place` is altered.
    pub(super) fn is_at(&self, place: Position) -> bool {
        matches!(self, Self::Altered { position, .. } if *position == place)
    }
}
