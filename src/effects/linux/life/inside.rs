//! Runs a command inside a container for the host's own purposes and collects what it says.
//!
//! What runs there is the container's: its shell may never end, print without end, or leave something behind that keeps
//! the pipes open. So time and bytes have bounds, and what counts as the end is the end of the command.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use super::supervisor::shim_failure;
use crate::domain::effect::Failure;
use crate::effects::linux::failure::{self, cannot};
use crate::effects::linux::host::LinuxHost;
use crate::effects::linux::update_check::Output;
use crate::shim::attach::{AttachError, Session, SessionStreams, attach};
use crate::shim::protocol::{Command, SessionTarget};
use crate::sys::poll::{self, Interest};
use crate::sys::{descriptor, signal};
use crate::types::ContainerId;

/// The most that a command may say on one stream; a simulated upgrade of a whole system is far below.
const BYTES_MAX: usize = 4 << 20;
/// How often it is looked whether the work was cancelled.
const TURN: Duration = Duration::from_millis(200);

impl LinuxHost {
    /// Runs a command inside as root and collects what it says.
    ///
    /// # Errors
    /// It cannot be begun, was cancelled, has not ended at the deadline, or says too much; it is killed then.
    pub(in crate::effects::linux) fn run_inside(
        &self,
        container: ContainerId,
        argv: &[&str],
        deadline: Instant,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Output, Failure> {
        let words = argv.join(" ");
        let token = crate::types::RunId::from_bytes(crate::sys::random::bytes().map_err(cannot("run", &words))?);
        let command = Command {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            environment: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
            user: "root".to_owned(),
            directory: None,
            terminal: None,
            without_echo: false,
        };
        let target = SessionTarget::Command(command);
        self.shim(container)?.open_session(&token.to_string(), None, target).map_err(shim_failure)?;
        let socket = self.options.paths.session_socket(container);
        let broken = |error: AttachError| Failure::permanent(format!("cannot run {words}: {error}"));
        let (session, streams) = attach(&socket, &token.to_string()).map_err(broken)?;
        let SessionStreams::Pipes { input, output, errors } = streams else {
            return Err(Failure::permanent("the supervisor gave a terminal where pipes were asked for"));
        };
        drop(input);
        let mut collected = Collected { stdout: Stream::new(output), stderr: Stream::new(errors) };
        let code = match collected.until_end(&session, deadline, cancelled) {
            Ok(()) => session.wait().map_err(broken)?,
            Err(reason) => {
                // One that has just ended needs no signal.
                let _ = session.signal(signal::KILL);
                return Err(match reason {
                    Some(reason) => Failure::permanent(format!("{words}: {reason}; it was killed")),
                    None => failure::cancelled(),
                });
            }
        };
        Ok(Output { code, stdout: collected.stdout.bytes, stderr: collected.stderr.bytes })
    }
}

/// One stream of a command.
struct Stream {
    descriptor: Option<OwnedFd>,
    bytes: Vec<u8>,
}

impl Stream {
    fn new(descriptor: OwnedFd) -> Self {
        // Where that is refused, reading waits for a command that is about to say something.
        let _ = descriptor::set_nonblocking(&descriptor);
        Self { descriptor: Some(descriptor), bytes: vec![] }
    }

    /// Takes what is there now; tells whether there may be more.
    fn take(&mut self) -> Result<bool, String> {
        let Some(descriptor) = &self.descriptor else { return Ok(false) };
        let mut buffer = [0; 16 << 10];
        match descriptor::read_now(descriptor, &mut buffer) {
            Ok(None) => return Ok(false),
            Ok(Some(0)) | Err(_) => self.descriptor = None,
            Ok(Some(length)) if self.bytes.len() + length > BYTES_MAX => {
                return Err(format!("it says more than {} MiB", BYTES_MAX >> 20));
            }
            Ok(Some(length)) => self.bytes.extend_from_slice(&buffer[..length]),
        }
        Ok(self.descriptor.is_some())
    }
}

/// What a command says.
struct Collected {
    stdout: Stream,
    stderr: Stream,
}

impl Collected {
    /// Reads until the session has something to say, which is its end, and then what is left in the pipes.
    ///
    /// # Errors
    /// Why it is not waited for any longer; no reason where the work was cancelled.
    fn until_end(
        &mut self,
        session: &Session,
        deadline: Instant,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(), Option<String>> {
        let begun = Instant::now();
        while !self.wait(session)? {
            self.stdout.take()?;
            self.stderr.take()?;
            if cancelled() {
                return Err(None);
            }
            if Instant::now() >= deadline {
                return Err(Some(format!("it did not end within {} s", begun.elapsed().as_secs())));
            }
        }
        while self.stdout.take()? {}
        while self.stderr.take()? {}
        Ok(())
    }

    /// Waits for a turn; tells whether the session has ended.
    fn wait(&self, session: &Session) -> Result<bool, String> {
        let streams = [&self.stdout, &self.stderr].into_iter().filter_map(|stream| stream.descriptor.as_ref());
        let watched = std::iter::once(session.as_fd()).chain(streams.map(OwnedFd::as_fd));
        let mut interests: Vec<Interest<'_>> = watched.map(Interest::read).collect();
        poll::wait(&mut interests, Some(TURN)).map_err(|error| format!("cannot wait for it: {error}"))?;
        Ok(interests[0].readable)
    }
}
