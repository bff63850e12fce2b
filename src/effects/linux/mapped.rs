//! Finds files that processes write to through shared mappings.
//!
//! A store to a dirty shared page moves no time stamp until the page is written back, so such files cannot be told from
//! unchanged ones by looking at them. `/proc/PID/maps` (proc_pid_maps(5)) names them while their owner stands still.

use std::collections::HashSet;
use std::fs;
use std::os::fd::BorrowedFd;
use std::path::Path;

use crate::kernel::cgroup::Walk;
use crate::sys::fs::{Access, open_beneath, stat};

/// Returns the inodes, in the tree at `upper`, of files mapped shared and writable by a process below a control group.
pub(super) fn shared_mappings(cgroup: &Path, upper: BorrowedFd<'_>) -> HashSet<u64> {
    let mut inodes = HashSet::new();
    for pid in processes(cgroup) {
        let maps = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
        for path in maps.split(|byte| *byte == b'\n').filter_map(mapped_path) {
            let opened = open_beneath(upper, path, Access::Place);
            if let Ok(metadata) = opened.and_then(|file| stat(std::os::fd::AsFd::as_fd(&file))) {
                inodes.insert(metadata.inode);
            }
        }
    }
    inodes
}

fn processes(cgroup: &Path) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let Ok(Some(mut walk)) = Walk::at(cgroup, usize::MAX) else { return found };
    loop {
        let listed = walk.read("cgroup.procs").unwrap_or_default();
        found.extend(listed.lines().map(str::to_owned));
        let Ok(Some(())) = walk.down() else { return found };
    }
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
    use proptest::prelude::*;

    #[test]
    fn only_shared_writable_files_count() {
        let shared = b"7f00-7f01 rw-s 00000000 00:2f 42      /var/lib/db/page file";
        assert_eq!(mapped_path(shared), Some(b"var/lib/db/page file".as_slice()));
        assert_eq!(mapped_path(b"7f00-7f01 rw-p 00000000 00:2f 42 /bin/sh"), None);
        assert_eq!(mapped_path(b"7f00-7f01 r--s 00000000 00:2f 42 /etc/x"), None);
        assert_eq!(mapped_path(b"7f00-7f01 rw-s 00000000 00:01 7 [anon]"), None);
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line: Vec<u8>) {
            let _ = mapped_path(&line);
        }
    }
}
