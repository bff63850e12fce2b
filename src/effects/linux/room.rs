//! Whether what is to be written fits, before anything is: neither a container that runs beside nor any other one is to find
//! its disk full.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use super::access::allocated;
use super::failure::cannot;
use super::host::LinuxHost;
use super::stores::repository_failure;
use crate::domain::RefusalClass;
use crate::domain::effect::Failure;
use crate::effects::access::{enough, reserve};
use crate::effects::linux::life::hits;
use crate::effects::linux::life::reach::{Reached, UPPER};
use crate::repository::catalogue::Entry;
use crate::repository::{Footprint, Measure, Pattern, View};
use crate::sys::fs::{self as sysfs, Access, FileKind};
use crate::sys::mount::{self, Room};
use crate::types::{ContainerId, Size};

/// The most that stays free of a disk that nobody else writes to.
const OWN_KEPT_MAX: u64 = 256 << 20;

/// Is what stays free beside what is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Kept {
    bytes: u64,
    files: u64,
}

impl LinuxHost {
    /// Refuses a backup that does not fit on the disk beside the files that are there, or not on the host.
    pub(super) fn layer_fits(&self, container: ContainerId, reached: &Reached, view: &View) -> Result<(), Failure> {
        let room = mount::room_of(reached.disk()).map_err(cannot("look at", "the disk"))?;
        let wanted = view.layer_footprint(room.block).map_err(repository_failure)?;
        let shared = self.is_among_the_disks(reached.disk());
        if !shared {
            self.image_can_grow(container, wanted)?;
        }
        // A disk of its own with nothing on it was large enough before, and nobody else writes to it.
        let alone = !shared && is_empty(reached.disk(), UPPER);
        let (wanted, kept) = if alone {
            (Footprint { bytes: wanted.data, inodes: 0, ..wanted }, Kept::default())
        } else {
            (wanted, kept(&room, shared))
        };
        let way_out =
            if shared { "make room there" } else { "its disk can grow: berth container set NAME --disk SIZE" };
        fits(&room, wanted, kept, way_out)
    }

    /// Refuses what the host has no room for. A file system takes blocks that were never written though others are free: an
    /// image grows by all that is written to it, until it has its size.
    fn image_can_grow(&self, container: ContainerId, wanted: Footprint) -> Result<(), Failure> {
        let (image, place) = (self.options.paths.disk_image(container), self.options.paths.containers());
        let length = std::fs::metadata(&image).map_or(0, |found| found.len());
        let left = length.saturating_sub(allocated(&image).unwrap_or(0));
        let host = mount::room(&place).map_err(cannot("look at", place.display()))?;
        let growth = Footprint { bytes: wanted.bytes.min(left), inodes: 0, ..wanted };
        fits(&host, growth, kept(&host, true), "make room where the disks lie")
    }

    /// Refuses files that do not fit into a directory, which may have to be made. What they replace makes room.
    pub(super) fn files_fit(&self, into: &Path, view: &View, patterns: Vec<Pattern>) -> Result<(), Failure> {
        let there = into.ancestors().find_map(|place| Some((place, sysfs::open_root(place).ok()?)));
        let Some((place, directory)) = there else { return Ok(()) }; // the making says what is wrong
        let room = mount::room_of(directory.as_fd()).map_err(cannot("look at", place.display()))?;
        let (mut measure, mut freed, mut replaced, mut most) = (Measure::new(room.block), 0, 0, 0);
        for entry in view.files(patterns) {
            let entry = entry.map_err(repository_failure)?;
            measure.take(&entry);
            most = most.max(measure.footprint().bytes.saturating_sub(freed));
            if let Some(old) = old_size(directory.as_fd(), &entry).filter(|_| place == into) {
                (freed, replaced) = (freed + old, replaced + 1);
            }
        }
        let taken = measure.footprint();
        let wanted = Footprint { bytes: most, inodes: taken.inodes.saturating_sub(replaced), ..taken };
        let kept = kept(&room, self.is_among_the_disks(directory.as_fd()));
        fits(&room, wanted, kept, "make room there")
    }

    /// Says whether the disks of containers take of the same room.
    fn is_among_the_disks(&self, file: BorrowedFd<'_>) -> bool {
        let disks = sysfs::open_root(&self.options.paths.containers()).and_then(|root| sysfs::stat(root.as_fd()));
        let found = sysfs::stat(file);
        matches!((disks, found), (Ok(disks), Ok(found)) if disks.device == found.device)
    }
}

/// Returns what goes when the entry takes its place.
fn old_size(directory: BorrowedFd<'_>, entry: &Entry) -> Option<u64> {
    let old =
        sysfs::open_beneath(directory, &entry.path, Access::Place).and_then(|old| sysfs::stat(old.as_fd())).ok()?;
    (old.kind != FileKind::Directory && old.links == 1).then_some(old.blocks * 512)
}

fn is_empty(disk: BorrowedFd<'_>, name: &[u8]) -> bool {
    let names = sysfs::open_beneath(disk, name, Access::Directory).and_then(|opened| sysfs::names(opened.as_fd()));
    names.map_or(true, |names| names.is_empty())
}

/// Returns what has to stay free: as much as a disk needs to count as one with room, and where the disks of all containers lie
/// as much as lets those go on that stand still for want of it.
fn kept(room: &Room, shared: bool) -> Kept {
    let (bytes, files) = hits::room_of(room);
    Kept { bytes: if shared { enough(reserve(room.bytes)) } else { bytes.min(OWN_KEPT_MAX) }, files }
}

fn fits(room: &Room, wanted: Footprint, kept: Kept, way_out: &str) -> Result<(), Failure> {
    if wanted.bytes > room.bytes_free.saturating_sub(kept.bytes) {
        let [wanted, free, kept] = [wanted.bytes, room.bytes_free, kept.bytes].map(Size::from_bytes);
        let text = format!("the files take {wanted} there, and {free} is free, of which {kept} has to stay; {way_out}");
        return Err(Failure::permanent(text).classed(RefusalClass::Limit));
    }
    if room.files > 0 && wanted.inodes > room.files_free.saturating_sub(kept.files) {
        let (wanted, free, kept) = (wanted.inodes, room.files_free, kept.files);
        let text = format!(
            "{wanted} files and directories do not fit: the file system takes {free} more, of which {kept} have to stay; {way_out}"
        );
        return Err(Failure::permanent(text).classed(RefusalClass::Limit));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::linux::disk::{ensure_disk, mounted_apart};
    use crate::effects::linux::paths::StatePaths;
    use crate::events::DiskKind;
    use crate::repository::Id;
    use crate::repository::catalogue::{Attribute, FileContent, Node};
    use crate::sys::fs::Extent;

    const ROOM: Room = Room { block: 4096, bytes: 1 << 30, bytes_free: 100 << 20, files: 1000, files_free: 500 };

    fn refused(wanted: Footprint, kept: Kept) -> Option<String> {
        fits(&ROOM, wanted, kept, "make room").err().map(|failure| failure.reason)
    }

    #[test]
    fn what_cannot_fit_is_refused_with_what_there_is_and_what_stays() {
        let kept = Kept { bytes: 20 << 20, files: 20 };
        let wanted = |mib: u64, inodes| Footprint { data: 0, bytes: mib << 20, inodes };
        assert_eq!(refused(wanted(80, 480), kept), None);
        let words = "the files take 81 MiB there, and 100 MiB is free, of which 20 MiB has to stay; make room";
        assert_eq!(refused(wanted(81, 480), kept).as_deref(), Some(words));
        let words =
            "481 files and directories do not fit: the file system takes 500 more, of which 20 have to stay; make room";
        assert_eq!(refused(wanted(80, 481), kept).as_deref(), Some(words));
        let boundless = Room { files: 0, files_free: 0, ..ROOM };
        assert!(fits(&boundless, wanted(80, 481), kept, "").is_ok(), "a file system without such a bound");
    }

    /// Makes what entries tell of on a disk, and says what the disk gave away for it.
    fn taken_by(root: BorrowedFd<'_>, entries: &[Entry]) -> (u64, u64) {
        let before = mount::room_of(root).unwrap();
        for entry in entries {
            let path = entry.path.as_slice();
            match &entry.node {
                Node::Directory => sysfs::make_directory(root, path, 0o700).unwrap(),
                Node::Symlink { target } => sysfs::make_symlink(root, path, target).unwrap(),
                Node::File(content) => {
                    let file = sysfs::create_file(root, path, 0o600).unwrap();
                    for extent in content.data_extents() {
                        let bytes = vec![7; extent.length as usize];
                        sysfs::write_at(file.as_fd(), &bytes, extent.offset).unwrap();
                    }
                    for attribute in &entry.attributes {
                        crate::sys::fs::xattr::set(file.as_fd(), &attribute.name, &attribute.value).unwrap();
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        sysfs::sync_file_system(root).unwrap();
        let after = mount::room_of(root).unwrap();
        (before.bytes_free - after.bytes_free, before.files_free - after.files_free)
    }

    fn entry(path: String, node: Node, attribute: usize) -> Entry {
        let now = sysfs::Moment { seconds: 0, nanos: 0 };
        // No two are the same: ext4 keeps what is the same but once.
        let value: Vec<u8> = path.bytes().cycle().take(attribute).collect();
        let attributes = (attribute > 0).then(|| Attribute { name: b"user.note".to_vec(), value, outside: vec![] });
        Entry {
            path: path.into_bytes(),
            node,
            mode: 0o600,
            owner: Id::Inside(0),
            group: Id::Inside(0),
            modified: now,
            changed: now,
            inode: 1,
            links: 1,
            hard_link: None,
            attributes: attributes.into_iter().collect(),
            flags: 0,
            project: 0,
            racy: false,
        }
    }

    fn many_small_files() -> Vec<Entry> {
        let file = |size, extents| Node::File(FileContent { size, extents, chunks: vec![] });
        let mut entries = vec![];
        for directory in 0..40 {
            entries.push(entry(format!("d{directory}"), Node::Directory, 0));
            for number in 0..100 {
                let name = format!("d{directory}/a-file-with-a-name-of-usual-length-{number}");
                entries.push(entry(name, file(10, None), if number % 10 == 0 { 200 } else { 20 }));
            }
            entries.push(entry(format!("d{directory}/link"), Node::Symlink { target: vec![b't'; 100] }, 0));
        }
        let holes = (0..64).map(|piece| Extent { offset: piece << 20, length: 5000 }).collect();
        entries.push(entry("sparse".to_owned(), file(64 << 20, Some(holes)), 0));
        entries
    }

    #[test]
    fn what_is_counted_is_what_ext4_gives_away() {
        let root = crate::sys::capability::effective().is_ok_and(|held| held & (1 << 21) != 0);
        if !root || !Path::new("/dev/loop-control").exists() {
            return println!("skipped: disks need CAP_SYS_ADMIN and loop devices");
        }
        let place = tempfile::Builder::new().prefix("berth-room.").tempdir_in("/var/tmp").unwrap();
        let paths = StatePaths::with_runtime(place.path().join("state"), place.path().join("run"));
        let id = ContainerId::derived("room");
        ensure_disk(&paths, id, DiskKind::Image, Size::from_mib(256)).unwrap();
        let entries = many_small_files();
        let mut measure = Measure::new(4096);
        for entry in &entries {
            measure.take(entry);
        }
        let counted = measure.footprint();
        let look = |root: BorrowedFd<'_>| Ok(taken_by(root, &entries));
        let (bytes, inodes) = mounted_apart(&paths.disk_image(id), look).unwrap();
        println!("counted {counted:?}, taken {bytes} bytes, {inodes} inodes");
        assert_eq!(counted.inodes, inodes);
        assert!(counted.bytes.abs_diff(bytes) < bytes / 50, "{counted:?}, {bytes} were taken");
        assert!(counted.data < bytes / 10, "small files are mostly room around them");
    }

    #[test]
    fn as_much_stays_free_as_a_disk_needs_or_where_all_write_as_lets_containers_go_on() {
        let of = |bytes, shared| kept(&Room { bytes, ..ROOM }, shared);
        assert_eq!(of(1 << 30, false), Kept { bytes: (1 << 30) / 50, files: 20 });
        assert_eq!(of(32 << 20, false).bytes, 2 << 20);
        assert_eq!(of(1 << 40, false).bytes, 256 << 20);
        assert_eq!([32 << 20, 8 << 30, 1 << 40].map(|bytes| of(bytes, true).bytes), [256 << 20, 2 << 30, 2 << 30]);
    }
}
