//! The documents of a store: a manifest per backup, a record per template, and the catalogues that they name.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Repository, missing, put};
use crate::repository::catalogue::{Catalogue, Malformed};
use crate::repository::error::{Error, Result};
use crate::repository::manifest::{
    CatalogueReference, DOCUMENT_MAX, Manifest, TemplateRecord, TreeDigest, open_document, seal_document,
};
use crate::repository::reader::Reader;
use crate::types::BackupId;

impl Repository {
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
        let damaged = |error: Malformed| Error::damaged("the list of a catalogue", error.to_string());
        Ok(Catalogue::new(Catalogue::decode_blocks(&bytes).map_err(damaged)?, reader))
    }

    pub(in crate::repository) fn put_document<T: Serialize>(&self, path: &str, document: &T) -> Result<()> {
        self.require_writable()?;
        let bytes = seal_document(self.keys(), self.store_bytes(), path, document)?;
        put(self.medium(), path, &bytes)
    }

    fn document<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T> {
        let bytes = self.medium().read_whole(path, DOCUMENT_MAX).map_err(missing(path))?;
        open_document(self.keys(), self.store_bytes(), path, &bytes)
    }
}
