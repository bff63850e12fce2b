//! Writes entries back as files, below a directory descriptor and nowhere else.
//!
//! Entries come in the order of the catalogue. A directory gets its owner, mode and times when everything in it is done;
//! immutable and append-only marks come at the very end, because nothing can be changed, linked or dated under them. What a
//! file system refuses is listed, entry by entry; a file whose content is damaged is not left behind in part, and what it would
//! have taken the place of stays.

mod attributes;
mod bare;
mod directories;
mod outward;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::backup::Progress;
use super::catalogue::{Entry, FileContent, Node, is_beneath};
use super::data::{Trouble, write_content};
use super::error::{Error, Result};
use super::id_map::IdMap;
use super::manifest::{Counters, Exception};
use super::reader::Reader;
use crate::sys::fs::{
    self, Access, DirectoryStack, FileKind, create_file, make_node, make_symlink, open_beneath, set_length, stat_at,
    unlink, write_at,
};
use crate::types::LeftOut;

use attributes::Marked;

pub use bare::strip;
pub use outward::Outward;

/// Is what a file system and those beside it know a file by: its number, and that of its device.
pub type Inode = (u64, (u32, u32));

/// Says how entries become files.
#[derive(Clone)]
pub struct RestoreOptions {
    /// How ids of the container map to those of the tree that is written.
    pub ids: IdMap,
    /// What goes along to a place outside of the container; nothing if the place is an upper layer, which takes all there is.
    pub outward: Option<Outward>,
    /// Replaces files that are there, with the help of this name, which nobody else may have; else each is an exception.
    pub overwrite: Option<Vec<u8>>,
    /// Directories, by inode and device, into which nothing is written, however one gets there.
    pub closed: Vec<Inode>,
    /// Is set by whoever wants the restore to stop.
    pub cancelled: Arc<AtomicBool>,
}

/// Is what a restore did.
#[derive(Debug, Clone, Default)]
pub struct RestoreReport {
    /// How many entries are there, of those that were wanted, and how many bytes.
    pub counters: Counters,
    /// How many of them were not there before; a directory that was is not counted.
    pub written: u64,
    /// How many are not there.
    pub missing: u64,
    /// What could not be restored, or not wholly.
    pub exceptions: Vec<Exception>,
    /// What did not go along.
    pub left_out: LeftOut,
}

/// Refuses a directory that has something in it; `lost+found` of a fresh file system does not count.
///
/// # Errors
/// `NotEmpty` with the first name found; what the kernel says.
pub fn require_empty(target: BorrowedFd<'_>) -> Result<()> {
    let found = fs::names(target).map_err(Error::io("list", "the directory to restore into"))?;
    match found.iter().find(|name| name.as_slice() != b"lost+found") {
        Some(name) => Err(Error::NotEmpty { name: fs::display_path(name) }),
        None => Ok(()),
    }
}

/// Restores entries below `target`; those marked `false` only lead to others and are left as they are if they exist.
///
/// # Errors
/// `Cancelled`; a full or unwritable target; what the store says, except that damaged files are listed.
pub fn restore(
    entries: impl Iterator<Item = Result<(Entry, bool)>>,
    reader: &Reader,
    target: BorrowedFd<'_>,
    options: &RestoreOptions,
    progress: &mut Progress<'_>,
) -> Result<RestoreReport> {
    let mut restore = Restore::new(reader, target, options)?;
    for entry in entries {
        let (entry, wanted) = entry?;
        restore.take(entry, wanted)?;
        progress(&restore.report.counters);
        if options.cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
    }
    restore.finish()
}

struct Restore<'a> {
    reader: &'a Reader,
    target: OwnedFd,
    options: &'a RestoreOptions,
    stack: DirectoryStack,
    open: Vec<Level>,
    failed: Option<Vec<u8>>,
    links: HashMap<Vec<u8>, Vec<u8>>,
    marks: Vec<Marked>,
    report: RestoreReport,
}

/// Is a directory whose entries are being restored.
struct Level {
    entry: Entry,
    /// It gets its owner, mode and times from the backup.
    wanted: bool,
    /// Nobody else can reach into it yet, and nothing is inherited from it.
    fresh: bool,
}

impl<'a> Restore<'a> {
    fn new(reader: &'a Reader, target: BorrowedFd<'_>, options: &'a RestoreOptions) -> Result<Self> {
        let wrong = Error::io("open", "the directory to restore into");
        let stack = DirectoryStack::new(target, true).map_err(wrong)?;
        let target =
            open_beneath(target, b"", Access::Directory).map_err(Error::io("open", "the directory to restore into"))?;
        let (open, failed, links, marks) = (Vec::new(), None, HashMap::new(), Vec::new());
        Ok(Self { reader, target, options, stack, open, failed, links, marks, report: RestoreReport::default() })
    }

    fn take(&mut self, mut entry: Entry, wanted: bool) -> Result<()> {
        if self.failed.as_ref().is_some_and(|failed| is_beneath(&entry.path, failed)) {
            self.report.missing += u64::from(wanted);
            return Ok(()); // Its directory is not there, and that is listed.
        }
        self.leave(&entry.path)?;
        if let Some(outward) = self.options.outward
            && !outward.admit(&mut entry, &mut self.report.left_out)
        {
            return Ok(());
        }
        match self.make(&entry, wanted) {
            Ok(()) => {
                self.count(&entry, wanted);
                Ok(())
            }
            Err(Trouble::Fatal(error)) => Err(error),
            Err(Trouble::Entry(reason)) => {
                self.note(&entry.path, reason);
                self.report.missing += u64::from(wanted);
                if entry.node == Node::Directory {
                    self.failed = Some(entry.path);
                }
                Ok(())
            }
        }
    }

    /// Counts what is there now. A place outside is no entry itself, and what only leads to others was not asked for.
    fn count(&mut self, entry: &Entry, wanted: bool) {
        if wanted && (!entry.path.is_empty() || self.options.outward.is_none()) {
            let was_there = entry.node == Node::Directory && !self.open.last().is_some_and(|level| level.fresh);
            self.report.counters.entries += 1;
            self.report.written += u64::from(!was_there);
        }
    }

    fn note(&mut self, path: &[u8], reason: impl std::fmt::Display) {
        self.report.exceptions.push(Exception::new(path, reason));
    }

    fn make(&mut self, entry: &Entry, wanted: bool) -> std::result::Result<(), Trouble> {
        if entry.node == Node::Directory {
            return self.enter(entry, wanted);
        }
        let name = last_name(&entry.path).to_vec();
        let taken = self.is_taken(&name)?;
        let first = entry.hard_link.clone().unwrap_or_else(|| entry.path.clone());
        if let Some(made) = self.links.get(&first) {
            let file = open_deep(self.target.as_fd(), made)?;
            if taken {
                unlink(self.stack.top()?, &name)?;
            }
            return Ok(fs::link(file.as_fd(), self.stack.top()?, &name)?);
        }
        if taken {
            self.replace_node(entry, &name)?;
        } else {
            self.make_whole(entry, &name)?;
        }
        if entry.links > 1 || entry.hard_link.is_some() {
            self.links.insert(first, entry.path.clone());
        }
        Ok(())
    }

    /// Tells whether the name has to be taken from something.
    fn is_taken(&mut self, name: &[u8]) -> std::result::Result<bool, Trouble> {
        match stat_at(self.stack.top()?, name) {
            Err(_) => Ok(false),
            Ok(found) if found.kind == FileKind::Directory => {
                Err(Trouble::Entry("a directory of this name is there".to_owned()))
            }
            Ok(_) if self.options.overwrite.is_some() => Ok(true),
            Ok(_) => Err(Trouble::Entry("it is there already".to_owned())),
        }
    }

    /// Makes it beside and moves it over what has the name: until it is whole, that stays.
    fn replace_node(&mut self, entry: &Entry, name: &[u8]) -> std::result::Result<(), Trouble> {
        let Some(aside) = self.options.overwrite.as_deref() else { return self.make_whole(entry, name) };
        let _ = unlink(self.stack.top()?, aside); // of an earlier try
        self.make_whole(entry, aside)?;
        let directory = self.stack.top()?;
        let moved = fs::rename(directory, aside, directory, name);
        if moved.is_err() {
            unlink(directory, aside)?;
        }
        Ok(moved?)
    }

    fn make_whole(&mut self, entry: &Entry, name: &[u8]) -> std::result::Result<(), Trouble> {
        let file = self.make_node(entry, name)?;
        let found = fs::stat(file.as_fd())?;
        if found.kind != kind_of(&entry.node) || found.links != 1 {
            return Err(Trouble::Entry(REPLACED.to_owned()));
        }
        if self.inherits() {
            let bare = strip(file.as_fd(), found.kind, &entry.attributes);
            self.try_to(entry, "take away what the directory gave it", bare);
        }
        self.finish_node(entry, file.as_fd());
        Ok(())
    }

    /// Tells whether the present directory was there before: it may have something to hand down, and others may reach in.
    fn inherits(&self) -> bool {
        !self.open.last().is_some_and(|level| level.fresh)
    }

    fn make_node(&mut self, entry: &Entry, name: &[u8]) -> std::result::Result<OwnedFd, Trouble> {
        let directory = self.stack.top()?;
        let node = |kind, number| make_node(directory, name, kind, 0o600, number);
        match &entry.node {
            Node::File(content) => return self.make_file(content, name),
            Node::Symlink { target } => make_symlink(directory, name, target)?,
            Node::CharDevice { major, minor } => node(FileKind::CharDevice, (*major, *minor))?,
            Node::BlockDevice { major, minor } => node(FileKind::BlockDevice, (*major, *minor))?,
            Node::Fifo => node(FileKind::Fifo, (0, 0))?,
            Node::Socket | Node::Directory => node(FileKind::Socket, (0, 0))?,
        }
        Ok(open_beneath(directory, name, Access::Place)?)
    }

    fn make_file(&mut self, content: &FileContent, name: &[u8]) -> std::result::Result<OwnedFd, Trouble> {
        let file = create_file(self.stack.top()?, name, 0o600)?;
        let cancelled = &self.options.cancelled;
        let written = write_content(self.reader, content, |bytes, offset| {
            if cancelled.load(Ordering::Relaxed) {
                return Err(Trouble::Fatal(Error::Cancelled));
            }
            Ok(write_at(file.as_fd(), bytes, offset)?)
        });
        if written.is_err() {
            unlink(self.stack.top()?, name)?;
        }
        self.report.counters.data_bytes += written?;
        // Not unasked: ext4 looks for blocks to give back even if the length stays.
        if content.extents.is_some() {
            set_length(file.as_fd(), content.size)?;
        }
        Ok(file)
    }

    fn finish(mut self) -> Result<RestoreReport> {
        while !self.open.is_empty() {
            self.close_directory()?;
        }
        for marked in std::mem::take(&mut self.marks) {
            if let Err(error) = self.mark(&marked) {
                self.note(&marked.path, format!("cannot set the flags: {error}"));
            }
        }
        Ok(self.report)
    }
}

/// Somebody else writes where is restored to: what has the name now is left as it is.
const REPLACED: &str = "it was replaced by something else while it was restored";

fn kind_of(node: &Node) -> FileKind {
    match node {
        Node::Directory => FileKind::Directory,
        Node::File(_) => FileKind::Regular,
        Node::Symlink { .. } => FileKind::Symlink,
        Node::CharDevice { .. } => FileKind::CharDevice,
        Node::BlockDevice { .. } => FileKind::BlockDevice,
        Node::Fifo => FileKind::Fifo,
        Node::Socket => FileKind::Socket,
    }
}

fn last_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// Opens the place of a path that may be longer than the kernel takes at once.
fn open_deep(target: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
    let (parent, name) = open_parent(target, path)?;
    open_beneath(parent.as_fd(), name, Access::Place)
}

fn open_parent<'a>(target: BorrowedFd<'_>, path: &'a [u8]) -> io::Result<(OwnedFd, &'a [u8])> {
    let name = last_name(path);
    let parents = path[..path.len() - name.len()].split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    let mut present = open_beneath(target, b"", Access::Directory)?;
    for part in parents {
        present = open_beneath(present.as_fd(), part, Access::Directory)?;
    }
    Ok((present, name))
}
