//! Entries to bytes: blocks that stand alone, cut where the names say, so that equal regions of two trees give equal blocks.
//!
//! ```text
//! block  = version (1) · count · entry…                  number = LEB128, bytes = length · bytes
//! entry  = shared · bytes(rest of path)                    shared: bytes equal with the path before
//!        · tag                                             bits 0-3 kind, 4 racy, 5 hard link, 6 extras, 7 attributes
//!        · mode · owner · group                            ids: number << 1 | outside
//!        · seconds (signed) · nanos · seconds · nanos      modified, changed
//!        · inode · links · node
//!        · [bytes(first name)] · [flags · project] · [count · attribute…]
//! node   = directory | fifo | socket: nothing · symlink: bytes · device: major · minor
//!        | file: size · extents · count · (id (32 bytes) · length)…
//! extents = 0 (no holes) | count + 1 · (gap before · length)…
//! attribute = bytes(name) · bytes(value) · count · place…
//! ```

use crate::repository::error::Result;
use crate::repository::id_map::Id;
use crate::sys::fs::{Extent, Moment};

use super::bytes::{put_bytes, put_number, put_signed};
use super::entry::{ChunkReference, Entry, FileContent, Node};

pub(super) const VERSION: u8 = 1;
pub(super) const RACY: u8 = 0x10;
pub(super) const HARD_LINK: u8 = 0x20;
pub(super) const EXTRAS: u8 = 0x40;
pub(super) const ATTRIBUTES: u8 = 0x80;

/// A block is not cut before it has that many entries, unless it is full.
const ENTRIES_MIN: usize = 64;
/// A block is cut once it has that many bytes.
const BYTES_MAX: usize = 128 << 10;
/// One name in that many ends a block.
const CUT_EVERY: u64 = 192;

/// Points to a block and says where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockReference {
    /// The first path in it.
    pub first: Vec<u8>,
    /// How many entries it has.
    pub entries: u32,
    /// Where its bytes are.
    pub chunk: ChunkReference,
}

/// Encodes entries as one block.
pub fn encode_block(entries: &[Entry]) -> Vec<u8> {
    let mut block = Block::default();
    for entry in entries {
        block.push(entry);
    }
    block.finish()
}

#[derive(Default)]
struct Block {
    first: Option<Vec<u8>>,
    last: Vec<u8>,
    count: usize,
    body: Vec<u8>,
}

impl Block {
    fn push(&mut self, entry: &Entry) {
        put_entry(&mut self.body, &self.last, entry);
        self.first.get_or_insert_with(|| entry.path.clone());
        self.last.clone_from(&entry.path);
        self.count += 1;
    }

    fn finish(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + 8);
        out.push(VERSION);
        put_number(&mut out, self.count as u64);
        out.extend_from_slice(&self.body);
        out
    }
}

/// Writes a catalogue, one entry after the other; holds one block and the list of blocks.
#[derive(Default)]
pub struct CatalogueWriter {
    block: Block,
    written: Vec<BlockReference>,
    entries: u64,
}

/// Takes the bytes of a block and says where they are.
pub type BlockSink<'a> = dyn FnMut(&[u8]) -> Result<ChunkReference> + 'a;

impl CatalogueWriter {
    /// Appends an entry; entries must come in the order of `order`. A block that is full goes to `store`.
    ///
    /// # Errors
    /// What `store` says.
    pub fn push(&mut self, entry: &Entry, store: &mut BlockSink<'_>) -> Result<()> {
        self.block.push(entry);
        self.entries += 1;
        let full = self.block.body.len() >= BYTES_MAX;
        if full || (self.block.count >= ENTRIES_MIN && cuts_here(&entry.path)) {
            self.flush(store)?;
        }
        Ok(())
    }

    fn flush(&mut self, store: &mut BlockSink<'_>) -> Result<()> {
        let block = std::mem::take(&mut self.block);
        let Some(first) = block.first.clone() else { return Ok(()) };
        let chunk = store(&block.finish())?;
        self.written.push(BlockReference { first, entries: block.count as u32, chunk });
        Ok(())
    }

    /// Ends the catalogue: returns its blocks and how many entries they have.
    ///
    /// # Errors
    /// What `store` says.
    pub fn finish(mut self, store: &mut BlockSink<'_>) -> Result<(Vec<BlockReference>, u64)> {
        self.flush(store)?;
        Ok((self.written, self.entries))
    }
}

fn cuts_here(path: &[u8]) -> bool {
    // FNV-1a and one more multiplication: it only has to spread, and it is part of no promise.
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = path.iter().fold(0xcbf2_9ce4_8422_2325_u64, step).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 33).is_multiple_of(CUT_EVERY)
}

fn put_entry(out: &mut Vec<u8>, before: &[u8], entry: &Entry) {
    let shared = before.iter().zip(&entry.path).take_while(|(left, right)| left == right).count();
    put_number(out, shared as u64);
    put_bytes(out, &entry.path[shared..]);
    out.push(tag(entry));
    put_number(out, entry.mode.into());
    put_id(out, entry.owner);
    put_id(out, entry.group);
    put_moment(out, entry.modified);
    put_moment(out, entry.changed);
    put_number(out, entry.inode);
    put_number(out, entry.links.into());
    put_node(out, &entry.node);
    if let Some(first) = &entry.hard_link {
        put_bytes(out, first);
    }
    if entry.flags != 0 || entry.project != 0 {
        put_number(out, entry.flags.into());
        put_number(out, entry.project.into());
    }
    if !entry.attributes.is_empty() {
        put_attributes(out, entry);
    }
}

fn tag(entry: &Entry) -> u8 {
    let when = |set: bool, bit: u8| if set { bit } else { 0 };
    kind_number(&entry.node)
        | when(entry.racy, RACY)
        | when(entry.hard_link.is_some(), HARD_LINK)
        | when(entry.flags != 0 || entry.project != 0, EXTRAS)
        | when(!entry.attributes.is_empty(), ATTRIBUTES)
}

pub(super) fn kind_number(node: &Node) -> u8 {
    match node {
        Node::Directory => 0,
        Node::File(_) => 1,
        Node::Symlink { .. } => 2,
        Node::CharDevice { .. } => 3,
        Node::BlockDevice { .. } => 4,
        Node::Fifo => 5,
        Node::Socket => 6,
    }
}

fn put_id(out: &mut Vec<u8>, id: Id) {
    match id {
        Id::Inside(id) => put_number(out, u64::from(id) << 1),
        Id::Outside(id) => put_number(out, u64::from(id) << 1 | 1),
    }
}

fn put_moment(out: &mut Vec<u8>, moment: Moment) {
    put_signed(out, moment.seconds);
    put_number(out, moment.nanos.into());
}

fn put_node(out: &mut Vec<u8>, node: &Node) {
    match node {
        Node::Directory | Node::Fifo | Node::Socket => {}
        Node::Symlink { target } => put_bytes(out, target),
        Node::CharDevice { major, minor } | Node::BlockDevice { major, minor } => {
            put_number(out, u64::from(*major));
            put_number(out, u64::from(*minor));
        }
        Node::File(content) => put_content(out, content),
    }
}

fn put_content(out: &mut Vec<u8>, content: &FileContent) {
    put_number(out, content.size);
    match &content.extents {
        None => put_number(out, 0),
        Some(extents) => put_extents(out, extents),
    }
    put_number(out, content.chunks.len() as u64);
    for chunk in &content.chunks {
        out.extend_from_slice(&chunk.id.0);
        put_number(out, chunk.length.into());
    }
}

fn put_extents(out: &mut Vec<u8>, extents: &[Extent]) {
    put_number(out, extents.len() as u64 + 1);
    let mut end = 0;
    for extent in extents {
        put_number(out, extent.offset.saturating_sub(end));
        put_number(out, extent.length);
        end = extent.offset + extent.length;
    }
}

fn put_attributes(out: &mut Vec<u8>, entry: &Entry) {
    put_number(out, entry.attributes.len() as u64);
    for attribute in &entry.attributes {
        put_bytes(out, &attribute.name);
        put_bytes(out, &attribute.value);
        put_number(out, attribute.outside.len() as u64);
        for place in &attribute.outside {
            put_number(out, u64::from(*place));
        }
    }
}
