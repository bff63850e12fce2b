//! Whole trees: a stack of open directories that can be deeper than descriptors suffice, and removal.

use std::io;

use rustix::fs::{Dir, FileType, Mode, OFlags};

use super::super::random;
use super::{
    Access, AsFd, BorrowedFd, FLAG_APPEND, FLAG_IMMUTABLE, FileKind, OwnedFd, flags, names, open_beneath,
    open_same_mount, rename_new, set_flags, stat, stat_at, unlink, unlink_directory,
};

/// How many directories of one path are open at once: well below the usual limit of 1,024 descriptors.
const OPEN_MAX: usize = 128;
/// How deep removal goes before it moves a directory up to the top.
const DEPTH_MAX: usize = 64;

struct Level {
    name: Vec<u8>,
    inode: (u64, (u32, u32)),
    directory: Option<OwnedFd>,
}

/// Holds the directories from a root down to the present one, open by descriptor.
///
/// Beyond 128 levels the upper ones are closed. On the way back each is found as the one above the present, or, where that
/// is another one by then, from the root by name; a directory that was replaced is refused.
pub struct DirectoryStack {
    root: OwnedFd,
    levels: Vec<Level>,
    cross_mounts: bool,
}

impl DirectoryStack {
    /// Begins at `root`; `cross_mounts` allows to enter what is mounted below it.
    ///
    /// # Errors
    /// What openat2(2) says.
    pub fn new(root: BorrowedFd<'_>, cross_mounts: bool) -> io::Result<Self> {
        Ok(Self { root: open_beneath(root, b"", Access::Directory)?, levels: Vec::new(), cross_mounts })
    }

    /// Returns how many directories below the root the present one lies.
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Returns the present directory, reopened if it had been closed.
    ///
    /// # Errors
    /// What openat2(2) says, or that the directory was replaced meanwhile.
    pub fn top(&mut self) -> io::Result<BorrowedFd<'_>> {
        if self.levels.last().is_some_and(|level| level.directory.is_none()) {
            self.reopen()?;
        }
        Ok(self.open_top().unwrap_or_else(|| self.root.as_fd()))
    }

    fn open_top(&self) -> Option<BorrowedFd<'_>> {
        self.levels.last().and_then(|level| level.directory.as_ref()).map(AsFd::as_fd)
    }

    fn open(&self, parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
        let open = if self.cross_mounts { open_beneath } else { open_same_mount };
        open(parent, name, Access::Directory)
    }

    fn reopen(&mut self) -> io::Result<()> {
        let mut present: Option<OwnedFd> = None;
        for level in &self.levels {
            let parent = present.as_ref().map_or_else(|| self.root.as_fd(), AsFd::as_fd);
            present = Some(self.open(parent, &level.name)?);
        }
        let (Some(directory), Some(level)) = (present, self.levels.last_mut()) else { return Ok(()) };
        let found = stat(directory.as_fd())?;
        if (found.inode, found.device) != level.inode {
            return Err(io::Error::other("the directory was replaced while its tree was walked"));
        }
        level.directory = Some(directory);
        Ok(())
    }

    /// Enters the directory `name` of the present one.
    ///
    /// # Errors
    /// What openat2(2) says; `EXDEV` where something is mounted and mounts are not crossed.
    pub fn push(&mut self, name: &[u8]) -> io::Result<()> {
        self.top()?;
        let parent = self.open_top().unwrap_or_else(|| self.root.as_fd());
        let directory = self.open(parent, name)?;
        let found = stat(directory.as_fd())?;
        let inode = (found.inode, found.device);
        self.levels.push(Level { name: name.to_vec(), inode, directory: Some(directory) });
        if let Some(far) = self.levels.len().checked_sub(OPEN_MAX + 1) {
            self.levels[far].directory = None;
        }
        Ok(())
    }

    /// Goes back up one directory; returns the name of the one that is left.
    pub fn pop(&mut self) -> Option<Vec<u8>> {
        let left = self.levels.pop()?;
        if let (Some(below), Some(level)) = (left.directory, self.levels.last_mut())
            && level.directory.is_none()
        {
            level.directory = parent_of(below.as_fd(), level.inode);
        }
        Some(left.name)
    }
}

/// Opens the directory above, if it is the one that it was.
fn parent_of(directory: BorrowedFd<'_>, wanted: (u64, (u32, u32))) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let above = rustix::fs::openat(directory, c"..", flags, Mode::empty()).ok()?;
    let found = stat(above.as_fd()).ok()?;
    ((found.inode, found.device) == wanted).then_some(above)
}

/// Lists the names of the directories in a directory, in no order.
///
/// # Errors
/// What getdents64(2) says.
pub fn directories(directory: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        let is_directory = match entry.file_type() {
            FileType::Directory => true,
            FileType::Unknown => stat_at(directory, name).is_ok_and(|found| found.kind == FileKind::Directory),
            _ => false,
        };
        if is_directory && name != b"." && name != b".." {
            found.push(name.to_vec());
        }
    }
    Ok(found)
}

/// Removes `name` below `directory` with all that is in it, never following a link and never entering another mount.
///
/// Immutable and append-only marks are taken off on the way. A tree that is not there counts as removed.
///
/// # Errors
/// `EXDEV` where something is still mounted inside, and what unlinkat(2) says.
pub fn remove_tree(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match stat_at(directory, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.kind == FileKind::Directory => {
            let top = open_same_mount(directory, name, Access::Directory)?;
            while empty(&top, top.as_fd(), 0)? {}
            drop(top);
            removing(directory, name, unlink_directory)
        }
        Ok(_) => removing(directory, name, unlink),
    }
}

/// Empties `here`; what lies too deep is moved to `top`, and `true` says that `top` must be looked at again. Its new name is one
/// that nobody foresees: whoever made the tree may have made others to stand in its way.
fn empty(top: &OwnedFd, here: BorrowedFd<'_>, depth: usize) -> io::Result<bool> {
    let mut again = false;
    for name in names(here)? {
        if stat_at(here, &name)?.kind != FileKind::Directory {
            removing(here, &name, unlink)?;
        } else if depth >= DEPTH_MAX {
            let new = format!(".berth-removed-{:032x}", u128::from_ne_bytes(random::bytes()?));
            rename_new(here, &name, top.as_fd(), new.as_bytes())?;
            again = true;
        } else {
            let child = open_same_mount(here, &name, Access::Directory)?;
            again |= empty(top, child.as_fd(), depth + 1)?;
            drop(child);
            removing(here, &name, unlink_directory)?;
        }
    }
    Ok(again)
}

type Remove = fn(BorrowedFd<'_>, &[u8]) -> io::Result<()>;

fn removing(directory: BorrowedFd<'_>, name: &[u8], remove: Remove) -> io::Result<()> {
    match remove(directory, name) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            unprotect(directory)?;
            let found = stat_at(directory, name)?.kind;
            if matches!(found, FileKind::Regular | FileKind::Directory) {
                unprotect(open_same_mount(directory, name, Access::Read)?.as_fd())?;
            }
            remove(directory, name)
        }
        other => other,
    }
}

fn unprotect(file: BorrowedFd<'_>) -> io::Result<()> {
    let marks = flags(file)?;
    let protection = FLAG_IMMUTABLE | FLAG_APPEND;
    if marks & protection == 0 { Ok(()) } else { set_flags(file, marks & !protection) }
}

#[cfg(test)]
mod tests {
    use super::super::{make_directory, make_symlink, open_root};
    use super::*;

    fn dig(root: BorrowedFd<'_>, depth: usize) -> DirectoryStack {
        let mut stack = DirectoryStack::new(root, false).unwrap();
        for _ in 0..depth {
            make_directory(stack.top().unwrap(), b"deeper", 0o755).unwrap();
            stack.push(b"deeper").unwrap();
        }
        stack
    }

    #[test]
    fn a_tree_deeper_than_any_path_can_be_walked_and_removed() {
        let place = tempfile::tempdir().unwrap();
        let root = open_root(place.path()).unwrap();
        make_directory(root.as_fd(), b"top", 0o755).unwrap();
        let top = open_beneath(root.as_fd(), b"top", Access::Directory).unwrap();
        let mut stack = dig(top.as_fd(), 1500);
        while stack.depth() > 0 {
            stack.pop();
            assert_eq!(names(stack.top().unwrap()).unwrap(), [b"deeper".to_vec()]);
        }
        remove_tree(root.as_fd(), b"top").unwrap();
        assert_eq!(names(root.as_fd()).unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn what_is_moved_up_gets_a_name_that_nobody_can_have_taken() {
        let place = tempfile::tempdir().unwrap();
        let root = open_root(place.path()).unwrap();
        make_directory(root.as_fd(), b"top", 0o755).unwrap();
        let top = open_beneath(root.as_fd(), b"top", Access::Directory).unwrap();
        drop(dig(top.as_fd(), 70));
        for number in 0..9 {
            let taken = format!(".berth-removed-{}-{number}", std::process::id());
            std::fs::write(place.path().join("top").join(taken), "").unwrap();
        }
        remove_tree(root.as_fd(), b"top").unwrap();
        assert_eq!(names(root.as_fd()).unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn removal_does_not_follow_a_link_out() {
        let place = tempfile::tempdir().unwrap();
        let root = open_root(place.path()).unwrap();
        std::fs::create_dir_all(place.path().join("kept")).unwrap();
        std::fs::write(place.path().join("kept/file"), b"x").unwrap();
        std::fs::create_dir_all(place.path().join("gone/sub")).unwrap();
        let gone = open_beneath(root.as_fd(), b"gone", Access::Directory).unwrap();
        make_symlink(gone.as_fd(), b"out", b"../kept").unwrap();
        remove_tree(root.as_fd(), b"gone").unwrap();
        assert!(place.path().join("kept/file").exists() && !place.path().join("gone").exists());
    }
}
