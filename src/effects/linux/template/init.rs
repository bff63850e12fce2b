//! Finds out what a tree starts as process 1 and what it calls itself.

use std::os::fd::BorrowedFd;

use crate::events::InitKind;
use crate::sys::fs::{Access, AsFd, FileKind, open_beneath, read_at, resolve};

const OS_RELEASE_MAX: usize = 64 << 10;

/// Returns the kind of `/sbin/init`; nothing if there is none, so that only commands can run.
pub(super) fn init_of(root: BorrowedFd<'_>) -> Option<InitKind> {
    let (path, metadata) = resolve(root, b"sbin/init").or_else(|| resolve(root, b"usr/sbin/init"))?;
    if metadata.kind != FileKind::Regular || metadata.mode & 0o111 == 0 {
        return None;
    }
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let openrc = || [b"sbin/openrc".as_slice(), b"usr/sbin/openrc"].iter().any(|path| resolve(root, path).is_some());
    Some(match name {
        b"systemd" => InitKind::Systemd,
        b"busybox" | b"busybox.static" if openrc() => InitKind::Openrc,
        b"busybox" | b"busybox.static" => InitKind::Busybox,
        b"openrc-init" => InitKind::Openrc,
        _ if openrc() => InitKind::Openrc,
        _ => InitKind::Other,
    })
}

/// Returns what `/etc/os-release` calls the system (os-release(5), `PRETTY_NAME`).
pub(super) fn system_of(root: BorrowedFd<'_>) -> Option<String> {
    let text = [b"etc/os-release".as_slice(), b"usr/lib/os-release"].iter().find_map(|path| {
        let (path, _) = resolve(root, path)?;
        let file = open_beneath(root, &path, Access::Read).ok()?;
        let mut bytes = vec![0; OS_RELEASE_MAX];
        let count = read_at(file.as_fd(), &mut bytes, 0).ok()?;
        Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
    })?;
    let value = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    let name = value.trim().trim_matches(['"', '\'']).chars().filter(|character| !character.is_control());
    Some(name.take(200).collect()).filter(|name: &String| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs::open_root;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn tree() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for path in ["usr/sbin", "usr/lib/systemd", "etc", "bin"] {
            std::fs::create_dir_all(place.path().join(path)).unwrap();
        }
        symlink("usr/sbin", place.path().join("sbin")).unwrap();
        symlink("/usr/lib", place.path().join("lib")).unwrap();
        place
    }

    fn program(path: &std::path::Path) {
        std::fs::write(path, b"x").unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn an_init_is_found_through_the_tree_s_own_links_and_never_outside() {
        let place = tree();
        let root = || open_root(place.path()).unwrap();
        assert_eq!(init_of(root().as_fd()), None);
        symlink("/lib/systemd/systemd", place.path().join("usr/sbin/init")).unwrap();
        assert_eq!(init_of(root().as_fd()), None, "the host's own systemd is not the tree's");
        program(&place.path().join("usr/lib/systemd/systemd"));
        assert_eq!(init_of(root().as_fd()), Some(InitKind::Systemd));
        std::fs::remove_file(place.path().join("usr/sbin/init")).unwrap();
        symlink("../../../../bin/busybox", place.path().join("usr/sbin/init")).unwrap();
        program(&place.path().join("bin/busybox"));
        assert_eq!(init_of(root().as_fd()), Some(InitKind::Busybox));
        program(&place.path().join("usr/sbin/openrc"));
        assert_eq!(init_of(root().as_fd()), Some(InitKind::Openrc));
    }

    #[test]
    fn the_system_s_name_is_read() {
        let place = tree();
        std::fs::write(place.path().join("usr/lib/os-release"), "ID=x\nPRETTY_NAME=\"Some Linux 1\"\n").unwrap();
        symlink("../usr/lib/os-release", place.path().join("etc/os-release")).unwrap();
        assert_eq!(system_of(open_root(place.path()).unwrap().as_fd()).as_deref(), Some("Some Linux 1"));
    }
}
