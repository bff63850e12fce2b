//! Names that users give to things, and the host names inside containers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest label DNS allows (RFC 1035 section 2.3.4).
pub const NAME_LENGTH_MAX: usize = 63;

/// Is a name that is also a DNS label: `a-z`, `0-9` and `-` inside, 1 to 63 characters (RFC 1123 section 2.1).
///
/// One narrow alphabet for every name keeps shells, host names, paths and tables safe from surprises.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Says why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing was given.
    #[error("a name cannot be empty")]
    Empty,
    /// More than 63 characters.
    #[error("the name {start:?}… has {length} characters; {NAME_LENGTH_MAX} are the most a name can have")]
    TooLong {
        /// How it begins.
        start: String,
        /// How long it is.
        length: usize,
    },
    /// A character that no name may have.
    #[error("the name {text:?} has {character:?} in it; only a-z, 0-9 and - (not first, not last) are allowed")]
    Character {
        /// What was given.
        text: String,
        /// The first character that does not fit.
        character: char,
    },
}

impl Name {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let length = text.chars().count();
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        if length > NAME_LENGTH_MAX {
            return Err(InvalidName::TooLong { start: text.chars().take(20).collect(), length });
        }
        let edge = |index: usize| index == 0 || index + 1 == length;
        let odd = text.chars().enumerate().find(|(index, character)| match character {
            'a'..='z' | '0'..='9' => false,
            '-' => edge(*index),
            _ => true,
        });
        match odd {
            Some((_, character)) => Err(InvalidName::Character { text: text.to_owned(), character }),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_is_accepted_is_a_dns_label(text in ".{0,80}") {
            if let Ok(name) = text.parse::<Name>() {
                prop_assert!(name.as_str().len() <= 63 && !name.as_str().starts_with('-') && !name.as_str().ends_with('-'));
                prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            }
        }
    }

    #[test]
    fn it_should_refuse_what_is_no_label() {
        for text in ["", "-a", "a-", "A", "a.b", "a b", "a/b", "a\u{7}", "ä", &"a".repeat(300)] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
        assert!("web-1".parse::<Name>().is_ok());
    }
}
