//! Writes entries back as files, below a directory descriptor and nowhere else.
//!
//! Entries come in the order of the catalogue. A directory gets its owner, mode and times when everything in it is done;
//! immutable and append-only marks come at the very end, because nothing can be changed, linked or dated under them. What a
//! file system refuses is listed, entry by entry; a file whose content is damaged is not left behind in part, and what it would
//! have taken the place of stays.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::backup::Progress;
use super::bare::strip;
use super::catalogue::{Entry, FileContent, Node, is_beneath};
use super::data::{Trouble, write_content};
use super::error::{Error, Result};
use super::id_map::IdMap;
use super::manifest::{Counters, Exception};
use super::outward::Outward;
use super::reader::Reader;
use crate::sys::fs::xattr;
use crate::sys::fs::{
    self, Access, DirectoryStack, FLAG_APPEND, FLAG_IMMUTABLE, FileKind, create_file, make_directory, make_node,
    make_symlink, open_beneath, set_length, set_mode, set_owner, set_times, stat_at, unlink, write_at,
};
use crate::sys::process::effective_user;
use crate::types::LeftOut;

/// Says how entries become files.
#[derive(Clone)]
pub struct RestoreOptions {
    /// How ids of the container map to those of the tree that is written.
    pub ids: IdMap,
    /// What goes along to a place outside of the container; nothing if the place is an upper layer, which takes all there is.
    pub outward: Option<Outward>,
    /// Replaces files that are there, with the help of this name, which nobody else may have; else each is an exception.
    pub overwrite: Option<Vec<u8>>,
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

/// Is a file that gets its immutable or append-only mark at the end.
struct Marked {
    path: Vec<u8>,
    marks: u32,
    inode: (u64, (u32, u32)),
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

    fn enter(&mut self, entry: &Entry, wanted: bool) -> std::result::Result<(), Trouble> {
        if entry.path.is_empty() {
            // A place outside is somebody's own directory: what is put into it does not change what it is.
            let wanted = wanted && self.options.outward.is_none();
            self.open.push(Level { entry: entry.clone(), wanted, fresh: false });
            return Ok(());
        }
        let name = last_name(&entry.path);
        if !wanted && let Some(aside) = self.options.overwrite.as_deref() {
            return self.lead_through(entry, name, aside);
        }
        let fresh = match make_directory(self.stack.top()?, name, 0o700) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(error.into()),
        };
        let inherits = self.inherits();
        self.stack.push(name)?;
        if fresh && inherits {
            self.take_over()?;
        }
        self.open.push(Level { entry: entry.clone(), wanted: wanted || fresh, fresh });
        Ok(())
    }

    /// Enters a directory that only leads to others, and makes it if it is missing.
    fn lead_through(&mut self, entry: &Entry, name: &[u8], aside: &[u8]) -> std::result::Result<(), Trouble> {
        let missing = stat_at(self.stack.top()?, name).is_err();
        let made = if missing { Some(self.make_lead(entry, name, aside)?) } else { None };
        self.stack.push(name)?;
        let found = fs::stat(self.stack.top()?)?;
        if made.is_some_and(|made| (made.inode, made.device) != (found.inode, found.device)) {
            self.stack.pop();
            return Err(Trouble::Entry(REPLACED.to_owned()));
        }
        self.open.push(Level { entry: entry.clone(), wanted: missing, fresh: false });
        Ok(())
    }

    /// Makes a directory that gets its name only with its owner and mode: a later try of a restore that was cut off finds it
    /// there and leaves it as it is.
    fn make_lead(&mut self, entry: &Entry, name: &[u8], aside: &[u8]) -> std::result::Result<fs::Metadata, Trouble> {
        let ids = self.options.ids;
        let above = self.stack.top()?;
        let _ = fs::unlink_directory(above, aside); // of an earlier try
        make_directory(above, aside, 0o700)?;
        let made = open_beneath(above, aside, Access::Directory)?;
        lay_bare(made.as_fd())?;
        if let (Some(owner), Some(group)) = (ids.outward(entry.owner), ids.outward(entry.group)) {
            let _ = set_owner(made.as_fd(), owner, group); // told of when the directory is left
        }
        set_mode(made.as_fd(), entry.mode)?;
        fs::rename_new(above, aside, above, name)?;
        Ok(fs::stat(made.as_fd())?)
    }

    /// Makes sure that the directory just entered is the one just made, and that it hands nothing down.
    fn take_over(&mut self) -> std::result::Result<(), Trouble> {
        let done = lay_bare(self.stack.top()?);
        if done.is_err() {
            self.stack.pop();
        }
        done
    }

    /// Goes up until `path` lies in the present directory, finishing each directory that is left.
    fn leave(&mut self, path: &[u8]) -> Result<()> {
        while self.open.last().is_some_and(|level| !is_beneath(path, &level.entry.path)) {
            self.close_directory()?;
        }
        Ok(())
    }

    fn close_directory(&mut self) -> Result<()> {
        let Some(Level { entry, wanted, fresh }) = self.open.pop() else { return Ok(()) };
        let directory = self.stack.top().and_then(|top| open_beneath(top, b"", Access::Directory));
        match directory {
            Ok(directory) if wanted => {
                if !fresh && self.options.outward.is_some() {
                    let bare = strip(directory.as_fd(), FileKind::Directory, &entry.attributes);
                    self.try_to(&entry, "take away what it had before", bare);
                }
                self.finish_node(&entry, directory.as_fd());
            }
            Ok(_) => {}
            Err(error) => self.note(&entry.path, error),
        }
        self.stack.pop();
        Ok(())
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

    /// Gives an inode its owner, attributes, mode and times; the owner first, because it takes the capabilities away.
    fn finish_node(&mut self, entry: &Entry, file: BorrowedFd<'_>) {
        let ids = self.options.ids;
        match (ids.outward(entry.owner), ids.outward(entry.group)) {
            (Some(owner), Some(group)) => self.try_to(entry, "set the owner", set_owner(file, owner, group)),
            _ => self.note(
                &entry.path,
                format!("the range of ids is too small for owner {:?} {:?}", entry.owner, entry.group),
            ),
        }
        self.set_attributes(entry, file);
        if !matches!(entry.node, Node::Symlink { .. }) {
            self.try_to(entry, "set the mode", set_mode(file, entry.mode));
        }
        self.set_extras(entry, file);
        self.try_to(entry, "set the time", set_times(file, entry.modified));
        self.check_time(entry, file);
    }

    /// Looks whether a time survived that the file system may be too narrow for: it would cut it without a word.
    fn check_time(&mut self, entry: &Entry, file: BorrowedFd<'_>) {
        if (0..=i64::from(i32::MAX)).contains(&entry.modified.seconds) {
            return;
        }
        if fs::stat(file).is_ok_and(|found| found.modified != entry.modified) {
            self.note(&entry.path, "its modification time lies outside what this file system can hold");
        }
    }

    fn set_attributes(&mut self, entry: &Entry, file: BorrowedFd<'_>) {
        for attribute in &entry.attributes {
            let name = attribute.name.escape_ascii();
            match self.options.ids.attribute_outward(attribute) {
                Some(value) => {
                    let done = xattr::set(file, &attribute.name, &value);
                    self.try_to(entry, &format!("set the attribute {name}"), done);
                }
                None => self.note(&entry.path, format!("the range of ids is too small for the attribute {name}")),
            }
        }
    }

    fn set_extras(&mut self, entry: &Entry, file: BorrowedFd<'_>) {
        if entry.project != 0 {
            self.try_to(entry, "set the project id", fs::set_project(file, entry.project));
        }
        let late = FLAG_IMMUTABLE | FLAG_APPEND;
        if entry.flags & late != 0 {
            match fs::stat(file) {
                Ok(found) => {
                    let (path, inode) = (entry.path.clone(), (found.inode, found.device));
                    self.marks.push(Marked { path, marks: entry.flags & late, inode });
                }
                Err(error) => self.note(&entry.path, error),
            }
        }
        if entry.flags & !late != 0 {
            self.try_to(entry, "set the flags", add_flags(file, entry.flags & !late));
        }
    }

    fn try_to(&mut self, entry: &Entry, what: &str, done: io::Result<()>) {
        if let Err(error) = done {
            self.note(&entry.path, format!("cannot {what}: {error}"));
        }
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

    fn mark(&self, marked: &Marked) -> io::Result<()> {
        let (parent, name) = open_parent(self.target.as_fd(), &marked.path)?;
        let file = open_beneath(parent.as_fd(), name, Access::Read)?;
        let found = fs::stat(file.as_fd())?;
        if (found.inode, found.device) != marked.inode {
            return Err(io::Error::other(REPLACED));
        }
        add_flags(file.as_fd(), marked.marks)
    }
}

/// What a mode allows everybody but the owner.
const OTHERS: u32 = 0o077;
/// Somebody else writes where is restored to: what has the name now is left as it is.
const REPLACED: &str = "it was replaced by something else while it was restored";

/// Makes sure that a directory is the one just made, and takes away what it was handed down.
fn lay_bare(directory: BorrowedFd<'_>) -> std::result::Result<(), Trouble> {
    let found = fs::stat(directory)?;
    if found.uid != effective_user() || found.mode & OTHERS != 0 {
        return Err(Trouble::Entry(REPLACED.to_owned()));
    }
    Ok(strip(directory, FileKind::Directory, &[])?)
}

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

fn add_flags(file: BorrowedFd<'_>, flags: u32) -> io::Result<()> {
    fs::set_flags(file, fs::flags(file)? | flags)
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
