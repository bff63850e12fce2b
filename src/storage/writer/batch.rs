//! Batches: commits that share one transaction, from the first one that waits to the answers.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::request::Reply;
use super::{Request, Writer};
use crate::storage::error::{AppendError, append_error};
use crate::storage::ledger::{BatchFailure, Ledger, Outcome, is_of_a_commit};
use crate::storage::{Commit, Committed, Snapshot};
use crate::types::{Step, Timestamp};

/// Is the most commits that share one transaction.
const BATCH: usize = 1_024;
/// Is the longest wait for those who were answered last.
const GATHER: Duration = Duration::from_micros(100);

/// Is what shares one transaction.
pub(super) struct Batch {
    now: Timestamp,
    /// The step that the first commit tells of, if it tells of one.
    step: Option<Step>,
    commits: Vec<Commit>,
    replies: Vec<Reply<Committed>>,
    /// What became of each, as far as the transaction goes.
    outcomes: Vec<Outcome>,
    failure: Option<Fault>,
}

impl Batch {
    fn at(now: Timestamp) -> Self {
        Self { now, step: None, commits: vec![], replies: vec![], outcomes: vec![], failure: None }
    }
}

/// Is what is done once those who wait are answered.
#[derive(Default)]
pub(super) struct Rest {
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) other: Option<Request>,
}

/// Is what keeps a transaction from being written.
enum Fault {
    /// The file cannot be opened.
    Closed(AppendError),
    Sqlite(rusqlite::Error),
}

/// Is why a batch is not in the log.
struct Undone {
    error: AppendError,
    /// Whether the content of one of its commits is the reason.
    of_a_commit: bool,
}

impl From<AppendError> for Undone {
    fn from(error: AppendError) -> Self {
        Self { error, of_a_commit: false }
    }
}

impl Writer {
    /// Takes what is waiting up to the first request of another kind, and writes each commit while the next one comes.
    ///
    /// Those who were answered last are about to ask again: a moment for them to do so (never more than a sync costs,
    /// and none for a single appender) saves every other sync, as otherwise the first of them would get one alone.
    pub(super) fn gather(&mut self, first: Request, inbox: &Receiver<Request>) -> (Batch, Rest) {
        let (mut batch, mut rest, mut next) = (self.begin_batch(), Rest::default(), Some(first));
        let mut waited = Duration::ZERO;
        while batch.commits.len() < BATCH && batch.failure.is_none() {
            match next.take().or_else(|| inbox.try_recv().ok()) {
                Some(Request::Append(commit, reply)) => self.add(&mut batch, *commit, reply),
                Some(Request::Snapshot(snapshot)) => rest.snapshots.push(snapshot),
                Some(other) => {
                    rest.other = Some(other);
                    return (batch, rest);
                }
                None if batch.commits.len() < self.gathered && waited < GATHER => {
                    let idle = Instant::now();
                    std::thread::yield_now();
                    waited += idle.elapsed();
                }
                None => break,
            }
        }
        self.gathered = batch.commits.len();
        (batch, rest)
    }

    /// Begins a batch; if the clock stepped, with the commit that says so.
    pub(super) fn begin_batch(&mut self) -> Batch {
        let (now, step) = self.time.look(self.ledger.recorded_at);
        let mut batch = Batch::at(now);
        let step = step.filter(|_| !self.unaccepted);
        let told = step.and_then(|step| self.time.keeper.as_ref().map(|keeper| (keeper.told)(&step)));
        if let Some(commit) = told {
            batch.step = step;
            self.add(&mut batch, commit, oneshot::channel().0);
        }
        batch
    }

    /// Takes note that a step is in the log.
    fn keep_time(&self, step: Option<Step>, outcomes: &[Outcome]) {
        let told = outcomes.first().and_then(|outcome| outcome.as_ref().ok()).and_then(|told| told.events.first());
        if let (Some(step), Some(event), Some(keeper)) = (step, told, &self.time.keeper) {
            tracing::warn!(from = %step.from, to = %step.to, "the clock stepped");
            keeper.watch.recorded(step, event.position);
        }
    }

    /// Writes a commit into the open transaction; the first one opens it.
    pub(super) fn add(&mut self, batch: &mut Batch, commit: Commit, reply: Reply<Committed>) {
        let opened = if batch.commits.is_empty() { self.begin() } else { Ok(()) };
        let added = opened.and_then(|()| self.ledger.add(&commit, batch.now).map_err(Fault::Sqlite));
        match added {
            Ok(outcome) => batch.outcomes.push(outcome),
            Err(fault) => batch.failure = Some(fault),
        }
        batch.commits.push(commit);
        batch.replies.push(reply);
    }

    fn begin(&mut self) -> Result<(), Fault> {
        if self.broken {
            self.reopen().map_err(Fault::Closed)?;
        }
        self.ledger.begin().map_err(Fault::Sqlite)
    }

    /// Makes a batch durable, tells everybody, and answers.
    pub(super) fn answer(&mut self, batch: Batch) {
        if batch.commits.is_empty() {
            return;
        }
        let Batch { now, step, commits, replies, outcomes, failure } = batch;
        let written = match failure {
            None => self.commit(now, outcomes),
            Some(fault) => self.undo(fault),
        };
        let outcomes = self.insist(&commits, written);
        self.keep_time(step, &outcomes);
        self.publish(&outcomes);
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            let _ = reply.send(outcome);
        }
        if let Err(error) = self.guard(Ledger::settle_keys) {
            tracing::warn!(%error, "the keys of commits could not be indexed");
        }
    }

    /// Tries a batch that failed again where that may help: on a full disk with an empty write-ahead log, and commit by
    /// commit where SQLite refuses the content of one of them, so that the others do not suffer for it.
    fn insist(&mut self, commits: &[Commit], written: Result<Vec<Outcome>, Undone>) -> Vec<Outcome> {
        let error = match written {
            Ok(outcomes) => return outcomes,
            Err(Undone { of_a_commit: true, .. }) if commits.len() > 1 => {
                let alone = commits.iter().map(std::slice::from_ref);
                return alone.flat_map(|commit| self.write_again(commit)).collect();
            }
            Err(Undone { error: AppendError::NoSpace { .. }, .. })
                if self.guard(Ledger::begin_wal_anew).is_ok_and(|anew| anew) =>
            {
                return self.write_again(commits);
            }
            Err(Undone { error, .. }) => error,
        };
        vec![Err(error); commits.len()]
    }

    pub(super) fn write_again(&mut self, commits: &[Commit]) -> Vec<Outcome> {
        let now = self.time.clock.now();
        let added = self.begin().and_then(|()| {
            let outcomes = commits.iter().map(|commit| self.ledger.add(commit, now));
            outcomes.collect::<rusqlite::Result<Vec<_>>>().map_err(Fault::Sqlite)
        });
        let written = match added {
            Ok(outcomes) => self.commit(now, outcomes),
            Err(fault) => self.undo(fault),
        };
        written.unwrap_or_else(|undone| vec![Err(undone.error); commits.len()])
    }

    fn commit(&mut self, now: Timestamp, outcomes: Vec<Outcome>) -> Result<Vec<Outcome>, Undone> {
        let due = if self.unaccepted { u64::MAX } else { self.seal.0 };
        match self.ledger.commit(now, (&self.signer, due)) {
            Ok(()) => Ok(outcomes),
            Err(BatchFailure::Before(source)) => self.undo(Fault::Sqlite(source)),
            Err(BatchFailure::AtCommit(source)) => {
                tracing::error!(error = %source, "a commit failed; reading what the log has");
                let wanted = self.ledger.head();
                self.reopen()?;
                if self.ledger.head() == wanted { Ok(outcomes) } else { Err(self.undone(&source)) }
            }
        }
    }

    /// Undoes a batch by opening the file again: what memory mirrors is then what the file has.
    fn undo<T>(&mut self, fault: Fault) -> Result<T, Undone> {
        match fault {
            Fault::Closed(error) => Err(error.into()),
            Fault::Sqlite(source) => {
                tracing::error!(error = %source, "a batch failed");
                let _ = self.reopen();
                Err(self.undone(&source))
            }
        }
    }

    fn undone(&self, source: &rusqlite::Error) -> Undone {
        Undone { error: append_error(&self.ledger.path, source), of_a_commit: is_of_a_commit(source) }
    }
}
