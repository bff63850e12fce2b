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

/// Takes the number of a user or group. The highest one is nobody's: to every call that sets an id it means "leave it as it
/// is" (setresuid(2), chown(2)), so that whoever was to become it would stay who he is.
///
/// # Errors
/// `EINVAL` for that one, as the kernel says of a number that the user namespace does not have.
pub(super) fn id(number: u32) -> io::Result<u32> {
    if number == u32::MAX { Err(io::Error::from_raw_os_error(libc::EINVAL)) } else { Ok(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_that_means_no_change_is_no_id() {
        assert_eq!(id(u32::MAX).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        assert_eq!(id(u32::MAX - 1).unwrap(), u32::MAX - 1);
    }
}
