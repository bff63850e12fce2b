//! Extended attributes of any inode, symbolic links and devices too (xattr(7)).
//!
//! ACLs (`system.posix_acl_*`) and file capabilities (`security.capability`) are such attributes and need nothing else.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::{proc_child, proc_path};

/// The most that one value or one list of names can have (xattr(7), `XATTR_SIZE_MAX` and `XATTR_LIST_MAX`).
const LENGTH_MAX: usize = 65_536;

/// Is one attribute: its name and its value.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// Reads all attributes of `name` in `directory` without following it, sorted by name.
///
/// A file system without attributes has none.
///
/// # Errors
/// What listxattr(2) and getxattr(2) say.
pub fn read_at(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<Vec<Xattr>> {
    let path = proc_child(directory, name)?;
    let get = |attribute: &[u8], buffer: &mut [u8]| rustix::fs::lgetxattr(path.as_slice(), attribute, buffer);
    collect(|buffer| rustix::fs::llistxattr(path.as_slice(), buffer), get)
}

/// Reads all attributes of the inode behind a descriptor, also one open for its place alone, sorted by name.
///
/// # Errors
/// What listxattr(2) and getxattr(2) say.
pub fn read(file: BorrowedFd<'_>) -> io::Result<Vec<Xattr>> {
    let path = proc_path(file);
    let get = |attribute: &[u8], buffer: &mut [u8]| rustix::fs::getxattr(path.as_str(), attribute, buffer);
    collect(|buffer| rustix::fs::listxattr(path.as_str(), buffer), get)
}

/// Reads one attribute of the inode behind a descriptor, if it has it.
///
/// # Errors
/// `Unsupported` where the file system has none at all; what getxattr(2) says.
pub fn get(file: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let path = proc_path(file);
    match grow(|buffer| rustix::fs::getxattr(path.as_str(), name, buffer)) {
        Err(Errno::NODATA) => Ok(None),
        other => Ok(Some(other?)),
    }
}

fn collect(
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) -> io::Result<Vec<Xattr>> {
    let names = match grow(&list) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        match grow(|buffer| get(name, buffer)) {
            Ok(value) => found.push((name.to_vec(), value)),
            Err(Errno::NODATA) => {} // Removed between the two calls.
            Err(error) => return Err(error.into()),
        }
    }
    found.sort();
    Ok(found)
}

/// Calls with a small buffer on the stack first: most inodes have nothing or little.
fn grow(call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; 256];
    match call(&mut small) {
        Err(Errno::RANGE) => {
            let mut large = vec![0; LENGTH_MAX];
            let length = call(&mut large)?;
            large.truncate(length);
            Ok(large)
        }
        other => other.map(|length| small[..length].to_vec()),
    }
}

/// Sets one attribute of the inode behind a descriptor, also one open for its place alone.
///
/// # Errors
/// What setxattr(2) says.
pub fn set(file: BorrowedFd<'_>, name: &[u8], value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::setxattr(proc_path(file).as_str(), name, value, XattrFlags::empty())?)
}

/// Removes one attribute of the inode behind a descriptor; one that is not there counts as removed.
///
/// # Errors
/// What removexattr(2) says.
pub fn remove(file: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match rustix::fs::removexattr(proc_path(file).as_str(), name) {
        Err(Errno::NODATA) => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs::{Access, AsFd, make_symlink, open_beneath, open_root};

    #[test]
    fn binary_empty_and_long_values_survive() {
        let place = tempfile::tempdir().unwrap();
        let root = open_root(place.path()).unwrap();
        std::fs::write(place.path().join("f"), b"x").unwrap();
        let file = open_beneath(root.as_fd(), b"f", Access::Place).unwrap();
        for (name, value) in [(b"user.b".as_slice(), vec![0, 255]), (b"user.a", vec![]), (b"user.long", vec![7; 2000])]
        {
            set(file.as_fd(), name, &value).unwrap();
        }
        let wanted: Vec<Xattr> = vec![
            (b"user.a".to_vec(), vec![]),
            (b"user.b".to_vec(), vec![0, 255]),
            (b"user.long".to_vec(), vec![7; 2000]),
        ];
        assert_eq!(read(file.as_fd()).unwrap(), wanted);
        assert_eq!(read_at(root.as_fd(), b"f").unwrap(), wanted);
        remove(file.as_fd(), b"user.a").unwrap();
        remove(file.as_fd(), b"user.a").unwrap();
        assert_eq!(read(file.as_fd()).unwrap().len(), 2);
    }

    #[test]
    fn a_symbolic_link_has_attributes_of_its_own() {
        let place = tempfile::tempdir().unwrap();
        let root = open_root(place.path()).unwrap();
        std::fs::write(place.path().join("f"), b"x").unwrap();
        make_symlink(root.as_fd(), b"l", b"f").unwrap();
        let link = open_beneath(root.as_fd(), b"l", Access::Place).unwrap();
        if set(link.as_fd(), b"trusted.berth", b"1").is_err() {
            return; // Not root, or a file system without trusted attributes.
        }
        assert_eq!(read_at(root.as_fd(), b"l").unwrap(), [(b"trusted.berth".to_vec(), b"1".to_vec())]);
        assert_eq!(read_at(root.as_fd(), b"f").unwrap(), []);
    }
}
