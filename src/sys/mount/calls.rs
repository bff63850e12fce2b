//! The calls that a launch makes when its filter is on already, which lets them through with the word of [`pass`] alone.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr::null;

use super::super::pass::{self, pointer};

/// `FSCONFIG_SET_FLAG`, `FSCONFIG_SET_STRING` and `FSCONFIG_CMD_CREATE` of linux/mount.h.
const SET_FLAG: libc::c_long = 0;
const SET_STRING: libc::c_long = 1;
const CREATE: libc::c_long = 6;

pub fn terminated(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

fn number(descriptor: BorrowedFd<'_>) -> libc::c_long {
    descriptor.as_raw_fd().into()
}

fn fresh(number: libc::c_long) -> OwnedFd {
    // SAFETY: only called with what a call has just returned that makes a descriptor, which nobody else owns.
    unsafe { OwnedFd::from_raw_fd(number as i32) }
}

/// Changes how events travel in the whole tree from `/` down.
pub fn change_propagation(flags: libc::c_ulong) -> io::Result<()> {
    let (nothing, root) = (pointer(null::<u8>()), pointer(c"/".as_ptr()));
    // SAFETY: a static string; the kernel looks at neither source nor type nor data here.
    unsafe { pass::call(libc::SYS_mount, [nothing, root, nothing, flags as libc::c_long, nothing]) }.map(drop)
}

/// Takes a mount out of the tree.
pub fn detach(target: &CStr) -> io::Result<()> {
    // SAFETY: a string that lives across the call.
    unsafe { pass::call(libc::SYS_umount2, [pointer(target.as_ptr()), libc::MNT_DETACH.into(), 0, 0, 0]) }.map(drop)
}

/// Copies a mount.
pub fn open_tree(path: &CStr, flags: u32) -> io::Result<OwnedFd> {
    let arguments = [libc::AT_FDCWD.into(), pointer(path.as_ptr()), flags.into(), 0, 0];
    // SAFETY: a string that lives across the call.
    unsafe { pass::call(libc::SYS_open_tree, arguments) }.map(fresh)
}

/// Attaches a detached tree at a path below a descriptor, or with an empty one at the descriptor's place.
pub fn move_mount(tree: BorrowedFd<'_>, below: BorrowedFd<'_>, path: &CStr, flags: u32) -> io::Result<()> {
    let empty = pointer(c"".as_ptr());
    let arguments = [number(tree), empty, number(below), pointer(path.as_ptr()), flags.into()];
    // SAFETY: strings that live across the call; the descriptors are borrowed.
    unsafe { pass::call(libc::SYS_move_mount, arguments) }.map(drop)
}

/// Begins a new file system.
pub fn fsopen(kind: &CStr, flags: u32) -> io::Result<OwnedFd> {
    // SAFETY: a string that lives across the call.
    unsafe { pass::call(libc::SYS_fsopen, [pointer(kind.as_ptr()), flags.into(), 0, 0, 0]) }.map(fresh)
}

/// Sets one of its options; one without a value is a flag.
pub fn set_option(context: BorrowedFd<'_>, key: &CStr, value: &CStr) -> io::Result<()> {
    let (command, value) =
        if value.is_empty() { (SET_FLAG, pointer(null::<u8>())) } else { (SET_STRING, pointer(value.as_ptr())) };
    let arguments = [number(context), command, pointer(key.as_ptr()), value, 0];
    // SAFETY: strings that live across the call; the descriptor is borrowed.
    unsafe { pass::call(libc::SYS_fsconfig, arguments) }.map(drop)
}

/// Makes it.
pub fn create(context: BorrowedFd<'_>) -> io::Result<()> {
    let nothing = pointer(null::<u8>());
    // SAFETY: the descriptor is borrowed; the kernel wants no pointers here.
    unsafe { pass::call(libc::SYS_fsconfig, [number(context), CREATE, nothing, nothing, 0]) }.map(drop)
}

/// Makes a detached mount of it.
pub fn fsmount(context: BorrowedFd<'_>, flags: u32, attributes: u32) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers; the descriptor is borrowed.
    unsafe { pass::call(libc::SYS_fsmount, [number(context), flags.into(), attributes.into(), 0, 0]) }.map(fresh)
}

/// Makes the current directory the root, with the old one on top of it.
pub fn pivot_root() -> io::Result<()> {
    let here = pointer(c".".as_ptr());
    // SAFETY: a static string.
    unsafe { pass::call(libc::SYS_pivot_root, [here, here, 0, 0, 0]) }.map(drop)
}
