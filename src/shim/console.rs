//! The console of the container: everything it prints goes to a log of bounded size and to whoever is attached.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::record::LOG;
use crate::kernel::failure::{Failure, Step as _};
use crate::sys::tty::{self, PseudoTerminal, WindowSize};
use crate::sys::{descriptor, socket};

const CHUNK: usize = 16 * 1024;

/// A log in two files, each half of the limit: when the newer is full it becomes the older.
#[derive(Debug)]
pub struct ConsoleLog {
    path: PathBuf,
    file: File,
    length: u64,
    half: u64,
}

impl ConsoleLog {
    /// Opens or makes `console.log` in the directory.
    pub fn open(directory: &Path, bytes_max: u64) -> io::Result<Self> {
        let path = directory.join(LOG);
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let length = file.metadata()?.len();
        Ok(Self { path, file, length, half: (bytes_max / 2).max(CHUNK as u64) })
    }

    /// Appends; a full disk loses output rather than stopping the container.
    pub fn append(&mut self, bytes: &[u8]) {
        if self.length + bytes.len() as u64 > self.half && self.rotate().is_err() {
            // Where there is no room for another file, what was printed before gives way.
            if self.file.set_len(0).is_err() {
                return;
            }
            self.length = 0;
        }
        if self.file.write_all(bytes).is_ok() {
            self.length += bytes.len() as u64;
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        // The new one is there before the old one loses its name: there may be no room for it.
        let new = self.path.with_extension("log.new");
        let _ = fs::remove_file(&new);
        let file = OpenOptions::new().create_new(true).append(true).open(&new)?;
        match fs::rename(&self.path, self.path.with_extension("log.1")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {} // one that is gone already left room
        }
        fs::rename(&new, &self.path)?;
        (self.file, self.length) = (file, 0);
        Ok(())
    }
}

/// Somebody who watches and types.
#[derive(Debug)]
struct Viewer {
    connection: u64,
    stream: OwnedFd,
}

/// The shim's end of the console.
#[derive(Debug)]
pub struct Console {
    master: OwnedFd,
    /// Held open so that the master does not hang up while no program of the container has the console open.
    _slave: OwnedFd,
    /// The root of the container's devpts, for the terminals of commands.
    terminals: OwnedFd,
    viewers: Vec<Viewer>,
}

impl Console {
    /// Takes the terminal over.
    pub fn new(terminal: PseudoTerminal, terminals: OwnedFd) -> Result<Self, Failure> {
        let PseudoTerminal { master, slave, .. } = terminal;
        descriptor::set_nonblocking(&master).step("set the console up")?;
        Ok(Self { master, _slave: slave, terminals, viewers: Vec::new() })
    }

    /// Returns the root of the container's devpts.
    pub fn terminals(&self) -> &OwnedFd {
        &self.terminals
    }

    /// Passes on what the container printed.
    pub fn pump(&mut self, log: &mut ConsoleLog) {
        let mut buffer = [0; CHUNK];
        if let Ok(Some(length)) = descriptor::read_now(&self.master, &mut buffer) {
            log.append(&buffer[..length]);
            // A viewer that does not keep up loses output, one that is gone is noticed by its connection.
            for viewer in &self.viewers {
                let _ = descriptor::write_some(&viewer.stream, &buffer[..length]);
            }
        }
    }

    /// Passes on everything still unread, once the container has ended.
    pub fn drain(&mut self, log: &mut ConsoleLog) {
        let mut buffer = [0; CHUNK];
        while let Ok(Some(length @ 1..)) = descriptor::read_now(&self.master, &mut buffer) {
            log.append(&buffer[..length]);
        }
    }

    /// Attaches a viewer and returns the viewer's end of the stream.
    pub fn attach(&mut self, connection: u64) -> Result<OwnedFd, Failure> {
        let (ours, theirs) = socket::stream_pair().step("attach to the console")?;
        descriptor::set_nonblocking(&ours).step("attach to the console")?;
        self.viewers.push(Viewer { connection, stream: ours });
        Ok(theirs)
    }

    /// Forgets the viewer of a connection that closed.
    pub fn detach(&mut self, connection: u64) {
        self.viewers.retain(|viewer| viewer.connection != connection);
    }

    /// Passes on what a viewer typed; one that is gone is forgotten.
    pub fn type_from(&mut self, index: usize) {
        let mut buffer = [0; 4096];
        let Some(viewer) = self.viewers.get(index) else { return };
        match descriptor::read_now(&viewer.stream, &mut buffer) {
            Ok(Some(length @ 1..)) => drop(descriptor::write_some(&self.master, &buffer[..length])),
            Ok(None) => {}
            _ => drop(self.viewers.remove(index)),
        }
    }

    /// Sets the window size.
    pub fn resize(&self, size: WindowSize) {
        // A size that the kernel refuses leaves the old one.
        let _ = tty::set_size(&self.master, size);
    }

    /// Returns the streams of the viewers, in their order.
    pub fn viewer_streams(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.viewers.iter().map(|viewer| viewer.stream.as_fd())
    }
}

impl AsFd for Console {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_never_grows_past_its_limit() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = ConsoleLog::open(directory.path(), 64 * 1024).unwrap();
        for number in 0..100 {
            log.append(&[number; 4096]);
        }
        let length = |name: &str| fs::metadata(directory.path().join(name)).unwrap().len();
        assert!(length("console.log") + length("console.log.1") <= 64 * 1024);
        assert_eq!(fs::read(directory.path().join(LOG)).unwrap().last(), Some(&99));
    }

    #[test]
    fn without_room_for_another_file_the_log_keeps_its_limit_and_its_last_lines() {
        let directory = tempfile::tempdir().unwrap();
        let obstacle = directory.path().join("console.log.new");
        fs::create_dir(&obstacle).unwrap();
        let mut log = ConsoleLog::open(directory.path(), 64 * 1024).unwrap();
        let mut print = |numbers: std::ops::Range<u8>| {
            for number in numbers {
                log.append(&[number; 4096]);
            }
        };
        let read = |name: &str| fs::read(directory.path().join(name)).unwrap_or_default();
        print(0..100);
        assert!(read(LOG).len() <= 32 * 1024 && read("console.log.1").is_empty());
        assert_eq!(read(LOG).last(), Some(&99));
        fs::remove_dir(&obstacle).unwrap();
        print(100..200);
        assert_eq!((read(LOG).last(), read("console.log.1").len()), (Some(&199), 32 * 1024));
        // Somebody took the file away.
        fs::remove_file(directory.path().join(LOG)).unwrap();
        print(200..220);
        assert_eq!(read(LOG).last(), Some(&219));
    }
}
