//! What file systems tell and take only by calls of their own: inode flags, project ids, freeze, thaw, trim, writing back.

#![allow(unsafe_code)]

use std::io;

use rustix::fs::IFlags;

use super::{AsRawFd, BorrowedFd};
use crate::sys::check;

/// Marks an inode that nobody may change (ioctl_iflags(2)).
pub const FLAG_IMMUTABLE: u32 = 0x10;
/// Marks an inode that may only grow (ioctl_iflags(2)).
pub const FLAG_APPEND: u32 = 0x20;

// FS_IOC_* and FI* of linux/fs.h; the sizes in them are those of `struct fsxattr` (28), `struct fstrim_range` (24), int.
const FS_IOC_FSGETXATTR: u64 = 0x801c_581f;
const FS_IOC_FSSETXATTR: u64 = 0x401c_5820;
const FIFREEZE: u64 = 0xc004_5877;
const FITHAW: u64 = 0xc004_5878;
const FITRIM: u64 = 0xc018_5879;

/// Writes a file's dirty pages to the device and waits for them (sync_file_range(2)). Neither the file system's journal nor the
/// device's cache is waited for: it is about the pages, each of which a program that has it mapped must ask for anew.
///
/// # Errors
/// What sync_file_range(2) says.
pub fn write_back(file: BorrowedFd<'_>) -> io::Result<()> {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: numbers only; the file is borrowed across the call.
    check::int(unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, flags) }).map(drop)
}

/// Mirrors `struct fsxattr` of linux/fs.h.
#[repr(C)]
#[derive(Default, Clone, Copy)]
struct FsXattr {
    xflags: u32,
    extsize: u32,
    nextents: u32,
    projid: u32,
    cowextsize: u32,
    pad: [u8; 8],
}

/// Mirrors `struct fstrim_range` of linux/fs.h.
#[repr(C)]
struct TrimRange {
    start: u64,
    length: u64,
    minimum: u64,
}

fn control<T>(file: BorrowedFd<'_>, request: u64, argument: &mut T) -> io::Result<()> {
    // SAFETY: every request above reads or writes at most one T of the size that is part of its number.
    let code = unsafe { libc::ioctl(file.as_raw_fd(), request as _, std::ptr::from_mut(argument)) };
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Returns which of `flags` a user can set and a backup should keep; the others are the file system's own business.
pub const fn user_settable_flags(flags: u32) -> u32 {
    // secrm unrm compr sync immutable append nodump noatime journal-data notail dirsync topdir nocow projinherit
    flags
        & (0x1
            | 0x2
            | 0x4
            | 0x8
            | 0x10
            | 0x20
            | 0x40
            | 0x80
            | 0x4000
            | 0x8000
            | 0x1_0000
            | 0x2_0000
            | 0x80_0000
            | 0x2000_0000)
}

/// Reads the inode flags of a file or directory; none where the file system has no such thing.
///
/// # Errors
/// What ioctl_iflags(2) says.
pub fn flags(file: BorrowedFd<'_>) -> io::Result<u32> {
    match rustix::fs::ioctl_getflags(file) {
        Ok(flags) => Ok(flags.bits()),
        Err(error) if unsupported(error.raw_os_error()) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Sets the inode flags of a file or directory.
///
/// # Errors
/// What ioctl_iflags(2) says; `EOPNOTSUPP` where the file system lacks one of them.
pub fn set_flags(file: BorrowedFd<'_>, flags: u32) -> io::Result<()> {
    Ok(rustix::fs::ioctl_setflags(file, IFlags::from_bits_retain(flags))?)
}

/// Reads the project id of a file or directory; 0 where the file system has no such thing.
///
/// # Errors
/// What ioctl(2) says.
pub fn project(file: BorrowedFd<'_>) -> io::Result<u32> {
    let mut found = FsXattr::default();
    match control(file, FS_IOC_FSGETXATTR, &mut found) {
        Ok(()) => Ok(found.projid),
        Err(error) if error.raw_os_error().is_some_and(unsupported) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Sets the project id of a file or directory.
///
/// # Errors
/// What ioctl(2) says; `EINVAL` from inside a user namespace.
pub fn set_project(file: BorrowedFd<'_>, id: u32) -> io::Result<()> {
    let mut found = FsXattr::default();
    control(file, FS_IOC_FSGETXATTR, &mut found)?;
    found.projid = id;
    control(file, FS_IOC_FSSETXATTR, &mut found)
}

fn unsupported(code: i32) -> bool {
    // ENOIOCTLCMD of the kernel reaches us as ENOTTY; FUSE says ENOSYS.
    [libc::ENOTTY, libc::EOPNOTSUPP, libc::ENOSYS, libc::EINVAL].contains(&code)
}

/// Stops all changes to the file system behind a descriptor until `thaw`.
///
/// # Errors
/// `EBUSY` if it is frozen already; what ioctl(2) says.
pub fn freeze(file: BorrowedFd<'_>) -> io::Result<()> {
    control(file, FIFREEZE, &mut 0_i32)
}

/// Lets changes go on after `freeze`.
///
/// # Errors
/// `EINVAL` if it is not frozen; what ioctl(2) says.
pub fn thaw(file: BorrowedFd<'_>) -> io::Result<()> {
    control(file, FITHAW, &mut 0_i32)
}

/// Tells the device below the file system which blocks are free; returns the bytes that were given back.
///
/// # Errors
/// `EOPNOTSUPP` where the device cannot; what ioctl(2) says.
pub fn trim(file: BorrowedFd<'_>) -> io::Result<u64> {
    let mut range = TrimRange { start: 0, length: u64::MAX, minimum: 0 };
    control(file, FITRIM, &mut range)?;
    Ok(range.length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn the_structures_have_the_sizes_their_requests_say() {
        assert_eq!(size_of::<FsXattr>() as u64, (FS_IOC_FSGETXATTR >> 16) & 0x3fff);
        assert_eq!(size_of::<TrimRange>() as u64, (FITRIM >> 16) & 0x3fff);
    }

    #[test]
    fn the_flags_of_a_file_can_be_set_and_read() {
        let place = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(place.path().join("f")).unwrap();
        let before = flags(file.as_fd()).unwrap();
        if set_flags(file.as_fd(), before | 0x40).is_err() {
            return; // This file system has no flags.
        }
        assert_eq!(user_settable_flags(flags(file.as_fd()).unwrap()) & 0x40, 0x40);
        assert!(project(file.as_fd()).is_ok());
    }
}
