//! Files by directory descriptor: what is there, opening it, reading it.
//!
//! Trees of containers are hostile: their paths can be swapped for symbolic links at any moment, and their descriptors may
//! come from another process. So nothing here takes an absolute path: everything starts at a descriptor and stays beneath
//! it (openat2(2) with `RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS`). Making and changing files is in
//! `change`, whole trees in `tree`, what file systems only say by ioctl in `control`, extended attributes in `sys::fs::xattr`.

mod change;
mod control;
pub mod durable;
pub mod lock;
mod tree;
mod within;
pub mod xattr;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, RawMode, ResolveFlags, SeekFrom, Statx, StatxFlags};

pub use change::{
    clone_range, create_file, link, make_directory, make_node, make_symlink, punch_hole, rename, rename_new, set_mode,
    set_owner, set_times, sync, sync_data, sync_file_system, unlink, unlink_directory,
};
pub use control::{
    FLAG_APPEND, FLAG_IMMUTABLE, flags, freeze, project, set_flags, set_project, thaw, trim, user_settable_flags,
    write_back,
};
pub use tree::{DirectoryStack, directories, remove_tree};
pub use within::resolve;

/// Is a moment of a file's inode: seconds before or after the epoch, and nanoseconds after that second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment {
    /// Seconds since 1970-01-01T00:00:00Z, negative before it.
    pub seconds: i64,
    /// Nanoseconds after that second, below 1,000,000,000.
    pub nanos: u32,
}

/// Is what a name can stand for (inode(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A regular file.
    Regular,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
}

/// Tells what statx(2) says of one inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: FileKind,
    /// The permission bits, with setuid, setgid and sticky (07777).
    pub mode: u32,
    /// The owner, as the host counts.
    pub uid: u32,
    /// The group, as the host counts.
    pub gid: u32,
    /// The length in bytes.
    pub size: u64,
    /// How many 512-byte blocks it takes.
    pub blocks: u64,
    /// How many names it has.
    pub links: u32,
    /// The number of the inode in its file system.
    pub inode: u64,
    /// The file system's device number: major, minor.
    pub device: (u32, u32),
    /// The device number that a device node stands for: major, minor.
    pub node: (u32, u32),
    /// When its content changed last.
    pub modified: Moment,
    /// When its inode changed last; no process can set this one.
    pub changed: Moment,
}

/// Says what is to be opened, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The place alone (`O_PATH`): neither read nor written, no permission needed, no device touched.
    Place,
    /// A directory, to list it and to start from.
    Directory,
    /// A file, to read it; without moving its access time where the kernel allows that.
    Read,
    /// A file that exists, to write it.
    Write,
}

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_SYMLINKS);

impl Access {
    const fn flags(self) -> OFlags {
        let always = OFlags::CLOEXEC.union(OFlags::NOFOLLOW);
        match self {
            Self::Place => always.union(OFlags::PATH),
            Self::Directory => always.union(OFlags::RDONLY).union(OFlags::DIRECTORY),
            // O_NONBLOCK: a file that was swapped for a pipe meanwhile must not hang the reader.
            Self::Read => always.union(OFlags::RDONLY).union(OFlags::NONBLOCK).union(OFlags::NOATIME),
            Self::Write => always.union(OFlags::RDWR).union(OFlags::NONBLOCK),
        }
    }
}

/// Opens the directory at a trusted absolute path: the place where descriptor-relative work begins.
///
/// # Errors
/// What openat(2) says.
pub fn open_root(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Returns where an open file or directory lies by now, as this process names it (proc_pid_fd(5)).
///
/// # Errors
/// `/proc` is not there.
pub fn path_of(file: BorrowedFd<'_>) -> io::Result<PathBuf> {
    std::fs::read_link(proc_path(file))
}

/// Opens `path` below `directory`; the empty path is the directory itself.
///
/// # Errors
/// `ELOOP` if any part is a symbolic link, `EXDEV` if the path leads out, and what else openat2(2) says.
pub fn open_beneath(directory: BorrowedFd<'_>, path: &[u8], access: Access) -> io::Result<OwnedFd> {
    open_resolved(directory, path, access, BENEATH)
}

/// Opens `path` below `directory` like `open_beneath`, but refuses to cross into another mount.
///
/// # Errors
/// `EXDEV` if something is mounted on the way or at the end, and what `open_beneath` says.
pub fn open_same_mount(directory: BorrowedFd<'_>, path: &[u8], access: Access) -> io::Result<OwnedFd> {
    open_resolved(directory, path, access, BENEATH.union(ResolveFlags::NO_XDEV))
}

fn open_resolved(directory: BorrowedFd<'_>, path: &[u8], access: Access, resolve: ResolveFlags) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { b".".as_slice() } else { path };
    let open = |flags| rustix::fs::openat2(directory, path, flags, Mode::empty(), resolve);
    match open(access.flags()) {
        // O_NOATIME is for the owner and for CAP_FOWNER only (open(2)).
        Err(rustix::io::Errno::PERM) if access == Access::Read => Ok(open(access.flags().difference(OFlags::NOATIME))?),
        other => Ok(other?),
    }
}

/// Tells about `name` in `directory` without following it.
///
/// # Errors
/// What statx(2) says.
pub fn stat_at(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<Metadata> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    metadata(&rustix::fs::statx(directory, name, flags, StatxFlags::BASIC_STATS)?)
}

/// Tells about the inode behind a descriptor, also one that is open for its place alone.
///
/// # Errors
/// What statx(2) says.
pub fn stat(file: BorrowedFd<'_>) -> io::Result<Metadata> {
    metadata(&rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?)
}

fn metadata(found: &Statx) -> io::Result<Metadata> {
    let moment = |at: &rustix::fs::StatxTimestamp| Moment { seconds: at.tv_sec, nanos: at.tv_nsec };
    Ok(Metadata {
        kind: kind(RawMode::from(found.stx_mode))?,
        mode: u32::from(found.stx_mode) & 0o7777,
        uid: found.stx_uid,
        gid: found.stx_gid,
        size: found.stx_size,
        blocks: found.stx_blocks,
        links: found.stx_nlink,
        inode: found.stx_ino,
        device: (found.stx_dev_major, found.stx_dev_minor),
        node: (found.stx_rdev_major, found.stx_rdev_minor),
        modified: moment(&found.stx_mtime),
        changed: moment(&found.stx_ctime),
    })
}

fn kind(mode: RawMode) -> io::Result<FileKind> {
    use rustix::fs::FileType;
    Ok(match FileType::from_raw_mode(mode) {
        FileType::Directory => FileKind::Directory,
        FileType::RegularFile => FileKind::Regular,
        FileType::Symlink => FileKind::Symlink,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::Unknown => return Err(io::Error::other(format!("the file type {mode:o} is unknown"))),
    })
}

/// Lists the names in a directory, in no order, without `.` and `..`.
///
/// # Errors
/// What getdents64(2) says.
pub fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            found.push(name.to_vec());
        }
    }
    Ok(found)
}

/// Reads where the symbolic link `name` in `directory` points, as the bytes that are there.
///
/// # Errors
/// What readlinkat(2) says.
pub fn read_link(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(directory, name, Vec::new())?.into_bytes())
}

/// Is a stretch of a file that holds data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub length: u64,
}

/// Lists where a file of `size` bytes holds data; the rest are holes (lseek(2), `SEEK_DATA` and `SEEK_HOLE`).
///
/// # Errors
/// What lseek(2) says.
pub fn extents(file: BorrowedFd<'_>, size: u64) -> io::Result<Vec<Extent>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < size {
        let offset = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(offset) if offset < size => offset,
            Ok(_) | Err(rustix::io::Errno::NXIO) => break, // Only a hole from here to the end.
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(offset))?.min(size);
        found.push(Extent { offset, length: end.saturating_sub(offset) });
        at = end.max(offset + 1);
    }
    Ok(found)
}

/// Reads into `buffer` from `offset` until it is full or the file ends; returns how much was read.
///
/// # Errors
/// What pread(2) says.
pub fn read_at(file: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match rustix::io::pread(file, &mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}

/// Writes all of `bytes` at `offset`.
///
/// # Errors
/// What pwrite(2) says.
pub fn write_at(file: BorrowedFd<'_>, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Sets the length of a file; what lies beyond its old end is a hole.
///
/// # Errors
/// What ftruncate(2) says.
pub fn set_length(file: BorrowedFd<'_>, length: u64) -> io::Result<()> {
    Ok(rustix::fs::ftruncate(file, length)?)
}

/// Returns the bytes that the file system behind a descriptor has in all.
///
/// # Errors
/// What fstatfs(2) says.
pub fn size_bytes(file: BorrowedFd<'_>) -> io::Result<u64> {
    let found = rustix::fs::fstatfs(file)?;
    Ok(found.f_blocks.saturating_mul(u64::try_from(found.f_frsize).unwrap_or(0)))
}

/// Returns the bytes that are free for this process in the file system behind a descriptor.
///
/// # Errors
/// What fstatfs(2) says.
pub fn free_bytes(file: BorrowedFd<'_>) -> io::Result<u64> {
    let found = rustix::fs::fstatfs(file)?;
    Ok(found.f_bavail.saturating_mul(u64::try_from(found.f_frsize).unwrap_or(0)))
}

/// Lets go of what is in memory of a file, as far as it is on its disk already.
///
/// # Errors
/// What posix_fadvise(2) says.
pub fn forget(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

/// Tells whether the kernel finds that the store, disk or quota has no room left.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}

/// Tells whether an error means that what was opened is no longer there: unmounted, unplugged, stale.
pub fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ESTALE | libc::ENOTCONN | libc::ENODEV | libc::ENXIO | libc::ESHUTDOWN))
}

/// Tells whether an error is what the place of a file says of the file: it cannot be read, or is not what it was. All other
/// errors speak of who reads: there is no memory for it, there are too many files open, it may not.
pub fn is_of_the_file(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, IsADirectory, NotADirectory, NotFound, UnexpectedEof};
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EUCLEAN | libc::EBADMSG | libc::ELOOP))
        || matches!(error.kind(), InvalidData | IsADirectory | NotADirectory | NotFound | UnexpectedEof)
}

/// Tells whether an error means that another mount begins here (openat2(2), `RESOLVE_NO_XDEV`).
pub fn is_mount_crossing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EXDEV)
}

/// Turns a descriptor into the standard library's file.
pub fn into_file(file: OwnedFd) -> File {
    File::from(file)
}

/// Names an inode through procfs, so that calls without a descriptor form act on exactly that inode.
///
/// The kernel jumps from the magic link to the inode itself, also for a symbolic link opened with `O_PATH` (proc(5)).
pub(super) fn proc_path(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Names `name` in `directory` through procfs; `name` is one component, so nothing on the way can be swapped.
pub(super) fn proc_child(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<Vec<u8>> {
    if name.is_empty() || name.contains(&b'/') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "one name is wanted, not a path"));
    }
    let mut path = proc_path(directory).into_bytes();
    path.push(b'/');
    path.extend_from_slice(name);
    Ok(path)
}

/// Shows a byte path to people: as it is where it is UTF-8, with the odd bytes escaped where not.
pub fn display_path(path: &[u8]) -> String {
    OsStr::from_bytes(path).to_str().map_or_else(|| path.escape_ascii().to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbolic_link_is_never_followed_and_nothing_leads_out() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("in")).unwrap();
        std::fs::write(place.path().join("secret"), b"x").unwrap();
        std::os::unix::fs::symlink("../secret", place.path().join("in/up")).unwrap();
        let inside = open_root(&place.path().join("in")).unwrap();
        for path in [b"../secret".as_slice(), b"up", b"/etc/passwd", b"up/x"] {
            assert!(open_beneath(inside.as_fd(), path, Access::Read).is_err(), "{}", display_path(path));
        }
        assert_eq!(read_link(inside.as_fd(), b"up").unwrap(), b"../secret");
        assert_eq!(stat_at(inside.as_fd(), b"up").unwrap().kind, FileKind::Symlink);
    }

    #[test]
    fn holes_are_seen_and_can_be_punched() {
        let place = tempfile::tempdir().unwrap();
        let root = open_root(place.path()).unwrap();
        let file = create_file(root.as_fd(), b"sparse", 0o600).unwrap();
        set_length(file.as_fd(), 8 << 20).unwrap();
        write_at(file.as_fd(), &vec![1; 65536], 4 << 20).unwrap();
        let found = extents(file.as_fd(), 8 << 20).unwrap();
        assert_eq!(found, [Extent { offset: 4 << 20, length: 65536 }]);
        punch_hole(file.as_fd(), 4 << 20, 65536).unwrap();
        assert_eq!(extents(file.as_fd(), 8 << 20).unwrap(), []);
    }
}
