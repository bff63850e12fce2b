//! The readiness socket: what the container's init says by sd_notify(3).
//!
//! Whoever runs in the container may write there, so only a few facts are taken from it: ready, a short text, and which signal
//! ended the command of the built-in init, which counts only where the init's exit code says so too.
//!
//! Nothing else is taken, least of all descriptors: closing one may never end, and the shim has one thread. Whoever sends some
//! is the last one who was heard.

use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::kernel::failure::{Failure, Step as _};
use crate::kernel::launch::{COMMAND_SIGNAL, CONTROL};
use crate::sys::{process, socket};

/// The longest message that is read.
const MESSAGE_MAX: usize = 4096;
/// The longest status text that is kept, in characters.
const TEXT_MAX: usize = 200;
/// The most messages taken in one turn, so that a flood does not starve the rest.
const TURN_MAX: usize = 16;

/// The numbers that a signal can have (signal(7)).
const SIGNALS: RangeInclusive<i32> = 1..=64;

/// What was said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Notification {
    /// Startup is complete.
    pub ready: bool,
    /// A line about the state.
    pub text: Option<String>,
    /// The signal that ended the command of the built-in init.
    pub command_signal: Option<i32>,
}

/// The socket, in a folder of the staging place that the container sees.
#[derive(Debug)]
pub struct NotifySocket {
    socket: OwnedFd,
    is_closed: bool,
}

impl NotifySocket {
    /// Binds the socket at the staging place (the current directory), for everybody to write.
    pub fn bind() -> Result<Self, Failure> {
        std::fs::create_dir_all(CONTROL).step("make the control folder")?;
        let path = Path::new(CONTROL).join("notify");
        let _ = std::fs::remove_file(&path);
        process::set_file_mode_mask(0);
        let bound = socket::bind_datagram(&path).step("bind the readiness socket");
        process::set_file_mode_mask(0o077);
        Ok(Self { socket: bound?, is_closed: false })
    }

    /// Returns the socket to wait at, as long as it is listened to.
    pub fn open(&self) -> Option<BorrowedFd<'_>> {
        (!self.is_closed).then(|| self.socket.as_fd())
    }

    /// Takes what has arrived.
    pub fn take(&mut self) -> Notification {
        let mut all = Notification::default();
        for _ in 0..TURN_MAX {
            let Some(message) = self.open().and_then(|socket| socket::peek(socket, MESSAGE_MAX).ok()) else { break };
            let one = parse(&message.bytes);
            all.ready |= one.ready;
            all.text = one.text.or(all.text);
            all.command_signal = one.command_signal.or(all.command_signal);
            if message.has_descriptors {
                self.close();
            } else if socket::discard(&self.socket).is_err() {
                break;
            }
        }
        all
    }

    /// Leaves what waits where it is: the kernel lets go of it as the shim ends, when nothing can hold it up any more.
    fn close(&mut self) {
        self.is_closed = true;
        // One that the kernel does not close fills up, and its senders wait.
        let _ = socket::stop_receiving(&self.socket);
    }
}

fn parse(bytes: &[u8]) -> Notification {
    let text = String::from_utf8_lossy(bytes);
    let printable = |value: &str| value.chars().filter(|one| !one.is_control()).take(TEXT_MAX).collect();
    Notification {
        ready: text.lines().any(|line| line == "READY=1"),
        text: text.lines().find_map(|line| line.strip_prefix("STATUS=")).map(printable),
        command_signal: text
            .lines()
            .find_map(|line| line.strip_prefix(COMMAND_SIGNAL)?.parse().ok())
            .filter(|number| SIGNALS.contains(number)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sys::descriptor;

    proptest! {
        #[test]
        fn foreign_bytes_bring_no_control_characters(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let text = parse(&bytes).text.unwrap_or_default();
            prop_assert!(text.chars().count() <= TEXT_MAX && !text.chars().any(char::is_control));
        }
    }

    #[test]
    fn who_sends_descriptors_is_heard_once_and_nothing_of_it_is_closed() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("notify");
        let mut notify = NotifySocket { socket: socket::bind_datagram(&path).unwrap(), is_closed: false };
        let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
        sender.connect(&path).unwrap();
        sender.send(&vec![b'x'; 100_000]).unwrap();
        sender.send(b"STATUS=one").unwrap();
        assert_eq!(notify.take().text.as_deref(), Some("one"));
        let (reader, writer) = descriptor::pipe().unwrap();
        socket::send(&sender, b"READY=1", &[writer.as_fd()]).unwrap();
        sender.send(b"STATUS=two").unwrap();
        drop(writer);
        assert_eq!(notify.take(), Notification { ready: true, ..Notification::default() });
        assert!(notify.open().is_none() && notify.take() == Notification::default());
        assert_eq!(sender.send(b"STATUS=three").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
        descriptor::set_nonblocking(&reader).unwrap();
        assert_eq!(descriptor::read_now(&reader, &mut [0]).unwrap(), None, "its last copy was closed");
        drop(notify);
        assert_eq!(descriptor::read_now(&reader, &mut [0]).unwrap(), Some(0));
    }

    #[test]
    fn what_is_no_signal_is_none() {
        for text in ["-128", "0", "65", "2147483647", "9999999999", "", "x"] {
            assert_eq!(parse(format!("{COMMAND_SIGNAL}{text}").as_bytes()).command_signal, None, "{text}");
        }
        assert_eq!(parse(format!("{COMMAND_SIGNAL}64").as_bytes()).command_signal, Some(64));
    }

    #[test]
    fn ready_and_status_are_understood_and_control_characters_are_not_kept() {
        let said = parse(b"READY=1\nSTATUS=up\x1b[31m\nX=1");
        assert_eq!(said, Notification { ready: true, text: Some("up[31m".into()), command_signal: None });
        assert_eq!(parse(b"READY=10\xff"), Notification::default());
        assert_eq!(parse(b"X_BERTH_COMMAND_SIGNAL=9").command_signal, Some(9));
    }
}
