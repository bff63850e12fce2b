//! A store: its configuration and owner, its keys, its index, and the order in which things become durable.
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

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::catalogue::{Catalogue, ChunkId};
use super::chunker::Chunker;
use super::compress::Compressor;
use super::error::{Error, Result};
use super::index::{Index, Location};
use super::key_file;
use super::keys::{Keys, MasterKey, RecoveryKey};
use super::manifest::{
    CatalogueReference, DOCUMENT_MAX, Manifest, TemplateRecord, TreeDigest, open_document, seal_document,
};
use super::medium::Medium;
use super::owner::{Config, SMALL_MAX, claim, fence, put_config, read_config};
use super::pack::{OpenPack, PackReader, SealedPack, pack_path};
use super::reader::Reader;
use crate::types::{BackupId, NodeId, StoreId};

/// The newest format this version reads and writes.
pub const FORMAT: u32 = 1;
const PACK_NAME_LENGTH: usize = 64;
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

/// Is an open store; clones share it.
#[derive(Clone)]
pub struct Repository {
    inner: Arc<Inner>,
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
        put_key(medium.as_ref(), &node_key_path(access.node), &master.wrap(&node_key, store.as_bytes())?)?;
        put_key(medium.as_ref(), "keys/recovery", &master.wrap(&recovery.wrapping_key(), store.as_bytes())?)?;
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

    /// Brings the index in line with the packs that are there: takes up new ones, forgets those that are gone.
    ///
    /// # Errors
    /// What the store says. A pack whose footer is damaged is left out, for `verify` to report.
    pub fn refresh(&self) -> Result<()> {
        let present: HashSet<String> = self.pack_names()?.into_iter().collect();
        let known: HashSet<String> = self.with_index(|index| index.packs().map(str::to_owned).collect());
        for name in present.iter().filter(|name| !known.contains(*name)) {
            match self.pack(name).and_then(|pack| pack.footer()) {
                Ok((blobs, bytes)) => self.index_pack(&SealedPack { name: name.clone(), bytes, blobs })?,
                Err(Error::Damaged { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        let gone = known.iter().filter(|name| !present.contains(*name));
        gone.into_iter().try_for_each(|name| self.write_index(|index| index.forget(name)))
    }

    /// Takes a damaged pack out of use: its contents count as missing, so that the next full backup stores those it meets
    /// again and earlier backups that need them become whole. The file stays, under a name that `verify` reports.
    ///
    /// # Errors
    /// `ReadOnly`; what the store says.
    pub fn set_aside(&self, pack: &str) -> Result<()> {
        self.require_writable()?;
        let path = pack_path(pack);
        self.medium().rename(&path, &format!("{path}.damaged")).map_err(missing(&path))?;
        let directory = path.rsplit_once('/').map_or("packs", |(directory, _)| directory);
        self.medium().sync_directory(directory).map_err(Error::store("sync", directory))?;
        self.write_index(|index| index.forget(pack))
    }

    /// Lists the packs that are there.
    ///
    /// # Errors
    /// What the store says.
    pub fn pack_names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for directory in self.list("packs")? {
            names.extend(self.list(&format!("packs/{directory}"))?);
        }
        names.retain(|name| name.len() == PACK_NAME_LENGTH); // Others were set aside.
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn list(&self, directory: &str) -> Result<Vec<String>> {
        self.medium().list(directory).map_err(Error::store("list", &format!("{}/{directory}", self.place())))
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

    fn with_index<T>(&self, ask: impl FnOnce(&Index) -> T) -> T {
        ask(&self.inner.index.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write_index<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        change(&mut self.inner.index.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn index_pack(&self, pack: &SealedPack) -> Result<()> {
        self.write_index(|index| index.add(pack))
    }

    /// Returns the id of a content.
    pub fn content_id(&self, content: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.inner.keys.content, content).as_bytes())
    }

    /// Tells whether a content is in the store.
    pub fn contains(&self, id: &ChunkId) -> bool {
        self.with_index(|index| index.contains(id))
    }

    pub(super) fn find(&self, id: &ChunkId) -> Result<(Location, String)> {
        let found = self.with_index(|index| index.find(id).map(|(place, pack)| (place, pack.to_owned())));
        found.ok_or_else(|| Error::Missing { what: format!("content {id}") })
    }

    pub(super) fn pack(&self, name: &str) -> Result<PackReader<'_>> {
        PackReader::open(self.medium(), self.keys(), self.store_bytes(), name)
    }

    pub(super) fn require_writable(&self) -> Result<()> {
        let config = &self.inner.config;
        if self.inner.writable {
            return Ok(());
        }
        Err(Error::ReadOnly { owner: config.owner.to_string(), epoch: config.epoch })
    }

    pub(super) fn begin_pack(&self) -> Result<OpenPack> {
        self.require_writable()?;
        OpenPack::begin(self.medium(), self.keys(), self.store_bytes())
    }

    pub(super) fn finish_pack(&self, pack: OpenPack, compressor: &mut Compressor) -> Result<SealedPack> {
        let sealed = pack.finish(self.medium(), compressor)?;
        self.index_pack(&sealed)?;
        Ok(sealed)
    }

    pub(super) fn discard_pack(&self, pack: &OpenPack) {
        // What stays behind is swept at the next opening.
        let _ = self.medium().remove(pack.temporary_path());
    }

    /// Opens a catalogue.
    ///
    /// # Errors
    /// `Missing` or `Damaged` if its list of blocks cannot be read.
    pub fn catalogue(&self, reference: &CatalogueReference) -> Result<Catalogue> {
        let reader = Arc::new(Reader::new(self.clone()));
        let mut bytes = Vec::new();
        for chunk in &reference.index {
            bytes.extend(reader.get(chunk)?);
        }
        let damaged = |error: super::catalogue::Malformed| Error::damaged("the list of a catalogue", error.to_string());
        Ok(Catalogue::new(Catalogue::decode_blocks(&bytes).map_err(damaged)?, reader))
    }

    /// Lists the backups that are committed.
    ///
    /// # Errors
    /// What the store says.
    pub fn backups(&self) -> Result<Vec<BackupId>> {
        let mut found: Vec<BackupId> = self.list("manifests")?.iter().filter_map(|name| name.parse().ok()).collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Reads the manifest of a backup.
    ///
    /// # Errors
    /// `Missing` if there is no such backup, `Damaged` if its manifest is not what was written.
    pub fn manifest(&self, id: BackupId) -> Result<Manifest> {
        self.document(&format!("manifests/{id}"))
    }

    /// Removes a backup. What only it had stays in the packs until garbage is collected.
    ///
    /// # Errors
    /// `Missing` if there is no such backup; what the store says.
    pub fn delete(&self, id: BackupId) -> Result<()> {
        self.require_writable()?;
        let path = format!("manifests/{id}");
        self.medium().remove(&path).map_err(missing(&path))?;
        self.medium().sync_directory("manifests").map_err(Error::store("sync", "manifests"))
    }

    /// Reads what the store keeps of a template; nothing if it has nothing.
    ///
    /// # Errors
    /// `Damaged` if it is not what was written; what the store says.
    pub fn template(&self, digest: TreeDigest) -> Result<Option<TemplateRecord>> {
        match self.document(&format!("templates/{digest}")) {
            Ok(record) => Ok(Some(record)),
            Err(Error::Missing { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    fn document<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T> {
        let bytes = self.medium().read_whole(path, DOCUMENT_MAX).map_err(missing(path))?;
        open_document(self.keys(), self.store_bytes(), path, &bytes)
    }

    pub(super) fn put_document<T: Serialize>(&self, path: &str, document: &T) -> Result<()> {
        self.require_writable()?;
        let bytes = seal_document(self.keys(), self.store_bytes(), path, document)?;
        put(self.medium(), path, &bytes)
    }
}

pub(super) fn missing(path: &str) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::Missing { what: path },
        _ => Error::store("read", &path)(error),
    }
}

fn lock(medium: &dyn Medium, access: &Access) -> Result<()> {
    if medium.lock().map_err(Error::store("lock", &access.place))? {
        return Ok(());
    }
    Err(Error::Locked { path: access.place.clone() })
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

fn node_key_path(node: NodeId) -> String {
    format!("keys/node-{node}")
}

fn put_key(medium: &dyn Medium, path: &str, wrapped: &[u8]) -> Result<()> {
    put(medium, path, wrapped)
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
        put_key(medium, &node_key_path(access.node), &master.wrap(&node_key, about)?)?;
    }
    Ok(master)
}
