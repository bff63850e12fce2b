//! Labels: the `key=value` marks by which users group and select things.
//!
//! The alphabet is a subset of Kubernetes' label syntax, so that labels travel; values may also have printable ASCII
//! such as spaces. Selectors are not here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name part of a key, and the longest value.
pub const LABEL_LENGTH_MAX: usize = 63;
/// The longest prefix of a key: a DNS name (RFC 1035 section 2.3.4).
pub const LABEL_PREFIX_LENGTH_MAX: usize = 253;

/// Is the key of a label: `backup`, `app.tier`, `example.org/owner`.
///
/// An optional DNS name and a slash, then 1 to 63 of `a-z`, `A-Z`, `0-9`, `-`, `_` and `.`, with a letter or digit
/// first and last.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabelKey(String);

/// Is the value of a label: up to 63 printable ASCII characters, possibly none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabelValue(String);

/// Is one `key=value`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label {
    /// What is told.
    pub key: LabelKey,
    /// What it is.
    pub value: LabelValue,
}

/// Says why a text is no label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabel {
    /// No `=` in it.
    #[error("the label {text:?} has no value; write key=value (key= for an empty one)")]
    NoValue {
        /// What was given.
        text: String,
    },
    /// The key is not of the form.
    #[error(
        "the label key {text:?} does not fit: 1 to {LABEL_LENGTH_MAX} of a-z A-Z 0-9 - _ . with a letter or digit first \
         and last, after an optional DNS name and a slash (owner, example.org/owner)"
    )]
    Key {
        /// What was given.
        text: String,
    },
    /// The value has a character that cannot be printed, or not in ASCII.
    #[error("the label value {text:?} has {character:?} in it; only printable ASCII is allowed")]
    Value {
        /// What was given.
        text: String,
        /// The first character that does not fit.
        character: char,
    },
    /// The value is longer than 63 characters.
    #[error("the label value {start:?}… has {length} characters; {LABEL_LENGTH_MAX} are the most")]
    ValueTooLong {
        /// How it begins.
        start: String,
        /// How long it is.
        length: usize,
    },
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn is_bounded(text: &str, length_max: usize, inside: impl Fn(u8) -> bool) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= length_max
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || inside(*byte))
}

fn is_dns_name(text: &str) -> bool {
    let is_part = |part: &str| {
        is_bounded(part, LABEL_LENGTH_MAX, |byte| byte == b'-') && !part.bytes().any(|b| b.is_ascii_uppercase())
    };
    text.len() <= LABEL_PREFIX_LENGTH_MAX && text.split('.').all(is_part)
}

impl LabelKey {
    /// Returns the key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl LabelValue {
    /// Returns the value as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LabelKey {
    type Err = InvalidLabel;

    fn from_str(text: &str) -> Result<Self, InvalidLabel> {
        let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
        let fits = prefix.is_none_or(is_dns_name)
            && is_bounded(name, LABEL_LENGTH_MAX, |byte| matches!(byte, b'-' | b'_' | b'.'));
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidLabel::Key { text: shown(text) }) }
    }
}

impl FromStr for LabelValue {
    type Err = InvalidLabel;

    fn from_str(text: &str) -> Result<Self, InvalidLabel> {
        if let Some(character) = text.chars().find(|c| !matches!(c, ' '..='~')) {
            return Err(InvalidLabel::Value { text: shown(text), character });
        }
        if text.len() > LABEL_LENGTH_MAX {
            return Err(InvalidLabel::ValueTooLong { start: text.chars().take(20).collect(), length: text.len() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for Label {
    type Err = InvalidLabel;

    fn from_str(text: &str) -> Result<Self, InvalidLabel> {
        let (key, value) = text.split_once('=').ok_or_else(|| InvalidLabel::NoValue { text: shown(text) })?;
        Ok(Self { key: key.parse()?, value: value.parse()? })
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}={}", self.key.0, self.value.0))
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

macro_rules! text_forms {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = InvalidLabel;
            fn try_from(text: String) -> Result<Self, InvalidLabel> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}

macro_rules! plain_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    )*};
}

text_forms!(LabelKey, LabelValue, Label);
plain_text!(LabelKey, LabelValue);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_should_read_labels() {
        for text in ["a=b", "a=", "app.tier=web 1", "example.org/owner=a=b", "X_1-y=~!"] {
            assert_eq!(text.parse::<Label>().map(|label| label.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn it_should_refuse_what_is_no_label() {
        let long = format!("a={}", "v".repeat(64));
        for text in [
            "", "a", "=b", "-a=b", "a-=b", "a b=c", "ä=b", "a=ä", "a=\u{1b}", "/a=b", "a/=b", "a/b/c=d", "A.b/c=d",
            &long,
        ] {
            assert!(text.parse::<Label>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_prints_as_given(text in "[a-z./_=A-Z -]{0,40}") {
            if let Ok(label) = text.parse::<Label>() {
                prop_assert_eq!(label.to_string(), text);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = text.parse::<Label>();
        }
    }
}
