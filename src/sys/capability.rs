//! Capabilities of the calling thread (capabilities(7)) as bit sets.

#![allow(unsafe_code)]

use std::io;

use super::check;

const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Keeps exactly the capabilities in `keep`: bounding set, permitted and effective; inheritable and ambient become
/// empty. Needs `CAP_SETPCAP` when it begins.
pub fn keep_only(keep: u64) -> io::Result<()> {
    for number in 0..64 {
        if keep & (1 << number) == 0 && !drop_from_bounding_set(number)? {
            break;
        }
    }
    clear_ambient()?;
    set(keep & permitted()?)
}

/// Drops one capability; `false` when the kernel knows no such number.
fn drop_from_bounding_set(number: u64) -> io::Result<bool> {
    // SAFETY: plain numbers.
    match check::int(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number as libc::c_ulong, 0, 0, 0) }) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads those of a thread, 0 for the calling one.
fn halves(thread: i32) -> io::Result<[Half; 2]> {
    let mut header = Header { version: VERSION_3, pid: thread };
    let mut data = [Half::default(); 2];
    // SAFETY: header and two data halves are what version 3 of capget(2) reads and fills.
    check::long(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    Ok(data)
}

/// Returns the permitted capabilities.
pub fn permitted() -> io::Result<u64> {
    halves(0).map(|[low, high]| u64::from(low.permitted) | u64::from(high.permitted) << 32)
}

/// Returns the effective capabilities.
pub fn effective() -> io::Result<u64> {
    effective_of(0)
}

/// Returns those of another thread. Costs the same whoever it is, unlike a look at its status, which lists all its groups.
pub fn effective_of(thread: i32) -> io::Result<u64> {
    halves(thread).map(|[low, high]| u64::from(low.effective) | u64::from(high.effective) << 32)
}

/// Makes every permitted capability effective again, which a change of the effective user may have taken.
pub fn raise_permitted() -> io::Result<()> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let raised = halves(0)?.map(|half| Half { effective: half.permitted, ..half });
    // SAFETY: header and two data halves are what version 3 of capset(2) reads.
    check::long(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, raised.as_ptr()) }).map(drop)
}

/// Takes off what goes on to the next program beside what its file and user give (inheritable and ambient set), and makes
/// every permitted capability effective.
pub fn forget_inherited() -> io::Result<()> {
    clear_ambient()?;
    set(permitted()?)
}

fn clear_ambient() -> io::Result<()> {
    let ambient = libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong;
    let zero: libc::c_ulong = 0;
    // SAFETY: plain numbers.
    check::int(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, ambient, zero, zero, zero) }).map(drop)
}

fn set(bits: u64) -> io::Result<()> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let half = |bits: u32| Half { effective: bits, permitted: bits, inheritable: 0 };
    let data = [half(bits as u32), half((bits >> 32) as u32)];
    // SAFETY: header and two data halves are what version 3 of capset(2) reads.
    check::long(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) }).map(drop)
}
