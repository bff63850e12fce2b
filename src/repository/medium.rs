//! Where a store's files are kept: the few operations a store needs of its place, so that other places can follow and
//! tests can let each of them fail.
//!
//! Paths are relative, of a store's own making, never a user's. Order and durability are the caller's business.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use crate::sys::fs::lock;
use crate::sys::fs::{self, Access};

/// Is a file that is being written to a store.
pub trait MediumFile: Send {
    /// Appends bytes.
    ///
    /// # Errors
    /// What the place says.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Waits until all of it is durable.
    ///
    /// # Errors
    /// What the place says.
    fn sync(&mut self) -> io::Result<()>;
}

/// Keeps the files of a store.
pub trait Medium: Send + Sync {
    /// Makes a file that did not exist; `AlreadyExists` if it did.
    ///
    /// # Errors
    /// What the place says.
    fn create(&self, path: &str) -> io::Result<Box<dyn MediumFile>>;

    /// Gives a file its final name, replacing what had it.
    ///
    /// # Errors
    /// What the place says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Waits until the names in a directory are durable.
    ///
    /// # Errors
    /// What the place says.
    fn sync_directory(&self, path: &str) -> io::Result<()>;

    /// Makes a directory; one that exists is fine.
    ///
    /// # Errors
    /// What the place says.
    fn make_directory(&self, path: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the place says.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Lists the names in a directory.
    ///
    /// # Errors
    /// What the place says.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;

    /// Returns the length of a file in bytes.
    ///
    /// # Errors
    /// What the place says.
    fn length(&self, path: &str) -> io::Result<u64>;

    /// Reads `length` bytes from `offset`; `UnexpectedEof` if the file is shorter.
    ///
    /// # Errors
    /// What the place says.
    fn read(&self, path: &str, offset: u64, length: usize) -> io::Result<Vec<u8>>;

    /// Lets go of what is in memory of a file: the next read comes from where it is kept.
    ///
    /// # Errors
    /// What the place says.
    fn forget(&self, path: &str) -> io::Result<()>;

    /// Takes the lock of the one writer; `false` if another has it. It ends with the medium.
    ///
    /// # Errors
    /// What the place says.
    fn lock(&self) -> io::Result<bool>;

    /// Returns the bytes that are free.
    ///
    /// # Errors
    /// What the place says.
    fn free_bytes(&self) -> io::Result<u64>;

    /// Reads a whole file of at most `limit` bytes.
    ///
    /// # Errors
    /// What the place says; `InvalidData` if it is longer.
    fn read_whole(&self, path: &str, limit: u64) -> io::Result<Vec<u8>> {
        let length = self.length(path)?;
        if length > limit {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{length} bytes; {limit} are the most")));
        }
        self.read(path, 0, length as usize)
    }
}

/// Keeps the files of a store in a directory of this host.
pub struct Directory {
    root: OwnedFd,
}

impl Directory {
    /// Opens the directory at a path that the operator gave.
    ///
    /// # Errors
    /// What openat(2) says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { root: fs::open_root(path)? })
    }

    fn parent<'a>(&self, path: &'a str) -> io::Result<(OwnedFd, &'a str)> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((fs::open_beneath(self.root.as_fd(), directory.as_bytes(), Access::Directory)?, name))
    }
}

struct DirectoryFile {
    file: OwnedFd,
    length: u64,
}

impl MediumFile for DirectoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        fs::write_at(self.file.as_fd(), bytes, self.length)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        fs::sync_data(self.file.as_fd())
    }
}

impl Medium for Directory {
    fn create(&self, path: &str) -> io::Result<Box<dyn MediumFile>> {
        let file = fs::create_file(self.root.as_fd(), path.as_bytes(), 0o600)?;
        Ok(Box::new(DirectoryFile { file, length: 0 }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let ((old, old_name), (new, new_name)) = (self.parent(from)?, self.parent(to)?);
        fs::rename(old.as_fd(), old_name.as_bytes(), new.as_fd(), new_name.as_bytes())
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        fs::sync(fs::open_beneath(self.root.as_fd(), path.as_bytes(), Access::Directory)?.as_fd())
    }

    fn make_directory(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        match fs::make_directory(parent.as_fd(), name.as_bytes(), 0o700) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        fs::unlink(parent.as_fd(), name.as_bytes())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let directory = fs::open_beneath(self.root.as_fd(), path.as_bytes(), Access::Directory)?;
        // Names that are no UTF-8 are none of ours.
        Ok(fs::names(directory.as_fd())?.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect())
    }

    fn length(&self, path: &str) -> io::Result<u64> {
        let file = fs::open_beneath(self.root.as_fd(), path.as_bytes(), Access::Place)?;
        Ok(fs::stat(file.as_fd())?.size)
    }

    fn read(&self, path: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = fs::open_beneath(self.root.as_fd(), path.as_bytes(), Access::Read)?;
        let mut bytes = vec![0; length];
        let count = fs::read_at(file.as_fd(), &mut bytes, offset)?;
        if count == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn forget(&self, path: &str) -> io::Result<()> {
        fs::forget(fs::open_beneath(self.root.as_fd(), path.as_bytes(), Access::Read)?.as_fd())
    }

    fn lock(&self) -> io::Result<bool> {
        lock::exclusive(self.root.as_fd())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        fs::free_bytes(self.root.as_fd())
    }
}

/// Says what is wrong with a place for a store that is to be made there; one that is not there yet is as good as an empty one.
pub fn occupied(path: &Path) -> Option<&'static str> {
    match std::fs::read_dir(path).map(|mut names| names.next().is_some()) {
        Ok(true) => Some("is not empty"),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Some("is no directory"),
        _ => None,
    }
}
