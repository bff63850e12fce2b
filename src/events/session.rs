//! Facts about sessions inside containers: who entered, who read what it printed or what its backups hold. Arguments and paths
//! stand in the annex.

use serde::{Deserialize, Serialize};

use super::{Closing, DomainEvent, Mark, kinds};
use crate::types::{BackupId, Category, ContainerId, SessionId};

/// Says what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Reading {
    /// What its console printed.
    Console,
    /// The names in a backup.
    Names {
        /// Which.
        backup: BackupId,
    },
    /// The content of a file in a backup.
    Content {
        /// Which.
        backup: BackupId,
    },
}

/// Is a fact about a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum SessionEvent {
    /// Somebody may enter the container once, by a token that no log holds.
    SessionOpened {
        /// Its id.
        id: SessionId,
        /// Which container.
        container: ContainerId,
        /// The user inside.
        user: String,
        /// Whether a terminal was asked for.
        terminal: bool,
    },
    /// Somebody may read something of the container; it is told before it is shown.
    ReadAllowed {
        /// Its id.
        id: SessionId,
        /// Which container.
        container: ContainerId,
        /// What of it.
        reading: Reading,
    },
    /// The session is over.
    SessionClosed {
        /// The exit code, if the command ran to its end and it is known.
        code: Option<i32>,
        /// How it is known, if not by who was in it.
        reason: Option<String>,
    },
}

impl DomainEvent for SessionEvent {
    const CATEGORY: Category = Category::Session;
    const KINDS: &'static [&'static str] = kinds!(SessionEvent: SessionOpened, SessionClosed, ReadAllowed);

    fn mark(&self) -> Mark {
        match self {
            Self::SessionOpened { .. } => Mark::Opened { verb: "exec" },
            Self::ReadAllowed { .. } => Mark::Done { verb: "read" },
            Self::SessionClosed { .. } => Mark::Closed { outcome: Closing::Done },
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::SessionOpened { user, terminal: true, .. } => format!("session opened for {user} with a terminal"),
            Self::SessionOpened { user, .. } => format!("session opened for {user}"),
            Self::ReadAllowed { reading: Reading::Console, .. } => "console log read".to_owned(),
            Self::ReadAllowed { reading: Reading::Names { backup }, .. } => {
                format!("files of backup {} listed", backup.short())
            }
            Self::ReadAllowed { reading: Reading::Content { backup }, .. } => {
                format!("file of backup {} read", backup.short())
            }
            Self::SessionClosed { reason: Some(reason), .. } => format!("session closed: {reason}"),
            Self::SessionClosed { code: Some(code), .. } => format!("session closed with exit code {code}"),
            Self::SessionClosed { code: None, .. } => "session closed, exit code unknown".to_owned(),
        }
    }
}
