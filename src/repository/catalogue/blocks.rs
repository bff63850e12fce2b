//! A catalogue in a store: its list of blocks, and its entries, read block by block from any path on.

use std::sync::Arc;

use crate::repository::error::{Error, Result};

use super::bytes::{Malformed, Reader, put_bytes, put_number};
use super::decode::{Decoded, check_version, chunk, decode_block};
use super::encode::{BlockReference, VERSION};
use super::entry::{ChunkReference, Entry, order};

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
    pub fn decode_blocks(bytes: &[u8]) -> Decoded<Vec<BlockReference>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::catalogue::encode::CatalogueWriter;
    use crate::repository::catalogue::entry::{ChunkId, Node};
    use crate::repository::id_map::Id;
    use crate::sys::fs::Moment;
    use std::collections::HashMap;
    use std::sync::Mutex;

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
