//! Stores that are damaged, gone, locked, foreign or newer, and keys that do not fit.

use super::*;

pub(super) fn with_backup(bench: &Bench) -> (Repository, RecoveryKey, BackupId) {
    for (name, length) in [("small", 100), ("middle", 40_000), ("large", 3_000_000)] {
        std::fs::write(bench.path("tree").join(name), noise(length, 8)).unwrap();
    }
    let (repository, key) = bench.create();
    let id = back_up(&repository, &bench.dir("tree"), options(), "one").unwrap().id;
    (repository, key, id)
}

pub(super) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn a_flipped_bit_anywhere_is_found_with_and_without_the_key() {
    let bench = Bench::new();
    let (repository, _, id) = with_backup(&bench);
    let store = *repository.id().as_bytes();
    for file in files_below(&bench.path("store/packs")).into_iter().chain(files_below(&bench.path("store/manifests"))) {
        let good = std::fs::read(&file).unwrap();
        let step = (good.len() / 23).max(1);
        for at in (0..good.len()).step_by(step).chain([good.len() - 1]) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            std::fs::write(&file, &bad).unwrap();
            let outside = verify_without_key(bench.medium().as_ref(), &store, &mut |_| true).unwrap();
            assert_eq!(outside.damaged_packs.len() + outside.damaged_documents.len(), 1, "{} at {at}", file.display());
            let inside = repository.verify(&mut |_| true).unwrap();
            assert_eq!(inside.damaged_backups.first().map(|(backup, _)| *backup), Some(id));
        }
        std::fs::write(&file, &good).unwrap();
    }
    assert!(repository.verify(&mut |_| true).unwrap().is_clean());
}

fn damage_first_pieces(bench: &Bench) {
    for file in files_below(&bench.path("store/packs")) {
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[200] ^= 1; // In the first piece.
        std::fs::write(&file, bytes).unwrap();
    }
}

#[test]
fn a_file_whose_content_is_damaged_is_listed_and_the_others_come_back() {
    let bench = Bench::new();
    let (repository, _, id) = with_backup(&bench);
    damage_first_pieces(&bench);
    let report = bench.restored(&repository, id, "out", IdMap::IDENTITY);
    assert_eq!(report.exceptions.len(), 1, "{report:?}");
    let lost = &report.exceptions[0];
    assert!(!bench.path("out").join(&lost.path).exists());
    assert_eq!(std::fs::read_dir(bench.path("out")).unwrap().count(), 2);
}

#[test]
fn a_file_that_is_there_stays_until_the_restored_one_is_whole() {
    let bench = Bench::new();
    let (repository, _, id) = with_backup(&bench);
    damage_first_pieces(&bench);
    let target = bench.dir("out");
    for name in ["small", "middle", "large"] {
        std::fs::write(bench.path("out").join(name), "of now").unwrap();
    }
    let report = restored_over(&repository, id, &target, |_| {}).unwrap();
    assert_eq!(report.exceptions.len(), 1, "{report:?}");
    let kept = bench.path("out").join(&report.exceptions[0].path);
    assert_eq!(std::fs::read(kept).unwrap(), b"of now");
    assert_eq!(std::fs::read_dir(bench.path("out")).unwrap().count(), 3);
}

#[test]
fn a_restore_that_is_called_off_leaves_no_part_of_a_file() {
    let bench = Bench::new();
    let (repository, _, id) = with_backup(&bench);
    let target = bench.dir("out");
    std::fs::write(bench.path("out/large"), "of now").unwrap();
    let calling_off = |options: &RestoreOptions| options.cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
    let ended = restored_over(&repository, id, &target, calling_off);
    assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
    assert_eq!(std::fs::read(bench.path("out/large")).unwrap(), b"of now");
    assert_eq!(std::fs::read_dir(bench.path("out")).unwrap().count(), 1);
}

/// Restores over what is there; `before_content` runs when `large` is about to be made.
fn restored_over(
    repository: &Repository,
    id: BackupId,
    target: &OwnedFd,
    before_content: impl Fn(&RestoreOptions),
) -> Result<RestoreReport> {
    let options = RestoreOptions { overwrite: Some(b".aside".to_vec()), ..restore_options(IdMap::IDENTITY) };
    let catalogue = repository.catalogue(&repository.manifest(id).unwrap().catalogue).unwrap();
    let entries = select(catalogue.entries(), Vec::new()).inspect(|entry| {
        if entry.as_ref().is_ok_and(|(entry, _)| entry.path == b"large") {
            before_content(&options);
        }
    });
    restore(entries, &Reader::new(repository.clone()), target.as_fd(), &options, &mut |_| {})
}

#[test]
fn a_truncated_or_missing_pack_is_found() {
    let bench = Bench::new();
    let (repository, _, _) = with_backup(&bench);
    let packs = files_below(&bench.path("store/packs"));
    let good = std::fs::read(&packs[0]).unwrap();
    for length in [0, 5, 64, 100, good.len() - 1] {
        std::fs::write(&packs[0], &good[..length]).unwrap();
        assert!(!repository.verify(&mut |_| true).unwrap().is_clean(), "{length}");
        drop(bench.path("cache"));
    }
    std::fs::remove_file(&packs[0]).unwrap();
    assert!(!repository.verify(&mut |_| true).unwrap().damaged_backups.is_empty());
}

#[test]
fn one_backup_is_verified_by_what_it_needs_and_nothing_else() {
    let bench = Bench::new();
    let (repository, _, one) = with_backup(&bench);
    let first = files_below(&bench.path("store/packs"));
    for name in ["small", "middle", "large"] {
        std::fs::remove_file(bench.path("tree").join(name)).unwrap();
    }
    std::fs::write(bench.path("tree/other"), noise(2_000_000, 9)).unwrap();
    let two = back_up(&repository, &bench.dir("tree"), options(), "two").unwrap().id;
    let mut seen = vec![];
    let whole = repository.verify_backup(one, &mut |done, all| {
        seen.push((done, all));
        true
    });
    assert_eq!(whole.unwrap(), None);
    assert_eq!(seen.iter().map(|(done, _)| *done).collect::<Vec<_>>(), (0..seen[0].1).collect::<Vec<_>>());
    let second: Vec<_> =
        files_below(&bench.path("store/packs")).into_iter().filter(|pack| !first.contains(pack)).collect();
    assert!(!second.is_empty());
    for pack in second {
        let good = std::fs::read(&pack).unwrap();
        std::fs::write(&pack, &good[..100]).unwrap(); // whoever opens it finds it damaged
    }
    assert_eq!(repository.verify_backup(one, &mut |_, _| true).unwrap(), None, "it read what it does not need");
    assert!(repository.verify_backup(two, &mut |_, _| true).unwrap().is_some());
    assert!(matches!(repository.verify_backup(one, &mut |_, _| false), Err(Error::Cancelled)));
    std::fs::remove_dir_all(bench.path("store/manifests")).unwrap();
    assert!(!matches!(repository.verify_backup(one, &mut |_, _| true), Ok(None)));
}

#[test]
fn a_backup_is_read_to_its_end_whatever_is_damaged_before() {
    let bench = Bench::new();
    let (repository, _, one) = with_backup(&bench);
    std::fs::write(bench.path("tree/other"), noise(2_000_000, 9)).unwrap();
    let two = back_up(&repository, &bench.dir("tree"), options(), "two").unwrap().id;
    assert_eq!(repository.verify_backup(two, &mut |_, _| true).unwrap(), None);
    let packs = files_below(&bench.path("store/packs"));
    assert!(packs.len() > 1);
    for pack in &packs {
        let mut bytes = std::fs::read(pack).unwrap();
        bytes[200] ^= 0x10; // in the first piece
        std::fs::write(pack, bytes).unwrap();
    }
    let (mut read, mut all) = (0, 0);
    let told = repository.verify_backup(two, &mut |done, of| {
        (read, all) = (done + 1, of);
        true
    });
    let told = told.unwrap().unwrap();
    let named = packs.iter().filter(|pack| told.contains(pack.file_name().unwrap().to_str().unwrap())).count();
    assert!(named > 1 && told.contains("cannot be read"), "{named} of {} packs are named: {told}", packs.len());
    assert_eq!(read, all, "it stopped before the end: {told}");
    assert!(repository.verify_backup(one, &mut |_, _| true).unwrap().is_some());
}

/// Damages the first piece of the pack that has most of the contents.
fn damage_largest_pack(bench: &Bench) {
    let size = |path: &PathBuf| std::fs::metadata(path).unwrap().len();
    let pack = files_below(&bench.path("store/packs")).into_iter().max_by_key(size).unwrap();
    let mut bytes = std::fs::read(&pack).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&pack, bytes).unwrap();
}

#[test]
fn what_is_known_to_be_damaged_is_stored_anew_and_makes_earlier_backups_whole() {
    for full in [false, true] {
        let bench = Bench::new();
        let (repository, _, one) = with_backup(&bench);
        damage_largest_pack(&bench);
        assert!(repository.verify_backup(one, &mut |_, _| true).unwrap().is_some());
        drop(repository);
        let repository = bench.open(); // what is known outlives the daemon
        let base = BackupOptions { full, base: Some(one), ..options() };
        let two = back_up(&repository, &bench.dir("tree"), base, "two").unwrap();
        assert!(two.counters.new_bytes > 0, "full: {full}");
        let whole = |repository: &Repository| {
            for id in [two.id, one] {
                assert_eq!(repository.verify_backup(id, &mut |_, _| true).unwrap(), None, "full: {full}");
            }
            assert_eq!(repository.verify(&mut |_| true).unwrap().damaged_backups, []);
        };
        whole(&repository);
        drop(repository);
        std::fs::remove_dir_all(bench.path("cache")).unwrap(); // and the cure does not hang on the index
        std::fs::create_dir(bench.path("cache")).unwrap();
        whole(&bench.open());
    }
}

#[test]
fn a_store_is_read_on_behind_what_is_damaged_in_a_pack() {
    let bench = Bench::new();
    let (repository, _, one) = with_backup(&bench);
    std::fs::create_dir(bench.path("second")).unwrap();
    std::fs::copy(bench.path("tree/middle"), bench.path("second/middle")).unwrap();
    let two = back_up(&repository, &bench.dir("second"), options(), "two").unwrap().id;
    damage_largest_pack(&bench);
    let damaged = [one, two].map(|id| repository.verify_backup(id, &mut |_, _| true).unwrap().is_some());
    assert_eq!(damaged, [true, false], "the trial damages one of two, or it shows nothing");
    let report = repository.verify(&mut |_| true).unwrap();
    assert_eq!(report.damaged_backups.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [one], "{report:?}");
    assert!(!report.damaged_packs.is_empty());
}

#[test]
fn every_flipped_bit_in_what_a_backup_needs_is_found() {
    let bench = Bench::new();
    let (repository, _, id) = with_backup(&bench);
    for file in files_below(&bench.path("store/packs")) {
        let good = std::fs::read(&file).unwrap();
        let reader = repository.verify_backup(id, &mut |_, _| true);
        assert_eq!(reader.unwrap(), None);
        let mut bad = good.clone();
        bad[200] ^= 0x10; // in the first piece
        std::fs::write(&file, &bad).unwrap();
        assert!(repository.verify_backup(id, &mut |_, _| true).unwrap().is_some(), "{}", file.display());
        std::fs::write(&file, &good).unwrap();
    }
}

#[test]
fn a_store_that_is_gone_says_so() {
    let bench = Bench::new();
    let (repository, _, _) = with_backup(&bench);
    std::fs::remove_dir_all(bench.path("store")).unwrap();
    assert!(matches!(repository.backups(), Err(Error::Vanished { .. })), "{:?}", repository.backups());
    std::fs::write(bench.path("tree/new"), "new").unwrap();
    let outcome = back_up(&repository, &bench.dir("tree"), options(), "two");
    assert!(matches!(outcome, Err(Error::Vanished { .. })), "{outcome:?}");
    assert!(Directory::open(&bench.path("store")).is_err());
}

#[test]
fn only_one_process_writes_and_any_number_reads() {
    let bench = Bench::new();
    let (repository, _, id) = with_backup(&bench);
    let second = Repository::open(bench.medium(), bench.access(), Purpose::Write, None);
    assert!(matches!(second, Err(Error::Locked { .. })));
    let reading = Repository::open(bench.medium(), bench.access(), Purpose::Read, None).unwrap();
    assert_eq!(reading.manifest(id).unwrap().configuration, b"{\"memory\":1}");
    assert_eq!(bench.restored(&reading, id, "out", IdMap::IDENTITY).exceptions, []);
    assert!(matches!(reading.delete(id), Err(Error::ReadOnly { .. })));
    assert!(matches!(back_up(&reading, &bench.dir("tree"), options(), "two"), Err(Error::ReadOnly { .. })));
    drop(repository);
    bench.open();
}

#[test]
fn another_node_reads_until_it_takes_over_and_then_the_first_is_fenced() {
    let bench = Bench::new();
    let (repository, recovery, id) = with_backup(&bench);
    drop(repository);
    std::fs::create_dir(bench.path("other-keys")).unwrap();
    let other = Access { node: NodeId::derived("other"), key_directory: bench.path("other-keys"), ..bench.access() };
    let open = |access: &Access, purpose, key| Repository::open(bench.medium(), access.clone(), purpose, key);
    assert!(matches!(open(&other, Purpose::Read, None), Err(Error::NoKey { .. })));
    let typed = RecoveryKey::parse(&recovery.to_text()).unwrap();
    assert_eq!(open(&other, Purpose::Read, Some(&typed)).unwrap().backups().unwrap(), [id]);
    assert!(matches!(open(&other, Purpose::Write, Some(&typed)), Err(Error::ReadOnly { .. })));
    assert!(matches!(open(&other, Purpose::TakeOver, Some(&typed)), Err(Error::Fenced { .. })));
    let second = Access { epoch: 2, ..other };
    drop(open(&second, Purpose::TakeOver, Some(&typed)).unwrap());
    drop(open(&second, Purpose::Write, None).unwrap());
    assert!(matches!(open(&bench.access(), Purpose::Write, None), Err(Error::ReadOnly { .. })));
    assert_eq!(open(&bench.access(), Purpose::Read, None).unwrap().backups().unwrap(), [id]);
}

#[test]
fn a_wrong_key_and_a_newer_format_are_told_apart() {
    let bench = Bench::new();
    let (repository, _, _) = with_backup(&bench);
    drop(repository);
    let open = |key| Repository::open(bench.medium(), bench.access(), Purpose::Write, key);
    let stranger = RecoveryKey::generate().unwrap();
    assert!(matches!(open(Some(&stranger)), Err(Error::WrongKey { .. })));
    let key_file = files_below(&bench.path("keys")).remove(0);
    let good = std::fs::read(&key_file).unwrap();
    std::fs::write(&key_file, [1; 32]).unwrap();
    assert!(matches!(open(None), Err(Error::WrongKey { .. })));
    std::fs::write(&key_file, good).unwrap();
    let config = bench.path("store/config");
    let text = std::fs::read_to_string(&config).unwrap().replace("\"format\": 1", "\"format\": 2");
    std::fs::write(&config, text).unwrap();
    assert!(matches!(open(None), Err(Error::Newer { found: 2, known: 1 })));
    assert!(matches!(
        Repository::create(bench.medium(), StoreId::derived("x"), bench.access()),
        Err(Error::Exists { .. })
    ));
}

#[test]
fn the_index_is_made_again_when_it_is_lost() {
    let bench = Bench::new();
    let (repository, _, id) = with_backup(&bench);
    drop(repository);
    std::fs::remove_dir_all(bench.path("cache")).unwrap();
    std::fs::create_dir(bench.path("cache")).unwrap();
    let repository = bench.open();
    assert_eq!(bench.restored(&repository, id, "out", IdMap::IDENTITY).exceptions, []);
    let again = back_up(&repository, &bench.dir("tree"), options(), "two").unwrap();
    assert_eq!(again.counters.new_bytes, 0, "everything was there");
}

#[test]
fn a_full_backup_heals_what_a_damaged_pack_took_away() {
    let bench = Bench::new();
    let (repository, _, id) = with_backup(&bench);
    let pack = files_below(&bench.path("store/packs")).remove(0);
    let mut bytes = std::fs::read(&pack).unwrap();
    bytes[300] ^= 1;
    std::fs::write(&pack, bytes).unwrap();
    let report = repository.verify(&mut |_| true).unwrap();
    repository.set_aside(&report.damaged_packs[0].what).unwrap();
    assert!(repository.manifest(id).is_ok() && repository.verify(&mut |_| true).unwrap().damaged_backups.len() == 1);
    let base = BackupOptions { full: true, ..options() };
    back_up(&repository, &bench.dir("tree"), base, "two").unwrap();
    drop(repository);
    let report = bench.open().verify(&mut |_| true).unwrap();
    assert_eq!((report.damaged_backups.len(), report.damaged_packs.len(), report.backups), (0, 1, 2));
}

/// Runs in a mount namespace of its own, with the store on a file system of 2 MiB, started by the test below.
#[test]
#[ignore = "a part of the test of a full store"]
fn full_store_probe() {
    let bench = Bench::new();
    let mut mount = std::process::Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(bench.path("store"));
    if !mount.status().unwrap().success() {
        println!("skipped: tmpfs cannot be mounted here");
        return;
    }
    std::fs::write(bench.path("tree/small"), noise(300_000, 1)).unwrap();
    let (repository, _) = bench.create();
    let first = back_up(&repository, &bench.dir("tree"), options(), "one").unwrap();
    std::fs::write(bench.path("tree/large"), noise(5_000_000, 2)).unwrap();
    let outcome = back_up(&repository, &bench.dir("tree"), options(), "two");
    assert!(matches!(outcome, Err(Error::Full { .. })), "{outcome:?}");
    std::fs::remove_file(bench.path("tree/large")).unwrap();
    let third = back_up(&repository, &bench.dir("tree"), options(), "three").unwrap();
    drop(repository);
    let repository = bench.open();
    let mut wanted = vec![first.id, third.id];
    wanted.sort();
    assert_eq!(repository.backups().unwrap(), wanted);
    assert!(repository.verify(&mut |_| true).unwrap().is_clean());
    assert!(repository.free_bytes().unwrap() > 1_000_000);
    drop(repository);
    assert!(std::process::Command::new("umount").arg(bench.path("store")).status().unwrap().success());
    println!("a full store was survived");
}

#[test]
fn a_store_on_a_full_file_system_keeps_its_backups_and_takes_new_ones_later() {
    let run = std::process::Command::new("unshare")
        .arg("-m")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "repository::tests::stores::full_store_probe", "--ignored", "--nocapture"])
        .output();
    let Ok(run) = run else {
        println!("skipped: no unshare here");
        return;
    };
    let text = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    if text.contains("skipped") || text.contains("Operation not permitted") {
        println!("skipped: {text}");
        return;
    }
    assert!(run.status.success() && text.contains("a full store was survived"), "{text}");
}
