//! A store: what lies in its directory, and the order in which things become durable. `opening` makes and opens it, `packs`
//! knows where content is, `documents` holds the manifests.
//!
//! ```text
//! config              JSON: format, store id, owner (node, epoch)
//! keys/node-ID        the master key under the node's store key; keys/recovery the same under the recovery key
//! packs/xx/NAME       packs, by the hash of their bytes
//! manifests/ID        one document per backup; templates/DIGEST one per template
//! fences/EPOCH        made exclusively by the owner of that epoch
//! tmp/                what is being written; swept when the store is opened for writing
//! ```
//! A pack gets its name once its bytes are durable, a manifest once all packs are: whatever moment the machine dies at,
//! only garbage is left, never half a backup. The one writer holds flock(2) on the directory; there is no lock file.

mod documents;
mod opening;
mod packs;

use std::sync::{Arc, Mutex, Weak};

use super::catalogue::ChunkId;
use super::error::{Error, Result};
use super::keys::Keys;
use super::medium::Medium;
use crate::repository::keys::owner::Config;
use crate::repository::pack::chunker::Chunker;
use crate::repository::pack::index::Index;
use crate::types::StoreId;

pub use opening::{Access, FORMAT, Purpose};

/// Is an open store; clones share it.
#[derive(Clone)]
pub struct Repository {
    inner: Arc<Inner>,
}

/// An open store, for as long as somebody else keeps it open.
#[derive(Clone)]
pub struct WeakRepository {
    inner: Weak<Inner>,
}

impl WeakRepository {
    /// Returns the store if it is still open.
    pub fn upgrade(&self) -> Option<Repository> {
        self.inner.upgrade().map(|inner| Repository { inner })
    }
}

struct Inner {
    medium: Box<dyn Medium>,
    config: Config,
    keys: Keys,
    chunker: Chunker,
    index: Mutex<Index>,
    access: Access,
    writable: bool,
}

impl Repository {
    /// Returns a handle that does not keep the store open.
    pub fn downgrade(&self) -> WeakRepository {
        WeakRepository { inner: Arc::downgrade(&self.inner) }
    }

    /// Returns the id of the store.
    pub fn id(&self) -> StoreId {
        self.inner.config.store
    }

    /// Returns where the store is, for people to read.
    pub fn place(&self) -> &str {
        &self.inner.access.place
    }

    /// Returns the bytes that are free for the store.
    ///
    /// # Errors
    /// What the place says.
    pub fn free_bytes(&self) -> Result<u64> {
        self.medium().free_bytes().map_err(Error::store("look at", self.place()))
    }

    pub(super) fn medium(&self) -> &dyn Medium {
        self.inner.medium.as_ref()
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    pub(super) fn store_bytes(&self) -> &[u8; 16] {
        self.inner.config.store.as_bytes()
    }

    pub(super) fn chunker(&self) -> &Chunker {
        &self.inner.chunker
    }

    pub(super) fn list(&self, directory: &str) -> Result<Vec<String>> {
        self.medium().list(directory).map_err(Error::store("list", &format!("{}/{directory}", self.place())))
    }

    /// Returns the id of a content.
    pub fn content_id(&self, content: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.inner.keys.content, content).as_bytes())
    }

    pub(super) fn require_writable(&self) -> Result<()> {
        let config = &self.inner.config;
        if self.inner.writable {
            return Ok(());
        }
        Err(Error::ReadOnly { owner: config.owner.to_string(), epoch: config.epoch })
    }
}

pub(super) fn missing(path: &str) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::Missing { what: path },
        _ => Error::store("read", &path)(error),
    }
}

/// Writes a file so that it is there whole or not at all.
pub(super) fn put(medium: &dyn Medium, path: &str, bytes: &[u8]) -> Result<()> {
    let temporary = format!("tmp/{}", path.replace('/', "-"));
    let _ = medium.remove(&temporary); // Of an attempt that failed; the writer is alone.
    let mut file = medium.create(&temporary).map_err(Error::store("create", &temporary))?;
    file.write(bytes).map_err(Error::store("write", &temporary))?;
    file.sync().map_err(Error::store("sync", &temporary))?;
    medium.rename(&temporary, path).map_err(Error::store("rename", path))?;
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    medium.sync_directory(directory).map_err(Error::store("sync", directory))
}
