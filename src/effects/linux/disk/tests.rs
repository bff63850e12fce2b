//! Disks on a real kernel: made, grown, put in order, and gone without a trace.

use std::io::Write;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::effects::linux::defragment::defragment;
use crate::events::MaintenanceResult;
use crate::sys::fs::{create_file, into_file, sync_file_system, unlink, write_at};

struct Fixture {
    paths: StatePaths,
    id: ContainerId,
    _place: tempfile::TempDir,
}

impl Fixture {
    fn image(&self) -> PathBuf {
        self.paths.disk_image(self.id)
    }

    fn ensure(&self, size: u64) {
        ensure_disk(&self.paths, self.id, DiskKind::Image, Size::from_mib(size)).unwrap();
    }
}

fn fixture() -> Option<Fixture> {
    let root = crate::sys::capability::effective().is_ok_and(|held| held & (1 << 21) != 0);
    if !root || !Path::new("/dev/loop-control").exists() {
        println!("skipped: disks need CAP_SYS_ADMIN and loop devices");
        return None;
    }
    let place = tempfile::Builder::new().prefix("berth-disk.").tempdir_in("/var/tmp").unwrap();
    let paths = StatePaths::with_runtime(place.path().join("state"), place.path().join("run"));
    Some(Fixture { paths, id: ContainerId::from_bytes([5; 16]), _place: place })
}

#[test]
fn a_disk_is_sparse_whole_and_gone_without_a_trace() {
    let Some(fixture) = fixture() else { return };
    let before = std::time::Instant::now();
    fixture.ensure(1024);
    println!("a disk of 1 GiB took {:?}", before.elapsed());
    fixture.ensure(1024);
    let found = fs::metadata(fixture.image()).unwrap();
    assert_eq!(found.len(), 1 << 30);
    assert!(found.blocks() * 512 < 8 << 20, "{} bytes are allocated", found.blocks() * 512);
    mounted_apart(&fixture.image(), |root| {
        into_file(create_file(root, b"file", 0o600).unwrap()).write_all(b"kept").unwrap();
        let again = mounted_apart(&fixture.image(), |_| Ok(()));
        assert!(again.unwrap_err().reason.contains("in use"));
        assert!(ensure_disk_gone(&fixture.paths, fixture.id).unwrap_err().reason.contains("in use"));
        Ok(())
    })
    .unwrap();
    ensure_disk_gone(&fixture.paths, fixture.id).unwrap();
    ensure_disk_gone(&fixture.paths, fixture.id).unwrap();
    assert!(!fixture.paths.container(fixture.id).exists());
    let error = ensure_disk(&fixture.paths, fixture.id, DiskKind::Image, Size::from_mib(1)).unwrap_err();
    assert!(error.reason.contains("too small"));
}

#[test]
fn an_idle_disk_grows_and_keeps_its_files() {
    let Some(fixture) = fixture() else { return };
    fixture.ensure(64);
    let write = |root: BorrowedFd<'_>| {
        into_file(create_file(root, b"file", 0o600).unwrap()).write_all(b"kept").unwrap();
        Ok(())
    };
    mounted_apart(&fixture.image(), write).unwrap();
    let grow = |size| ensure_disk_size(&fixture.paths, fixture.id, DiskKind::Image, Size::from_mib(size), None);
    grow(512).unwrap();
    grow(512).unwrap();
    assert!(grow(100).unwrap_err().reason.contains("cannot shrink"));
    mounted_apart(&fixture.image(), |root| {
        assert!(crate::sys::fs::free_bytes(root).unwrap() > 400 << 20);
        assert!(open_beneath(root, b"file", Access::Read).is_ok());
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_disk_in_use_grows_or_says_why_not_and_stays_as_it_was() {
    let Some(fixture) = fixture() else { return };
    fixture.ensure(64);
    mounted_apart(&fixture.image(), |root| {
        let wanted = Size::from_mib(128);
        match ensure_disk_size(&fixture.paths, fixture.id, DiskKind::Image, wanted, Some(root)) {
            Ok(()) => assert!(crate::sys::fs::free_bytes(root).unwrap() > 100 << 20),
            Err(failure) => {
                assert!(failure.reason.contains("stop the container first"), "{failure}");
                assert_eq!(fs::metadata(fixture.image()).unwrap().len(), 64 << 20);
            }
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn who_keeps_a_disk_in_use_is_named() {
    let Some(fixture) = fixture() else { return };
    fixture.ensure(64);
    mounted_apart(&fixture.image(), |_| {
        let failure = ensure_disk_gone(&fixture.paths, fixture.id).unwrap_err();
        let own = format!("(process {}) has it open", std::process::id());
        assert!(failure.reason.ends_with(&own), "{failure}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn nobody_checks_a_disk_that_is_mounted_or_mounts_one_that_is_checked() {
    let Some(fixture) = fixture() else { return };
    fixture.ensure(64);
    let image = fixture.image();
    let path = image.to_string_lossy();
    // As people are told to type it, but without the wait.
    let check = || Command::new("flock").args(["-n", &path, "e2fsck", "-fp", &path]).output().unwrap().status.code();
    mounted_apart(&image, |_| {
        assert_eq!(check(), Some(1), "flock got no lock");
        Ok(())
    })
    .unwrap();
    assert!(attached_for_long(&image).unwrap().is_none());
    let file = File::open(&image).unwrap();
    alone(&file, &image).unwrap();
    let failure = mounted_apart(&image, |_| Ok(())).unwrap_err();
    assert!(failure.reason.ends_with("a program that works on the image has locked it"), "{failure}");
    drop(file);
    assert_eq!(check(), Some(0));
    mounted_apart(&image, |_| Ok(())).unwrap();
}

/// Writes two files in turns, so that the pieces of one lie between those of the other, and deletes one.
fn fragment(root: BorrowedFd<'_>) {
    let names = [b"left".as_slice(), b"right"];
    let files = names.map(|name| create_file(root, name, 0o600).unwrap());
    for piece in 0..200_u64 {
        for file in &files {
            write_at(file.as_fd(), &[piece as u8; 16_384], piece * 16_384).unwrap();
            crate::sys::fs::sync_data(file.as_fd()).unwrap();
        }
    }
    let big = create_file(root, b"big", 0o600).unwrap();
    write_at(big.as_fd(), &vec![1; 24 << 20], 0).unwrap();
    sync_file_system(root).unwrap();
    unlink(root, b"right").unwrap();
    unlink(root, b"big").unwrap();
    drop((files, big));
    sync_file_system(root).unwrap();
}

#[test]
fn defragmenting_leaves_fewer_fragments_fewer_bytes_and_the_same_content() {
    let Some(fixture) = fixture() else { return };
    fixture.ensure(128);
    mounted_apart(&fixture.image(), |root| {
        fragment(root);
        Ok(())
    })
    .unwrap();
    // A loop device may let go of the image a moment after its mount is gone: whoever runs the step tries again.
    let begun = std::time::Instant::now();
    let result = loop {
        match defragment(&fixture.paths, fixture.id, DiskKind::Image, None, &|| false) {
            Err(failure)
                if failure.kind == crate::domain::effect::FailureKind::Transient
                    && begun.elapsed() < std::time::Duration::from_mins(1) =>
            {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            other => break other.unwrap(),
        }
    };
    let MaintenanceResult::Defragmented { fragments_before, fragments_after, allocated_before, allocated_after } =
        result
    else {
        panic!("{result:?}")
    };
    println!("{fragments_before} fragments became {fragments_after}, {allocated_before} became {allocated_after}");
    assert!(fragments_after * 2 < fragments_before, "{fragments_before} became {fragments_after}");
    assert!(allocated_after < allocated_before, "{allocated_before} became {allocated_after}");
    mounted_apart(&fixture.image(), |root| {
        let file = open_beneath(root, b"left", Access::Read).unwrap();
        let mut bytes = vec![0; 200 * 16_384];
        assert_eq!(crate::sys::fs::read_at(file.as_fd(), &mut bytes, 0).unwrap(), bytes.len());
        assert!(bytes.chunks(16_384).enumerate().all(|(piece, part)| part.iter().all(|byte| *byte == piece as u8)));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_directory_has_nothing_to_defragment() {
    let place = tempfile::tempdir().unwrap();
    let paths = StatePaths::with_runtime(place.path().join("state"), place.path().join("run"));
    let id = ContainerId::from_bytes([6; 16]);
    ensure_disk(&paths, id, DiskKind::Directory, Size::from_mib(1)).unwrap();
    assert!(disk_path(&paths, id, DiskKind::Directory).is_some());
    let failure = defragment(&paths, id, DiskKind::Directory, None, &|| false).unwrap_err();
    assert_eq!(failure.kind, crate::domain::effect::FailureKind::NotApplicable);
}
