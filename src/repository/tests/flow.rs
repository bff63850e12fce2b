//! The steps of a backup, what they read and skip, and picking from what was stored.

use std::sync::atomic::Ordering;

use super::*;
use crate::sys::fs::{DirectoryStack, make_directory};

#[test]
fn a_backup_can_be_taken_on_any_thread() {
    fn moves<T: Send>() {}
    moves::<Session>();
    moves::<View>();
    moves::<Repository>();
}

#[test]
fn nothing_is_read_twice_unless_asked_for() {
    let bench = Bench::new();
    for number in 0..50 {
        std::fs::write(bench.path("tree").join(format!("f{number}")), noise(5_000, number)).unwrap();
    }
    let (repository, _) = bench.create();
    let tree = bench.dir("tree");
    let first = back_up(&repository, &tree, options(), "one").unwrap();
    assert_eq!(first.counters.read_bytes, 250_000);
    let base = BackupOptions { base: Some(first.id), ..options() };
    let second = back_up(&repository, &tree, base.clone(), "two").unwrap();
    assert_eq!((second.counters.read_bytes, second.counters.new_bytes), (0, 0));
    assert_eq!(second.catalogue, first.catalogue);
    let full = back_up(&repository, &tree, BackupOptions { full: true, ..base.clone() }, "three").unwrap();
    assert_eq!((full.counters.read_bytes, full.counters.new_bytes, full.kind), (250_000, 0, BackupKind::Full));
    // What changed within 20 ms of a look is looked at again, in this backup's frozen pass and in the next backup.
    let early = BackupOptions { clock: Arc::new(Still(0)), ..base.clone() };
    let racy = back_up(&repository, &tree, BackupOptions { full: true, ..early }, "four").unwrap();
    let next = back_up(&repository, &tree, BackupOptions { base: Some(racy.id), ..options() }, "five").unwrap();
    assert_eq!(next.counters.read_bytes, 250_000);
}

#[test]
fn the_frozen_pass_reads_what_changed_and_no_more() {
    let bench = Bench::new();
    let tree = bench.path("tree");
    for name in ["same", "changed", "deleted", "renamed"] {
        std::fs::write(tree.join(name), name).unwrap();
    }
    let (repository, _) = bench.create();
    let mut session = Session::begin(&repository, options()).unwrap();
    let root = bench.dir("tree");
    session.live_pass(root.as_fd(), &mut |_| {}).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(30));
    std::fs::write(tree.join("changed"), "CHANGED").unwrap();
    std::fs::write(tree.join("new"), "new").unwrap();
    std::fs::remove_file(tree.join("deleted")).unwrap();
    std::fs::rename(tree.join("renamed"), tree.join("again")).unwrap();
    let before = 4 + 7 + 7 + 7;
    let report = session.frozen_pass(root.as_fd(), &mut |_| {}).unwrap();
    assert_eq!(report.counters.read_bytes, before + 7 + 3 + 7);
    let manifest = session.commit(particulars("one")).unwrap();
    bench.restored(&repository, manifest.id, "out", IdMap::IDENTITY);
    assert_same(&facts(&tree), &facts(&bench.path("out")));
}

/// Is a program that has a file mapped, stores a letter in it for each line it hears, and says so.
struct Mapper {
    program: std::process::Child,
    said: std::io::BufReader<std::process::ChildStdout>,
}

impl Mapper {
    fn of(path: &std::path::Path) -> Self {
        use std::process::Stdio;
        let script = "import mmap, sys\nf = open(sys.argv[1], 'r+b')\nm = mmap.mmap(f.fileno(), 4096)\n\
            for line in sys.stdin:\n  m[0:1] = line[:1].encode()\n  print(flush=True)";
        let mut program = Command::new("python3");
        program.args(["-c", script]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = program.spawn().unwrap();
        let said = std::io::BufReader::new(program.stdout.take().unwrap());
        Self { program, said }
    }

    fn stores(&mut self, letter: char) {
        use std::io::{BufRead as _, Write as _};
        writeln!(self.program.stdin.as_ref().unwrap(), "{letter}").unwrap();
        self.said.read_line(&mut String::new()).unwrap();
    }

    fn ends(&mut self) {
        drop(self.program.stdin.take());
        assert!(self.program.wait().unwrap().success());
    }
}

/// A page that a program has mapped and dirtied takes what it stores without a change of any time stamp. Whether it has the page
/// still when the container stands still, or lets go of it before, its last letter is in the backup, and in one that builds on it.
#[test]
fn what_is_stored_in_a_mapped_file_after_it_was_read_is_noticed() {
    let shortly = || std::thread::sleep(std::time::Duration::from_millis(100)); // what changed just before is read again anyway
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: there is no python3 here");
        return;
    }
    for stays in [true, false] {
        let Some(bench) = Bench::on_disk() else {
            eprintln!("skipped: neither the directory for temporary files nor /var/tmp lies on a disk");
            return;
        };
        let path = bench.path("tree/mapped");
        std::fs::write(&path, [b'-'; 4096]).unwrap();
        let (repository, _) = bench.create();
        let root = bench.dir("tree");
        let take = |base, name, store: &mut dyn FnMut()| {
            let mut session = Session::begin(&repository, BackupOptions { base, ..options() }).unwrap();
            session.live_pass(root.as_fd(), &mut |_| {}).unwrap();
            store();
            crate::sys::fs::sync_file_system(root.as_fd()).unwrap();
            session.frozen_pass(root.as_fd(), &mut |_| {}).unwrap();
            let manifest = session.commit(particulars(name)).unwrap();
            bench.restored(&repository, manifest.id, name, IdMap::IDENTITY);
            (manifest.id, std::fs::read(bench.path(name).join("mapped")).unwrap()[0])
        };
        let mut mapper = Mapper::of(&path);
        mapper.stores('A');
        shortly();
        let (first, letter) = take(None, "one", &mut || mapper.stores('B'));
        assert_eq!(letter, b'B', "{stays}");
        shortly();
        mapper.stores('C');
        shortly();
        let store_last = &mut || {
            mapper.stores('D');
            mapper.stores('E');
            if !stays {
                mapper.ends();
            }
        };
        assert_eq!(take(Some(first), "two", store_last).1, b'E', "{stays}");
        if stays {
            mapper.ends();
        }
    }
}

#[test]
fn a_backup_that_is_cancelled_or_given_up_leaves_nothing_to_see() {
    let bench = Bench::new();
    std::fs::write(bench.path("tree/large"), noise(20_000_000, 1)).unwrap();
    let (repository, _) = bench.create();
    let cancelled = options();
    let flag = cancelled.cancelled.clone();
    let mut session = Session::begin(&repository, cancelled).unwrap();
    let root = bench.dir("tree");
    let outcome = session.live_pass(root.as_fd(), &mut |counters| {
        if counters.read_bytes > 0 {
            flag.store(true, Ordering::Relaxed);
        }
    });
    assert!(matches!(outcome, Err(Error::Cancelled)));
    drop(session);
    assert_eq!(repository.backups().unwrap(), []);
    assert_eq!(std::fs::read_dir(bench.path("store/tmp")).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_read_is_listed_and_the_backup_is_not_called_complete() {
    // Files of sysfs claim a page and have less: a reader that trusts sizes would store something that never was.
    let odd = Path::new("/sys/fs/ext4/features");
    if !odd.exists() {
        println!("skipped: no sysfs with ext4 here");
        return;
    }
    let bench = Bench::new();
    let (repository, _) = bench.create();
    let manifest = back_up(&repository, &open_root(odd).unwrap(), options(), "one").unwrap();
    assert_eq!(manifest.outcome, Outcome::CompleteWithExceptions);
    let files = std::fs::read_dir(odd).unwrap().count();
    assert_eq!(manifest.exceptions.len(), files);
    assert!(
        manifest.exceptions.iter().all(|exception| exception.reason.contains("shorter")),
        "{:?}",
        manifest.exceptions
    );
    assert_eq!(repository.manifest(manifest.id).unwrap(), manifest);
}

#[test]
fn what_lies_below_a_directory_that_cannot_be_made_is_counted_as_missing() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("tree/etc/ssh")).unwrap();
    std::fs::write(bench.path("tree/etc/ssh/config"), "x").unwrap();
    let (repository, _) = bench.create();
    let manifest = back_up(&repository, &bench.dir("tree"), options(), "one").unwrap();
    let (reader, target) = (Reader::new(repository.clone()), bench.dir("out"));
    let catalogue = repository.catalogue(&manifest.catalogue).unwrap();
    let restored = || {
        let picked = select(catalogue.entries(), vec![Pattern::new(b"/etc/ssh")]);
        let report = restore(picked, &reader, target.as_fd(), &restore_options(IdMap::IDENTITY), &mut |_| {}).unwrap();
        (report.counters.entries, report.written, report.missing, report.exceptions.len())
    };
    std::fs::write(bench.path("out/etc"), "a file").unwrap();
    assert_eq!(restored(), (0, 0, 2, 1), "what only leads there counts for nothing");
    std::fs::remove_file(bench.path("out/etc")).unwrap();
    assert_eq!(restored(), (2, 2, 0, 0));
    assert_eq!(restored(), (1, 0, 1, 1), "a directory that was there is not written");
}

#[test]
fn a_selection_brings_its_directories_and_nothing_else() {
    let bench = Bench::new();
    let tree = bench.path("tree");
    std::fs::create_dir_all(tree.join("etc/ssh")).unwrap();
    std::fs::create_dir_all(tree.join("var/log")).unwrap();
    for name in ["etc/ssh/config", "etc/hosts", "var/log/a.log", "var/log/b"] {
        std::fs::write(tree.join(name), name).unwrap();
    }
    std::fs::hard_link(tree.join("etc/hosts"), tree.join("var/log/hosts.log")).unwrap();
    let (repository, _) = bench.create();
    let skip = BackupOptions { exclude: vec![Pattern::new(b"/var/log/b")], ..options() };
    let manifest = back_up(&repository, &bench.dir("tree"), skip, "one").unwrap();
    assert_eq!(manifest.excluded, ["/var/log/b"]);
    let catalogue = repository.catalogue(&manifest.catalogue).unwrap();
    let picked = select(catalogue.entries(), vec![Pattern::new(b"*.log"), Pattern::new(b"/etc/ssh")]);
    let reader = Reader::new(repository.clone());
    let target = bench.dir("out");
    std::fs::create_dir(bench.path("out/etc")).unwrap();
    let report = restore(picked, &reader, target.as_fd(), &restore_options(IdMap::IDENTITY), &mut |_| {}).unwrap();
    assert_eq!(report.exceptions, []);
    let found: Vec<PathBuf> = facts(&bench.path("out")).into_keys().collect();
    let wanted = ["", "etc", "etc/ssh", "etc/ssh/config", "var", "var/log", "var/log/a.log", "var/log/hosts.log"];
    assert_eq!(found, wanted.map(PathBuf::from));
    assert_eq!(std::fs::read(bench.path("out/var/log/hosts.log")).unwrap(), b"etc/hosts");
    let again = select(catalogue.entries(), vec![Pattern::new(b"*.log")]);
    let report = restore(again, &reader, target.as_fd(), &restore_options(IdMap::IDENTITY), &mut |_| {}).unwrap();
    assert_eq!(report.exceptions.len(), 2, "files that are there are not replaced unasked");
    let view = repository.view(&manifest).unwrap();
    let mut out = Vec::new();
    view.cat(b"etc/hosts", &mut out).unwrap();
    assert_eq!(out, b"etc/hosts");
    assert_eq!(view.files(vec![Pattern::new(b"/etc/ssh")]).count(), 2);
    assert!(matches!(view.cat(b"var/log/b", &mut out), Err(Error::Missing { .. })));
}

#[test]
fn a_symbolic_link_in_the_place_to_restore_to_is_not_followed() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("tree/d")).unwrap();
    std::fs::write(bench.path("tree/d/f"), "x").unwrap();
    let (repository, _) = bench.create();
    let manifest = back_up(&repository, &bench.dir("tree"), options(), "one").unwrap();
    let target = bench.dir("out");
    std::fs::create_dir(bench.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink("../elsewhere", bench.path("out/d")).unwrap();
    let entries = select(repository.catalogue(&manifest.catalogue).unwrap().entries(), Vec::new());
    let overwrite = RestoreOptions { overwrite: Some(b".aside".to_vec()), ..restore_options(IdMap::IDENTITY) };
    let report = restore(entries, &Reader::new(repository), target.as_fd(), &overwrite, &mut |_| {}).unwrap();
    assert_eq!(report.exceptions.len(), 1);
    assert_eq!(std::fs::read_dir(bench.path("elsewhere")).unwrap().count(), 0);
}

/// Runs in a process of its own, started by the test below, so that its memory is its own.
#[test]
#[ignore = "a part of the test of memory"]
fn memory_probe() {
    let bench = Bench::new();
    for number in 0..8_000_u32 {
        let place = bench.path("tree").join(format!("d{}", number / 200));
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join(format!("f{number}")), number.to_le_bytes().repeat(200)).unwrap();
    }
    let large = std::fs::File::create(bench.path("tree/large")).unwrap();
    for piece in 0..24 {
        crate::sys::fs::write_at(large.as_fd(), &noise(8 << 20, piece), u64::from(piece) * (8 << 20)).unwrap();
    }
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    let (repository, _) = bench.create();
    let manifest = back_up(&repository, &bench.dir("tree"), options(), "one").unwrap();
    let backup = peak();
    bench.restored(&repository, manifest.id, "out", IdMap::IDENTITY);
    println!("peak MiB {backup} {}", peak());
}

#[test]
fn what_lies_deeper_than_anybody_keeps_anything_is_left_out_and_said() {
    let bench = Bench::new();
    std::fs::write(bench.path("tree").join("beside"), "x").unwrap();
    let tree = bench.dir("tree");
    let (name, mut stack) = ([b'n'; 250], DirectoryStack::new(tree.as_fd(), false).unwrap());
    for _ in 0..400 {
        make_directory(stack.top().unwrap(), &name, 0o755).unwrap();
        stack.push(&name).unwrap();
    }
    let (repository, _) = bench.create();
    let manifest = back_up(&repository, &tree, options(), "one").unwrap();
    let [left_out] = &manifest.exceptions[..] else { panic!("{:?}", manifest.exceptions.len()) };
    assert!(left_out.reason.contains("so long"), "{}", left_out.reason);
    let report = bench.restored(&repository, manifest.id, "out", IdMap::IDENTITY);
    assert!(report.exceptions.is_empty() && report.counters.entries > 100, "{report:?}");
}

#[test]
fn memory_stays_bounded_whatever_the_tree() {
    let probe = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "repository::tests::flow::memory_probe", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&probe.stdout);
    let line = text.lines().find_map(|line| line.split("peak MiB ").nth(1)).unwrap();
    let peaks: Vec<u64> = line.split(' ').map(|number| number.trim().parse().unwrap()).collect();
    println!("backup and restore of 200 MB: {peaks:?} MiB");
    assert!(peaks[0] <= 160 && peaks[1] <= 160, "{peaks:?}");
}
