//! Puts contents into a store: names them, skips what is there, bundles what is small, compresses, seals packs.
//!
//! One writer belongs to one backup. What it put counts as there for others only once its pack is sealed and has its
//! name, so that a backup that is given up takes nothing from another.

use std::collections::HashSet;

use super::catalogue::{ChunkId, ChunkReference};
use super::error::Result;
use super::pack::{BlobKind, Member, OpenPack, PACK_TARGET};
use super::store::Repository;
use crate::repository::pack::bundle::Bundle;
use crate::repository::pack::chunker::BUNDLED_MAX;
use crate::repository::pack::compress::{Deflated, Press};

/// Says what a piece is while it is compressed.
struct Name {
    kind: BlobKind,
    id: ChunkId,
    members: Vec<Member>,
}

/// Puts contents into one store.
pub struct Writer {
    repository: Repository,
    press: Press<Name>,
    pack: Option<OpenPack>,
    bundle: Bundle,
    pending: HashSet<ChunkId>,
    /// The bytes of contents that were not there before.
    pub new_bytes: u64,
    /// The bytes that sealing them added to the store.
    pub stored_bytes: u64,
}

impl Writer {
    /// Begins with nothing put.
    pub fn new(repository: Repository) -> Self {
        Self {
            repository,
            press: Press::new(),
            pack: None,
            bundle: Bundle::default(),
            pending: HashSet::new(),
            new_bytes: 0,
            stored_bytes: 0,
        }
    }

    /// Puts a piece of a file.
    ///
    /// # Errors
    /// What the store says.
    pub fn put(&mut self, content: &[u8]) -> Result<ChunkReference> {
        self.put_as(BlobKind::Data, content)
    }

    /// Puts a block of a catalogue.
    ///
    /// # Errors
    /// What the store says.
    pub fn put_catalogue(&mut self, block: &[u8]) -> Result<ChunkReference> {
        self.put_as(BlobKind::Catalogue, block)
    }

    fn put_as(&mut self, kind: BlobKind, content: &[u8]) -> Result<ChunkReference> {
        let id = self.repository.content_id(content);
        let reference = ChunkReference { id, length: content.len() as u32 };
        if self.repository.contains(&id) || !self.pending.insert(id) {
            return Ok(reference);
        }
        self.new_bytes += content.len() as u64;
        if kind == BlobKind::Data && content.len() <= BUNDLED_MAX {
            self.bundle.push(id, content);
            if self.bundle.is_full() {
                self.seal_bundle()?;
            }
        } else {
            let member = Member { id, inside: 0, length: reference.length };
            self.compress(Name { kind, id, members: vec![member] }, content.to_vec())?;
        }
        Ok(reference)
    }

    fn seal_bundle(&mut self) -> Result<()> {
        let Some((bytes, members)) = self.bundle.take() else { return Ok(()) };
        let id = self.repository.content_id(&bytes);
        self.compress(Name { kind: BlobKind::Bundle, id, members }, bytes)
    }

    fn compress(&mut self, name: Name, raw: Vec<u8>) -> Result<()> {
        self.press.push(name, raw);
        while let Some((name, piece)) = self.press.pop_if_full()? {
            self.seal(name, piece)?;
        }
        Ok(())
    }

    fn seal(&mut self, name: Name, piece: Deflated) -> Result<()> {
        let pack = match &mut self.pack {
            Some(pack) => pack,
            none => none.insert(self.repository.begin_pack()?),
        };
        self.stored_bytes += pack.append(name.kind, name.id, piece, name.members)?;
        if pack.length() >= PACK_TARGET {
            self.seal_pack()?;
        }
        Ok(())
    }

    fn seal_pack(&mut self) -> Result<()> {
        let Some(pack) = self.pack.take() else { return Ok(()) };
        let sealed = self.repository.finish_pack(pack)?;
        for member in sealed.blobs.iter().flat_map(|blob| &blob.members) {
            self.pending.remove(&member.id);
        }
        Ok(())
    }

    /// Makes everything that was put durable and visible.
    ///
    /// # Errors
    /// What the store says.
    pub fn flush(&mut self) -> Result<()> {
        self.seal_bundle()?;
        while let Some((name, piece)) = self.press.pop()? {
            self.seal(name, piece)?;
        }
        self.seal_pack()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(pack) = &self.pack {
            self.repository.discard_pack(pack);
        }
    }
}
