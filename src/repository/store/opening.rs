//! How a store is made and opened: its directories, its owner, its keys.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::{Inner, Repository, missing, put};
use crate::repository::error::{Error, Result};
use crate::repository::keys::key_file;
use crate::repository::keys::owner::{Config, SMALL_MAX, claim, fence, put_config, read_config};
use crate::repository::keys::{MasterKey, RecoveryKey};
use crate::repository::medium::Medium;
use crate::repository::pack::chunker::Chunker;
use crate::repository::pack::index::Index;
use crate::types::{NodeId, StoreId};

/// The newest format this version reads and writes.
pub const FORMAT: u32 = 1;
const DIRECTORIES: [&str; 6] = ["keys", "packs", "manifests", "templates", "fences", "tmp"];

/// Says who opens a store and where this node keeps what belongs to it.
#[derive(Debug, Clone)]
pub struct Access {
    /// Where the store is, for people to read.
    pub place: String,
    /// The directory of this node's key files (0700, files 0600).
    pub key_directory: PathBuf,
    /// The directory of this node's caches.
    pub cache_directory: PathBuf,
    /// This node.
    pub node: NodeId,
    /// This node's epoch as owner; it never goes back.
    pub epoch: u64,
}

/// Says what a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Only to read; any number of processes may.
    Read,
    /// To read and write, as the owner.
    Write,
    /// To become the owner with a higher epoch; the former owner finds itself fenced.
    TakeOver,
}

impl Repository {
    /// Makes a store in an empty directory and returns it with the key that opens it when this node is lost.
    ///
    /// # Errors
    /// `Exists` if there is a store already; what the place says.
    pub fn create(medium: Box<dyn Medium>, store: StoreId, access: Access) -> Result<(Self, RecoveryKey)> {
        lock(medium.as_ref(), &access)?;
        if medium.list("").map_err(Error::store("list", &access.place))?.iter().any(|name| name == "config") {
            return Err(Error::Exists { what: format!("a backup store in {}", access.place) });
        }
        for directory in DIRECTORIES {
            medium.make_directory(directory).map_err(Error::store("create", directory))?;
        }
        let (master, recovery) = (MasterKey::generate()?, RecoveryKey::generate()?);
        // Both an attempt that died and this one may make the key file and the fence.
        let node_key = key_file::read_or_create(&access.key_directory, store)?;
        put(medium.as_ref(), &node_key_path(access.node), &master.wrap(&node_key, store.as_bytes())?)?;
        put(medium.as_ref(), "keys/recovery", &master.wrap(&recovery.wrapping_key(), store.as_bytes())?)?;
        let config = Config { format: FORMAT, store, owner: access.node, epoch: access.epoch };
        fence(medium.as_ref(), &config)?;
        put_config(medium.as_ref(), &config)?;
        Ok((Self::assemble(medium, config, &master, access, true)?, recovery))
    }

    /// Opens a store; with the recovery key also where this node has no key for it yet.
    ///
    /// # Errors
    /// `Newer`, `ReadOnly`, `Fenced`, `Locked`, `WrongKey`; what the place says.
    pub fn open(
        medium: Box<dyn Medium>,
        access: Access,
        purpose: Purpose,
        recovery: Option<&RecoveryKey>,
    ) -> Result<Self> {
        if purpose != Purpose::Read {
            lock(medium.as_ref(), &access)?;
        }
        let mut config = read_config(medium.as_ref())?;
        if purpose != Purpose::Read {
            config = claim(medium.as_ref(), config, &access, purpose)?;
        }
        let master = unlock(medium.as_ref(), &config, &access, purpose, recovery)?;
        let repository = Self::assemble(medium, config, &master, access, purpose != Purpose::Read)?;
        repository.sweep()?;
        Ok(repository)
    }

    fn assemble(
        medium: Box<dyn Medium>,
        config: Config,
        master: &MasterKey,
        access: Access,
        writable: bool,
    ) -> Result<Self> {
        let keys = master.derive();
        let index = if writable {
            Index::open(&access.cache_directory.join(format!("store-{}.index", config.store)))?
        } else {
            Index::in_memory()?
        };
        let chunker = Chunker::new(&keys.gear);
        let inner = Inner { medium, config, keys, chunker, index: Mutex::new(index), access, writable };
        let repository = Self { inner: Arc::new(inner) };
        repository.refresh()?;
        Ok(repository)
    }

    fn sweep(&self) -> Result<()> {
        if !self.inner.writable {
            return Ok(());
        }
        for name in self.list("tmp")? {
            let path = format!("tmp/{name}");
            self.medium().remove(&path).map_err(Error::store("remove", &path))?;
        }
        Ok(())
    }
}

fn lock(medium: &dyn Medium, access: &Access) -> Result<()> {
    if medium.lock().map_err(Error::store("lock", &access.place))? {
        return Ok(());
    }
    Err(Error::Locked { path: access.place.clone() })
}

fn node_key_path(node: NodeId) -> String {
    format!("keys/node-{node}")
}

fn unlock(
    medium: &dyn Medium,
    config: &Config,
    access: &Access,
    purpose: Purpose,
    recovery: Option<&RecoveryKey>,
) -> Result<MasterKey> {
    let wrong = || Error::WrongKey { store: config.store.to_string() };
    let about = config.store.as_bytes();
    let Some(recovery) = recovery else {
        let node_key = key_file::read(&access.key_directory, config.store)?;
        let path = node_key_path(access.node);
        let wrapped = medium.read_whole(&path, SMALL_MAX).map_err(missing(&path))?;
        return MasterKey::unwrap(&wrapped, &node_key, about).ok_or_else(wrong);
    };
    let wrapped = medium.read_whole("keys/recovery", SMALL_MAX).map_err(missing("keys/recovery"))?;
    let master = MasterKey::unwrap(&wrapped, &recovery.wrapping_key(), about).ok_or_else(wrong)?;
    if purpose != Purpose::Read {
        let node_key = key_file::read_or_create(&access.key_directory, config.store)?;
        put(medium, &node_key_path(access.node), &master.wrap(&node_key, about)?)?;
    }
    Ok(master)
}
