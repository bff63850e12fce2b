//! What one event commits to: the canonical header, the two commitments, and the leaf hash over them.
//!
//! The layout is written down in `docs/formats/log.md`, with vectors that the tests below recompute. The position is
//! not part of it: it is the place of the leaf in the tree, and another engine may hand it out.

use ring::digest::{Context as Sha256, SHA256};

use super::merkle::{Hash, LEAF_PREFIX, sha256, take};
use crate::events::Context;
use crate::types::{LogId, StreamName, Timestamp, Version};

/// Length of a salt in bytes: as hard to guess as an id.
pub const SALT_LENGTH: usize = 16;
/// Is what keeps a commitment from being guessed once its bytes are redacted.
pub type Salt = [u8; SALT_LENGTH];

/// Is everything that a leaf commits to; the two contents only through their commitments.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    /// The log.
    pub log: &'a LogId,
    /// The stream.
    pub stream: &'a StreamName,
    /// The place in the stream.
    pub version: Version,
    /// The event's name.
    pub kind: &'a str,
    /// The shape of the body.
    pub schema: u16,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Who, when by the wall, in which boot, for which operation, because of what.
    pub context: &'a Context,
    /// SHA-256 over salt and body.
    pub body: &'a Hash,
    /// SHA-256 over salt and annex; nothing if the event never had one.
    pub annex: Option<&'a Hash>,
}

/// Commits to bytes that may go away: SHA-256(salt ‖ bytes).
pub fn commitment(salt: &Salt, bytes: &[u8]) -> Hash {
    let mut hash = Sha256::new(&SHA256);
    hash.update(salt);
    hash.update(bytes);
    take(hash.finish())
}

/// Commits to an annex as it is stored: the salt stands before the bytes.
pub fn annex_commitment(blob: &[u8]) -> Hash {
    sha256(blob)
}

fn field(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
    bytes.extend_from_slice(value);
}

impl Header<'_> {
    /// Appends the canonical form: fields in a fixed order, each behind its length in four bytes, all big-endian.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        field(bytes, self.log.as_bytes());
        name_field(bytes, self.stream);
        field(bytes, &self.version.get().to_be_bytes());
        field(bytes, self.kind.as_bytes());
        field(bytes, &self.schema.to_be_bytes());
        field(bytes, &self.recorded_at.as_micros().to_be_bytes());
        field(bytes, &self.context.wall_clock.as_micros().to_be_bytes());
        field(bytes, self.context.boot.as_bytes());
        field(bytes, self.context.principal.who.as_bytes());
        field(bytes, self.context.principal.how.as_bytes());
        field(bytes, self.context.operation.as_bytes());
        if let Some(cause) = &self.context.causation {
            name_field(bytes, &cause.stream);
            field(bytes, &cause.version.get().to_be_bytes());
        } else {
            field(bytes, &[]);
            field(bytes, &[]);
        }
        field(bytes, self.context.node.as_bytes());
        field(bytes, self.body);
        field(bytes, self.annex.map_or(&[], Hash::as_slice));
    }

    /// Returns the leaf hash; `scratch` is reused between calls so that nothing is allocated.
    pub fn leaf(&self, scratch: &mut Vec<u8>) -> Hash {
        scratch.clear();
        scratch.push(LEAF_PREFIX);
        self.write(scratch);
        sha256(scratch)
    }
}

/// Writes `category/key` without putting the text together first.
fn name_field(bytes: &mut Vec<u8>, name: &StreamName) {
    let (category, key) = (name.category().as_str(), name.key());
    bytes.extend_from_slice(&((category.len() + 1 + key.len()) as u32).to_be_bytes());
    bytes.extend_from_slice(category.as_bytes());
    bytes.push(b'/');
    bytes.extend_from_slice(key.as_bytes());
}
