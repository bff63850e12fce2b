//! A template's catalogue: what its digest is the digest of, kept beside the tree, so that drift can be named.
//!
//! The file is the canonical stream itself: per entry its length (8 bytes, big-endian) and a block with that one entry, as
//! `repository::catalogue` encodes it. Its BLAKE3 hash (derive-key mode) is the template's digest, so the catalogue proves
//! itself.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;

use crate::domain::RefusalClass;
use crate::domain::effect::Failure;
use crate::domain::node::ID_COUNT;
use crate::effects::linux::failure::{cancelled, cannot};
use crate::repository::catalogue::{
    ChunkId, ChunkReference, Digest, Entry, FileContent, Node, encode_block, hash_file, order,
};
use crate::repository::{IdMap, LinkNames, Step, Walk};
use crate::sys::fs::{AsFd, display_path};
use crate::sys::process::effective_user;
use crate::types::Size;

use super::Watch;

/// An entry is at most a path, some attributes and a link target; more is damage.
const ENTRY_MAX: u64 = 4 << 20;

/// Is what a walk over a tree adds up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sealed {
    /// The digest, in hexadecimal.
    pub digest: String,
    /// Bytes of file contents; each inode counts once.
    pub size: Size,
    /// Number of entries, the root included.
    pub entries: u64,
}

/// Is what differs from the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Differences {
    /// The first of them, for people to read.
    pub paths: Vec<String>,
    /// How many there are.
    pub count: u64,
}

/// Names differences beyond this are only counted.
const PATHS_MAX: usize = 100;

impl Differences {
    fn add(&mut self, path: &[u8]) {
        self.count += 1;
        if self.paths.len() < PATHS_MAX {
            self.paths.push(format!("/{}", display_path(path)));
        }
    }
}

/// Is what belongs to ids that no container has: inside it would be nobody's, and nobody could change it there.
#[derive(Default)]
struct Beyond {
    count: u64,
    first: Option<(Vec<u8>, u32)>,
}

impl Beyond {
    fn look_at(&mut self, entry: &Entry) {
        if let Some(id) = IdMap::new(0, ID_COUNT).beyond(entry) {
            self.count += 1;
            self.first.get_or_insert_with(|| (entry.path.clone(), id));
        }
    }

    fn refuse(self) -> Result<(), Failure> {
        let Some((path, id)) = self.first else { return Ok(()) };
        let entries =
            if self.count == 1 { "1 entry belongs".to_owned() } else { format!("{} entries belong", self.count) };
        Err(Failure::permanent(format!(
            "{entries} to an id that no container has (0 to {} are there), as owner, group or in an access list: the first is \
             /{}, of {id}; give it to another before, or leave it out",
            ID_COUNT - 1,
            display_path(&path)
        ))
        .classed(RefusalClass::Invalid))
    }
}

/// Reads the whole tree, writes its catalogue to `path` and returns what it adds up to.
pub(super) fn seal(root: BorrowedFd<'_>, path: &Path, watch: &Watch<'_>) -> Result<Sealed, Failure> {
    let file = File::create(path).map_err(cannot("write", path.display()))?;
    let mut out = BufWriter::new(file);
    let mut digest = Digest::new();
    let (mut size, mut entries) = (0, 0);
    let mut beyond = Beyond::default();
    visit(root, watch, &mut |entry, content| {
        digest.push(&entry, content);
        entries += 1;
        beyond.look_at(&entry);
        if let (Node::File(file), None) = (&entry.node, &entry.hard_link) {
            size += file.size;
        }
        let bytes = canonical(entry, content);
        out.write_all(&(bytes.len() as u64).to_be_bytes())?;
        out.write_all(&bytes)
    })?;
    // Without root everything belongs to the daemon's user, whoever that is.
    if effective_user() == 0 {
        beyond.refuse()?;
    }
    let file = out.into_inner().map_err(|error| cannot("write", path.display())(error.into_error()))?;
    file.sync_all().map_err(cannot("write", path.display()))?;
    let digest = blake3::Hash::from_bytes(digest.finish()).to_hex().to_string();
    Ok(Sealed { digest, size: Size::from_bytes(size), entries })
}

/// Compares the tree with its catalogue: both are in one order, so one pass is enough.
pub(super) fn compare(root: BorrowedFd<'_>, path: &Path, watch: &Watch<'_>) -> Result<Differences, Failure> {
    let file = File::open(path).map_err(cannot("read", path.display()))?;
    let mut stored = Stored { input: BufReader::new(file), next: None };
    stored.advance().map_err(cannot("read", path.display()))?;
    let mut differences = Differences::default();
    visit(root, watch, &mut |entry, content| {
        let bytes = canonical(entry.clone(), content);
        loop {
            let Some((known, known_bytes)) = &stored.next else {
                differences.add(&entry.path); // New, beyond the last known.
                return Ok(());
            };
            match order(known, &entry.path) {
                Ordering::Less => differences.add(known), // Gone.
                Ordering::Equal => {
                    if *known_bytes != bytes {
                        differences.add(&entry.path);
                    }
                    return stored.advance();
                }
                Ordering::Greater => {
                    differences.add(&entry.path); // New.
                    return Ok(());
                }
            }
            stored.advance()?;
        }
    })?;
    while let Some((known, _)) = &stored.next {
        differences.add(known);
        stored.advance().map_err(cannot("read", path.display()))?;
    }
    Ok(differences)
}

/// Tells whether the catalogue is the one with this digest.
pub(super) fn has_digest(path: &Path, digest: &str) -> Result<bool, Failure> {
    let mut hasher = blake3::Hasher::new_derive_key("berth 2026 tree digest");
    let file = File::open(path).map_err(cannot("read", path.display()))?;
    hasher.update_reader(file).map_err(cannot("read", path.display()))?;
    Ok(hasher.finalize().to_hex().as_str() == digest)
}

struct Stored {
    input: BufReader<File>,
    next: Option<(Vec<u8>, Vec<u8>)>,
}

impl Stored {
    fn advance(&mut self) -> io::Result<()> {
        self.next = None;
        let mut length = [0; 8];
        match self.input.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let length = u64::from_be_bytes(length);
        if length > ENTRY_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the template's catalogue is damaged"));
        }
        let mut bytes = vec![0; length as usize];
        self.input.read_exact(&mut bytes)?;
        let path = path_of(&bytes)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the template's catalogue is damaged"))?;
        self.next = Some((path.to_vec(), bytes));
        Ok(())
    }
}

/// Reads the path of a block with one entry: version, count, bytes shared with the path before (none), path.
fn path_of(block: &[u8]) -> Option<&[u8]> {
    let (count, rest) = number(block.get(1..)?)?;
    let (shared, rest) = number(rest)?;
    let (length, rest) = number(rest)?;
    if (count, shared) == (1, 0) { rest.get(..length) } else { None }
}

/// Reads an LEB128 number and returns what follows it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.iter().take(9).position(|byte| byte & 0x80 == 0)?;
    let value = bytes[..=end].iter().rev().fold(0, |value, byte| (value << 7) | usize::from(byte & 0x7f));
    Some((value, &bytes[end + 1..]))
}

fn canonical(entry: Entry, content: Option<[u8; 32]>) -> Vec<u8> {
    let mut entry = Entry { changed: <_>::default(), inode: 0, links: 0, racy: false, ..entry };
    if let (Node::File(file), Some(hash)) = (&mut entry.node, content) {
        let whole = vec![ChunkReference { id: ChunkId(hash), length: 0 }];
        *file = FileContent { size: file.size, extents: None, chunks: whole };
    }
    encode_block(&[entry])
}

type Take<'a> = &'a mut dyn FnMut(Entry, Option<[u8; 32]>) -> io::Result<()>;

fn visit(root: BorrowedFd<'_>, watch: &Watch<'_>, take: Take<'_>) -> Result<(), Failure> {
    let mut walk = Walk::new(root).map_err(cannot("read", "the template"))?;
    let mut links = LinkNames::new();
    while let Some(step) = walk.step() {
        if (watch.cancelled)() {
            return Err(cancelled());
        }
        let found = match step {
            Step::Found(found) => found,
            Step::Unreadable { path, error } => return Err(cannot("read", display_path(&path))(error)),
        };
        let failed = |error| cannot("read", display_path(&found.path))(error);
        let (mut entry, file) = walk.describe(&found, IdMap::IDENTITY).map_err(failed)?;
        let first = links.first(&found);
        let content = match (&first, &file) {
            (Some((_, known)), _) => *known,
            (None, Some(file)) => {
                Some(hash_file(file.as_fd(), watch.cancelled).map_err(failed)?.ok_or_else(cancelled)?)
            }
            (None, None) => None,
        };
        if first.is_none() {
            links.remember(&found, content);
        }
        if let Node::File(description) = &mut entry.node {
            description.size = found.metadata.size;
        }
        entry.hard_link = first.map(|(path, _)| path);
        take(entry, content).map_err(failed)?;
    }
    Ok(())
}
