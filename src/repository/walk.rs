//! Walks a tree from a directory descriptor, in the order of the catalogue: a directory, then what is in it, by name.
//!
//! A walk only looks (one statx per name); what is worth more calls (attributes, link target, flags, content) is asked of
//! the walk while it stands there. What cannot be looked at is a step of its own, never left out silently. Other mounts
//! are not entered.

use std::collections::HashMap;
use std::io;

use crate::sys::fs::xattr;
use crate::sys::fs::{
    Access, AsFd, BorrowedFd, DirectoryStack, FileKind, Metadata, Moment, OwnedFd, flags, is_mount_crossing, names,
    open_beneath, open_same_mount, project, read_link, stat, stat_at, user_settable_flags,
};

use super::catalogue::{Entry, FileContent, Node};
use super::id_map::IdMap;

/// Is a name that the walk came by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The path below the root; empty for the root itself.
    pub path: Vec<u8>,
    /// What statx said.
    pub metadata: Metadata,
}

impl Found {
    fn name(&self) -> &[u8] {
        self.path.rsplit(|byte| *byte == b'/').next().unwrap_or(&self.path)
    }
}

/// Is what the walk came to.
#[derive(Debug)]
pub enum Step {
    /// A name and what it stands for.
    Found(Found),
    /// A name that could not be looked at, or a directory that could not be listed.
    Unreadable {
        /// Its path below the root.
        path: Vec<u8>,
        /// Why.
        error: io::Error,
    },
}

/// The longest path of a directory that is entered, in bytes. Each entry has its whole path, so that a tree takes the square of
/// its depth; what people keep is no deeper than PATH_MAX (limits.h), an eighth of this.
const PATH_MAX: usize = 32 << 10;

/// Walks one tree.
pub struct Walk {
    stack: DirectoryStack,
    pending: Vec<std::vec::IntoIter<Vec<u8>>>,
    prefix: Vec<u8>,
    entering: Option<Vec<u8>>,
    begun: bool,
}

impl Walk {
    /// Begins at the directory `root`.
    ///
    /// # Errors
    /// What openat2(2) says.
    pub fn new(root: BorrowedFd<'_>) -> io::Result<Self> {
        let stack = DirectoryStack::new(root, false)?;
        Ok(Self { stack, pending: Vec::new(), prefix: Vec::new(), entering: None, begun: false })
    }

    /// Goes on to the next name; nothing is left when it returns nothing.
    pub fn step(&mut self) -> Option<Step> {
        if !self.begun {
            self.begun = true;
            return Some(self.root_step());
        }
        if let Some(failed) = self.enter_pending() {
            return Some(failed);
        }
        loop {
            match self.pending.last_mut()?.next() {
                None => self.leave(),
                Some(name) => {
                    if let Some(step) = self.look(&name) {
                        return Some(step);
                    }
                }
            }
        }
    }

    /// Does not enter the directory that the last step found.
    pub fn skip_children(&mut self) {
        self.entering = None;
    }

    fn root_step(&mut self) -> Step {
        match self.stack.top().and_then(stat) {
            Ok(metadata) => {
                self.entering = Some(Vec::new());
                Step::Found(Found { path: Vec::new(), metadata })
            }
            Err(error) => Step::Unreadable { path: Vec::new(), error },
        }
    }

    fn look(&mut self, name: &[u8]) -> Option<Step> {
        let mut path = self.prefix.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        match self.stack.top().and_then(|directory| stat_at(directory, name)) {
            Ok(metadata) => {
                self.entering = (metadata.kind == FileKind::Directory).then(|| name.to_vec());
                Some(Step::Found(Found { path, metadata }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None, // Deleted since the directory was listed.
            Err(error) => Some(Step::Unreadable { path, error }),
        }
    }

    fn enter_pending(&mut self) -> Option<Step> {
        let name = self.entering.take()?;
        match self.enter(&name) {
            Ok(()) => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let mut path = self.prefix.clone();
                if !path.is_empty() && !name.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(&name);
                Some(Step::Unreadable { path, error: explain(error) })
            }
        }
    }

    fn enter(&mut self, name: &[u8]) -> io::Result<()> {
        if self.prefix.len() + name.len() > PATH_MAX {
            return Err(io::Error::other("its path is so long that what lies in it is left out (32 KiB)"));
        }
        if !name.is_empty() {
            self.stack.push(name)?;
        }
        let listed = self.stack.top().and_then(names);
        if listed.is_err() && !name.is_empty() {
            self.stack.pop();
        }
        let mut listed = listed?;
        listed.sort_unstable();
        if !self.prefix.is_empty() {
            self.prefix.push(b'/');
        }
        self.prefix.extend_from_slice(name);
        self.pending.push(listed.into_iter());
        Ok(())
    }

    fn leave(&mut self) {
        self.pending.pop();
        self.stack.pop();
        let end = self.prefix.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.prefix.truncate(end);
    }

    /// Opens what the last step found.
    ///
    /// # Errors
    /// What openat2(2) says.
    pub fn open(&mut self, found: &Found, access: Access) -> io::Result<OwnedFd> {
        let directory = self.stack.top()?;
        if found.path.is_empty() {
            open_beneath(directory, b"", access)
        } else {
            open_same_mount(directory, found.name(), access)
        }
    }

    /// Describes what the last step found, all but its content, and returns it open if it is a regular file.
    ///
    /// A regular file is described as it is once it is open, so that description and content belong to one inode.
    ///
    /// # Errors
    /// What the kernel says to any of the calls.
    pub fn describe(&mut self, found: &Found, ids: IdMap) -> io::Result<(Entry, Option<OwnedFd>)> {
        match found.metadata.kind {
            FileKind::Regular => {
                let file = self.open(found, Access::Read)?;
                let metadata = stat(file.as_fd())?;
                if metadata.kind != FileKind::Regular {
                    return Err(io::Error::other("it was replaced while it was looked at"));
                }
                let mut entry = described(found.path.clone(), &metadata, ids, Node::File(FileContent::default()));
                open_extras(&mut entry, file.as_fd(), ids)?;
                Ok((entry, Some(file)))
            }
            FileKind::Directory => {
                let mut entry = described(found.path.clone(), &found.metadata, ids, Node::Directory);
                match self.open(found, Access::Directory) {
                    Ok(directory) => open_extras(&mut entry, directory.as_fd(), ids)?,
                    // The mount point hides the directory; its contents are reported when they cannot be entered.
                    Err(error) if is_mount_crossing(&error) => {}
                    Err(error) => return Err(error),
                }
                Ok((entry, None))
            }
            _ => Ok((self.describe_other(found, ids)?, None)),
        }
    }

    fn describe_other(&mut self, found: &Found, ids: IdMap) -> io::Result<Entry> {
        let directory = self.stack.top()?;
        let metadata = &found.metadata;
        let (major, minor) = metadata.node;
        let node = match metadata.kind {
            FileKind::Symlink => Node::Symlink { target: read_link(directory, found.name())? },
            FileKind::CharDevice => Node::CharDevice { major, minor },
            FileKind::BlockDevice => Node::BlockDevice { major, minor },
            FileKind::Socket => Node::Socket,
            _ => Node::Fifo,
        };
        let mut entry = described(found.path.clone(), metadata, ids, node);
        keep_attributes(&mut entry, xattr::read_at(directory, found.name())?, ids);
        Ok(entry)
    }
}

fn explain(error: io::Error) -> io::Error {
    if is_mount_crossing(&error) {
        return io::Error::other("another file system is mounted here; what is in it is not part of the tree");
    }
    error
}

fn described(path: Vec<u8>, metadata: &Metadata, ids: IdMap, node: Node) -> Entry {
    Entry {
        path,
        node,
        mode: metadata.mode,
        owner: ids.inward(metadata.uid),
        group: ids.inward(metadata.gid),
        modified: metadata.modified,
        changed: metadata.changed,
        inode: metadata.inode,
        links: metadata.links,
        hard_link: None,
        attributes: Vec::new(),
        flags: 0,
        project: 0,
        racy: false,
    }
}

fn open_extras(entry: &mut Entry, file: BorrowedFd<'_>, ids: IdMap) -> io::Result<()> {
    keep_attributes(entry, xattr::read(file)?, ids);
    entry.flags = user_settable_flags(flags(file)?);
    entry.project = project(file)?;
    Ok(())
}

fn keep_attributes(entry: &mut Entry, found: Vec<xattr::Xattr>, ids: IdMap) {
    let kept = found.into_iter().filter(|(name, _)| !is_private_to_overlay(name));
    entry.attributes = kept.map(|(name, value)| ids.attribute_inward(name, value)).collect();
}

/// Tells whether an attribute is overlayfs's own note about this mount: file handles and counters that mean nothing, or
/// something wrong, anywhere else (kernel Documentation/filesystems/overlayfs.rst).
fn is_private_to_overlay(name: &[u8]) -> bool {
    let Some(rest) =
        [b"trusted.overlay.".as_slice(), b"user.overlay."].iter().find_map(|start| name.strip_prefix(*start))
    else {
        return false;
    };
    [b"origin".as_slice(), b"impure", b"nlink", b"uuid"].contains(&rest)
}

/// Is what two names of one inode have in common. The time of the last change of the inode is left out on purpose: it
/// moves whenever somebody gives the inode another name or takes one away, even outside of the tree, as templates that
/// share files with the host do all the time.
type Looks = (FileKind, u32, (u32, u32), u64, (u32, u32), Moment);

fn looks(metadata: &Metadata) -> Looks {
    let Metadata { kind, mode, uid, gid, size, node, modified, .. } = *metadata;
    (kind, mode, (uid, gid), size, node, modified)
}

/// Remembers the first name of every inode that has several, with what the caller knows of it.
pub struct LinkNames<T> {
    seen: HashMap<(u64, (u32, u32)), FirstName<T>>,
}

struct FirstName<T> {
    path: Vec<u8>,
    looks: Looks,
    left: u32,
    known: T,
}

impl<T: Clone> LinkNames<T> {
    /// Begins with no name.
    pub fn new() -> Self {
        Self { seen: HashMap::new() }
    }

    /// Returns the first name of the same inode, if this is a further one, and what was remembered with it.
    ///
    /// An inode that looks otherwise by now is not the same: its number may have been given to another file.
    pub fn first(&mut self, found: &Found) -> Option<(Vec<u8>, T)> {
        let key = (found.metadata.inode, found.metadata.device);
        let first = self.seen.get_mut(&key).filter(|first| first.looks == looks(&found.metadata))?;
        first.left = first.left.saturating_sub(1);
        let answer = (first.path.clone(), first.known.clone());
        if first.left == 0 {
            self.seen.remove(&key);
        }
        Some(answer)
    }

    /// Remembers the first name of an inode with several; others need not be remembered.
    pub fn remember(&mut self, found: &Found, known: T) {
        let Metadata { links, kind, inode, device, .. } = found.metadata;
        if links > 1 && kind != FileKind::Directory {
            let first = FirstName { path: found.path.clone(), looks: looks(&found.metadata), left: links - 1, known };
            self.seen.insert((inode, device), first);
        }
    }
}

impl<T: Clone> Default for LinkNames<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::catalogue::order;
    use crate::sys::fs::open_root;

    fn paths(root: &std::path::Path) -> Vec<Vec<u8>> {
        let root = open_root(root).unwrap();
        let mut walk = Walk::new(root.as_fd()).unwrap();
        let mut found = Vec::new();
        while let Some(step) = walk.step() {
            let Step::Found(one) = step else { panic!("{step:?}") };
            found.push(one.path);
        }
        found
    }

    #[test]
    fn a_tree_is_walked_in_the_order_of_the_catalogue() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("a/b")).unwrap();
        for file in ["a-", "a.c", "a/b/x", "a/c", "b", "a0"] {
            std::fs::write(place.path().join(file), b"").unwrap();
        }
        let found = paths(place.path());
        let wanted: Vec<Vec<u8>> =
            ["", "a", "a/b", "a/b/x", "a/c", "a-", "a.c", "a0", "b"].iter().map(|p| p.as_bytes().to_vec()).collect();
        assert_eq!(found, wanted);
        assert!(found.windows(2).all(|pair| order(&pair[0], &pair[1]).is_lt()));
    }

    #[test]
    fn two_names_stay_one_inode_while_somebody_outside_gives_it_a_third() {
        let place = tempfile::tempdir().unwrap();
        let tree = place.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        std::fs::write(tree.join("a"), b"x").unwrap();
        std::fs::hard_link(tree.join("a"), tree.join("b")).unwrap();
        let root = open_root(&tree).unwrap();
        let mut walk = Walk::new(root.as_fd()).unwrap();
        let mut links = LinkNames::new();
        while let Some(Step::Found(found)) = walk.step() {
            if found.path == b"a" {
                links.remember(&found, ());
                std::fs::hard_link(tree.join("a"), place.path().join("outside")).unwrap();
            } else if found.path == b"b" {
                assert_eq!(links.first(&found), Some((b"a".to_vec(), ())));
            }
        }
    }

    #[test]
    fn private_notes_of_overlayfs_are_known_in_both_forms() {
        for name in ["trusted.overlay.origin", "user.overlay.origin", "user.overlay.uuid", "trusted.overlay.nlink"] {
            assert!(is_private_to_overlay(name.as_bytes()), "{name}");
        }
        for name in ["trusted.overlay.opaque", "user.overlay.redirect", "user.origin", "user.overlay.whiteout"] {
            assert!(!is_private_to_overlay(name.as_bytes()), "{name}");
        }
    }
}
