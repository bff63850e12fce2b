//! Making and changing files below a directory descriptor.
//!
//! Names are single components: the caller opened the directory, so nothing on the way can be swapped. Owner, mode and
//! times are set on a descriptor (also an `O_PATH` one), so they hit the inode that was looked at and no other.

use std::io;

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Gid, Mode, OFlags, RawMode, RenameFlags, ResolveFlags, Timespec,
    Timestamps, UTIME_OMIT, Uid,
};

use super::{BorrowedFd, FileKind, Moment, OwnedFd, proc_path};
use crate::sys::check;

/// Makes a regular file that did not exist, open for reading and writing.
///
/// # Errors
/// `EEXIST` if there is one, and what else openat2(2) says.
pub fn create_file(directory: BorrowedFd<'_>, path: &[u8], mode: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    Ok(rustix::fs::openat2(directory, path, flags, Mode::from_raw_mode(mode), resolve)?)
}

/// Makes a directory.
///
/// # Errors
/// What mkdirat(2) says.
pub fn make_directory(directory: BorrowedFd<'_>, name: &[u8], mode: u32) -> io::Result<()> {
    Ok(rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(mode))?)
}

/// Makes a device, pipe or socket name; `node` counts for devices only.
///
/// # Errors
/// What mknodat(2) says; `EPERM` where devices are refused.
pub fn make_node(
    directory: BorrowedFd<'_>,
    name: &[u8],
    kind: FileKind,
    mode: u32,
    node: (u32, u32),
) -> io::Result<()> {
    let kind = match kind {
        FileKind::CharDevice => FileType::CharacterDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::Fifo => FileType::Fifo,
        FileKind::Socket => FileType::Socket,
        other => return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{other:?} is no node"))),
    };
    let device = rustix::fs::makedev(node.0, node.1);
    Ok(rustix::fs::mknodat(directory, name, kind, Mode::from_raw_mode(mode as RawMode), device)?)
}

/// Makes a symbolic link to whatever bytes `target` is.
///
/// # Errors
/// What symlinkat(2) says.
pub fn make_symlink(directory: BorrowedFd<'_>, name: &[u8], target: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::symlinkat(target, directory, name)?)
}

/// Gives the inode behind `file` a further name; a symbolic link is linked itself.
///
/// # Errors
/// What linkat(2) says.
pub fn link(file: BorrowedFd<'_>, directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    // AT_EMPTY_PATH wants CAP_DAC_READ_SEARCH; the way through procfs wants nothing (linkat(2)).
    let path = proc_path(file);
    Ok(rustix::fs::linkat(CWD, path.as_str(), directory, name, AtFlags::SYMLINK_FOLLOW)?)
}

/// Removes a name that is no directory.
///
/// # Errors
/// What unlinkat(2) says.
pub fn unlink(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(directory, name, AtFlags::empty())?)
}

/// Removes an empty directory.
///
/// # Errors
/// What unlinkat(2) says.
pub fn unlink_directory(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR)?)
}

/// Renames, replacing what has the new name.
///
/// # Errors
/// What renameat2(2) says.
pub fn rename(from: BorrowedFd<'_>, old: &[u8], to: BorrowedFd<'_>, new: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::renameat(from, old, to, new)?)
}

/// Renames, and refuses to replace anything.
///
/// # Errors
/// `EEXIST` if the new name is taken, and what else renameat2(2) says.
pub fn rename_new(from: BorrowedFd<'_>, old: &[u8], to: BorrowedFd<'_>, new: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(from, old, to, new, RenameFlags::NOREPLACE)?)
}

/// Sets owner and group of the inode behind a descriptor; a symbolic link is changed itself.
///
/// # Errors
/// `EINVAL` for the number that stands for no change; what fchownat(2) says.
pub fn set_owner(file: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(check::id(uid)?), Gid::from_raw(check::id(gid)?));
    Ok(rustix::fs::chownat(file, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?)
}

/// Sets the permission bits (07777) of the inode behind a descriptor, which must not be a symbolic link.
///
/// # Errors
/// What chmod(2) says.
pub fn set_mode(file: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    // fchmod(2) refuses O_PATH descriptors and fchmodat2(2) needs Linux 6.6.
    Ok(rustix::fs::chmod(proc_path(file).as_str(), Mode::from_raw_mode(mode))?)
}

/// Sets the modification time of the inode behind a descriptor and leaves its access time.
///
/// # Errors
/// What utimensat(2) says.
pub fn set_times(file: BorrowedFd<'_>, modified: Moment) -> io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: modified.seconds, tv_nsec: modified.nanos.into() },
    };
    Ok(rustix::fs::utimensat(file, c"", &times, AtFlags::EMPTY_PATH)?)
}

/// Gives the blocks of a stretch of a file back to its file system; it reads as zeros from then on.
///
/// # Errors
/// What fallocate(2) says; `EOPNOTSUPP` where the file system cannot.
pub fn punch_hole(file: BorrowedFd<'_>, offset: u64, length: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, length)?)
}

/// Copies a whole file of `length` bytes inside the kernel: as a reflink where the file system has them, else by
/// copy_file_range(2). Returns whether it is a reflink.
///
/// # Errors
/// What ioctl_ficlone(2) and copy_file_range(2) say.
pub fn clone_range(from: BorrowedFd<'_>, to: BorrowedFd<'_>, length: u64) -> io::Result<bool> {
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(true);
    }
    let (mut read, mut written) = (0, 0);
    while written < length {
        let rest = usize::try_from(length - written).unwrap_or(usize::MAX).min(1 << 30);
        if rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), rest)? == 0 {
            break;
        }
    }
    Ok(false)
}

/// Waits until a file or directory is on the disk with all it is (fsync(2)).
///
/// # Errors
/// What fsync(2) says.
pub fn sync(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::fsync(file)?)
}

/// Waits until a file's data is on the disk (fdatasync(2)).
///
/// # Errors
/// What fdatasync(2) says.
pub fn sync_data(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::fdatasync(file)?)
}

/// Waits until the whole file system behind a descriptor is on the disk (syncfs(2)).
///
/// # Errors
/// What syncfs(2) says.
pub fn sync_file_system(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::syncfs(file)?)
}
