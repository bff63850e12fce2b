//! The writer thread: takes what is waiting, writes it in one transaction, then answers.
//!
//! There is no artificial delay: while one batch is being synced the next one gathers, so the disk sets the pace. An
//! answer is given only after COMMIT. After any failure the file is opened again and asked what it has.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::checkpoint::Signer;
use super::error::{AppendError, append_error};
use super::ledger::{BatchFailure, Ledger, Outcome};
use super::store::Shared;
use super::watermark::Room;
use super::{Commit, Committed, Snapshot, file};
use crate::types::{Clock, Position};

/// Is the most commits that share one transaction.
const BATCH: usize = 1_024;
/// Is how often the free space is looked at, and the longest that an idle writer sleeps.
const TICK: Duration = Duration::from_secs(1);

/// Is the longest wait for those who were answered last.
const GATHER: Duration = Duration::from_micros(100);

type Gathered = (Vec<Commit>, Vec<Reply<Committed>>, Option<Request>);
type Reply<T> = oneshot::Sender<Result<T, AppendError>>;

/// Is what the writer can be asked for.
pub(super) enum Request {
    Append(Box<Commit>, Reply<Committed>),
    Seal(Reply<Option<String>>),
    Snapshots(Vec<Snapshot>, Reply<()>),
    Redact(Vec<Position>, Reply<usize>),
    Archive(Position, Reply<usize>),
    Stop,
}

impl Request {
    /// Answers with an error; nobody listening is no concern.
    pub(super) fn refuse(self, error: AppendError) {
        match self {
            Self::Append(_, reply) => drop(reply.send(Err(error))),
            Self::Seal(reply) => drop(reply.send(Err(error))),
            Self::Snapshots(_, reply) => drop(reply.send(Err(error))),
            Self::Redact(_, reply) | Self::Archive(_, reply) => drop(reply.send(Err(error))),
            Self::Stop => {}
        }
    }
}

pub(super) struct Writer {
    ledger: Ledger,
    signer: Signer,
    room: Room,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    export: PathBuf,
    seal: (u64, Duration),
    sealed_at: Instant,
    looked_at: Instant,
    exported_at: Instant,
    unexported: Option<String>,
    gathered: usize,
    broken: bool,
}

impl Writer {
    pub(super) fn new(
        ledger: Ledger,
        signer: Signer,
        room: Room,
        clock: Arc<dyn Clock>,
        shared: Arc<Shared>,
        export: PathBuf,
        seal: (u64, Duration),
    ) -> Self {
        let now = Instant::now();
        let (sealed_at, looked_at, exported_at) = (now, now, now);
        let (unexported, gathered, broken) = (None, 0, false);
        Self {
            ledger,
            signer,
            room,
            clock,
            shared,
            export,
            seal,
            sealed_at,
            looked_at,
            exported_at,
            unexported,
            gathered,
            broken,
        }
    }

    /// Works until it is told to stop.
    pub(super) fn run(mut self, inbox: &Receiver<Request>) {
        while self.turn(inbox) {}
        if let Err(error) = self.seal_now().and_then(|()| self.guard(Ledger::settle)) {
            tracing::warn!(%error, "the log could not be sealed at its end");
        }
        self.shared.batches.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Does what is waiting; false once told to stop.
    fn turn(&mut self, inbox: &Receiver<Request>) -> bool {
        let first = match inbox.recv_timeout(TICK.min(self.seal.1)) {
            Ok(request) => request,
            Err(RecvTimeoutError::Timeout) => {
                self.housekeeping();
                return true;
            }
            Err(RecvTimeoutError::Disconnected) => return false,
        };
        let (commits, replies, other) = self.gather(first, inbox);
        self.append(&commits, replies);
        let goes_on = other.is_none_or(|request| self.serve(request));
        self.housekeeping();
        goes_on
    }

    /// Takes what is waiting up to the first request of another kind.
    ///
    /// Those who were answered last are about to ask again: a moment for them to do so (never more than a sync costs,
    /// and none for a single appender) saves every other sync, as otherwise the first of them would get one alone.
    fn gather(&mut self, first: Request, inbox: &Receiver<Request>) -> Gathered {
        let (mut commits, mut replies, mut next) = (Vec::new(), Vec::new(), Some(first));
        let started = Instant::now();
        while commits.len() < BATCH {
            match next.take().or_else(|| inbox.try_recv().ok()) {
                Some(Request::Append(commit, reply)) => {
                    commits.push(*commit);
                    replies.push(reply);
                }
                Some(other) => return (commits, replies, Some(other)),
                None if commits.len() < self.gathered && started.elapsed() < GATHER => std::thread::yield_now(),
                None => break,
            }
        }
        self.gathered = commits.len();
        (commits, replies, None)
    }

    fn append(&mut self, commits: &[Commit], replies: Vec<Reply<Committed>>) {
        if commits.is_empty() {
            return;
        }
        let outcomes = self.write(commits).unwrap_or_else(|error| vec![Err(error); commits.len()]);
        self.publish(&outcomes);
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            let _ = reply.send(outcome);
        }
    }

    /// Writes a batch; when the disk is full, once more after the ballast is gone.
    fn write(&mut self, commits: &[Commit]) -> Result<Vec<Outcome>, AppendError> {
        match self.try_write(commits) {
            Err(AppendError::NoSpace { .. }) if self.room.release() => self.try_write(commits),
            outcome => outcome,
        }
    }

    fn try_write(&mut self, commits: &[Commit]) -> Result<Vec<Outcome>, AppendError> {
        if self.broken {
            self.reopen()?;
        }
        let due = (&self.signer, self.seal.0);
        match self.ledger.write(commits, self.clock.now(), due) {
            Ok(outcomes) => Ok(outcomes),
            Err(BatchFailure::Before(source)) => {
                tracing::error!(error = %source, "a batch failed");
                let _ = self.reopen();
                Err(append_error(&self.ledger.path, &source))
            }
            Err(BatchFailure::AtCommit(source, outcomes)) => {
                tracing::error!(error = %source, "a commit failed; reading what the log has");
                let wanted = self.ledger.head();
                self.reopen()?;
                if self.ledger.head() == wanted { Ok(outcomes) } else { Err(append_error(&self.ledger.path, &source)) }
            }
        }
    }

    /// Opens the file again; until that succeeds the log is read-only.
    fn reopen(&mut self) -> Result<(), AppendError> {
        let opened = self.ledger.reopen();
        self.broken = opened.is_err();
        let reason = opened.err().map(|error| error.to_string());
        self.shared.read_only.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&reason);
        reason.map_or(Ok(()), |reason| Err(AppendError::ReadOnly { reason }))
    }

    /// Tells the head and the new events to everybody who listens.
    fn publish(&self, outcomes: &[Outcome]) {
        let fresh = outcomes.iter().flatten().filter(|committed| !committed.repeated);
        let events: Vec<_> = fresh.flat_map(|committed| committed.events.iter().cloned()).collect();
        *self.shared.head.lock().unwrap_or_else(PoisonError::into_inner) = self.ledger.head();
        if events.is_empty() {
            return;
        }
        if let Some(batches) = &*self.shared.batches.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = batches.send(Arc::new(events)); // an error only says that nobody listens
        }
    }

    fn serve(&mut self, request: Request) -> bool {
        match request {
            Request::Append(commit, reply) => self.append(&[*commit], vec![reply]),
            Request::Seal(reply) => {
                let sealed = self.seal_now();
                let note = sealed.and_then(|()| self.guard(Ledger::latest_note));
                let _ = reply.send(note);
            }
            Request::Snapshots(snapshots, reply) => {
                let _ = reply.send(self.guard(|ledger| ledger.save_snapshots(&snapshots)));
            }
            Request::Redact(positions, reply) => {
                let _ = reply.send(self.guard(|ledger| ledger.redact(&positions)));
            }
            Request::Archive(until, reply) => {
                let _ = reply.send(self.guard(|ledger| ledger.archive(until)));
            }
            Request::Stop => return false,
        }
        true
    }

    /// Runs something that writes; whatever fails makes the file be opened again.
    fn guard<T>(&mut self, work: impl FnOnce(&mut Ledger) -> rusqlite::Result<T>) -> Result<T, AppendError> {
        if self.broken {
            self.reopen()?;
        }
        work(&mut self.ledger).map_err(|source| {
            tracing::error!(error = %source, "the log could not be written");
            let _ = self.reopen();
            append_error(&self.ledger.path, &source)
        })
    }

    fn housekeeping(&mut self) {
        if self.looked_at.elapsed() >= TICK {
            self.looked_at = Instant::now();
            self.room.look();
        }
        self.unexported = self.ledger.fresh_note().or(self.unexported.take());
        let due = self.sealed_at.elapsed() >= self.seal.1;
        if due
            && !self.broken
            && let Err(error) = self.seal_now()
        {
            tracing::warn!(%error, "the log could not be sealed");
        }
        if self.exported_at.elapsed() >= TICK
            && let Err(error) = self.export()
        {
            tracing::warn!(%error, "the checkpoint could not be exported");
        }
    }

    /// Writes the newest note to the file beside the log; not more than once a tick, for it costs three syncs.
    fn export(&mut self) -> Result<(), AppendError> {
        let Some(note) = self.unexported.take() else { return Ok(()) };
        self.exported_at = Instant::now();
        let exported = file::replace(&self.export, note.as_bytes());
        exported.map_err(|e| AppendError::Unavailable { reason: format!("{}: {e}", self.export.display()) })
    }

    /// Signs the root if anything came since, and writes the note to the file beside the log.
    fn seal_now(&mut self) -> Result<(), AppendError> {
        self.sealed_at = Instant::now();
        let now = self.clock.now();
        if self.broken {
            self.reopen()?;
        }
        if let Err(source) = self.ledger.seal(&self.signer, now) {
            return self.guard(|_| Err(source));
        }
        self.unexported = self.ledger.fresh_note().or(self.unexported.take());
        self.export()
    }
}
