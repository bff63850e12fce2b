//! Which files of a container's `/etc` are written from outside.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Is a file of `/etc` that says who the container is or whom it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ManagedFile {
    /// `/etc/hostname`.
    Hostname,
    /// `/etc/hosts`.
    Hosts,
    /// `/etc/resolv.conf`.
    Resolv,
}

impl ManagedFile {
    /// Lists all of them.
    pub const ALL: [Self; 3] = [Self::Hostname, Self::Hosts, Self::Resolv];

    /// Returns its word, as the command line has it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hostname => "hostname",
            Self::Hosts => "hosts",
            Self::Resolv => "resolv",
        }
    }

    /// Returns its name in `/etc`.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Hostname => "hostname",
            Self::Hosts => "hosts",
            Self::Resolv => "resolv.conf",
        }
    }
}

/// Says which of these files are written at each start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Managed {
    /// Each until it is changed inside: what the container made of it is kept.
    #[default]
    UntilChanged,
    /// These, whatever the container made of them, and no others.
    Only(BTreeSet<ManagedFile>),
}

/// The words for no file at all, and for each until it is changed.
const NONE: &str = "none";
const UNTIL_CHANGED: &str = "until-changed";

/// Says why a text does not name files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{word:?} is none of hostname, hosts, resolv; write some of them with commas between, or {NONE}, or {UNTIL_CHANGED}"
)]
pub struct InvalidManaged {
    /// What is none of them.
    word: String,
}

impl FromStr for Managed {
    type Err = InvalidManaged;

    fn from_str(text: &str) -> Result<Self, InvalidManaged> {
        let file = |word: &str| {
            let found = ManagedFile::ALL.into_iter().find(|file| file.word() == word.trim());
            found.ok_or_else(|| InvalidManaged { word: word.trim().to_owned() })
        };
        match text {
            UNTIL_CHANGED => Ok(Self::UntilChanged),
            NONE => Ok(Self::Only(BTreeSet::new())),
            _ => Ok(Self::Only(text.split(',').map(file).collect::<Result<_, _>>()?)),
        }
    }
}

impl fmt::Display for Managed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UntilChanged => f.pad(UNTIL_CHANGED),
            Self::Only(files) if files.is_empty() => f.pad(NONE),
            Self::Only(files) => f.pad(&files.iter().map(|file| file.word()).collect::<Vec<_>>().join(",")),
        }
    }
}

impl TryFrom<String> for Managed {
    type Error = InvalidManaged;
    fn try_from(text: String) -> Result<Self, InvalidManaged> {
        text.parse()
    }
}

impl From<Managed> for String {
    fn from(managed: Managed) -> Self {
        managed.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_should_print_what_it_parses() {
        for text in ["until-changed", "none", "hosts", "hostname,hosts,resolv", "hostname,resolv"] {
            assert_eq!(text.parse::<Managed>().unwrap().to_string(), text);
        }
        assert_eq!("resolv, hostname".parse::<Managed>().unwrap().to_string(), "hostname,resolv");
        for text in ["", "all", "hosts,", "hosts,none", "resolv.conf"] {
            assert!(text.parse::<Managed>().is_err(), "{text:?}");
        }
        assert!("motd".parse::<Managed>().unwrap_err().to_string().starts_with("\"motd\" is none of hostname"));
    }
}
