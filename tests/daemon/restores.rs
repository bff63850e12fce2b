//! Restores that meet something in their way: no room, somebody else's wish, files that are there.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::check;
use crate::fixture::{Node, PATIENCE, run_within};
use crate::full::small_ext4;
use crate::harness::{Outcome, Stop, Test, need};

pub const TESTS: &[Test] = &[
    ("many small files are refused before a restore in place fills the disk with them", small_files),
    ("a restore in place does not take the last room of the host", host_room),
    ("a restore in place is settled before the next, and leaves stopped what was paused", in_place),
    ("what could not be written into a directory is told, and nothing written is a failure", partly),
    ("a path that is restored is a name and no pattern, and one that the backup does not have is told", named),
    ("a name that is no UTF-8 is shown, read and restored by what is shown", bytes),
    ("a damaged file is told where it ends, and the next backup has it whole again", broken),
    ("a restore says nothing of what it did not read", unread),
    ("files from a backup are written over nothing that is Berth's own", own_places),
];

/// Makes a container with an image of its own and this in it, and a backup of it.
fn with_backup(name: &str, disk: &str, inside: &str) -> Result<Node, Stop> {
    need(&["start-containers", "loop devices", "mkfs.ext4"])?;
    let node = Node::begin(name)?;
    node.template()?;
    node.must(&["container", "create", "c1", "--template", "bb", "--disk", disk, "--start"])?;
    node.must(&["exec", "c1", "--", "sh", "-c", inside])?;
    node.must(&["store", "create", "main", &node.place.join("store").to_string_lossy()])?;
    node.must(&["backup", "run", "c1"])?;
    Ok(node)
}

fn unconfirmed(node: &Node) -> Result<String, Stop> {
    let row = node.container("c1")?;
    let run = row["unconfirmed"][0].as_str().map(str::to_owned);
    run.ok_or_else(|| Stop::Failed(format!("nothing is unconfirmed: {row:#}")))
}

fn small_files() -> Outcome {
    // They have no bytes at all, but take more than half of the inodes.
    let fill = "mkdir /srv && cd /srv && total=$(stat -f -c %c /) && i=0 && \
                while [ $i -lt $((total * 6 / 10)) ]; do : >$i; i=$((i + 1)); done";
    let node = with_backup("small-files", "32M", fill)?;
    let answer = node.berth(&["backup", "restore", "c1@latest", "--in-place", "-y"])?;
    check!(answer.code == 7 && answer.err.contains("do not fit") && answer.err.contains("container set"), "{answer:?}");
    let row = node.container("c1")?;
    check!(row["state"] == "running" && row["unconfirmed"].as_array().is_none_or(Vec::is_empty), "{row:#}");
    node.must(&["exec", "c1", "--", "sh", "-c", "echo x >/srv/more"])?;
    node.must(&["container", "stop", "c1", "--kill"])?;
    node.must(&["container", "set", "c1", "--disk", "256M"])?;
    node.must(&["backup", "restore", "c1@latest", "--in-place", "-y"])?;
    node.must(&["backup", "restore", "c1@latest", "--to", "c2"])?;
    node.finish()
}

fn host_room() -> Outcome {
    need(&["start-containers", "loop devices", "mkfs.ext4"])?;
    let mut node = Node::new("host-room")?;
    let mounted = small_ext4(&node, "1400M")?;
    node.start()?;
    node.template()?;
    node.must(&["store", "create", "main", &node.place.join("store").to_string_lossy()])?;
    node.must(&["container", "create", "c1", "--template", "bb", "--disk", "2G", "--start"])?;
    node.must(&["exec", "c1", "--", "sh", "-c", "dd if=/dev/zero of=/large bs=1M count=500 && sync"])?;
    node.must(&["backup", "run", "c1"])?;
    let answer = node.berth(&["backup", "restore", "c1@latest", "--in-place", "-y"])?;
    check!(answer.code == 7 && answer.err.contains("make room where the disks lie"), "{answer:?}");
    check!(node.container("c1")?["rest"] == "running", "it stands still");
    let finished = node.finish();
    drop(mounted);
    finished
}

fn in_place() -> Outcome {
    let node = with_backup("in-place", "32M", "echo x >/srv-file")?;
    let restore = ["backup", "restore", "c1@latest", "--in-place", "-y"];
    node.must(&restore)?;
    check!(node.container("c1")?["state"] == "running", "what ran runs again");
    let answer = node.refused(&restore, 6, "restore.unconfirmed")?;
    let run = unconfirmed(&node)?;
    check!(answer.err.contains(&run[..8]), "the way out is not named: {answer:?}");
    node.must(&["backup", "confirm", &run, "-y"])?;
    node.must(&["container", "pause", "c1"])?;
    let answer = node.berth(&restore)?;
    check!(answer.code == 3 && (answer.out.clone() + &answer.err).contains("was paused"), "{answer:?}");
    check!(node.container("c1")?["state"] == "stopped", "what was paused runs");
    node.must(&["backup", "roll-back", &unconfirmed(&node)?, "-y"])?;
    check!(node.container("c1")?["state"] == "stopped", "what was stopped runs");
    node.must(&[&restore[..], &["--start"]].concat())?;
    check!(node.container("c1")?["state"] == "running", "it was to run");
    node.finish()
}

fn named() -> Outcome {
    let make = "mkdir -p '/srv/[id]' /srv/i && echo B >'/srv/[id]/page' && echo i >/srv/i/page";
    let node = with_backup("named", "32M", make)?;
    let into = node.place.join("out").to_string_lossy().into_owned();
    let answer = node.berth(&["backup", "restore", "c1@latest", "--path", "/srv/[id]", "--into", &into])?;
    check!(answer.code == 0, "{answer:?}");
    check!(fs::read_to_string(Path::new(&into).join("srv/[id]/page"))? == "B\n", "{answer:?}");
    check!(!Path::new(&into).join("srv/i").exists(), "another directory came along");
    let listed = node.must(&["backup", "files", "c1@latest", "/srv/[id]"])?;
    check!(listed.out.contains("/srv/[id]/page") && !listed.out.contains("/srv/i/"), "{listed:?}");
    let two = ["--path", "/srv/i", "--path", "/etc/none", "--into", &into];
    let answer = node.berth(&[&["backup", "restore", "c1@latest"], &two[..]].concat())?;
    let told = answer.out.clone() + &answer.err;
    check!(answer.code == 3 && told.contains("the backup has nothing at /etc/none"), "{answer:?}");
    check!(Path::new(&into).join("srv/i/page").exists(), "the other is not there");
    node.finish()
}

fn own_places() -> Outcome {
    // From above the names of a container may lead there as well.
    let inside = "mkdir -p /srv/log.db /state /keys /store && echo a >/srv/log.db/a && echo a | tee /state/log.db /keys/x /store/config";
    let node = with_backup("own-places", "32M", inside)?;
    let (state, store, link) = (node.state(), node.place.join("store"), node.place.join("link"));
    let disk = state.join("containers").join(node.container("c1")?["id"].as_str().unwrap_or_default());
    let refused = |into: &Path, path: &str, word: &str| {
        let into = into.to_string_lossy();
        node.refused(&["backup", "restore", "c1@latest", "--path", path, "--into", &into], 2, word)
    };
    for into in [state.clone(), state.join("made/for/it"), disk.clone(), node.place.join("keys")] {
        let answer = refused(&into, "/srv", "restore.inside-state")?;
        check!(answer.err.contains("keeps for itself") && answer.err.contains("--into"), "{answer:?}");
    }
    for into in [store.clone(), store.join("packs")] {
        let answer = refused(&into, "/srv", "restore.inside-store")?;
        check!(answer.err.contains("the store main"), "{answer:?}");
    }
    std::os::unix::fs::symlink(&disk, &link)?;
    refused(&link.join("disk"), "/srv", "restore.inside-state")?;
    // Beside the run directory of each daemon of root all of them tell where they are.
    for into in ["/run/berth", "/run/berth/instances"] {
        refused(Path::new(into), "/srv", "restore.inside-state")?;
    }
    refused(Path::new("/run"), "/berth/instances/x.json", "restore.inside-state")?;
    fs::remove_file(&link)?;
    std::os::unix::fs::symlink(&store, &link)?;
    refused(&link, "/srv", "restore.inside-store")?;
    let name = state.file_name().unwrap_or_default().to_string_lossy().into_owned();
    refused(&node.place, &format!("/{name}/log.db"), "restore.inside-state")?;
    let escaped = format!(r"/\x{:02x}{}/log.db", name.as_bytes()[0], &name[1..]);
    refused(&node.place, &escaped, "restore.inside-state")?;
    let out = node.place.join("out").to_string_lossy().into_owned();
    node.must(&["backup", "restore", "c1@latest", "--path", "/srv", "--into", &out])?;
    let above = node.berth(&["backup", "restore", "c1@latest", "--into", &node.place.to_string_lossy()])?;
    check!(
        above.code == 3
            && above.out.contains("keeps this directory for itself")
            && node.place.join("srv/log.db/a").exists(),
        "{above:?}"
    );
    check!(!node.place.join("keys/x").exists() && fs::read(store.join("config"))? != b"a\n", "{above:?}");
    node.must(&["backup", "verify", "c1@latest"])?;
    node.must(&["audit", "verify"])?;
    node.finish()
}

fn bytes() -> Outcome {
    let make = r"mkdir /srv && cd /srv && echo latin >$(printf 'caf\351') && echo slash >'a\x2db' && echo hyphen >a-c && ln -s x lnk";
    let node = with_backup("bytes", "32M", make)?;
    let listed = node.must(&["backup", "files", "c1@latest", "/srv", "-o", "name"])?;
    let names: Vec<&str> = listed.out.lines().collect();
    check!(names == ["/srv", "/srv/a-c", r"/srv/a\\x2db", r"/srv/caf\xe9", "/srv/lnk"], "{listed:?}");
    check!(node.must(&["backup", "files", "c1@latest", "/srv"])?.out.contains(r"/srv/caf\xe9"), "it is not shown");
    // As it is shown, as its bytes, and a name with a backslash as it is.
    for (path, content) in [
        (r"/srv/caf\xe9", "latin\n"),
        (r"/srv/a\\x2db", "slash\n"),
        (r"/srv/a\x2db", "slash\n"),
        (r"/srv/a\x2dc", "hyphen\n"),
    ] {
        check!(node.must(&["backup", "cat", "c1@latest", path])?.out == content, "{path}");
        check!(node.must(&["backup", "files", "c1@latest", path])?.out.lines().count() > 1, "{path}");
    }
    let raw = std::ffi::OsStr::from_bytes(b"/srv/caf\xe9");
    let mut command = node.beside(&["backup", "cat", "c1@latest"]);
    let answer = run_within(command.arg(raw), PATIENCE)?;
    check!(answer.code == 0 && answer.out == "latin\n", "{answer:?}");
    let json = node.must(&["backup", "files", "c1@latest", r"/srv/caf\xe9", "-o", "json"])?.json()?;
    check!(json["items"][0]["path"]["text"] == r"/srv/caf\xe9", "{json:#}");
    let into = node.place.join("out");
    let to = into.to_string_lossy().into_owned();
    node.must(&["backup", "restore", "c1@latest", "--path", r"/srv/caf\xe9", "--into", &to])?;
    let file = |name: &[u8]| into.join("srv").join(std::ffi::OsStr::from_bytes(name));
    check!(fs::read_to_string(file(b"caf\xe9"))? == "latin\n", "it was not restored");
    check!(!file(b"a-c").exists(), "others came along");
    node.must(&["backup", "restore", "c1@latest", "--into", &to])?;
    check!(fs::read_to_string(file(b"a-c"))? == "hyphen\n", "without a path it is everything");
    node.refused(&["backup", "cat", "c1@latest", r"/srv/none\xe9"], 5, "backup.no-such-path")?;
    node.finish()
}

fn broken() -> Outcome {
    let node = with_backup("broken", "64M", "head -c 6000000 /dev/urandom | base64 >/big && sync")?;
    let whole = node.must(&["backup", "cat", "c1@latest", "/big"])?;
    let pack = largest(&node.place.join("store/packs"))?;
    let mut bytes = fs::read(&pack)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&pack, bytes)?;
    let name = pack.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let answer = node.refused(&["backup", "cat", "c1@latest", "/big"], 3, "backup.damaged")?;
    check!(answer.err.contains("/big in backup") && answer.err.contains(&name), "{answer:?}");
    check!(!answer.out.is_empty() && whole.out.starts_with(&answer.out), "what came first is not what it was");
    check!(node.berth(&["backup", "verify", "c1@latest"])?.code == 3, "it is whole");
    let row = node.must(&["backup", "run", "c1"])?;
    node.must(&["backup", "verify", "c1@latest"])?;
    check!(node.must(&["backup", "cat", "c1@latest", "/big"])?.out == whole.out, "{row:?}");
    node.must(&["backup", "verify", "c1@1"])?; // what was stored anew is what it lacked
    node.finish()
}

fn largest(folder: &Path) -> Result<PathBuf, Stop> {
    let mut found: Vec<(u64, PathBuf)> = vec![];
    for directory in fs::read_dir(folder)? {
        for file in fs::read_dir(directory?.path())? {
            let file = file?;
            found.push((file.metadata()?.len(), file.path()));
        }
    }
    found.into_iter().max().map(|(_, path)| path).ok_or_else(|| Stop::Failed("the store has no pack".to_owned()))
}

/// It takes the template's files from this machine: what the store has of them is neither read nor proved.
fn unread() -> Outcome {
    let node = with_backup("unread", "32M", "echo own >/own")?;
    let verified = |node: &Node| -> Result<String, Stop> {
        let shown = node.must(&["backup", "show", "c1@latest", "-o", "json"])?.json()?;
        Ok(format!("{} {}", shown["verified_at"], shown["damage"]))
    };
    let before = verified(&node)?;
    node.must(&["backup", "restore", "c1@latest", "--to", "c2"])?;
    check!(verified(&node)? == before, "{before} became {}", verified(&node)?);
    node.must(&["backup", "verify", "c1@latest"])?;
    check!(verified(&node)? != before, "a verification is not told: {before}");
    node.finish()
}

fn partly() -> Outcome {
    let node = with_backup("partly", "32M", "mkdir -p /srv/x && echo a >/srv/x/a && echo b >/srv/x/b")?;
    let into = node.place.join("out");
    let restore =
        |path: &str| node.berth(&["backup", "restore", "c1@latest", "--path", path, "--into", &into.to_string_lossy()]);
    fs::create_dir_all(into.join("srv/x/a"))?;
    let answer = restore("/srv/x")?;
    check!(answer.code == 3 && (answer.out.clone() + &answer.err).contains("1 entry could not"), "{answer:?}");
    let answer = restore("/srv/x/a")?;
    check!(answer.code == 1 && answer.err.contains("1 entry could not"), "{answer:?}");
    fs::remove_dir_all(&into)?;
    fs::create_dir(&into)?;
    fs::write(into.join("srv"), "a file")?;
    let answer = restore("/srv/x")?;
    check!(answer.code == 1 && answer.err.contains("3 entries could not"), "{answer:?}");
    node.finish()
}
