//! Stores that cannot be read: one thing in them, as where a disk has a bad sector, or all of a sudden nothing any more.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::stores::{files_below, with_backup};
use super::*;

/// What is asked of a place: the file, and where in it; none where all of the file is meant.
type Asked = (String, Option<u64>);
type Fails = dyn Fn(&str, u64) -> bool + Send + Sync;

/// A place that refuses some who read, with `EIO` as a disk does, and knows what it was asked.
#[derive(Clone)]
struct Dying {
    inner: Arc<Directory>,
    fails: Arc<Fails>,
    says: i32,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Dying {
    fn new(bench: &Bench, fails: impl Fn(&str, u64) -> bool + Send + Sync + 'static) -> Self {
        let inner = Arc::new(Directory::open(&bench.path("store")).unwrap());
        Self { inner, fails: Arc::new(fails), says: 5, asked: Arc::default() }
    }

    fn opened(&self, bench: &Bench) -> Repository {
        let opened = Repository::open(Box::new(self.clone()), bench.access(), Purpose::Write, None).unwrap();
        self.asked.lock().unwrap().clear();
        opened
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Medium for Dying {
    fn create(&self, path: &str) -> io::Result<Box<dyn MediumFile>> {
        self.inner.create(path)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn sync_directory(&self, path: &str) -> io::Result<()> {
        self.inner.sync_directory(path)
    }
    fn make_directory(&self, path: &str) -> io::Result<()> {
        self.inner.make_directory(path)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.inner.remove(path)
    }
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.inner.list(path)
    }
    fn length(&self, path: &str) -> io::Result<u64> {
        self.inner.length(path)
    }
    fn read(&self, path: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.asked.lock().unwrap().push((path.to_owned(), Some(offset)));
        let failed = io::Error::from_raw_os_error(self.says);
        if (self.fails)(path, offset) { Err(failed) } else { self.inner.read(path, offset, length) }
    }
    fn forget(&self, path: &str) -> io::Result<()> {
        self.asked.lock().unwrap().push((path.to_owned(), None));
        self.inner.forget(path)
    }
    fn lock(&self) -> io::Result<bool> {
        self.inner.lock()
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.inner.free_bytes()
    }
}

#[test]
fn a_store_that_goes_away_is_no_damaged_backup_and_is_not_asked_for_every_content() {
    for config_is_in_memory in [false, true] {
        let bench = Bench::new();
        drop(with_backup(&bench));
        let id = BackupId::derived("one");
        let dead = Arc::new(AtomicBool::new(false));
        let now = Arc::clone(&dead);
        let place = Dying::new(&bench, move |path, _| {
            now.load(Ordering::Relaxed) && !(config_is_in_memory && path == "config")
        });
        let repository = place.opened(&bench);
        let mut come = 0;
        let verified = repository.verify_backup(id, &mut |done, all| {
            assert!(all > 3, "the trial shows nothing");
            if done == 1 {
                dead.store(true, Ordering::Relaxed);
                place.asked.lock().unwrap().clear();
            }
            come = done;
            true
        });
        let words = verified.unwrap_err().to_string();
        assert!(words.contains("store is gone") && words.contains("Input/output error"), "{words}");
        assert_eq!(come, 1, "it went on");
        assert!(place.asked().len() < 20, "{:?}", place.asked());
        dead.store(false, Ordering::Relaxed);
        assert_eq!(repository.verify_backup(id, &mut |_, _| true).unwrap(), None, "nothing is held against it");
        let whole = repository.verify(&mut |_| {
            dead.store(true, Ordering::Relaxed);
            true
        });
        assert!(matches!(whole, Err(Error::Vanished { .. })), "{whole:?}");
    }
}

#[test]
fn what_cannot_be_read_of_a_pack_is_damage_that_is_met_once_and_the_rest_is_there() {
    let bench = Bench::new();
    for number in 0..40 {
        std::fs::write(bench.path("tree").join(format!("f{number}")), noise(700, number)).unwrap();
    }
    let (repository, _, id) = with_backup(&bench);
    std::fs::write(bench.path("tree/other"), noise(2_000_000, 77)).unwrap();
    let two =
        back_up(&repository, &bench.dir("tree"), BackupOptions { base: Some(id), ..options() }, "two").unwrap().id;
    drop(repository);
    let size = |path: &PathBuf| std::fs::metadata(path).unwrap().len();
    let bundle = |path: &PathBuf| size(path) > 3_000_000; // what is small and what is large went to one pack
    let pack = files_below(&bench.path("store/packs")).into_iter().find(bundle).unwrap();
    let (name, length) = (pack.file_name().unwrap().to_str().unwrap().to_owned(), size(&pack));
    let bad = name.clone();
    let place = Dying::new(&bench, move |path, offset| path.ends_with(&bad) && (64..length - 1).contains(&offset));
    let repository = place.opened(&bench);
    let words = repository.verify_backup(two, &mut |_, _| true).unwrap().unwrap();
    assert!(words.contains("contents cannot be read") && words.contains(&name), "{words}");
    let reads: Vec<_> = place.asked().into_iter().filter(|(path, at)| path.ends_with(&name) && *at > Some(0)).collect();
    for read in &reads {
        let times = reads.iter().filter(|other| *other == read).count();
        assert!(times == 1 || read.1 == Some(length - 1), "{read:?} was read {times} times");
    }
    let report = bench.restored(&repository, two, "out", IdMap::IDENTITY);
    assert!(report.missing >= 40 && bench.path("out/other").exists(), "{report:?}");
    assert_eq!(repository.verify(&mut |_| true).unwrap().damaged_backups.len(), 2);
    std::fs::remove_dir_all(bench.path("cache")).unwrap();
    std::fs::create_dir(bench.path("cache")).unwrap();
    drop(repository);
    assert!(place.opened(&bench).manifest(two).is_ok(), "a store with a pack that cannot be read is opened");
}

#[test]
fn what_this_host_lacks_for_reading_is_no_damage_of_a_backup() {
    const EACCES: i32 = 13;
    const ENOMEM: i32 = 12;
    const EMFILE: i32 = 24;
    for says in [EACCES, ENOMEM, EMFILE] {
        let bench = Bench::new();
        drop(with_backup(&bench));
        let id = BackupId::derived("one");
        let short = Arc::new(AtomicBool::new(false));
        let now = Arc::clone(&short);
        let place = Dying::new(&bench, move |path, _| now.load(Ordering::Relaxed) && path.starts_with("packs/"));
        let repository = Dying { says, ..place.clone() }.opened(&bench);
        short.store(true, Ordering::Relaxed);
        let words = repository.verify_backup(id, &mut |_, _| true).unwrap_err().to_string();
        assert!(words.contains("cannot read packs/") && !words.contains("gone"), "{words}");
        let whole = repository.verify(&mut |_| true);
        assert!(matches!(whole, Err(Error::Io { .. })), "{whole:?}");
        short.store(false, Ordering::Relaxed);
        assert_eq!(repository.verify_backup(id, &mut |_, _| true).unwrap(), None, "nothing is held against it");
    }
}

#[test]
fn packs_that_are_empty_are_damaged_and_tell_that_their_store_is_there() {
    let bench = Bench::new();
    drop(with_backup(&bench));
    let packs = files_below(&bench.path("store/packs"));
    for pack in &packs {
        std::fs::write(pack, "").unwrap();
    }
    let bad = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&bad);
    let place = Dying::new(&bench, move |path, _| now.load(Ordering::Relaxed) && path.starts_with("manifests/"));
    let repository = place.opened(&bench);
    bad.store(true, Ordering::Relaxed);
    let report = verify_without_key(repository.medium(), repository.store_bytes(), &mut |_| true).unwrap();
    assert_eq!(report.damaged_packs.len(), packs.len());
    let [finding] = &report.damaged_documents[..] else { panic!("{report:?}") };
    assert!(finding.reason.contains("manifests/") && finding.reason.contains("is damaged"), "{finding:?}");
}
