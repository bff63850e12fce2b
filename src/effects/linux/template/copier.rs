//! Copies a directory of the node into a template's tree, with everything that belongs to an inode.

use std::io::ErrorKind;
use std::path::Path;

use crate::domain::effect::Failure;
use crate::effects::linux::failure::{cancelled, cannot};
use crate::repository::catalogue::{Entry, Node};
use crate::repository::{Found, Id, IdMap, LinkNames, Step, Walk};
use crate::sys::fs::{
    AsFd, BorrowedFd, FileKind, clone_range, display_path, extents, open_root, read_at, set_length, stat, write_at,
};

use super::Watch;
use super::writer::{Attributes, TreeWriter};

const BUFFER: usize = 1 << 20;

/// Copies all of `source`.
///
/// # Errors
/// The first thing that cannot be read or written: a template with gaps would be a surprise later.
pub(super) fn copy_directory(source: &Path, writer: &mut TreeWriter, watch: &Watch<'_>) -> Result<(), Failure> {
    let root = open_root(source).map_err(cannot("open the directory", source.display()))?;
    let mut walk = Walk::new(root.as_fd()).map_err(cannot("read", source.display()))?;
    let mut links = LinkNames::new();
    while let Some(step) = walk.step() {
        if (watch.cancelled)() {
            return Err(cancelled());
        }
        match step {
            Step::Found(found) => copy_entry(&mut walk, &found, &mut links, writer, watch)?,
            Step::Unreadable { path, error } => {
                return Err(cannot("read", source.join(display_path(&path)).display())(error));
            }
        }
    }
    Ok(())
}

fn copy_entry(
    walk: &mut Walk,
    found: &Found,
    links: &mut LinkNames<()>,
    writer: &mut TreeWriter,
    watch: &Watch<'_>,
) -> Result<(), Failure> {
    watch.entry(found.metadata.size);
    if let Some((first, ())) = links.first(found) {
        return writer.hard_link(&found.path, &first);
    }
    links.remember(found, ());
    let shown = || display_path(&found.path);
    let (entry, content) = walk.describe(found, IdMap::IDENTITY).map_err(cannot("read", shown()))?;
    let attributes = attributes_of(&entry);
    match (&entry.node, content) {
        (Node::Directory, _) => writer.directory(&found.path, attributes),
        (Node::Symlink { target }, _) => writer.symlink(&found.path, target, &attributes),
        (Node::File(_), Some(content)) => {
            let file = writer.file(&found.path, found.metadata.size)?;
            copy_content(content.as_fd(), file.as_fd(), watch).map_err(cannot("copy", shown()))?;
            TreeWriter::finish_file(&found.path, file.as_fd(), &attributes)
        }
        (node, _) => {
            let (kind, numbers) = kind_of(node);
            writer.node(&found.path, kind, numbers, &attributes)
        }
    }
}

fn kind_of(node: &Node) -> (FileKind, (u32, u32)) {
    match *node {
        Node::CharDevice { major, minor } => (FileKind::CharDevice, (major, minor)),
        Node::BlockDevice { major, minor } => (FileKind::BlockDevice, (major, minor)),
        Node::Socket => (FileKind::Socket, (0, 0)),
        _ => (FileKind::Fifo, (0, 0)),
    }
}

fn attributes_of(entry: &Entry) -> Attributes {
    let number = |id| match id {
        Id::Inside(id) | Id::Outside(id) => id,
    };
    Attributes {
        mode: entry.mode,
        uid: number(entry.owner),
        gid: number(entry.group),
        modified: entry.modified,
        xattrs: entry.attributes.iter().map(|found| (found.name.clone(), found.value.clone())).collect(),
        flags: entry.flags,
    }
}

/// Copies a file's content: as a reflink where the file system can, else inside the kernel, holes left as holes.
pub(in crate::effects::linux) fn copy_content(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    watch: &Watch<'_>,
) -> std::io::Result<()> {
    let found = stat(from)?;
    if found.blocks * 512 >= found.size {
        match clone_range(from, to, found.size) {
            // From one kind of file system to another the kernel does not copy by itself (copy_file_range(2)).
            Err(error) if matches!(error.kind(), ErrorKind::CrossesDevices | ErrorKind::Unsupported) => {}
            other => return other.map(drop),
        }
    }
    set_length(to, found.size)?;
    let mut buffer = vec![0; BUFFER];
    for extent in extents(from, found.size)? {
        let end = extent.offset + extent.length;
        let mut at = extent.offset;
        while at < end && !(watch.cancelled)() {
            let wanted = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
            let count = read_at(from, &mut buffer[..wanted], at)?;
            if count == 0 {
                return Err(std::io::Error::other("it became shorter while it was copied"));
            }
            write_at(to, &buffer[..count], at)?;
            at += count as u64;
        }
    }
    Ok(())
}
