//! The readiness socket: what the container's init says by sd_notify(3).
//!
//! Whoever runs in the container may write there, so only a few facts are taken from it: ready, a short text, and which signal
//! ended the command of the built-in init, which counts only where the init's exit code says so too.

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
pub struct NotifySocket(OwnedFd);

impl NotifySocket {
    /// Binds the socket at the staging place (the current directory), for everybody to write.
    pub fn bind() -> Result<Self, Failure> {
        std::fs::create_dir_all(CONTROL).step("make the control folder")?;
        let path = Path::new(CONTROL).join("notify");
        let _ = std::fs::remove_file(&path);
        process::set_file_mode_mask(0);
        let bound = socket::bind_datagram(&path).step("bind the readiness socket");
        process::set_file_mode_mask(0o077);
        bound.map(Self)
    }

    /// Takes what has arrived.
    pub fn take(&self) -> Notification {
        let mut all = Notification::default();
        for _ in 0..TURN_MAX {
            let Ok(message) = socket::receive(&self.0, MESSAGE_MAX) else { break };
            let one = parse(&message.bytes);
            all.ready |= one.ready;
            all.text = one.text.or(all.text);
            all.command_signal = one.command_signal.or(all.command_signal);
        }
        all
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn parse(bytes: &[u8]) -> Notification {
    let text = String::from_utf8_lossy(bytes);
    let printable = |value: &str| value.chars().filter(|one| !one.is_control()).take(TEXT_MAX).collect();
    Notification {
        ready: text.lines().any(|line| line == "READY=1"),
        text: text.lines().find_map(|line| line.strip_prefix("STATUS=")).map(printable),
        command_signal: text.lines().find_map(|line| line.strip_prefix(COMMAND_SIGNAL)?.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn foreign_bytes_bring_no_control_characters(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let text = parse(&bytes).text.unwrap_or_default();
            prop_assert!(text.chars().count() <= TEXT_MAX && !text.chars().any(char::is_control));
        }
    }

    #[test]
    fn ready_and_status_are_understood_and_control_characters_are_not_kept() {
        let said = parse(b"READY=1\nSTATUS=up\x1b[31m\nX=1");
        assert_eq!(said, Notification { ready: true, text: Some("up[31m".into()), command_signal: None });
        assert_eq!(parse(b"READY=10\xff"), Notification::default());
        assert_eq!(parse(b"X_BERTH_COMMAND_SIGNAL=9").command_signal, Some(9));
    }
}
