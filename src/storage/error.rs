//! What can go wrong between the log and its callers, each with what an operator needs to know.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, ffi};

use super::database::cannot_write;
use crate::types::{Position, StreamName, Version};

/// Says why a commit was not appended; nothing of it is in the log then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Somebody else appended first.
    #[error("{stream} is at version {actual}, not at {expected}")]
    Conflict {
        /// The stream.
        stream: StreamName,
        /// The version that the caller knew.
        expected: Version,
        /// The version it has.
        actual: Version,
    },
    /// The idempotency key belongs to another request.
    #[error("the key {key:?} was used for another request")]
    KeyReused {
        /// The key.
        key: String,
    },
    /// More is waiting to be written than the queue holds.
    #[error("the log is busy: {waiting} requests are waiting")]
    Busy {
        /// How many requests the queue holds.
        waiting: usize,
    },
    /// The commit is larger than the log takes.
    #[error("an event of {bytes} bytes is too large: {limit} are the most")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// The file system is full, and the log's own room is used up.
    #[error("no space is left to write {path}", path = .path.display())]
    NoSpace {
        /// The log's file.
        path: PathBuf,
    },
    /// The log cannot be written until the reason is removed.
    #[error("the log is read-only: {reason}")]
    ReadOnly {
        /// Why.
        reason: String,
    },
    /// Another history was signed, and nobody has accepted this one.
    #[error("{reason}")]
    Unaccepted {
        /// What does not fit.
        reason: String,
        /// What to do about it.
        cure: &'static str,
    },
    /// The write failed; the log was opened again and does not have it.
    #[error("the log could not be written: {reason}")]
    Unavailable {
        /// What SQLite said.
        reason: String,
    },
}

/// Says why the log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes are not what was written.
    #[error("{path} is damaged: {reason}; nothing was changed: keep the file and restore a copy beside it", path = .path.display())]
    Damaged {
        /// The log's file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The state directory is of a newer Berth.
    #[error("{path} has format {found}; this berth reads up to {known}: use the berth that wrote it", path = .path.display())]
    Newer {
        /// The state directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known here.
        known: u32,
    },
    /// An event does not decode.
    #[error("the event at position {position} of {path} cannot be read: {reason}", path = .path.display())]
    Undecodable {
        /// The log's file.
        path: PathBuf,
        /// Where.
        position: Position,
        /// What does not fit.
        reason: String,
    },
    /// SQLite refused for another reason.
    #[error("{path} cannot be read: {source}", path = .path.display())]
    Sqlite {
        /// The log's file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl ReadError {
    /// Says whether the log is there and is not what was written.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Undecodable { .. })
    }

    /// Says whether there is something that this program must not or cannot read, as against nothing or nothing for us.
    pub fn is_refusal(&self) -> bool {
        self.is_damage() || matches!(self, Self::Newer { .. })
    }
}

/// Says why a log could not be opened for writing.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file of the state directory could not be used.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another process writes this log.
    #[error("{path} is in use by another process", path = .path.display())]
    InUse {
        /// The state directory.
        path: PathBuf,
    },
    /// A newer Berth wrote the state.
    #[error("{path} has format {found}; this berth reads up to {known}: use the berth that wrote it", path = .path.display())]
    Newer {
        /// The state directory.
        path: PathBuf,
        /// The number found.
        found: u32,
        /// The highest number known.
        known: u32,
    },
    /// The format marker is no number.
    #[error("{path} does not name a format: {text:?}", path = .path.display())]
    Format {
        /// The marker file.
        path: PathBuf,
        /// How it begins.
        text: String,
    },
    /// The signing key cannot be used.
    #[error("the key {path} cannot be used: {reason}", path = .path.display())]
    Key {
        /// The key's file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The log was signed with a key that is not there.
    #[error("there is no key of this log in {folder}; name the directory of its keys: --key-dir DIR", folder = .folder.display())]
    KeyGone {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// Whether the log's key is there cannot be told.
    #[error("the key of this log cannot be read: {path}: {source}", path = .path.display())]
    KeyUnreadable {
        /// The key's file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The log is there and cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Is what is wrong with the keys of a log that is open.
#[derive(Debug, thiserror::Error)]
pub enum KeyTrouble {
    /// They are not there any more.
    #[error("the key that signs this log is not in {folder} any more", folder = .folder.display())]
    Gone {
        /// Where they were.
        folder: PathBuf,
    },
    /// They may be there.
    #[error("the key that signs this log cannot be read: {path}: {source}", path = .path.display())]
    Unreadable {
        /// The key's file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// None of them signed the log before.
    #[error("{folder} has no key that signed this log before: {why}", folder = .folder.display())]
    Strangers {
        /// Where they are.
        folder: PathBuf,
        /// What that may mean.
        why: &'static str,
    },
}

impl KeyTrouble {
    /// Returns what to do about it.
    pub fn cure(&self) -> String {
        match self {
            Self::Unreadable { path, .. } => who_may_read(path),
            Self::Gone { .. } | Self::Strangers { .. } => {
                "stop the daemon, and start it with the directory that has them: berth daemon --key-dir DIR".to_owned()
            }
        }
    }
}

/// Returns what tells who may read a file, and what is in its way.
pub fn who_may_read(path: &Path) -> String {
    format!("see what is in the way: namei -l {}", path.display())
}

impl ReadError {
    /// Sorts what SQLite said about the file `path`.
    pub(super) fn of(path: &Path, source: rusqlite::Error) -> Self {
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path: path.to_owned(), reason: source.to_string() }
            }
            _ => Self::Sqlite { path: path.to_owned(), source },
        }
    }
}

impl OpenError {
    /// Says whether the file system takes nothing now, as against something being wrong with the log.
    pub(super) fn is_of_the_place(&self) -> bool {
        matches!(self, Self::Read(ReadError::Sqlite { source, .. }) if cannot_write(source))
    }

    /// Returns a closure that names `path` in an I/O error.
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::File { path: path.to_owned(), source }
    }
}

/// Sorts what SQLite said when a batch failed.
pub(super) fn append_error(path: &Path, source: &rusqlite::Error) -> AppendError {
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => AppendError::NoSpace { path: path.to_owned() },
        _ if source.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_SHMSIZE) => {
            AppendError::NoSpace { path: path.to_owned() }
        }
        Some(ErrorCode::ReadOnly | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            AppendError::ReadOnly { reason: source.to_string() }
        }
        _ => AppendError::Unavailable { reason: source.to_string() },
    }
}

/// Carries an error that is not SQLite's through code that fails with SQLite's.
pub(super) fn foreign(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}
