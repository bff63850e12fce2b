//! File descriptors: duplicating onto a number, closing what must not be inherited, pipes.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, RenameFlags, ResolveFlags};

use super::check;

/// Makes the descriptor known under `number` as well, without close-on-exec (dup3(2) with flags 0, or fcntl(2) when
/// it has that number already).
pub fn duplicate_onto(descriptor: impl AsFd, number: i32) -> io::Result<()> {
    let from = descriptor.as_fd().as_raw_fd();
    if from == number {
        // SAFETY: fcntl on a descriptor that is borrowed for the call; no memory is passed.
        return check::int(unsafe { libc::fcntl(from, libc::F_SETFD, 0) }).map(drop);
    }
    // SAFETY: `from` is borrowed for the call, `number` is plain data; whatever stood there is closed on purpose.
    check::int(unsafe { libc::dup3(from, number, 0) }).map(drop)
}

/// Closes every descriptor from `first` on: for a program that has just begun and opened none of them itself.
pub fn close_inherited(first: u32) -> io::Result<()> {
    // SAFETY: no memory is passed; as the contract says, nothing in this process owns one of them.
    check::int(unsafe { libc::close_range(first, u32::MAX, 0) }).map(drop)
}

/// The number of the one descriptor that [`keep_only`] keeps beside the standard streams.
const KEPT: i32 = 3;

/// Moves the descriptor to number 3 and closes every later one: for a forked child before it looks at anything of a
/// container's, where a path through `/proc/self/fd` would lead to whatever is still open (CVE-2024-21626).
///
/// Owners of other descriptors, left over in the copied memory, must never be used or dropped afterwards: the caller
/// ends in exec or exit and does not return.
pub fn keep_only(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    let from = descriptor.as_raw_fd();
    std::mem::forget(descriptor);
    if from != KEPT {
        // SAFETY: both are plain numbers; what stood at 3 belongs to an owner that is never used again.
        check::int(unsafe { libc::dup3(from, KEPT, libc::O_CLOEXEC) })?;
    }
    close_all_but_kept()?;
    // SAFETY: number 3 is open and its former owner is forgotten.
    Ok(unsafe { OwnedFd::from_raw_fd(KEPT) })
}

/// Closes what was opened since [`keep_only`], which must have been called before; its contract holds here too
/// (close_range(2), kernel 5.9).
pub fn close_all_but_kept() -> io::Result<()> {
    // SAFETY: no memory is passed; owners of these descriptors are never used again, as the contract says.
    check::int(unsafe { libc::close_range(KEPT as u32 + 1, u32::MAX, 0) }).map(drop)
}

/// Opens a directory below `root` as a place. One of the root itself is made if it is missing; what stands there and is
/// no directory is moved aside first, and its new name returned. No symbolic link is followed anywhere: what lies in the
/// root is not trusted (openat2(2)).
pub fn place_beneath(root: impl AsFd, path: &str) -> io::Result<(OwnedFd, Option<String>)> {
    let open = || {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(root.as_fd(), path, flags, Mode::empty(), resolve)
    };
    let aside = match open() {
        Err(rustix::io::Errno::NOENT) if !path.contains('/') => None,
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) if !path.contains('/') => {
            Some(move_aside(root.as_fd(), path)?)
        }
        other => return Ok((other?, None)),
    };
    rustix::fs::mkdirat(root.as_fd(), path, Mode::from_raw_mode(0o755))?;
    Ok((open()?, aside))
}

/// How many names that are short are tried for what is moved aside.
const ASIDE_MAX: u32 = 10;

/// Gives an entry of a directory a new name that nothing has: in the end one that nobody can have foreseen and taken.
fn move_aside(root: BorrowedFd<'_>, name: &str) -> io::Result<String> {
    let chance = u128::from_ne_bytes(super::random::bytes()?);
    let short = (1..ASIDE_MAX).map(|number| number.to_string());
    for end in short.chain([format!("{chance:032x}")]) {
        let aside = format!("{name}.aside-{end}");
        match rustix::fs::renameat_with(root, name, root, &aside, RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::EXIST) => {}
            moved => return Ok(moved.map(|()| aside)?),
        }
    }
    Err(rustix::io::Errno::EXIST.into())
}

/// Makes a piece of memory with these bytes that nobody can change any more (memfd_create(2), sealed).
pub fn sealed_memory(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    use rustix::fs::{MemfdFlags, SealFlags};
    use std::io::Write as _;
    let memory = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(memory);
    file.write_all(bytes)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    Ok(file.into())
}

/// Reads what [`sealed_memory`] made, at most `limit` bytes. Anything else is refused: reading it could block.
pub fn read_sealed_memory(memory: OwnedFd, limit: usize) -> io::Result<Vec<u8>> {
    use rustix::fs::SealFlags;
    use std::os::unix::fs::FileExt as _;
    let file = File::from(memory);
    let length = file.metadata()?.len();
    let is_sealed = rustix::fs::fcntl_get_seals(&file)?.contains(SealFlags::SHRINK | SealFlags::WRITE);
    if !is_sealed || length > limit as u64 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Copies a descriptor to the lowest free number above the standard ones, close-on-exec.
pub fn copy(descriptor: impl AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(descriptor, 3)?)
}

/// Returns how many bytes a pipe holds.
pub fn pipe_size(pipe: impl AsFd) -> io::Result<usize> {
    Ok(rustix::pipe::fcntl_getpipe_size(pipe)?)
}

/// Makes a pipe, both ends close-on-exec: (read end, write end).
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// Opens a directory as a place only (`O_PATH`), to name it in later calls.
pub fn open_place(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens a directory for reading and for `*at` calls.
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens a path of a root that is not trusted, without ever passing through a magic link of proc
/// (openat2(2) `RESOLVE_NO_MAGICLINKS`).
pub(super) fn open_untrusted(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(rustix::fs::CWD, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
}

/// How often a resolution is tried again that met a rename anywhere on the machine (`EAGAIN` of openat2(2)).
const RESOLUTIONS_MAX: usize = 64;

/// Makes a directory of a root that is not trusted the working directory of this process, which must have that root.
/// Links are followed inside, magic links of proc never; afterwards the kernel is asked whether the place can be
/// reached from the root at all (getcwd(2) names one that cannot "(unreachable)").
///
/// # Errors
/// `ELOOP` for a path through a magic link or a circle of links; `EXDEV` for a place outside the root.
pub fn enter_untrusted_directory(path: &str) -> io::Result<()> {
    let root = open_place("/".as_ref())?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let open = || rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve);
    let mut opened = open();
    for _ in 0..RESOLUTIONS_MAX {
        if !matches!(opened, Err(rustix::io::Errno::AGAIN)) {
            break;
        }
        opened = open();
    }
    rustix::process::fchdir(opened?)?;
    let reached = rustix::process::getcwd(Vec::new())?;
    if reached.as_bytes().starts_with(b"/") {
        return Ok(());
    }
    rustix::process::chdir("/")?;
    Err(rustix::io::Errno::XDEV.into())
}

/// Tells whether the path leads to something without passing through a magic link of proc: what is executed there is
/// the container's own and never an open file of the process itself.
pub fn find_untrusted(path: &CStr) -> io::Result<()> {
    let resolve = ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(rustix::fs::CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    Ok(())
}

/// Opens a regular file of a root that is not trusted for reading; never blocks on a fifo.
pub fn open_untrusted_file(path: &Path) -> io::Result<File> {
    let file = File::from(open_untrusted(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Replaces `directory/name` by a new file with these contents (mode 0644), whatever stood there: a temporary
/// sibling made with `O_EXCL | O_NOFOLLOW` is renamed over it, so that a symbolic link is replaced and not followed. It gets
/// this extended attribute, where the file system has any. Nothing waits for the disk: after a power cut the name may be that
/// of an empty file. A regular file that is so already stays.
pub fn replace_untrusted_file(
    directory: &Path,
    name: &str,
    contents: &[u8],
    attribute: (&[u8], &[u8]),
) -> io::Result<()> {
    use std::io::Write as _;
    let place = open_untrusted(directory, OFlags::RDONLY | OFlags::DIRECTORY)?;
    if is_so(&place, name, contents, attribute).unwrap_or(false) {
        return Ok(());
    }
    let temporary = format!(".{name}.berth");
    let removed = rustix::fs::unlinkat(&place, &temporary, rustix::fs::AtFlags::empty());
    if removed == Err(rustix::io::Errno::ISDIR) {
        move_aside(place.as_fd(), &temporary)?;
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(&place, &temporary, flags, Mode::from_raw_mode(0o644))?);
    rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?;
    file.write_all(contents)?;
    match super::fs::xattr::set(file.as_fd(), attribute.0, attribute.1) {
        Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
        _ => {}
    }
    Ok(rustix::fs::renameat(&place, &temporary, &place, name)?)
}

fn is_so(place: &OwnedFd, name: &str, contents: &[u8], attribute: (&[u8], &[u8])) -> io::Result<bool> {
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt as _;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(place, name, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.mode() & 0o7777 != 0o644 || metadata.len() != contents.len() as u64 {
        return Ok(false);
    }
    if super::fs::xattr::get(file.as_fd(), attribute.0)?.as_deref() != Some(attribute.1) {
        return Ok(false);
    }
    let mut there = Vec::with_capacity(contents.len());
    file.take(contents.len() as u64).read_to_end(&mut there)?;
    Ok(there == contents)
}

/// Makes a character device node that `owner` (user and group) may open, mode 0666.
pub fn make_character_device(path: &Path, major: u32, minor: u32, owner: u32) -> io::Result<()> {
    use rustix::fs::{CWD, FileType, Gid, Uid};
    let device = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::from_raw_mode(0o666), device)?;
    rustix::fs::chmod(path, Mode::from_raw_mode(0o666))?;
    let owner = check::id(owner)?;
    Ok(rustix::fs::chown(path, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))?)
}

/// Gives a file to `owner` (user and group).
pub fn give_to(path: &Path, owner: u32) -> io::Result<()> {
    use rustix::fs::{Gid, Uid};
    let owner = check::id(owner)?;
    Ok(rustix::fs::chown(path, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))?)
}

/// Gives what is behind a descriptor to `owner`.
pub fn give_open_to(descriptor: impl AsFd, owner: u32) -> io::Result<()> {
    Ok(rustix::fs::fchown(descriptor, Some(rustix::fs::Uid::from_raw(check::id(owner)?)), None)?)
}

/// Gives a file's group to `group` and lets it read and write (mode 0660).
pub fn share_with_group(path: &Path, group: u32) -> io::Result<()> {
    use rustix::fs::Gid;
    rustix::fs::chown(path, None, Some(Gid::from_raw(group)))?;
    Ok(rustix::fs::chmod(path, Mode::from_raw_mode(0o660))?)
}

/// Reads what is there without waiting; `None` when nothing is there now (`EAGAIN`).
pub fn read_now(descriptor: impl AsFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match rustix::io::read(descriptor, buffer) {
        Ok(length) => Ok(Some(length)),
        Err(rustix::io::Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes as much as fits now.
pub fn write_some(descriptor: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(descriptor, bytes)?)
}

/// Switches a descriptor to non-blocking calls.
pub fn set_nonblocking(descriptor: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(descriptor, true)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_that_is_so_already_stays_and_anything_else_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hostname");
        let write = |text: &str| {
            replace_untrusted_file(folder.path(), "hostname", text.as_bytes(), (b"user.a", b"b")).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            std::fs::symlink_metadata(&path).unwrap().ino()
        };
        let first = write("web\n");
        assert_eq!(write("web\n"), first);
        let other = write("www\n");
        assert_ne!(other, first);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(folder.path().join("elsewhere"), "www\n").unwrap();
        symlink("elsewhere", &path).unwrap();
        write("www\n");
        assert!(std::fs::symlink_metadata(&path).unwrap().is_file());
    }
}
