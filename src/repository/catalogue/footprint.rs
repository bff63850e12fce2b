//! How much room entries take in a file system: whole blocks, and with them the names, lists and attributes around the bytes.

use crate::repository::catalogue::{Attribute, Entry, FileContent, Node};

/// How long the target of a link may be to lie in its inode (ext4).
const LINK_INSIDE: usize = 59;
/// How many bytes of attributes lie in an inode of 256 bytes (ext4).
const ATTRIBUTES_INSIDE: usize = 88;
/// How many bytes of a file one extent covers at most (ext4), how many extents lie in its inode, and how many in a block.
const EXTENT_MAX: u64 = 128 << 20;
const EXTENTS_INSIDE: u64 = 4;
const EXTENTS_PER_BLOCK: u64 = 340;

/// Is the room that files take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// The bytes of the files themselves, holes not counted.
    pub data: u64,
    /// What a file system gives away for them: whole blocks, and with all that is around them.
    pub bytes: u64,
    /// How many inodes.
    pub inodes: u64,
}

/// Adds up what entries take.
#[derive(Debug)]
pub struct Measure {
    block: u64,
    blocks: u64,
    /// How long the records of all names are.
    names: u64,
    data: u64,
    inodes: u64,
}

impl Measure {
    /// Begins for a file system with blocks of this size.
    pub fn new(block: u64) -> Self {
        Self { block: block.max(1), blocks: 0, names: 0, data: 0, inodes: 0 }
    }

    /// Adds an entry.
    pub fn take(&mut self, entry: &Entry) {
        let name = entry.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        self.names += 8 + rounded(name.len());
        if entry.hard_link.is_some() {
            return;
        }
        self.inodes += 1;
        self.blocks += match &entry.node {
            Node::Directory => 1,
            Node::File(content) => {
                self.data += content.data_length();
                self.of_file(content)
            }
            Node::Symlink { target } => u64::from(target.len() > LINK_INSIDE),
            Node::CharDevice { .. } | Node::BlockDevice { .. } | Node::Fifo | Node::Socket => 0,
        };
        self.blocks += u64::from(length_of(&entry.attributes) > ATTRIBUTES_INSIDE as u64);
    }

    fn of_file(&self, content: &FileContent) -> u64 {
        let (mut blocks, mut pieces) = (0, 0);
        for extent in content.data_extents().iter().filter(|extent| extent.length > 0) {
            let end = extent.offset.saturating_add(extent.length);
            blocks += end.div_ceil(self.block) - extent.offset / self.block;
            pieces += extent.length.div_ceil(EXTENT_MAX);
        }
        if pieces > EXTENTS_INSIDE { blocks + pieces.div_ceil(EXTENTS_PER_BLOCK) } else { blocks }
    }

    /// Returns what all of them take. The blocks of a large directory are two thirds full.
    pub fn footprint(&self) -> Footprint {
        let blocks = self.blocks + (self.names * 3 / 2).div_ceil(self.block);
        Footprint { data: self.data, bytes: blocks.saturating_mul(self.block), inodes: self.inodes }
    }
}

/// Returns how long the records of attributes are: the name without the prefix, which is a number.
fn length_of(attributes: &[Attribute]) -> u64 {
    let of = |attribute: &Attribute| {
        let prefix = attribute.name.iter().position(|byte| *byte == b'.').map_or(0, |dot| dot + 1);
        16 + rounded(attribute.name.len() - prefix) + rounded(attribute.value.len())
    };
    attributes.iter().map(of).sum()
}

/// Rounds a length up to what records are laid out by.
fn rounded(length: usize) -> u64 {
    (length as u64).next_multiple_of(4)
}
