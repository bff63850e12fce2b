//! Stores: what a failed one leaves, and when one is let go.

use std::ffi::CString;
use std::fs;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use crate::check;
use crate::fixture::{Node, PATIENCE};
use crate::harness::{Outcome, Stop, Test, need};

pub const TESTS: &[Test] = &[
    ("a store that cannot be made leaves nothing", failed),
    ("a store that nobody uses is let go", idle),
    ("a store that is not there is not ready", away),
    ("a store that does not answer holds nobody up", silent),
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
    // A dry run says what the real one would.
    for (place, word) in [(folder.join("file"), "is no directory"), (folder.clone(), "is not empty")] {
        let words = ["store", "create", "main", &place.to_string_lossy()];
        for words in [&words[..], &[&words[..], &["--dry-run"]].concat()] {
            let answer = node.refused(words, 6, "store.place-taken")?;
            check!(answer.err.contains(word), "{answer:?}");
        }
    }
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
    check!(list("NOT USABLE")? && !list("ready")?, "it was moved away: {:?}", node.must(&["store", "list"])?);
    let shown = node.must(&["store", "show", "main"])?;
    check!(shown.out.contains("is not there: is its disk mounted?"), "{shown:?}");
    fs::rename(&elsewhere, &folder)?;
    check!(list("ready")?, "it is back");
    fs::write(folder.join("config"), "")?;
    check!(list("NOT USABLE")?, "its config is empty: {:?}", node.must(&["store", "list"])?);
    for place in fs::read_dir(node.state().join("stores"))?.flatten() {
        fs::remove_file(place.path())?;
    }
    check!(list("NOT USABLE")?, "this node does not know its place: {:?}", node.must(&["store", "list"])?);
    node.finish()
}

fn threads_named(pid: u32, name: &str) -> Result<usize, Stop> {
    let all = fs::read_dir(format!("/proc/{pid}/task"))?.flatten();
    Ok(all.filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)).count())
}

/// Is a file system over a folder that never answers, as that of a server that is gone.
struct Silent {
    folder: PathBuf,
    server: Option<fs::File>,
}

#[allow(unsafe_code)]
impl Silent {
    fn over(folder: &Path) -> Result<Self, Stop> {
        let server = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        let text = |text: &str| CString::new(text).map_err(|error| Stop::Failed(error.to_string()));
        let (name, kind, place) = (text("berth-silent")?, text("fuse")?, text(&folder.to_string_lossy())?);
        let options = text(&options)?;
        // SAFETY: all five are strings that live until it returns.
        let done = unsafe {
            libc::mount(name.as_ptr(), place.as_ptr(), kind.as_ptr(), libc::MS_NOSUID, options.as_ptr().cast())
        };
        check!(done == 0, "{}", std::io::Error::last_os_error());
        Ok(Self { folder: folder.to_owned(), server: Some(server) })
    }
}

#[allow(unsafe_code)]
impl Drop for Silent {
    fn drop(&mut self) {
        self.server.take(); // whoever waits hears that nobody is there
        let place = CString::new(self.folder.as_os_str().as_encoded_bytes()).unwrap_or_default();
        // SAFETY: the string lives until it returns.
        unsafe { libc::umount2(place.as_ptr(), libc::MNT_DETACH) };
    }
}

fn silent() -> Outcome {
    need(&["start-containers", "fuse file system"])?;
    let mut node = Node::begin("store-silent")?;
    node.template()?;
    node.must(&["container", "create", "c1", "--template", "bb", "--disk-kind", "directory"])?;
    let (folder, other) = (node.place.join("store"), node.place.join("other"));
    node.must(&["store", "create", "main", &folder.to_string_lossy()])?;
    node.must(&["store", "create", "other", &other.to_string_lossy()])?;
    let silent = Silent::over(&folder)?;
    let begun = Instant::now();
    for _ in 0..20 {
        let listed = node.must(&["store", "list"])?;
        check!(listed.out.contains("NOT USABLE") && listed.out.contains("ready"), "{listed:?}");
    }
    check!(begun.elapsed() < Duration::from_secs(30), "it took {:?}", begun.elapsed());
    let shown = node.must(&["store", "show", "main"])?;
    check!(shown.out.contains("does not answer: is its disk or its server reachable?"), "{shown:?}");
    let failed = node.berth(&["backup", "run", "c1", "--store", "main"])?;
    check!(failed.code == 1 && failed.err.contains("does not answer"), "{failed:?}");
    node.must(&["backup", "run", "c1", "--store", "other"])?;
    let below = folder.join("below").to_string_lossy().into_owned();
    for _ in 0..3 {
        let refused = node.berth(&["store", "create", "below", &below])?;
        check!(refused.word() == "store.silent", "{refused:?}");
        let refused = node.berth(&["template", "create", "below", "--from-dir", &below])?;
        check!(refused.code != 0 && refused.err.contains("does not answer"), "{refused:?}");
    }
    let looks = threads_named(node.daemon.as_ref().map(Child::id).ok_or("no daemon")?, "look")?;
    // One for the store itself, one for each thing that was to be made below.
    check!(looks == 3, "{looks} threads wait for it");
    // The daemon ends as if nothing hung, and the store is there as soon as it answers.
    node.stop()?;
    node.start()?;
    check!(node.must(&["store", "list"])?.out.contains("NOT USABLE"), "it answers");
    drop(silent);
    let begun = Instant::now();
    while node.must(&["store", "list"])?.out.contains("NOT USABLE") {
        check!(begun.elapsed() < PATIENCE, "it never answers again");
    }
    node.must(&["backup", "run", "c1", "--store", "main"])?;
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
