//! Facts about unique names: one stream per kind of thing (`directory/container`).

use serde::{Deserialize, Serialize};

use super::{DomainEvent, Mark, kinds};
use crate::types::{Category, Name};

/// Is a fact about names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum DirectoryEvent {
    /// The name belongs to the holder from now on.
    NameReserved {
        /// Which name.
        name: Name,
        /// The stream of the thing that has it.
        holder: String,
    },
    /// The holder's name is free again; history still knows whose it was.
    NameReleased {
        /// The stream of the thing that had it.
        holder: String,
    },
    /// The holder took another name; the old one is free.
    NameExchanged {
        /// The new name.
        name: Name,
        /// The stream of the thing.
        holder: String,
    },
}

impl DomainEvent for DirectoryEvent {
    const CATEGORY: Category = Category::Directory;
    const KINDS: &'static [&'static str] = kinds!(DirectoryEvent: NameReserved, NameReleased, NameExchanged);

    fn mark(&self) -> Mark {
        Mark::Fact
    }

    fn sentence(&self) -> String {
        match self {
            Self::NameReserved { name, holder } => format!("name {name} reserved for {holder}"),
            Self::NameReleased { holder } => format!("name of {holder} released"),
            Self::NameExchanged { name, holder } => format!("{holder} is now named {name}"),
        }
    }
}
