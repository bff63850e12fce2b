//! Identities: 128 random bits, written as 26 characters of lower-case base32.
//!
//! An id says nothing about time or place (those live in the envelope of its first event), so it can be drawn
//! anywhere without asking anyone. The random bytes are drawn at the edge and travel in the command.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Length of an id in characters.
pub const ID_LENGTH: usize = 26;
/// The shortest prefix of an id that is looked up, so that a typo does not hit at random.
pub const PREFIX_LENGTH_MIN: usize = 4;

/// Is returned when a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id: 26 characters of a-z and 2-7 are wanted")]
pub struct InvalidId {
    text: String,
}

fn encode(bytes: [u8; 16]) -> String {
    let mut bits = u128::from_be_bytes(bytes);
    let mut text = [0_u8; ID_LENGTH];
    for slot in text.iter_mut().rev() {
        *slot = ALPHABET[(bits & 31) as usize];
        bits >>= 5;
    }
    text.iter().map(|byte| char::from(*byte)).collect()
}

fn decode(text: &str) -> Result<[u8; 16], InvalidId> {
    let invalid = || InvalidId { text: text.chars().take(64).collect() };
    if text.len() != ID_LENGTH {
        return Err(invalid());
    }
    let mut bits = 0_u128;
    for (index, byte) in text.bytes().enumerate() {
        let value = ALPHABET.iter().position(|known| *known == byte).ok_or_else(invalid)?;
        if index == 0 && value > 7 {
            return Err(invalid()); // 26 characters hold 130 bits: the first carries three.
        }
        bits = (bits << 5) | value as u128;
    }
    Ok(bits.to_be_bytes())
}

macro_rules! id_types {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 16]);

        impl $name {
            /// Makes an id of bytes drawn at the edge.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// Returns the sixteen bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Derives the id that always follows from `seed`, for what must be the same when asked twice.
            pub fn derived(seed: &str) -> Self {
                let mut bytes = [0; 16];
                bytes.copy_from_slice(&blake3::hash(seed.as_bytes()).as_bytes()[..16]);
                Self(bytes)
            }

            /// Returns the first eight characters, enough to tell things apart in a table.
            pub fn short(&self) -> String {
                self.to_string()[..8].to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), encode(self.0))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                decode(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    )*};
}

id_types! {
    /// Identifies a container for ever.
    ContainerId;
    /// Identifies a template.
    TemplateId;
    /// Identifies a network.
    NetworkId;
    /// Identifies a backup store.
    StoreId;
    /// Identifies a session inside a container (`exec`, `enter`).
    SessionId;
    /// Identifies a schedule.
    ScheduleId;
    /// Identifies one run of a backup, a restore, a maintenance job or a batch.
    RunId;
    /// Identifies a finished backup.
    BackupId;
    /// Identifies one operation from request to outcome, across every stream it touches.
    OperationId;
    /// Identifies the machine (and state directory) that recorded an event.
    NodeId;
    /// Identifies one event log.
    LogId;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_survives_text(bytes: [u8; 16]) {
            let id = ContainerId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<ContainerId>(), Ok(id));
        }

        #[test]
        fn no_two_texts_mean_one_id(text in "[a-z2-7]{26}") {
            if let Ok(id) = text.parse::<ContainerId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn it_should_refuse_what_is_no_id() {
        for text in ["", "abc", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "z2345672345672345672345672", "é"] {
            assert!(text.parse::<ContainerId>().is_err(), "{text}");
        }
    }
}
