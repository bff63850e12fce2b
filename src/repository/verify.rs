//! Finds out whether a store still has what was put into it: from outside without the key, or every byte with it; all of
//! the store, or what one backup needs.

use std::collections::{HashMap, HashSet};

use super::catalogue::{Catalogue, ChunkId, ChunkReference};
use super::error::{Error, Result};
use super::manifest::{DOCUMENT_MAX, check_document};
use super::medium::Medium;
use super::pack::{Blob, PACK_MAX, PackReader, check_structure, pack_path};
use super::presence::judge;
use super::reader::Reader;
use super::store::Repository;
use crate::types::BackupId;

/// Is something in a store that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The pack, manifest or template.
    pub what: String,
    /// What does not fit.
    pub reason: String,
}

/// Is what a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// How many packs were read.
    pub packs: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many backups were checked.
    pub backups: u64,
    /// Packs that are damaged or cannot be read.
    pub damaged_packs: Vec<Finding>,
    /// Manifests and templates that are damaged.
    pub damaged_documents: Vec<Finding>,
    /// Backups that cannot be restored whole, with the first reason.
    pub damaged_backups: Vec<(BackupId, String)>,
}

impl VerifyReport {
    /// Tells whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.damaged_packs.is_empty() && self.damaged_documents.is_empty() && self.damaged_backups.is_empty()
    }
}

/// Says whether to go on, asked after each pack and each backup.
pub type Going<'a> = dyn FnMut(&VerifyReport) -> bool + 'a;

/// Checks a store without any key: every pack against its name and its structure, every document against its hash.
///
/// # Errors
/// `Cancelled` once `going` says no; what the place says, except for files that cannot be read while others can, which are
/// findings.
pub fn verify_without_key(medium: &dyn Medium, store: &[u8; 16], going: &mut Going<'_>) -> Result<VerifyReport> {
    let mut report = VerifyReport::default();
    for directory in medium.list("packs").map_err(Error::store("list", "packs"))? {
        let path = format!("packs/{directory}");
        for name in medium.list(&path).map_err(Error::store("list", &path))? {
            let checked = check_pack(medium, &name, store, &mut report);
            report.damaged_packs.extend(fault(medium, checked)?.map(|reason| Finding { what: name, reason }));
            keep_going(going, &report)?;
        }
    }
    for directory in ["manifests", "templates"] {
        for name in medium.list(directory).map_err(Error::store("list", directory))? {
            let what = format!("{directory}/{name}");
            let bytes = medium.read_whole(&what, DOCUMENT_MAX).map_err(Error::store("read", &what));
            let damaged = |reason| Error::damaged(&what, reason);
            let checked = bytes.and_then(|bytes| check_document(&bytes, store).map(|_| ()).map_err(damaged));
            report.damaged_documents.extend(fault(medium, checked)?.map(|reason| Finding { what, reason }));
            keep_going(going, &report)?;
        }
    }
    Ok(report)
}

fn keep_going(going: &mut Going<'_>, report: &VerifyReport) -> Result<()> {
    if going(report) { Ok(()) } else { Err(Error::Cancelled) }
}

/// Returns what is wrong with something, if anything; a store that cannot be read at all, or not by this host now, is no
/// finding.
fn fault(medium: &dyn Medium, checked: Result<()>) -> Result<Option<String>> {
    match checked.map_err(|error| judge(medium, error)) {
        Ok(()) => Ok(None),
        Err(error @ (Error::Vanished { .. } | Error::Io { .. })) => Err(error),
        Err(error) => Ok(Some(error.to_string())),
    }
}

fn check_pack(medium: &dyn Medium, name: &str, store: &[u8; 16], report: &mut VerifyReport) -> Result<()> {
    report.packs += 1;
    let path = pack_path(name);
    let bytes = medium.read_whole(&path, PACK_MAX).map_err(Error::store("read", &path))?;
    report.bytes += bytes.len() as u64;
    check_structure(&bytes, name, store).map_err(|error| Error::damaged(format!("pack {name}"), error.to_string()))
}

impl Repository {
    /// Checks everything with the key: opens and inflates every piece, hashes every content, and follows every backup and
    /// template to all it needs.
    ///
    /// # Errors
    /// `Cancelled` once `going` says no; what the place says.
    pub fn verify(&self, going: &mut Going<'_>) -> Result<VerifyReport> {
        let mut report = verify_without_key(self.medium(), self.store_bytes(), going)?;
        let mut good = HashSet::new();
        for name in self.pack_names()? {
            // Also of a damaged pack: what is whole in it is no loss.
            let fault = fault(self.medium(), self.check_contents(&name, &mut good))?;
            let is_known = report.damaged_packs.iter().any(|finding| finding.what == name);
            let new = fault.filter(|_| !is_known).map(|reason| Finding { what: name, reason });
            report.damaged_packs.extend(new);
            keep_going(going, &report)?;
        }
        for id in self.backups()? {
            report.backups += 1;
            let fault = fault(self.medium(), self.check_backup(id, &good))?;
            report.damaged_backups.extend(fault.map(|reason| (id, reason)));
            keep_going(going, &report)?;
        }
        self.check_templates(&good, &mut report)?;
        Ok(report)
    }

    /// Checks one backup with the key: reads every content that it and its template's catalogue need, once, and nothing
    /// else, also behind what is damaged. Returns what is damaged, if anything: how much, and the first of it by name.
    ///
    /// `going` is told how many contents of how many are read, and says whether to go on.
    ///
    /// # Errors
    /// `Cancelled` once `going` says no; what the place says if the store as a whole cannot be read.
    pub fn verify_backup(&self, id: BackupId, going: &mut dyn FnMut(u64, u64) -> bool) -> Result<Option<String>> {
        match self.read_whole_backup(id, going).map_err(|error| judge(self.medium(), error)) {
            Ok(damage) => Ok(damage.words()),
            Err(error @ (Error::Damaged { .. } | Error::Missing { .. })) => Ok(Some(error.to_string())),
            Err(error) => Err(error),
        }
    }

    fn read_whole_backup(&self, id: BackupId, going: &mut dyn FnMut(u64, u64) -> bool) -> Result<Damage> {
        let manifest = self.manifest(id)?;
        let mut needed = HashMap::new();
        collect(&self.catalogue(&manifest.catalogue)?, true, &mut needed)?;
        if let Some(digest) = manifest.template {
            let missing = || Error::Missing { what: format!("the catalogue of template {digest}") };
            let record = self.template(digest)?.ok_or_else(missing)?;
            collect(&self.catalogue(&record.catalogue)?, record.self_contained, &mut needed)?;
        }
        let (mut damage, mut places) = (Damage::default(), vec![]);
        for chunk in needed.into_values() {
            match self.find(&chunk.id) {
                Ok((place, _)) => places.push((place, chunk)),
                Err(error) => damage.add(error)?,
            }
        }
        // In the order of the packs: each is read forward, and the contents of one piece cost one opening.
        places.sort_by_key(|(place, _)| (place.pack, place.offset, place.inside));
        let (reader, all) = (Reader::new(self.clone()), places.len() as u64);
        for ((_, chunk), done) in places.iter().zip(0..) {
            if !going(done, all) {
                return Err(Error::Cancelled);
            }
            if let Err(error) = reader.get(chunk) {
                damage.add(error)?;
            }
        }
        Ok(damage)
    }

    /// Reads a pack to its end, also behind what is damaged in it, which is noted; says what was damaged first.
    fn check_contents(&self, name: &str, good: &mut HashSet<ChunkId>) -> Result<()> {
        let pack = self.pack(name)?;
        let mut first = Ok(());
        for blob in pack.footer()?.0 {
            match self.check_piece(&pack, name, &blob, good) {
                Err(error @ Error::Damaged { .. }) => {
                    self.lose(name, blob.offset);
                    first = first.and(Err(error));
                }
                checked => checked?,
            }
        }
        first
    }

    fn check_piece(&self, pack: &PackReader<'_>, name: &str, piece: &Blob, good: &mut HashSet<ChunkId>) -> Result<()> {
        let (_, raw) = pack.blob(piece.offset).map_err(|error| judge(self.medium(), error))?;
        for member in &piece.members {
            let content = raw.get(member.inside as usize..member.inside as usize + member.length as usize);
            if content.is_none_or(|content| self.content_id(content) != member.id) {
                let reason = format!("content {} is something else", member.id);
                return Err(Error::damaged(format!("pack {name}"), reason));
            }
            good.insert(member.id);
        }
        Ok(())
    }

    fn check_backup(&self, id: BackupId, good: &HashSet<ChunkId>) -> Result<()> {
        let manifest = self.manifest(id)?;
        check_catalogue(&self.catalogue(&manifest.catalogue)?, good, true)?;
        match manifest.template {
            Some(digest) if self.template(digest)?.is_none() => {
                Err(Error::Missing { what: format!("the catalogue of template {digest}") })
            }
            _ => Ok(()),
        }
    }

    fn check_templates(&self, good: &HashSet<ChunkId>, report: &mut VerifyReport) -> Result<()> {
        for digest in self.templates()? {
            let checked = self.template(digest).and_then(|record| match record {
                Some(record) => check_catalogue(&self.catalogue(&record.catalogue)?, good, record.self_contained),
                None => Ok(()),
            });
            let finding = |reason| Finding { what: format!("templates/{digest}"), reason };
            report.damaged_documents.extend(fault(self.medium(), checked)?.map(finding));
        }
        Ok(())
    }
}

/// How many damaged things are named.
const NAMED: usize = 5;

/// Is what is damaged in one backup.
#[derive(Debug, Default)]
struct Damage {
    contents: u64,
    named: Vec<String>,
}

impl Damage {
    /// Takes note of a content that cannot be read; an error that speaks of no damage is none of it.
    fn add(&mut self, error: Error) -> Result<()> {
        if !matches!(error, Error::Damaged { .. } | Error::Missing { .. }) {
            return Err(error);
        }
        self.contents += 1;
        let words = error.to_string();
        if self.named.len() <= NAMED && !self.named.contains(&words) {
            self.named.push(words); // one more than are named, to know that there are more
        }
        Ok(())
    }

    fn words(&self) -> Option<String> {
        let named = self.named.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join("; ");
        match (self.contents, self.named.len()) {
            (0, _) => None,
            (1, _) => Some(named),
            (contents, 0..=NAMED) => Some(format!("{contents} contents cannot be read: {named}")),
            (contents, _) => Some(format!("{contents} contents cannot be read, the first: {named}")),
        }
    }
}

/// Adds the contents that the files of a catalogue are made of.
fn collect(catalogue: &Catalogue, contents: bool, needed: &mut HashMap<ChunkId, ChunkReference>) -> Result<()> {
    for entry in catalogue.entries() {
        let entry = entry?;
        let chunks = entry.file().filter(|_| contents).map_or(&[][..], |content| &content.chunks);
        needed.extend(chunks.iter().map(|chunk| (chunk.id, *chunk)));
    }
    Ok(())
}

fn check_catalogue(catalogue: &Catalogue, good: &HashSet<ChunkId>, contents: bool) -> Result<()> {
    for entry in catalogue.entries() {
        let entry = entry?;
        let chunks = entry.file().filter(|_| contents).map_or(&[][..], |content| &content.chunks);
        if let Some(lost) = chunks.iter().find(|chunk| !good.contains(&chunk.id)) {
            let path = crate::sys::fs::display_path(&entry.path);
            return Err(Error::damaged(path, format!("content {} is damaged or missing", lost.id)));
        }
    }
    Ok(())
}
