//! Restores on this host: files written beside the container's own, the exchange of the two, and its way back.
//!
//! On the disk, `upper` is what the container sees. A run writes `restore-RUN`, the exchange moves `upper` to
//! `before-RUN` and `restore-RUN` to `upper`. Every step finds by these names how far an earlier try got.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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
use crate::repository::{IdMap, Manifest, Merged, Pattern, Reader, Repository, RestoreOptions, RestoreReport, restore, select};
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

    fn open_backup(&self, store: StoreId, backup: BackupId) -> Result<(Repository, Manifest), Failure> {
        let repository = self.repository(store)?;
        let manifest = repository.manifest(backup).map_err(repository_failure)?;
        Ok((repository, manifest))
    }

    fn restore_files(
        &self,
        reached: &Reached,
        run: RunId,
        (store, backup): (StoreId, BackupId),
        context: &EffectContext,
    ) -> Result<Facts, Failure> {
        let (repository, manifest) = self.open_backup(store, backup)?;
        let name = restored(run);
        remove(reached.disk(), &name)?; // what an earlier try left is not trusted
        sysfs::make_directory(reached.disk(), &name, 0o755).map_err(cannot("make", "the restored root"))?;
        let target = reached.open(&name)?;
        let catalogue = repository.catalogue(&manifest.catalogue).map_err(repository_failure)?;
        let entries = catalogue.entries().map(|entry| entry.map(|entry| (entry, true)));
        let report = write(entries, &repository, &target, (false, false), context)?;
        sysfs::sync_file_system(target.as_fd()).map_err(cannot("sync", "the restored root"))?;
        finished(&report)
    }

    fn extract(
        &self,
        (store, backup): (StoreId, BackupId),
        paths: &[String],
        into: &str,
        context: &EffectContext,
    ) -> Result<Facts, Failure> {
        let (repository, manifest) = self.open_backup(store, backup)?;
        std::fs::create_dir_all(into).map_err(cannot("make", into))?;
        let target = sysfs::open_root(std::path::Path::new(into)).map_err(cannot("open", into))?;
        let merged = self.merged(&repository, &manifest)?;
        let patterns = paths.iter().map(|path| Pattern::new(path.trim_start_matches('/').as_bytes())).collect();
        let report = write(select(merged, patterns), &repository, &target, (true, true), context)?;
        if report.counters.entries == 0 {
            let reason = format!("the backup has nothing at {}", paths.join(", "));
            return Err(Failure::permanent(reason));
        }
        finished(&report)
    }

    /// Returns the tree as the container saw it, template included where the store knows it.
    pub(super) fn merged(&self, repository: &Repository, manifest: &Manifest) -> Result<Merged, Failure> {
        let upper = repository.catalogue(&manifest.catalogue).map_err(repository_failure)?;
        let template = match manifest.template {
            Some(digest) => repository.template_catalogue(digest).map_err(repository_failure)?,
            None => None,
        };
        Ok(Merged::new(&upper, template))
    }
}

fn write(
    entries: impl Iterator<Item = crate::repository::Result<(crate::repository::catalogue::Entry, bool)>>,
    repository: &Repository,
    target: &OwnedFd,
    (plain, overwrite): (bool, bool),
    context: &EffectContext,
) -> Result<RestoreReport, Failure> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let guard = Watchdog::begin(context, &cancelled);
    let options = RestoreOptions { ids: IdMap::default(), plain, overwrite, cancelled };
    let reader = Reader::new(repository.clone());
    let report = restore(entries, &reader, target.as_fd(), &options, &mut |counters| {
        context.report("restoring", counters.entries, None);
    });
    drop(guard);
    report.map_err(repository_failure)
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
        "set-aside" => {
            // With nothing restored beside, the exchange has happened already.
            if exists(disk, &fresh) && exists(disk, UPPER) && !exists(disk, &before(run)) {
                rename(disk, UPPER, &before(run))?;
            }
        }
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
