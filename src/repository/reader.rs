//! Gets contents out of a store, each checked against its id before anyone sees it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::catalogue::{Blocks, ChunkReference};
use super::error::{Error, Result};
use super::index::Location;
use super::store::Repository;

/// How many inflated pieces are kept, so that the files of one bundle cost one opening.
const KEPT: usize = 24;
/// A piece longer than that is not kept.
const KEPT_LENGTH: usize = 512 << 10;

type Place = (u32, u32);

/// Gets contents out of one store.
pub struct Reader {
    repository: Repository,
    recent: Mutex<VecDeque<(Place, Arc<Vec<u8>>)>>,
}

impl Reader {
    /// Begins with nothing kept.
    pub fn new(repository: Repository) -> Self {
        Self { repository, recent: Mutex::new(VecDeque::new()) }
    }

    /// Returns a content. What is damaged in one pack may have been stored again in another.
    ///
    /// # Errors
    /// `Missing` if no pack has it, `Damaged` if it is not what was written.
    pub fn get(&self, wanted: &ChunkReference) -> Result<Vec<u8>> {
        let mut tried = None;
        loop {
            let (place, pack) = self.repository.find(&wanted.id)?;
            let read = self.read_at(wanted, place, &pack);
            let Err(Error::Damaged { .. }) = &read else { return read };
            if tried.replace(place) == Some(place) {
                return read; // it is whole nowhere
            }
            self.repository.lose(&pack, place.offset);
        }
    }

    fn read_at(&self, wanted: &ChunkReference, place: Location, pack: &str) -> Result<Vec<u8>> {
        let piece = self.piece((place.pack, place.offset), pack)?;
        let (start, end) = (place.inside as usize, place.inside as usize + place.length as usize);
        let content = piece.get(start..end).filter(|_| place.length == wanted.length);
        match content {
            Some(content) if self.repository.content_id(content) == wanted.id => Ok(content.to_vec()),
            _ => Err(Error::damaged(format!("pack {pack}"), format!("content {} is something else", wanted.id))),
        }
    }

    fn piece(&self, place: Place, pack: &str) -> Result<Arc<Vec<u8>>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, piece)) = recent.iter().find(|(known, _)| *known == place) {
            return Ok(piece.clone());
        }
        drop(recent);
        let (_, bytes) = self.repository.pack(pack)?.blob(place.1)?;
        let piece = Arc::new(bytes);
        if piece.len() <= KEPT_LENGTH {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.push_front((place, piece.clone()));
            recent.truncate(KEPT);
        }
        Ok(piece)
    }
}

impl Blocks for Reader {
    fn block(&self, chunk: &ChunkReference) -> Result<Vec<u8>> {
        self.get(chunk)
    }
}
