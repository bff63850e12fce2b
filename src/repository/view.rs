//! One backup, open for browsing: what the container saw, or its own layer as it lay on the disk.

use std::io;
use std::os::fd::BorrowedFd;

use super::backup::Progress;
use super::catalogue::{Catalogue, Entry};
use super::data::cat;
use super::error::{Error, Result};
use super::manifest::Manifest;
use super::pattern::Pattern;
use super::reader::Reader;
use super::restore::Outward;
use super::restore::{RestoreOptions, RestoreReport, require_empty, restore};
use super::store::Repository;
use crate::repository::catalogue::footprint::{Footprint, Measure};
use crate::repository::catalogue::merged::{Merged, find};
use crate::repository::catalogue::select::select;
use crate::sys::fs::display_path;

/// Shows one backup.
pub struct View {
    own: Catalogue,
    template: Option<Catalogue>,
    reader: Reader,
}

impl Repository {
    /// Opens a backup for browsing. Without its template's catalogue in the store, only the container's own files show.
    ///
    /// # Errors
    /// `Missing` or `Damaged` if a catalogue cannot be read.
    pub fn view(&self, manifest: &Manifest) -> Result<View> {
        let template = match manifest.template {
            Some(digest) => self.template_catalogue(digest)?,
            None => None,
        };
        Ok(View { own: self.catalogue(&manifest.catalogue)?, template, reader: Reader::new(self.clone()) })
    }
}

impl View {
    /// Tells whether the template's files show too.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// Goes through what the container saw.
    pub fn entries(&self) -> Merged {
        Merged::new(&self.own, self.template.clone())
    }

    /// Lists what the container saw and any of the patterns covers; everything without patterns.
    pub fn files(&self, patterns: Vec<Pattern>) -> impl Iterator<Item = Result<Entry>> + use<> {
        let matching = |found: Result<(Entry, bool)>| match found {
            Ok((entry, true)) => Some(Ok(entry)),
            Ok((_, false)) => None,
            Err(error) => Some(Err(error)),
        };
        select(self.entries(), patterns).filter_map(matching)
    }

    /// Finds one path as the container saw it.
    ///
    /// # Errors
    /// `Missing` if it did not see such a path; what the store says.
    pub fn find(&self, path: &[u8]) -> Result<Entry> {
        find(&self.own, self.template.clone(), path)
    }

    /// Writes the content of one file to `out`.
    ///
    /// # Errors
    /// `Missing` if there is no such file, or if it is the template's and the store keeps only its catalogue; what the
    /// store and `out` say.
    pub fn cat(&self, path: &[u8], out: &mut dyn io::Write) -> Result<()> {
        let entry = self.find(path)?;
        match entry.file() {
            Some(content) => cat(&self.reader, content, out),
            None => Err(Error::Missing { what: format!("a regular file {}", display_path(path)) }),
        }
    }

    /// Counts what the container's own layer takes in a file system with blocks of this size.
    ///
    /// # Errors
    /// What the store says.
    pub fn layer_footprint(&self, block: u64) -> Result<Footprint> {
        let mut measure = Measure::new(block);
        self.own.entries().try_for_each(|entry| entry.map(|entry| measure.take(&entry)))?;
        Ok(measure.footprint())
    }

    /// Restores the container's own layer, whiteouts and all, into an empty directory.
    ///
    /// # Errors
    /// `NotEmpty`; what `restore` says.
    pub fn restore_layer(
        &self,
        target: BorrowedFd<'_>,
        options: &RestoreOptions,
        progress: &mut Progress<'_>,
    ) -> Result<RestoreReport> {
        require_empty(target)?;
        let entries = self.own.entries().map(|entry| entry.map(|entry| (entry, true)));
        restore(entries, &self.reader, target, options, progress)
    }

    /// Restores what the container saw and any of the patterns covers into a plain directory outside of it.
    ///
    /// # Errors
    /// What `restore` says.
    pub fn extract(
        &self,
        patterns: Vec<Pattern>,
        target: BorrowedFd<'_>,
        outward: Outward,
        options: &RestoreOptions,
        progress: &mut Progress<'_>,
    ) -> Result<RestoreReport> {
        let outside = RestoreOptions { outward: Some(outward), ..options.clone() };
        restore(select(self.entries(), patterns), &self.reader, target, &outside, progress)
    }
}
