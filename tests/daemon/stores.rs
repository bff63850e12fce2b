//! Stores: what a failed one leaves, and when one is let go.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use crate::check;
use crate::fixture::{Node, PATIENCE};
use crate::harness::{Outcome, Stop, Test};

pub const TESTS: &[Test] = &[
    ("a store that cannot be made leaves nothing", failed),
    ("a store that nobody uses is let go", idle),
    ("a store that is not there is not ready", away),
];

fn names(folder: &Path) -> Result<Vec<String>, Stop> {
    let names = fs::read_dir(folder)?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.collect())
}

fn failed() -> Outcome {
    let node = Node::begin("failed-store")?;
    let folder = node.place.join("backups");
    fs::create_dir(&folder)?;
    fs::write(folder.join("file"), "x")?;
    let answer = node.berth(&["store", "create", "main", &folder.join("file").to_string_lossy()])?;
    check!(answer.code == 1 && answer.err.contains("is no directory"), "{answer:?}");
    let left = names(&folder)?;
    check!(left == ["file"], "left: {left:?}");
    let keys = fs::read_dir(node.place.join("keys"))?.flatten().map(|entry| names(&entry.path()));
    let keys = keys.collect::<Result<Vec<_>, Stop>>()?.concat();
    check!(!keys.iter().any(|key| key.starts_with("store-")), "left: {keys:?}");
    node.finish()
}

/// Lists what a process has open below a folder.
fn open_below(pid: u32, folder: &Path) -> Result<Vec<PathBuf>, Stop> {
    let open = fs::read_dir(format!("/proc/{pid}/fd"))?.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    Ok(open.filter(|path| path.starts_with(folder)).collect())
}

fn away() -> Outcome {
    let node = Node::begin("store-away")?;
    let inside = node.state().join("store");
    let refused = node.berth(&["store", "create", "inside", &inside.to_string_lossy()])?;
    check!(refused.code == 2 && refused.err.contains("[store.inside-state]"), "{refused:?}");
    let (folder, elsewhere) = (node.place.join("store"), node.place.join("elsewhere"));
    node.must(&["store", "create", "main", &folder.to_string_lossy()])?;
    let list = |words: &str| -> Result<bool, Stop> { Ok(node.must(&["store", "list"])?.out.contains(words)) };
    check!(list("ready")?, "it is ready");
    fs::rename(&folder, &elsewhere)?;
    check!(list("NOT THERE")? && !list("ready")?, "it was moved away: {:?}", node.must(&["store", "list"])?);
    let shown = node.must(&["store", "show", "main"])?;
    check!(shown.out.contains("is not there: is its disk mounted?"), "{shown:?}");
    fs::rename(&elsewhere, &folder)?;
    check!(list("ready")?, "it is back");
    fs::write(folder.join("config"), "")?;
    check!(list("NOT THERE")?, "its config is empty: {:?}", node.must(&["store", "list"])?);
    for place in fs::read_dir(node.state().join("stores"))?.flatten() {
        fs::remove_file(place.path())?;
    }
    check!(list("NOT THERE")?, "this node does not know its place: {:?}", node.must(&["store", "list"])?);
    node.finish()
}

fn idle() -> Outcome {
    let node = Node::begin("idle-store")?;
    node.template()?;
    node.must(&["container", "create", "c1", "--template", "bb", "--disk-kind", "directory"])?;
    let folder = node.place.join("store");
    node.must(&["store", "create", "main", &folder.to_string_lossy()])?;
    node.must(&["backup", "run", "c1"])?;
    node.must(&["backup", "files", "c1@latest"])?;
    let daemon = node.daemon.as_ref().map(Child::id).ok_or("no daemon")?;
    let begun = Instant::now();
    while let [first, ..] = open_below(daemon, &folder)?.as_slice() {
        check!(begun.elapsed() < PATIENCE, "{} stays open", first.display());
        thread::sleep(Duration::from_millis(10));
    }
    node.must(&["backup", "run", "c1"])?;
    node.finish()
}
