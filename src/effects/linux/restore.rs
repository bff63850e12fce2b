//! Restores on this host: files written beside the container's own, the exchange of the two, and its way back.
//!
//! On the disk, `upper` is what the container sees. A run writes `restore-RUN` beside, while it runs; the exchange moves `upper` to
//! `before-RUN` and `restore-RUN` to `upper`. Every step finds by these names how far an earlier try got.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::backup::Watchdog;
use super::failure::cannot;
use super::host::LinuxHost;
use super::listing::known_entries;
use super::paths::RUN;
use super::stores::repository_failure;
use crate::domain::RefusalClass;
use crate::domain::effect::{Facts, Failure, HostEffect};
use crate::effects::EffectContext;
use crate::effects::linux::life::reach::{Reached, UPPER};
use crate::effects::steps::StepName;
use crate::repository::{IdMap, Inode, Outward, Pattern, RestoreOptions, RestoreReport, View, strip};
use crate::sys::fs::{self as sysfs, Access, FileKind};
use crate::types::{BackupId, ContainerId, RunId, Size, StoreId, readings};

/// How many of the entries that could not be restored are named.
const NAMED_MAX: usize = 3;

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
                self.restore_files(*container, *run, (*store, *backup), context)
            }
            HostEffect::ExchangeRoot { run, container } => exchange(&self.reach(*container)?, *run, step),
            HostEffect::RevertRoot { container, .. } | HostEffect::DiscardOldRoot { container, .. }
                if !self.has_disk(*container) =>
            {
                Ok(Facts::None) // what was beside the files is gone with them
            }
            HostEffect::RevertRoot { run, container } => revert(&self.reach(*container)?, *run),
            HostEffect::DiscardOldRoot { run, container } => {
                let reached = self.reach(*container)?;
                remove(reached.disk(), &before(*run))?;
                Ok(Facts::None)
            }
            HostEffect::ExtractFiles { run, backup, store, paths, into, owner, privileges } => {
                let outward = Outward { owner: *owner, privileges: *privileges };
                self.extract(*run, (*store, *backup), paths, (into, outward), context)
            }
            _ => Ok(Facts::None),
        }
    }

    pub(super) fn view(&self, store: StoreId, backup: BackupId) -> Result<View, Failure> {
        let repository = self.repository(store)?;
        let manifest = repository.manifest(backup).map_err(repository_failure)?;
        repository.view(&manifest).map_err(repository_failure)
    }

    /// Lists what is Berth's own on this host: its state and what is in it, also behind links and where it may be mounted a
    /// second time, its keys, and the stores.
    ///
    /// # Errors
    /// A store below `into` does not answer: it may when files come there.
    fn own_directories(&self, into: &Path) -> Result<Vec<Inode>, Failure> {
        let (root, run) = (self.options.paths.root(), self.options.paths.runtime());
        let keys = self.options.key_dir.parent().unwrap_or(&self.options.key_dir); // with those of other logs
        let within = known_entries(root).into_iter().map(|entry| entry.path());
        let own = [root, run, keys, Path::new(RUN)].map(Path::to_owned).into_iter().chain(within);
        let stores = self.places_of_stores(&into.canonicalize().unwrap_or_else(|_| into.to_owned()))?;
        Ok(own.chain(stores).filter_map(|own| inode(&own).ok()).collect())
    }

    fn restore_files(
        &self,
        container: ContainerId,
        run: RunId,
        (store, backup): (StoreId, BackupId),
        context: &EffectContext,
    ) -> Result<Facts, Failure> {
        let (reached, view) = (self.reach(container)?, self.view(store, backup)?);
        let name = restored(run);
        remove(reached.disk(), &name)?; // what an earlier try left is not trusted
        sysfs::make_directory(reached.disk(), &name, 0o755).map_err(cannot("make", "the restored root"))?;
        self.layer_fits(container, &reached, &view)?;
        let target = reached.open(&name)?;
        let options = options(None);
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
        run: RunId,
        (store, backup): (StoreId, BackupId),
        paths: &[String],
        (into, outward): (&str, Outward),
        context: &EffectContext,
    ) -> Result<Facts, Failure> {
        let view = self.view(store, backup)?;
        let is_there = |pattern: &Pattern| view.files(vec![pattern.clone()]).next().is_some();
        let meant = |path: &String| readings(path).iter().map(|path| Pattern::literal(path)).find(is_there);
        let found: Vec<Option<Pattern>> = paths.iter().map(meant).collect();
        let is_absent = |(_, found): &(&String, &Option<Pattern>)| found.is_none();
        let absent: Vec<&str> = paths.iter().zip(&found).filter(is_absent).map(|(path, _)| path.as_str()).collect();
        let patterns: Vec<Pattern> = found.iter().flatten().cloned().collect();
        if patterns.is_empty() && !paths.is_empty() {
            let failure = Failure::permanent(format!("the backup has nothing at {}", paths.join(", ")));
            return Err(failure.classed(RefusalClass::NotFound));
        }
        self.files_fit(Path::new(into), &view, patterns.clone())?;
        let aside = format!(".berth-restored-{run}").into_bytes();
        let closed = self.own_directories(Path::new(into))?;
        let target =
            private_directory(Path::new(into), &aside, outward.owner, &closed).map_err(cannot("make", into))?;
        let options = RestoreOptions { closed, ..options(Some(aside)) };
        let guard = Watchdog::begin(context, &options.cancelled);
        let report = view.extract(patterns, target.as_fd(), outward, &options, &mut |counters| {
            context.report("restoring", counters.entries, None);
        });
        drop(guard);
        Ok(without(mostly_finished(&report.map_err(repository_failure)?)?, &absent))
    }
}

fn options(overwrite: Option<Vec<u8>>) -> RestoreOptions {
    let cancelled = Arc::new(AtomicBool::new(false));
    RestoreOptions { ids: IdMap::IDENTITY, outward: None, overwrite, closed: Vec::new(), cancelled }
}

fn inode(directory: &Path) -> io::Result<Inode> {
    let found = sysfs::stat(sysfs::open_root(directory)?.as_fd())?;
    Ok((found.inode, found.device))
}

/// Refuses a directory that is one of these or lies in one: by what they are, not by their names, which may have changed since
/// somebody looked at them.
fn require_free(open: BorrowedFd<'_>, closed: &[Inode]) -> io::Result<()> {
    let place = sysfs::path_of(open)?;
    match place.ancestors().find(|above| inode(above).is_ok_and(|found| closed.contains(&found))) {
        None => Ok(()),
        Some(own) => Err(io::Error::other(format!("Berth keeps {} for itself", own.display()))),
    }
}

/// Opens a directory of the host; what is missing on the way is made, for its owner alone and with nothing inherited. Each is
/// made under the name `aside` first, which nobody else has: one that has its own name is whole, whenever this was cut off.
fn private_directory(path: &Path, aside: &[u8], owner: Option<(u32, u32)>, closed: &[Inode]) -> io::Result<OwnedFd> {
    match sysfs::open_root(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => {
            let opened = opened?;
            require_free(opened.as_fd(), closed)?; // before anything is made there
            return Ok(opened);
        }
    }
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let above = private_directory(above, aside, owner, closed)?;
    let _ = sysfs::unlink_directory(above.as_fd(), aside); // of an earlier try
    sysfs::make_directory(above.as_fd(), aside, 0o700)?;
    let made = sysfs::open_beneath(above.as_fd(), aside, Access::Directory)?;
    strip(made.as_fd(), FileKind::Directory, &[])?;
    if let Some((user, group)) = owner {
        sysfs::set_owner(made.as_fd(), user, group)?;
    }
    sysfs::set_mode(made.as_fd(), 0o700)?;
    sysfs::rename_new(above.as_fd(), aside, above.as_fd(), name.as_bytes())?;
    Ok(made)
}

/// A container that lacks something is not restored: what is missing is named.
fn finished(report: &RestoreReport) -> Result<Facts, Failure> {
    if let Some(trouble) = trouble(report) {
        return Err(Failure::permanent(trouble));
    }
    mostly_finished(report)
}

/// Somebody who wants files in a directory has those that could be written; the others are told. Nothing at all is a failure.
fn mostly_finished(report: &RestoreReport) -> Result<Facts, Failure> {
    let (counters, left_out, trouble) = (&report.counters, report.left_out, trouble(report));
    if report.written == 0 {
        match &trouble {
            Some(trouble) => return Err(Failure::permanent(trouble.clone())),
            None if left_out.devices > 0 => {
                return Err(Failure::permanent(format!("nothing was written; left out: {left_out}")));
            }
            None => {}
        }
    }
    let (entries, written) = (counters.entries, Size::from_bytes(counters.data_bytes));
    Ok(Facts::Restored { entries, written, left_out, trouble })
}

/// Says how much is not as in the backup: what is missing, and what is there but for something that was refused.
fn trouble(report: &RestoreReport) -> Option<String> {
    let (all, missing) = (&report.exceptions, report.missing);
    let first: Vec<_> = all.iter().take(NAMED_MAX).map(|one| format!("{}: {}", one.path, one.reason)).collect();
    let more = if all.len() > NAMED_MAX { "; …" } else { "" };
    let counted = match missing {
        0 => "all entries are there, but not wholly restored".to_owned(),
        1 => "1 entry could not be restored".to_owned(),
        _ => format!("{missing} entries could not be restored"),
    };
    (!all.is_empty()).then(|| format!("{counted}: {}{more}", first.join("; ")))
}

/// Adds the paths that the backup does not have: whoever named several has the others, and is told.
fn without(facts: Facts, absent: &[&str]) -> Facts {
    match facts {
        Facts::Restored { entries, written, left_out, trouble } if !absent.is_empty() => {
            let absent = format!("the backup has nothing at {}", absent.join(", "));
            let trouble = Some(trouble.map_or(absent.clone(), |trouble| format!("{trouble}; {absent}")));
            Facts::Restored { entries, written, left_out, trouble }
        }
        facts => facts,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::Exception;

    #[test]
    fn a_path_is_one_from_the_root_on() {
        for path in ["/srv/www", "srv/www", "/srv/www/"] {
            let pattern = Pattern::literal(path.as_bytes());
            assert!(pattern.covers(b"srv/www/index.html"), "{path}");
            assert!(!pattern.covers(b"home/ann/srv/www"), "{path}: another directory of that name");
        }
        assert!(Pattern::literal(b"/").covers(b"etc/hosts"));
        let page = Pattern::literal(b"/srv/[slug]/*?.js");
        assert!(page.covers(b"srv/[slug]/*?.js") && !page.covers(b"srv/s/ab.js"), "a name is no pattern");
    }

    fn report(entries: u64, failed: &[&str]) -> RestoreReport {
        let counters = crate::repository::Counters { entries, ..Default::default() };
        let exceptions = failed.iter().map(|path| Exception::new(path.as_bytes(), "it is there already")).collect();
        let missing = failed.len() as u64;
        RestoreReport { counters, written: entries, missing, exceptions, ..RestoreReport::default() }
    }

    #[test]
    fn what_could_not_be_written_is_counted_and_named_and_the_rest_is_there() {
        let Facts::Restored { trouble, .. } = mostly_finished(&report(9, &["a", "b", "c", "d"])).unwrap() else {
            panic!("no files");
        };
        let words = "4 entries could not be restored: a: it is there already; b: it is there already; c: it is there \
                     already; …";
        assert_eq!(trouble.as_deref(), Some(words));
        assert!(finished(&report(9, &["a"])).is_err(), "a container without one of its files is not restored");
    }

    #[test]
    fn nothing_written_is_a_failure_and_what_is_there_is_not_called_missing() {
        assert!(mostly_finished(&report(0, &["a"])).unwrap_err().reason.starts_with("1 entry could not"));
        let devices = crate::types::LeftOut { devices: 1, ..Default::default() };
        let left_out = RestoreReport { left_out: devices, ..report(0, &[]) };
        let words = "nothing was written; left out: device nodes: 1";
        assert_eq!(mostly_finished(&left_out).unwrap_err().reason, words);
        assert!(mostly_finished(&report(0, &[])).is_ok(), "an empty directory that is there");
        let Facts::Restored { entries, trouble, .. } =
            mostly_finished(&RestoreReport { missing: 0, ..report(2, &["a", "a", "b"]) }).unwrap()
        else {
            panic!("no files");
        };
        let words = "all entries are there, but not wholly restored: a: it is there already; a: it is there already; \
                     b: it is there already";
        assert_eq!((entries, trouble.as_deref()), (2, Some(words)));
    }
}
