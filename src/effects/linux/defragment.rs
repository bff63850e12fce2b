//! Puts the files of a disk in order, while it is in use or idle, and gives unused blocks back to the host.
//!
//! A fragmented file gets a nameless one of the same shape whose blocks lie together, and the kernel exchanges the places
//! (`EXT4_IOC_MOVE_EXT`, as e4defrag(8) does; that program finds a file system by its mount, and ours is in nobody's mount
//! table). Then `FITRIM` reaches the loop device, which punches holes into the image.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::domain::effect::Failure;
use crate::events::{DiskKind, MaintenanceResult};
use crate::repository::{Step, Walk};
use crate::sys::ext4::{self, PlacedExtent};
use crate::sys::fs::{
    Access, AsFd, BorrowedFd, FileKind, OwnedFd, display_path, set_length, stat, sync_file_system, trim,
};
use crate::types::{ContainerId, Size};

use super::disk::mounted_apart;
use super::failure::{cancelled, cannot, not_applicable};
use super::paths::StatePaths;

/// Defragments the container's disk; `mounted` is a directory of it while it is in use.
///
/// # Errors
/// `NotApplicable` for a plain directory, whose blocks are the host's business; what the kernel says.
pub fn defragment(
    paths: &StatePaths,
    container: ContainerId,
    kind: DiskKind,
    mounted: Option<BorrowedFd<'_>>,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<MaintenanceResult, Failure> {
    if kind == DiskKind::Directory {
        return Err(not_applicable(
            "the disk is a plain directory of the host's file system, which has no blocks of its own",
        ));
    }
    let image = paths.disk_image(container);
    match mounted {
        Some(root) => defragment_mounted(&image, root, is_cancelled),
        None => mounted_apart(&image, |root| defragment_mounted(&image, root, is_cancelled)),
    }
}

/// Defragments the disk in `image`, which is mounted at `root`.
fn defragment_mounted(
    image: &Path,
    root: BorrowedFd<'_>,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<MaintenanceResult, Failure> {
    let settle = || sync_file_system(root).map_err(cannot("sync", "the disk"));
    settle()?;
    let allocated_before = allocated(image)?;
    let fragments_before = each_file(root, is_cancelled, &mut |file| Ok(breaks(&ext4::placed_extents(file)?)))?;
    each_file(root, is_cancelled, &mut |file| gather(root, file).map(|()| 0))?;
    settle()?;
    let fragments_after = each_file(root, is_cancelled, &mut |file| Ok(breaks(&ext4::placed_extents(file)?)))?;
    match trim(root) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            tracing::warn!(image = %image.display(), "the host's file system cannot give unused blocks back");
        }
        other => drop(other.map_err(cannot("trim", "the disk"))?),
    }
    settle()?;
    let allocated_after = allocated(image)?;
    Ok(MaintenanceResult::Defragmented { fragments_before, fragments_after, allocated_before, allocated_after })
}

fn allocated(image: &Path) -> Result<Size, Failure> {
    let file = File::open(image).map_err(cannot("open", image.display()))?;
    file.sync_all().map_err(cannot("sync", image.display()))?;
    let found = file.metadata().map_err(cannot("look at", image.display()))?;
    Ok(Size::from_bytes(found.blocks() * 512))
}

type Work<'a> = &'a mut dyn FnMut(BorrowedFd<'_>) -> io::Result<u64>;

/// Does something with every regular file and adds the results up; a file that is busy or refuses stays as it is.
fn each_file(root: BorrowedFd<'_>, is_cancelled: &dyn Fn() -> bool, work: Work<'_>) -> Result<u64, Failure> {
    let mut walk = Walk::new(root).map_err(cannot("read", "the disk"))?;
    let mut total = 0;
    while let Some(step) = walk.step() {
        if is_cancelled() {
            return Err(cancelled());
        }
        let Step::Found(found) = step else { continue };
        if found.metadata.kind != FileKind::Regular || found.metadata.blocks == 0 {
            continue;
        }
        let outcome = walk.open(&found, Access::Write).and_then(|file| work(file.as_fd()));
        match outcome {
            Ok(count) => total += count,
            Err(error) => {
                tracing::debug!(path = display_path(&found.path), %error, "a file was left as it is");
            }
        }
    }
    Ok(total)
}

/// Counts where a file goes on elsewhere on the device: its pieces beyond the first, so that a disk in order has none
/// however many files come and go meanwhile.
fn breaks(extents: &[PlacedExtent]) -> u64 {
    extents.windows(2).filter(|pair| !follows(&pair[0], &pair[1])).count() as u64
}

fn follows(left: &PlacedExtent, right: &PlacedExtent) -> bool {
    // A hole in the file may be a hole on the device as well: nothing is gained by closing it.
    left.physical + left.length == right.physical
        || left.physical.wrapping_sub(left.logical) == right.physical.wrapping_sub(right.logical)
}

fn gather(root: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<()> {
    let before = ext4::placed_extents(file)?;
    if breaks(&before) == 0 {
        return Ok(());
    }
    let size = stat(file)?.size;
    let donor: OwnedFd = ext4::nameless_file(root)?;
    set_length(donor.as_fd(), size)?;
    let stretches = stretches(&before);
    for (offset, length) in &stretches {
        ext4::reserve(donor.as_fd(), *offset, *length)?;
    }
    // Not worth moving if the free space is in pieces itself.
    if breaks(&ext4::placed_extents(donor.as_fd())?) >= breaks(&before) {
        return Ok(());
    }
    let block = ext4::block_size(root)?;
    for (offset, length) in stretches {
        let (mut at, end) = (offset / block, (offset + length).div_ceil(block));
        while at < end {
            let moved = ext4::exchange_blocks(file, donor.as_fd(), at, end - at)?;
            if moved == 0 {
                break; // The rest is no longer there.
            }
            at += moved;
        }
    }
    Ok(())
}

/// Joins extents that follow each other in the file: the stretches between its holes.
fn stretches(extents: &[PlacedExtent]) -> Vec<(u64, u64)> {
    let mut found: Vec<(u64, u64)> = Vec::new();
    for extent in extents {
        match found.last_mut() {
            Some((offset, length)) if *offset + *length == extent.logical => *length += extent.length,
            _ => found.push((extent.logical, extent.length)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(logical: u64, physical: u64, length: u64) -> PlacedExtent {
        PlacedExtent { logical, physical, length }
    }

    #[test]
    fn pieces_that_follow_each_other_are_no_fragments() {
        assert_eq!(breaks(&[]), 0);
        assert_eq!(breaks(&[piece(0, 100, 10), piece(10, 110, 10)]), 0);
        assert_eq!(breaks(&[piece(0, 100, 10), piece(10, 500, 10)]), 1);
        assert_eq!(breaks(&[piece(0, 100, 10), piece(50, 150, 10)]), 0, "a hole on both sides");
        assert_eq!(stretches(&[piece(0, 9, 10), piece(10, 500, 10), piece(40, 7, 5)]), [(0, 20), (40, 5)]);
    }
}
