//! Which content is where: in memory for every question, in SQLite so that opening a store needs no reading of packs.
//!
//! The index is a cache of the packs' footers. Whatever is wrong with it, it is thrown away and made again; nothing is
//! ever only in it.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rusqlite::{Connection, params};

use crate::repository::catalogue::ChunkId;
use crate::repository::error::Result;
use crate::repository::pack::{Blob, SealedPack};

const SCHEMA_VERSION: i64 = 2;
const SCHEMA: &str = "
    CREATE TABLE pack (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, bytes INTEGER NOT NULL) STRICT;
    CREATE TABLE chunk (
        id BLOB NOT NULL, pack INTEGER NOT NULL, offset INTEGER NOT NULL,
        inside INTEGER NOT NULL, length INTEGER NOT NULL,
        PRIMARY KEY (pack, offset, inside, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE lost (
        pack INTEGER NOT NULL, offset INTEGER NOT NULL, PRIMARY KEY (pack, offset)
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 2;";

/// Says where a content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// The number of the pack in this index.
    pub pack: u32,
    /// Where the piece begins in the pack.
    pub offset: u32,
    /// Where the content begins in the inflated piece.
    pub inside: u32,
    /// How long the content is.
    pub length: u32,
}

/// Knows every content of every pack.
pub struct Index {
    database: Connection,
    packs: HashMap<u32, String>,
    chunks: Places,
    /// The pieces that somebody found damaged: nothing new is made of them.
    lost: HashSet<(u32, u32)>,
}

/// Where each content is; few are in more than one pack.
#[derive(Default)]
struct Places {
    newest: HashMap<ChunkId, Location>,
    others: HashMap<ChunkId, Vec<Location>>,
}

impl Places {
    fn add(&mut self, id: ChunkId, place: Location) {
        if let Some(before) = self.newest.insert(id, place).filter(|before| *before != place) {
            self.others.entry(id).or_default().push(before);
        }
    }
}

impl Index {
    /// Opens the cache at `path`; one that cannot be read is thrown away.
    ///
    /// # Errors
    /// If not even a new one can be made.
    pub fn open(path: &Path) -> Result<Self> {
        if let Ok(index) = Self::load(Connection::open(path)?) {
            return Ok(index);
        }
        for suffix in ["", "-wal", "-shm"] {
            let mut file = path.as_os_str().to_owned();
            file.push(suffix);
            // What is not there need not be removed; what cannot be removed fails right below.
            let _ = std::fs::remove_file(file);
        }
        Self::load(Connection::open(path)?)
    }

    /// Makes an index that is nowhere but in memory, for those who may only read.
    ///
    /// # Errors
    /// If SQLite refuses.
    pub fn in_memory() -> Result<Self> {
        Self::load(Connection::open_in_memory()?)
    }

    fn load(database: Connection) -> Result<Self> {
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.pragma_update(None, "synchronous", "FULL")?;
        let version: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == 0 {
            database.execute_batch(SCHEMA)?;
        } else if version != SCHEMA_VERSION {
            return Err(rusqlite::Error::InvalidQuery.into());
        }
        let mut index = Self { database, packs: HashMap::new(), chunks: Places::default(), lost: HashSet::new() };
        index.read_packs()?;
        index.read_lost()?;
        index.read_chunks()?;
        Ok(index)
    }

    fn read_packs(&mut self) -> Result<()> {
        let mut statement = self.database.prepare("SELECT number, name FROM pack")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?)))?;
        for row in rows {
            let (number, name) = row?;
            self.packs.insert(number, name);
        }
        Ok(())
    }

    fn read_chunks(&mut self) -> Result<()> {
        let mut statement = self.database.prepare("SELECT id, pack, offset, inside, length FROM chunk")?;
        let rows = statement.query_map([], |row| {
            let place = Location { pack: row.get(1)?, offset: row.get(2)?, inside: row.get(3)?, length: row.get(4)? };
            Ok((ChunkId(row.get::<_, [u8; 32]>(0)?), place))
        })?;
        for row in rows {
            let (id, place) = row?;
            self.chunks.add(id, place);
        }
        Ok(())
    }

    fn read_lost(&mut self) -> Result<()> {
        let mut statement = self.database.prepare("SELECT pack, offset FROM lost")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        self.lost = rows.collect::<rusqlite::Result<_>>()?;
        Ok(())
    }

    fn is_lost(&self, place: Location) -> bool {
        self.lost.contains(&(place.pack, place.offset))
    }

    /// Returns where a content is.
    pub fn find(&self, id: &ChunkId) -> Option<(Location, &str)> {
        let place = self.place_of(id)?;
        Some((place, self.packs.get(&place.pack)?))
    }

    /// Of a content that is in several packs one counts where it is whole.
    fn place_of(&self, id: &ChunkId) -> Option<Location> {
        let newest = *self.chunks.newest.get(id)?;
        if !self.is_lost(newest) {
            return Some(newest);
        }
        let mut others = self.chunks.others.get(id).into_iter().flatten();
        Some(others.find(|place| !self.is_lost(**place)).copied().unwrap_or(newest))
    }

    /// Tells whether a content is in a pack, and nobody found it damaged there.
    pub fn contains(&self, id: &ChunkId) -> bool {
        self.place_of(id).is_some_and(|place| !self.is_lost(place))
    }

    /// Takes note of a piece that is damaged.
    ///
    /// # Errors
    /// If SQLite refuses; then it is known until the store is closed.
    pub fn lose(&mut self, pack: &str, offset: u32) -> Result<()> {
        let number = self.packs.iter().find(|(_, known)| *known == pack).map(|(number, _)| *number);
        if let Some(number) = number.filter(|number| self.lost.insert((*number, offset))) {
            self.database.execute("INSERT OR IGNORE INTO lost VALUES (?1, ?2)", [number, offset])?;
        }
        Ok(())
    }

    /// Lists the names of the packs.
    pub fn packs(&self) -> impl Iterator<Item = &str> {
        self.packs.values().map(String::as_str)
    }

    /// Takes up a pack with all that is in it, in one transaction; one that is known already is left.
    ///
    /// # Errors
    /// If SQLite refuses; the index is as before then.
    pub fn add(&mut self, pack: &SealedPack) -> Result<()> {
        if self.packs.values().any(|known| *known == pack.name) {
            return Ok(());
        }
        let number = self.packs.keys().max().map_or(0, |last| last + 1);
        let transaction = self.database.transaction()?;
        transaction.execute("INSERT INTO pack VALUES (?1, ?2, ?3)", params![number, pack.name, pack.bytes as i64])?;
        {
            let mut insert = transaction.prepare_cached("INSERT OR IGNORE INTO chunk VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for (id, place) in pack.blobs.iter().flat_map(|blob| places(number, blob)) {
                insert.execute(params![id.0, place.pack, place.offset, place.inside, place.length])?;
            }
        }
        transaction.commit()?;
        for (id, place) in pack.blobs.iter().flat_map(|blob| places(number, blob)) {
            self.chunks.add(id, place);
        }
        self.packs.insert(number, pack.name.clone());
        Ok(())
    }

    /// Forgets a pack that is no longer there.
    ///
    /// # Errors
    /// If SQLite refuses; the index is as before then.
    pub fn forget(&mut self, name: &str) -> Result<()> {
        let Some(number) = self.packs.iter().find(|(_, known)| *known == name).map(|(number, _)| *number) else {
            return Ok(());
        };
        let transaction = self.database.transaction()?;
        transaction.execute("DELETE FROM chunk WHERE pack = ?1", [number])?;
        transaction.execute("DELETE FROM lost WHERE pack = ?1", [number])?;
        transaction.execute("DELETE FROM pack WHERE number = ?1", [number])?;
        transaction.commit()?;
        self.packs.remove(&number);
        self.lost.retain(|(pack, _)| *pack != number);
        self.chunks = Places::default();
        self.read_chunks() // A content that was in two packs is found in the other.
    }
}

fn places(pack: u32, blob: &Blob) -> impl Iterator<Item = (ChunkId, Location)> {
    let offset = blob.offset;
    blob.members
        .iter()
        .map(move |member| (member.id, Location { pack, offset, inside: member.inside, length: member.length }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::pack::{BlobKind, Member};

    fn pack(name: &str, id: u8) -> SealedPack {
        let members = vec![Member { id: ChunkId([id; 32]), inside: 0, length: 9 }];
        let blob = Blob { kind: BlobKind::Data, offset: 64, sealed: 25, raw: 9, members };
        SealedPack { name: name.to_owned(), bytes: 200, blobs: vec![blob] }
    }

    #[test]
    fn it_survives_reopening_and_starts_anew_when_it_is_garbage() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("index.db");
        Index::open(&path).unwrap().add(&pack("aa", 1)).unwrap();
        let index = Index::open(&path).unwrap();
        assert_eq!(index.find(&ChunkId([1; 32])).unwrap().1, "aa");
        drop(index);
        std::fs::write(&path, b"this is no database, by far not, and it is long enough to be looked at").unwrap();
        assert!(Index::open(&path).unwrap().find(&ChunkId([1; 32])).is_none());
    }

    #[test]
    fn what_is_lost_is_not_there_until_it_comes_again_and_that_outlives_a_reopening() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("index.db");
        let mut index = Index::open(&path).unwrap();
        index.add(&pack("bb", 1)).unwrap();
        index.lose("bb", 64).unwrap();
        drop(index);
        let mut index = Index::open(&path).unwrap();
        assert!(!index.contains(&ChunkId([1; 32])) && index.find(&ChunkId([1; 32])).is_some());
        index.add(&pack("aa", 1)).unwrap();
        drop(index);
        let mut index = Index::open(&path).unwrap();
        assert!(index.contains(&ChunkId([1; 32])));
        assert_eq!(index.find(&ChunkId([1; 32])).unwrap().1, "aa");
        index.lose("aa", 64).unwrap();
        assert!(!index.contains(&ChunkId([1; 32])), "both are lost");
        index.forget("aa").unwrap();
        assert!(!index.contains(&ChunkId([1; 32])));
        index.forget("bb").unwrap();
        index.add(&pack("bb", 1)).unwrap();
        assert!(index.contains(&ChunkId([1; 32])), "another pack has that number now");
    }

    #[test]
    fn a_content_in_two_packs_outlives_one_of_them() {
        let mut index = Index::in_memory().unwrap();
        index.add(&pack("aa", 1)).unwrap();
        index.add(&pack("bb", 1)).unwrap();
        index.forget("bb").unwrap();
        assert_eq!(index.find(&ChunkId([1; 32])).unwrap().1, "aa");
    }
}
