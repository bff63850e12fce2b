//! Mounts: the classic call, the file-descriptor calls, idmapped copies, pivot_root.

#![allow(unsafe_code)]

mod calls;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};

pub use rustix::mount::MountFlags;

use super::pass::{self, pointer};

/// Mounts a file system by the classic mount(2); `options` is the data string.
pub fn mount(source: &str, target: &Path, kind: &str, flags: MountFlags, options: &str) -> io::Result<()> {
    let options = std::ffi::CString::new(options)?;
    Ok(rustix::mount::mount(source, target, kind, flags, Some(options.as_c_str()))?)
}

/// Binds `source` (without what is mounted below it) onto `target`.
pub fn bind(source: &Path, target: &Path) -> io::Result<()> {
    Ok(rustix::mount::mount_bind(source, target)?)
}

/// Changes the flags of one mount point (`MS_REMOUNT | MS_BIND`).
pub fn set_flags(target: &Path, flags: MountFlags) -> io::Result<()> {
    Ok(rustix::mount::mount_remount(target, flags | MountFlags::BIND, "")?)
}

/// How mount events travel between this namespace and others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Neither in nor out.
    Private,
    /// In but not out.
    Dependent,
}

/// Sets the propagation of the whole tree from `/` down.
pub fn set_propagation(propagation: Propagation) -> io::Result<()> {
    use rustix::mount::MountPropagationFlags as Flags;
    let kind = match propagation {
        Propagation::Private => Flags::PRIVATE,
        Propagation::Dependent => Flags::DOWNSTREAM,
    };
    calls::change_propagation((kind | Flags::REC).bits().into())
}

/// Unmounts; fails with `EBUSY` while something below is in use.
pub fn unmount(target: &Path) -> io::Result<()> {
    Ok(rustix::mount::unmount(target, UnmountFlags::NOFOLLOW)?)
}

/// Takes the mount out of the tree now and ends it when nobody uses it any more.
pub fn detach(target: &Path) -> io::Result<()> {
    calls::detach(&calls::terminated(target)?)
}

/// Copies the mount that holds `path`, rooted there, into a detached tree (open_tree(2)).
pub fn copy_tree(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    calls::open_tree(&calls::terminated(path)?, flags.bits())
}

/// Copies the mount that holds `path`, rooted there, with all that is mounted below it.
pub fn copy_whole_tree(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    calls::open_tree(&calls::terminated(path)?, flags.bits())
}

/// Attaches a detached tree at `target` (move_mount(2)).
pub fn attach(tree: impl AsFd, target: &Path) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    calls::move_mount(tree.as_fd(), rustix::fs::CWD, &calls::terminated(target)?, flags.bits())
}

/// What [`change_tree`] sets on a detached tree.
#[derive(Debug, Default)]
pub struct TreeAttributes<'a> {
    /// Refuse writes.
    pub read_only: bool,
    /// Ignore device nodes.
    pub no_devices: bool,
    /// Translate the owners by the map of this user namespace (kernel 5.12).
    pub id_map: Option<BorrowedFd<'a>>,
}

#[repr(C)]
#[derive(Default)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Sets attributes of a detached tree (mount_setattr(2) with `AT_EMPTY_PATH`).
pub fn change_tree(tree: impl AsFd, attributes: &TreeAttributes<'_>) -> io::Result<()> {
    let mut argument = MountAttributes::default();
    let mut set = |wanted: bool, flag: u64| argument.set |= if wanted { flag } else { 0 };
    set(attributes.read_only, libc::MOUNT_ATTR_RDONLY);
    set(attributes.no_devices, libc::MOUNT_ATTR_NODEV);
    set(attributes.id_map.is_some(), libc::MOUNT_ATTR_IDMAP);
    argument.user_namespace = attributes.id_map.map_or(0, |descriptor| descriptor.as_raw_fd() as u64);
    let (tree, empty) = (tree.as_fd().as_raw_fd().into(), pointer(c"".as_ptr()));
    let (argument, size) = (pointer(&raw const argument), size_of::<MountAttributes>() as libc::c_long);
    // SAFETY: the structure has the layout of struct mount_attr (version 0, 32 bytes) and lives across the call; both
    // descriptors are borrowed.
    unsafe { pass::call(libc::SYS_mount_setattr, [tree, empty, libc::AT_EMPTY_PATH.into(), argument, size]) }.map(drop)
}

/// How a new file system is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// Programs, set-user-id and devices count.
    Plain,
    /// `nosuid` only: a place for device nodes.
    NoSetUserId,
    /// `nosuid,nodev`.
    NoDevices,
    /// `nosuid,nodev,noexec`.
    DataOnly,
    /// `ro,nosuid,nodev,noexec`.
    ReadOnlyData,
}

impl Safety {
    fn attributes(self) -> MountAttrFlags {
        use MountAttrFlags as Flags;
        let data = Flags::MOUNT_ATTR_NOSUID | Flags::MOUNT_ATTR_NODEV | Flags::MOUNT_ATTR_NOEXEC;
        match self {
            Self::Plain => Flags::empty(),
            Self::NoSetUserId => Flags::MOUNT_ATTR_NOSUID | Flags::MOUNT_ATTR_NOEXEC,
            Self::NoDevices => Flags::MOUNT_ATTR_NOSUID | Flags::MOUNT_ATTR_NODEV,
            Self::DataOnly => data,
            Self::ReadOnlyData => data | Flags::MOUNT_ATTR_RDONLY,
        }
    }
}

/// Makes a file system and returns it as a detached mount (fsopen(2), fsmount(2)). An option without a value is a
/// flag.
pub fn new_file_system(kind: &str, options: &[(&str, &str)], safety: Safety) -> io::Result<OwnedFd> {
    let context = calls::fsopen(&CString::new(kind)?, FsOpenFlags::FSOPEN_CLOEXEC.bits())?;
    for (key, value) in options {
        calls::set_option(context.as_fd(), &CString::new(*key)?, &CString::new(*value)?)?;
    }
    calls::create(context.as_fd())?;
    calls::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC.bits(), safety.attributes().bits())
}

/// Attaches a detached tree at the place that `target` (an `O_PATH` descriptor) names.
pub fn attach_at(tree: impl AsFd, target: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    calls::move_mount(tree.as_fd(), target.as_fd(), c"", flags.bits())
}

/// Makes the current directory the root and stacks the old root on it (`pivot_root(".", ".")`), then lets the old
/// root go.
pub fn make_current_directory_root() -> io::Result<()> {
    calls::pivot_root()?;
    detach(Path::new("."))?;
    std::env::set_current_dir("/")
}

/// Writes everything of the file system that holds `descriptor` to its device (syncfs(2)).
pub fn sync_file_system(descriptor: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::syncfs(descriptor)?)
}

/// Is the room in a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// How many bytes it gives away at a time.
    pub block: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// What of it is free for those who are not privileged.
    pub bytes_free: u64,
    /// How many files it can hold; 0 where it has no such bound.
    pub files: u64,
    /// How many more.
    pub files_free: u64,
}

/// Asks for the room in the file system at a path (statfs(2)).
pub fn room(path: &Path) -> io::Result<Room> {
    Ok(room_in(&rustix::fs::statfs(path)?))
}

/// Asks for the room in the file system of a file (fstatfs(2)).
pub fn room_of(file: BorrowedFd<'_>) -> io::Result<Room> {
    Ok(room_in(&rustix::fs::fstatfs(file)?))
}

fn room_in(found: &rustix::fs::StatFs) -> Room {
    let block = u64::try_from(found.f_frsize).unwrap_or(0);
    let bytes = |blocks: u64| blocks.saturating_mul(block);
    Room {
        block,
        bytes: bytes(found.f_blocks),
        bytes_free: bytes(found.f_bavail),
        files: found.f_files,
        files_free: found.f_ffree,
    }
}
