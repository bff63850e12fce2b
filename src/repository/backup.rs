//! A backup in steps: a live pass while the container runs, a frozen pass over what changed since, the commit.
//!
//! A stopped or suspended container needs one pass only. Each pass walks the whole tree and compares it, name by name, with
//! a catalogue: the live pass with that of the base, the frozen pass with that of the live pass. A file is unchanged if size,
//! modification time, change time and inode are the same and its change time was not within 20 ms of being looked at: the
//! kernel's clock ticks that coarsely, so a later change could bear the same time stamp. What a program stores in a page that it
//! has mapped moves the time stamps once, until the page is written back: so the dirty pages of a file are written back before
//! it is read, and whatever is stored later moves them again. File systems in memory write nothing back; there it is missed.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::catalogue::{BlockReference, Catalogue};
use super::error::{Error, Result};
use super::id_map::IdMap;
use super::manifest::{BackupKind, CatalogueReference, Counters, Exception, Manifest, Outcome, TreeDigest};
use super::pass::{Pass, PassResult};
use super::pattern::Pattern;
use super::store::Repository;
use super::writer::Writer;
use crate::types::{BackupId, Clock, ContainerId, Timestamp};

/// The longest piece of a catalogue's list of blocks.
const LIST_PIECE: usize = 1 << 20;

/// Is told how far a backup or a restore is, after every file and every few megabytes.
pub type Progress<'a> = dyn FnMut(&Counters) + 'a;

/// Says how a backup is to be taken.
#[derive(Clone)]
pub struct BackupOptions {
    /// How ids of the tree map to those of the container.
    pub ids: IdMap,
    /// Reads every file again, whatever its time stamps say.
    pub full: bool,
    /// The backup to compare with.
    pub base: Option<BackupId>,
    /// What to leave out at the user's wish.
    pub exclude: Vec<Pattern>,
    /// Tells when a file was looked at.
    pub clock: Arc<dyn Clock>,
    /// Is set by whoever wants the backup to stop.
    pub cancelled: Arc<AtomicBool>,
}

/// Says about a backup what its trees do not.
#[derive(Debug, Clone)]
pub struct Particulars {
    /// The id to give it.
    pub id: BackupId,
    /// Of which container.
    pub container: ContainerId,
    /// What the container is called.
    pub name: String,
    /// When it was begun.
    pub started_at: Timestamp,
    /// When it is committed.
    pub finished_at: Timestamp,
    /// The template below the container's own files.
    pub template: Option<TreeDigest>,
    /// The container's configuration.
    pub configuration: Vec<u8>,
    /// What the user wrote to it.
    pub note: String,
    /// What the caller could not do, to be listed with what could not be read.
    pub exceptions: Vec<Exception>,
}

/// Is what a pass found.
#[derive(Debug, Clone)]
pub struct PassReport {
    /// What was done, in all passes so far.
    pub counters: Counters,
    /// What could not be read in this pass.
    pub exceptions: Vec<Exception>,
}

struct Done {
    catalogue: CatalogueReference,
    entries: Catalogue,
    exceptions: Vec<Exception>,
}

/// Is a backup that is being taken. Dropping it leaves nothing but garbage in the store.
pub struct Session {
    repository: Repository,
    options: BackupOptions,
    writer: Writer,
    base: Option<Catalogue>,
    last: Option<Done>,
    counters: Counters,
}

impl Session {
    /// Begins a backup.
    ///
    /// # Errors
    /// `ReadOnly` if this node may not write; `Missing` or `Damaged` if the base cannot be read.
    pub fn begin(repository: &Repository, options: BackupOptions) -> Result<Self> {
        repository.require_writable()?;
        let base = match options.base {
            Some(id) => Some(repository.catalogue(&repository.manifest(id)?.catalogue)?),
            None => None,
        };
        let writer = Writer::new(repository.clone());
        Ok(Self { repository: repository.clone(), options, writer, base, last: None, counters: Counters::default() })
    }

    /// Walks the tree at `root` while its owner may be writing, or the only time if nobody is.
    ///
    /// # Errors
    /// `Cancelled`; what the store says. What the tree refuses is listed in the report.
    pub fn live_pass(&mut self, root: BorrowedFd<'_>, progress: &mut Progress<'_>) -> Result<PassReport> {
        let base = if self.options.full { None } else { self.base.clone() };
        let report = self.pass(root, base, progress)?;
        self.writer.flush()?;
        Ok(report)
    }

    /// Walks the tree again while nobody can write, and reads what changed since the live pass.
    ///
    /// Nothing is synced here, so that the frozen time stays short; `commit` does that.
    ///
    /// # Errors
    /// `Order` if there was no live pass; else as `live_pass`.
    pub fn frozen_pass(&mut self, root: BorrowedFd<'_>, progress: &mut Progress<'_>) -> Result<PassReport> {
        let live = self.last.take().ok_or(Error::Order("a frozen pass needs a live pass before it"))?;
        self.pass(root, Some(live.entries), progress)
    }

    fn pass(
        &mut self,
        root: BorrowedFd<'_>,
        previous: Option<Catalogue>,
        progress: &mut Progress<'_>,
    ) -> Result<PassReport> {
        self.counters.entries = 0;
        self.counters.data_bytes = 0;
        let mut pass = Pass::new(&self.options, &self.repository, &mut self.writer, &mut self.counters, previous);
        let found = pass.run(root, progress)?;
        let PassResult { blocks, entries, exceptions } = found;
        let catalogue = put_list(&mut self.writer, &blocks, entries)?;
        let reader = Arc::new(super::reader::Reader::new(self.repository.clone()));
        let entries = Catalogue::new(blocks, reader);
        self.last = Some(Done { catalogue, entries, exceptions: exceptions.clone() });
        Ok(PassReport { counters: self.counters, exceptions })
    }

    /// Makes everything durable and writes the manifest: from then on the backup exists.
    ///
    /// # Errors
    /// `Order` if there was no pass, `Exists` if the id is taken; what the store says.
    pub fn commit(mut self, particulars: Particulars) -> Result<Manifest> {
        let done = self.last.take().ok_or(Error::Order("a backup needs a pass before it is committed"))?;
        if self.options.cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        if self.repository.backups()?.contains(&particulars.id) {
            return Err(Error::Exists { what: format!("backup {}", particulars.id) });
        }
        self.writer.flush()?;
        let manifest = self.manifest(done, particulars);
        self.repository.put_document(&format!("manifests/{}", manifest.id), &manifest)?;
        Ok(manifest)
    }

    /// Makes everything durable and returns the catalogue, without making a backup of it.
    pub(super) fn finish_catalogue(mut self) -> Result<CatalogueReference> {
        self.writer.flush()?;
        self.last.take().map(|done| done.catalogue).ok_or(Error::Order("there was no pass"))
    }

    fn manifest(&self, done: Done, particulars: Particulars) -> Manifest {
        let mut exceptions = done.exceptions;
        exceptions.extend(particulars.exceptions);
        let incremental = self.base.is_some() && !self.options.full;
        Manifest {
            id: particulars.id,
            container: particulars.container,
            name: particulars.name,
            started_at: particulars.started_at,
            finished_at: particulars.finished_at,
            kind: if incremental { BackupKind::Incremental } else { BackupKind::Full },
            base: self.options.base.filter(|_| incremental),
            template: particulars.template,
            configuration: particulars.configuration,
            note: particulars.note,
            excluded: self.options.exclude.iter().map(ToString::to_string).collect(),
            counters: Counters {
                stored_bytes: self.writer.stored_bytes,
                new_bytes: self.writer.new_bytes,
                ..self.counters
            },
            outcome: if exceptions.is_empty() { Outcome::Complete } else { Outcome::CompleteWithExceptions },
            exceptions,
            catalogue: done.catalogue,
        }
    }
}

/// Puts the list of a catalogue's blocks into the store.
pub(super) fn put_list(writer: &mut Writer, blocks: &[BlockReference], entries: u64) -> Result<CatalogueReference> {
    let list = Catalogue::encode_blocks(blocks);
    let index = list.chunks(LIST_PIECE).map(|piece| writer.put_catalogue(piece)).collect::<Result<Vec<_>>>()?;
    Ok(CatalogueReference { index, entries })
}
