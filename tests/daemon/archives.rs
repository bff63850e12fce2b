//! Archives that lead out of the tree, lie about themselves, are broken or are none: each is refused by name, nothing is
//! written outside, and nothing is left of the template.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tar::{EntryType, Header};

use crate::check;
use crate::fixture::Node;
use crate::harness::{Outcome, Stop, Test};

pub const TESTS: &[Test] = &[
    ("archives that lead out of the tree are refused and reach nothing", outside),
    ("archives that lie about themselves, are broken or none are refused", broken),
    ("odd but honest archives are taken, and stay inside", honest),
];

/// A member: its kind, name, target of a link, content, and device numbers.
fn member(kind: EntryType, name: &str, target: &str, content: &[u8], device: (u32, u32)) -> Vec<u8> {
    let mut header = Header::new_gnu();
    // The crate's own setters refuse what a hostile archive has.
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    header.set_size(content.len() as u64);
    header.set_device_major(device.0).unwrap();
    header.set_device_minor(device.1).unwrap();
    header.set_cksum();
    let mut bytes = [header.as_bytes(), content].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str) -> Vec<u8> {
    member(EntryType::Regular, name, "", b"content", (0, 0))
}

fn link(kind: EntryType, name: &str, target: &str) -> Vec<u8> {
    member(kind, name, target, b"", (0, 0))
}

fn device(kind: EntryType, numbers: (u32, u32)) -> Vec<u8> {
    member(kind, "dev/node", "", b"", numbers)
}

/// A record of a pax header that says of the next member what it is.
fn pax(kind: EntryType, key: &str, value: &str) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let length = (1..9).map(|digits| body + digits).find(|sum| sum.to_string().len() + body == *sum).unwrap();
    member(kind, "pax", "", format!("{length} {key}={value}\n").as_bytes(), (0, 0))
}

fn write(path: &Path, members: &[Vec<u8>]) -> Outcome {
    let mut file = fs::File::create(path)?;
    file.write_all(&members.concat())?;
    Ok(file.write_all(&[0; 1024])?)
}

fn import(node: &Node, name: &str, archive: &Path) -> Result<crate::fixture::Answer, Stop> {
    node.berth(&["template", "create", name, "--from-tar", &archive.to_string_lossy()])
}

/// The archive is refused with these words, and there is no such template then, nor a folder of it.
fn refused(node: &Node, name: &str, archive: &Path, words: &str) -> Outcome {
    let answer = import(node, name, archive)?;
    check!(
        [1, 2].contains(&answer.code) && answer.err.contains(words),
        "{name}: not refused with {words:?}: {answer:?}"
    );
    check!(answer.word() == "operation.failed", "{name}: {answer:?}");
    node.settle()?;
    let row = node.api().get(&format!("/v1/templates/{name}"))?;
    check!(row.status == 404 || row.body["state"] == "failed", "{name} is there: {row:?}");
    let left = fs::read_dir(node.state().join("templates"))?.count();
    check!(left == 0, "{name} left {left} folders");
    Ok(())
}

fn outside() -> Outcome {
    let node = Node::begin("archives-outside")?;
    let victim = node.place.join("victim");
    fs::create_dir_all(&victim)?;
    fs::write(victim.join("secret"), "secret")?;
    let (folder, secret) =
        (victim.to_string_lossy().into_owned(), victim.join("secret").to_string_lossy().into_owned());
    let symlink = |target| link(EntryType::Symlink, "l", target);
    let up = "leads out of the tree";
    let cases: Vec<(&str, &str, Vec<Vec<u8>>)> = vec![
        ("absolute", up, vec![file(&format!("{folder}/escaped"))]),
        ("dots", up, vec![file("../escaped")]),
        ("dots-below", up, vec![file("a/b/../../../escaped")]),
        ("long-name", up, vec![pax(EntryType::XHeader, "path", "../escaped"), file("harmless")]),
        ("through-link", "l/escaped", vec![symlink(&folder), file("l/escaped")]),
        ("through-dots", "l/escaped", vec![symlink("../../victim"), file("l/escaped")]),
        ("over-link", "l/escaped", vec![symlink(&folder), link(EntryType::Symlink, "l/escaped", "/etc/passwd")]),
        ("hard", up, vec![link(EntryType::Link, "h", &secret)]),
        ("hard-dots", up, vec![link(EntryType::Link, "h", "../../victim/secret")]),
        ("hard-through", "", vec![symlink(&folder), link(EntryType::Link, "h", "l/secret")]),
        ("hard-nothing", "", vec![link(EntryType::Link, "h", "never-brought")]),
        ("root-link", "root of a tree", vec![link(EntryType::Symlink, ".", "/")]),
        ("disk", "254:0", vec![device(EntryType::Block, (254, 0))]),
        ("memory", "1:1", vec![device(EntryType::Char, (1, 1))]),
        ("null-as-disk", "1:3", vec![device(EntryType::Block, (1, 3))]),
    ];
    for (name, words, members) in cases {
        let archive = node.place.join(name);
        write(&archive, &[vec![file("etc/before")], members].concat())?;
        refused(&node, name, &archive, words)?;
        let found = fs::read_dir(&victim)?.count();
        check!(found == 1, "{name} wrote to {folder}");
    }
    // Whoever asks again, or hears late of what he asked for, is not told that it was done.
    let archive = node.place.join("dots").to_string_lossy().into_owned();
    let body = serde_json::json!({"name": "again", "source": {"from": "archive", "path": archive}});
    let ask = || node.api().ask("POST", "/v1/templates", Some("the-same"), Some(&body));
    let first = ask()?;
    check!(first.status == 202, "{first:?}");
    node.settle()?;
    let second = ask()?;
    check!(second.body["repeated"] == true && second.body["done"] == false, "{second:?}");
    let kept = fs::metadata(victim.join("secret"))?;
    check!(kept.nlink() == 1 && kept.mode() & 0o777 != 0o755, "the file outside was changed: {kept:?}");
    node.finish()
}

fn broken() -> Outcome {
    let node = Node::begin("archives-broken")?;
    let huge = u64::MAX.to_string();
    let sized = |kind| vec![pax(EntryType::XHeader, "size", &huge), member(kind, "x", "", b"", (0, 0))];
    let mut claims = member(EntryType::XHeader, "pax", "", b"", (0, 0));
    claims[124..136].copy_from_slice(b"77777777777\0");
    resum(&mut claims);
    // Each header is small enough; all that are kept for later are not.
    let many = vec![pax(EntryType::XGlobalHeader, "comment", &"x".repeat(1 << 20)); 9];
    let cases: Vec<(&str, &str, Vec<Vec<u8>>)> = vec![
        ("huge-header", "8 MiB", vec![claims, file("x")]),
        ("many-headers", "8 MiB", [many, vec![file("x")]].concat()),
        ("huge-file", "16 TiB at the most", sized(EntryType::Regular)),
        ("huge-folder", "too early", sized(EntryType::Directory)),
        ("sparse", "sparse", vec![pax(EntryType::XHeader, "GNU.sparse.realsize", &huge), file("x")]),
        ("unknown", "not supported", vec![member(EntryType::new(b'Z'), "x", "", b"", (0, 0))]),
        ("damaged", "damaged", vec![file("x"), vec![7; 512]]),
    ];
    for (name, words, members) in cases {
        let archive = node.place.join(name);
        write(&archive, &members)?;
        refused(&node, name, &archive, words)?;
    }
    let whole = [file("a"), member(EntryType::Regular, "b", "", &vec![7; 100_000], (0, 0))].concat();
    let raw: [(&str, &str, Vec<u8>); 5] = [
        ("cut", "too early", whole[..whole.len() / 2].to_vec()),
        ("cut-gz", "", [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[1, 2, 3]].concat()),
        ("noise", "no tar archive", b"this is no archive at all, only words".repeat(50)),
        ("empty", "empty", vec![]),
        ("zip", "zip", [b"PK\x03\x04".as_slice(), &[0; 600]].concat()),
    ];
    for (name, words, bytes) in raw {
        let archive = node.place.join(name);
        fs::write(&archive, bytes)?;
        refused(&node, name, &archive, words)?;
    }
    let absent = import(&node, "absent", &node.place.join("absent"))?;
    check!(absent.code == 5 && absent.word() == "path.not-found", "{absent:?}");
    node.finish()
}

/// Writes the sum of a header that was changed by hand.
fn resum(bytes: &mut [u8]) {
    bytes[148..156].copy_from_slice(b"        ");
    let sum: u32 = bytes[..512].iter().map(|byte| u32::from(*byte)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn honest() -> Outcome {
    let node = Node::begin("archives-honest")?;
    let archive = node.place.join("odd.tar");
    let members = [
        file("./etc/passwd"),
        file("etc//shadow"),
        link(EntryType::Symlink, "etc/outside", "/etc/passwd"),
        link(EntryType::Symlink, "etc/up", "../../../../../etc/passwd"),
        link(EntryType::Link, "etc/again", "./etc/passwd"),
        device(EntryType::Char, (1, 3)),
        member(EntryType::Fifo, "run/pipe", "", b"", (0, 0)),
    ];
    write(&archive, &members)?;
    let made = import(&node, "odd", &archive)?;
    check!(made.code == 0, "{made:?}");
    let folder = fs::read_dir(node.state().join("templates"))?.next().ok_or("no template")??.path();
    let root = folder.join("root");
    check!(fs::read_link(root.join("etc/outside"))? == Path::new("/etc/passwd"), "a link was changed");
    check!(fs::metadata(root.join("etc/again"))?.nlink() == 2, "a hard link was lost");
    node.must(&["template", "verify", "odd"])?;
    node.must(&["template", "delete", "odd"])?;
    node.finish()
}
