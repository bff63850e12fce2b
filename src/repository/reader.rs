//! Gets contents out of a store, each checked against its id before anyone sees it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::catalogue::{Blocks, ChunkReference};
use super::error::{Error, Result};
use super::presence::judge;
use super::store::Repository;
use crate::repository::pack::index::Location;

/// How many inflated pieces are kept, so that the files of one bundle cost one opening.
const KEPT: usize = 24;
/// A piece longer than that is not kept.
const KEPT_LENGTH: usize = 512 << 10;

type Place = (u32, u32);
/// A piece of a pack, or the pack itself.
type Part = (u32, Option<u32>);

/// Gets contents out of one store.
pub struct Reader {
    repository: Repository,
    recent: Mutex<VecDeque<(Place, Arc<Vec<u8>>)>>,
    /// What cannot be read: each try may take a disk or a server minutes, and many contents lie in one piece.
    failed: Mutex<HashMap<Part, Error>>,
}

impl Reader {
    /// Begins with nothing kept.
    pub fn new(repository: Repository) -> Self {
        Self { repository, recent: Mutex::default(), failed: Mutex::default() }
    }

    /// Returns a content. What is damaged in one pack may have been stored again in another.
    ///
    /// # Errors
    /// `Missing` if no pack has it, `Damaged` if it is not what was written or cannot be read, `Vanished` if nothing of the
    /// store can.
    pub fn get(&self, wanted: &ChunkReference) -> Result<Vec<u8>> {
        let mut tried: Option<(Location, Error)> = None;
        loop {
            let (place, pack) = self.repository.find(&wanted.id)?;
            if let Some((_, error)) = tried.take_if(|(tried, _)| *tried == place) {
                return Err(error); // it is whole nowhere
            }
            match self.read_at(wanted, place, &pack) {
                Err(error @ Error::Damaged { .. }) => {
                    self.repository.lose(&pack, place.offset);
                    tried = Some((place, error));
                }
                read => return read,
            }
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
        let piece = Arc::new(self.read_piece(place, pack)?);
        if piece.len() <= KEPT_LENGTH {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.push_front((place, piece.clone()));
            recent.truncate(KEPT);
        }
        Ok(piece)
    }

    fn read_piece(&self, (number, offset): Place, pack: &str) -> Result<Vec<u8>> {
        let pack = self.once((number, None), || self.repository.pack(pack))?;
        Ok(self.once((number, Some(offset)), || pack.blob(offset))?.1)
    }

    /// Reads a part of the store, unless it could not be read before.
    fn once<T>(&self, part: Part, read: impl FnOnce() -> Result<T>) -> Result<T> {
        let failed = || self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = failed().get(&part).and_then(Error::again) {
            return Err(error);
        }
        read().map_err(|error| {
            let error = judge(self.repository.medium(), error);
            failed().extend(error.again().map(|error| (part, error)));
            error
        })
    }
}

impl Blocks for Reader {
    fn block(&self, chunk: &ChunkReference) -> Result<Vec<u8>> {
        self.get(chunk)
    }
}
