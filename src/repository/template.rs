//! Templates in a store: their catalogue once, so that browsing shows what the container saw, and their files if backups
//! must restore where the template is lost.

use std::os::fd::{AsFd, BorrowedFd};

use super::backup::{BackupOptions, Progress, Session, put_list};
use super::catalogue::{Catalogue, CatalogueWriter, ChunkId, ChunkReference, FileContent, Node, hash_file};
use super::error::{Error, Result};
use super::manifest::{CatalogueReference, Exception, TemplateRecord, TreeDigest};
use super::store::Repository;
use super::walk::{LinkNames, Step, Walk};
use super::writer::Writer;
use crate::sys::fs::{display_path, stat};

impl Repository {
    /// Keeps the catalogue of the template at `root`, whose digest the caller knows; with its files if `self_contained`.
    ///
    /// A template that is kept already is left, unless its files are asked for now and were not before.
    ///
    /// # Errors
    /// What the template or the store says; a template is taken whole or not at all.
    pub fn store_template(
        &self,
        root: BorrowedFd<'_>,
        digest: TreeDigest,
        self_contained: bool,
        options: BackupOptions,
        progress: &mut Progress<'_>,
    ) -> Result<TemplateRecord> {
        if let Some(record) = self.template(digest)?.filter(|record| record.self_contained || !self_contained) {
            return Ok(record);
        }
        let catalogue = if self_contained {
            let session = Session::begin(self, BackupOptions { full: true, base: None, ..options })?;
            session.into_catalogue(root, progress)?
        } else {
            self.describe_template(root, &options)?
        };
        let record = TemplateRecord { digest, catalogue, self_contained };
        self.put_document(&format!("templates/{digest}"), &record)?;
        Ok(record)
    }

    /// Writes the catalogue alone; each content is named by its plain hash, to which no pack answers.
    fn describe_template(&self, root: BorrowedFd<'_>, options: &BackupOptions) -> Result<CatalogueReference> {
        let mut writer = Writer::new(self.clone());
        let mut walk = Walk::new(root).map_err(Error::io("open", "the root of the template"))?;
        let mut catalogue = CatalogueWriter::default();
        let mut links = LinkNames::new();
        let cancelled = || options.cancelled.load(std::sync::atomic::Ordering::Relaxed);
        while let Some(step) = walk.step() {
            if cancelled() {
                return Err(Error::Cancelled);
            }
            let found = match step {
                Step::Found(found) => found,
                Step::Unreadable { path, error } => return Err(Error::io("read", &display_path(&path))(error)),
            };
            let unreadable = |error| Error::io("read", &display_path(&found.path))(error);
            let (mut entry, file) = walk.describe(&found, options.ids).map_err(unreadable)?;
            let first = links.first(&found);
            if first.is_none() {
                links.remember(&found, ());
            }
            if let Some(file) = file {
                let content = absent_content(file.as_fd(), &cancelled).map_err(unreadable)?;
                entry.node = Node::File(content.ok_or(Error::Cancelled)?);
            }
            entry.hard_link = first.map(|(path, ())| path);
            catalogue.push(&entry, &mut |block| writer.put_catalogue(block))?;
        }
        let (blocks, entries) = catalogue.finish(&mut |block| writer.put_catalogue(block))?;
        let reference = put_list(&mut writer, &blocks, entries)?;
        writer.flush()?;
        Ok(reference)
    }

    /// Lists the templates the store knows.
    ///
    /// # Errors
    /// What the store says.
    pub fn templates(&self) -> Result<Vec<TreeDigest>> {
        let names = self.list("templates")?;
        Ok(names.into_iter().filter_map(|name| TreeDigest::try_from(name).ok()).collect())
    }

    /// Opens the catalogue of a template; nothing if the store does not know it.
    ///
    /// # Errors
    /// What the store says.
    pub fn template_catalogue(&self, digest: TreeDigest) -> Result<Option<Catalogue>> {
        self.template(digest)?.map(|record| self.catalogue(&record.catalogue)).transpose()
    }
}

/// Describes a content that is not in the store: pieces of the greatest length, each named by a hash of the whole.
/// Nothing once `cancelled` says so.
fn absent_content(file: BorrowedFd<'_>, cancelled: &dyn Fn() -> bool) -> std::io::Result<Option<FileContent>> {
    let size = stat(file)?.size;
    let Some(hash) = hash_file(file, cancelled)? else { return Ok(None) };
    let pieces = size.div_ceil(u64::from(u32::MAX));
    let chunk = |number: u64| {
        let length = (size - number * u64::from(u32::MAX)).min(u64::from(u32::MAX)) as u32;
        let id = blake3::Hasher::new_keyed(&hash).update(&number.to_be_bytes()).finalize();
        ChunkReference { id: ChunkId(*id.as_bytes()), length }
    };
    Ok(Some(FileContent { size, extents: None, chunks: (0..pieces).map(chunk).collect() }))
}

impl Session {
    fn into_catalogue(mut self, root: BorrowedFd<'_>, progress: &mut Progress<'_>) -> Result<CatalogueReference> {
        let report = self.live_pass(root, progress)?;
        if let Some(Exception { path, reason, .. }) = report.exceptions.first() {
            return Err(Error::io("read", path)(std::io::Error::other(reason.clone())));
        }
        self.finish_catalogue()
    }
}
