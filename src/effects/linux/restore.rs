//! Restores on this host: files written beside the container's own, the exchange of the two, and its way back.
//!
//! On the disk, `upper` is what the container sees. A run writes `restore-RUN`, the exchange moves `upper` to
//! `before-RUN` and `restore-RUN` to `upper`. Every step finds by these names how far an earlier try got.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::backup::Watchdog;
use super::failure::cannot;
use super::host::LinuxHost;
use super::reach::{Reached, UPPER};
use super::stores::repository_failure;
use crate::domain::effect::{Facts, Failure, HostEffect};
use crate::effects::EffectContext;
use crate::effects::steps::StepName;
use crate::repository::{IdMap, Pattern, RestoreOptions, RestoreReport, View};
use crate::sys::fs as sysfs;
use crate::types::{BackupId, RunId, Size, StoreId};

fn restored(run: RunId) -> Vec<u8> {
    format!("restore-{run}").into_bytes()
}

fn before(run: RunId) -> Vec<u8> {
    format!("before-{run}").into_bytes()
}

impl LinuxHost {
    pub(super) fn restore(
        &self,
        effect: &HostEffect,
        step: StepName,
        context: &EffectContext,
    ) -> Result<Facts, Failure> {
        match effect {
            HostEffect::RestoreFiles { run, backup, store, container } => {
                self.restore_files(&self.reach(*container)?, *run, (*store, *backup), context)
            }
            HostEffect::ExchangeRoot { run, container } => exchange(&self.reach(*container)?, *run, step),
            HostEffect::RevertRoot { run, container } => revert(&self.reach(*container)?, *run),
            HostEffect::DiscardOldRoot { run, container } => {
                let reached = self.reach(*container)?;
                remove(reached.disk(), &before(*run))?;
                Ok(Facts::None)
            }
            HostEffect::ExtractFiles { backup, store, paths, into, .. } => {
                self.extract((*store, *backup), paths, into, context)
            }
            _ => Ok(Facts::None),
        }
    }

    pub(super) fn view(&self, store: StoreId, backup: BackupId) -> Result<View, Failure> {
        let repository = self.repository(store)?;
        let manifest = repository.manifest(backup).map_err(repository_failure)?;
        repository.view(&manifest).map_err(repository_failure)
    }

    fn restore_files(
        &self,
        reached: &Reached,
        run: RunId,
        (store, backup): (StoreId, BackupId),
        context: &EffectContext,
    ) -> Result<Facts, Failure> {
        let view = self.view(store, backup)?;
        let name = restored(run);
        remove(reached.disk(), &name)?; // what an earlier try left is not trusted
        sysfs::make_directory(reached.disk(), &name, 0o755).map_err(cannot("make", "the restored root"))?;
        let target = reached.open(&name)?;
        let options = options(false);
        let guard = Watchdog::begin(context, &options.cancelled);
        let report = view.restore_layer(target.as_fd(), &options, &mut |counters| {
            context.report("restoring", counters.entries, None);
        });
        drop(guard);
        sysfs::sync_file_system(target.as_fd()).map_err(cannot("sync", "the restored root"))?;
        finished(&report.map_err(repository_failure)?)
    }

    fn extract(
        &self,
        (store, backup): (StoreId, BackupId),
        paths: &[String],
        into: &str,
        context: &EffectContext,
    ) -> Result<Facts, Failure> {
        let view = self.view(store, backup)?;
        std::fs::create_dir_all(into).map_err(cannot("make", into))?;
        let target = sysfs::open_root(std::path::Path::new(into)).map_err(cannot("open", into))?;
        let patterns = paths.iter().map(|path| Pattern::new(path.trim_start_matches('/').as_bytes())).collect();
        let options = options(true);
        let guard = Watchdog::begin(context, &options.cancelled);
        let report = view.extract(patterns, target.as_fd(), &options, &mut |counters| {
            context.report("restoring", counters.entries, None);
        });
        drop(guard);
        let report = report.map_err(repository_failure)?;
        if report.counters.entries == 0 && report.exceptions.is_empty() {
            return Err(Failure::permanent(format!("the backup has nothing at {}", paths.join(", "))));
        }
        finished(&report)
    }
}

fn options(overwrite: bool) -> RestoreOptions {
    let cancelled = Arc::new(AtomicBool::new(false));
    RestoreOptions { ids: IdMap::IDENTITY, plain: false, overwrite, cancelled }
}

/// A restore that left something out is no restore: what is missing is named.
fn finished(report: &RestoreReport) -> Result<Facts, Failure> {
    if let Some(first) = report.exceptions.first() {
        let count = report.exceptions.len();
        let reason = format!("{count} files could not be restored, the first: {}: {}", first.path, first.reason);
        return Err(Failure::permanent(reason));
    }
    let counters = &report.counters;
    Ok(Facts::Restored { entries: counters.entries, written: Size::from_bytes(counters.data_bytes) })
}

fn exists(disk: BorrowedFd<'_>, name: &[u8]) -> bool {
    sysfs::stat_at(disk, name).is_ok()
}

fn remove(disk: BorrowedFd<'_>, name: &[u8]) -> Result<(), Failure> {
    if !exists(disk, name) {
        return Ok(());
    }
    sysfs::remove_tree(disk, name).map_err(cannot("remove from the disk", String::from_utf8_lossy(name)))
}

fn rename(disk: BorrowedFd<'_>, old: &[u8], new: &[u8]) -> Result<(), Failure> {
    sysfs::rename_new(disk, old, disk, new).map_err(cannot("rename on the disk", String::from_utf8_lossy(old)))
}

fn exchange(reached: &Reached, run: RunId, step: StepName) -> Result<Facts, Failure> {
    let disk = reached.disk();
    let fresh = restored(run);
    match step {
        // With nothing restored beside, the exchange has happened already.
        "set-aside" if exists(disk, &fresh) && exists(disk, UPPER) && !exists(disk, &before(run)) => {
            rename(disk, UPPER, &before(run))?;
        }
        "set-aside" => {}
        _ if exists(disk, &fresh) => {
            remove(disk, b"work")?; // the overlay makes its own; what is in it belongs to the old upper layer
            rename(disk, &fresh, UPPER)?;
        }
        _ => {}
    }
    sysfs::sync(disk).map_err(cannot("sync", "the disk"))?;
    Ok(Facts::None)
}

fn revert(reached: &Reached, run: RunId) -> Result<Facts, Failure> {
    let disk = reached.disk();
    if exists(disk, &before(run)) {
        if exists(disk, UPPER) && !exists(disk, &restored(run)) {
            rename(disk, UPPER, &restored(run))?;
        }
        remove(disk, b"work")?;
        rename(disk, &before(run), UPPER)?;
    }
    remove(disk, &restored(run))?;
    sysfs::sync(disk).map_err(cannot("sync", "the disk"))?;
    Ok(Facts::None)
}
