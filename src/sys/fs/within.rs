//! Where a path leads for a process that has another root.

use super::{Access, AsFd, BorrowedFd, FileKind, Metadata, OwnedFd, open_beneath, read_link, stat_at};

/// The most symbolic links on one way, as the kernel has it (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Follows symbolic links the way a process whose root is `root` would, and never out of it. Returns the path that is
/// reached, without links, and what is there; nothing if there is nothing.
pub fn resolve(root: BorrowedFd<'_>, path: &[u8]) -> Option<(Vec<u8>, Metadata)> {
    let mut ahead: Vec<Vec<u8>> = components(path);
    let mut done: Vec<Vec<u8>> = Vec::new();
    let mut links = 0;
    let mut last = None;
    while let Some(name) = ahead.pop() {
        if name == b".." {
            done.pop();
            continue;
        }
        let directory: OwnedFd = open_beneath(root, &done.join(&b'/'), Access::Directory).ok()?;
        let metadata = stat_at(directory.as_fd(), &name).ok()?;
        if metadata.kind != FileKind::Symlink {
            done.push(name);
            last = Some(metadata);
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return None;
        }
        let target = read_link(directory.as_fd(), &name).ok()?;
        if target.starts_with(b"/") {
            done.clear();
        }
        ahead.extend(components(&target));
    }
    Some((done.join(&b'/'), last?))
}

/// The parts of a path, the first one last.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.rev().map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::sys::fs::open_root;

    fn reached(root: &std::path::Path, path: &[u8]) -> Option<Vec<u8>> {
        resolve(open_root(root).unwrap().as_fd(), path).map(|(path, _)| path)
    }

    #[test]
    fn links_are_followed_inside_and_a_loop_ends() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("etc/real")).unwrap();
        symlink("/etc/real", place.path().join("up")).unwrap();
        symlink("../../../etc", place.path().join("out")).unwrap();
        symlink("b", place.path().join("a")).unwrap();
        symlink("a", place.path().join("b")).unwrap();
        assert_eq!(reached(place.path(), b"up").as_deref(), Some(b"etc/real".as_slice()));
        assert_eq!(reached(place.path(), b"out/real").as_deref(), Some(b"etc/real".as_slice()));
        assert_eq!(reached(place.path(), b"out/passwd"), None, "the host's own is not beneath");
        assert_eq!(reached(place.path(), b"a"), None);
    }
}
