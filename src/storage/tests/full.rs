//! A log on a file system that is full, or takes nothing: what is recorded of a stop has room all the same.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::*;

/// Is a small file system of its own, with a state directory on it; unmounted when dropped.
struct Small {
    directory: tempfile::TempDir,
}

impl Small {
    /// Makes one of this kind and size; nothing where this process may not mount one.
    fn make(kind: &str, size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("mounted");
        fs::create_dir(&place).unwrap();
        let done = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
        let mounted = if kind == "tmpfs" {
            done(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(&place))
        } else {
            let image = directory.path().join("image");
            done(Command::new("truncate").args(["-s", size]).arg(&image))
                && done(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image))
                && done(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&place))
        };
        if !mounted {
            eprintln!("skipped: no {kind} of {size} can be mounted here");
        }
        mounted.then_some(Self { directory })
    }

    fn place(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    fn filler(&self) -> PathBuf {
        self.place().join("filler")
    }

    /// Writes until nothing is left, to the last byte that the file system gives to anybody.
    fn fill(&self) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(self.filler()).unwrap();
        for size in [1 << 20, 4096, 1] {
            let piece = vec![7; size];
            while file.write_all(&piece).and_then(|()| file.sync_data()).is_ok() {}
        }
        assert!(free(&self.place()).unwrap() < 64 << 10, "{:?}", free(&self.place()));
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn remount(&self, how: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(self.place()).status().unwrap();
        assert!(status.success());
    }

    fn open(&self, home: &Home, reserve: u64) -> SqliteLog {
        let options = Options { reserve, space: Arc::new(free), ..home.options() };
        SqliteLog::open(&self.place().join("state"), options).unwrap()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.place()).status();
    }
}

fn free(path: &Path) -> std::io::Result<u64> {
    let root = crate::sys::fs::open_root(path)?;
    crate::sys::fs::free_bytes(std::os::fd::AsFd::as_fd(&root))
}

/// Appends commits of one event to a stream, each durable before the next, and returns its new version.
fn append_many(log: &SqliteLog, from: u64, count: u64) -> u64 {
    for version in from..from + count {
        append(log, commit("a", version, &["what is recorded of a stop takes no more than this"])).unwrap();
    }
    from + count
}

fn is_whole(log: &SqliteLog, events: u64) {
    let report = verify(&log.reader(), &Evidence::default()).unwrap();
    assert!(report.is_intact() && report.events == events, "{report}");
    let check = |c: &rusqlite::Connection| c.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    assert_eq!(log.reader().query(check).unwrap(), "ok");
}

fn thousands_go_through(small: &Small) {
    let home = Home::new();
    let log = small.open(&home, 8 << 20);
    let mut version = append_many(&log, 0, 50);
    small.fill();
    version = append_many(&log, version, 3_000);
    drop(log);
    small.fill();
    for _ in 0..3 {
        let log = small.open(&home, 8 << 20);
        assert_eq!(log.read_only(), None);
        small.fill();
        version = append_many(&log, version, 1_000);
        assert_eq!(log.level(), Level::Critical);
        is_whole(&log, version);
    }
    let log = fs::metadata(small.place().join("state").join(LOG_FILE)).unwrap();
    assert!(log.blocks() * 512 >= log.len(), "the log has its blocks: {} of {}", log.blocks() * 512, log.len());
    small.empty();
    let log = small.open(&home, 8 << 20);
    version = append_many(&log, version, 1);
    is_whole(&log, version);
}

#[test]
fn thousands_of_commits_go_through_a_full_ext4() {
    if let Some(small) = Small::make("ext4", "200m") {
        thousands_go_through(&small);
    }
}

#[test]
fn thousands_of_commits_go_through_a_full_xfs() {
    if let Some(small) = Small::make("xfs", "320m") {
        thousands_go_through(&small);
    }
}

#[test]
fn when_its_own_room_is_used_up_nothing_is_lost_and_it_goes_on_once_there_is_room() {
    let Some(small) = Small::make("tmpfs", "140m") else { return };
    let home = Home::new();
    let log = small.open(&home, 4 << 20);
    let big = "x".repeat(100_000);
    append(&log, commit("a", 0, &[&big])).unwrap();
    small.fill();
    let mut version = 1;
    while append(&log, commit("a", version, &[&big])).map_err(|error| error.to_string()).is_ok() {
        version += 1;
        assert!(version < 10_000, "the disk never filled");
    }
    assert!(version > 100, "its own room took {version} of them");
    let error = append(&log, commit("a", version, &[&big])).unwrap_err();
    assert!(matches!(error, AppendError::NoSpace { .. }), "{error}");
    assert_eq!(log.reader().position().unwrap().get(), version, "what was acknowledged is there, and no more");
    small.empty();
    append(&log, commit("a", version, &[&big])).unwrap();
    drop(log);
    is_whole(&small.open(&home, 4 << 20), version + 1);
}

#[test]
fn a_log_that_keeps_no_room_is_read_when_the_disk_is_full_at_its_start() {
    let Some(small) = Small::make("ext4", "64m") else { return };
    let home = Home::new();
    let version = append_many(&small.open(&home, 0), 0, 20);
    small.fill();
    let log = small.open(&home, 0);
    assert_eq!(log.head().position.get(), version);
    assert_eq!(log.read_all(Position::default(), 100).unwrap().len() as u64, version);
    let refused = append(&log, commit("a", version, &[&"x".repeat(1 << 20)])).unwrap_err();
    assert!(matches!(refused, AppendError::NoSpace { .. } | AppendError::ReadOnly { .. }), "{refused}");
    small.empty();
    append_many(&log, version, 1);
    assert_eq!(log.read_only(), None);
}

#[test]
fn a_log_on_a_read_only_file_system_is_read_and_written_once_it_can_be() {
    let Some(small) = Small::make("ext4", "200m") else { return };
    let home = Home::new();
    let version = append_many(&small.open(&home, 8 << 20), 0, 20);
    small.remount("ro");
    let log = small.open(&home, 8 << 20);
    assert!(log.read_only().is_some_and(|why| why.contains("log.db")), "{:?}", log.read_only());
    assert_eq!(log.read_all(Position::default(), 100).unwrap().len() as u64, version);
    append(&log, commit("a", version, &["x"])).unwrap_err();
    small.remount("rw");
    let begun = Instant::now();
    while log.read_only().is_some() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it never noticed");
        std::thread::sleep(Duration::from_millis(20));
    }
    append_many(&log, version, 1);
    is_whole(&log, version + 1);
}

#[test]
fn a_log_is_read_with_no_daemon_however_little_room_there_is() {
    let Some(small) = Small::make("ext4", "200m") else { return };
    let home = Home::new();
    let log = small.open(&home, 1 << 20);
    let version = append_many(&log, 0, 300);
    // Its daemon was killed: the write-ahead log has what the database has not.
    let (ended, killed) = (small.place().join("state"), small.place().join("killed"));
    let copied = Command::new("cp").arg("-a").arg(&ended).arg(&killed).status().unwrap();
    assert!(copied.success());
    drop(log);
    for state in [&ended, &killed] {
        let _ = fs::remove_file(state.join("log.db-shm")); // its blocks would be room
    }
    small.fill();
    let filler = fs::OpenOptions::new().write(true).open(small.filler()).unwrap();
    let length = filler.metadata().unwrap().len();
    for kib in 0..48 {
        filler.set_len(length - (kib << 10)).unwrap();
        filler.sync_all().unwrap();
        for state in [&ended, &killed] {
            let reader = Reader::open(state).unwrap();
            assert_eq!(reader.position().unwrap().get(), version, "{kib} KiB are free");
            assert_eq!(reader.read_all(Position::default(), 1_000).unwrap().len() as u64, version);
            drop(reader);
            let _ = fs::remove_file(state.join("log.db-shm"));
        }
    }
}
