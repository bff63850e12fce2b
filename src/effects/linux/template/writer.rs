//! Writes a tree beneath a directory, entry by entry, with everything that belongs to an inode.
//!
//! Every path is resolved beneath the root and through no symbolic link, so that no entry can lead another one out. What a
//! later entry would disturb (a directory's time) is set at the end.

use std::collections::BTreeMap;
use std::io;

use crate::domain::RefusalClass;
use crate::domain::container::DISK_SIZE_MAX;
use crate::domain::effect::Failure;
use crate::effects::linux::failure::cannot;
use crate::sys::fs::xattr::{self, Xattr};
use crate::sys::fs::{
    Access, AsFd, BorrowedFd, FileKind, Moment, OwnedFd, create_file, display_path, link, make_directory, make_node,
    make_symlink, open_beneath, set_flags, set_mode, set_owner, set_times, stat_at, unlink, unlink_directory,
    user_settable_flags,
};
use crate::sys::process::effective_user;
use crate::types::Size;

/// Is what an inode carries beside its content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    /// The permission bits (07777).
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When its content changed last.
    pub modified: Moment,
    /// The extended attributes, ACLs and capabilities among them.
    pub xattrs: Vec<Xattr>,
    /// The inode flags that a user can set.
    pub flags: u32,
}

impl Attributes {
    /// Returns what a generated entry of root's has.
    pub fn of_root(mode: u32) -> Self {
        Self { mode, ..Self::default() }
    }
}

/// Writes one tree.
pub struct TreeWriter {
    root: OwnedFd,
    directories: BTreeMap<Vec<u8>, Attributes>,
    parent: Option<(Vec<u8>, OwnedFd)>,
    size: u64,
}

impl TreeWriter {
    /// Begins in an empty directory.
    pub fn new(root: OwnedFd) -> Self {
        Self { root, directories: BTreeMap::new(), parent: None, size: 0 }
    }

    /// Returns the root.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Makes a directory, or takes the one that is there; the empty path is the root.
    ///
    /// # Errors
    /// What the kernel says, with the path.
    pub fn directory(&mut self, path: &[u8], attributes: Attributes) -> Result<(), Failure> {
        self.make(path, "make the directory", |parent, name| {
            if name.is_empty() || is_directory(parent, name) {
                return Ok(());
            }
            clear(parent, name)?;
            make_directory(parent, name, 0o700)
        })?;
        self.directories.insert(path.to_vec(), attributes);
        Ok(())
    }

    /// Makes a regular file for that many bytes, holes among them, and returns it, empty; `finish_file` completes it.
    ///
    /// # Errors
    /// What the kernel says, with the path; or that no disk of a container could hold it all.
    pub fn file(&mut self, path: &[u8], size: u64) -> Result<OwnedFd, Failure> {
        self.count(path, size)?;
        self.make(path, "make the file", |parent, name| {
            clear(parent, name)?;
            create_file(parent, name, 0o600)
        })
    }

    /// Makes a regular file of these bytes.
    ///
    /// # Errors
    /// What the kernel says, with the path.
    pub fn file_of(&mut self, path: &[u8], bytes: &[u8], attributes: &Attributes) -> Result<(), Failure> {
        let file = self.file(path, bytes.len() as u64)?;
        crate::sys::fs::write_at(file.as_fd(), bytes, 0).map_err(cannot("write", display_path(path)))?;
        Self::finish_file(path, file.as_fd(), attributes)
    }

    /// Gives a file that has its content everything else.
    ///
    /// # Errors
    /// What the kernel says, with the path.
    pub fn finish_file(path: &[u8], file: BorrowedFd<'_>, attributes: &Attributes) -> Result<(), Failure> {
        dress(file, attributes, true).map_err(cannot("set the attributes of", display_path(path)))
    }

    /// Makes a symbolic link to whatever `target` says.
    ///
    /// # Errors
    /// What the kernel says, with the path.
    pub fn symlink(&mut self, path: &[u8], target: &[u8], attributes: &Attributes) -> Result<(), Failure> {
        self.make(path, "make the symbolic link", |parent, name| {
            clear(parent, name)?;
            make_symlink(parent, name, target)?;
            dress(open_beneath(parent, name, Access::Place)?.as_fd(), attributes, false)
        })
    }

    /// Makes a device, pipe or socket name.
    ///
    /// # Errors
    /// What the kernel says, with the path.
    pub fn node(
        &mut self,
        path: &[u8],
        kind: FileKind,
        node: (u32, u32),
        attributes: &Attributes,
    ) -> Result<(), Failure> {
        self.make(path, "make the node", |parent, name| {
            clear(parent, name)?;
            make_node(parent, name, kind, 0o600, node)?;
            let place = open_beneath(parent, name, Access::Place)?;
            dress(place.as_fd(), attributes, false)?;
            set_mode(place.as_fd(), attributes.mode)?;
            set_times(place.as_fd(), attributes.modified)
        })
    }

    /// Gives an inode of this tree a further name.
    ///
    /// # Errors
    /// What the kernel says, with both paths.
    pub fn hard_link(&mut self, path: &[u8], first: &[u8]) -> Result<(), Failure> {
        let inode = open_beneath(self.root.as_fd(), first, Access::Place)
            .map_err(cannot("find the first name of a hard link,", display_path(first)))?;
        self.link_inode(path, inode.as_fd())
    }

    /// Gives any inode of the same file system a name here; nothing of the inode is changed.
    ///
    /// # Errors
    /// What the kernel says, with the path.
    pub fn link_inode(&mut self, path: &[u8], inode: BorrowedFd<'_>) -> Result<(), Failure> {
        self.make(path, "make the hard link", |parent, name| {
            if same_inode(parent, name, inode) {
                return Ok(());
            }
            clear(parent, name)?;
            link(inode, parent, name)
        })
    }

    /// Sets what the directories are to have, deepest first.
    ///
    /// # Errors
    /// What the kernel says, with the path.
    pub fn finish(self) -> Result<(), Failure> {
        for (path, attributes) in self.directories.iter().rev() {
            let failed = |error| cannot("set the attributes of", display_path(path))(error);
            let directory = open_beneath(self.root.as_fd(), path, Access::Directory).map_err(failed)?;
            dress(directory.as_fd(), attributes, true).map_err(failed)?;
        }
        Ok(())
    }

    /// A file of holes costs its maker nothing, and whoever reads the tree years.
    fn count(&mut self, path: &[u8], size: u64) -> Result<(), Failure> {
        self.size = self.size.saturating_add(size);
        let most = DISK_SIZE_MAX.as_bytes();
        if self.size <= most {
            return Ok(());
        }
        let (name, own) = (display_path(path), Size::from_bytes(size));
        let what = if size > most {
            format!("{name:?} has {own}")
        } else {
            format!("with {name:?}, of {own}, the files have {}", Size::from_bytes(self.size))
        };
        let reason = format!("{what}, holes among them: a container's disk has {DISK_SIZE_MAX} at the most");
        Err(Failure::permanent(reason).classed(RefusalClass::Invalid))
    }

    fn make<T>(
        &mut self,
        path: &[u8],
        action: &'static str,
        work: impl FnOnce(BorrowedFd<'_>, &[u8]) -> io::Result<T>,
    ) -> Result<T, Failure> {
        let (directory, name) = split(path);
        let failed = |error| cannot(action, display_path(path))(error);
        self.open_parent(directory).map_err(failed)?;
        self.directories.remove(path); // If it was a directory so far, it no longer is, or is described anew.
        let parent = self.parent.as_ref().map_or_else(|| self.root.as_fd(), |(_, parent)| parent.as_fd());
        work(parent, name).map_err(failed)
    }

    /// Opens the directory an entry goes into; one that no entry has named yet is made as root's, 0755.
    fn open_parent(&mut self, path: &[u8]) -> io::Result<()> {
        if self.parent.as_ref().is_some_and(|(held, _)| held == path) {
            return Ok(());
        }
        let opened = match open_beneath(self.root.as_fd(), path, Access::Directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (above, name) = split(path);
                self.open_parent(above)?;
                let parent = self.parent.as_ref().map_or_else(|| self.root.as_fd(), |(_, parent)| parent.as_fd());
                make_directory(parent, name, 0o755)?;
                set_mode(open_beneath(parent, name, Access::Directory)?.as_fd(), 0o755)?;
                open_beneath(parent, name, Access::Directory)?
            }
            other => other?,
        };
        self.parent = Some((path.to_vec(), opened));
        Ok(())
    }
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

fn is_directory(parent: BorrowedFd<'_>, name: &[u8]) -> bool {
    stat_at(parent, name).is_ok_and(|found| found.kind == FileKind::Directory)
}

fn same_inode(parent: BorrowedFd<'_>, name: &[u8], inode: BorrowedFd<'_>) -> bool {
    let (Ok(here), Ok(there)) = (stat_at(parent, name), crate::sys::fs::stat(inode)) else { return false };
    (here.inode, here.device) == (there.inode, there.device)
}

/// Removes what has the name already: a later entry replaces an earlier one, as tar(1) has it.
fn clear(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match stat_at(parent, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.kind == FileKind::Directory => unlink_directory(parent, name),
        Ok(_) => unlink(parent, name),
    }
}

/// Without root files belong to whoever runs the daemon, and what the kernel keeps to root is left out, as tar(1) has it.
fn unless_root(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && effective_user() != 0 => Ok(()),
        other => other,
    }
}

/// Owner first (it clears setuid and capabilities), then mode, attributes, time, and flags that may forbid the rest.
fn dress(inode: BorrowedFd<'_>, attributes: &Attributes, whole: bool) -> io::Result<()> {
    unless_root(set_owner(inode, attributes.uid, attributes.gid))?;
    if whole {
        set_mode(inode, attributes.mode)?;
    }
    for (name, value) in &attributes.xattrs {
        let set = xattr::set(inode, name, value);
        if name.starts_with(b"user.") { set } else { unless_root(set) }?;
    }
    set_times(inode, attributes.modified)?;
    let wanted = user_settable_flags(attributes.flags);
    if whole && wanted != 0 {
        set_flags(inode, crate::sys::fs::flags(inode)? | wanted)?;
    }
    Ok(())
}
