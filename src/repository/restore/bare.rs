//! A new inode without what its directory gave it: default access lists, inherited attributes, flags, project id.
//!
//! What is restored is what the backup says, wherever it is restored to.

use std::io;
use std::os::fd::BorrowedFd;

use crate::repository::catalogue::Attribute;
use crate::sys::fs::xattr;
use crate::sys::fs::{self, FileKind};

/// Attributes that come from the directory above. Labels of a security module (`security.*`) are the host's own business.
const INHERITED: [&[u8]; 4] = [b"system.posix_acl_", b"user.", b"trusted.", b"btrfs."];

/// Takes away what is not in `keep`. Descriptors that are open for their place alone have no flags to look at.
///
/// # Errors
/// What the kernel says; a file system without such things has nothing to take.
pub fn strip(file: BorrowedFd<'_>, kind: FileKind, keep: &[Attribute]) -> io::Result<()> {
    for (name, _) in xattr::read(file)? {
        let inherited = INHERITED.iter().any(|start| name.starts_with(start));
        if inherited && !keep.iter().any(|attribute| attribute.name == name) {
            xattr::remove(file, &name)?;
        }
    }
    if !matches!(kind, FileKind::Regular | FileKind::Directory) {
        return Ok(());
    }
    let flags = fs::flags(file)?;
    let settable = fs::user_settable_flags(flags);
    if settable != 0 {
        fs::set_flags(file, flags & !settable)?;
    }
    if fs::project(file)? != 0 {
        fs::set_project(file, 0)?;
    }
    Ok(())
}
