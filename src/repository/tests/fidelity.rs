//! The tree that loses something in every other tool: there and back, whole, incrementally, and to another range of ids.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::*;
use crate::sys::fs::{
    self, Access as FileAccess, FileKind, Moment, create_file, link, make_directory, make_node, make_symlink,
    open_beneath, set_length, set_mode, set_owner, set_times, write_at,
};

/// Builds the tree at `root` with ids from `base` on; `false` and the reason printed where the kernel refuses devices.
fn build(root: &Path, base: u32) -> bool {
    let top = open_root(root).unwrap();
    let top = top.as_fd();
    if let Err(error) = make_node(top, b"chr", FileKind::CharDevice, 0o620, (1, 3)) {
        println!("skipped: this kernel or user may not make devices: {error}");
        return false;
    }
    nodes_and_names(root, top);
    contents(top);
    attributes(top, base);
    owners_and_times(top, base);
    true
}

fn place(top: fs::BorrowedFd<'_>, path: &[u8]) -> OwnedFd {
    open_beneath(top, path, FileAccess::Place).unwrap()
}

fn nodes_and_names(root: &Path, top: fs::BorrowedFd<'_>) {
    for name in [b"dir".as_slice(), b"setgid", b"empty", b"marked"] {
        make_directory(top, name, 0o755).unwrap();
    }
    let dir = open_beneath(top, b"dir", FileAccess::Directory).unwrap();
    make_directory(dir.as_fd(), b"opq", 0o700).unwrap();
    make_node(top, b"wh", FileKind::CharDevice, 0, (0, 0)).unwrap();
    make_node(top, b"blk", FileKind::BlockDevice, 0o660, (7, 3)).unwrap();
    make_node(top, b"bigdev", FileKind::BlockDevice, 0o600, (300, 70_000)).unwrap();
    make_node(top, b"ff", FileKind::Fifo, 0o622, (0, 0)).unwrap();
    // A bound socket's name stays when the listener is gone.
    drop(UnixListener::bind(root.join("sock")).unwrap());
    make_symlink(top, b"lnk", b"/nonexist").unwrap();
    make_symlink(top, b"lnkbad", b"t\xff").unwrap();
    for name in
        [b"a".as_slice(), b"suid", b"acl", b"oldtime", b"future", b"cap", b"cap3", b"bad\xff\xfename", b"marked/im"]
    {
        let file = create_file(top, name, 0o644).unwrap();
        write_at(file.as_fd(), b"hi\n", 0).unwrap();
    }
    link(place(top, b"a").as_fd(), dir.as_fd(), b"a2").unwrap();
    link(place(top, b"a").as_fd(), top, b"a3").unwrap();
    link(place(top, b"lnk").as_fd(), top, b"lnk_hl").unwrap();
    link(place(top, b"chr").as_fd(), top, b"chr_hl").unwrap();
    link(place(top, b"ff").as_fd(), dir.as_fd(), b"ff_hl").unwrap();
    link(place(top, b"sock").as_fd(), dir.as_fd(), b"sock_hl").unwrap();
}

fn contents(top: fs::BorrowedFd<'_>) {
    let sparse = create_file(top, b"sparse", 0o600).unwrap();
    set_length(sparse.as_fd(), 50 << 20).unwrap();
    write_at(sparse.as_fd(), b"x", 30_000_000).unwrap();
    write_at(sparse.as_fd(), &noise(700_000, 3), 4096 * 1000).unwrap();
    let hole = create_file(top, b"only-hole", 0o600).unwrap();
    set_length(hole.as_fd(), 1_234_567).unwrap();
    let large = create_file(top, b"large", 0o600).unwrap();
    write_at(large.as_fd(), &noise(9_000_001, 4), 0).unwrap();
    for (name, length) in [(b"bundled".as_slice(), 16_384), (b"whole", 524_288), (b"cut", 524_289)] {
        let file = create_file(top, name, 0o600).unwrap();
        write_at(file.as_fd(), &noise(length, 5), 0).unwrap();
    }
    let zeros = create_file(top, b"zeros", 0o600).unwrap();
    write_at(zeros.as_fd(), &vec![0; 100_000], 0).unwrap();
}

fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut value = 2_u32.to_le_bytes().to_vec();
    for (tag, permission, id) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(permission.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    value
}

pub(super) fn attributes(top: fs::BorrowedFd<'_>, base: u32) {
    const NONE: u32 = u32::MAX;
    let set = |path: &[u8], name: &str, value: &[u8]| {
        xattr::set(place(top, path).as_fd(), name.as_bytes(), value).unwrap();
    };
    set(b"dir/opq", "trusted.overlay.opaque", b"y");
    set(b"dir/opq", "user.overlay.opaque", b"y");
    set(b"dir", "trusted.overlay.redirect", b"/old dir");
    set(b"dir", "user.overlay.redirect", b"old");
    set(b"lnk", "trusted.foo", b"bar");
    set(b"chr", "trusted.on.device", b"1");
    set(b"a", "user.bin", b"a\0b\xff");
    set(b"acl", "user.empty", b"");
    let named =
        acl(&[(1, 6, NONE), (2, 6, base + 1234), (4, 4, NONE), (8, 5, base + 77), (16, 7, NONE), (32, 4, NONE)]);
    set(b"acl", "system.posix_acl_access", &named);
    let default = acl(&[(1, 7, NONE), (4, 5, NONE), (8, 5, base + 78), (16, 5, NONE), (32, 5, NONE)]);
    set(b"dir", "system.posix_acl_default", &default);
    let mut capability = vec![0; 24];
    capability[..8].copy_from_slice(&[1, 0, 0, 2, 0, 0x20, 0, 0]);
    set(b"cap", "security.capability", &capability[..20]);
    capability[3] = 3;
    capability[20..].copy_from_slice(&(base + 5).to_le_bytes());
    set(b"cap3", "security.capability", &capability);
}

fn owners_and_times(top: fs::BorrowedFd<'_>, base: u32) {
    set_owner(place(top, b"lnk").as_fd(), base + 12_345, base + 54_321).unwrap();
    set_owner(place(top, b"suid").as_fd(), base + 1, base + 2).unwrap();
    for (path, mode) in [(b"suid".as_slice(), 0o6755), (b"setgid", 0o2775), (b"dir", 0o1777), (b"bigdev", 0o4421)] {
        set_mode(place(top, path).as_fd(), mode).unwrap();
    }
    let times: [(&[u8], i64, u32); 8] = [
        (b"lnk", 981_173_106, 123_456_789),
        (b"oldtime", -315_619_200, 0),
        (b"oldtime", -2_000_000_000, 999_999_999),
        (b"future", 10_413_792_000, 500_000_000),
        (b"ff", 5, 1),
        (b"a", 1_588_655_105, 987_654_321),
        (b"dir", 1_588_655_105, 987_654_321),
        (b"", 1_000_000_000, 1),
    ];
    for (path, seconds, nanos) in times {
        set_times(place(top, path).as_fd(), Moment { seconds, nanos }).unwrap();
    }
    set_mode(place(top, b"").as_fd(), 0o751).unwrap();
    xattr::set(place(top, b"").as_fd(), b"user.root", b"itself").unwrap();
    mark(top, b"marked/im", fs::FLAG_IMMUTABLE);
    mark(top, b"marked", 0x40 | fs::FLAG_APPEND);
}

fn mark(top: fs::BorrowedFd<'_>, path: &[u8], flags: u32) {
    let file = open_beneath(top, path, FileAccess::Read).unwrap();
    let before = fs::flags(file.as_fd()).unwrap();
    if let Err(error) = fs::set_flags(file.as_fd(), before | flags) {
        println!("flags are not tested: {error}");
    }
}

#[test]
fn the_nasty_tree_survives_a_full_round_trip() {
    let bench = Bench::new();
    if !build(&bench.path("tree"), 0) {
        return;
    }
    let (repository, _) = bench.create();
    let manifest = back_up(&repository, &bench.dir("tree"), options(), "one").unwrap();
    assert_eq!((manifest.outcome, &manifest.exceptions), (Outcome::Complete, &Vec::new()));
    let report = bench.restored(&repository, manifest.id, "out", IdMap::IDENTITY);
    assert_eq!(report.exceptions, []);
    assert_same(&facts(&bench.path("tree")), &facts(&bench.path("out")));
    assert!(repository.verify(&mut |_| true).unwrap().is_clean());
}

#[test]
fn the_nasty_tree_survives_an_incremental_round_trip() {
    let bench = Bench::new();
    if !build(&bench.path("tree"), 0) {
        return;
    }
    let (repository, _) = bench.create();
    let first = back_up(&repository, &bench.dir("tree"), options(), "one").unwrap();
    let tree = bench.path("tree");
    std::fs::write(tree.join("a"), b"changed").unwrap();
    std::fs::remove_file(tree.join("whole")).unwrap();
    std::fs::rename(tree.join("cut"), tree.join("dir/moved")).unwrap();
    std::fs::remove_file(tree.join("a3")).unwrap();
    xattr::set(place(bench.dir("tree").as_fd(), b"suid").as_fd(), b"user.new", b"1").unwrap();
    let incremental = BackupOptions { base: Some(first.id), ..options() };
    let second = back_up(&repository, &bench.dir("tree"), incremental, "two").unwrap();
    assert_eq!(second.kind, BackupKind::Incremental);
    // Only "a", "suid" and the moved file (another ctime) were read; of those only "a" is new.
    assert_eq!(second.counters.read_bytes, 7 + 3 + 524_289);
    assert!(second.counters.new_bytes < 20_000, "{:?}", second.counters);
    repository.delete(first.id).unwrap();
    assert_eq!(bench.restored(&repository, second.id, "out", IdMap::IDENTITY).exceptions, []);
    assert_same(&facts(&tree), &facts(&bench.path("out")));
}

#[test]
fn the_nasty_tree_moves_from_one_range_of_ids_to_another() {
    const OLD: u32 = 1_000_000;
    const NEW: u32 = 3_000_000;
    let bench = Bench::new();
    if !build(&bench.path("tree"), OLD) {
        return;
    }
    let stranger = bench.path("tree").join(OsStr::from_bytes(b"bad\xff\xfename"));
    std::os::unix::fs::chown(&stranger, Some(7), Some(OLD + 8)).unwrap();
    let (repository, _) = bench.create();
    let shifted = BackupOptions { ids: IdMap::new(OLD, 65_536), ..options() };
    let manifest = back_up(&repository, &bench.dir("tree"), shifted, "one").unwrap();
    assert_eq!(bench.restored(&repository, manifest.id, "out", IdMap::new(NEW, 65_536)).exceptions, []);
    // The oracle: the same tree built in the new range, with the stranger's owner left alone.
    let mut wanted = facts(&bench.path("tree"));
    let moved = |id: u32| if (OLD..OLD + 65_536).contains(&id) { id - OLD + NEW } else { id };
    for facts in wanted.values_mut() {
        (facts.uid, facts.gid) = (moved(facts.uid), moved(facts.gid));
    }
    std::fs::create_dir(bench.path("oracle")).unwrap();
    assert!(build(&bench.path("oracle"), NEW));
    for (path, oracle) in facts(&bench.path("oracle")) {
        wanted.get_mut(&path).unwrap().attributes = oracle.attributes;
    }
    assert_same(&wanted, &facts(&bench.path("out")));
}
