//! Bytes to entries, and a catalogue that is read block by block, from any path on.
//!
//! Nothing is believed: lengths, order, names and sums are checked, so that damaged or forged bytes give an error and
//! neither a panic nor a path that leads elsewhere.

use std::sync::Arc;

use crate::repository::error::{Error, Result};
use crate::repository::id_map::Id;
use crate::sys::fs::{Extent, Moment};

use super::bytes::{Malformed, Reader, put_bytes, put_number};
use super::encode::{ATTRIBUTES, BlockReference, EXTRAS, HARD_LINK, RACY, VERSION};
use super::entry::{Attribute, ChunkId, ChunkReference, Entry, FileContent, Node, order};

/// Fetches the bytes of a block.
pub trait Blocks: Send + Sync {
    /// Returns the bytes a reference points to.
    ///
    /// # Errors
    /// What the store says.
    fn block(&self, chunk: &ChunkReference) -> Result<Vec<u8>>;
}

/// Is a catalogue in a store, of which only the list of blocks is in memory.
#[derive(Clone)]
pub struct Catalogue {
    blocks: Arc<Vec<BlockReference>>,
    source: Arc<dyn Blocks>,
}

impl Catalogue {
    /// Makes a catalogue of its list of blocks.
    pub fn new(blocks: Vec<BlockReference>, source: Arc<dyn Blocks>) -> Self {
        Self { blocks: Arc::new(blocks), source }
    }

    /// Returns the list of blocks.
    pub fn blocks(&self) -> &[BlockReference] {
        &self.blocks
    }

    /// Goes through all entries.
    pub fn entries(&self) -> Entries {
        self.entries_from(b"")
    }

    /// Goes through the entries from `path` on, reading no block before it.
    pub fn entries_from(&self, path: &[u8]) -> Entries {
        let after = self.blocks.partition_point(|block| order(&block.first, path).is_le());
        let next = after.saturating_sub(1);
        Entries { catalogue: self.clone(), next, block: Vec::new().into_iter(), from: Some(path.to_vec()) }
    }

    /// Finds the entry of one path.
    ///
    /// # Errors
    /// What the store says, or that the block is damaged.
    pub fn get(&self, path: &[u8]) -> Result<Option<Entry>> {
        let found = self.entries_from(path).next().transpose()?;
        Ok(found.filter(|entry| entry.path == path))
    }

    /// Encodes the list of blocks: `1 · count · (bytes(first path) · entries · id · length)…`.
    pub fn encode_blocks(blocks: &[BlockReference]) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_number(&mut out, blocks.len() as u64);
        for block in blocks {
            put_bytes(&mut out, &block.first);
            put_number(&mut out, block.entries.into());
            out.extend_from_slice(&block.chunk.id.0);
            put_number(&mut out, block.chunk.length.into());
        }
        out
    }

    /// Decodes a list of blocks.
    ///
    /// # Errors
    /// If the bytes are no such list.
    pub fn decode_blocks(bytes: &[u8]) -> std::result::Result<Vec<BlockReference>, Malformed> {
        let mut reader = Reader::new(bytes);
        check_version(&mut reader)?;
        let count = reader.count(35)?;
        let mut blocks: Vec<BlockReference> = Vec::with_capacity(count);
        for _ in 0..count {
            let first = reader.bytes()?.to_vec();
            if blocks.last().is_some_and(|before| order(&before.first, &first).is_ge()) {
                return Err(Malformed("the blocks are out of order"));
            }
            blocks.push(BlockReference { first, entries: reader.number_32()?, chunk: chunk(&mut reader)? });
        }
        if reader.is_empty() { Ok(blocks) } else { Err(Malformed("something follows the end")) }
    }
}

/// Goes through the entries of a catalogue, one block in memory at a time.
pub struct Entries {
    catalogue: Catalogue,
    next: usize,
    block: std::vec::IntoIter<Entry>,
    from: Option<Vec<u8>>,
}

impl Entries {
    fn load(&mut self) -> Result<bool> {
        let Some(reference) = self.catalogue.blocks.get(self.next) else { return Ok(false) };
        self.next += 1;
        let damaged =
            |error: Malformed| Error::damaged(format!("catalogue block {}", reference.chunk.id), error.to_string());
        let entries = decode_block(&self.catalogue.source.block(&reference.chunk)?).map_err(damaged)?;
        if entries.first().is_some_and(|entry| entry.path != reference.first) {
            return Err(damaged(Malformed("it does not begin where its reference says")));
        }
        self.block = entries.into_iter();
        Ok(true)
    }
}

impl Iterator for Entries {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.block.next() {
                if self.from.as_ref().is_some_and(|from| order(&entry.path, from).is_lt()) {
                    continue;
                }
                self.from = None;
                return Some(Ok(entry));
            }
            match self.load() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.next = usize::MAX; // A damaged catalogue ends here rather than going on with a gap.
                    return Some(Err(error));
                }
            }
        }
    }
}

/// Decodes a block.
///
/// # Errors
/// If the bytes are no block, or one that no writer would have made.
pub fn decode_block(bytes: &[u8]) -> std::result::Result<Vec<Entry>, Malformed> {
    let mut reader = Reader::new(bytes);
    check_version(&mut reader)?;
    let count = reader.count(12)?;
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..count {
        let before = entries.last().map(|entry| entry.path.as_slice());
        let decoded = entry(&mut reader, before)?;
        entries.push(decoded);
    }
    if reader.is_empty() { Ok(entries) } else { Err(Malformed("something follows the end")) }
}

fn check_version(reader: &mut Reader<'_>) -> std::result::Result<(), Malformed> {
    if reader.byte()? == VERSION { Ok(()) } else { Err(Malformed("its version is unknown")) }
}

type Decoded<T> = std::result::Result<T, Malformed>;

fn entry(reader: &mut Reader<'_>, before: Option<&[u8]>) -> Decoded<Entry> {
    let path = path(reader, before)?;
    let tag = reader.byte()?;
    let mode = reader.number_32()?;
    if mode > 0o7777 {
        return Err(Malformed("a mode has more than the permission bits"));
    }
    let (owner, group) = (id(reader)?, id(reader)?);
    let (modified, changed) = (moment(reader)?, moment(reader)?);
    let (inode, links) = (reader.number()?, reader.number_32()?);
    let node = node(reader, tag & 0x0f)?;
    let hard_link = if tag & HARD_LINK == 0 { None } else { Some(checked_path(reader.bytes()?)?.to_vec()) };
    let (flags, project) = if tag & EXTRAS == 0 { (0, 0) } else { extras(reader)? };
    let attributes = if tag & ATTRIBUTES == 0 { Vec::new() } else { attributes(reader)? };
    let racy = tag & RACY != 0;
    Ok(Entry {
        path,
        node,
        mode,
        owner,
        group,
        modified,
        changed,
        inode,
        links,
        hard_link,
        attributes,
        flags,
        project,
        racy,
    })
}

fn path(reader: &mut Reader<'_>, before: Option<&[u8]>) -> Decoded<Vec<u8>> {
    let shared = usize::try_from(reader.number()?).map_err(|_| Malformed("a length is too large"))?;
    let mut path = before.unwrap_or_default().get(..shared).ok_or(Malformed("it shares more than there is"))?.to_vec();
    path.extend_from_slice(reader.bytes()?);
    checked_path(&path)?;
    match before {
        Some(before) if order(before, &path).is_ge() => Err(Malformed("the names are out of order")),
        _ => Ok(path),
    }
}

fn checked_path(path: &[u8]) -> Decoded<&[u8]> {
    let good =
        |name: &[u8]| !name.is_empty() && name != b"." && name != b".." && !name.contains(&0) && name.len() <= 255;
    if path.is_empty() || path.split(|byte| *byte == b'/').all(good) {
        Ok(path)
    } else {
        Err(Malformed("a name is not possible"))
    }
}

fn id(reader: &mut Reader<'_>) -> Decoded<Id> {
    let number = reader.number()?;
    let id = u32::try_from(number >> 1).map_err(|_| Malformed("an id is too large"))?;
    Ok(if number & 1 == 0 { Id::Inside(id) } else { Id::Outside(id) })
}

fn moment(reader: &mut Reader<'_>) -> Decoded<Moment> {
    let (seconds, nanos) = (reader.signed()?, reader.number_32()?);
    if nanos < 1_000_000_000 {
        Ok(Moment { seconds, nanos })
    } else {
        Err(Malformed("a second has too many nanoseconds"))
    }
}

fn extras(reader: &mut Reader<'_>) -> Decoded<(u32, u32)> {
    match (reader.number_32()?, reader.number_32()?) {
        (0, 0) => Err(Malformed("extras without any")),
        extras => Ok(extras),
    }
}

fn node(reader: &mut Reader<'_>, kind: u8) -> Decoded<Node> {
    Ok(match kind {
        0 => Node::Directory,
        1 => Node::File(content(reader)?),
        2 => Node::Symlink { target: reader.bytes()?.to_vec() },
        3 => Node::CharDevice { major: reader.number_32()?, minor: reader.number_32()? },
        4 => Node::BlockDevice { major: reader.number_32()?, minor: reader.number_32()? },
        5 => Node::Fifo,
        6 => Node::Socket,
        _ => return Err(Malformed("its kind is unknown")),
    })
}

fn content(reader: &mut Reader<'_>) -> Decoded<FileContent> {
    let size = reader.number()?;
    let extents = extents(reader, size)?;
    let count = reader.count(33)?;
    let chunks = (0..count).map(|_| chunk(reader)).collect::<Decoded<Vec<_>>>()?;
    let content = FileContent { size, extents, chunks };
    let sum: u64 = content.chunks.iter().map(|chunk| u64::from(chunk.length)).sum();
    if sum == content.data_length() { Ok(content) } else { Err(Malformed("the pieces of a file do not make its size")) }
}

fn extents(reader: &mut Reader<'_>, size: u64) -> Decoded<Option<Vec<Extent>>> {
    // Counted from one: 0 says that there are no holes.
    let Some(count) = reader.number()?.checked_sub(1) else { return Ok(None) };
    let mut found = Vec::new();
    let mut end = 0_u64;
    for _ in 0..count {
        let (gap, length) = (reader.number()?, reader.number()?);
        let offset = end.checked_add(gap).ok_or(Malformed("an extent is too far out"))?;
        end = offset
            .checked_add(length)
            .filter(|end| *end <= size)
            .ok_or(Malformed("an extent is longer than its file"))?;
        found.push(Extent { offset, length });
    }
    Ok(Some(found))
}

fn chunk(reader: &mut Reader<'_>) -> Decoded<ChunkReference> {
    Ok(ChunkReference { id: ChunkId(reader.array()?), length: reader.number_32()? })
}

fn attributes(reader: &mut Reader<'_>) -> Decoded<Vec<Attribute>> {
    let count = reader.count(3)?;
    if count == 0 {
        return Err(Malformed("attributes without any"));
    }
    (0..count).map(|_| attribute(reader)).collect()
}

fn attribute(reader: &mut Reader<'_>) -> Decoded<Attribute> {
    let (name, value) = (reader.bytes()?.to_vec(), reader.bytes()?.to_vec());
    let count = reader.count(1)?;
    let outside = (0..count).map(|_| reader.number_32()).collect::<Decoded<_>>()?;
    Ok(Attribute { name, value, outside })
}

#[cfg(test)]
mod tests {
    use super::super::encode::{CatalogueWriter, encode_block};
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::sync::Mutex;

    fn some_id() -> impl Strategy<Value = Id> {
        prop_oneof![any::<u32>().prop_map(Id::Inside), any::<u32>().prop_map(Id::Outside)]
    }

    fn some_moment() -> impl Strategy<Value = Moment> {
        (any::<i64>(), 0_u32..1_000_000_000).prop_map(|(seconds, nanos)| Moment { seconds, nanos })
    }

    fn some_chunks() -> impl Strategy<Value = Vec<ChunkReference>> {
        vec((any::<[u8; 32]>(), 0_u32..1_000_000), 0..4)
            .prop_map(|all| all.into_iter().map(|(id, length)| ChunkReference { id: ChunkId(id), length }).collect())
    }

    fn some_file() -> impl Strategy<Value = Node> {
        (some_chunks(), any::<bool>(), 0_u64..9_999, 0_u64..9_999).prop_map(|(chunks, sparse, before, after)| {
            let length: u64 = chunks.iter().map(|chunk| u64::from(chunk.length)).sum();
            let extents = sparse.then(|| vec![Extent { offset: before, length }]);
            let size = if sparse { before + length + after } else { length };
            Node::File(FileContent { size, extents, chunks })
        })
    }

    fn some_node() -> impl Strategy<Value = Node> {
        prop_oneof![
            Just(Node::Directory),
            some_file(),
            vec(any::<u8>(), 0..20).prop_map(|target| Node::Symlink { target }),
            any::<(u32, u32)>().prop_map(|(major, minor)| Node::CharDevice { major, minor }),
            any::<(u32, u32)>().prop_map(|(major, minor)| Node::BlockDevice { major, minor }),
            Just(Node::Fifo),
            Just(Node::Socket),
        ]
    }

    fn some_attributes() -> impl Strategy<Value = Vec<Attribute>> {
        vec((vec(any::<u8>(), 0..9), vec(any::<u8>(), 0..9), vec(any::<u32>(), 0..3)), 0..3)
            .prop_map(|all| all.into_iter().map(|(name, value, outside)| Attribute { name, value, outside }).collect())
    }

    fn some_entry() -> impl Strategy<Value = Entry> {
        let name = vec(prop_oneof![Just(b'a'), Just(0xff_u8), 1_u8..=46, 48_u8..=255], 3..6);
        let path = vec(name, 1..4).prop_map(|names| names.join(&b'/'));
        let ids = (some_id(), some_id(), some_moment(), some_moment());
        let numbers = (0_u32..0o10_000, any::<u64>(), any::<u32>(), any::<u32>(), any::<u32>(), any::<bool>());
        (path.clone(), some_node(), ids, numbers, proptest::option::of(path), some_attributes()).prop_map(
            |(
                path,
                node,
                (owner, group, modified, changed),
                (mode, inode, links, flags, project, racy),
                hard_link,
                attributes,
            )| Entry {
                path,
                node,
                mode,
                owner,
                group,
                modified,
                changed,
                inode,
                links,
                hard_link,
                attributes,
                flags,
                project,
                racy,
            },
        )
    }

    fn some_entries() -> impl Strategy<Value = Vec<Entry>> {
        vec(some_entry(), 0..40).prop_map(|mut entries| {
            entries.retain(|entry| !entry.path.split(|byte| *byte == b'/').any(|name| name == b"." || name == b".."));
            entries.sort_by(|left, right| order(&left.path, &right.path));
            entries.dedup_by(|left, right| left.path == right.path);
            entries
        })
    }

    #[derive(Default)]
    struct Memory(Mutex<HashMap<ChunkId, Vec<u8>>>);

    impl Blocks for Memory {
        fn block(&self, chunk: &ChunkReference) -> Result<Vec<u8>> {
            Ok(self.0.lock().unwrap()[&chunk.id].clone())
        }
    }

    fn stored(entries: &[Entry]) -> Catalogue {
        let memory = Arc::new(Memory::default());
        let mut store = |bytes: &[u8]| {
            let id = ChunkId(*blake3::hash(bytes).as_bytes());
            memory.0.lock().unwrap().insert(id, bytes.to_vec());
            Ok(ChunkReference { id, length: bytes.len() as u32 })
        };
        let mut writer = CatalogueWriter::default();
        for entry in entries {
            writer.push(entry, &mut store).unwrap();
        }
        let (blocks, count) = writer.finish(&mut store).unwrap();
        assert_eq!(count, entries.len() as u64);
        assert_eq!(Catalogue::decode_blocks(&Catalogue::encode_blocks(&blocks)).unwrap(), blocks);
        Catalogue::new(blocks, memory)
    }

    proptest! {
        #[test]
        fn entries_survive(entries in some_entries()) {
            prop_assert_eq!(decode_block(&encode_block(&entries)), Ok(entries));
        }

        #[test]
        fn flipped_bytes_never_panic(entries in some_entries(), place: prop::sample::Index, bit in 0_u8..8) {
            let mut bytes = encode_block(&entries);
            let at = place.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let _ = decode_block(&bytes);
            let _ = Catalogue::decode_blocks(&bytes);
        }

        #[test]
        fn random_bytes_never_panic(mut bytes: Vec<u8>) {
            bytes.insert(0, VERSION);
            let _ = decode_block(&bytes);
            let _ = Catalogue::decode_blocks(&bytes);
        }
    }

    fn plain(path: String) -> Entry {
        let moment = Moment::default();
        Entry {
            path: path.into_bytes(),
            node: Node::Fifo,
            mode: 0,
            owner: Id::Inside(0),
            group: Id::Inside(0),
            modified: moment,
            changed: moment,
            inode: 1,
            links: 1,
            hard_link: None,
            attributes: Vec::new(),
            flags: 0,
            project: 0,
            racy: false,
        }
    }

    #[test]
    fn a_long_catalogue_is_read_from_any_path_on() {
        let mut entries: Vec<Entry> = (0..3000).map(|number| plain(format!("d{:03}/{number}", number / 10))).collect();
        entries.sort_by(|left, right| order(&left.path, &right.path));
        let catalogue = stored(&entries);
        assert!(catalogue.blocks().len() > 5);
        let all: Vec<Entry> = catalogue.entries().map(Result::unwrap).collect();
        assert_eq!(all, entries);
        for at in (0..3000).step_by(97) {
            let found = catalogue.get(&entries[at].path).unwrap();
            assert_eq!(found.as_ref(), Some(&entries[at]));
            assert_eq!(catalogue.entries_from(&entries[at].path).count(), 3000 - at);
        }
        assert_eq!(catalogue.get(b"nowhere").unwrap(), None);
    }

    #[test]
    fn a_change_in_one_place_leaves_the_other_blocks_alone() {
        let mut entries: Vec<Entry> = (0..5000).map(|number| plain(format!("file{number:05}"))).collect();
        let before = stored(&entries);
        entries.insert(2500, plain("file02499x".to_owned()));
        let after = stored(&entries);
        let same = after.blocks().iter().filter(|block| before.blocks().contains(block)).count();
        assert!(same + 3 >= after.blocks().len(), "{same} of {}", after.blocks().len());
    }
}
