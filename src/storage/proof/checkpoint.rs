//! Signed checkpoints: a note that says how long the log was and which root it had.
//!
//! The text is that of C2SP `tlog-checkpoint`, signed as a C2SP `signed-note` with Ed25519 (algorithm byte 0x01), so
//! that any tool of that family can check it. The key stands outside the state directory: whoever can rewrite the
//! log cannot sign for it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::merkle::{Hash, hex, sha256};
use crate::storage::error::OpenError;
use crate::storage::file;
use crate::types::{LogId, Timestamp};

const ED25519_ALGORITHM: u8 = 0x01;
const SIGNATURE_PREFIX: &str = "\u{2014} ";
/// Is the name of the private key's file, in the format of `golang.org/x/mod/sumdb/note`.
pub const KEY_FILE: &str = "checkpoint.key";
/// Is the name of the public key's file: what a stranger needs.
pub const VKEY_FILE: &str = "checkpoint.vkey";

/// Says why a text is no checkpoint, or one that proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The text has another shape.
    #[error("this is no checkpoint: {reason}")]
    Malformed {
        /// What is missing.
        reason: &'static str,
    },
    /// The public key has another shape.
    #[error("{text:?} is no verifier key: name+hash+key is wanted")]
    InvalidKey {
        /// How it begins.
        text: String,
    },
    /// No signature of that key is on the note.
    #[error("the checkpoint is not signed by {key}")]
    NotSigned {
        /// The key's name.
        key: String,
    },
    /// The signature does not fit the text.
    #[error("the signature of {key} does not fit the checkpoint: it was altered")]
    BadSignature {
        /// The key's name.
        key: String,
    },
}

/// Returns the origin line of a log: also the name of its key.
pub fn origin(log: LogId) -> String {
    format!("berth-log/{log}")
}

/// Is what a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log, as `berth-log/<id>`.
    pub origin: String,
    /// How many events the log had.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// When it was sealed, by the node's clock.
    pub sealed_at: Timestamp,
}

impl Checkpoint {
    /// Returns the text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\nsealed {}\n", self.origin, self.size, STANDARD.encode(self.root), self.sealed_at)
    }
}

/// Is a checkpoint with the signatures on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What it says.
    pub checkpoint: Checkpoint,
    text: String,
    signatures: Vec<(String, Vec<u8>)>,
}

impl SignedCheckpoint {
    /// Reads a note; no signature is checked yet.
    pub fn parse(note: &str) -> Result<Self, CheckpointError> {
        let malformed = |reason| CheckpointError::Malformed { reason };
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(malformed("no blank line before the signatures"))?;
        let text = format!("{text}\n");
        let mut lines = text.lines();
        let origin = lines.next().filter(|line| !line.is_empty()).ok_or(malformed("no origin"))?.to_owned();
        let size = lines.next().filter(|line| *line == "0" || !line.starts_with(['0', '+']));
        let size = size.and_then(|line| line.parse().ok()).ok_or(malformed("no size"))?;
        let root = lines.next().and_then(|line| STANDARD.decode(line).ok());
        let root = root.and_then(|bytes| Hash::try_from(bytes).ok()).ok_or(malformed("no root"))?;
        let sealed_at = lines.find_map(|line| line.strip_prefix("sealed "));
        let sealed_at = sealed_at.and_then(|time| DateTime::parse_from_rfc3339(time).ok());
        let sealed_at = sealed_at.map(|time| Timestamp::from(time.with_timezone(&Utc))).ok_or(malformed("no time"))?;
        let signatures = signatures.lines().map(signature).collect::<Option<Vec<_>>>();
        let signatures = signatures.filter(|all| !all.is_empty()).ok_or(malformed("no signature"))?;
        Ok(Self { checkpoint: Checkpoint { origin, size, root, sealed_at }, text, signatures })
    }

    /// Checks that `key` signed this text.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), CheckpointError> {
        let named = self.signatures.iter().filter(|(name, bytes)| *name == key.name && bytes[..4] == key.id);
        let mut named = named.peekable();
        if named.peek().is_none() {
            return Err(CheckpointError::NotSigned { key: key.name.clone() });
        }
        let public = UnparsedPublicKey::new(&ED25519, key.public);
        if named.any(|(_, bytes)| public.verify(self.text.as_bytes(), &bytes[4..]).is_ok()) {
            return Ok(());
        }
        Err(CheckpointError::BadSignature { key: key.name.clone() })
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|(name, bytes)| writeln!(f, "{SIGNATURE_PREFIX}{name} {}", STANDARD.encode(bytes)))
    }
}

/// Reads `— name base64(id ‖ signature)`.
fn signature(line: &str) -> Option<(String, Vec<u8>)> {
    let (name, bytes) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
    let bytes = STANDARD.decode(bytes).ok().filter(|bytes| bytes.len() > 4)?;
    Some((name.to_owned(), bytes))
}

/// Is the public half of a signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

impl VerifierKey {
    fn new(name: String, public: [u8; 32]) -> Self {
        let hash = sha256(&[name.as_bytes(), b"\n", &[ED25519_ALGORITHM], &public].concat());
        Self { id: [hash[0], hash[1], hash[2], hash[3]], name, public }
    }

    /// Reads `name+hash+base64(0x01 ‖ key)`.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let invalid = || CheckpointError::InvalidKey { text: text.chars().take(60).collect() };
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(invalid());
        };
        let key = STANDARD.decode(key).map_err(|_| invalid())?;
        let [ED25519_ALGORITHM, public @ ..] = key.as_slice() else { return Err(invalid()) };
        let parsed = Self::new(name.to_owned(), public.try_into().map_err(|_| invalid())?);
        if hex(&parsed.id) == id { Ok(parsed) } else { Err(invalid()) }
    }

    /// Returns the name, which is the origin of the log that it signs for.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = STANDARD.encode([&[ED25519_ALGORITHM][..], &self.public].concat());
        write!(f, "{}+{}+{key}", self.name, hex(&self.id))
    }
}

/// Signs the checkpoints of one log.
pub struct Signer {
    pair: Ed25519KeyPair,
    key: VerifierKey,
}

impl Signer {
    /// Makes the signer of that name from the 32 bytes of an Ed25519 seed (RFC 8032 section 5.1.5).
    pub fn from_seed(name: String, seed: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let public = <[u8; 32]>::try_from(pair.public_key().as_ref()).ok()?;
        Some(Self { pair, key: VerifierKey::new(name, public) })
    }

    /// Reads the key of `log` under `key_dir`; where there is none it makes one, if it may.
    pub fn open(key_dir: &Path, log: LogId, make: bool) -> Result<Self, OpenError> {
        let directory = key_dir.join(log.to_string());
        let path = directory.join(KEY_FILE);
        let is_there = path.try_exists().map_err(|source| OpenError::KeyUnreadable { path: path.clone(), source })?;
        if !is_there {
            if !make {
                return Err(OpenError::KeyGone { folder: directory });
            }
            file::private_directory(&directory).map_err(OpenError::file(&directory))?;
            Self::create(&path, &origin(log))?;
        }
        let signer = Self::read(&path)?;
        signer.publish(&directory)?;
        Ok(signer)
    }

    /// Writes the public half beside the key. One of a key that was lost is kept: it verifies what that key signed.
    fn publish(&self, directory: &Path) -> Result<(), OpenError> {
        let path = directory.join(VKEY_FILE);
        let written = fs::read_to_string(&path).ok().and_then(|text| VerifierKey::parse(&text).ok());
        if written.as_ref() == Some(&self.key) {
            return Ok(());
        }
        let write = |path: &Path, key: &VerifierKey| {
            file::replace(path, format!("{key}\n").as_bytes()).map_err(OpenError::file(path))
        };
        if let Some(lost) = written {
            write(&directory.join(format!("checkpoint-{}.vkey", hex(&lost.id))), &lost)?;
        }
        write(&path, &self.key)
    }

    fn create(path: &Path, name: &str) -> Result<(), OpenError> {
        let mut seed = [0_u8; 32];
        let unusable = |reason: &str| OpenError::Key { path: path.to_owned(), reason: reason.to_owned() };
        SystemRandom::new().fill(&mut seed).map_err(|_| unusable("the kernel gave no random bytes"))?;
        let signer = Self::from_seed(name.to_owned(), &seed).ok_or_else(|| unusable("the seed makes no key"))?;
        let secret = STANDARD.encode([&[ED25519_ALGORITHM][..], &seed].concat());
        let text = format!("PRIVATE+KEY+{name}+{}+{secret}\n", hex(&signer.key.id));
        file::create_new(path, text.as_bytes()).map_err(OpenError::file(path))
    }

    fn read(path: &Path) -> Result<Self, OpenError> {
        let unusable = |reason: &str| OpenError::Key { path: path.to_owned(), reason: reason.to_owned() };
        let text = fs::read_to_string(path).map_err(OpenError::file(path))?;
        let fields = text.trim().strip_prefix("PRIVATE+KEY+").ok_or_else(|| unusable("it is no note signing key"))?;
        let mut fields = fields.splitn(3, '+');
        let (Some(name), Some(id), Some(secret)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(unusable("it has not three parts"));
        };
        let secret = STANDARD.decode(secret).map_err(|_| unusable("it is not base64"))?;
        let [ED25519_ALGORITHM, seed @ ..] = secret.as_slice() else { return Err(unusable("it is not Ed25519")) };
        let signer = Self::from_seed(name.to_owned(), seed).ok_or_else(|| unusable("it makes no key"))?;
        if hex(&signer.key.id) == id { Ok(signer) } else { Err(unusable("its hash does not fit")) }
    }

    /// Returns the public half.
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Signs a checkpoint and returns the note.
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        let text = checkpoint.text();
        let signature = self.pair.sign(text.as_bytes());
        let bytes = STANDARD.encode([&self.key.id[..], signature.as_ref()].concat());
        format!("{text}\n{SIGNATURE_PREFIX}{} {bytes}\n", self.key.name)
    }
}

/// Returns where the public key of `log` stands.
pub fn vkey_path(key_dir: &Path, log: LogId) -> PathBuf {
    key_dir.join(log.to_string()).join(VKEY_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    fn checkpoint() -> Checkpoint {
        let log = LogId::from_bytes([1; 16]);
        Checkpoint { origin: origin(log), size: 7, root: [9; 32], sealed_at: Timestamp::from_micros(5) }
    }

    #[test]
    fn a_note_survives_text_and_an_altered_one_is_refused() {
        let signer = Signer::from_seed(checkpoint().origin, &[3; 32]).unwrap();
        let note = signer.sign(&checkpoint());
        let parsed = SignedCheckpoint::parse(&note).unwrap();
        assert_eq!(parsed.checkpoint, checkpoint());
        assert_eq!(parsed.to_string(), note);
        let key = VerifierKey::parse(&signer.key().to_string()).unwrap();
        assert_eq!(parsed.verify(&key), Ok(()));
        let altered = SignedCheckpoint::parse(&note.replacen("\n7\n", "\n8\n", 1)).unwrap();
        assert!(matches!(altered.verify(&key), Err(CheckpointError::BadSignature { .. })));
        let other = Signer::from_seed(checkpoint().origin, &[4; 32]).unwrap();
        assert!(matches!(parsed.verify(other.key()), Err(CheckpointError::NotSigned { .. })));
    }

    #[test]
    fn the_key_is_made_once_and_only_its_owner_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let log = LogId::from_bytes([1; 16]);
        let first = Signer::open(directory.path(), log, true).unwrap();
        let again = Signer::open(directory.path(), log, true).unwrap();
        assert_eq!(first.key(), again.key());
        let path = directory.path().join(log.to_string()).join(KEY_FILE);
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(vkey_path(directory.path(), log)).unwrap();
        assert_eq!(VerifierKey::parse(&text).as_ref(), Ok(first.key()));
    }

    #[test]
    fn the_public_half_is_that_of_the_key_and_the_one_of_a_lost_key_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let log = LogId::from_bytes([1; 16]);
        let lost = Signer::open(directory.path(), log, true).unwrap();
        let folder = directory.path().join(log.to_string());
        fs::remove_file(folder.join(KEY_FILE)).unwrap();
        let now = Signer::open(directory.path(), log, true).unwrap();
        assert_ne!(lost.key(), now.key());
        let read = |path: &Path| VerifierKey::parse(&fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(&read(&vkey_path(directory.path(), log)), now.key());
        assert_eq!(&read(&folder.join(format!("checkpoint-{}.vkey", hex(&lost.key().id)))), lost.key());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC{0,200}", lines in "([a-z0-9+= \u{2014}]{0,20}\n){0,8}") {
            for text in [text, lines] {
                let _ = SignedCheckpoint::parse(&text);
                let _ = VerifierKey::parse(&text);
            }
        }
    }
}
