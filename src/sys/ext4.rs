//! What only ext4 can be asked, by ioctl: where a file's pieces lie, moving them together, growing while mounted.
//!
//! FIEMAP is documented in the kernel's Documentation/filesystems/fiemap.rst, the others in fs/ext4/ext4.h.

#![allow(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{FallocateFlags, Mode, OFlags};

use super::check;

const FS_IOC_FIEMAP: u64 = 0xc020_660b;
const EXT4_IOC_RESIZE_FS: u64 = 0x4008_6610;
const EXT4_IOC_MOVE_EXT: u64 = 0xc028_660f;
/// Write delayed data out first, so that it has a place at all.
const FIEMAP_FLAG_SYNC: u32 = 1;
const EXTENT_LAST: u32 = 1;
const EXTENT_UNKNOWN: u32 = 2;
const EXTENT_INLINE: u32 = 0x200;
const BATCH: usize = 256;

/// Mirrors `struct fiemap_extent`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct RawExtent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved: [u64; 2],
    flags: u32,
    reserved_flags: [u32; 3],
}

/// Mirrors `struct fiemap` with room for a batch.
#[repr(C)]
struct Request {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    room: u32,
    reserved: u32,
    extents: [RawExtent; BATCH],
}

/// Mirrors `struct move_extent`; counted in blocks.
#[repr(C)]
struct MoveExtent {
    reserved: u32,
    donor: u32,
    start: u64,
    donor_start: u64,
    length: u64,
    moved: u64,
}

/// Is a stretch of a file with its place on the device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedExtent {
    /// Where it is in the file.
    pub logical: u64,
    /// Where it is on the device.
    pub physical: u64,
    /// How long it is.
    pub length: u64,
}

fn control<T>(file: BorrowedFd<'_>, request: u64, argument: &mut T) -> io::Result<()> {
    // SAFETY: each request reads and writes one T: the sizes are part of the numbers, and FIEMAP's array is as long as
    // `room` says.
    check::int(unsafe { libc::ioctl(file.as_raw_fd(), request as _, std::ptr::from_mut(argument)) }).map(drop)
}

/// Lists where a file's data lies; what lies inside the inode has no place of its own.
///
/// # Errors
/// What ioctl(2) says; `EOPNOTSUPP` where the file system cannot tell.
pub fn placed_extents(file: BorrowedFd<'_>) -> io::Result<Vec<PlacedExtent>> {
    let mut found = Vec::new();
    let mut start = 0;
    loop {
        let mut request = Request {
            start,
            length: u64::MAX - start,
            flags: FIEMAP_FLAG_SYNC,
            mapped: 0,
            room: BATCH as u32,
            reserved: 0,
            extents: [RawExtent::default(); BATCH],
        };
        control(file, FS_IOC_FIEMAP, &mut request)?;
        let batch = &request.extents[..(request.mapped as usize).min(BATCH)];
        for extent in batch.iter().filter(|extent| extent.flags & (EXTENT_UNKNOWN | EXTENT_INLINE) == 0) {
            found.push(PlacedExtent { logical: extent.logical, physical: extent.physical, length: extent.length });
        }
        match batch.last() {
            Some(last) if last.flags & EXTENT_LAST == 0 && last.length > 0 => start = last.logical + last.length,
            _ => return Ok(found),
        }
    }
}

/// Returns the name of the block device below a mounted file system, as sysfs has it.
///
/// # Errors
/// Nothing is there; its file system is on no block device.
pub fn name_of_device(mounted: &Path) -> io::Result<OsString> {
    let device = fs::metadata(mounted)?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let link = fs::read_link(format!("/sys/dev/block/{major}:{minor}"))?;
    link.file_name().map(ToOwned::to_owned).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Returns how many errors and warnings the ext4 file system on a device counts (Documentation/ABI/testing/sysfs-fs-ext4);
/// nothing if there is none mounted. A write that the device refuses is a warning, as is a directory that is full; what makes it
/// read-only is an error.
pub fn failures(device: &OsStr) -> Option<(u64, u64)> {
    let counts = Path::new("/sys/fs/ext4").join(device);
    let count = |name: &str| fs::read_to_string(counts.join(name)).ok()?.trim().parse().ok();
    Some((count("errors_count")?, count("warning_count").unwrap_or(0)))
}

/// Lists the devices whose mounted ext4 file systems count any, with both counts.
pub fn failing() -> Vec<(OsString, u64, u64)> {
    let mounted = fs::read_dir("/sys/fs/ext4").into_iter().flatten().flatten();
    let counted = mounted.filter_map(|entry| {
        let (errors, warnings) = failures(&entry.file_name()).filter(|counts| *counts != (0, 0))?;
        Some((entry.file_name(), errors, warnings))
    });
    counted.collect()
}

/// Grows a mounted ext4 file system to `blocks` blocks.
///
/// # Errors
/// `EPERM` without `CAP_SYS_RESOURCE`; what the kernel says.
pub fn grow_mounted(directory: BorrowedFd<'_>, mut blocks: u64) -> io::Result<()> {
    control(directory, EXT4_IOC_RESIZE_FS, &mut blocks)
}

/// Exchanges the places of `length` blocks of two files from block `start` on; the data stays with `file`. Returns how many
/// blocks were moved.
///
/// # Errors
/// What the kernel says, `EBUSY` or `EAGAIN` if the file is in use in a way that forbids it.
pub fn exchange_blocks(file: BorrowedFd<'_>, donor: BorrowedFd<'_>, start: u64, length: u64) -> io::Result<u64> {
    let mut argument =
        MoveExtent { reserved: 0, donor: donor.as_raw_fd() as u32, start, donor_start: start, length, moved: 0 };
    control(file, EXT4_IOC_MOVE_EXT, &mut argument)?;
    Ok(argument.moved)
}

/// Makes a file without a name in the file system of `directory`.
///
/// # Errors
/// What openat(2) says of `O_TMPFILE`.
pub fn nameless_file(directory: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, ".", flags, Mode::from_raw_mode(0o600))?)
}

/// Reserves blocks for a stretch of a file, in one piece if the file system has one.
///
/// # Errors
/// `ENOSPC`; what fallocate(2) says.
pub fn reserve(file: BorrowedFd<'_>, offset: u64, length: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, FallocateFlags::empty(), offset, length)?)
}

/// Returns the size of a block of the file system behind a descriptor, in bytes.
///
/// # Errors
/// What fstatfs(2) says.
pub fn block_size(file: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(u64::try_from(rustix::fs::fstatfs(file)?.f_bsize).unwrap_or(4096))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn the_structures_have_the_sizes_their_requests_say() {
        assert_eq!(size_of::<MoveExtent>() as u64, (EXT4_IOC_MOVE_EXT >> 16) & 0x3fff);
        assert_eq!(size_of::<Request>() - BATCH * size_of::<RawExtent>(), ((FS_IOC_FIEMAP >> 16) & 0x3fff) as usize);
        assert_eq!(size_of::<RawExtent>(), 56);
    }

    #[test]
    fn the_pieces_of_a_file_cover_its_data() {
        let mut file = tempfile::tempfile_in(".").unwrap();
        std::io::Write::write_all(&mut file, &vec![1; 1 << 20]).unwrap();
        match placed_extents(file.as_fd()) {
            Ok(found) => assert_eq!(found.iter().map(|extent| extent.length).sum::<u64>(), 1 << 20),
            Err(error) => println!("skipped: {error}"),
        }
    }
}
