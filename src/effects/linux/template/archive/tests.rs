//! Archives of every kind become the tree they were made of; hostile ones become nothing.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;

use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use super::*;
use crate::repository::IdMap;
use crate::repository::catalogue::tree_digest;
use crate::sys::fs::xattr;
use crate::sys::fs::{Access, open_beneath, open_root};

fn digest(root: &Path) -> [u8; 32] {
    tree_digest(open_root(root).unwrap().as_fd(), IdMap::IDENTITY, &|| false).unwrap()
}

fn unpack(archive: &Path, into: &Path) -> Result<(), Failure> {
    fs::create_dir_all(into).unwrap();
    let mut writer = TreeWriter::new(open_root(into).unwrap());
    writer.directory(b"", Attributes::of_root(0o755))?;
    extract(archive, &mut writer, &Watch::NONE)?;
    writer.finish()
}

fn source(place: &Path) -> std::path::PathBuf {
    let source = place.join("source");
    let long = "d".repeat(120);
    fs::create_dir_all(source.join(&long).join(&long)).unwrap();
    fs::write(source.join(&long).join(&long).join("long"), b"content").unwrap();
    fs::write(source.join("plain"), vec![7; 70_000]).unwrap();
    fs::hard_link(source.join("plain"), source.join("zweite")).unwrap();
    symlink(format!("/somewhere/{long}"), source.join("link")).unwrap();
    let sparse = fs::File::create(source.join("sparse")).unwrap();
    sparse.set_len(32 << 20).unwrap();
    for piece in 0..40_u64 {
        std::os::unix::fs::FileExt::write_at(&sparse, b"data", piece * 700_000).unwrap();
    }
    let root = open_root(&source).unwrap();
    let plain = open_beneath(root.as_fd(), b"plain", Access::Place).unwrap();
    xattr::set(plain.as_fd(), b"user.binary", b"a\n\x00\xff=").unwrap();
    source
}

fn tar(arguments: &[&str], source: &Path, archive: &Path) -> bool {
    let status = Command::new("tar").args(arguments).arg("-f").arg(archive).arg("-C").arg(source).arg(".").status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn an_archive_of_every_format_and_compression_becomes_the_tree_it_was_made_of() {
    let place = tempfile::tempdir().unwrap();
    let source = source(place.path());
    let wanted = digest(&source);
    for (name, arguments) in [
        ("pax", vec!["--format=pax", "--xattrs", "--acls", "--sparse", "-c"]),
        ("pax-0.1", vec!["--format=pax", "--xattrs", "--sparse", "--sparse-version=0.1", "-c"]),
        ("gz", vec!["--format=pax", "--xattrs", "-cz"]),
        ("xz", vec!["--format=pax", "--xattrs", "-cJ"]),
        ("zst", vec!["--format=pax", "--xattrs", "--zstd", "-c"]),
    ] {
        let (archive, into) = (place.path().join(name), place.path().join(format!("{name}.tree")));
        if !tar(&arguments, &source, &archive) {
            println!("skipped: tar cannot make {name} here");
            continue;
        }
        unpack(&archive, &into).unwrap();
        assert_eq!(digest(&into), wanted, "{name}");
        if name.starts_with("pax") {
            assert!(fs::metadata(into.join("sparse")).unwrap().blocks() < 2000, "{name}: holes stay holes");
        }
    }
}

/// Appends a file that is one hole but for its last three bytes, in the sparse format 0.1 of pax.
fn append_hole(archive: &mut Builder<fs::File>, name: &str, size: u64) {
    let map = format!("{},3", size - 3);
    let size = size.to_string();
    let told = [("GNU.sparse.size", size.as_str()), ("GNU.sparse.numblocks", "1"), ("GNU.sparse.map", map.as_str())];
    archive.append_pax_extensions(told.map(|(key, value)| (key, value.as_bytes()))).unwrap();
    let mut header = Header::new_ustar();
    header.set_size(3);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    archive.append_data(&mut header, name, &b"end"[..]).unwrap();
}

#[test]
fn files_that_no_disk_of_a_container_could_hold_are_refused_by_name_and_size() {
    let place = tempfile::tempdir().unwrap();
    let one: u64 = 1 << 40;
    for (number, (files, told)) in [
        (vec![("f", 17 * one)], "\"f\" has 17 TiB, holes"),
        (vec![("a", 15 * one), ("b", 2 * one)], "with \"b\", of 2 TiB, the files have 17 TiB, holes"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = place.path().join(format!("{number}.tar"));
        let mut archive = Builder::new(fs::File::create(&path).unwrap());
        for (name, size) in files {
            append_hole(&mut archive, name, size);
        }
        archive.finish().unwrap();
        let failure = unpack(&path, &place.path().join(number.to_string())).unwrap_err();
        assert!(failure.reason.contains(told), "{failure}");
        assert_eq!(failure.class, Some(crate::domain::RefusalClass::Invalid));
    }
}

#[test]
fn the_old_gnu_format_keeps_long_names_and_sparse_files() {
    let place = tempfile::tempdir().unwrap();
    let source = source(place.path());
    let (archive, into) = (place.path().join("gnu"), place.path().join("tree"));
    assert!(tar(&["--format=gnu", "--sparse", "-c"], &source, &archive));
    unpack(&archive, &into).unwrap();
    let long = "d".repeat(120);
    assert_eq!(fs::read(into.join(&long).join(&long).join("long")).unwrap(), b"content");
    assert_eq!(fs::read(into.join("sparse")).unwrap(), fs::read(source.join("sparse")).unwrap());
    assert!(fs::metadata(into.join("sparse")).unwrap().blocks() < 2000);
}

fn member(kind: EntryType, name: &[u8], link: &[u8]) -> Header {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    header.set_size(0);
    header.set_device_major(8).unwrap();
    header.set_device_minor(0).unwrap();
    header.set_cksum();
    header
}

fn archive_of(path: &Path, members: &[Header]) {
    let mut builder = Builder::new(fs::File::create(path).unwrap());
    for header in members {
        builder.append(header, std::io::empty()).unwrap();
    }
    builder.finish().unwrap();
}

#[test]
fn hostile_archives_are_refused_by_name_and_reach_nothing_outside() {
    let place = tempfile::tempdir().unwrap();
    let outside = place.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), b"secret").unwrap();
    let target = outside.as_os_str().as_encoded_bytes().to_vec();
    let secret = outside.join("secret").as_os_str().as_encoded_bytes().to_vec();
    let cases: Vec<(&str, Vec<Header>)> = vec![
        ("out", vec![member(EntryType::Regular, b"../escaped", b"")]),
        ("deep", vec![member(EntryType::Regular, b"a/../../escaped", b"")]),
        ("absolute", vec![member(EntryType::Regular, b"/tmp/berth-escaped", b"")]),
        ("link", vec![member(EntryType::Symlink, b"l", &target), member(EntryType::Regular, b"l/escaped", b"")]),
        ("relative", vec![member(EntryType::Symlink, b"l", b"../outside"), member(EntryType::Regular, b"l/x", b"")]),
        ("hard", vec![member(EntryType::Link, b"h", &secret)]),
        ("hard-up", vec![member(EntryType::Link, b"h", b"../outside/secret")]),
        ("hard-through", vec![member(EntryType::Symlink, b"l", &target), member(EntryType::Link, b"h", b"l/secret")]),
        ("disk", vec![member(EntryType::Block, b"sda", b"")]),
        ("root", vec![member(EntryType::Symlink, b".", b"/")]),
        ("file", vec![member(EntryType::Regular, b"f", b""), member(EntryType::Regular, b"f/x", b"")]),
        ("hard-first", vec![member(EntryType::Link, b"h", b"later"), member(EntryType::Regular, b"later", b"")]),
    ];
    let told = [
        ("link", "\"l\" above it is a symbolic link, and links are not followed"),
        ("file", "\"f\" above it is no directory"),
        ("hard-first", "it is a hard link to \"later\", which is not in the archive before it"),
    ];
    for (name, members) in cases {
        let archive = place.path().join(name);
        archive_of(&archive, &members);
        let error = unpack(&archive, &place.path().join(format!("{name}.tree"))).unwrap_err();
        let words = told.iter().find(|(case, _)| *case == name).map_or("", |(_, words)| words);
        assert!(error.reason.ends_with(words) && error.reason.contains("is refused: "), "{name}: {}", error.reason);
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{name}");
    }
    assert!(!place.path().join("escaped").exists() && !Path::new("/tmp/berth-escaped").exists());
    assert_eq!(fs::metadata(outside.join("secret")).unwrap().nlink(), 1);
}

#[test]
fn a_later_member_replaces_an_earlier_one() {
    let place = tempfile::tempdir().unwrap();
    let archive = place.path().join("twice");
    archive_of(
        &archive,
        &[
            member(EntryType::Directory, b"a/", b""),
            member(EntryType::Symlink, b"a", b"/etc"),
            member(EntryType::Symlink, b"b", b"/etc/passwd"),
            member(EntryType::Regular, b"b", b""),
        ],
    );
    unpack(&archive, &place.path().join("tree")).unwrap();
    assert!(place.path().join("tree/a").is_symlink());
    assert!(fs::symlink_metadata(place.path().join("tree/b")).unwrap().is_file());
}

#[test]
fn what_is_cut_off_or_no_archive_is_said_to_be() {
    let place = tempfile::tempdir().unwrap();
    let source = source(place.path());
    for (kind, arguments) in [("plain", ["-c", "-v"]), ("gz", ["-cz", "-v"]), ("zst", ["--zstd", "-c"])] {
        let archive = place.path().join(kind);
        if !tar(&arguments[..], &source, &archive) {
            continue;
        }
        let bytes = fs::read(&archive).unwrap();
        fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
        assert!(unpack(&archive, &place.path().join(format!("{kind}.cut"))).is_err(), "{kind}");
    }
    for (name, bytes, word) in [
        ("text", b"hello world".repeat(100), "no tar archive"),
        ("short", b"hello".to_vec(), "no tar archive"),
        ("empty", Vec::new(), "empty"),
        ("zip", b"PK\x03\x04rest".to_vec(), "zip"),
    ] {
        let archive = place.path().join(name);
        fs::File::create(&archive).unwrap().write_all(&bytes).unwrap();
        let error = unpack(&archive, &place.path().join(format!("{name}.tree"))).unwrap_err();
        assert!(error.reason.contains(word), "{name}: {error}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(mut bytes in proptest::collection::vec(any::<u8>(), 512..3000), valid: bool, kind in 0_u8..128) {
        if valid {
            // A header that passes the checksum, so that what is behind it is reached.
            bytes[124..136].copy_from_slice(b"00000001000\0");
            bytes[156] = kind;
            bytes[148..156].fill(b' ');
            let sum: u32 = bytes[..512].iter().map(|byte| u32::from(*byte)).sum();
            bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let mut reader = Reader::new(bytes.as_slice());
        while let Ok(Some(_)) = reader.next() {}
    }
}
