//! Directories of a restore: entered, made, led through and left, whatever others do to them meanwhile.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::super::catalogue::{Entry, is_beneath};
use super::super::data::Trouble;
use super::super::error::Result;
use super::{Level, REPLACED, Restore, last_name, strip};
use crate::sys::fs::{self, Access, FileKind, make_directory, open_beneath, set_mode, set_owner, stat_at};
use crate::sys::process::effective_user;

/// Whose a directory is that is closed.
const CLOSED: &str =
    "Berth keeps this directory for itself (its state, its keys or a store): nothing is written into it";
/// What a mode allows everybody but the owner.
const OTHERS: u32 = 0o077;

impl Restore<'_> {
    pub(super) fn enter(&mut self, entry: &Entry, wanted: bool) -> std::result::Result<(), Trouble> {
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
        self.go_into(name)?;
        if fresh && inherits {
            self.take_over()?;
        }
        self.open.push(Level { entry: entry.clone(), wanted: wanted || fresh, fresh });
        Ok(())
    }

    /// Goes into a directory, whatever it is by now, but into none that is closed.
    fn go_into(&mut self, name: &[u8]) -> std::result::Result<(), Trouble> {
        self.stack.push(name)?;
        let found = fs::stat(self.stack.top()?)?;
        if self.options.closed.contains(&(found.inode, found.device)) {
            self.stack.pop();
            return Err(Trouble::Entry(CLOSED.to_owned()));
        }
        Ok(())
    }

    /// Enters a directory that only leads to others, and makes it if it is missing.
    fn lead_through(&mut self, entry: &Entry, name: &[u8], aside: &[u8]) -> std::result::Result<(), Trouble> {
        let missing = stat_at(self.stack.top()?, name).is_err();
        let made = if missing { Some(self.make_lead(entry, name, aside)?) } else { None };
        self.go_into(name)?;
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
    pub(super) fn leave(&mut self, path: &[u8]) -> Result<()> {
        while self.open.last().is_some_and(|level| !is_beneath(path, &level.entry.path)) {
            self.close_directory()?;
        }
        Ok(())
    }

    pub(super) fn close_directory(&mut self) -> Result<()> {
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
}

/// Makes sure that a directory is the one just made, and takes away what it was handed down.
fn lay_bare(directory: BorrowedFd<'_>) -> std::result::Result<(), Trouble> {
    let found = fs::stat(directory)?;
    if found.uid != effective_user() || found.mode & OTHERS != 0 {
        return Err(Trouble::Entry(REPLACED.to_owned()));
    }
    Ok(strip(directory, FileKind::Directory, &[])?)
}
