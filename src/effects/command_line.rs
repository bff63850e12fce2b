//! The command lines of containers. They may carry secrets, so the log has only a fingerprint of each; what it stands for lies
//! in a file of its own, and in the annex of the event that made the container.
//!
//! The fingerprint is a hash over a random salt and the words: it says whether the file is what was recorded, and lets nobody
//! guess what it says.

use serde::{Deserialize, Serialize};

use crate::types::Fingerprint;

/// Is what a container runs in place of its template's init.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandLine {
    salt: [u8; 16],
    /// The program and its arguments.
    pub argv: Vec<String>,
}

impl CommandLine {
    /// Makes one with a salt that was drawn for it.
    pub const fn new(salt: [u8; 16], argv: Vec<String>) -> Self {
        Self { salt, argv }
    }

    /// Returns what the log has of it.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.salt);
        for word in &self.argv {
            hasher.update(&(word.len() as u64).to_be_bytes()).update(word.as_bytes());
        }
        Fingerprint::from_bytes(*hasher.finalize().as_bytes())
    }

    /// Writes it as its file has it.
    ///
    /// # Errors
    /// None that is known.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads a file; nothing if it is not what the fingerprint stands for.
    pub fn read(bytes: &[u8], fingerprint: Fingerprint) -> Option<Self> {
        let line: Self = serde_json::from_slice(bytes).ok()?;
        (line.fingerprint() == fingerprint).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(salt: u8, words: &[&str]) -> CommandLine {
        CommandLine::new([salt; 16], words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn only_what_was_recorded_is_read() {
        let own = line(1, &["sh", "-c", "echo secret"]);
        let bytes = own.to_bytes().unwrap();
        assert_eq!(CommandLine::read(&bytes, own.fingerprint()), Some(own.clone()));
        for other in [line(2, &["sh", "-c", "echo secret"]), line(1, &["sh", "-c echo secret"]), line(1, &[])] {
            assert_ne!(other.fingerprint(), own.fingerprint());
            assert_eq!(CommandLine::read(&other.to_bytes().unwrap(), own.fingerprint()), None);
        }
        assert_eq!(CommandLine::read(b"{", own.fingerprint()), None);
    }
}
