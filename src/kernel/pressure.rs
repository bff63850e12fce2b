//! The pressure files of the whole machine, into which a container may not write.
//!
//! Who opens `/proc/pressure/*` for writing leaves triggers there (Documentation/accounting/psi.rst). They are in one list
//! for everybody, walked by a kernel thread that runs before all programs, and nobody is charged for them; since Linux 6.5
//! root of a user namespace is let in like the host's. The files of all instances of proc have one mode, which only the
//! host's root can change.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

const FILES: &str = "/proc/pressure";
/// What a mode allows to write to everybody but the owner.
const OTHERS_WRITE: u32 = 0o022;

/// Leaves the files to be written by the host's root alone; a kernel without them is fine.
///
/// # Errors
/// What chmod(2) says, such as that this is no root of the host.
pub fn close_to_containers() -> io::Result<()> {
    let files = match fs::read_dir(FILES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        files => files?,
    };
    files.into_iter().try_for_each(|file| close(&file?.path()))
}

fn close(file: &Path) -> io::Result<()> {
    let mode = fs::metadata(file)?.permissions().mode();
    if mode & OTHERS_WRITE == 0 {
        return Ok(());
    }
    fs::set_permissions(file, fs::Permissions::from_mode(mode & 0o7777 & !OTHERS_WRITE))
}
