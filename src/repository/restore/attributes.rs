//! What an inode of a restore gets beside its content: owner, attributes, mode, marks and times.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::super::catalogue::{Entry, Node};
use super::{Inode, REPLACED, Restore, open_parent};
use crate::sys::fs::{self, Access, FLAG_APPEND, FLAG_IMMUTABLE, open_beneath, set_mode, set_owner, set_times, xattr};

/// Is a file that gets its immutable or append-only mark at the end.
pub(super) struct Marked {
    pub(super) path: Vec<u8>,
    marks: u32,
    inode: Inode,
}

impl Restore<'_> {
    /// Gives an inode its owner, attributes, mode and times; the owner first, because it takes the capabilities away.
    pub(super) fn finish_node(&mut self, entry: &Entry, file: BorrowedFd<'_>) {
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

    pub(super) fn try_to(&mut self, entry: &Entry, what: &str, done: io::Result<()>) {
        if let Err(error) = done {
            self.note(&entry.path, format!("cannot {what}: {error}"));
        }
    }

    pub(super) fn mark(&self, marked: &Marked) -> io::Result<()> {
        let (parent, name) = open_parent(self.target.as_fd(), &marked.path)?;
        let file = open_beneath(parent.as_fd(), name, Access::Read)?;
        let found = fs::stat(file.as_fd())?;
        if (found.inode, found.device) != marked.inode {
            return Err(io::Error::other(REPLACED));
        }
        add_flags(file.as_fd(), marked.marks)
    }
}

fn add_flags(file: BorrowedFd<'_>, flags: u32) -> io::Result<()> {
    fs::set_flags(file, fs::flags(file)? | flags)
}
