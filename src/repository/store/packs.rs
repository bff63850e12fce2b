//! The packs of a store and their index: which content is there, and where.

use std::collections::HashSet;
use std::sync::PoisonError;

use super::{Repository, missing};
use crate::repository::catalogue::ChunkId;
use crate::repository::error::{Error, Result};
use crate::repository::pack::index::{Index, Location};
use crate::repository::pack::{OpenPack, PackReader, SealedPack, pack_path};
use crate::repository::presence::judge;

const PACK_NAME_LENGTH: usize = 64;

impl Repository {
    /// Brings the index in line with the packs that are there: takes up new ones, forgets those that are gone.
    ///
    /// # Errors
    /// What the store says. A pack whose footer is damaged or cannot be read is left out, for `verify` to report.
    pub fn refresh(&self) -> Result<()> {
        let present: HashSet<String> = self.pack_names()?.into_iter().collect();
        let known: HashSet<String> = self.with_index(|index| index.packs().map(str::to_owned).collect());
        for name in present.iter().filter(|name| !known.contains(*name)) {
            let footer = self.pack(name).and_then(|pack| pack.footer());
            match footer.map_err(|error| judge(self.medium(), error)) {
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

    /// Tells whether a content is in the store, and nobody found it damaged.
    pub fn contains(&self, id: &ChunkId) -> bool {
        self.with_index(|index| index.contains(id))
    }

    pub(in crate::repository) fn find(&self, id: &ChunkId) -> Result<(Location, String)> {
        let found = self.with_index(|index| index.find(id).map(|(place, pack)| (place, pack.to_owned())));
        found.ok_or_else(|| Error::Missing { what: format!("content {id}") })
    }

    /// Takes note of a piece that is damaged: what comes to the store from now on makes nothing of it, and is stored anew.
    pub(in crate::repository) fn lose(&self, pack: &str, offset: u32) {
        if let Err(error) = self.write_index(|index| index.lose(pack, offset)) {
            tracing::warn!(pack, offset, %error, "damage in a backup store was not noted"); // the next reader finds it again
        }
    }

    pub(in crate::repository) fn pack(&self, name: &str) -> Result<PackReader<'_>> {
        PackReader::open(self.medium(), self.keys(), self.store_bytes(), name)
    }

    pub(in crate::repository) fn begin_pack(&self) -> Result<OpenPack> {
        self.require_writable()?;
        OpenPack::begin(self.medium(), self.keys(), self.store_bytes())
    }

    pub(in crate::repository) fn finish_pack(&self, pack: OpenPack) -> Result<SealedPack> {
        let sealed = pack.finish(self.medium())?;
        self.index_pack(&sealed)?;
        Ok(sealed)
    }

    pub(in crate::repository) fn discard_pack(&self, pack: &OpenPack) {
        // What stays behind is swept at the next opening.
        let _ = self.medium().remove(pack.temporary_path());
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
}
