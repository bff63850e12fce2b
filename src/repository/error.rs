//! What can go wrong with a store, a backup or a restore, each told apart so that its cure can be named.

use std::io;

use crate::sys::fs::{is_full, is_gone};

/// Is the result of everything in this module.
pub type Result<T> = std::result::Result<T, Error>;

/// Says why a store, a backup or a restore failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused something.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// Where, for people to read.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The store has no room left; what it had committed is untouched.
    #[error("the backup store is full: cannot {action} {path}: {source}")]
    Full {
        /// What was tried, as a verb.
        action: &'static str,
        /// Where, in the store.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The store went away: unmounted, unplugged, deleted.
    #[error("the backup store is gone: cannot {action} {path}: {source}")]
    Vanished {
        /// What was tried, as a verb.
        action: &'static str,
        /// Where, in the store.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Bytes in the store are not those that were written.
    #[error("{what} is damaged: {reason}")]
    Damaged {
        /// Which pack, manifest or chunk.
        what: String,
        /// What does not fit.
        reason: String,
    },
    /// The key does not open this store.
    #[error("the key does not open the backup store {store}")]
    WrongKey {
        /// Which store.
        store: String,
    },
    /// The node has no key to this store.
    #[error("the key of this node to the backup store, {path}, is not there; put its copy back")]
    NoKey {
        /// The key file.
        path: String,
    },
    /// A text is no recovery key.
    #[error("this is no recovery key: {reason}")]
    InvalidRecoveryKey {
        /// What does not fit.
        reason: &'static str,
    },
    /// The store was written by a newer version.
    #[error("the backup store has format {found}, and this version knows {known} at most; use a newer berth")]
    Newer {
        /// The format of the store.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// Another process on this host is writing to the store.
    #[error("the backup store {path} is in use by another process")]
    Locked {
        /// Where the store is.
        path: String,
    },
    /// The store belongs to another node, so this one may only read.
    #[error("the backup store belongs to node {owner} (epoch {epoch}); this node may only read it")]
    ReadOnly {
        /// The owner.
        owner: String,
        /// The owner's epoch.
        epoch: u64,
    },
    /// Another owner took the epoch first.
    #[error("epoch {epoch} of the backup store is taken or past; its owner now is node {owner}")]
    Fenced {
        /// The owner.
        owner: String,
        /// The epoch that was asked for.
        epoch: u64,
    },
    /// Something is already there.
    #[error("{what} exists already")]
    Exists {
        /// What.
        what: String,
    },
    /// Something is not there.
    #[error("{what} is not in the store")]
    Missing {
        /// What.
        what: String,
    },
    /// The place to restore to has something in it.
    #[error("the directory to restore into is not empty: {name} is in it")]
    NotEmpty {
        /// The first thing that was found.
        name: String,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The index (a cache) cannot be read or written.
    #[error("the index of the backup store: {0}")]
    Index(#[from] rusqlite::Error),
    /// The steps of a backup came in an order that makes no sense.
    #[error("{0}")]
    Order(&'static str),
}

impl Error {
    /// Makes the error for something tried in a store: full and vanished are told apart from the rest.
    pub fn store(action: &'static str, path: &str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        // A store's own directories are never missing while it is there.
        let rooted = ["create", "rename", "sync", "list", "lock"].contains(&action);
        move |source| match () {
            () if is_full(&source) => Self::Full { action, path, source },
            () if is_gone(&source) => Self::Vanished { action, path, source },
            () if rooted && source.kind() == io::ErrorKind::NotFound => Self::Vanished { action, path, source },
            () => Self::Io { action, path, source },
        }
    }

    /// Makes the error for something tried anywhere else.
    pub fn io(action: &'static str, path: &str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Says once more that something is damaged or missing; of anything else it is not known whether it would be so again.
    pub(super) fn again(&self) -> Option<Self> {
        match self {
            Self::Damaged { what, reason } => Some(Self::damaged(what, reason)),
            Self::Missing { what } => Some(Self::Missing { what: what.clone() }),
            _ => None,
        }
    }

    /// Makes the error for bytes that are not what was written.
    pub fn damaged(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Damaged { what: what.into(), reason: reason.into() }
    }
}
