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
    /// An index does not lead to the rows of its table.
    #[error("the index {index} of the file does not fit its table: {reason}")]
    Index {
        /// Which one.
        index: String,
        /// What SQLite said.
        reason: String,
    },
    /// A table, an index or a trigger is not the one that Berth makes.
    #[error("the {object} of the file {reason}")]
    Schema {
        /// What it is and its name.
        object: String,
        /// What became of it.
        reason: String,
        /// Whether it holds nothing that cannot be made anew.
        disposable: bool,
    },
    /// A read model cannot be trusted as a whole.
    #[error("the read model {model} {reason}")]
    Model {
        /// Its name.
        model: String,
        /// Why.
        reason: String,
    },
    /// A row of a read model is not what the log makes of it.
    #[error("{what} in the read model {model} {reason}")]
    Row {
        /// The read model's name.
        model: String,
        /// Whose row, by its name or else by its key.
        what: String,
        /// What does not fit.
        reason: String,
    },
    /// A snapshot is not the state that the log makes.
    #[error("the snapshot of {stream} {reason}")]
    Snapshot {
        /// Of which stream.
        stream: String,
        /// What does not fit.
        reason: String,
    },
    /// The table of idempotency keys does not fit the events.
    #[error("the idempotency key of the commit at event {first} {reason}")]
    Key {
        /// The first event of the commit.
        first: Position,
        /// What does not fit.
        reason: String,
        /// Whether only the index over the keys is wrong.
        disposable: bool,
    },
    /// What follows from the log could not be made again.
    #[error("what follows from the log cannot be compared with it: {reason}")]
    Incomparable {
        /// Why.
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

/// Is a finding in words, with what mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What is not as it was written.
    pub finding: String,
    /// The command that mends it; nothing where only a copy of the log helps.
    pub mended_by: Option<&'static str>,
}

const DERIVED: &str = "shown      read models, snapshots, indexes, keys and triggers are what follows from the log";
/// The command that makes everything anew that follows from the log.
const REBUILD: &str = "node rebuild";

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
    /// How many checkpoints in the log another key signed, which a later one of the given key bears out.
    pub strange: u64,
    /// Whether what follows from the log was compared with it, too.
    pub derived: bool,
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
            writeln!(f, "WRONG      {}", finding.finding)?;
        }
        self.statements().iter().try_for_each(|statement| writeln!(f, "{statement}"))
    }
}

impl VerifyReport {
    /// Says what is wrong; events in a row that are altered in the same way are told together.
    pub fn told(&self) -> Vec<Told> {
        self.findings.chunk_by(Finding::goes_on_in).filter_map(tell).collect()
    }

    /// Says what was shown and what was not.
    pub fn statements(&self) -> Vec<String> {
        let mut told = Vec::new();
        if self.is_intact() {
            told.push("shown      consistent with itself: every event fits its hash and its place".to_owned());
            told.extend(self.derived.then(|| DERIVED.to_owned()));
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
        if self.strange > 0 {
            let strange = self.strange;
            told.push(format!("shown      {strange} checkpoints before that were signed with another key, and fit"));
        }
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

fn tell(run: &[Finding]) -> Option<Told> {
    let finding = match (run.first()?, run.last()?) {
        (Finding::Altered { position: first, what }, Finding::Altered { position: last, .. }) => {
            format!("{} altered: {what}", span(*first, *last))
        }
        (finding, _) => finding.to_string(),
    };
    Some(Told { finding, mended_by: run.first()?.mended_by() })
}

/// Names events in a row, and says that they are.
fn span(first: Position, last: Position) -> String {
    if first == last { format!("event {first} is") } else { format!("events {first} to {last} are") }
}

impl Finding {
    /// Returns the command that mends it: whatever follows from the log is made anew, what the log itself lost is not.
    pub const fn mended_by(&self) -> Option<&'static str> {
        match self {
            Self::Index { .. } | Self::Model { .. } | Self::Row { .. } | Self::Snapshot { .. } => Some(REBUILD),
            Self::Schema { disposable, .. } | Self::Key { disposable, .. } if *disposable => Some(REBUILD),
            _ => None,
        }
    }

    /// Tells whether the next finding says the same of the next event.
    fn goes_on_in(&self, next: &Self) -> bool {
        let (Self::Altered { position, what }, Self::Altered { position: later, what: same }) = (self, next) else {
            return false;
        };
        *later == position.next() && what == same
    }

    /// Tells whether both are about one index.
    pub(super) fn is_of_the_index_of(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Index { index, .. }, Self::Index { index: same, .. }) if index == same)
    }

    /// Tells whether this says that the event at `place` is altered.
    pub(super) fn is_at(&self, place: Position) -> bool {
        matches!(self, Self::Altered { position, .. } if *position == place)
    }
}
