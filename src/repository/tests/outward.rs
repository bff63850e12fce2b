//! What a restore to a place outside the container brings along, and what the place gives it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use super::*;
use crate::repository::Outward;
use crate::sys::fs::xattr;
use crate::sys::fs::{self as sysfs, FileKind};
use crate::types::LeftOut;
use std::sync::atomic::Ordering;

const CALLER: Outward = Outward { owner: Some((1234, 4321)), privileges: false };

/// An access control list: user::rwx, user:2000:rwx, group::---, mask::rwx, other::---.
fn list() -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] =
        [(1, 7, u32::MAX), (2, 7, 2000), (4, 0, u32::MAX), (0x10, 7, u32::MAX), (0x20, 0, u32::MAX)];
    let entry = |(tag, bits, id): (u16, u16, u32)| {
        [tag.to_le_bytes().as_slice(), &bits.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    [2_u32.to_le_bytes().to_vec(), entries.map(entry).concat()].concat()
}

/// A capability of version 2: cap_sys_admin+ep.
fn capability() -> Vec<u8> {
    [0x0200_0001_u32, 1 << 21, 0, 0, 0].map(u32::to_le_bytes).concat()
}

fn set(path: &Path, name: &[u8], value: &[u8]) {
    xattr::set(std::fs::File::open(path).unwrap().as_fd(), name, value).unwrap();
}

fn attributes(path: &Path) -> Vec<Vec<u8>> {
    let (place, name) = (open_root(path.parent().unwrap()).unwrap(), path.file_name().unwrap());
    let found = xattr::read_at(place.as_fd(), std::os::unix::ffi::OsStrExt::as_bytes(name)).unwrap();
    found.into_iter().map(|(name, _)| name).filter(|name| !name.starts_with(b"security.selinux")).collect()
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn with_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    let root = crate::sys::process::effective_user() == 0;
    if !root {
        println!("skipped: owners, devices and capabilities are for root");
    }
    root
}

/// A tree as root inside a container can make it, and one that only a privileged container can.
fn trap(tree: &Path) {
    std::fs::create_dir_all(tree.join("srv/x")).unwrap();
    for name in ["sh", "c", "plain", "list"] {
        std::fs::write(tree.join("srv/x").join(name), name).unwrap();
    }
    std::fs::hard_link(tree.join("srv/x/sh"), tree.join("srv/x/sh2")).unwrap();
    with_mode(&tree.join("srv/x/sh"), 0o4755);
    with_mode(&tree.join("srv/x"), 0o2755);
    set(&tree.join("srv/x/c"), b"security.capability", &capability());
    set(&tree.join("srv/x/plain"), b"trusted.t", b"1");
    set(&tree.join("srv/x/plain"), b"user.u", b"1");
    set(&tree.join("srv/x/list"), b"system.posix_acl_access", &list());
    let place = open_root(&tree.join("srv/x")).unwrap();
    sysfs::make_node(place.as_fd(), b"mem", FileKind::CharDevice, 0o666, (1, 1)).unwrap();
    sysfs::make_node(place.as_fd(), b"disk", FileKind::BlockDevice, 0o666, (8, 0)).unwrap();
    std::os::unix::fs::symlink("/etc/shadow", tree.join("srv/x/link")).unwrap();
}

fn extracted(bench: &Bench, outward: Outward) -> RestoreReport {
    let (repository, _) = bench.create();
    let manifest = back_up(&repository, &bench.dir("tree"), options(), "one").unwrap();
    let target = bench.dir("out");
    let overwriting = RestoreOptions { overwrite: Some(b".aside-1".to_vec()), ..restore_options(IdMap::IDENTITY) };
    let view = repository.view(&manifest).unwrap();
    view.extract(vec![Pattern::new(b"/srv/x")], target.as_fd(), outward, &overwriting, &mut |_| {}).unwrap()
}

#[test]
fn nothing_that_the_host_would_obey_leaves_a_container() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    trap(&bench.path("tree"));
    let report = extracted(&bench, CALLER);
    assert_eq!(report.exceptions, []);
    // The directory and both names of the set-uid file.
    let counted = LeftOut { set_ids: 3, capabilities: 1, devices: 2, attributes: 1, access_lists: 1 };
    assert_eq!(report.left_out, counted);
    let out = bench.path("out/srv/x");
    assert_eq!((mode(&out), mode(&out.join("sh")), mode(&out.join("list"))), (0o755, 0o755, 0o700));
    assert_eq!(attributes(&out.join("c")), Vec::<Vec<u8>>::new());
    assert_eq!(attributes(&out.join("plain")), [b"user.u".to_vec()]);
    assert!(!out.join("mem").exists() && !out.join("disk").exists());
    for path in [&out, &out.join("sh"), &out.join("link"), &bench.path("out/srv")] {
        let found = std::fs::symlink_metadata(path).unwrap();
        assert_eq!((found.uid(), found.gid()), (1234, 4321), "{}", path.display());
    }
    let (sh, sh2) = (std::fs::metadata(out.join("sh")).unwrap(), std::fs::metadata(out.join("sh2")).unwrap());
    assert_eq!(sh.ino(), sh2.ino());
}

#[test]
fn nothing_is_written_into_what_is_closed() {
    let bench = Bench::new();
    for path in ["tree/a/own/deep", "out/a/own/deep"] {
        std::fs::create_dir_all(bench.path(path)).unwrap();
    }
    for path in ["tree/a/beside", "tree/a/own/log", "tree/a/own/deep/x"] {
        std::fs::write(bench.path(path), "theirs").unwrap();
    }
    let (repository, _) = bench.create();
    let view = repository.view(&back_up(&repository, &bench.dir("tree"), options(), "one").unwrap()).unwrap();
    let own = sysfs::stat(bench.dir("out/a/own").as_fd()).unwrap();
    let closed = vec![(own.inode, own.device)];
    let overwriting =
        RestoreOptions { overwrite: Some(b".aside-1".to_vec()), closed, ..restore_options(IdMap::IDENTITY) };
    for patterns in [vec![], vec![Pattern::new(b"/a/own/log")]] {
        let place = bench.dir("out");
        let report = view.extract(patterns, place.as_fd(), CALLER, &overwriting, &mut |_| {}).unwrap();
        assert!(report.missing > 0 && report.exceptions[0].reason.contains("keeps this directory"), "{report:?}");
    }
    assert!(bench.path("out/a/beside").exists());
    assert_eq!(std::fs::read_dir(bench.path("out/a/own")).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(bench.path("out/a/own/deep")).unwrap().count(), 0);
}

#[test]
fn everything_goes_along_where_that_is_asked() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    trap(&bench.path("tree"));
    let report = extracted(&bench, Outward::EVERYTHING);
    assert!(report.exceptions.is_empty() && report.left_out.is_empty(), "{report:?}");
    let out = bench.path("out/srv/x");
    assert_eq!((mode(&out), mode(&out.join("sh")), mode(&out.join("list"))), (0o2755, 0o4755, 0o770));
    assert_eq!(attributes(&out.join("c")), [b"security.capability".to_vec()]);
    assert!(out.join("mem").exists() && out.join("disk").exists());
}

#[test]
fn nothing_is_inherited_from_the_place_and_the_place_stays_what_it_is() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("tree/srv/x/deep")).unwrap();
    std::fs::write(bench.path("tree/srv/x/deep/f"), "x").unwrap();
    std::fs::write(bench.path("tree/srv/x/f"), "x").unwrap();
    with_mode(&bench.path("tree/srv/x/f"), 0o640);
    let out = bench.path("out");
    std::fs::create_dir_all(out.join("srv")).unwrap();
    for place in [&out, &out.join("srv")] {
        set(place, b"system.posix_acl_default", &list());
        with_mode(place, 0o2777);
        let directory = open_root(place).unwrap();
        let flags = sysfs::flags(directory.as_fd()).unwrap();
        let _ = sysfs::set_flags(directory.as_fd(), flags | 0x40); // nodump, where the file system has it
    }
    let report = extracted(&bench, CALLER);
    assert_eq!(report.exceptions, []);
    for name in ["srv/x", "srv/x/f", "srv/x/deep", "srv/x/deep/f"] {
        let path = out.join(name);
        assert_eq!(attributes(&path), Vec::<Vec<u8>>::new(), "{name}");
        assert_eq!(mode(&path), mode(&bench.path("tree").join(name)), "{name}");
        let flags = sysfs::flags(std::fs::File::open(&path).unwrap().as_fd()).unwrap();
        assert_eq!(sysfs::user_settable_flags(flags), 0, "{name}");
    }
    for place in [&out, &out.join("srv")] {
        assert_eq!((mode(place), std::fs::metadata(place).unwrap().uid()), (0o2777, 0));
        assert_eq!(attributes(place), [b"system.posix_acl_default".to_vec()]);
    }
}

#[test]
fn files_of_others_with_names_that_might_be_ours_stay() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("tree/srv/x")).unwrap();
    std::fs::write(bench.path("tree/srv/x/f"), "new").unwrap();
    std::fs::create_dir_all(bench.path("out/srv/x")).unwrap();
    for (name, content) in [("f", "old"), (".berth-restored", "mine")] {
        std::fs::write(bench.path("out/srv/x").join(name), content).unwrap();
    }
    extracted(&bench, Outward { owner: None, privileges: false });
    let names = std::fs::read_dir(bench.path("out/srv/x")).unwrap().count();
    let read = |name: &str| std::fs::read_to_string(bench.path("out/srv/x").join(name)).unwrap();
    assert_eq!((names, read("f").as_str(), read(".berth-restored").as_str()), (2, "new", "mine"));
}

/// Somebody who may write in the directory puts other things where the restore makes its own, as fast as he can.
#[test]
fn whoever_swaps_names_in_the_place_leads_nothing_out_of_it() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("tree/srv/x")).unwrap();
    for number in 0..40 {
        std::fs::create_dir(bench.path(&format!("tree/srv/x/d{number}"))).unwrap();
        std::fs::write(bench.path(&format!("tree/srv/x/d{number}/passwd")), "restored").unwrap();
        std::os::unix::fs::symlink("nowhere", bench.path(&format!("tree/srv/x/l{number}"))).unwrap();
    }
    std::fs::create_dir_all(bench.path("out/srv/x")).unwrap();
    std::fs::create_dir(bench.path("victim")).unwrap();
    std::fs::write(bench.path("victim/passwd"), "victim").unwrap();
    with_mode(&bench.path("victim/passwd"), 0o640);
    let swapping = "while :; do for n in $(seq 0 39); do \
        if [ -e out/srv/x/d$n ]; then mv out/srv/x/d$n moved/$n.$RANDOM; ln -s ../../../victim out/srv/x/d$n; fi; \
        if [ -h out/srv/x/l$n ]; then rm out/srv/x/l$n; ln victim/passwd out/srv/x/l$n; fi; done; done 2>/dev/null";
    std::fs::create_dir(bench.path("moved")).unwrap();
    let place = bench.path("victim").parent().unwrap().to_owned();
    let mut rival = Command::new("bash").args(["-c", swapping]).current_dir(place).spawn().unwrap();
    let report = extracted(&bench, CALLER);
    rival.kill().unwrap();
    rival.wait().unwrap();
    println!("{} exceptions", report.exceptions.len());
    let victim = std::fs::metadata(bench.path("victim/passwd")).unwrap();
    assert_eq!((victim.uid(), victim.gid(), victim.mode() & 0o7777), (0, 0, 0o640));
    assert_eq!(std::fs::read_to_string(bench.path("victim/passwd")).unwrap(), "victim");
    assert_eq!(std::fs::read_dir(bench.path("victim")).unwrap().count(), 1);
    assert_eq!(std::fs::metadata(bench.path("victim")).unwrap().uid(), 0);
}

#[test]
fn a_restore_that_was_cut_off_leaves_no_directory_closed_to_whom_it_belongs() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    trap(&bench.path("tree"));
    with_mode(&bench.path("tree/srv"), 0o751);
    let (repository, _) = bench.create();
    let manifest = back_up(&repository, &bench.dir("tree"), options(), "one").unwrap();
    let target = bench.dir("out");
    let cut = RestoreOptions { overwrite: Some(b".aside-1".to_vec()), ..restore_options(IdMap::IDENTITY) };
    let view = repository.view(&manifest).unwrap();
    let mut at_first = |_: &Counters| cut.cancelled.store(true, Ordering::Relaxed);
    let patterns = || vec![Pattern::new(b"/srv/x/plain")];
    let ended = view.extract(patterns(), target.as_fd(), CALLER, &cut, &mut at_first);
    assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");

    std::fs::create_dir(bench.path("out/.aside-1")).unwrap(); // as an earlier try leaves it that died before the name was given
    let again = RestoreOptions { cancelled: Arc::default(), ..cut };
    let report = view.extract(patterns(), target.as_fd(), CALLER, &again, &mut |_| {}).unwrap();
    assert_eq!(report.exceptions, []);
    let lead = std::fs::metadata(bench.path("out/srv")).unwrap();
    assert_eq!((mode(&bench.path("out/srv")), lead.uid(), lead.gid()), (0o751, 1234, 4321));
    assert!(bench.path("out/srv/x/plain").exists());
}
