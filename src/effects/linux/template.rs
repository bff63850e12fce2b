//! Templates: immutable trees that containers share as the lower layer of their root.
//!
//! A template is made beside its final place and renamed at the end, so that it is there whole or not at all. What is
//! imported is not altered but for what no two machines may share, which is taken out; what a container needs of its own goes
//! into the container's upper layer.

pub(super) mod archive;
mod catalogue;
pub(super) mod copier;
pub(super) mod host_template;
pub(super) mod init;
#[cfg(test)]
mod tests;
pub(super) mod writer;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

use crate::domain::effect::Failure;
use crate::events::{TakenOut, TemplateSource, TemplateSummary};
use crate::kernel::unshared::{self, Stripped, Taken};
use crate::sys::fs::{AsFd, BorrowedFd, open_root, remove_tree, sync_file_system};
use crate::types::TemplateId;

use super::failure::cannot;
use super::paths::{StatePaths, ensure_directory, sync_directory};

use writer::{Attributes, TreeWriter};

/// What an image of Incus or LXD may have at its top.
const IMAGE: [&str; 3] = ["metadata.yaml", "rootfs", "templates"];

/// Lets the caller stop the work and see how far it is.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Tells whether the work is called off.
    pub cancelled: &'a dyn Fn() -> bool,
    /// Takes for each entry the bytes of its content.
    pub progress: &'a dyn Fn(u64),
}

impl Watch<'_> {
    /// Watches nothing.
    pub const NONE: Watch<'static> = Watch { cancelled: &|| false, progress: &|_| {} };

    pub(super) fn entry(&self, bytes: u64) {
        (self.progress)(bytes);
    }
}

/// Says how a template's tree compares with what was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the same, to the last byte.
    Intact,
    /// It differs.
    Drift {
        /// The first paths that differ, a hundred at most.
        paths: Vec<String>,
        /// How many differ.
        count: u64,
    },
}

/// Makes the template, if it is not there, and returns what it holds.
///
/// # Errors
/// What cannot be read or written, with the path; nothing of the template is left then.
pub fn ensure_template(
    paths: &StatePaths,
    id: TemplateId,
    source: &TemplateSource,
    watch: &Watch<'_>,
) -> Result<TemplateSummary, Failure> {
    let place = paths.template(id);
    match fs::read(place.join("summary.json")) {
        Ok(bytes) => {
            return serde_json::from_slice(&bytes)
                .map_err(|error| cannot("read the summary of template", id)(io::Error::other(error)));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(cannot("read the summary of template", id)(error)),
    }
    ensure_directory(&paths.templates())?;
    ensure_template_gone(paths, id)?;
    let made = make(paths, id, source, watch);
    if made.is_err() {
        // The failure that matters is the one above; what is left is removed by the undo too.
        let _ = ensure_template_gone(paths, id);
    }
    made
}

fn make(
    paths: &StatePaths,
    id: TemplateId,
    source: &TemplateSource,
    watch: &Watch<'_>,
) -> Result<TemplateSummary, Failure> {
    let partial = paths.templates().join(partial_name(id));
    let root = partial.join("root");
    ensure_directory(&root)?;
    let open = || open_root(&root).map_err(cannot("open", root.display()));
    let mut writer = TreeWriter::new(open()?);
    fill(paths, source, &mut writer, watch)?;
    writer.finish()?;
    unwrap_image(&partial, &root).map_err(cannot("take the tree out of the image in", partial.display()))?;
    let root = open()?;
    if fs::read_dir(partial.join("root")).is_ok_and(|mut names| names.next().is_none()) {
        return Err(Failure::permanent("there is nothing in it: a template wants the files of a whole system"));
    }
    let taken_out = strip(root.as_fd())?;
    let sealed = catalogue::seal(root.as_fd(), &partial.join("catalogue"), watch)?;
    let summary = TemplateSummary {
        digest: sealed.digest,
        size: sealed.size,
        entries: sealed.entries,
        init: init::init_of(root.as_fd()),
        system: init::system_of(root.as_fd()),
        taken_out,
    };
    let bytes = serde_json::to_vec(&summary).map_err(|error| Failure::permanent(error.to_string()))?;
    fs::write(partial.join("summary.json"), bytes).map_err(cannot("write the summary of template", id))?;
    sync_file_system(root.as_fd()).map_err(cannot("sync template", id))?;
    fs::rename(&partial, paths.template(id)).map_err(cannot("put in place template", id))?;
    sync_directory(&paths.templates()).map_err(cannot("sync", "the templates"))?;
    Ok(summary)
}

/// An image of Incus or LXD has the tree in a directory of its own, beside what it says of itself: the tree alone is wanted.
fn unwrap_image(partial: &Path, root: &Path) -> io::Result<()> {
    let mut names = BTreeMap::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        names.insert(entry.file_name(), entry.file_type()?);
    }
    let is = |name: &str, fits: fn(&fs::FileType) -> bool| names.get(OsStr::new(name)).is_some_and(fits);
    let foreign = names.keys().any(|name| !IMAGE.iter().any(|known| name == known));
    if foreign || !is("metadata.yaml", fs::FileType::is_file) || !is("rootfs", fs::FileType::is_dir) {
        return Ok(());
    }
    let image = partial.join("image");
    fs::rename(root, &image)?;
    fs::rename(image.join("rootfs"), root)?;
    remove_tree(open_root(partial)?.as_fd(), b"image")
}

/// How many paths of a kind are recorded.
const PATHS_MAX: usize = 20;

/// Takes out what no two machines may share. A template that keeps some of it would hand one machine's to all others.
fn strip(root: BorrowedFd<'_>) -> Result<BTreeMap<String, TakenOut>, Failure> {
    let Stripped { taken, left } = unshared::strip(root);
    if let Some((left, error)) = left.into_iter().next() {
        return Err(cannot("take out", format!("{} (/{})", left.name, unshared::shown(&left.path)))(error));
    }
    let mut found = BTreeMap::<String, TakenOut>::new();
    for Taken { name, path } in taken {
        let kind = found.entry(name.to_owned()).or_default();
        kind.count += 1;
        if kind.paths.len() < PATHS_MAX {
            kind.paths.push(format!("/{}", unshared::shown(&path)));
        }
    }
    Ok(found)
}

fn partial_name(id: TemplateId) -> String {
    format!("{id}.partial")
}

fn fill(
    paths: &StatePaths,
    source: &TemplateSource,
    writer: &mut TreeWriter,
    watch: &Watch<'_>,
) -> Result<(), Failure> {
    match source {
        TemplateSource::Directory { path } => {
            refuse_own_state(paths, Path::new(path))?;
            copier::copy_directory(Path::new(path), writer, watch)
        }
        TemplateSource::Archive { path } => {
            writer.directory(b"", Attributes::of_root(0o755))?;
            archive::extract(Path::new(path), writer, watch)
        }
        TemplateSource::Host => host_template::fill(writer, watch),
    }
}

/// A directory that has the templates in it would be copied into itself for ever.
fn refuse_own_state(paths: &StatePaths, source: &Path) -> Result<(), Failure> {
    let resolved = fs::canonicalize(source).map_err(cannot("open the directory", source.display()))?;
    let templates = fs::canonicalize(paths.templates()).map_err(cannot("open", "the templates"))?;
    if templates.starts_with(&resolved) {
        return Err(Failure::permanent(format!(
            "the directory {} holds berth's own state; for this system as a template use --from-host",
            source.display()
        )));
    }
    Ok(())
}

/// Removes the template's tree, finished or not.
///
/// # Errors
/// What unlinkat(2) says.
pub fn ensure_template_gone(paths: &StatePaths, id: TemplateId) -> Result<(), Failure> {
    let templates = match open_root(&paths.templates()) {
        Ok(templates) => templates,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot("open", "the templates")(error)),
    };
    // Renamed first: a template is there whole or not at all, also while it goes.
    let (name, partial) = (id.to_string(), partial_name(id));
    remove_tree(templates.as_fd(), partial.as_bytes()).map_err(cannot("remove template", id))?;
    match fs::rename(paths.template(id), paths.templates().join(&partial)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(cannot("remove template", &name))?,
    }
    remove_tree(templates.as_fd(), partial.as_bytes()).map_err(cannot("remove template", id))
}

/// Reads the whole template again and compares it with what was sealed.
///
/// # Errors
/// What cannot be read; a catalogue that is not the sealed one is a failure too, since it can prove nothing.
pub fn verify_template(
    paths: &StatePaths,
    id: TemplateId,
    digest: &str,
    watch: &Watch<'_>,
) -> Result<Verdict, Failure> {
    let place = paths.template(id);
    let known = place.join("catalogue");
    if !catalogue::has_digest(&known, digest)? {
        return Err(Failure::permanent(format!("the catalogue of template {id} is not the one that was sealed")));
    }
    let root = open_root(&place.join("root")).map_err(cannot("open template", id))?;
    let found = catalogue::compare(root.as_fd(), &known, watch)?;
    Ok(match found.count {
        0 => Verdict::Intact,
        count => Verdict::Drift { paths: found.paths, count },
    })
}
