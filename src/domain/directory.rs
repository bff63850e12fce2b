//! The rules of unique names: one stream for each kind of thing (`directory/container`).
//!
//! ```text
//!   free ── reserve ──▶ held by one stream ── exchange ──▶ held under another name ── release ──▶ free
//! ```
//!
//! A name belongs to a stream, not to an operation: whoever asks twice has it already, and whoever is dead loses it by an
//! ordinary release. Which names are allowed at all is the type's business; what a holder is, is nobody's here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::effect::{Ask, Asked, Effect, Report};
use super::refusal::{Refusal, RefusalClass};
use super::{Aggregate, Given};
use crate::events::DirectoryEvent;
use crate::types::{Category, Name, OperationId, PREFIX_LENGTH_MIN, StreamName};

/// The code of a name that somebody else has.
const TAKEN: &str = "name.taken";
/// The code of a second name for somebody who has one.
pub const SECOND: &str = "name.second";
/// The code of a name that would be taken for an id.
const LIKE_AN_ID: &str = "name.like-an-id";

/// Is who has which name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Directory {
    holders: BTreeMap<Name, String>,
    names: BTreeMap<String, Name>,
}

/// Is a wish about a name; the holder is always a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Give the name to the holder.
    Reserve {
        /// Which name.
        name: Name,
        /// To whom.
        holder: StreamName,
    },
    /// Free the holder's name; the sweeper says this for holders that are gone.
    Release {
        /// Whose.
        holder: StreamName,
    },
    /// Give the holder another name instead of its own.
    Exchange {
        /// The new name.
        name: Name,
        /// Whose.
        holder: StreamName,
    },
    /// An effect's outcome; a directory has none.
    Report(Report),
}

/// Is a refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Somebody else has it.
    #[error("the name {name} is taken by {holder}")]
    Taken {
        /// Which name.
        name: Name,
        /// The stream that has it.
        holder: String,
    },
    /// The holder has a name, and reserving is not exchanging.
    #[error("{holder} is named {name} already")]
    Named {
        /// The stream.
        holder: String,
        /// Its name.
        name: Name,
    },
    /// Commands take names and ids alike: this one would take another's place.
    #[error("the name {name} is how the id of {other} begins, so commands by that id would mean the wrong one")]
    LikeAnId {
        /// Which name.
        name: Name,
        /// The stream with such an id.
        other: String,
    },
    /// An id belongs to nobody as a name.
    #[error("{name} has the form of an id, and names and ids are taken alike; take another name")]
    AnId {
        /// Which name.
        name: Name,
    },
    /// The other way round: the id was drawn badly, or the name was given while its bearer had none.
    #[error(
        "the id of {holder} begins with the name {name} of {other}, so commands by that id would mean the wrong one"
    )]
    IdLikeAName {
        /// The stream.
        holder: String,
        /// The name that its id begins with.
        name: Name,
        /// Who has that name.
        other: String,
    },
    /// The holder has no name that could be exchanged.
    #[error("{holder} has no name")]
    Nameless {
        /// The stream.
        holder: String,
    },
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        let message = rejection.to_string();
        match rejection {
            Rejection::Taken { holder, .. } => {
                let noun = holder.split('/').next().unwrap_or_default().to_owned();
                Self::new(RefusalClass::Conflict, TAKEN, message).hinted(format!("berth {noun} list"))
            }
            Rejection::LikeAnId { .. } | Rejection::AnId { .. } => {
                Self::new(RefusalClass::Conflict, LIKE_AN_ID, message)
            }
            Rejection::IdLikeAName { name, other, .. } => {
                let noun = other.split('/').next().unwrap_or_default();
                let hint = format!("berth {noun} rename {name} OTHER, or ask again: a new id is drawn then");
                Self::new(RefusalClass::Conflict, "id.like-a-name", message).hinted(hint)
            }
            Rejection::Named { .. } => Self::new(RefusalClass::Conflict, SECOND, message),
            Rejection::Nameless { .. } => Self::new(RefusalClass::Conflict, "name.none", message),
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
        Ok(match asked.ask {
            Ask::ReserveName(name) => Self::Reserve { name, holder: asked.by },
            Ask::ReleaseName => Self::Release { holder: asked.by },
            Ask::ExchangeName(name) => Self::Exchange { name, holder: asked.by },
            _ => return Err(asked),
        })
    }
}

impl Directory {
    /// Returns every name with its holder, for the sweeper.
    pub fn holders(&self) -> impl Iterator<Item = (&Name, &str)> {
        self.holders.iter().map(|(name, holder)| (name, holder.as_str()))
    }

    fn free_for(&self, name: &Name, holder: &str) -> Result<(), Rejection> {
        match self.holders.get(name) {
            Some(other) if other != holder => Err(Rejection::Taken { name: name.clone(), holder: other.clone() }),
            Some(_) => Ok(()),
            None => self.apart_from_ids(name, holder),
        }
    }

    /// Keeps names and ids apart: a reference may be a name, an id, or how an id begins, and must not mean two things. What
    /// is its own it may be called by.
    fn apart_from_ids(&self, name: &Name, holder: &str) -> Result<(), Rejection> {
        if name.as_str().parse::<OperationId>().is_ok() {
            return Err(Rejection::AnId { name: name.clone() });
        }
        if name.as_str().len() < PREFIX_LENGTH_MIN {
            return Ok(());
        }
        let kind = holder.split('/').next().unwrap_or_default();
        let start = format!("{kind}/{name}");
        let like =
            self.names.range(start.clone()..).map(|(other, _)| other).take_while(|other| other.starts_with(&start));
        match like.into_iter().find(|other| *other != holder) {
            Some(other) => Err(Rejection::LikeAnId { name: name.clone(), other: other.clone() }),
            None => Ok(()),
        }
    }

    /// The other way round, for whoever comes: its id begins with nobody's name.
    fn id_apart_from_names(&self, holder: &str) -> Result<(), Rejection> {
        let id = holder.split_once('/').map_or("", |(_, id)| id);
        let beginnings = (PREFIX_LENGTH_MIN..=id.len()).filter_map(|length| id.get(..length)?.parse::<Name>().ok());
        let mut taken = beginnings.filter_map(|name| Some((self.holders.get(&name)?.clone(), name)));
        match taken.next() {
            Some((other, name)) => Err(Rejection::IdLikeAName { holder: holder.to_owned(), name, other }),
            None => Ok(()),
        }
    }

    fn reserve(&self, name: &Name, holder: String) -> Result<Vec<DirectoryEvent>, Rejection> {
        self.free_for(name, &holder)?;
        match self.names.get(&holder) {
            Some(present) if present == name => Ok(vec![]),
            Some(present) => Err(Rejection::Named { holder, name: present.clone() }),
            None => {
                self.id_apart_from_names(&holder)?;
                Ok(vec![DirectoryEvent::NameReserved { name: name.clone(), holder }])
            }
        }
    }

    fn exchange(&self, name: &Name, holder: String) -> Result<Vec<DirectoryEvent>, Rejection> {
        self.free_for(name, &holder)?;
        match self.names.get(&holder) {
            Some(present) if present == name => Ok(vec![]),
            Some(_) => Ok(vec![DirectoryEvent::NameExchanged { name: name.clone(), holder }]),
            None => Err(Rejection::Nameless { holder }),
        }
    }

    fn release(&self, holder: String) -> Vec<DirectoryEvent> {
        if self.names.contains_key(&holder) { vec![DirectoryEvent::NameReleased { holder }] } else { vec![] }
    }

    fn forget(&mut self, holder: &str) {
        if let Some(name) = self.names.remove(holder) {
            self.holders.remove(&name);
        }
    }

    fn remember(&mut self, name: &Name, holder: &str) {
        self.names.insert(holder.to_owned(), name.clone());
        self.holders.insert(name.clone(), holder.to_owned());
    }
}

impl Aggregate for Directory {
    const CATEGORY: Category = Category::Directory;
    const STATE_SCHEMA: u32 = 1;
    type Command = Command;
    type Event = DirectoryEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _given: Given) -> Result<Vec<DirectoryEvent>, Rejection> {
        match command {
            Command::Reserve { name, holder } => self.reserve(name, holder.to_string()),
            Command::Release { holder } => Ok(self.release(holder.to_string())),
            Command::Exchange { name, holder } => self.exchange(name, holder.to_string()),
            Command::Report(_) => Ok(vec![]),
        }
    }

    fn evolve(&mut self, event: &DirectoryEvent, _given: Given) {
        match event {
            DirectoryEvent::NameReserved { name, holder } => self.remember(name, holder),
            DirectoryEvent::NameReleased { holder } => self.forget(holder),
            DirectoryEvent::NameExchanged { name, holder } => {
                self.forget(holder);
                self.remember(name, holder);
            }
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

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn holder(key: &str) -> StreamName {
        StreamName::new(Category::Container, key)
    }

    fn reserve(text: &str, key: &str) -> Command {
        Command::Reserve { name: name(text), holder: holder(key) }
    }

    fn reserved() -> Vec<DirectoryEvent> {
        vec![DirectoryEvent::NameReserved { name: name("web1"), holder: "container/a".to_owned() }]
    }

    #[test]
    fn it_should_give_a_name_once() {
        given::<Directory>([]).when(reserve("web1", "a")).then(reserved()).owing(None);
        given::<Directory>(reserved()).when(reserve("web1", "a")).then_nothing();
        given::<Directory>(reserved()).when(reserve("web1", "b")).then_refused("name.taken");
        given::<Directory>(reserved()).when(reserve("web2", "a")).then_refused("name.second");
    }

    #[test]
    fn it_should_name_the_holder_of_a_taken_name() {
        let taken = Rejection::Taken { name: name("web1"), holder: "container/a".to_owned() };
        let refusal = Refusal::from(taken);
        assert_eq!(refusal.message, "the name web1 is taken by container/a");
        assert_eq!(refusal.hint.as_deref(), Some("berth container list"));
    }

    #[test]
    fn it_should_give_a_released_name_to_the_next() {
        let released = DirectoryEvent::NameReleased { holder: "container/a".to_owned() };
        given::<Directory>(reserved()).when(Command::Release { holder: holder("a") }).then([released.clone()]);
        given::<Directory>([]).when(Command::Release { holder: holder("a") }).then_nothing();
        let history = [reserved(), vec![released]].concat();
        let next = DirectoryEvent::NameReserved { name: name("web1"), holder: "container/b".to_owned() };
        given::<Directory>(history).when(reserve("web1", "b")).then([next]);
    }

    #[test]
    fn it_should_free_the_old_name_when_it_is_exchanged() {
        let exchange = Command::Exchange { name: name("web2"), holder: holder("a") };
        let exchanged = DirectoryEvent::NameExchanged { name: name("web2"), holder: "container/a".to_owned() };
        given::<Directory>(reserved()).when(exchange.clone()).then([exchanged.clone()]);
        given::<Directory>([]).when(exchange.clone()).then_refused("name.none");
        let history = [reserved(), vec![exchanged]].concat();
        given::<Directory>(history.clone()).when(exchange).then_nothing();
        let next = DirectoryEvent::NameReserved { name: name("web1"), holder: "container/b".to_owned() };
        given::<Directory>(history.clone()).when(reserve("web1", "b")).then([next]);
        let taken = Command::Exchange { name: name("web1"), holder: holder("b") };
        given::<Directory>(reserved()).when(taken).then_refused("name.taken");
        given::<Directory>(history).when(reserve("web2", "b")).then_refused("name.taken");
    }

    #[test]
    fn a_name_is_never_how_another_s_id_begins() {
        let (id, other) = ("abcdefghijklmnopqrstuvwxyz", "bcdefghijklmnopqrstuvwxyz2");
        let event = |name: &str, key: &str| DirectoryEvent::NameReserved {
            name: name.parse().unwrap(),
            holder: holder(key).to_string(),
        };
        let history = || [event("web1", id)];
        for text in ["abcd", "abcdefgh", "abcdefghijklmnopqrstuvwxy"] {
            given::<Directory>(history()).when(reserve(text, other)).then_refused("name.like-an-id");
            let exchange = Command::Exchange { name: name(text), holder: holder(other) };
            let both = [event("web1", id), event("web2", other)];
            given::<Directory>(both).when(exchange).then_refused("name.like-an-id");
            // Its own beginning it may be called by.
            let own = Command::Exchange { name: name(text), holder: holder(id) };
            let exchanged = DirectoryEvent::NameExchanged { name: name(text), holder: holder(id).to_string() };
            given::<Directory>(history()).when(own).then([exchanged]);
        }
        for text in ["abc", "abce", "abcdefgh1", "bbcd"] {
            given::<Directory>(history()).when(reserve(text, other)).then([event(text, other)]);
        }
        // Whose id nobody knows yet, or any more, is an id all the same.
        given::<Directory>([]).when(reserve(id, other)).then_refused("name.like-an-id");
    }

    #[test]
    fn whoever_comes_with_an_id_that_begins_with_a_name_in_use_is_refused() {
        let history = [DirectoryEvent::NameReserved { name: name("abcd"), holder: "container/x".to_owned() }];
        given::<Directory>(history.clone())
            .when(reserve("web1", "abcdefghijklmnopqrstuvwxyz"))
            .then_refused("id.like-a-name");
        let event = DirectoryEvent::NameReserved { name: name("web1"), holder: "container/abce".to_owned() };
        given::<Directory>(history).when(reserve("web1", "abce")).then([event]);
    }

    #[test]
    fn every_command_has_an_answer_in_every_state() {
        let commands = [
            reserve("web1", "a"),
            reserve("web1", "b"),
            Command::Release { holder: holder("a") },
            Command::Exchange { name: name("web1"), holder: holder("b") },
        ];
        answers_everything::<Directory>(&[vec![], reserved()], &commands);
    }
}
