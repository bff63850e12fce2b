//! The host name inside a container: a label, or a name with a domain.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Name;

/// The most that the kernel takes as a node name (`__NEW_UTS_LEN` of linux/utsname.h).
pub const HOST_NAME_LENGTH_MAX: usize = 64;
const LABEL_LENGTH_MAX: usize = 63;

/// Is a host name as RFC 1123 (section 2.1) has it: labels of letters, digits and `-` inside, with dots between them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

/// Says why a text is no host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHostName {
    /// Nothing was given.
    #[error("a host name cannot be empty")]
    Empty,
    /// The kernel takes no more.
    #[error(
        "the host name {start:?}… has {length} characters; {HOST_NAME_LENGTH_MAX} are the most that the kernel takes"
    )]
    TooLong {
        /// How it begins.
        start: String,
        /// How long it is.
        length: usize,
    },
    /// A label between two dots is no label.
    #[error(
        "the part {label:?} of the host name {text:?} is no label: 1 to 63 letters, digits and - (not first, not last), \
         with single dots between the parts"
    )]
    Label {
        /// What was given.
        text: String,
        /// The part.
        label: String,
    },
}

impl HostName {
    /// Returns the name that every machine has for itself.
    pub fn localhost() -> Self {
        Self("localhost".to_owned())
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name without its domain.
    pub fn short(&self) -> &str {
        self.0.split('.').next().unwrap_or(&self.0)
    }
}

fn is_label(label: &str) -> bool {
    let fits = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    fits && (1..=LABEL_LENGTH_MAX).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
}

impl FromStr for HostName {
    type Err = InvalidHostName;

    fn from_str(text: &str) -> Result<Self, InvalidHostName> {
        let length = text.chars().count();
        if text.is_empty() {
            return Err(InvalidHostName::Empty);
        }
        if length > HOST_NAME_LENGTH_MAX {
            return Err(InvalidHostName::TooLong { start: text.chars().take(20).collect(), length });
        }
        match text.split('.').find(|label| !is_label(label)) {
            Some(label) => Err(InvalidHostName::Label { text: text.to_owned(), label: label.to_owned() }),
            None => Ok(Self(text.to_owned())),
        }
    }
}

/// Every name is a label.
impl From<Name> for HostName {
    fn from(name: Name) -> Self {
        Self(name.into())
    }
}

impl TryFrom<String> for HostName {
    type Error = InvalidHostName;
    fn try_from(text: String) -> Result<Self, InvalidHostName> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_should_take_labels_with_dots_between_them_and_tell_what_is_wrong_else() {
        for (text, short) in [("web1", "web1"), ("a.example", "a"), ("Web-1.example.org", "Web-1"), ("1.2", "1")] {
            assert_eq!(text.parse::<HostName>().unwrap().short(), short);
        }
        let longest = format!("{}.a", "a".repeat(62));
        assert!(longest.len() == HOST_NAME_LENGTH_MAX && longest.parse::<HostName>().is_ok());
        for text in ["", ".", "a.", ".a", "a..b", "-a.b", "a-.b", "a b", "a_b", "ä.b", "a/b", "a\n", &"a".repeat(64)] {
            assert!(text.parse::<HostName>().is_err(), "{text:?}");
        }
        let told = format!("{longest}b").parse::<HostName>().unwrap_err().to_string();
        assert!(told.contains("has 65 characters; 64 are the most that the kernel takes"), "{told}");
        let told = "a.-b.c".parse::<HostName>().unwrap_err().to_string();
        assert!(told.contains("the part \"-b\" of the host name \"a.-b.c\""), "{told}");
    }
}
