//! How large the file system in an image is, read from its superblock (kernel Documentation/filesystems/ext4/globals.rst).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const OFFSET: u64 = 1024;
const LENGTH: usize = 1024;
const MAGIC: u16 = 0xef53;
const INCOMPATIBLE_64BIT: u32 = 0x80;

/// Returns the bytes of the ext4 file system in an image; nothing if there is none.
pub(super) fn file_system_size(image: &Path) -> io::Result<Option<u64>> {
    let mut bytes = [0; LENGTH];
    match File::open(image)?.read_exact_at(&mut bytes, OFFSET) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        other => other.map(|()| size_in(&bytes)),
    }
}

fn size_in(bytes: &[u8; LENGTH]) -> Option<u64> {
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if u16::from_le_bytes([bytes[0x38], bytes[0x39]]) != MAGIC {
        return None;
    }
    let high = if word(0x60) & INCOMPATIBLE_64BIT == 0 { 0 } else { word(0x150) };
    let blocks = u64::from(word(0x4)) | (u64::from(high) << 32);
    let block = 1024_u64.checked_shl(word(0x18)).filter(|size| (1024..=65_536).contains(size))?;
    blocks.checked_mul(block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_superblock_makes_it_panic(seed in proptest::collection::vec(any::<u8>(), LENGTH)) {
            let mut bytes = [0; LENGTH];
            bytes.copy_from_slice(&seed);
            bytes[0x38..0x3a].copy_from_slice(&MAGIC.to_le_bytes());
            let _ = size_in(&bytes);
        }
    }
}
