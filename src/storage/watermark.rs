//! How full the file system of the log is.
//!
//! The log must always be able to record what frees space. So what takes space is refused first (create, backup), then
//! everything but stop, delete and release; and what is recorded of these goes into room of its own (`reserve`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

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

/// Watches the room.
pub(super) struct Room {
    directory: PathBuf,
    probe: SpaceProbe,
    marks: Watermarks,
    level: Arc<AtomicU8>,
}

impl Room {
    pub(super) fn new(directory: &Path, probe: SpaceProbe, marks: Watermarks) -> Self {
        Self { directory: directory.to_owned(), probe, marks, level: Arc::default() }
    }

    /// Returns the cell that tells the level to everybody.
    pub(super) fn level(&self) -> Arc<AtomicU8> {
        Arc::clone(&self.level)
    }

    /// Returns the free bytes; nothing if the file system cannot be asked.
    pub(super) fn free(&self) -> Option<u64> {
        (self.probe)(&self.directory).ok()
    }

    /// Tells everybody the level, and returns it; a log that lacks room of its own is no better off than at `tight`.
    pub(super) fn tell(&self, free: u64, lacking: bool) -> Level {
        let level = self.marks.level(free).max(if lacking { Level::Tight } else { Level::Ok });
        let before = level_of(&self.level);
        self.level.store(level as u8, Ordering::Relaxed);
        if level != before {
            tracing::warn!(directory = %self.directory.display(), free, before = before.as_str(), "space is {}", level.as_str());
        }
        level
    }
}

/// Reads the level out of its cell.
pub(super) fn level_of(cell: &AtomicU8) -> Level {
    Level::ALL.get(cell.load(Ordering::Relaxed) as usize).copied().unwrap_or(Level::Critical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_follows_the_free_space() {
        let marks = Watermarks { warn: 3_000_000, tight: 2_000_000, critical: 1_000_000 };
        let room = Room::new(Path::new("/"), Arc::new(|_: &Path| Ok(7)), marks);
        assert_eq!(room.free(), Some(7));
        let levels = [999_999, 1_999_999, 2_999_999, 3_000_000].map(|free| room.tell(free, false));
        assert_eq!(levels.as_slice(), Level::ALL.iter().rev().copied().collect::<Vec<_>>());
        assert_eq!(room.tell(4_000_000, true), Level::Tight);
        assert_eq!(level_of(&room.level()), Level::Tight);
        assert_eq!(room.tell(999_999, true), Level::Critical);
    }
}
