//! Random salts.

use ring::rand::{SecureRandom, SystemRandom};

use crate::storage::error::foreign;
use crate::storage::leaf::{SALT_LENGTH, Salt};

const SALTS_DRAWN: usize = 256;

/// Hands out random salts, drawn many at a time because each system call costs more than hashing an event.
pub(super) struct Salts {
    random: SystemRandom,
    drawn: Vec<u8>,
}

impl Salts {
    pub(super) fn new() -> Self {
        Self { random: SystemRandom::new(), drawn: Vec::new() }
    }

    pub(super) fn next(&mut self) -> Result<Salt, rusqlite::Error> {
        if self.drawn.len() < SALT_LENGTH {
            self.drawn.resize(SALTS_DRAWN * SALT_LENGTH, 0);
            let filled = self.random.fill(&mut self.drawn);
            filled.map_err(|_| foreign("the kernel gave no random bytes"))?;
        }
        let mut salt = Salt::default();
        salt.copy_from_slice(&self.drawn[self.drawn.len() - SALT_LENGTH..]);
        self.drawn.truncate(self.drawn.len() - SALT_LENGTH);
        Ok(salt)
    }
}
