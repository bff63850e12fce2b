//! Packs: files of up to some 64 MiB that hold sealed pieces and say themselves what is in them.
//!
//! ```text
//! pack    = "BERTHPK1" · store id (16) · salt (32) · zero (8) · blob… · footer blob · footer offset (u64) · "PEND"
//! blob    = "BLOB" · kind (u8) · coding (u8) · zero (2) · number (u32) · raw length (u32) · sealed length (u32) · id (32)
//!         · sealed bytes, 16 of them the tag; the blob's header is authenticated with them
//! footer  = count · (kind · offset · sealed length · raw length · count · (id (32) · offset inside · length)…)…
//! ```
//! Integers are little endian, those of the footer LEB128. A pack's name is the BLAKE3 hash of its bytes, so anyone can
//! check it without the key. The key comes from the salt; numbers are the nonces. A pack is never opened for sealing again.

pub(super) mod bundle;
pub(super) mod chunker;
pub(super) mod compress;
pub(super) mod index;

use super::catalogue::{ChunkId, Malformed, Reader, put_number};
use super::error::{Error, Result};
use super::keys::{Keys, SALT_LENGTH, Seal, TAG_LENGTH, random};
use super::medium::{Medium, MediumFile};
use compress::{Compressor, Deflated, inflate};

/// A pack that has that many bytes gets no further piece.
pub const PACK_TARGET: u64 = 64 << 20;
/// No pack is longer than that: one piece may pass the target.
pub const PACK_MAX: u64 = PACK_TARGET + (256 << 20);
const HEADER_LENGTH: usize = 64;
/// The length of what stands before each sealed piece.
pub const BLOB_HEADER: usize = 52;
const TRAILER_LENGTH: usize = 12;
const MAGIC: &[u8; 8] = b"BERTHPK1";
const BLOB_MAGIC: &[u8; 4] = b"BLOB";
const END_MAGIC: &[u8; 4] = b"PEND";
const RAW: u8 = 0;
const ZSTD: u8 = 1;

/// Is what a sealed piece holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobKind {
    /// A piece of one file.
    Data,
    /// Many small files.
    Bundle,
    /// A block of a catalogue, or a list of blocks.
    Catalogue,
    /// What the pack holds.
    Footer,
}

impl BlobKind {
    const fn number(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Bundle => 2,
            Self::Catalogue => 3,
            Self::Footer => 4,
        }
    }

    fn from_number(number: u8) -> std::result::Result<Self, Malformed> {
        Ok(match number {
            1 => Self::Data,
            2 => Self::Bundle,
            3 => Self::Catalogue,
            4 => Self::Footer,
            _ => return Err(Malformed("the kind of a piece is unknown")),
        })
    }
}

/// Is one content inside a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: ChunkId,
    /// Where it begins in the inflated piece.
    pub inside: u32,
    /// Its length in bytes.
    pub length: u32,
}

/// Is what the footer says of one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// What it holds.
    pub kind: BlobKind,
    /// Where its header begins in the pack.
    pub offset: u32,
    /// How many sealed bytes follow the header.
    pub sealed: u32,
    /// How many bytes it has once inflated.
    pub raw: u32,
    /// The contents in it.
    pub members: Vec<Member>,
}

/// Is a pack that is complete and has its final name.
#[derive(Debug)]
pub struct SealedPack {
    /// The hash of its bytes, in hexadecimal.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// What is in it.
    pub blobs: Vec<Blob>,
}

/// Returns where a pack is kept.
pub fn pack_path(name: &str) -> String {
    format!("packs/{}/{name}", name.get(..2).unwrap_or("xx"))
}

/// Is the state of a pack between two pieces; its file has a temporary name.
pub struct OpenPack {
    path: String,
    file: Box<dyn MediumFile>,
    hasher: blake3::Hasher,
    seal: Seal,
    length: u64,
    blobs: Vec<Blob>,
}

impl OpenPack {
    /// Begins a pack with a fresh salt, and so a fresh key.
    ///
    /// # Errors
    /// What the store says.
    pub fn begin(medium: &dyn Medium, keys: &Keys, store: &[u8; 16]) -> Result<Self> {
        let path = format!("tmp/pack-{:032x}", u128::from_le_bytes(random()?));
        let salt = random::<SALT_LENGTH>()?;
        let file = medium.create(&path).map_err(Error::store("create", &path))?;
        let seal = keys.pack(&salt);
        let mut pack = Self { path, file, hasher: blake3::Hasher::new(), seal, length: 0, blobs: Vec::new() };
        let header = [MAGIC.as_slice(), store, &salt, &[0; 8]].concat();
        pack.write(&header)?;
        Ok(pack)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write(bytes).map_err(Error::store("write", &self.path))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Returns how long the pack is so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Seals one piece; `id` names its inflated bytes, `members` the contents in it.
    ///
    /// # Errors
    /// What the store says.
    pub fn append(&mut self, kind: BlobKind, id: ChunkId, piece: Deflated, members: Vec<Member>) -> Result<u64> {
        let offset = self.length as u32;
        let Deflated { mut bytes, length, is_small } = piece;
        let (raw, sealed) = (length as u32, (bytes.len() + TAG_LENGTH) as u32);
        let number = self.blobs.len() as u32;
        let coding = if is_small { ZSTD } else { RAW };
        let header = BlobHeader { kind, coding, number, raw, sealed, id }.encode();
        self.seal.seal(number, &header, &mut bytes)?;
        self.write(&header)?;
        self.write(&bytes)?;
        self.blobs.push(Blob { kind, offset, sealed, raw, members });
        Ok((BLOB_HEADER + bytes.len()) as u64)
    }

    /// Ends the pack: footer, durable bytes, final name, durable name.
    ///
    /// # Errors
    /// What the store says.
    pub fn finish(mut self, medium: &dyn Medium) -> Result<SealedPack> {
        let footer = Compressor::new().deflate(encode_footer(&self.blobs));
        let offset = self.length;
        self.append(BlobKind::Footer, ChunkId([0; 32]), footer, Vec::new())?;
        self.blobs.pop();
        self.write(&offset.to_le_bytes())?;
        self.write(END_MAGIC)?;
        self.file.sync().map_err(Error::store("sync", &self.path))?;
        let name = self.hasher.finalize().to_hex().to_string();
        let path = pack_path(&name);
        let directory = path[..8].to_owned();
        medium.make_directory(&directory).map_err(Error::store("create", &directory))?;
        medium.rename(&self.path, &path).map_err(Error::store("rename", &self.path))?;
        medium.sync_directory(&directory).map_err(Error::store("sync", &directory))?;
        medium.sync_directory("packs").map_err(Error::store("sync", "packs"))?;
        Ok(SealedPack { name, bytes: self.length, blobs: self.blobs })
    }

    /// Returns the temporary name, to remove the file of a pack that is given up.
    pub fn temporary_path(&self) -> &str {
        &self.path
    }
}

struct BlobHeader {
    kind: BlobKind,
    coding: u8,
    number: u32,
    raw: u32,
    sealed: u32,
    id: ChunkId,
}

impl BlobHeader {
    fn encode(&self) -> [u8; BLOB_HEADER] {
        let mut out = [0; BLOB_HEADER];
        out[..4].copy_from_slice(BLOB_MAGIC);
        out[4] = self.kind.number();
        out[5] = self.coding;
        out[8..12].copy_from_slice(&self.number.to_le_bytes());
        out[12..16].copy_from_slice(&self.raw.to_le_bytes());
        out[16..20].copy_from_slice(&self.sealed.to_le_bytes());
        out[20..].copy_from_slice(&self.id.0);
        out
    }

    fn decode(bytes: &[u8]) -> std::result::Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if &reader.array::<4>()? != BLOB_MAGIC {
            return Err(Malformed("no piece begins here"));
        }
        let kind = BlobKind::from_number(reader.byte()?)?;
        let coding = reader.byte()?;
        if coding > ZSTD || reader.array::<2>()? != [0; 2] {
            return Err(Malformed("the coding of a piece is unknown"));
        }
        let (number, raw) = (u32::from_le_bytes(reader.array()?), u32::from_le_bytes(reader.array()?));
        let sealed = u32::from_le_bytes(reader.array()?);
        if u64::from(raw) > PACK_MAX || u64::from(sealed) > PACK_MAX || (sealed as usize) < TAG_LENGTH {
            return Err(Malformed("the length of a piece is not possible"));
        }
        Ok(Self { kind, coding, number, raw, sealed, id: ChunkId(reader.array()?) })
    }
}

fn encode_footer(blobs: &[Blob]) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, blobs.len() as u64);
    for blob in blobs {
        out.push(blob.kind.number());
        for number in [blob.offset, blob.sealed, blob.raw, blob.members.len() as u32] {
            put_number(&mut out, number.into());
        }
        for member in &blob.members {
            out.extend_from_slice(&member.id.0);
            put_number(&mut out, member.inside.into());
            put_number(&mut out, member.length.into());
        }
    }
    out
}

fn decode_footer(bytes: &[u8]) -> std::result::Result<Vec<Blob>, Malformed> {
    let mut reader = Reader::new(bytes);
    let count = reader.count(5)?;
    let mut blobs = Vec::with_capacity(count);
    for _ in 0..count {
        let kind = BlobKind::from_number(reader.byte()?)?;
        let (offset, sealed, raw) = (reader.number_32()?, reader.number_32()?, reader.number_32()?);
        let members = (0..reader.count(34)?).map(|_| member(&mut reader)).collect::<std::result::Result<_, _>>()?;
        blobs.push(Blob { kind, offset, sealed, raw, members });
    }
    if reader.is_empty() { Ok(blobs) } else { Err(Malformed("something follows the end")) }
}

fn member(reader: &mut Reader<'_>) -> std::result::Result<Member, Malformed> {
    Ok(Member { id: ChunkId(reader.array()?), inside: reader.number_32()?, length: reader.number_32()? })
}

/// Reads one pack.
pub struct PackReader<'a> {
    medium: &'a dyn Medium,
    name: String,
    path: String,
    seal: Seal,
}

impl<'a> PackReader<'a> {
    /// Opens a pack.
    ///
    /// # Errors
    /// `Damaged` if it does not begin like a pack of this store; what the store says.
    pub fn open(medium: &'a dyn Medium, keys: &Keys, store: &[u8; 16], name: &str) -> Result<Self> {
        let path = pack_path(name);
        let header = read(medium, &path, name, 0, HEADER_LENGTH)?;
        let salt = check_header(&header, store).map_err(|reason| damaged(name, reason))?;
        Ok(Self { medium, name: name.to_owned(), path, seal: keys.pack(&salt) })
    }

    /// Reads the footer.
    ///
    /// # Errors
    /// `Damaged` if it is not what was written; what the store says.
    pub fn footer(&self) -> Result<(Vec<Blob>, u64)> {
        let length = self.medium.length(&self.path).map_err(Error::store("look at", &self.path))?;
        let start = length.checked_sub(TRAILER_LENGTH as u64);
        let start = start.ok_or_else(|| damaged(&self.name, Malformed("it is too short")))?;
        let trailer = read(self.medium, &self.path, &self.name, start, TRAILER_LENGTH)?;
        let offset = trailer_offset(&trailer, length).map_err(|reason| damaged(&self.name, reason))?;
        let (kind, bytes) = self.blob(offset as u32)?;
        if kind != BlobKind::Footer {
            return Err(damaged(&self.name, Malformed("its footer is something else")));
        }
        let blobs = decode_footer(&bytes).map_err(|reason| damaged(&self.name, reason))?;
        Ok((blobs, length))
    }

    /// Reads, opens and inflates the piece at `offset`.
    ///
    /// # Errors
    /// `Damaged` if it is not what was written; what the store says.
    pub fn blob(&self, offset: u32) -> Result<(BlobKind, Vec<u8>)> {
        let header_bytes = read(self.medium, &self.path, &self.name, offset.into(), BLOB_HEADER)?;
        let header = BlobHeader::decode(&header_bytes).map_err(|reason| damaged(&self.name, reason))?;
        let start = u64::from(offset) + BLOB_HEADER as u64;
        let sealed = read(self.medium, &self.path, &self.name, start, header.sealed as usize)?;
        open_blob(&self.seal, &header, &header_bytes, sealed).map_err(|reason| damaged(&self.name, reason))
    }
}

type Opened = std::result::Result<(BlobKind, Vec<u8>), Malformed>;

fn open_blob(seal: &Seal, header: &BlobHeader, header_bytes: &[u8], mut bytes: Vec<u8>) -> Opened {
    if !seal.open(header.number, header_bytes, &mut bytes) {
        return Err(Malformed("a piece is not what was sealed"));
    }
    if header.coding == ZSTD {
        bytes = inflate(&bytes, header.raw as usize).ok_or(Malformed("a piece does not inflate"))?;
    }
    if bytes.len() == header.raw as usize {
        Ok((header.kind, bytes))
    } else {
        Err(Malformed("a piece has a wrong length"))
    }
}

/// Checks a whole pack without its key: the hash that is its name, and that one piece follows the other.
///
/// # Errors
/// What does not fit.
pub fn check_structure(bytes: &[u8], name: &str, store: &[u8; 16]) -> std::result::Result<(), Malformed> {
    if blake3::hash(bytes).to_hex().as_str() != name {
        return Err(Malformed("its bytes are not those of its name"));
    }
    check_header(bytes, store)?;
    let trailer = bytes.len().checked_sub(TRAILER_LENGTH).ok_or(Malformed("it is too short"))?;
    let footer = trailer_offset(&bytes[trailer..], bytes.len() as u64)? as usize;
    let mut at = HEADER_LENGTH;
    while at < trailer {
        let header = BlobHeader::decode(&bytes[at..trailer])?;
        if (at == footer) != (header.kind == BlobKind::Footer) {
            return Err(Malformed("its footer is elsewhere"));
        }
        at += BLOB_HEADER + header.sealed as usize;
    }
    if at == trailer { Ok(()) } else { Err(Malformed("its last piece is cut off")) }
}

fn check_header(bytes: &[u8], store: &[u8; 16]) -> std::result::Result<[u8; SALT_LENGTH], Malformed> {
    let mut reader = Reader::new(bytes);
    if &reader.array::<8>()? != MAGIC {
        return Err(Malformed("it does not begin like a pack"));
    }
    if &reader.array::<16>()? != store {
        return Err(Malformed("it belongs to another store"));
    }
    let salt = reader.array()?;
    if reader.array::<8>()? == [0; 8] { Ok(salt) } else { Err(Malformed("its header has more than it should")) }
}

fn trailer_offset(trailer: &[u8], length: u64) -> std::result::Result<u64, Malformed> {
    let mut reader = Reader::new(trailer);
    let offset = u64::from_le_bytes(reader.array()?);
    if &reader.array::<4>()? != END_MAGIC {
        return Err(Malformed("its end is cut off"));
    }
    if offset < length && length <= PACK_MAX { Ok(offset) } else { Err(Malformed("its footer is not in it")) }
}

fn read(medium: &dyn Medium, path: &str, name: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
    medium.read(path, offset, length).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => damaged(name, Malformed("it is too short")),
        std::io::ErrorKind::NotFound => Error::Missing { what: format!("pack {name}") },
        _ => Error::store("read", path)(error),
    })
}

fn damaged(name: &str, reason: Malformed) -> Error {
    Error::damaged(format!("pack {name}"), reason.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(bytes: Vec<u8>) {
            let _ = decode_footer(&bytes);
            let _ = BlobHeader::decode(&bytes);
            let name = blake3::hash(&bytes).to_hex();
            let _ = check_structure(&bytes, name.as_str(), &[0; 16]);
        }

        #[test]
        fn a_footer_survives(ids in proptest::collection::vec((any::<[u8; 32]>(), any::<u32>()), 0..9)) {
            let members: Vec<Member> =
                ids.into_iter().map(|(id, number)| Member { id: ChunkId(id), inside: number, length: 5 }).collect();
            let blobs = vec![Blob { kind: BlobKind::Bundle, offset: 64, sealed: 99, raw: 300, members }];
            prop_assert_eq!(decode_footer(&encode_footer(&blobs)), Ok(blobs));
        }
    }
}
