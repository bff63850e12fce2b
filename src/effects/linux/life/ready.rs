//! Supervisors that wait to be needed, so that a start does not wait for a program to be loaded.
//!
//! They belong to this daemon and to its version: each waits on a socket of the daemon, and ends when that closes,
//! however the daemon ends. They have no container, no mount and no name on the host, so the log knows nothing of them.
//! One is taken per start and made up for after it; where none waits, one is spawned there and then.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::domain::effect::Failure;
use crate::effects::linux::failure::cannot;
use crate::effects::linux::host::lock;
use crate::sys::socket;

/// How many wait: two starts at once are common, more are rare, and each one costs about two megabytes.
const WAITING: usize = 2;
/// The length of a container's id, by which its directory is called.
const NAME_LENGTH: usize = 26;

/// The supervisors that wait.
#[derive(Debug)]
pub(in crate::effects::linux) struct Ready {
    executable: PathBuf,
    /// As long as the longest path that one may be told of, and in its place until then.
    room: PathBuf,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    all: Vec<Unordered>,
    closed: bool,
}

/// A supervisor that waits for its order on the other end of the socket.
#[derive(Debug)]
pub(in crate::effects::linux) struct Unordered {
    /// Its process, this daemon's child.
    pub(in crate::effects::linux) child: Child,
    /// Where it waits.
    pub(in crate::effects::linux) socket: OwnedFd,
}

impl Unordered {
    /// Spawns one; it leaves the daemon's session itself.
    fn spawn(executable: &Path, room: &Path) -> Result<Self, Failure> {
        let failed = cannot("start the supervisor", executable.display());
        let (socket, theirs) = socket::pair().map_err(cannot("make", "a socket for the supervisor"))?;
        let spawned = Command::new(executable)
            .arg0("berth")
            .args(["shim", "--wait"])
            .arg(room)
            .env_clear()
            .current_dir("/")
            .stdin(theirs)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Ok(Self { child: spawned.map_err(failed)?, socket })
    }

    /// Lets it go, and reaps it.
    pub(in crate::effects::linux) fn dismiss(self) {
        let Self { mut child, socket } = self;
        drop(socket);
        let _ = child.wait();
    }

    fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Ready {
    /// Keeps none yet; `runtimes` is the folder of the directories that they will be told of.
    pub(in crate::effects::linux) fn new(executable: &Path, runtimes: &Path) -> Self {
        let room = runtimes.join("-".repeat(NAME_LENGTH));
        Self { executable: executable.to_owned(), room, waiting: Arc::default() }
    }

    /// Takes one that waits, or spawns one.
    ///
    /// # Errors
    /// The program cannot be started.
    pub(in crate::effects::linux) fn take(&self) -> Result<Unordered, Failure> {
        loop {
            let Some(mut taken) = lock(&self.waiting).all.pop() else { return self.spawn() };
            if taken.is_alive() {
                return Ok(taken);
            }
        }
    }

    fn spawn(&self) -> Result<Unordered, Failure> {
        Unordered::spawn(&self.executable, &self.room)
    }

    /// Makes up for those that were taken, on a thread of its own: nobody waits for it.
    pub(in crate::effects::linux) fn refill(&self) {
        let (executable, room, waiting) = (self.executable.clone(), self.room.clone(), Arc::clone(&self.waiting));
        let filled = std::thread::Builder::new().name("ready".to_owned()).stack_size(128 << 10).spawn(move || {
            while wants_more(&waiting) {
                match Unordered::spawn(&executable, &room) {
                    Ok(one) => keep(&waiting, one),
                    Err(failure) => return tracing::warn!(%failure, "no supervisor waits for the next start"),
                }
            }
        });
        if let Err(error) = filled {
            tracing::warn!(%error, "no thread to spawn supervisors");
        }
    }

    /// Lets all go.
    pub(in crate::effects::linux) fn close(&self) {
        let all = {
            let mut waiting = lock(&self.waiting);
            waiting.closed = true;
            std::mem::take(&mut waiting.all)
        };
        all.into_iter().for_each(Unordered::dismiss);
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        self.close();
    }
}

fn wants_more(waiting: &Mutex<Waiting>) -> bool {
    let waiting = lock(waiting);
    !waiting.closed && waiting.all.len() < WAITING
}

/// Keeps one, unless enough came meanwhile.
fn keep(waiting: &Mutex<Waiting>, one: Unordered) {
    let mut locked = lock(waiting);
    if !locked.closed && locked.all.len() < WAITING {
        return locked.all.push(one);
    }
    drop(locked);
    one.dismiss();
}

/// Makes the file that what a supervisor says on its way out goes to.
///
/// # Errors
/// It cannot be made.
pub(in crate::effects::linux) fn words_of(directory: &Path) -> Result<File, Failure> {
    File::create(directory.join("words")).map_err(cannot("write", directory.display()))
}
