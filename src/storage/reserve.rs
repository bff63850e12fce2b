//! Room that only the log can use: inside its own files, so that nobody else gets it when the disk is full.
//!
//! Three things grow when events are recorded. The database file is kept allocated beyond its last page: SQLite fills
//! what is there before it asks for more, and is told to cut it off in pieces as large as that (`piece_of`). The write-ahead log is kept at the size that it has under load, also over the
//! end of the daemon. Its index is made anew by SQLite at each start; for it a small file beside is given up. SQLite maps
//! the index into memory and touches it as it goes: a hole there that the disk has no block for ends the process.
//! What is allocated is only kept where the file system writes in place: one that writes elsewhere (btrfs, ZFS), or a
//! sparse device below, may have no room for it all the same.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, FileControl, MAIN_DB};

use super::database::{CHECKPOINT_PAGES, LOG_FILE, PAGE_SIZE, wal_of};
use crate::sys::ext4;

/// Is the least of the pieces in which SQLite makes the database file longer and shorter, but for a smaller file.
const PIECE: u64 = 32 << 20;
/// Is a frame of the write-ahead log: a page and its header (sqlite.org/fileformat2.html#the_write_ahead_log).
const FRAME: u64 = PAGE_SIZE + 24;
/// Is the write-ahead log under load: what is gathered until it is copied, and a batch that comes on top.
const WAL: u64 = (CHECKPOINT_PAGES + 2_048) * FRAME;
/// Is the name of the file that is given up for the index of the write-ahead log.
const SPARE_FILE: &str = "log.spare";
/// Is the index: 32 KiB for each 4,062 frames.
const INDEX: u64 = 32 << 10 << 2;
/// Is given up in two parts, each of which the index fits into.
pub(super) const SPARE: u64 = 2 * INDEX;

/// Keeps the room of one log.
#[derive(Clone)]
pub(super) struct Reserve {
    path: PathBuf,
    /// By how much the database file is kept longer than it need be; at half of that it is made longer again.
    database: u64,
    /// The database and the index, open as long as the log is: closing any descriptor of a file gives up all locks that a
    /// process has on it (fcntl(2)), SQLite's too.
    database_file: Option<Arc<File>>,
    index_file: Option<Arc<File>>,
}

impl Reserve {
    /// Makes it for the database `path`, with this many bytes there; 0 keeps nothing anywhere.
    pub(super) fn new(path: &Path, database: u64) -> Self {
        Self { path: path.to_owned(), database, database_file: None, index_file: None }
    }

    /// Says whether anything is to be kept.
    pub(super) const fn is_wanted(&self) -> bool {
        self.database > 0
    }

    /// Tells SQLite to keep what it has: the file in whole pieces, and the write-ahead log when the last connection goes.
    pub(super) fn settle_in(&self, connection: &Connection) -> rusqlite::Result<()> {
        if !self.is_wanted() {
            return Ok(());
        }
        connection.file_control(Some(MAIN_DB), FileControl::PersistWal(&mut 1))?;
        keep_length(connection, piece_of(length(&self.path)))
    }

    /// Returns how many bytes are missing, where the pages of the database take `used`.
    pub(super) fn lacks(&self, used: u64) -> u64 {
        if !self.is_wanted() {
            return 0;
        }
        let files = [(wal_of(&self.path), WAL), (index_of(&self.path), INDEX), (self.spare(), SPARE)];
        let files = files.iter().map(|(path, wanted)| wanted.saturating_sub(allocated(path))).sum::<u64>();
        files + self.database_lacks(used)
    }

    fn database_lacks(&self, used: u64) -> u64 {
        let there = allocated(&self.path);
        if there.saturating_sub(used) >= self.database / 2 { 0 } else { (used + self.database).saturating_sub(there) }
    }

    /// Takes what is missing.
    pub(super) fn take(&mut self, connection: &Connection, used: u64) -> io::Result<()> {
        self.take_index()?;
        allocate_file(&wal_of(&self.path), WAL)?;
        allocate_file(&self.spare(), SPARE)?;
        if self.database_lacks(used) > 0 {
            let wanted = (used + self.database).max(length(&self.path));
            let piece = piece_of(wanted);
            allocate(&*held(&mut self.database_file, &self.path)?, wanted.next_multiple_of(piece))?;
            keep_length(connection, piece).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Takes the room of the index as soon as it is there.
    pub(super) fn take_index(&mut self) -> io::Result<()> {
        let path = index_of(&self.path);
        if !self.is_wanted() || allocated(&path) >= INDEX {
            return Ok(());
        }
        allocate(&*held(&mut self.index_file, &path)?, INDEX)
    }

    /// Gives a part of the spare file up; true if there was one.
    pub(super) fn give_up_spare(&self) -> bool {
        let Ok(file) = OpenOptions::new().write(true).open(self.spare()) else { return false };
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        length > 0 && file.set_len(length.saturating_sub(SPARE / 2)).is_ok()
    }

    /// Empties a write-ahead log of which everything is in the database, and keeps its room: without a header it has no
    /// frames.
    pub(super) fn blank(&self) -> io::Result<()> {
        let mut wal = OpenOptions::new().write(true).open(wal_of(&self.path))?;
        wal.write_all(&[0; 32])?;
        wal.sync_all()
    }

    fn spare(&self) -> PathBuf {
        self.path.with_file_name(SPARE_FILE)
    }
}

/// Says whether so much may be taken: the log does not fill the disk itself.
pub(super) const fn may_take(bytes: u64, free: u64) -> bool {
    bytes > 0 && bytes <= free / 2
}

/// Returns where the index of the write-ahead log is, which others map.
pub(super) fn index_of(database: &Path) -> PathBuf {
    database.with_file_name(format!("{LOG_FILE}-shm"))
}

/// Returns a piece of which a file of that length has a whole number, or nearly: SQLite cuts a database off at the end of
/// the piece in which its last page is, once everything is copied, and so leaves what is reserved behind that page.
fn piece_of(length: u64) -> u64 {
    length.div_ceil((length / PIECE).max(1)).next_multiple_of(PAGE_SIZE).max(PAGE_SIZE)
}

fn keep_length(connection: &Connection, piece: u64) -> rusqlite::Result<()> {
    let mut piece = i32::try_from(piece).unwrap_or(i32::MAX);
    connection.file_control(Some(MAIN_DB), FileControl::ChunkSize(&mut piece))
}

/// Opens a file once for good.
fn held(slot: &mut Option<Arc<File>>, path: &Path) -> io::Result<Arc<File>> {
    if let Some(file) = slot {
        return Ok(Arc::clone(file));
    }
    let file = Arc::new(OpenOptions::new().read(true).write(true).open(path)?);
    Ok(Arc::clone(slot.insert(file)))
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

fn allocated(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| (file.blocks() * 512).min(file.len()))
}

fn allocate_file(path: &Path, size: u64) -> io::Result<()> {
    if allocated(path) >= size {
        return Ok(());
    }
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    allocate(&file, size)
}

/// Has the file system set blocks aside for the whole file; where it cannot, they are written.
fn allocate(file: &File, size: u64) -> io::Result<()> {
    match ext4::reserve(file.as_fd(), 0, size) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => write_zeros(file, size)?,
        reserved => reserved?,
    }
    file.sync_all()
}

/// Writes behind what is there; what is there is SQLite's.
fn write_zeros(file: &File, size: u64) -> io::Result<()> {
    let (mut at, zeros) = (file.metadata()?.len(), vec![0; 64 << 10]);
    while at < size {
        let piece = (size - at).min(zeros.len() as u64) as usize;
        file.write_all_at(&zeros[..piece], at)?;
        at += piece as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_lies_in_the_last_piece() {
        let reserve = 16 << 20;
        for used in [4096, 1 << 20, 20 << 20, 100 << 20, (3 << 30) + 4096] {
            let piece = piece_of(used + reserve);
            let length = (used + reserve).next_multiple_of(piece);
            assert_eq!(used.next_multiple_of(piece), length, "{used} bytes in pieces of {piece}");
            assert!(piece.is_multiple_of(PAGE_SIZE) && i32::try_from(piece).is_ok());
            assert!(length - used <= reserve + piece / 4, "{used} bytes take {length}");
        }
    }
}
