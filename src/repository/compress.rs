//! Zstandard around every piece, and no more than it is worth.

use zstd::bulk;

/// The level of compression: three quarters of a first backup is this, and more buys little (measured).
const LEVEL: i32 = 3;
/// A piece that does not shrink by one part in that many is kept as it is.
const WORTH: usize = 32;

/// Compresses pieces with one context.
pub struct Compressor {
    context: Option<bulk::Compressor<'static>>,
}

impl Compressor {
    /// Makes a context; without one (no memory) pieces are kept as they are.
    pub fn new() -> Self {
        Self { context: bulk::Compressor::new(LEVEL).ok() }
    }

    /// Returns the compressed bytes; nothing if that is not worth it.
    pub fn deflate(&mut self, raw: &[u8]) -> Option<Vec<u8>> {
        let small = self.context.as_mut()?.compress(raw).ok()?;
        (small.len() + raw.len() / WORTH < raw.len()).then_some(small)
    }
}

impl Default for Compressor {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the `length` bytes that were compressed; nothing if they are not exactly as many.
pub fn inflate(small: &[u8], length: usize) -> Option<Vec<u8>> {
    bulk::decompress(small, length).ok().filter(|raw| raw.len() == length)
}
