//! The writer thread: takes what is waiting, writes it in one transaction, then answers.
//!
//! There is no artificial delay: while one batch is being synced the next one gathers, so the disk sets the pace. An
//! answer is given only after COMMIT. After any failure the file is opened again and asked what it has.

mod batch;
mod request;

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

pub(super) use request::Request;

use super::checkpoint::Signer;
use super::database::{CHECKPOINT_PAGES, CHECKPOINT_PAGES_SHORT};
use super::error::{AppendError, append_error};
use super::ledger::{Ledger, Outcome};
use super::log::Shared;
use super::reserve::may_take;
use super::watermark::{Level, Room};
use super::{Commit, Snapshot, Timekeeper, database, file};
use crate::types::{CLOCK_SLACK, Clock, Step, StepNotice, Timestamp};

/// Is how often the free space is looked at, and the longest that an idle writer sleeps.
const TICK: Duration = Duration::from_secs(1);

/// Is where the time of recording comes from.
pub(super) struct Time {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) keeper: Option<Timekeeper>,
}

impl Time {
    /// Returns the present time, and the step that is to be told first: one that was noticed, or one that shows in the log.
    fn look(&self, recorded_at: Timestamp) -> (Timestamp, Option<Step>) {
        let Some(keeper) = &self.keeper else { return (self.clock.now(), None) };
        let (now, step) = keeper.watch.look();
        let behind = recorded_at.since(now) > CLOCK_SLACK;
        let behind = behind.then_some(Step { from: recorded_at, to: now, noticed: StepNotice::BehindLog });
        (now, step.or(behind))
    }
}

pub(super) struct Writer {
    ledger: Ledger,
    signer: Signer,
    room: Room,
    time: Time,
    shared: Arc<Shared>,
    exports: [PathBuf; 2],
    seal: (u64, Duration),
    sealed_at: Instant,
    looked_at: Instant,
    exported_at: Instant,
    unexported: Option<String>,
    gathered: usize,
    level: Level,
    broken: bool,
    /// Whether another history was signed, and nobody has accepted this one yet: nothing is recorded or signed by itself.
    unaccepted: bool,
}

impl Writer {
    pub(super) fn new(
        ledger: Ledger,
        signer: Signer,
        room: Room,
        time: Time,
        shared: Arc<Shared>,
        (exports, unaccepted): ([PathBuf; 2], bool),
        seal: (u64, Duration),
    ) -> Self {
        let now = Instant::now();
        let (sealed_at, looked_at, exported_at) = (now, now, now);
        let (unexported, gathered, level) = (None, 0, Level::Ok);
        let broken = shared.read_only.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        Self {
            ledger,
            signer,
            room,
            time,
            shared,
            exports,
            seal,
            sealed_at,
            looked_at,
            exported_at,
            unexported,
            gathered,
            level,
            broken,
            unaccepted,
        }
    }

    /// Works until it is told to stop.
    pub(super) fn run(mut self, inbox: &Receiver<Request>) {
        while self.turn(inbox) {}
        if let Err(error) = self.seal_now() {
            tracing::warn!(%error, "the log could not be sealed at its end");
        }
        self.shared.batches.lock().unwrap_or_else(PoisonError::into_inner).take();
        if !self.broken
            && let Err(error) = self.ledger.put_away()
        {
            tracing::warn!(%error, "what waits in the write-ahead log stays there until the next start");
        }
    }

    /// Does what is waiting; false once told to stop.
    fn turn(&mut self, inbox: &Receiver<Request>) -> bool {
        let first = match inbox.recv_timeout(TICK.min(self.seal.1)) {
            Ok(request) => request,
            Err(RecvTimeoutError::Timeout) => {
                let batch = self.begin_batch(); // a step of the clock is told though nobody has anything to say
                self.answer(batch);
                self.housekeeping();
                return true;
            }
            Err(RecvTimeoutError::Disconnected) => return false,
        };
        let (batch, rest) = self.gather(first, inbox);
        self.answer(batch);
        self.keep(&rest.snapshots);
        let goes_on = rest.other.is_none_or(|request| self.serve(request));
        self.housekeeping();
        goes_on
    }

    fn keep(&mut self, snapshots: &[Snapshot]) {
        if snapshots.is_empty() || self.level >= Level::Critical {
            return; // what can be made again takes no room from what cannot
        }
        if let Err(error) = self.guard(|ledger| ledger.save_snapshots(snapshots)) {
            tracing::warn!(%error, "snapshots were not kept");
        }
    }

    /// Opens the file again; until that succeeds the log is read-only.
    fn reopen(&mut self) -> Result<(), AppendError> {
        if self.broken {
            self.shared.reader.close_idle();
        }
        let opened = self.ledger.reopen(self.broken);
        self.broken = opened.is_err();
        self.set_pace();
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
            Request::Append(commit, reply) => {
                let mut batch = self.begin_batch();
                self.add(&mut batch, *commit, reply);
                self.answer(batch);
            }
            Request::Accept(commit, reply) => {
                let _ = reply.send(self.accept(&commit));
            }
            Request::Seal(reply) => {
                let sealed = self.seal_now();
                let note = sealed.and_then(|()| self.guard(Ledger::latest_note));
                let _ = reply.send(note);
            }
            Request::Snapshot(snapshot) => self.keep(&[snapshot]),
            Request::Redact(positions, reply) => {
                let _ = reply.send(self.guard(|ledger| ledger.redact(&positions)));
                self.look(); // it gave up the room of the write-ahead log
            }
            Request::Archive(until, reply) => {
                let _ = reply.send(self.guard(|ledger| ledger.archive(until)));
            }
            Request::Rebuild(condemned, reply) => {
                let mended = self.guard(|ledger| ledger.mend(&condemned).map(|()| ledger.head().position));
                let _ = reply.send(mended);
            }
            Request::Stop => return false,
        }
        true
    }

    /// Records that this history is the true one, then signs it; what fails in between leaves the question open.
    fn accept(&mut self, commit: &Commit) -> Result<Option<String>, AppendError> {
        let outcomes = self.write_again(std::slice::from_ref(commit));
        self.publish(&outcomes);
        outcomes.into_iter().collect::<Result<Vec<_>, _>>()?;
        self.unaccepted = false;
        if let Err(error) = self.seal_now() {
            self.unaccepted = true;
            return Err(error);
        }
        let note = self.guard(Ledger::latest_note)?;
        self.shared.divergence.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(note)
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

    /// Looks how much room there is, and takes what the log lacks of its own.
    pub(super) fn look(&mut self) {
        self.looked_at = Instant::now();
        let Some(free) = self.room.free() else { return };
        let mut lacks = if self.broken { 0 } else { self.ledger.lacks_room() };
        if may_take(lacks, free) {
            match self.ledger.take_room() {
                Ok(()) => lacks = self.ledger.lacks_room(),
                Err(error) => tracing::warn!(%error, "no room could be set aside for the log"),
            }
        }
        let before = std::mem::replace(&mut self.level, self.room.tell(free, lacks > 0));
        if (before < Level::Tight) != (self.level < Level::Tight) {
            self.set_pace();
        }
    }

    /// Has the write-ahead log copied before its index must grow, where room is short.
    fn set_pace(&self) {
        let pages = if self.level < Level::Tight { CHECKPOINT_PAGES } else { CHECKPOINT_PAGES_SHORT };
        let _ = database::checkpoint_after(&self.ledger.connection, pages); // else it is copied as often as before
    }

    fn housekeeping(&mut self) {
        if self.looked_at.elapsed() >= TICK {
            if self.broken && self.reopen().is_ok() {
                tracing::info!("the log can be written again");
            }
            self.look();
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

    /// Writes the newest note beside the log and beside the keys; not more than once a tick, for each costs three syncs.
    fn export(&mut self) -> Result<(), AppendError> {
        let Some(note) = self.unexported.take() else { return Ok(()) };
        self.exported_at = Instant::now();
        let failed =
            |path: &PathBuf, error| AppendError::Unavailable { reason: format!("{}: {error}", path.display()) };
        let write = |path: &PathBuf| file::replace(path, note.as_bytes()).map_err(|error| failed(path, error));
        let written = self.exports.each_ref().map(write); // a place that cannot be written does not keep the other from it
        written.into_iter().collect()
    }

    /// Signs the root if anything came since, and writes the note to the file beside the log.
    fn seal_now(&mut self) -> Result<(), AppendError> {
        self.sealed_at = Instant::now();
        if self.unaccepted {
            return Ok(());
        }
        let now = self.time.clock.now();
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
