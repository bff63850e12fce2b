//! Reads the content of one file into a store: where it holds data, in pieces, and whether it kept still.

use std::io;

use super::catalogue::{ChunkReference, FileContent};
use super::error::{Error, Result};
use super::store::Repository;
use super::writer::Writer;
use crate::repository::pack::chunker::{PIECE_MAX, WHOLE_MAX};
use crate::sys::fs::{BorrowedFd, Extent, Metadata, extents, read_at, stat};

/// How much is read ahead of the cutter.
const WINDOW: usize = 2 * PIECE_MAX;

/// Says why a content is not in the store.
pub enum ReadError {
    /// The file cannot be read; the backup goes on without it.
    Source(io::Error),
    /// The store cannot take it, or the caller asked to stop; the backup ends.
    Fatal(Error),
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Source(error)
    }
}

/// Is a content that was read.
pub struct Stored {
    /// Where it is.
    pub content: FileContent,
    /// The file changed while it was read: what is stored may be of two moments.
    pub torn: bool,
}

/// Reads files into a store with buffers that are used again and again.
pub struct ContentReader {
    repository: Repository,
    buffer: Vec<u8>,
}

impl ContentReader {
    /// Begins with an empty buffer.
    pub fn new(repository: Repository) -> Self {
        Self { repository, buffer: Vec::new() }
    }

    /// Reads a file that `before` described; `alive` is asked after each piece whether to go on.
    ///
    /// # Errors
    /// What the file says, what the store says, or `Cancelled`.
    pub fn store(
        &mut self,
        writer: &mut Writer,
        file: BorrowedFd<'_>,
        before: &Metadata,
        alive: &mut dyn FnMut(u64) -> Result<()>,
    ) -> std::result::Result<Stored, ReadError> {
        let size = before.size;
        let map = if has_holes(before) { Some(extents(file, size)?) } else { None };
        let map = map.filter(|found| *found != [Extent { offset: 0, length: size }]);
        let wanted = map
            .clone()
            .unwrap_or_else(|| if size == 0 { Vec::new() } else { vec![Extent { offset: 0, length: size }] });
        let mut source = Source { file, extents: wanted, at: 0, read: 0, short: false };
        let chunks = self.cut(writer, &mut source, alive)?;
        let after = stat(file)?;
        let same = |m: &Metadata| (m.size, m.modified, m.changed);
        if source.short {
            // It was cut off while it was read: what is left is what a reader sees now.
            return Err(io::Error::new(io::ErrorKind::Interrupted, "it became shorter while it was read").into());
        }
        let content = FileContent { size, extents: map, chunks };
        Ok(Stored { content, torn: same(before) != same(&after) })
    }

    fn cut(
        &mut self,
        writer: &mut Writer,
        source: &mut Source<'_>,
        alive: &mut dyn FnMut(u64) -> Result<()>,
    ) -> std::result::Result<Vec<ChunkReference>, ReadError> {
        let mut chunks = Vec::new();
        let whole = source.length() <= WHOLE_MAX;
        self.buffer.clear();
        loop {
            let wanted = usize::try_from(source.length()).unwrap_or(WINDOW).min(WINDOW);
            let before = source.read;
            source.fill(&mut self.buffer, wanted)?;
            alive(source.read - before)?;
            if self.buffer.is_empty() {
                return Ok(chunks);
            }
            let mut used = 0;
            while used < self.buffer.len() && (source.is_done() || self.buffer.len() - used >= PIECE_MAX) {
                let rest = &self.buffer[used..];
                let length = if whole { rest.len() } else { self.repository.chunker().cut(rest) };
                chunks.push(writer.put(&rest[..length])?);
                used += length;
            }
            self.buffer.drain(..used);
        }
    }
}

/// Tells whether a file takes fewer blocks than its size needs, so that looking for holes is worth its calls.
fn has_holes(metadata: &Metadata) -> bool {
    metadata.blocks.saturating_mul(512) < metadata.size
}

/// Reads the extents of a file as one stream.
struct Source<'a> {
    file: BorrowedFd<'a>,
    extents: Vec<Extent>,
    at: usize,
    read: u64,
    short: bool,
}

impl Source<'_> {
    fn length(&self) -> u64 {
        self.extents.iter().map(|extent| extent.length).sum::<u64>() + self.read
    }

    fn is_done(&self) -> bool {
        self.short || self.at >= self.extents.len()
    }

    /// Fills `buffer` up to `wanted` bytes, or to the end.
    fn fill(&mut self, buffer: &mut Vec<u8>, wanted: usize) -> io::Result<()> {
        while buffer.len() < wanted && !self.is_done() {
            let extent = &mut self.extents[self.at];
            let count = usize::try_from(extent.length).unwrap_or(usize::MAX).min(wanted - buffer.len());
            let start = buffer.len();
            buffer.resize(start + count, 0);
            let got = read_at(self.file, &mut buffer[start..], extent.offset)?;
            buffer.truncate(start + got);
            self.read += got as u64;
            extent.offset += got as u64;
            extent.length -= got as u64;
            self.short = got < count;
            self.at += usize::from(extent.length == 0);
        }
        Ok(())
    }
}
