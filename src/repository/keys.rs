//! The keys of a store: one random master key, wrapped for the node and for the person with the recovery key.
//!
//! Everything else is derived from the master key (BLAKE3 in its keyed modes). Sealing is AES-256-GCM; every sealed thing
//! has a key of its own, derived from a random 256-bit salt, so that the counter nonces never meet the same key twice.

pub(super) mod key_file;
pub(super) mod owner;

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use super::error::{Error, Result};

/// The bytes that sealing adds: the tag of AES-GCM.
pub const TAG_LENGTH: usize = 16;
/// The bytes of a salt.
pub const SALT_LENGTH: usize = 32;

/// Fills an array from the kernel's generator.
///
/// # Errors
/// If the kernel has no randomness to give.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let failed = |_| Error::io("read", "the random generator")(std::io::Error::other("it gave nothing"));
    SystemRandom::new().fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Is the one secret of a store; whoever has it reads every backup in it.
#[derive(Clone)]
pub struct MasterKey([u8; 32]);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// Holds the keys derived from a master key.
pub struct Keys {
    /// Names pieces of content.
    pub content: [u8; 32],
    /// Seeds the table that cuts large files.
    pub gear: [u8; 32],
    seal: [u8; 32],
}

impl MasterKey {
    /// Draws a new one.
    ///
    /// # Errors
    /// If the kernel has no randomness to give.
    pub fn generate() -> Result<Self> {
        random().map(Self)
    }

    /// Derives the keys in daily use.
    pub fn derive(&self) -> Keys {
        let derived = |purpose: &str| blake3::derive_key(purpose, &self.0);
        Keys {
            content: derived("berth 2026 content id"),
            gear: derived("berth 2026 gear table"),
            seal: derived("berth 2026 seal"),
        }
    }

    /// Wraps it under another key: a salt and 48 sealed bytes.
    ///
    /// # Errors
    /// If the kernel has no randomness to give.
    pub fn wrap(&self, under: &[u8; 32], about: &[u8]) -> Result<Vec<u8>> {
        seal_whole(under, "wrap", about, &self.0)
    }

    /// Unwraps it; nothing if the key does not fit.
    pub fn unwrap(wrapped: &[u8], under: &[u8; 32], about: &[u8]) -> Option<Self> {
        open_whole(under, "wrap", about, wrapped)?.try_into().ok().map(Self)
    }
}

impl Keys {
    /// Seals something small as a whole: a salt and the sealed bytes.
    ///
    /// # Errors
    /// If the kernel has no randomness to give.
    pub fn seal_whole(&self, purpose: &str, about: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        seal_whole(&self.seal, purpose, about, plain)
    }

    /// Opens what `seal_whole` made; nothing if it was changed or is about something else.
    pub fn open_whole(&self, purpose: &str, about: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        open_whole(&self.seal, purpose, about, sealed)
    }

    /// Returns what seals and opens the pieces of a pack with that salt.
    pub fn pack(&self, salt: &[u8; SALT_LENGTH]) -> Seal {
        Seal::new(&self.seal, "pack", salt)
    }
}

fn seal_whole(root: &[u8; 32], purpose: &str, about: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let salt = random::<SALT_LENGTH>()?;
    let mut sealed = plain.to_vec();
    Seal::new(root, purpose, &salt).seal(0, about, &mut sealed)?;
    Ok([salt.as_slice(), &sealed].concat())
}

fn open_whole(root: &[u8; 32], purpose: &str, about: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (salt, sealed) = sealed.split_first_chunk::<SALT_LENGTH>()?;
    let mut plain = sealed.to_vec();
    Seal::new(root, purpose, salt).open(0, about, &mut plain).then_some(plain)
}

/// Seals and opens numbered pieces under one key that belongs to one salt.
pub struct Seal {
    key: LessSafeKey,
}

impl Seal {
    #[allow(clippy::expect_used)]
    fn new(root: &[u8; 32], purpose: &str, salt: &[u8; SALT_LENGTH]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(root);
        hasher.update(&[purpose.len() as u8]).update(purpose.as_bytes()).update(salt);
        let key = UnboundKey::new(&AES_256_GCM, hasher.finalize().as_bytes()).expect("AES-256 takes keys of 32 bytes");
        Self { key: LessSafeKey::new(key) }
    }

    fn nonce(number: u32) -> Nonce {
        let mut bytes = [0; NONCE_LEN];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        Nonce::assume_unique_for_key(bytes)
    }

    /// Seals piece `number` in place and appends the tag. The caller counts up and never seals one number twice.
    ///
    /// # Errors
    /// If it is longer than AES-GCM can seal (64 GiB).
    pub fn seal(&self, number: u32, about: &[u8], bytes: &mut Vec<u8>) -> Result<()> {
        let too_long = |_| Error::damaged("a piece to be sealed", "it is too long");
        self.key.seal_in_place_append_tag(Self::nonce(number), Aad::from(about), bytes).map_err(too_long)
    }

    /// Opens piece `number` in place; `false` if it, or what it is about, was changed or the key does not fit.
    pub fn open(&self, number: u32, about: &[u8], bytes: &mut Vec<u8>) -> bool {
        let opened = self.key.open_in_place(Self::nonce(number), Aad::from(about), bytes).map(|plain| plain.len());
        opened.map(|length| bytes.truncate(length)).is_ok()
    }
}

/// Opens a store when the node that made it is lost: 128 random bits as text that a person can type.
///
/// It is printed once and stored nowhere; six groups of five characters, the last four of them a check.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryKey([u8; 16]);

const RECOVERY_ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const RECOVERY_LENGTH: usize = 30;
const RECOVERY_CHECK: usize = 4;

impl RecoveryKey {
    /// Draws a new one.
    ///
    /// # Errors
    /// If the kernel has no randomness to give.
    pub fn generate() -> Result<Self> {
        random().map(Self)
    }

    /// Returns the key that wraps the master key.
    pub fn wrapping_key(&self) -> [u8; 32] {
        blake3::derive_key("berth 2026 recovery key", &self.0)
    }

    /// Returns the text to print and to type.
    pub fn to_text(&self) -> String {
        let mut text = letters(u128::from_be_bytes(self.0), RECOVERY_LENGTH - RECOVERY_CHECK);
        text.push_str(&self.check());
        let groups: Vec<&str> = (0..RECOVERY_LENGTH).step_by(5).map(|at| &text[at..at + 5]).collect();
        groups.join("-")
    }

    fn check(&self) -> String {
        let hash = blake3::derive_key("berth 2026 recovery check", &self.0);
        letters(u128::from(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])), RECOVERY_CHECK)
    }

    /// Reads the text; case, spaces and dashes do not matter, and a typing error is found.
    ///
    /// # Errors
    /// `InvalidRecoveryKey` with what does not fit.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |reason| Error::InvalidRecoveryKey { reason };
        let typed = text.chars().filter(|c| !c.is_whitespace() && *c != '-').map(|c| c.to_ascii_lowercase());
        let typed: Vec<char> = typed.collect();
        if typed.len() != RECOVERY_LENGTH {
            return Err(invalid("30 characters in six groups are wanted"));
        }
        let mut bits = 0_u128;
        for character in &typed[..RECOVERY_LENGTH - RECOVERY_CHECK] {
            let known = RECOVERY_ALPHABET.iter().position(|known| char::from(*known) == *character);
            let value = known.ok_or(invalid("only a-z and 2-7 are in one"))? as u128;
            if bits >> 123 != 0 {
                return Err(invalid("its first character is too high"));
            }
            bits = (bits << 5) | value;
        }
        let key = Self(bits.to_be_bytes());
        let check: String = typed[RECOVERY_LENGTH - RECOVERY_CHECK..].iter().collect();
        if key.check() == check { Ok(key) } else { Err(invalid("a character is mistyped: the check does not fit")) }
    }
}

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryKey(…)")
    }
}

fn letters(mut bits: u128, count: usize) -> String {
    let mut text = vec!['a'; count];
    for slot in text.iter_mut().rev() {
        *slot = char::from(RECOVERY_ALPHABET[(bits & 31) as usize]);
        bits >>= 5;
    }
    text.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_recovery_key_survives_being_typed(bytes: [u8; 16]) {
            let key = RecoveryKey(bytes);
            let typed = key.to_text().to_uppercase().replace('-', " ");
            prop_assert!(RecoveryKey::parse(&typed).unwrap() == key);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}") {
            let _ = RecoveryKey::parse(&text);
        }
    }

    #[test]
    fn a_mistyped_recovery_key_is_found() {
        let text = RecoveryKey([7; 16]).to_text();
        assert_eq!(text.len(), 35);
        let typed = |at: usize| text[at..=at].chars().next().unwrap();
        for at in (0..text.len()).filter(|at| typed(*at) != '-') {
            let other = if typed(at) == 'b' { "c" } else { "b" };
            let wrong = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert!(RecoveryKey::parse(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_sealed_opens_only_unchanged_and_about_the_same() {
        let keys = MasterKey::generate().unwrap().derive();
        let sealed = keys.seal_whole("manifest", b"one", b"text").unwrap();
        assert_eq!(keys.open_whole("manifest", b"one", &sealed).unwrap(), b"text");
        assert!(keys.open_whole("manifest", b"two", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(keys.open_whole("manifest", b"one", &changed).is_none());
        }
    }
}
