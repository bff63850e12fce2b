//! Facts about sessions inside containers: who entered, and how it ended. The arguments stand in the annex.

use serde::{Deserialize, Serialize};

use super::{Closing, DomainEvent, Mark, kinds};
use crate::types::{Category, ContainerId, SessionId};

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
    const KINDS: &'static [&'static str] = kinds!(SessionEvent: SessionOpened, SessionClosed);

    fn mark(&self) -> Mark {
        match self {
            Self::SessionOpened { .. } => Mark::Opened { verb: "exec" },
            Self::SessionClosed { .. } => Mark::Closed { outcome: Closing::Done },
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::SessionOpened { user, terminal: true, .. } => format!("session opened for {user} with a terminal"),
            Self::SessionOpened { user, .. } => format!("session opened for {user}"),
            Self::SessionClosed { reason: Some(reason), .. } => format!("session closed: {reason}"),
            Self::SessionClosed { code: Some(code), .. } => format!("session closed with exit code {code}"),
            Self::SessionClosed { code: None, .. } => "session closed, exit code unknown".to_owned(),
        }
    }
}
