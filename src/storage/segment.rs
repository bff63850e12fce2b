//! Segments: the bodies of an old stretch of the log, packed together with zstd.
//!
//! Nothing is deleted: a body moves into a segment, its commitment stays with the event, and the tree does not change.
//! Layout: docs/formats/log.md.

use std::collections::BTreeMap;

use rusqlite::Connection;
use rusqlite::types::Type;

use super::merkle::{Hash, sha256};
use crate::types::Position;

const LEVEL: i32 = 9;
/// Is the most a segment may unpack to: 8,192 events of the largest size would be more than anybody holds in memory.
const UNPACKED_LIMIT: usize = 1 << 30;

/// Is the bodies of a segment by position.
pub(super) type Bodies = BTreeMap<u64, Vec<u8>>;

/// Says that a segment lacks an event.
#[derive(Debug, thiserror::Error)]
#[error("segment {segment} does not hold the body of event {position}")]
pub(super) struct Missing {
    pub(super) segment: i64,
    pub(super) position: Position,
}

/// Says why a segment cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum SegmentError {
    #[error("segment {segment} has another hash: it was altered")]
    Altered { segment: i64 },
    #[error("the segment cannot be unpacked: {reason}")]
    Malformed { reason: String },
}

/// Packs bodies: position (8 bytes), length (4 bytes), body, one after the other, as one zstd frame.
pub(super) fn pack(bodies: &Bodies) -> std::io::Result<(Hash, Vec<u8>)> {
    let mut plain = Vec::new();
    for (position, body) in bodies {
        plain.extend_from_slice(&position.to_be_bytes());
        plain.extend_from_slice(&(body.len() as u32).to_be_bytes());
        plain.extend_from_slice(body);
    }
    Ok((sha256(&plain), zstd::bulk::compress(&plain, LEVEL)?))
}

/// Unpacks a segment and returns the hash over its plain bytes with them.
pub(super) fn unpack(data: &[u8]) -> Result<(Hash, Bodies), SegmentError> {
    let malformed = |reason: &str| SegmentError::Malformed { reason: reason.to_owned() };
    let plain = zstd::bulk::Decompressor::upper_bound(data).unwrap_or(0).min(UNPACKED_LIMIT);
    let plain = zstd::bulk::decompress(data, plain).map_err(|error| malformed(&error.to_string()))?;
    let (mut bodies, mut rest) = (Bodies::new(), plain.as_slice());
    while let Some((position, tail)) = rest.split_first_chunk::<8>() {
        let (length, tail) = tail.split_first_chunk::<4>().ok_or_else(|| malformed("a length is cut off"))?;
        let length = u32::from_be_bytes(*length) as usize;
        let (body, tail) = tail.split_at_checked(length).ok_or_else(|| malformed("a body is cut off"))?;
        bodies.insert(u64::from_be_bytes(*position), body.to_vec());
        rest = tail;
    }
    if rest.is_empty() { Ok((sha256(&plain), bodies)) } else { Err(malformed("a position is cut off")) }
}

/// Reads and checks the segment of that number.
pub(super) fn load(connection: &Connection, id: i64) -> rusqlite::Result<Bodies> {
    let sql = "SELECT sha256, data FROM segments WHERE id = ?1";
    let (hash, data): (Hash, Vec<u8>) =
        connection.prepare_cached(sql)?.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let failed = |error: SegmentError| rusqlite::Error::FromSqlConversionFailure(1, Type::Blob, Box::new(error));
    let (found, bodies) = unpack(&data).map_err(failed)?;
    if found == hash { Ok(bodies) } else { Err(failed(SegmentError::Altered { segment: id })) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bodies_survive_a_segment(bodies in prop::collection::btree_map(1_u64..1_000_000, prop::collection::vec(any::<u8>(), 0..300), 0..50)) {
            let (hash, data) = pack(&bodies).unwrap();
            let (found, unpacked) = unpack(&data).unwrap();
            prop_assert_eq!((found, unpacked), (hash, bodies));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack(&bytes);
            let _ = zstd::bulk::compress(&bytes, 1).map(|packed| unpack(&packed));
        }
    }
}
