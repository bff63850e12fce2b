//! Finds files that processes write to through shared mappings.
//!
//! A store to a dirty shared page moves no time stamp until the page is written back, so such files cannot be told from
//! unchanged ones by looking at them. `/proc/PID/maps` (proc_pid_maps(5)) names them while their owner stands still.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::kernel::cgroup::Walk;
use crate::sys::fs::{Access, open_beneath, stat};

/// The longest piece of a path that is opened at once; the kernel takes 4095 bytes.
const PATH_MAX: usize = 4000;
/// ESRCH: the process has ended (errno(3)).
const NO_SUCH_PROCESS: i32 = 3;

/// Returns the inodes, in the tree at `upper`, of files mapped shared and writable by a process below a control group.
///
/// # Errors
/// A group, or what a process maps, cannot be read: a file that nobody knows of would be taken for unchanged.
pub(super) fn shared_mappings(cgroup: &Path, upper: BorrowedFd<'_>) -> io::Result<HashSet<u64>> {
    let mut inodes = HashSet::new();
    for pid in processes(cgroup)? {
        let maps = match fs::read(format!("/proc/{pid}/maps")) {
            Err(error) if is_of_the_dead(&error) => continue,
            maps => maps?,
        };
        for path in maps.split(|byte| *byte == b'\n').filter_map(mapped_path) {
            // A path that leads nowhere here is that of a layer below, of another mount, or of a file that was removed.
            if let Ok(metadata) = open_deep(upper, path).and_then(|file| stat(file.as_fd())) {
                inodes.insert(metadata.inode);
            }
        }
    }
    Ok(inodes)
}

fn is_of_the_dead(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(NO_SUCH_PROCESS)
}

fn processes(cgroup: &Path) -> io::Result<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    let Some(mut walk) = Walk::at(cgroup, usize::MAX)? else { return Ok(found) };
    loop {
        let listed = walk.read("cgroup.procs")?.unwrap_or_default();
        found.extend(listed.lines().map(str::to_owned));
        if walk.down()?.is_none() {
            return Ok(found);
        }
    }
}

/// Opens what may lie deeper than one call can say, a piece of the path after the other.
fn open_deep(root: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
    let cut = |path: &[u8]| path.get(..PATH_MAX)?.iter().rposition(|byte| *byte == b'/');
    let (mut place, mut rest) = (root.try_clone_to_owned()?, path);
    while let Some(end) = cut(rest) {
        place = open_beneath(place.as_fd(), &rest[..end], Access::Place)?;
        rest = &rest[end + 1..];
    }
    open_beneath(place.as_fd(), rest, Access::Place)
}

/// Returns the path of a line whose permissions are writable and shared, relative to the root of the mount.
fn mapped_path(line: &[u8]) -> Option<&[u8]> {
    let mut fields = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    let permissions = fields.nth(1)?;
    if permissions.get(1) != Some(&b'w') || permissions.get(3) != Some(&b's') {
        return None;
    }
    let start = line.iter().position(|byte| *byte == b'/')?;
    let path = line.get(start + 1..)?;
    Some(path.strip_suffix(b" (deleted)").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs::{DirectoryStack, create_file, make_directory, open_root, remove_tree};
    use proptest::prelude::*;

    #[test]
    fn only_shared_writable_files_count() {
        let shared = b"7f00-7f01 rw-s 00000000 00:2f 42      /var/lib/db/page file";
        assert_eq!(mapped_path(shared), Some(b"var/lib/db/page file".as_slice()));
        assert_eq!(mapped_path(b"7f00-7f01 rw-p 00000000 00:2f 42 /bin/sh"), None);
        assert_eq!(mapped_path(b"7f00-7f01 r--s 00000000 00:2f 42 /etc/x"), None);
        assert_eq!(mapped_path(b"7f00-7f01 rw-s 00000000 00:01 7 [anon]"), None);
    }

    #[test]
    fn a_group_that_cannot_be_read_is_an_error_and_one_that_is_gone_is_none() {
        let place = tempfile::tempdir().unwrap();
        let root = open_root(place.path()).unwrap();
        assert!(shared_mappings(&place.path().join("gone"), root.as_fd()).unwrap().is_empty());
        fs::write(place.path().join("cgroup.procs"), "4194305\n").unwrap(); // no process has this number
        assert!(shared_mappings(place.path(), root.as_fd()).unwrap().is_empty());
        fs::create_dir_all(place.path().join("below/cgroup.procs")).unwrap();
        assert!(shared_mappings(place.path(), root.as_fd()).is_err());
    }

    #[test]
    fn a_file_is_found_however_deep_it_lies() {
        let place = tempfile::tempdir().unwrap();
        let root = open_root(place.path()).unwrap();
        let mut stack = DirectoryStack::new(root.as_fd(), false).unwrap();
        let mut path = Vec::new();
        for _ in 0..60 {
            make_directory(stack.top().unwrap(), &[b'd'; 250], 0o755).unwrap();
            stack.push(&[b'd'; 250]).unwrap();
            path.extend([b'd'; 250]);
            path.push(b'/');
        }
        drop(create_file(stack.top().unwrap(), b"file", 0o600).unwrap());
        path.extend(b"file");
        assert!(open_deep(root.as_fd(), &path).is_ok());
        remove_tree(root.as_fd(), &[b'd'; 250]).unwrap();
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line: Vec<u8>) {
            let _ = mapped_path(&line);
        }
    }
}
