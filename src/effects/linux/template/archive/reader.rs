//! Reads a tar archive member by member: ustar, GNU and pax, with long names, attributes and sparse files.
//!
//! Nothing in an archive is believed: sizes are limits, names are bytes, and what is not understood is refused by name. The
//! `tar` crate reads the fields of a header; the rest is here, because binary attribute values and pax sparse files need it.

use std::borrow::Cow;
use std::io::{self, Read};

use tar::{EntryType, Header};

use crate::sys::fs::xattr::Xattr;
use crate::sys::fs::{Extent, Moment};

use super::pax::{self, Record};

const BLOCK: usize = 512;
/// The most bytes of headers that one member may have, with those meant for all; an attribute has at most 64 KiB.
const HEADER_MAX: u64 = 8 << 20;
/// The most pieces of a sparse file.
const EXTENTS_MAX: usize = 1 << 20;

/// Is what a member stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    /// A file of `size` bytes; `data` says where what follows in the archive belongs.
    File {
        size: u64,
        data: Vec<Extent>,
    },
    HardLink {
        target: Vec<u8>,
    },
    Symlink {
        target: Vec<u8>,
    },
    CharDevice {
        numbers: (u32, u32),
    },
    BlockDevice {
        numbers: (u32, u32),
    },
    Fifo,
}

/// Is one member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub name: Vec<u8>,
    pub kind: Kind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub modified: Moment,
    pub xattrs: Vec<Xattr>,
}

/// Reads the members of one archive in order.
pub(super) struct Reader<R> {
    input: R,
    global: Vec<Record>,
    /// Bytes of headers that are kept for all members, and of those for the next one.
    kept: u64,
    headers: u64,
    /// Bytes of the present member that were not read, and of its padding.
    left: u64,
    padding: u64,
    members: u64,
}

/// What precedes a member and says more about it.
#[derive(Default)]
struct Extra {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Vec<Record>,
}

impl Extra {
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.records.iter().rev().find(|(found, _)| found == key).map(|(_, value)| value.as_slice())
    }
}

fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

fn truncated(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends too early"),
        _ => error,
    }
}

impl<R: Read> Reader<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, global: Vec::new(), kept: 0, headers: 0, left: 0, padding: 0, members: 0 }
    }

    /// Goes on to the next member, over what was not read of the present one; nothing at the archive's end.
    pub(super) fn next(&mut self) -> io::Result<Option<Member>> {
        let mut extra = Extra { records: self.global.clone(), ..Extra::default() };
        self.headers = self.kept;
        loop {
            self.skip()?;
            let Some(block) = self.header()? else { return Ok(None) };
            let header = Header::from_byte_slice(&block);
            self.left = header.entry_size().map_err(|_| invalid("a member has an impossible size"))?;
            self.padding = self.left.wrapping_neg() % BLOCK as u64;
            match header.entry_type() {
                EntryType::XHeader => extra.records.extend(pax::records(&self.body()?).map_err(invalid)?),
                EntryType::XGlobalHeader => {
                    let records = pax::records(&self.body()?).map_err(invalid)?;
                    self.kept = self.headers;
                    extra.records.splice(0..0, records.iter().cloned());
                    self.global.extend(records);
                }
                EntryType::GNULongName => extra.name = Some(until_nul(self.body()?)),
                EntryType::GNULongLink => extra.link = Some(until_nul(self.body()?)),
                _ => return self.member(header, &extra).map(Some),
            }
        }
    }

    /// Reads the next bytes of the present member's data.
    pub(super) fn read_data(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.left = self.left.checked_sub(buffer.len() as u64).ok_or_else(|| invalid("a sparse map is too long"))?;
        self.input.read_exact(buffer).map_err(truncated)
    }

    fn skip(&mut self) -> io::Result<()> {
        let wanted = self.left.saturating_add(self.padding);
        let skipped = io::copy(&mut (&mut self.input).take(wanted), &mut io::sink())?;
        (self.left, self.padding) = (0, 0);
        if skipped < wanted { Err(truncated(io::ErrorKind::UnexpectedEof.into())) } else { Ok(()) }
    }

    fn block(&mut self) -> io::Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        self.input.read_exact(&mut block).map_err(truncated)?;
        Ok(block)
    }

    fn header(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let block = self.block().map_err(|error| match (error.kind(), self.members) {
            (io::ErrorKind::UnexpectedEof, 0) => invalid("this is no tar archive"),
            _ => error,
        })?;
        if block == [0; BLOCK] {
            // To the very end, so that a damaged or cut compressed stream is noticed.
            io::copy(&mut self.input, &mut io::sink())?;
            return Ok(None);
        }
        let blank = |at: usize| if (148..156).contains(&at) { b' ' } else { block[at] };
        let sum: u32 = (0..BLOCK).map(|at| u32::from(blank(at))).sum();
        if Header::from_byte_slice(&block).cksum().ok() != Some(sum) {
            let first = if self.members == 0 { "this is no tar archive" } else { "a header of the archive is damaged" };
            return Err(invalid(first));
        }
        self.members += 1;
        Ok(Some(block))
    }

    fn body(&mut self) -> io::Result<Vec<u8>> {
        self.headers = self.headers.saturating_add(self.left);
        if self.headers > HEADER_MAX {
            return Err(invalid("the headers of a member are larger than 8 MiB"));
        }
        let mut bytes = vec![0; self.left as usize];
        self.read_data(&mut bytes)?;
        Ok(bytes)
    }

    fn member(&mut self, header: &Header, extra: &Extra) -> io::Result<Member> {
        if let Some(size) = extra.get(b"size") {
            self.left = pax::number(size).ok_or_else(|| invalid("a member has an impossible size"))?;
            self.padding = self.left.wrapping_neg() % BLOCK as u64;
        }
        let long = extra.get(b"GNU.sparse.name").or_else(|| extra.get(b"path")).or(extra.name.as_deref());
        let name = long.map_or_else(|| header.path_bytes().into_owned(), <[u8]>::to_vec);
        let kind = self.kind(header, extra, &name)?;
        let owner = |key: &[u8], field: io::Result<u64>| {
            let number = extra.get(key).map_or_else(|| field.ok(), pax::number);
            // The last number means to chown(2) that nothing is to change.
            let id = number.and_then(|id| u32::try_from(id).ok()).filter(|id| *id != u32::MAX);
            id.ok_or_else(|| invalid("a member has an impossible owner"))
        };
        let seconds = || header.mtime().map(|seconds| Moment { seconds: seconds as i64, nanos: 0 });
        let modified = extra.get(b"mtime").map_or_else(|| seconds().ok(), pax::moment);
        let mut xattrs = Vec::new();
        for record in &extra.records {
            xattrs.extend(pax::xattr(record).map_err(invalid)?);
        }
        Ok(Member {
            mode: header.mode().map_err(|_| invalid("a member has an impossible mode"))? & 0o7777,
            uid: owner(b"uid", header.uid())?,
            gid: owner(b"gid", header.gid())?,
            modified: modified.ok_or_else(|| invalid("a member has an impossible time"))?,
            xattrs,
            name,
            kind,
        })
    }

    fn kind(&mut self, header: &Header, extra: &Extra, name: &[u8]) -> io::Result<Kind> {
        let link = || {
            let long = extra.get(b"linkpath").or(extra.link.as_deref()).map(<[u8]>::to_vec);
            let target = long.or_else(|| header.link_name_bytes().map(Cow::into_owned));
            target.ok_or_else(|| invalid("a link of the archive has no target"))
        };
        let numbers = || match (header.device_major(), header.device_minor()) {
            (Ok(Some(major)), Ok(Some(minor))) => Ok((major, minor)),
            _ => Err(invalid("a device of the archive has no numbers")),
        };
        Ok(match header.entry_type() {
            EntryType::Directory => Kind::Directory,
            // Before POSIX a directory was a file whose name ended with a slash.
            EntryType::Regular if name.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => self.file(extra)?,
            EntryType::GNUSparse => self.gnu_sparse(header)?,
            EntryType::Link => Kind::HardLink { target: link()? },
            EntryType::Symlink => Kind::Symlink { target: link()? },
            EntryType::Char => Kind::CharDevice { numbers: numbers()? },
            EntryType::Block => Kind::BlockDevice { numbers: numbers()? },
            EntryType::Fifo => Kind::Fifo,
            other => {
                let code = char::from(other.as_byte()).escape_default();
                return Err(invalid(format!("the archive has a member of the kind {code}, which is not supported")));
            }
        })
    }

    fn file(&mut self, extra: &Extra) -> io::Result<Kind> {
        let real = extra.get(b"GNU.sparse.realsize").or_else(|| extra.get(b"GNU.sparse.size"));
        let Some(real) = real else {
            return Ok(Kind::File { size: self.left, data: vec![Extent { offset: 0, length: self.left }] });
        };
        let size = pax::number(real).ok_or_else(|| invalid("a sparse file has an impossible size"))?;
        let data = match (extra.get(b"GNU.sparse.major"), extra.get(b"GNU.sparse.map")) {
            (Some(b"1"), _) => self.sparse_map_in_data()?,
            (None, Some(map)) => pax::sparse_map(map).ok_or_else(|| invalid("a sparse map cannot be read"))?,
            _ => return Err(invalid("the archive has a sparse file in a format that is not supported")),
        };
        self.checked(size, data)
    }

    /// Format 1.0: decimal numbers, one per line, in whole blocks before the data (GNU tar manual, "PAX 1").
    fn sparse_map_in_data(&mut self) -> io::Result<Vec<Extent>> {
        let mut text = Vec::new();
        let mut at = 0;
        let mut next = |reader: &mut Self| -> io::Result<u64> {
            loop {
                if let Some(length) = text[at..].iter().position(|byte| *byte == b'\n') {
                    let number = pax::number(&text[at..at + length]);
                    at += length + 1;
                    return number.ok_or_else(|| invalid("a sparse map cannot be read"));
                }
                let mut block = [0; BLOCK];
                reader.read_data(&mut block)?;
                text.extend_from_slice(&block);
                if text.len() > EXTENTS_MAX * 42 {
                    return Err(invalid("a sparse map has too many pieces"));
                }
            }
        };
        let count = next(self)?;
        let mut map = Vec::new();
        for _ in 0..count {
            map.push(Extent { offset: next(self)?, length: next(self)? });
        }
        Ok(map)
    }

    /// The old format: four pieces in the header, 21 in each block that follows.
    fn gnu_sparse(&mut self, header: &Header) -> io::Result<Kind> {
        let gnu = header.as_gnu().ok_or_else(|| invalid("a sparse file has no GNU header"))?;
        let size = gnu.real_size().map_err(|_| invalid("a sparse file has an impossible size"))?;
        let mut pieces: Vec<_> = gnu.sparse.iter().map(|piece| (piece.offset, piece.numbytes)).collect();
        let mut more = gnu.is_extended();
        while more {
            let block = self.block()?;
            let parts = block[..504].chunks_exact(24);
            pieces.extend(parts.map(|part| {
                let (mut offset, mut length) = ([0; 12], [0; 12]);
                offset.copy_from_slice(&part[..12]);
                length.copy_from_slice(&part[12..]);
                (offset, length)
            }));
            more = block[504] != 0;
            if pieces.len() > EXTENTS_MAX {
                return Err(invalid("a sparse map has too many pieces"));
            }
        }
        let used = pieces.into_iter().filter(|(offset, _)| offset[0] != 0);
        let data = used.map(|(offset, length)| {
            let (offset, length) = (field(&offset)?, field(&length)?);
            Some(Extent { offset, length })
        });
        let data = data.collect::<Option<Vec<_>>>().ok_or_else(|| invalid("a sparse map cannot be read"))?;
        self.checked(size, data)
    }

    fn checked(&self, size: u64, data: Vec<Extent>) -> io::Result<Kind> {
        let mut end = 0;
        let mut total: u64 = 0;
        for extent in &data {
            let stop = extent.offset.checked_add(extent.length).filter(|stop| *stop <= size && extent.offset >= end);
            end = stop.ok_or_else(|| invalid("a sparse map does not fit its file"))?;
            total += extent.length;
        }
        if total > self.left || size > i64::MAX as u64 {
            return Err(invalid("a sparse map does not fit its file"));
        }
        Ok(Kind::File { size, data })
    }
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

/// Reads a number field of a header: octal text, or binary behind a set top bit (GNU tar manual, "Extensions").
fn field(bytes: &[u8; 12]) -> Option<u64> {
    if bytes[0] & 0x80 != 0 {
        return Some(u64::from_be_bytes(bytes[4..].try_into().ok()?));
    }
    let text = std::str::from_utf8(bytes).ok()?.trim_matches(['\0', ' ']);
    u64::from_str_radix(text, 8).ok()
}
