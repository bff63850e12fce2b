//! Names and numbers of the log: streams, positions, versions.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Is the kind of thing a stream tells about; one aggregate each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// One machine with one state directory.
    Node,
    /// The clock of that machine.
    Clock,
    /// The unique names of one kind of thing.
    Directory,
    /// One container.
    Container,
    /// One `exec` or `enter`.
    Session,
    /// One template.
    Template,
    /// One network.
    Network,
    /// One backup store.
    Store,
    /// The backups of one container in one store.
    BackupGroup,
    /// One run of a backup.
    BackupJob,
    /// One run of a restore.
    RestoreJob,
    /// One run of a defragmentation, update check or verification.
    Maintenance,
    /// One request for many containers.
    Batch,
    /// One schedule.
    Schedule,
}

impl Category {
    /// Lists every category.
    pub const ALL: [Self; 14] = [
        Self::Node,
        Self::Clock,
        Self::Directory,
        Self::Container,
        Self::Session,
        Self::Template,
        Self::Network,
        Self::Store,
        Self::BackupGroup,
        Self::BackupJob,
        Self::RestoreJob,
        Self::Maintenance,
        Self::Batch,
        Self::Schedule,
    ];

    /// Returns the word before the slash.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Clock => "clock",
            Self::Directory => "directory",
            Self::Container => "container",
            Self::Session => "session",
            Self::Template => "template",
            Self::Network => "network",
            Self::Store => "store",
            Self::BackupGroup => "backup-group",
            Self::BackupJob => "backup-job",
            Self::RestoreJob => "restore-job",
            Self::Maintenance => "maintenance",
            Self::Batch => "batch",
            Self::Schedule => "schedule",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Names a stream: `container/abc…`, `directory/template`. Copies share the text: every envelope has one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamName {
    category: Category,
    key: Arc<str>,
}

/// Is returned when a text names no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no stream")]
pub struct InvalidStreamName {
    text: String,
}

impl StreamName {
    /// Names the stream of that category and key.
    pub fn new(category: Category, key: impl fmt::Display) -> Self {
        Self { category, key: key.to_string().into() }
    }

    /// Returns what kind of thing the stream tells about.
    pub const fn category(&self) -> Category {
        self.category
    }

    /// Returns the part after the slash.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns as much of it as people write: of an id its beginning.
    pub fn short_key(&self) -> &str {
        self.key.get(..8).unwrap_or(&self.key)
    }
}

impl FromStr for StreamName {
    type Err = InvalidStreamName;

    fn from_str(text: &str) -> Result<Self, InvalidStreamName> {
        let parse = || {
            let (category, key) = text.split_once('/')?;
            let category = Category::ALL.into_iter().find(|known| known.as_str() == category)?;
            (!key.is_empty()).then(|| Self { category, key: key.into() })
        };
        parse().ok_or_else(|| InvalidStreamName { text: text.chars().take(80).collect() })
    }
}

impl TryFrom<String> for StreamName {
    type Error = InvalidStreamName;
    fn try_from(text: String) -> Result<Self, InvalidStreamName> {
        text.parse()
    }
}

impl From<StreamName> for String {
    fn from(name: StreamName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.category, self.key))
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Makes the number.
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// Returns the number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// Returns the number as the log's file counts: one that is larger than that can be comes after every other.
            pub const fn stored(self) -> i64 {
                if self.0 > i64::MAX as u64 { i64::MAX } else { self.0 as i64 }
            }

            /// Returns the one after this.
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

counters! {
    /// Is an event's place in the whole log: 1 for the first, no gaps, in commit order.
    Position;
    /// Is an event's place in its stream: 1 for the first; 0 is the version of a stream that does not exist yet.
    Version;
}
