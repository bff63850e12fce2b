//! Turns the "-1 and errno" of a system call into a `Result`.

use std::io;

/// Takes the result of a call that returns an `int`.
pub(super) fn int(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Takes the result of a call that returns a `long` (`syscall`) or a `ssize_t`.
pub(super) fn long(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
