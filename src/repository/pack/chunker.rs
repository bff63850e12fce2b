//! Cuts large files where their content says, so that an insertion moves no cut but the next.
//!
//! FastCDC (Xia et al., 2020) with a table of the repository's own: with the public table, the lengths of the pieces tell
//! an observer which known file they come from (eprint 2025/532).

use fastcdc::v2020::{MASKS, cut_gear};

/// A file up to that many bytes is one piece.
pub const WHOLE_MAX: u64 = 512 << 10;
/// A file up to that many bytes goes into a bundle with others.
pub const BUNDLED_MAX: usize = 16 << 10;
/// The longest piece in bytes.
pub const PIECE_MAX: usize = 4 << 20;
const PIECE_MIN: usize = 256 << 10;
const PIECE_AVERAGE: usize = 1 << 20;
/// The masks for 2^20 on average, one bit stricter before it and one bit laxer after it (normalisation level 1).
const STRICT: u64 = MASKS[21];
const LAX: u64 = MASKS[19];

/// Cuts by the table of one repository.
pub struct Chunker {
    gear: Vec<u64>,
    gear_shifted: Vec<u64>,
}

impl Chunker {
    /// Makes the table of the repository's key.
    pub fn new(key: &[u8; 32]) -> Self {
        let mut bytes = vec![0; 256 * 8];
        blake3::Hasher::new_keyed(key).finalize_xof().fill(&mut bytes);
        let number = |eight: &[u8]| eight.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let gear: Vec<u64> = bytes.chunks_exact(8).map(number).collect();
        let gear_shifted = gear.iter().map(|number| number << 1).collect();
        Self { gear, gear_shifted }
    }

    /// Returns the length of the first piece of `bytes`, which must be at least `PIECE_MAX` long or reach the end of the file.
    pub fn cut(&self, bytes: &[u8]) -> usize {
        let (_, length) = cut_gear(
            bytes,
            PIECE_MIN,
            PIECE_AVERAGE,
            PIECE_MAX,
            STRICT,
            LAX,
            STRICT << 1,
            LAX << 1,
            &self.gear,
            &self.gear_shifted,
        );
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize, seed: u8) -> Vec<u8> {
        let mut bytes = vec![0; count];
        blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn pieces(chunker: &Chunker, mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(chunker.cut(bytes));
            found.push(piece.to_vec());
            bytes = rest;
        }
        found
    }

    #[test]
    fn pieces_keep_their_bounds_and_make_the_whole() {
        let chunker = Chunker::new(&[1; 32]);
        let bytes = noise(24 << 20, 9);
        let found = pieces(&chunker, &bytes);
        assert_eq!(found.concat(), bytes);
        let (last, others) = found.split_last().unwrap();
        assert!(others.iter().all(|piece| (PIECE_MIN..=PIECE_MAX).contains(&piece.len())) && last.len() <= PIECE_MAX);
        assert!((12..=48).contains(&found.len()), "{} pieces of 24 MiB", found.len());
    }

    #[test]
    fn an_insertion_moves_only_the_next_cuts() {
        let chunker = Chunker::new(&[1; 32]);
        let bytes = noise(24 << 20, 9);
        let mut changed = bytes.clone();
        changed.splice(5_000_000..5_000_000, *b"inserted");
        let (before, after) = (pieces(&chunker, &bytes), pieces(&chunker, &changed));
        let same = after.iter().filter(|piece| before.contains(piece)).count();
        assert!(same + 3 >= after.len(), "{same} of {}", after.len());
    }

    #[test]
    fn another_key_cuts_elsewhere() {
        let bytes = noise(8 << 20, 9);
        let lengths = |key| pieces(&Chunker::new(&[key; 32]), &bytes).iter().map(Vec::len).collect::<Vec<_>>();
        assert_ne!(lengths(1), lengths(2));
    }
}
