//! Room for the log: how full its file system is, and a ballast that makes room when nothing is left.
//!
//! The log must always be able to record what frees space. So actors refuse first what takes space (create, backup),
//! then everything but stop, delete and release; and when a write fails at last, the ballast file goes and the write
//! is tried again.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use ring::rand::{SecureRandom, SystemRandom};

/// Asks how many bytes are free for the caller on the file system of a path.
pub type SpaceProbe = Arc<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

/// Says how much room is left for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Enough.
    Ok,
    /// Worth a word.
    Warn,
    /// Create and backup are to be refused.
    Tight,
    /// Only what stops, deletes and releases is to be accepted.
    Critical,
}

impl Level {
    const ALL: [Self; 4] = [Self::Ok, Self::Warn, Self::Tight, Self::Critical];

    /// Returns the word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Tight => "tight",
            Self::Critical => "critical",
        }
    }
}

/// Is the free space, in bytes, below which each level begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// Below this: [`Level::Warn`].
    pub warn: u64,
    /// Below this: [`Level::Tight`].
    pub tight: u64,
    /// Below this: [`Level::Critical`].
    pub critical: u64,
}

impl Default for Watermarks {
    /// 2 GiB, 512 MiB and 128 MiB: a log of a million events has about 300 MiB.
    fn default() -> Self {
        Self { warn: 2 << 30, tight: 512 << 20, critical: 128 << 20 }
    }
}

impl Watermarks {
    /// Returns the level at that many free bytes.
    pub const fn level(&self, free: u64) -> Level {
        match free {
            _ if free < self.critical => Level::Critical,
            _ if free < self.tight => Level::Tight,
            _ if free < self.warn => Level::Warn,
            _ => Level::Ok,
        }
    }
}

/// Watches the room and holds the ballast.
pub(super) struct Room {
    directory: PathBuf,
    probe: SpaceProbe,
    marks: Watermarks,
    ballast: u64,
    level: Arc<AtomicU8>,
}

/// Is the name of the ballast's file.
pub const BALLAST_FILE: &str = "ballast";

impl Room {
    pub(super) fn new(directory: &Path, probe: SpaceProbe, marks: Watermarks, ballast: u64) -> Self {
        Self { directory: directory.to_owned(), probe, marks, ballast, level: Arc::default() }
    }

    /// Returns the cell that tells the level to everybody.
    pub(super) fn level(&self) -> Arc<AtomicU8> {
        Arc::clone(&self.level)
    }

    /// Looks again; a file system that cannot be asked keeps the last level.
    pub(super) fn look(&self) {
        let Ok(free) = (self.probe)(&self.directory) else { return };
        let level = if self.is_reserved() { self.marks.level(free) } else { self.marks.level(free).max(Level::Tight) };
        self.level.store(level as u8, Ordering::Relaxed);
        if !self.is_reserved() && free > self.marks.tight.saturating_add(self.ballast) && self.reserve().is_ok() {
            self.level.store(self.marks.level(free) as u8, Ordering::Relaxed);
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join(BALLAST_FILE)
    }

    fn is_reserved(&self) -> bool {
        self.ballast == 0 || fs::metadata(self.path()).is_ok_and(|file| file.blocks() * 512 >= self.ballast)
    }

    /// Fills the ballast with bytes that no file system can compress away or share.
    pub(super) fn reserve(&self) -> io::Result<()> {
        if self.is_reserved() {
            return Ok(());
        }
        let written = self.write_ballast();
        if written.is_err() {
            let _ = fs::remove_file(self.path()); // half a ballast only takes space away
        }
        written
    }

    fn write_ballast(&self) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(self.path())?;
        let (random, mut block, mut left) = (SystemRandom::new(), vec![0; 64 << 10], self.ballast);
        while left > 0 {
            random.fill(&mut block).map_err(|_| io::Error::other("the kernel gave no random bytes"))?;
            let length = left.min(block.len() as u64) as usize;
            file.write_all(&block[..length])?;
            left -= length as u64;
        }
        file.sync_all()
    }

    /// Gives the ballast away; true if there was one.
    pub(super) fn release(&self) -> bool {
        self.level.store(Level::Critical as u8, Ordering::Relaxed);
        let released = self.ballast > 0 && fs::remove_file(self.path()).is_ok();
        if released {
            tracing::error!(directory = %self.directory.display(), "no space left: the ballast is released");
        }
        released
    }
}

/// Reads the level out of its cell.
pub(super) fn level_of(cell: &AtomicU8) -> Level {
    Level::ALL.get(cell.load(Ordering::Relaxed) as usize).copied().unwrap_or(Level::Critical)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn the_level_follows_the_free_space_and_the_ballast_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let free = Arc::new(AtomicU64::new(10_000));
        let probe: SpaceProbe = Arc::new({
            let free = Arc::clone(&free);
            move |_: &Path| Ok(free.load(Ordering::Relaxed))
        });
        let marks = Watermarks { warn: 3_000_000, tight: 2_000_000, critical: 1_000_000 };
        let room = Room::new(directory.path(), probe, marks, 100_000);
        room.reserve().unwrap();
        let level_at = |bytes| {
            free.store(bytes, Ordering::Relaxed);
            room.look();
            level_of(&room.level)
        };
        assert_eq!(
            [999_999, 1_999_999, 2_999_999, 3_000_000].map(level_at).as_slice(),
            Level::ALL.iter().rev().copied().collect::<Vec<_>>()
        );
        assert!(room.release() && !room.release());
        assert_eq!(level_of(&room.level), Level::Critical);
        assert_eq!(level_at(2_050_000), Level::Tight);
        assert_eq!(level_at(4_000_000), Level::Ok);
        assert!(room.is_reserved());
    }
}
