//! A process that dies, or a store that fills up, at every single step: nothing that was committed suffers, and no half
//! backup is ever seen.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Lets the n-th change to a store fail; what comes after fails too (the process is dead), or works again.
struct Faulty {
    inner: Directory,
    left: Arc<AtomicUsize>,
    code: i32,
    dead: bool,
}

impl Faulty {
    fn step(&self) -> io::Result<()> {
        step(&self.left, self.code, self.dead)
    }
}

fn step(left: &AtomicUsize, code: i32, dead: bool) -> io::Result<()> {
    let refused = || io::Error::from_raw_os_error(code);
    match left.load(Ordering::Relaxed) {
        0 if dead => Err(refused()),
        0 => Ok(()),
        1 => {
            left.store(0, Ordering::Relaxed);
            Err(refused())
        }
        more => {
            left.store(more - 1, Ordering::Relaxed);
            Ok(())
        }
    }
}

struct FaultyFile {
    inner: Box<dyn MediumFile>,
    left: Arc<AtomicUsize>,
    code: i32,
    dead: bool,
}

impl MediumFile for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        step(&self.left, self.code, self.dead).or_else(|error| {
            self.inner.write(&bytes[..bytes.len() / 2])?; // A torn write.
            Err(error)
        })?;
        self.inner.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        step(&self.left, self.code, self.dead)?;
        self.inner.sync()
    }
}

impl Medium for Faulty {
    fn create(&self, path: &str) -> io::Result<Box<dyn MediumFile>> {
        self.step()?;
        let inner = self.inner.create(path)?;
        Ok(Box::new(FaultyFile { inner, left: self.left.clone(), code: self.code, dead: self.dead }))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.step()?;
        self.inner.rename(from, to)
    }
    fn sync_directory(&self, path: &str) -> io::Result<()> {
        self.step()?;
        self.inner.sync_directory(path)
    }
    fn make_directory(&self, path: &str) -> io::Result<()> {
        self.step()?;
        self.inner.make_directory(path)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.step()?;
        self.inner.remove(path)
    }
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.inner.list(path)
    }
    fn length(&self, path: &str) -> io::Result<u64> {
        self.inner.length(path)
    }
    fn read(&self, path: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.inner.read(path, offset, length)
    }
    fn forget(&self, path: &str) -> io::Result<()> {
        self.inner.forget(path)
    }
    fn lock(&self) -> io::Result<bool> {
        self.inner.lock()
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.inner.free_bytes()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn fill(bench: &Bench, seed: u8) {
    for number in 0..40 {
        let length = [10, 3000, 60_000, 700_000][number % 4];
        std::fs::write(bench.path("tree").join(format!("f{number}")), noise(length, seed.wrapping_add(number as u8)))
            .unwrap();
    }
}

/// Runs a second backup whose n-th change fails, for every n; returns how many steps there are.
fn at_every_step(code: i32, dead: bool, check: impl Fn(&Result<Manifest>)) -> usize {
    let bench = Bench::new();
    fill(&bench, 1);
    let (repository, _) = bench.create();
    let first = back_up(&repository, &bench.dir("tree"), options(), "one").unwrap();
    drop(repository);
    fill(&bench, 100);
    for name in ["store", "cache"] {
        std::fs::rename(bench.path(name), bench.path(&format!("{name}-before"))).unwrap();
    }
    for n in 1.. {
        for name in ["store", "cache"] {
            copy(&bench.path(&format!("{name}-before")), &bench.path(name));
        }
        let faulty = Faulty {
            inner: Directory::open(&bench.path("store")).unwrap(),
            left: Arc::new(AtomicUsize::new(usize::MAX)),
            code,
            dead,
        };
        let left = faulty.left.clone();
        let repository = Repository::open(Box::new(faulty), bench.access(), Purpose::Write, None).unwrap();
        left.store(n, Ordering::Relaxed);
        let incremental = BackupOptions { base: Some(first.id), ..options() };
        let outcome = back_up(&repository, &bench.dir("tree"), incremental.clone(), "two");
        let fired = left.load(Ordering::Relaxed) == 0;
        if fired {
            check(&outcome);
        }
        if fired && !dead {
            // The same process goes on where it can.
            back_up(&repository, &bench.dir("tree"), incremental, "three").unwrap();
        }
        drop(repository);
        assert_whole(&bench, first.id, &outcome, n);
        for name in ["store", "cache"] {
            std::fs::remove_dir_all(bench.path(name)).unwrap();
        }
        if !fired {
            outcome.unwrap();
            return n - 1;
        }
    }
    unreachable!()
}

fn assert_whole(bench: &Bench, first: BackupId, outcome: &Result<Manifest>, n: usize) {
    let repository = bench.open();
    let backups = repository.backups().unwrap();
    assert!(backups.contains(&first), "step {n}");
    if outcome.is_ok() {
        assert!(backups.contains(&BackupId::derived("two")), "step {n}");
    }
    let report = repository.verify(&mut |_| true).unwrap();
    assert!(report.is_clean(), "step {n}: {report:?}");
    assert_eq!(std::fs::read_dir(bench.path("store/tmp")).unwrap().count(), 0, "step {n}");
}

#[test]
fn a_process_that_dies_at_any_step_leaves_whole_backups_only() {
    let steps = at_every_step(5, true, |outcome| assert!(outcome.is_err()));
    assert!(steps > 20, "{steps}");
}

#[test]
fn a_store_that_is_full_at_any_step_says_so_and_goes_on_later() {
    // Steps that only tidy up may fail without harm, so a backup may also succeed.
    at_every_step(28, false, |outcome| assert!(matches!(outcome, Ok(_) | Err(Error::Full { .. })), "{outcome:?}"));
}

#[test]
fn a_store_whose_making_died_at_any_step_can_be_made_again() {
    for n in 1.. {
        let bench = Bench::new();
        let left = Arc::new(AtomicUsize::new(n));
        let inner = Directory::open(&bench.path("store")).unwrap();
        let faulty = Faulty { inner, left: left.clone(), code: 5, dead: true };
        let outcome = Repository::create(Box::new(faulty), StoreId::derived("store"), bench.access());
        if left.load(Ordering::Relaxed) > 0 {
            outcome.unwrap();
            assert!(n > 20);
            return;
        }
        // The last steps come after the store is there; before them it must be possible to begin again.
        drop(outcome);
        let open = Repository::open(bench.medium(), bench.access(), Purpose::Write, None);
        if open.is_err() {
            let again = Repository::create(bench.medium(), StoreId::derived("store"), bench.access());
            assert!(again.is_ok() || is_torn_fence(&bench), "step {n}: {:?}", again.err());
        }
    }
}

/// A fence that was made but not written is another's as far as anyone can tell; the operator takes the next epoch.
fn is_torn_fence(bench: &Bench) -> bool {
    let written = std::fs::read(bench.path("store/fences/1")).unwrap_or_default();
    written.len() < bench.access().node.to_string().len()
}
