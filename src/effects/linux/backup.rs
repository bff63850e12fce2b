//! Backups on this host: a pass while the container runs, a pass while it stands still, and the seal.
//!
//! A run lives in memory between its effects. When the daemon dies the run dies with it: the next effect finds no run and
//! fails for good, and the next backup finds in the store what this one wrote.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::failure::cannot;
use super::host::{LinuxHost, lock};
use super::stores::repository_failure;
use crate::domain::effect::{Facts, Failure, FailureKind, HostEffect, SealSpecification};
use crate::effects::linux::life::reach::Reached;
use crate::effects::linux::life::supervisor::shim_failure;
use crate::effects::steps::StepName;
use crate::effects::{Cancel, EffectContext, Observation};
use crate::events::{BackupMode, BackupOutcome, BackupSummary, MaintenanceResult};
use crate::repository::{
    BackupOptions, Error, Exception, IdMap, Outcome, Particulars, Repository, Session, TreeDigest,
};
use crate::shim::client::Client;
use crate::types::{BackupId, ContainerId, RunId, Size, Span, StoreId, Timestamp};

/// How long a container stands still at most; its supervisor lets it go on by itself then.
const FREEZE_LEASE: Duration = Duration::from_secs(30);

/// Is a backup under way.
pub(crate) struct Run {
    repository: Repository,
    session: Session,
    cancelled: Arc<AtomicBool>,
    reached: Reached,
    started_at: Timestamp,
    frozen_at: Timestamp,
    frozen: Span,
    freeze: Option<Freeze>,
    exceptions: Vec<Exception>,
}

/// Is the time for which a container stands still.
struct Freeze {
    client: Client,
    lease: u64,
    until: Instant,
}

/// What a freeze was at its end.
enum Stood {
    /// It held for so long.
    Still(Duration),
    /// The container had gone on by itself.
    NotStill,
}

impl Freeze {
    /// Lets the container go on.
    fn end(&self) -> Result<Stood, Failure> {
        self.client.thaw(self.lease).map(|held| held.map_or(Stood::NotStill, Stood::Still)).map_err(shim_failure)
    }
}

fn lost() -> Failure {
    Failure::permanent("the run is not known any more: the daemon was restarted while it was under way")
}

/// What was read after that was read while the container ran, which makes the pass worthless.
fn overdue() -> Failure {
    Failure::permanent("the freeze ended by itself before everything was read")
}

impl LinuxHost {
    pub(super) fn backup(
        &self,
        effect: &HostEffect,
        step: StepName,
        context: &EffectContext,
    ) -> Result<Facts, Failure> {
        match effect {
            HostEffect::LivePass { run, container, store, mode, base } => {
                self.live_pass(*run, *container, *store, (*mode, *base), context)
            }
            HostEffect::FrozenPass { run, container } => match step {
                "freeze" => self.freeze(*run, *container),
                "read" => self.read_frozen(*run, context),
                _ => self.thawed(*run),
            },
            HostEffect::SealBackup(seal) => self.seal(seal, context),
            HostEffect::DiscardBackup { run, .. } => {
                self.thaw(*run)?;
                // Out of the lock: what is dropped lets a supervisor go and waits for it.
                let gone = lock(&self.runs).remove(run);
                drop(gone);
                Ok(Facts::None)
            }
            _ => Ok(Facts::None),
        }
    }

    fn live_pass(
        &self,
        run: RunId,
        container: ContainerId,
        store: StoreId,
        (mode, base): (BackupMode, Option<BackupId>),
        context: &EffectContext,
    ) -> Result<Facts, Failure> {
        let repository = self.repository(store)?;
        let reached = self.reach(container)?;
        let options = self.backup_options(mode, base.filter(|base| repository.manifest(*base).is_ok()));
        let cancelled = Arc::clone(&options.cancelled);
        let guard = Watchdog::begin(context, &cancelled);
        let mut session = Session::begin(&repository, options).map_err(repository_failure)?;
        let upper = reached.upper()?;
        // Each file that is read is written back first; all at once that is quicker than one by one.
        sync(upper.as_fd())?;
        let report = session.live_pass(upper.as_fd(), &mut |counters| {
            context.report("reading", counters.entries, None);
        });
        drop(guard);
        let report = report.map_err(repository_failure)?;
        let now = self.options.clock.now();
        let kept = Run {
            repository,
            session,
            cancelled,
            reached,
            started_at: now,
            frozen_at: now,
            frozen: Span::default(),
            freeze: None,
            exceptions: report.exceptions,
        };
        lock(&self.runs).insert(run, kept);
        let counters = report.counters;
        Ok(Facts::LivePass { entries: counters.entries, read: Size::from_bytes(counters.read_bytes) })
    }

    fn backup_options(&self, mode: BackupMode, base: Option<BackupId>) -> BackupOptions {
        BackupOptions {
            ids: IdMap::IDENTITY,
            full: mode == BackupMode::Full,
            base,
            exclude: vec![],
            clock: Arc::clone(&self.options.clock),
            cancelled: Arc::new(AtomicBool::new(false)),
        }
    }

    fn freeze(&self, run: RunId, container: ContainerId) -> Result<Facts, Failure> {
        let is_running = matches!(self.look(container), Observation::Running { .. });
        if is_running {
            self.write_out(run)?;
        }
        let frozen_at = self.options.clock.now();
        let freeze = is_running.then(|| self.hold_still(container)).transpose()?;
        // Not before: a supervisor that is slow to answer must not keep another container from going on.
        let mut runs = lock(&self.runs);
        let kept = runs.get_mut(&run).ok_or_else(lost)?;
        (kept.frozen_at, kept.freeze) = (frozen_at, freeze);
        Ok(Facts::None)
    }

    fn hold_still(&self, container: ContainerId) -> Result<Freeze, Failure> {
        let (client, until) = (self.shim(container)?, Instant::now() + FREEZE_LEASE);
        let lease = client.freeze(FREEZE_LEASE).map_err(shim_failure)?;
        Ok(Freeze { client, lease, until })
    }

    /// What is written out before is not waited for while the container stands still.
    fn write_out(&self, run: RunId) -> Result<(), Failure> {
        let upper = lock(&self.runs).get(&run).ok_or_else(lost)?.reached.upper()?;
        sync(upper.as_fd())
    }

    fn read_frozen(&self, run: RunId, context: &EffectContext) -> Result<Facts, Failure> {
        // Taken out while it is read: a discard of this run waits for this effect to end anyway.
        let mut kept = lock(&self.runs).remove(&run).ok_or_else(lost)?;
        let read = read_again(&mut kept, context);
        lock(&self.runs).insert(run, kept);
        read.map(|()| Facts::None)
    }

    fn thawed(&self, run: RunId) -> Result<Facts, Failure> {
        let stood = self.end_freeze(run)?;
        let mut runs = lock(&self.runs);
        let kept = runs.get_mut(&run).ok_or_else(lost)?;
        match stood {
            Some(Stood::NotStill) => return Err(overdue()),
            Some(Stood::Still(held)) => {
                kept.frozen = Span::from_micros(i64::try_from(held.as_micros()).unwrap_or(i64::MAX));
            }
            None => {}
        }
        Ok(Facts::FrozenPass { frozen: kept.frozen })
    }

    /// Lets the container go on, if it does not by itself: a supervisor that is gone holds nothing still.
    pub(super) fn thaw(&self, run: RunId) -> Result<(), Failure> {
        match self.end_freeze(run) {
            Err(failure) if failure.kind == FailureKind::Transient => Err(failure),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Ends the freeze of a run, if there is one; what its supervisor does not answer is asked again.
    fn end_freeze(&self, run: RunId) -> Result<Option<Stood>, Failure> {
        let freeze = lock(&self.runs).get_mut(&run).and_then(|kept| kept.freeze.take());
        let Some(freeze) = freeze else { return Ok(None) };
        let ended = freeze.end();
        let is_asked_again = ended.as_ref().is_err_and(|failure| failure.kind == FailureKind::Transient);
        if let (true, Some(kept)) = (is_asked_again, lock(&self.runs).get_mut(&run)) {
            kept.freeze = Some(freeze);
        }
        ended.map(Some)
    }

    fn seal(&self, seal: &SealSpecification, context: &EffectContext) -> Result<Facts, Failure> {
        let repository = lock(&self.runs).get(&seal.run).map(|kept| kept.repository.clone());
        let Some(repository) = repository else { return self.sealed_before(seal) };
        context.report("sealing", 0, None);
        let template = self.keep_template(&repository, seal, context)?;
        let kept = lock(&self.runs).remove(&seal.run).ok_or_else(lost)?;
        let configuration = serde_json::to_vec(&seal.configuration)
            .map_err(|error| Failure::permanent(format!("the configuration cannot be written: {error}")))?;
        let particulars = Particulars {
            id: seal.backup,
            container: seal.container,
            name: seal.container_name.to_string(),
            started_at: kept.started_at,
            finished_at: self.options.clock.now(),
            template,
            configuration,
            note: String::new(),
            exceptions: vec![],
        };
        let manifest = kept.session.commit(particulars).map_err(repository_failure)?;
        Ok(Facts::Sealed(Box::new(summary(seal, &manifest, kept.frozen_at, kept.frozen))))
    }

    /// A seal that is repeated after a crash finds its manifest, or the run is lost.
    fn sealed_before(&self, seal: &SealSpecification) -> Result<Facts, Failure> {
        let manifest = self.repository(seal.store)?.manifest(seal.backup).map_err(|error| match error {
            Error::Missing { .. } => lost(),
            other => repository_failure(other),
        })?;
        Ok(Facts::Sealed(Box::new(summary(seal, &manifest, manifest.started_at, Span::default()))))
    }

    /// Keeps the template in the store, once: a backup restores alone, to the last file, also without this node.
    fn keep_template(
        &self,
        store: &Repository,
        seal: &SealSpecification,
        context: &EffectContext,
    ) -> Result<Option<TreeDigest>, Failure> {
        let Ok(digest) = TreeDigest::try_from(seal.template_digest.clone()) else { return Ok(None) };
        let path = self.options.paths.template_root(seal.configuration.template);
        let root = crate::sys::fs::open_root(&path).map_err(cannot("open", path.display()))?;
        let options = self.backup_options(BackupMode::Full, None);
        let guard = Watchdog::begin(context, &options.cancelled);
        let kept = store.store_template(std::os::fd::AsFd::as_fd(&root), digest, true, options, &mut |counters| {
            context.report("keeping the template", counters.entries, None);
        });
        drop(guard);
        kept.map_err(repository_failure)?;
        Ok(Some(digest))
    }

    pub(super) fn verify_backup(
        &self,
        store: StoreId,
        backup: BackupId,
        context: &EffectContext,
    ) -> Result<Facts, Failure> {
        let repository = self.repository(store)?;
        let mut come = (0, 0);
        let damage = repository.verify_backup(backup, &mut |done, all| {
            come = (done, all);
            context.report("verifying", done, Some(all));
            !context.cancel.is_cancelled()
        });
        let damage = damage.map_err(|error| cut_off(repository_failure(error), come))?;
        Ok(Facts::Maintenance(match damage {
            None => MaintenanceResult::Verified,
            Some(reason) => MaintenanceResult::Damaged { reason },
        }))
    }
}

/// Says how far a verification came that says nothing of its backup.
fn cut_off(failure: Failure, (done, all): (u64, u64)) -> Failure {
    if failure.kind == FailureKind::Cancelled || all == 0 {
        return failure;
    }
    Failure { reason: format!("{}; {done} of {all} contents were read by then", failure.reason), ..failure }
}

/// Reads what changed since the live pass. What a program stores in a page that it has mapped is among it: what is dirty is
/// written back before a file is read, so that the page has to be asked for anew, which moves the time stamp of its file.
fn read_again(kept: &mut Run, context: &EffectContext) -> Result<(), Failure> {
    let (upper, until) = (kept.reached.upper()?, kept.freeze.as_ref().map(|freeze| freeze.until));
    sync(upper.as_fd())?;
    let guard = Watchdog::until(&context.cancel, &kept.cancelled, until);
    let report = kept.session.frozen_pass(upper.as_fd(), &mut |counters| {
        context.report("reading what changed", counters.entries, None);
    });
    drop(guard);
    let is_overdue = until.is_some_and(|until| until <= Instant::now());
    kept.exceptions = match report {
        Err(Error::Cancelled) if is_overdue => return Err(overdue()),
        report => report.map_err(repository_failure)?.exceptions,
    };
    Ok(())
}

fn sync(root: BorrowedFd<'_>) -> Result<(), Failure> {
    crate::sys::fs::sync_file_system(root).map_err(cannot("sync", "the container's disk"))
}

fn summary(
    seal: &SealSpecification,
    manifest: &crate::repository::Manifest,
    taken_at: Timestamp,
    frozen: Span,
) -> BackupSummary {
    let outcome = match manifest.outcome {
        Outcome::Complete => BackupOutcome::Complete,
        Outcome::CompleteWithExceptions => BackupOutcome::CompleteWithExceptions,
    };
    let counters = &manifest.counters;
    BackupSummary {
        backup: seal.backup,
        run: seal.run,
        container: seal.container,
        container_name: seal.container_name.clone(),
        store: seal.store,
        taken_at,
        mode: seal.mode,
        base: manifest.base,
        outcome,
        entries: counters.entries,
        read: Size::from_bytes(counters.read_bytes),
        new: Size::from_bytes(counters.new_bytes),
        stored: Size::from_bytes(counters.stored_bytes),
        frozen,
        unreadable: manifest.exceptions.len() as u64,
        schedule: seal.schedule.clone(),
    }
}

/// Carries a cancellation from the effect to the engine, which looks at a flag of its own.
pub(super) struct Watchdog(Arc<AtomicBool>);

impl Watchdog {
    pub(super) fn begin(context: &EffectContext, flag: &Arc<AtomicBool>) -> Self {
        Self::until(&context.cancel, flag, None)
    }

    /// Does the same, and stops the engine when that time has come.
    fn until(cancel: &Cancel, flag: &Arc<AtomicBool>, end: Option<Instant>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (cancel, flag, ended) = (cancel.clone(), Arc::clone(flag), Arc::clone(&over));
        let watching = std::thread::Builder::new().name("cancel".to_owned()).stack_size(64 << 10).spawn(move || {
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                if cancel.is_cancelled() || end.is_some_and(|end| end <= Instant::now()) {
                    flag.store(true, std::sync::atomic::Ordering::Relaxed);
                    return;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        drop(watching);
        Self(over)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn the_engine_stops_when_the_container_goes_on_by_itself() {
        let (cancel, flag) = (Cancel::default(), Arc::default());
        let begun = Instant::now();
        let _guard = Watchdog::until(&cancel, &flag, Some(begun + Duration::from_millis(100)));
        while !flag.load(Ordering::Relaxed) {
            assert!(begun.elapsed() < Duration::from_secs(10), "it goes on");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(begun.elapsed() >= Duration::from_millis(100), "it stops too early");
    }
}
