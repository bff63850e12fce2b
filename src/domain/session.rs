//! The rules of one session in a container: it is opened once and closed once. A reading is one that is over at once.
//!
//! ```text
//!   absent ── open ──▶ open ── close ──▶ closed
//!   absent ── read ────────────────────▶ closed
//! ```
//!
//! The session itself runs in the container's supervisor. The log only tells who entered, when, and how it ended; the
//! arguments are kept in the annex, which no rule reads.

use serde::{Deserialize, Serialize};

use super::effect::{Asked, Effect, Report};
use super::refusal::{Refusal, RefusalClass};
use super::{Aggregate, Given};
use crate::events::{Reading, SessionEvent};
use crate::types::{Category, ContainerId, SessionId};

/// Is everything the log tells about one session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    opened: Option<(SessionId, ContainerId)>,
    closed: bool,
}

/// Is a wish or an observation.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Somebody enters.
    Open {
        /// Its id, drawn at the edge.
        id: SessionId,
        /// Which container.
        container: ContainerId,
        /// The user inside.
        user: String,
        /// Whether a terminal was asked for.
        terminal: bool,
    },
    /// Somebody reads something of the container.
    Read {
        /// Its id, drawn at the edge.
        id: SessionId,
        /// Which container.
        container: ContainerId,
        /// What of it.
        reading: Reading,
    },
    /// It is over; a session whose supervisor is gone is closed without a code.
    Close {
        /// The exit code, if it is known.
        code: Option<i32>,
        /// How it is known, if not by who was in it.
        reason: Option<String>,
    },
    /// An effect's outcome; a session has none.
    Report(Report),
}

/// Is a refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No such session was ever opened.
    #[error("there is no such session")]
    Unknown,
    /// The id is taken.
    #[error("a session with this id exists already")]
    Exists,
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        let message = rejection.to_string();
        match rejection {
            Rejection::Unknown => Self::new(RefusalClass::NotFound, "session.not-found", message),
            Rejection::Exists => Self::new(RefusalClass::Conflict, "session.exists", message),
        }
    }
}

impl From<Report> for Command {
    fn from(report: Report) -> Self {
        Self::Report(report)
    }
}

impl TryFrom<Asked> for Command {
    type Error = Asked;

    fn try_from(asked: Asked) -> Result<Self, Asked> {
        Err(asked)
    }
}

impl Session {
    /// Says whether somebody is in it, and in which container.
    pub fn open_in(&self) -> Option<ContainerId> {
        self.opened.filter(|_| !self.closed).map(|(_, container)| container)
    }
}

impl Aggregate for Session {
    const CATEGORY: Category = Category::Session;
    const STATE_SCHEMA: u32 = 1;
    type Command = Command;
    type Event = SessionEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _given: Given) -> Result<Vec<SessionEvent>, Rejection> {
        match (command, self.opened) {
            (Command::Open { id, container, user, terminal }, None) => Ok(vec![SessionEvent::SessionOpened {
                id: *id,
                container: *container,
                user: user.clone(),
                terminal: *terminal,
            }]),
            (Command::Open { id, container, .. }, Some(opened)) if opened == (*id, *container) && !self.closed => {
                Ok(vec![])
            }
            (Command::Read { id, container, reading }, None) => {
                Ok(vec![SessionEvent::ReadAllowed { id: *id, container: *container, reading: *reading }])
            }
            (Command::Open { .. } | Command::Read { .. }, Some(_)) => Err(Rejection::Exists),
            (Command::Close { .. }, None) => Err(Rejection::Unknown),
            (Command::Close { .. }, Some(_)) if self.closed => Ok(vec![]),
            (Command::Close { code, reason }, Some(_)) => {
                Ok(vec![SessionEvent::SessionClosed { code: *code, reason: reason.clone() }])
            }
            (Command::Report(_), _) => Ok(vec![]),
        }
    }

    fn evolve(&mut self, event: &SessionEvent, _given: Given) {
        match event {
            SessionEvent::SessionOpened { id, container, .. } => self.opened = Some((*id, *container)),
            SessionEvent::ReadAllowed { id, container, .. } => {
                self.opened = Some((*id, *container));
                self.closed = true;
            }
            SessionEvent::SessionClosed { .. } => self.closed = true,
        }
    }

    fn next_effect(&self) -> Option<Effect> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::{answers_everything, given};

    fn open() -> Command {
        let (id, container) = (SessionId::derived("s"), ContainerId::derived("c"));
        Command::Open { id, container, user: "root".to_owned(), terminal: true }
    }

    fn opened() -> Vec<SessionEvent> {
        let (id, container) = (SessionId::derived("s"), ContainerId::derived("c"));
        vec![SessionEvent::SessionOpened { id, container, user: "root".to_owned(), terminal: true }]
    }

    fn closed() -> Vec<SessionEvent> {
        opened().into_iter().chain([SessionEvent::SessionClosed { code: Some(0), reason: None }]).collect()
    }

    #[test]
    fn it_should_be_opened_once_and_closed_once() {
        given::<Session>([]).when(open()).then(opened()).owing(None);
        given::<Session>(opened()).when(open()).then_nothing();
        given::<Session>(opened())
            .when(Command::Close { code: Some(3), reason: None })
            .then([SessionEvent::SessionClosed { code: Some(3), reason: None }]);
        given::<Session>(closed()).when(lost()).then_nothing();
    }

    fn lost() -> Command {
        Command::Close { code: None, reason: Some("the container does not run".to_owned()) }
    }

    #[test]
    fn it_should_tell_how_it_is_known_to_be_over() {
        let reason = Some("the container does not run".to_owned());
        given::<Session>(opened()).when(lost()).then([SessionEvent::SessionClosed { code: None, reason }]);
    }

    #[test]
    fn it_should_not_be_opened_again() {
        given::<Session>(closed()).when(open()).then_refused("session.exists");
        given::<Session>([]).when(lost()).then_refused("session.not-found");
    }

    fn read() -> Command {
        let (id, container) = (SessionId::derived("s"), ContainerId::derived("c"));
        Command::Read { id, container, reading: Reading::Console }
    }

    #[test]
    fn it_should_be_over_at_once_when_something_is_read() {
        let (id, container) = (SessionId::derived("s"), ContainerId::derived("c"));
        let told = SessionEvent::ReadAllowed { id, container, reading: Reading::Console };
        given::<Session>([]).when(read()).then([told.clone()]).owing(None);
        given::<Session>([told.clone()]).when(read()).then_refused("session.exists");
        assert_eq!(given::<Session>([told]).state().open_in(), None);
    }

    #[test]
    fn it_should_say_where_it_is_open() {
        assert_eq!(given::<Session>(opened()).state().open_in(), Some(ContainerId::derived("c")));
        assert_eq!(given::<Session>(closed()).state().open_in(), None);
    }

    #[test]
    fn every_command_has_an_answer_in_every_state() {
        answers_everything::<Session>(&[vec![], opened(), closed()], &[open(), read(), lost()]);
    }
}
