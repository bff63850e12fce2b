//! The name of a tree: BLAKE3 over its catalogue in a canonical form, contents included.
//!
//! What differs between two equal copies of a tree is left out: inode numbers, change times, link counts towards the
//! outside, where the holes are. What a user of the tree could notice is in: names, kinds, modes, owners, modification
//! times, attributes, flags, contents, and which names are one inode.

use std::io;
use std::os::fd::BorrowedFd;

use crate::repository::error::{Error, Result};
use crate::repository::id_map::IdMap;
use crate::repository::walk::{LinkNames, Step, Walk};
use crate::sys::fs::{AsFd, display_path, extents, read_at, stat};

use super::encode::encode_block;
use super::entry::{ChunkId, ChunkReference, Entry, FileContent, Node};

/// Is the BLAKE3 hash of a tree or of a file's whole content.
pub type Hasher = blake3::Hasher;

static ZEROS: [u8; 65_536] = [0; 65_536];
const READ_SIZE: usize = 256 << 10;

/// Takes the entries of a tree in order and makes its name of them.
pub struct Digest {
    hasher: Hasher,
}

impl Digest {
    /// Begins with no entry.
    pub fn new() -> Self {
        Self { hasher: Hasher::new_derive_key("berth 2026 tree digest") }
    }

    /// Takes the next entry; `content` is the BLAKE3 hash of the whole content if it is a regular file.
    pub fn push(&mut self, entry: &Entry, content: Option<[u8; 32]>) {
        let mut canonical = Entry { changed: <_>::default(), inode: 0, links: 0, racy: false, ..entry.clone() };
        if let (Node::File(file), Some(hash)) = (&mut canonical.node, content) {
            *file = FileContent { size: file.size, extents: None, chunks: whole(hash) };
        }
        let bytes = encode_block(&[canonical]);
        self.hasher.update(&(bytes.len() as u64).to_be_bytes()).update(&bytes);
    }

    /// Ends the tree and returns its name.
    pub fn finish(self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }
}

impl Default for Digest {
    fn default() -> Self {
        Self::new()
    }
}

fn whole(hash: [u8; 32]) -> Vec<ChunkReference> {
    vec![ChunkReference { id: ChunkId(hash), length: 0 }]
}

/// Returns the digest of the tree at `root`, its ids taken through `ids`.
///
/// # Errors
/// `Cancelled` once `cancelled` says so; else the first thing that cannot be read: a digest with gaps would be a lie.
pub fn tree_digest(root: BorrowedFd<'_>, ids: IdMap, cancelled: &dyn Fn() -> bool) -> Result<[u8; 32]> {
    let mut walk = Walk::new(root).map_err(Error::io("open", "the root"))?;
    let mut digest = Digest::new();
    let mut links = LinkNames::new();
    while let Some(step) = walk.step() {
        if cancelled() {
            return Err(Error::Cancelled);
        }
        let found = match step {
            Step::Found(found) => found,
            Step::Unreadable { path, error } => return Err(Error::io("read", &display_path(&path))(error)),
        };
        let unreadable = |error| Error::io("read", &display_path(&found.path))(error);
        let (mut entry, file) = walk.describe(&found, ids).map_err(unreadable)?;
        let first = links.first(&found);
        let content = match (&first, &file) {
            (Some((_, known)), _) => *known,
            (None, Some(file)) => {
                Some(hash_file(file.as_fd(), cancelled).map_err(unreadable)?.ok_or(Error::Cancelled)?)
            }
            (None, None) => None,
        };
        if first.is_none() {
            links.remember(&found, content);
        }
        if let (Node::File(description), Some(file)) = (&mut entry.node, &file) {
            description.size = stat(file.as_fd()).map_err(unreadable)?.size;
        }
        entry.hard_link = first.map(|(path, _)| path);
        digest.push(&entry, content);
    }
    Ok(digest.finish())
}

/// Returns the BLAKE3 hash of a file's whole content; holes count as the zeros they read as, without being read. Nothing once
/// `cancelled` says so: a file may be larger than anybody waits for.
///
/// # Errors
/// What the kernel says, or that the file became shorter meanwhile.
pub fn hash_file(file: BorrowedFd<'_>, cancelled: &dyn Fn() -> bool) -> io::Result<Option<[u8; 32]>> {
    let found = stat(file)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; READ_SIZE.min(usize::try_from(found.size).unwrap_or(READ_SIZE)).max(1)];
    let mut at = 0;
    for extent in extents(file, found.size)? {
        if !hash_zeros(&mut hasher, extent.offset - at, cancelled) {
            return Ok(None);
        }
        at = extent.offset;
        let end = extent.offset + extent.length;
        while at < end {
            if cancelled() {
                return Ok(None);
            }
            let wanted = buffer.len().min(usize::try_from(end - at).unwrap_or(buffer.len()));
            let count = read_at(file, &mut buffer[..wanted], at)?;
            if count == 0 {
                return Err(io::Error::other("the file became shorter while it was read"));
            }
            hasher.update(&buffer[..count]);
            at += count as u64;
        }
    }
    let whole = hash_zeros(&mut hasher, found.size - at, cancelled);
    Ok(whole.then(|| *hasher.finalize().as_bytes()))
}

/// Says whether it came to the end.
fn hash_zeros(hasher: &mut Hasher, mut count: u64, cancelled: &dyn Fn() -> bool) -> bool {
    while count > 0 {
        if cancelled() {
            return false;
        }
        let now = count.min(ZEROS.len() as u64);
        hasher.update(&ZEROS[..now as usize]);
        count -= now;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs::{Moment, open_root, set_length, set_times, write_at};
    use std::cell::Cell;
    use std::fs::File;
    use std::path::Path;

    fn digest(root: &Path) -> [u8; 32] {
        tree_digest(open_root(root).unwrap().as_fd(), IdMap::IDENTITY, &|| false).unwrap()
    }

    fn build(root: &Path, sparse: bool) {
        std::fs::create_dir(root.join("d")).unwrap();
        std::fs::write(root.join("d/a"), b"hello").unwrap();
        std::fs::hard_link(root.join("d/a"), root.join("d/b")).unwrap();
        let file = File::create(root.join("zeros")).unwrap();
        if sparse {
            set_length(file.as_fd(), 1 << 20).unwrap();
        } else {
            write_at(file.as_fd(), &vec![0; 1 << 20], 0).unwrap();
        }
        for path in ["d/a", "zeros", "d", ""] {
            set_times(File::open(root.join(path)).unwrap().as_fd(), Moment { seconds: 5, nanos: 7 }).unwrap();
        }
    }

    #[test]
    fn a_hole_or_a_file_that_nobody_waits_for_is_left_at_once() {
        let place = tempfile::tempdir().unwrap();
        for (name, written) in [("hole", 0), ("data", 3 * READ_SIZE)] {
            let path = place.path().join(name);
            std::fs::write(&path, vec![7; written]).unwrap();
            let file = File::options().write(true).read(true).open(&path).unwrap();
            set_length(file.as_fd(), 8 << 40).unwrap();
            let asked = Cell::new(0);
            let cancelled = || asked.replace(asked.get() + 1) == 2;
            assert_eq!(hash_file(file.as_fd(), &cancelled).unwrap(), None, "{name}");
        }
        let asked = Cell::new(0);
        let cancelled = || asked.replace(asked.get() + 1) == 6;
        let root = open_root(place.path()).unwrap();
        let told = tree_digest(root.as_fd(), IdMap::IDENTITY, &cancelled);
        assert!(matches!(told, Err(Error::Cancelled)), "{told:?}");
    }

    #[test]
    fn two_copies_of_a_tree_have_one_digest_and_any_change_another() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        build(one.path(), true);
        build(two.path(), false);
        assert_eq!(digest(one.path()), digest(two.path()));
        let before = digest(two.path());
        set_times(File::open(two.path().join("zeros")).unwrap().as_fd(), Moment { seconds: 5, nanos: 8 }).unwrap();
        assert_ne!(digest(two.path()), before);
    }
}
