//! Unpacks a tar archive into a tree, believing nothing in it.
//!
//! Refused, each by name: absolute names and `..`, names below a symbolic link, hard links to what the archive did not
//! bring, devices that reach hardware, archives that end too early, and what is no archive at all. Symbolic links are kept as
//! they are: nothing here ever follows one.

mod compression;
mod pax;
mod reader;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::domain::effect::{Failure, FailureKind};
use crate::sys::fs::{Access, AsFd, Extent, FileKind, display_path, open_beneath, set_length, stat, write_at};

use crate::effects::linux::failure::{cancelled, cannot};
use crate::effects::linux::template::Watch;
use crate::effects::linux::template::writer::{Attributes, TreeWriter};

use reader::{Kind, Member, Reader};

const BUFFER: usize = 256 << 10;
/// What programs expect in every `/dev`: null, zero, full, random, urandom, tty, console, ptmx (devices.txt of the kernel).
const HARMLESS_DEVICES: [(u32, u32); 8] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];

/// Unpacks the archive at `path`.
///
/// # Errors
/// What is wrong with it, or what the kernel says; the tree is then unfinished.
pub(in crate::effects::linux) fn extract(
    path: &Path,
    writer: &mut TreeWriter,
    watch: &Watch<'_>,
) -> Result<(), Failure> {
    let file = File::open(path).map_err(cannot("open the archive", path.display()))?;
    let input = compression::open(file).map_err(cannot("read the archive", path.display()))?;
    let mut reader = Reader::new(input);
    let mut unpacking = Unpacking { writer, watch, archive: path };
    while let Some(member) = reader.next().map_err(cannot("read the archive", path.display()))? {
        if (watch.cancelled)() {
            return Err(cancelled());
        }
        unpacking.member(&mut reader, member)?;
    }
    Ok(())
}

struct Unpacking<'a, 'w> {
    writer: &'a mut TreeWriter,
    watch: &'a Watch<'w>,
    archive: &'a Path,
}

impl Unpacking<'_, '_> {
    fn member<R: Read>(&mut self, reader: &mut Reader<R>, member: Member) -> Result<(), Failure> {
        let path = safe_path(&member.name).ok_or_else(|| self.refused(&member, "its name leads out of the tree"))?;
        let attributes = Attributes {
            mode: member.mode,
            uid: member.uid,
            gid: member.gid,
            modified: member.modified,
            xattrs: member.xattrs.clone(),
            flags: 0,
        };
        if path.is_empty() && member.kind != Kind::Directory {
            return Err(self.refused(&member, "the root of a tree must be a directory"));
        }
        let written = self.write(reader, &path, &member, attributes);
        written.map_err(|failure| match self.obstacle(&path, &member.kind) {
            Some(reason) if failure.kind == FailureKind::Permanent && failure.class.is_none() => {
                self.refused(&member, &reason)
            }
            _ => failure,
        })
    }

    /// Looks for what of the tree so far stands in the way of an entry.
    fn obstacle(&self, path: &[u8], kind: &Kind) -> Option<String> {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
        let first =
            ends.filter_map(|above| Some((above, self.kind_of(above)?))).find(|(_, kind)| *kind != FileKind::Directory);
        if let Some((above, found)) = first {
            let above = display_path(above);
            return Some(match found {
                FileKind::Symlink => format!("{above:?} above it is a symbolic link, and links are not followed"),
                _ => format!("{above:?} above it is no directory"),
            });
        }
        let Kind::HardLink { target } = kind else { return None };
        let target = safe_path(target)?;
        let is_missing = self.kind_of(&target).is_none();
        is_missing
            .then(|| format!("it is a hard link to {:?}, which is not in the archive before it", display_path(&target)))
    }

    fn kind_of(&self, path: &[u8]) -> Option<FileKind> {
        let place = open_beneath(self.writer.root(), path, Access::Place).ok()?;
        Some(stat(place.as_fd()).ok()?.kind)
    }

    fn write<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        path: &[u8],
        member: &Member,
        attributes: Attributes,
    ) -> Result<(), Failure> {
        match &member.kind {
            Kind::Directory => self.writer.directory(path, attributes),
            Kind::File { size, data } => self.file(reader, path, *size, data, &attributes),
            Kind::Symlink { target } => self.writer.symlink(path, target, &attributes),
            Kind::HardLink { target } => {
                let first = safe_path(target).filter(|first| !first.is_empty());
                let first =
                    first.ok_or_else(|| self.refused(member, "it is a hard link that leads out of the tree"))?;
                self.writer.hard_link(path, &first)
            }
            Kind::Fifo => self.writer.node(path, FileKind::Fifo, (0, 0), &attributes),
            Kind::CharDevice { numbers } if HARMLESS_DEVICES.contains(numbers) => {
                self.writer.node(path, FileKind::CharDevice, *numbers, &attributes)
            }
            Kind::CharDevice { numbers } | Kind::BlockDevice { numbers } => {
                let (major, minor) = numbers;
                let reason = format!("it is the device {major}:{minor}, and devices are not taken from archives");
                Err(self.refused(member, &reason))
            }
        }
    }

    fn refused(&self, member: &Member, reason: &str) -> Failure {
        let (archive, name) = (self.archive.display(), display_path(&member.name));
        Failure::permanent(format!("the archive {archive} is refused: {name:?}: {reason}"))
    }

    fn file<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        path: &[u8],
        size: u64,
        data: &[Extent],
        attributes: &Attributes,
    ) -> Result<(), Failure> {
        self.watch.entry(size);
        let file = self.writer.file(path, size)?;
        let shown = || display_path(path);
        set_length(file.as_fd(), size).map_err(cannot("write", shown()))?;
        let mut buffer = vec![0; BUFFER.min(usize::try_from(size).unwrap_or(BUFFER))];
        for extent in data {
            let (mut at, end) = (extent.offset, extent.offset + extent.length);
            while at < end {
                if (self.watch.cancelled)() {
                    return Err(cancelled());
                }
                let count = buffer.len().min(usize::try_from(end - at).unwrap_or(buffer.len()));
                let part = &mut buffer[..count];
                reader.read_data(part).map_err(cannot("read from the archive", shown()))?;
                write_at(file.as_fd(), part, at).map_err(cannot("write", shown()))?;
                at += count as u64;
            }
        }
        TreeWriter::finish_file(path, file.as_fd(), attributes)
    }
}

/// Returns the name as a path below the root, or nothing if it is absolute, has `..` in it or a NUL byte.
fn safe_path(name: &[u8]) -> Option<Vec<u8>> {
    if name.starts_with(b"/") || name.contains(&0) {
        return None;
    }
    let mut path = Vec::with_capacity(name.len());
    for part in name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
        if part == b".." {
            return None;
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(part);
    }
    Some(path)
}
