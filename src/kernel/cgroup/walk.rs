//! Goes through the groups below one, whatever a container has made of them.
//!
//! Groups can lie deeper than any path can say and than a stack can hold: nothing here takes a path or calls itself, and
//! few descriptors are open at once.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use crate::sys::fs::{self, Access, DirectoryStack, directories, open_beneath, open_root, unlink_directory};

/// EOPNOTSUPP: a threaded group was asked for its processes (cgroups kernel doc, "Threads").
const NOT_OF_THIS_KIND: i32 = 95;

/// What a step came to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// A group, which is the present one now.
    Down,
    /// The end of a group of this name; the one above is the present one.
    Up(Vec<u8>),
}

/// Walks the groups below one, each before and after those below it.
pub struct Walk {
    stack: DirectoryStack,
    waiting: Vec<Vec<Vec<u8>>>,
    depth_max: usize,
}

impl Walk {
    /// Begins at a group, which is the present one first; nothing if it is not there. What lies more than `depth_max`
    /// levels below it is left out.
    ///
    /// # Errors
    /// What openat2(2) says.
    pub fn at(group: &Path, depth_max: usize) -> io::Result<Option<Self>> {
        let root = match open_root(group) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut walk =
            Self { stack: DirectoryStack::new(fs::AsFd::as_fd(&root), false)?, waiting: Vec::new(), depth_max };
        walk.list()?;
        Ok(Some(walk))
    }

    /// Goes on to the next; nothing once it is back where it began. A group that goes meanwhile is passed by.
    ///
    /// # Errors
    /// What the kernel says of a group that is there.
    fn step(&mut self) -> io::Result<Option<Step>> {
        loop {
            match self.waiting.last_mut().map(Vec::pop) {
                None => return Ok(None),
                Some(Some(name)) => match self.stack.push(&name) {
                    Err(error) if is_gone(&error) => {}
                    entered => {
                        entered?;
                        self.list()?;
                        return Ok(Some(Step::Down));
                    }
                },
                Some(None) => {
                    self.waiting.pop();
                    return Ok(self.stack.pop().map(Step::Up));
                }
            }
        }
    }

    /// Goes on to the next group that it was not in yet; nothing at the end.
    ///
    /// # Errors
    /// What the kernel says of a group that is there.
    pub fn down(&mut self) -> io::Result<Option<()>> {
        loop {
            match self.step()? {
                Some(Step::Up(_)) => {}
                other => return Ok(other.map(drop)),
            }
        }
    }

    /// Returns the present group.
    ///
    /// # Errors
    /// It is gone.
    pub fn here(&mut self) -> io::Result<BorrowedFd<'_>> {
        self.stack.top()
    }

    /// Reads a file of the present group; nothing where the group is gone or has no such file, or none for its kind: the
    /// processes of a threaded group are told by the one above.
    ///
    /// # Errors
    /// What the kernel says of a file that is there.
    pub fn read(&mut self, file: &str) -> io::Result<Option<String>> {
        let opened = self.here().and_then(|group| open_beneath(group, file.as_bytes(), Access::Read));
        match opened.and_then(|opened| io::read_to_string(fs::into_file(opened))) {
            Err(error) if is_gone(&error) || error.raw_os_error() == Some(NOT_OF_THIS_KIND) => Ok(None),
            read => read.map(Some),
        }
    }

    /// Writes a file of the present group, if it has it.
    pub fn write(&mut self, file: &str, value: &str) {
        let opened = self.here().and_then(|group| open_beneath(group, file.as_bytes(), Access::Write));
        let _ = opened.and_then(|file| io::Write::write_all(&mut fs::into_file(file), value.as_bytes()));
    }

    fn list(&mut self) -> io::Result<()> {
        let found =
            if self.stack.depth() < self.depth_max { self.stack.top().and_then(directories) } else { Ok(vec![]) };
        self.waiting.push(match found {
            Err(error) if is_gone(&error) => Vec::new(),
            other => other?,
        });
        Ok(())
    }
}

/// Tells whether a group has been removed: its directory is not there, or belongs to nothing any more.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || fs::is_gone(error)
}

/// Removes a group and all below it, deepest first; one that is gone is no error.
///
/// # Errors
/// A process is still in one.
pub fn remove(group: &Path) -> io::Result<()> {
    let Some(mut walk) = Walk::at(group, usize::MAX)? else { return Ok(()) };
    while let Some(step) = walk.step()? {
        if let Step::Up(name) = step {
            gone_is_fine(unlink_directory(walk.here()?, &name))?;
        }
    }
    gone_is_fine(std::fs::remove_dir(group))
}

fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_gone(&error) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::sys::fs::make_directory;

    /// Makes directories one in another, and one beside each.
    fn dig(place: &Path, name: &[u8], depth: usize) {
        let mut stack = DirectoryStack::new(open_root(place).unwrap().as_fd(), false).unwrap();
        for _ in 0..depth {
            make_directory(stack.top().unwrap(), name, 0o755).unwrap();
            make_directory(stack.top().unwrap(), b"beside", 0o755).unwrap();
            stack.push(name).unwrap();
        }
    }

    #[test]
    fn groups_deeper_than_any_path_and_stack_are_walked_and_removed() {
        let place = tempfile::tempdir().unwrap();
        let group = place.path().join("group");
        std::fs::create_dir(&group).unwrap();
        dig(&group, &[b'x'; 250], 3000);
        let walked = std::thread::Builder::new().stack_size(128 << 10).spawn(move || {
            let count = |depth_max| {
                let mut walk = Walk::at(&group, depth_max).unwrap().unwrap();
                let (mut down, mut up) = (0, 0);
                while let Some(step) = walk.step().unwrap() {
                    if step == Step::Down { down += 1 } else { up += 1 }
                }
                assert_eq!(down, up);
                down
            };
            assert_eq!([count(usize::MAX), count(32), count(0)], [6000, 64, 0]);
            remove(&group).unwrap();
            remove(&group).unwrap();
            assert!(!group.exists());
        });
        walked.unwrap().join().unwrap();
    }
}
