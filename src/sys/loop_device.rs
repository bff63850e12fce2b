//! Loop devices: a file as a block device (loop(4)).
//!
//! The identity of an attached loop device is its backing file (device and inode), never its number. A device made by
//! [`attach_until_closed`] lets go by itself when its last user (a descriptor or a mount) is gone, so that a crash
//! leaves none attached.

#![allow(unsafe_code)]

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode};

use super::check;
use super::fs::lock;

const LOOP_SET_CAPACITY: libc::c_ulong = 0x4C07;
const LOOP_SET_DIRECT_IO: libc::c_ulong = 0x4C08;
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LOOP_CLR_FD: libc::c_ulong = 0x4C01;
const LOOP_GET_STATUS64: libc::c_ulong = 0x4C05;
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;

const FLAG_READ_ONLY: u32 = 1;
const FLAG_AUTO_CLEAR: u32 = 4;
const FLAG_DIRECT_IO: u32 = 16;
/// How often another process may take the free device first.
const ATTEMPTS: usize = 64;

/// What a device keeps of a path: it ends with a zero (`LO_NAME_SIZE`).
type Name = [u8; 64];

#[repr(C)]
#[derive(Clone, Copy)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: Name,
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

#[repr(C)]
struct Configuration {
    descriptor: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// An open loop device.
#[derive(Debug)]
pub struct LoopDevice {
    /// Its path, such as `/dev/loop7`.
    pub path: PathBuf,
    /// Whether it passes requests on without the page cache of the host.
    pub direct: bool,
    file: File,
}

/// What an attached loop device stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backing {
    /// The device number of the file system that holds the backing file.
    pub device: u64,
    /// The inode number of the backing file.
    pub inode: u64,
}

impl Backing {
    /// Returns the identity of a file.
    pub fn of(file: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(file)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

fn empty_info() -> Info {
    // SAFETY: Info is plain data, all-zero is "nothing asked for".
    unsafe { std::mem::zeroed() }
}

fn open_device(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_CLOEXEC).open(path)
}

const CONTROL: &str = "/dev/loop-control";
/// `MISC_MAJOR` and `LOOP_CTRL_MINOR` of the kernel's linux/major.h and linux/miscdevice.h.
const CONTROL_NUMBERS: (u32, u32) = (10, 237);

fn open_control() -> io::Result<File> {
    let make = || make_node(Path::new(CONTROL), FileType::CharacterDevice, CONTROL_NUMBERS);
    open_or_make(Path::new(CONTROL), make)
}

/// Opens a device that the kernel knows.
fn open_known(path: &Path) -> io::Result<File> {
    open_or_make(path, || {
        let name = path.file_name().unwrap_or_default();
        let numbers = std::fs::read_to_string(Path::new("/sys/block").join(name).join("dev"))?;
        let numbers =
            numbers.trim().split_once(':').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        make_node(path, FileType::BlockDevice, numbers.ok_or(io::ErrorKind::NotFound)?)
    })
}

/// Opens a node; where nobody makes nodes (a container with a /dev of its own) it is made.
fn open_or_make(path: &Path, make: impl FnOnce() -> io::Result<()>) -> io::Result<File> {
    match open_device(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make().map_err(|_| error)?;
            open_device(path)
        }
        other => other,
    }
}

fn make_node(path: &Path, kind: FileType, (major, minor): (u32, u32)) -> io::Result<()> {
    let device = rustix::fs::makedev(major, minor);
    match rustix::fs::mknodat(rustix::fs::CWD, path, kind, Mode::from_raw_mode(0o600), device) {
        Err(rustix::io::Errno::EXIST) => Ok(()), // Another one was first.
        other => Ok(other?),
    }
}

fn simple(file: &File, request: libc::c_ulong, value: libc::c_ulong) -> io::Result<i32> {
    // SAFETY: the request takes a plain number; the descriptor is borrowed.
    check::int(unsafe { libc::ioctl(file.as_raw_fd(), request as _, value) })
}

/// Tells whether the host gives out loop devices.
///
/// # Errors
/// Why not.
pub fn control_answers() -> io::Result<()> {
    let control = open_control()?;
    simple(&control, LOOP_CTL_GET_FREE, 0).map(drop)
}

/// Attaches a file to a free device; the device lets go when its last user is gone (`LO_FLAGS_AUTOCLEAR`).
///
/// Direct I/O is tried first and left away where the file system refuses it. For as long as the device has the file, it holds
/// the shared lock on it (flock(2)): the kernel keeps the opened file itself, and the lock ends with that.
///
/// # Errors
/// `NotFound` where the host has no loop control device; `EBUSY` when every free device was taken by others first;
/// `WouldBlock` while a program that works on the file has the exclusive lock.
pub fn attach_until_closed(image: &Path, read_only: bool) -> io::Result<LoopDevice> {
    let backing = OpenOptions::new().read(true).write(!read_only).custom_flags(libc::O_CLOEXEC).open(image)?;
    if !lock::shared(backing.as_fd())? {
        return Err(io::Error::new(io::ErrorKind::WouldBlock, "a program that works on the image has locked it"));
    }
    let control = open_control()?;
    for _ in 0..ATTEMPTS {
        let number = simple(&control, LOOP_CTL_GET_FREE, 0)?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let file = open_known(&path)?;
        match configure(&file, &backing, read_only, name_of(image)) {
            Ok(direct) => return Ok(LoopDevice { path, direct, file }),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from_raw_os_error(libc::EBUSY))
}

fn configure(device: &File, backing: &File, read_only: bool, file_name: Name) -> io::Result<bool> {
    let flags = FLAG_AUTO_CLEAR | if read_only { FLAG_READ_ONLY } else { 0 };
    let info = Info { flags, file_name, ..empty_info() };
    match configure_with(device, backing, Info { flags: flags | FLAG_DIRECT_IO, ..info }) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            configure_with(device, backing, info).map(|()| false)
        }
        Err(error) => Err(error),
    }
}

/// Returns the path of an image, or as much of its end as has room, for the device to keep.
fn name_of(image: &Path) -> Name {
    let (path, mut name) = (image.as_os_str().as_bytes(), empty_info().file_name);
    let kept = &path[path.len().saturating_sub(name.len() - 1)..];
    name[..kept.len()].copy_from_slice(kept);
    name
}

fn configure_with(device: &File, backing: &File, info: Info) -> io::Result<()> {
    let argument = Configuration { descriptor: backing.as_raw_fd() as u32, block_size: 0, info, reserved: [0; 8] };
    // SAFETY: the structure has the layout of struct loop_config and lives across the call; both files are borrowed.
    check::int(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &raw const argument) }).map(drop)
}

impl LoopDevice {
    /// Opens a device that is attached already.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = open_known(path)?;
        let direct = status(&file)?.flags & FLAG_DIRECT_IO != 0;
        Ok(Self { path: path.to_owned(), direct, file })
    }

    /// Returns the identity of the backing file.
    pub fn backing(&self) -> io::Result<Backing> {
        status(&self.file).map(|info| Backing { device: info.device, inode: info.inode })
    }

    /// Takes over a changed size of the backing file.
    pub fn update_capacity(&self) -> io::Result<()> {
        simple(&self.file, LOOP_SET_CAPACITY, 0).map(drop)
    }

    /// Switches direct I/O.
    pub fn set_direct(&mut self, direct: bool) -> io::Result<()> {
        simple(&self.file, LOOP_SET_DIRECT_IO, direct.into())?;
        self.direct = direct;
        Ok(())
    }

    /// Detaches the backing file: now when nobody else uses the device, else when the last user is gone.
    pub fn detach(self) -> io::Result<()> {
        simple(&self.file, LOOP_CLR_FD, 0).map(drop)
    }
}

impl AsFd for LoopDevice {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn status(file: &File) -> io::Result<Info> {
    let mut info = empty_info();
    // SAFETY: the buffer is one struct loop_info64 and lives across the call.
    check::int(unsafe { libc::ioctl(file.as_raw_fd(), LOOP_GET_STATUS64 as _, &raw mut info) })?;
    Ok(info)
}

/// Returns every device that is attached to this file; those that vanish meanwhile are left out.
pub fn attached_to(backing: Backing) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/sys/block")? {
        let name = entry?.file_name();
        let path = Path::new("/dev").join(&name);
        // Only an attached device has this directory; a free one is not even opened.
        let attached = Path::new("/sys/block").join(&name).join("loop/backing_file").exists();
        if attached && is_backed_by(&path, backing) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Returns every attached device with the file that it has, as sysfs tells it. Once the mount namespace is gone in which it was
/// attached, that is a path from nowhere (`/disk.img`), and what the device was given itself is told: the path, or its end.
pub fn attached() -> Vec<(PathBuf, PathBuf)> {
    let entries = std::fs::read_dir("/sys/block").into_iter().flatten();
    let told = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        let told = std::fs::read(Path::new("/sys/block").join(&name).join("loop/backing_file")).ok()?;
        let told = told.trim_ascii_end();
        let told = Path::new(OsStr::from_bytes(told.strip_suffix(b" (deleted)").unwrap_or(told)));
        let device = Path::new("/dev").join(&name);
        let from_nowhere = told.parent().is_none_or(|folder| folder == Path::new("/"));
        let own = from_nowhere.then(|| own_name(&device)).flatten();
        Some((device, own.unwrap_or_else(|| told.to_owned())))
    });
    told.collect()
}

fn own_name(device: &Path) -> Option<PathBuf> {
    let info = open_known(device).and_then(|file| status(&file)).ok()?;
    path_of(&info.file_name)
}

/// Returns the path in a name. One that fills it may be the end of a longer one and is told as relative, also where it was
/// cut before a `/`.
fn path_of(name: &Name) -> Option<PathBuf> {
    let path = name.split(|byte| *byte == 0).next()?;
    let is_full = path.len() == name.len() - 1;
    let path = if is_full { path.strip_prefix(b"/").unwrap_or(path) } else { path };
    (!path.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(path)))
}

fn is_backed_by(device: &Path, backing: Backing) -> bool {
    LoopDevice::open(device).and_then(|open| open.backing()).is_ok_and(|found| found == backing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_was_cut_is_never_told_as_a_whole_one() {
        let kept = |path: &str| path_of(&name_of(Path::new(path))).unwrap();
        let image = "/containers/d25bonb5vy25mqk6f7yga3vbxg/disk.img";
        let short = format!("/srv/a{image}");
        assert_eq!(kept(&short), Path::new(&short));
        let cut = format!("/srv/long/berth-instance1{image}");
        assert_eq!(kept(&cut), Path::new(&format!("berth-instance1{image}")), "63 bytes begin with the slash");
        assert!(kept(&format!("/srv/longer/berth-instance1x{image}")).is_relative());
    }
}
