//! Bytes to entries.
//!
//! Nothing is believed: lengths, order, names and sums are checked, so that damaged or forged bytes give an error and
//! neither a panic nor a path that leads elsewhere.

use crate::repository::id_map::Id;
use crate::sys::fs::{Extent, Moment};

use super::bytes::{Malformed, Reader};
use super::encode::{ATTRIBUTES, EXTRAS, HARD_LINK, RACY, VERSION};
use super::entry::{Attribute, ChunkId, ChunkReference, Entry, FileContent, Node, order};

/// Is what bytes stand for, or why they stand for nothing.
pub(super) type Decoded<T> = Result<T, Malformed>;

/// Decodes a block.
///
/// # Errors
/// If the bytes are no block, or one that no writer would have made.
pub fn decode_block(bytes: &[u8]) -> Decoded<Vec<Entry>> {
    let mut reader = Reader::new(bytes);
    check_version(&mut reader)?;
    let count = reader.count(12)?;
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..count {
        let before = entries.last().map(|entry| entry.path.as_slice());
        let decoded = entry(&mut reader, before)?;
        entries.push(decoded);
    }
    if reader.is_empty() { Ok(entries) } else { Err(Malformed("something follows the end")) }
}

pub(super) fn check_version(reader: &mut Reader<'_>) -> Decoded<()> {
    if reader.byte()? == VERSION { Ok(()) } else { Err(Malformed("its version is unknown")) }
}

fn entry(reader: &mut Reader<'_>, before: Option<&[u8]>) -> Decoded<Entry> {
    let path = path(reader, before)?;
    let tag = reader.byte()?;
    let mode = reader.number_32()?;
    if mode > 0o7777 {
        return Err(Malformed("a mode has more than the permission bits"));
    }
    let (owner, group) = (id(reader)?, id(reader)?);
    let (modified, changed) = (moment(reader)?, moment(reader)?);
    let (inode, links) = (reader.number()?, reader.number_32()?);
    let node = node(reader, tag & 0x0f)?;
    let hard_link = if tag & HARD_LINK == 0 { None } else { Some(checked_path(reader.bytes()?)?.to_vec()) };
    let (flags, project) = if tag & EXTRAS == 0 { (0, 0) } else { extras(reader)? };
    let attributes = if tag & ATTRIBUTES == 0 { Vec::new() } else { attributes(reader)? };
    let racy = tag & RACY != 0;
    Ok(Entry {
        path,
        node,
        mode,
        owner,
        group,
        modified,
        changed,
        inode,
        links,
        hard_link,
        attributes,
        flags,
        project,
        racy,
    })
}

fn path(reader: &mut Reader<'_>, before: Option<&[u8]>) -> Decoded<Vec<u8>> {
    let shared = usize::try_from(reader.number()?).map_err(|_| Malformed("a length is too large"))?;
    let mut path = before.unwrap_or_default().get(..shared).ok_or(Malformed("it shares more than there is"))?.to_vec();
    path.extend_from_slice(reader.bytes()?);
    checked_path(&path)?;
    match before {
        Some(before) if order(before, &path).is_ge() => Err(Malformed("the names are out of order")),
        _ => Ok(path),
    }
}

fn checked_path(path: &[u8]) -> Decoded<&[u8]> {
    let good =
        |name: &[u8]| !name.is_empty() && name != b"." && name != b".." && !name.contains(&0) && name.len() <= 255;
    if path.is_empty() || path.split(|byte| *byte == b'/').all(good) {
        Ok(path)
    } else {
        Err(Malformed("a name is not possible"))
    }
}

fn id(reader: &mut Reader<'_>) -> Decoded<Id> {
    let number = reader.number()?;
    let id = u32::try_from(number >> 1).map_err(|_| Malformed("an id is too large"))?;
    Ok(if number & 1 == 0 { Id::Inside(id) } else { Id::Outside(id) })
}

fn moment(reader: &mut Reader<'_>) -> Decoded<Moment> {
    let (seconds, nanos) = (reader.signed()?, reader.number_32()?);
    if nanos < 1_000_000_000 {
        Ok(Moment { seconds, nanos })
    } else {
        Err(Malformed("a second has too many nanoseconds"))
    }
}

fn extras(reader: &mut Reader<'_>) -> Decoded<(u32, u32)> {
    match (reader.number_32()?, reader.number_32()?) {
        (0, 0) => Err(Malformed("extras without any")),
        extras => Ok(extras),
    }
}

fn node(reader: &mut Reader<'_>, kind: u8) -> Decoded<Node> {
    Ok(match kind {
        0 => Node::Directory,
        1 => Node::File(content(reader)?),
        2 => Node::Symlink { target: reader.bytes()?.to_vec() },
        3 => Node::CharDevice { major: reader.number_32()?, minor: reader.number_32()? },
        4 => Node::BlockDevice { major: reader.number_32()?, minor: reader.number_32()? },
        5 => Node::Fifo,
        6 => Node::Socket,
        _ => return Err(Malformed("its kind is unknown")),
    })
}

fn content(reader: &mut Reader<'_>) -> Decoded<FileContent> {
    let size = reader.number()?;
    let extents = extents(reader, size)?;
    let count = reader.count(33)?;
    let chunks = (0..count).map(|_| chunk(reader)).collect::<Decoded<Vec<_>>>()?;
    let content = FileContent { size, extents, chunks };
    let sum: u64 = content.chunks.iter().map(|chunk| u64::from(chunk.length)).sum();
    if sum == content.data_length() { Ok(content) } else { Err(Malformed("the pieces of a file do not make its size")) }
}

fn extents(reader: &mut Reader<'_>, size: u64) -> Decoded<Option<Vec<Extent>>> {
    // Counted from one: 0 says that there are no holes.
    let Some(count) = reader.number()?.checked_sub(1) else { return Ok(None) };
    let mut found = Vec::new();
    let mut end = 0_u64;
    for _ in 0..count {
        let (gap, length) = (reader.number()?, reader.number()?);
        let offset = end.checked_add(gap).ok_or(Malformed("an extent is too far out"))?;
        end = offset
            .checked_add(length)
            .filter(|end| *end <= size)
            .ok_or(Malformed("an extent is longer than its file"))?;
        found.push(Extent { offset, length });
    }
    Ok(Some(found))
}

pub(super) fn chunk(reader: &mut Reader<'_>) -> Decoded<ChunkReference> {
    Ok(ChunkReference { id: ChunkId(reader.array()?), length: reader.number_32()? })
}

fn attributes(reader: &mut Reader<'_>) -> Decoded<Vec<Attribute>> {
    let count = reader.count(3)?;
    if count == 0 {
        return Err(Malformed("attributes without any"));
    }
    (0..count).map(|_| attribute(reader)).collect()
}

fn attribute(reader: &mut Reader<'_>) -> Decoded<Attribute> {
    let (name, value) = (reader.bytes()?.to_vec(), reader.bytes()?.to_vec());
    let count = reader.count(1)?;
    let outside = (0..count).map(|_| reader.number_32()).collect::<Decoded<_>>()?;
    Ok(Attribute { name, value, outside })
}

#[cfg(test)]
mod tests {
    use super::super::blocks::Catalogue;
    use super::super::encode::encode_block;
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn some_id() -> impl Strategy<Value = Id> {
        prop_oneof![any::<u32>().prop_map(Id::Inside), any::<u32>().prop_map(Id::Outside)]
    }

    fn some_moment() -> impl Strategy<Value = Moment> {
        (any::<i64>(), 0_u32..1_000_000_000).prop_map(|(seconds, nanos)| Moment { seconds, nanos })
    }

    fn some_chunks() -> impl Strategy<Value = Vec<ChunkReference>> {
        vec((any::<[u8; 32]>(), 0_u32..1_000_000), 0..4)
            .prop_map(|all| all.into_iter().map(|(id, length)| ChunkReference { id: ChunkId(id), length }).collect())
    }

    fn some_file() -> impl Strategy<Value = Node> {
        (some_chunks(), any::<bool>(), 0_u64..9_999, 0_u64..9_999).prop_map(|(chunks, sparse, before, after)| {
            let length: u64 = chunks.iter().map(|chunk| u64::from(chunk.length)).sum();
            let extents = sparse.then(|| vec![Extent { offset: before, length }]);
            let size = if sparse { before + length + after } else { length };
            Node::File(FileContent { size, extents, chunks })
        })
    }

    fn some_node() -> impl Strategy<Value = Node> {
        prop_oneof![
            Just(Node::Directory),
            some_file(),
            vec(any::<u8>(), 0..20).prop_map(|target| Node::Symlink { target }),
            any::<(u32, u32)>().prop_map(|(major, minor)| Node::CharDevice { major, minor }),
            any::<(u32, u32)>().prop_map(|(major, minor)| Node::BlockDevice { major, minor }),
            Just(Node::Fifo),
            Just(Node::Socket),
        ]
    }

    fn some_attributes() -> impl Strategy<Value = Vec<Attribute>> {
        vec((vec(any::<u8>(), 0..9), vec(any::<u8>(), 0..9), vec(any::<u32>(), 0..3)), 0..3)
            .prop_map(|all| all.into_iter().map(|(name, value, outside)| Attribute { name, value, outside }).collect())
    }

    fn some_entry() -> impl Strategy<Value = Entry> {
        let name = vec(prop_oneof![Just(b'a'), Just(0xff_u8), 1_u8..=46, 48_u8..=255], 3..6);
        let path = vec(name, 1..4).prop_map(|names| names.join(&b'/'));
        let ids = (some_id(), some_id(), some_moment(), some_moment());
        let numbers = (0_u32..0o10_000, any::<u64>(), any::<u32>(), any::<u32>(), any::<u32>(), any::<bool>());
        (path.clone(), some_node(), ids, numbers, proptest::option::of(path), some_attributes()).prop_map(
            |(
                path,
                node,
                (owner, group, modified, changed),
                (mode, inode, links, flags, project, racy),
                hard_link,
                attributes,
            )| Entry {
                path,
                node,
                mode,
                owner,
                group,
                modified,
                changed,
                inode,
                links,
                hard_link,
                attributes,
                flags,
                project,
                racy,
            },
        )
    }

    fn some_entries() -> impl Strategy<Value = Vec<Entry>> {
        vec(some_entry(), 0..40).prop_map(|mut entries| {
            entries.retain(|entry| !entry.path.split(|byte| *byte == b'/').any(|name| name == b"." || name == b".."));
            entries.sort_by(|left, right| order(&left.path, &right.path));
            entries.dedup_by(|left, right| left.path == right.path);
            entries
        })
    }

    proptest! {
        #[test]
        fn entries_survive(entries in some_entries()) {
            prop_assert_eq!(decode_block(&encode_block(&entries)), Ok(entries));
        }

        #[test]
        fn flipped_bytes_never_panic(entries in some_entries(), place: prop::sample::Index, bit in 0_u8..8) {
            let mut bytes = encode_block(&entries);
            let at = place.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let _ = decode_block(&bytes);
            let _ = Catalogue::decode_blocks(&bytes);
        }

        #[test]
        fn random_bytes_never_panic(mut bytes: Vec<u8>) {
            bytes.insert(0, VERSION);
            let _ = decode_block(&bytes);
            let _ = Catalogue::decode_blocks(&bytes);
        }
    }
}
