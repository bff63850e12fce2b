//! What a store says of one backup, and of one template: a sealed document each.
//!
//! ```text
//! document = "BERTHDOC" · store id (16) · salt (32) · sealed JSON · BLAKE3 of all before (32)
//! ```
//! The seal is about the document's own name, so one cannot be put in the place of another; the hash at the end lets
//! anyone find a flipped bit without the key.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::catalogue::{ChunkId, ChunkReference};
use super::error::{Error, Result};
use super::keys::Keys;
use crate::sys::fs::display_path;
use crate::types::{BackupId, ContainerId, Timestamp};

const MAGIC: &[u8; 8] = b"BERTHDOC";
const HEADER_LENGTH: usize = 24;
const HASH_LENGTH: usize = 32;
/// No document is longer than that.
pub const DOCUMENT_MAX: u64 = 256 << 20;

/// Names a tree by its content (BLAKE3 of its canonical catalogue).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreeDigest(pub [u8; 32]);

impl fmt::Display for TreeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ChunkId(self.0).fmt(f)
    }
}

impl fmt::Debug for TreeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<TreeDigest> for String {
    fn from(digest: TreeDigest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for TreeDigest {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        from_hex(&text).map(Self).ok_or_else(|| format!("{text:?} is no digest: 64 hexadecimal digits are wanted"))
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
        return None;
    }
    let mut found = [0; 32];
    for (index, slot) in found.iter_mut().enumerate() {
        *slot = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
    }
    Some(found)
}

impl From<ChunkReference> for String {
    fn from(chunk: ChunkReference) -> Self {
        format!("{}:{}", chunk.id, chunk.length)
    }
}

impl TryFrom<String> for ChunkReference {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        let parse = || {
            let (id, length) = text.split_once(':')?;
            Some(Self { id: ChunkId(from_hex(id)?), length: length.parse().ok()? })
        };
        parse().ok_or_else(|| format!("{text:?} points to no content"))
    }
}

/// Points to a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueReference {
    /// The pieces of its list of blocks.
    pub index: Vec<ChunkReference>,
    /// How many entries it has.
    pub entries: u64,
}

/// Says how a backup was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupKind {
    /// Every file was read.
    Full,
    /// Files that are as they were in the base were not read again.
    Incremental,
}

/// Says how a backup ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything is in it.
    Complete,
    /// All but what is listed is in it.
    CompleteWithExceptions,
}

/// Is something that could not be read, or not be restored, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// The path for people to read, odd bytes escaped.
    pub path: String,
    /// The path's bytes in base64, where they are no UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_base64: Option<String>,
    /// What was wrong.
    pub reason: String,
}

impl Exception {
    /// Notes what was wrong with a path.
    pub fn new(path: &[u8], reason: impl fmt::Display) -> Self {
        let odd = std::str::from_utf8(path).is_err().then(|| STANDARD.encode(path));
        Self { path: display_path(path), path_base64: odd, reason: reason.to_string() }
    }
}

/// Counts what a backup or a restore did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// How many names were gone through.
    pub entries: u64,
    /// How many bytes of files were read.
    pub read_bytes: u64,
    /// How many of them the store did not have.
    pub new_bytes: u64,
    /// How many bytes the store grew by.
    pub stored_bytes: u64,
    /// How many bytes all files have, read or not, holes not counted.
    pub data_bytes: u64,
}

/// Says everything about one backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Which backup.
    pub id: BackupId,
    /// Of which container.
    pub container: ContainerId,
    /// What the container was called then.
    pub name: String,
    /// When it was begun.
    pub started_at: Timestamp,
    /// When it was committed.
    pub finished_at: Timestamp,
    /// How it was taken.
    pub kind: BackupKind,
    /// The backup it was compared with.
    pub base: Option<BackupId>,
    /// The template below the container's own files.
    pub template: Option<TreeDigest>,
    /// The container's configuration, as the caller gave it.
    #[serde(with = "base64_bytes")]
    pub configuration: Vec<u8>,
    /// What the user wrote to it.
    pub note: String,
    /// The patterns of what was left out at the user's wish.
    pub excluded: Vec<String>,
    /// What was done.
    pub counters: Counters,
    /// What could not be read.
    pub exceptions: Vec<Exception>,
    /// Where the catalogue is.
    pub catalogue: CatalogueReference,
    /// How it ended.
    pub outcome: Outcome,
}

/// Says what a store keeps of one template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateRecord {
    /// Its name.
    pub digest: TreeDigest,
    /// Where the catalogue is.
    pub catalogue: CatalogueReference,
    /// Its files are in the store too, so that backups restore without the template.
    pub self_contained: bool,
}

mod base64_bytes {
    use super::{Engine, STANDARD};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}

/// Seals a document that is called `name`.
///
/// # Errors
/// If the kernel has no randomness to give.
pub fn seal_document<T: Serialize>(keys: &Keys, store: &[u8; 16], name: &str, document: &T) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(document).map_err(|error| Error::damaged(name, error.to_string()))?;
    let sealed = keys.seal_whole("document", name.as_bytes(), &json)?;
    let mut out = [MAGIC.as_slice(), store, &sealed].concat();
    let hash = blake3::hash(&out);
    out.extend_from_slice(hash.as_bytes());
    Ok(out)
}

/// Opens the document that is called `name`.
///
/// # Errors
/// `Damaged` if it is not what was written.
pub fn open_document<T: for<'de> Deserialize<'de>>(
    keys: &Keys,
    store: &[u8; 16],
    name: &str,
    bytes: &[u8],
) -> Result<T> {
    let sealed = check_document(bytes, store).map_err(|reason| Error::damaged(name, reason))?;
    let json = keys.open_whole("document", name.as_bytes(), sealed);
    let json = json.ok_or_else(|| Error::damaged(name, "it is not what was sealed"))?;
    serde_json::from_slice(&json).map_err(|error| Error::damaged(name, error.to_string()))
}

/// Checks a document without the key and returns its sealed part.
///
/// # Errors
/// What does not fit.
pub fn check_document<'a>(bytes: &'a [u8], store: &[u8; 16]) -> std::result::Result<&'a [u8], &'static str> {
    let (body, hash) = bytes.split_last_chunk::<HASH_LENGTH>().ok_or("it is too short")?;
    if blake3::hash(body).as_bytes() != hash {
        return Err("its bytes are not those that were written");
    }
    let (header, sealed) = body.split_at_checked(HEADER_LENGTH).ok_or("it is too short")?;
    if &header[..8] != MAGIC || &header[8..] != store {
        return Err("it belongs to another store");
    }
    Ok(sealed)
}

#[cfg(test)]
mod tests {
    use super::super::keys::MasterKey;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = check_document(&bytes, &[0; 16]);
        }
    }

    #[test]
    fn a_document_opens_only_unchanged_and_under_its_name() {
        let keys = MasterKey::generate().unwrap().derive();
        let exception = Exception::new(b"a\xff", "refused");
        let bytes = seal_document(&keys, &[1; 16], "manifest x", &exception).unwrap();
        let opened: Exception = open_document(&keys, &[1; 16], "manifest x", &bytes).unwrap();
        assert_eq!(opened, exception);
        assert!(open_document::<Exception>(&keys, &[1; 16], "manifest y", &bytes).is_err());
        assert!(open_document::<Exception>(&keys, &[2; 16], "manifest x", &bytes).is_err());
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            assert!(check_document(&changed, &[1; 16]).is_err());
        }
    }
}
