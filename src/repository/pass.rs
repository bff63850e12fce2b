//! One walk over a tree, side by side with an earlier catalogue of it: what is unchanged is taken over, the rest is read.

use std::io;
use std::iter::Peekable;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use super::backup::{BackupOptions, Progress};
use super::catalogue::{BlockReference, Catalogue, CatalogueWriter, Entries, Entry, FileContent, Node, order};
use super::content::{ContentReader, ReadError, Stored};
use super::error::{Error, Result};
use super::manifest::{Counters, Exception};
use super::store::Repository;
use super::walk::{Found, LinkNames, Step, Walk};
use super::writer::Writer;
use crate::sys::fs::{FileKind, Moment, stat, write_back};
use crate::types::Timestamp;

/// How close to a look a change may be for its time stamp to prove nothing.
const RACY_MICROS: i64 = 20_000;
/// How often a file that changes while it is read is read again.
const ATTEMPTS: usize = 3;

/// Is what one pass made.
pub struct PassResult {
    /// The blocks of the catalogue.
    pub blocks: Vec<BlockReference>,
    /// How many entries they have.
    pub entries: u64,
    /// What could not be read.
    pub exceptions: Vec<Exception>,
}

/// Walks a tree once.
pub struct Pass<'a> {
    options: &'a BackupOptions,
    repository: &'a Repository,
    writer: &'a mut Writer,
    contents: ContentReader,
    counters: &'a mut Counters,
    previous: Option<Peekable<Entries>>,
    links: LinkNames<FileContent>,
    exceptions: Vec<Exception>,
}

impl<'a> Pass<'a> {
    /// Begins a pass that is compared with `previous`.
    pub fn new(
        options: &'a BackupOptions,
        repository: &'a Repository,
        writer: &'a mut Writer,
        counters: &'a mut Counters,
        previous: Option<Catalogue>,
    ) -> Self {
        let contents = ContentReader::new(repository.clone());
        let previous = previous.map(|catalogue| catalogue.entries().peekable());
        let (links, exceptions) = (LinkNames::new(), Vec::new());
        Self { options, repository, writer, contents, counters, previous, links, exceptions }
    }

    /// Walks the tree at `root`.
    ///
    /// # Errors
    /// `Cancelled`; what the store says; an unreadable root.
    pub fn run(&mut self, root: BorrowedFd<'_>, progress: &mut Progress<'_>) -> Result<PassResult> {
        let mut walk = Walk::new(root).map_err(Error::io("open", "the root of the tree"))?;
        let mut catalogue = CatalogueWriter::default();
        loop {
            let looked_at = self.options.clock.now();
            let Some(step) = walk.step() else { break };
            self.alive()?;
            match step {
                Step::Unreadable { path, error } if path.is_empty() => {
                    return Err(Error::io("read", "the root of the tree")(error));
                }
                Step::Unreadable { path, error } => self.exceptions.push(Exception::new(&path, error)),
                Step::Found(found) => {
                    if let Some(entry) = self.visit(&mut walk, &found, looked_at, progress)? {
                        catalogue.push(&entry, &mut |block| self.writer.put_catalogue(block))?;
                        self.count(&entry, progress);
                    }
                }
            }
        }
        let (blocks, entries) = catalogue.finish(&mut |block| self.writer.put_catalogue(block))?;
        Ok(PassResult { blocks, entries, exceptions: std::mem::take(&mut self.exceptions) })
    }

    fn alive(&self) -> Result<()> {
        if self.options.cancelled.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    fn count(&mut self, entry: &Entry, progress: &mut Progress<'_>) {
        self.counters.entries += 1;
        if entry.hard_link.is_none() {
            self.counters.data_bytes += entry.file().map_or(0, FileContent::data_length);
        }
        self.counters.new_bytes = self.writer.new_bytes;
        self.counters.stored_bytes = self.writer.stored_bytes;
        progress(self.counters);
    }

    fn visit(
        &mut self,
        walk: &mut Walk,
        found: &Found,
        looked_at: Timestamp,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Entry>> {
        let excluded = |path: &[u8]| self.options.exclude.iter().any(|pattern| pattern.covers(path));
        if !found.path.is_empty() && excluded(&found.path) {
            walk.skip_children();
            return Ok(None);
        }
        let previous = self.previous_of(&found.path)?;
        let first = self.links.first(found);
        let mut entry = match previous.filter(|previous| self.is_unchanged(previous, found)) {
            Some(previous) => self.taken_over(previous, found),
            None => match self.read(walk, found, looked_at, first.as_ref().map(|(_, content)| content), progress)? {
                Some(entry) => entry,
                None => return Ok(None),
            },
        };
        match first {
            Some((path, _)) => entry.hard_link = Some(path),
            None => self.links.remember(found, entry.file().cloned().unwrap_or_default()),
        }
        Ok(Some(entry))
    }

    fn previous_of(&mut self, path: &[u8]) -> Result<Option<Entry>> {
        let Some(previous) = &mut self.previous else { return Ok(None) };
        while let Some(Ok(entry)) = previous.peek() {
            if order(&entry.path, path).is_ge() {
                break;
            }
            previous.next();
        }
        match previous.peek() {
            Some(Ok(entry)) if entry.path == path => previous.next().transpose(),
            // A base that cannot be read on is no base: the rest is read in full.
            Some(Err(_)) => {
                self.previous = None;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn is_unchanged(&self, previous: &Entry, found: &Found) -> bool {
        let metadata = &found.metadata;
        let same_kind = match (&previous.node, metadata.kind) {
            (Node::File(content), FileKind::Regular) => content.size == metadata.size,
            (Node::Directory, FileKind::Directory)
            | (Node::Symlink { .. }, FileKind::Symlink)
            | (Node::CharDevice { .. }, FileKind::CharDevice)
            | (Node::BlockDevice { .. }, FileKind::BlockDevice)
            | (Node::Fifo, FileKind::Fifo)
            | (Node::Socket, FileKind::Socket) => true,
            _ => false,
        };
        let stamps = |modified, changed, inode| (modified, changed, inode);
        same_kind
            && !previous.racy
            && stamps(previous.modified, previous.changed, previous.inode)
                == stamps(metadata.modified, metadata.changed, metadata.inode)
            && previous
                .file()
                .is_none_or(|content| content.chunks.iter().all(|chunk| self.repository.contains(&chunk.id)))
    }

    fn taken_over(&self, previous: Entry, found: &Found) -> Entry {
        let ids = self.options.ids;
        let (owner, group) = (ids.inward(found.metadata.uid), ids.inward(found.metadata.gid));
        Entry { owner, group, links: found.metadata.links, hard_link: None, ..previous }
    }

    fn read(
        &mut self,
        walk: &mut Walk,
        found: &Found,
        mut looked_at: Timestamp,
        known: Option<&FileContent>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Entry>> {
        for attempt in 1..=ATTEMPTS {
            match self.read_once(walk, found, known, progress) {
                Ok((mut entry, torn)) => {
                    entry.racy = is_racy(entry.changed, looked_at) || torn;
                    if torn && attempt < ATTEMPTS {
                        looked_at = self.options.clock.now();
                        continue;
                    }
                    if torn {
                        let reason = "it changed while it was read, three times; what is stored may be of two moments";
                        self.exceptions.push(Exception::new(&found.path, reason));
                    }
                    return Ok(Some(entry));
                }
                Err(ReadError::Fatal(error)) => return Err(error),
                Err(ReadError::Source(error)) if error.kind() == io::ErrorKind::Interrupted && attempt < ATTEMPTS => {
                    looked_at = self.options.clock.now();
                }
                Err(ReadError::Source(error)) => return Ok(self.refused(walk, found, &error)),
            }
        }
        Ok(None)
    }

    fn refused(&mut self, walk: &mut Walk, found: &Found, error: &io::Error) -> Option<Entry> {
        walk.skip_children(); // What lies in a directory that is not there cannot be restored either.
        if error.kind() != io::ErrorKind::NotFound {
            self.exceptions.push(Exception::new(&found.path, error));
        }
        None
    }

    fn read_once(
        &mut self,
        walk: &mut Walk,
        found: &Found,
        known: Option<&FileContent>,
        progress: &mut Progress<'_>,
    ) -> std::result::Result<(Entry, bool), ReadError> {
        let (mut entry, file) = walk.describe(found, self.options.ids)?;
        let Some(file) = file else { return Ok((entry, false)) };
        if let Some(content) = known.filter(|_| entry.inode == found.metadata.inode) {
            entry.node = Node::File(content.clone());
            return Ok((entry, false));
        }
        let Stored { content, torn } = self.store(&file, progress)?;
        entry.node = Node::File(content);
        Ok((entry, torn))
    }

    fn store(&mut self, file: &OwnedFd, progress: &mut Progress<'_>) -> std::result::Result<Stored, ReadError> {
        let metadata = stat(file.as_fd())?;
        // After the look at its time stamps and before its bytes: what a program stores in a page that it has mapped moves no
        // stamp while that page is dirty, so none is to be when it is read. Whatever is stored later makes the file another.
        let _ = write_back(file.as_fd()); // what a disk has against it is told by the syncs of the file system
        let (counters, cancelled) = (&mut *self.counters, &self.options.cancelled);
        let mut alive = |read: u64| {
            counters.read_bytes += read;
            progress(counters);
            if cancelled.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
        };
        self.contents.store(self.writer, file.as_fd(), &metadata, &mut alive)
    }
}

fn is_racy(changed: Moment, looked_at: Timestamp) -> bool {
    let micros = changed.seconds.saturating_mul(1_000_000).saturating_add(i64::from(changed.nanos / 1_000));
    micros >= looked_at.as_micros().saturating_sub(RACY_MICROS)
}
