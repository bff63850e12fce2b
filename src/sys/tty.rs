//! Terminals: pseudo-terminal pairs of a given devpts, window size, controlling terminal, raw mode.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, Winsize};
use serde::{Deserialize, Serialize};

use super::check;
use super::poll::{self, Interest};

/// The device number of `ptmx` (makedev(3) of 5 and 2).
const MULTIPLEXER: u64 = 5 << 8 | 2;
/// `DEVPTS_SUPER_MAGIC` of linux/magic.h.
const DEVPTS_MAGIC: libc::__fsword_t = 0x1cd1;

/// The size of a terminal in character cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters per line.
    pub columns: u16,
}

/// A pseudo-terminal: what is written to one end is read from the other.
#[derive(Debug)]
pub struct PseudoTerminal {
    /// The end of whoever plays the terminal.
    pub master: OwnedFd,
    /// The end of the programs.
    pub slave: OwnedFd,
    /// The number of the slave in its devpts.
    pub number: u32,
}

/// Opens a new pair from the `ptmx` of the devpts instance with this root (`TIOCGPTPEER`, kernel 4.13: the slave is
/// opened without its path, so nothing in the container can stand in its place). What stands at `ptmx` is not trusted
/// either: nothing that is mounted on it is looked at, and anything but the multiplexer of a devpts is refused.
pub fn open_pair(devpts: impl AsFd) -> io::Result<PseudoTerminal> {
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = rustix::fs::openat2(devpts, "ptmx", flags, Mode::empty(), resolve)?;
    if rustix::fs::fstat(&master)?.st_rdev != MULTIPLEXER || rustix::fs::fstatfs(&master)?.f_type != DEVPTS_MAGIC {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not the ptmx of a devpts"));
    }
    rustix::pty::unlockpt(&master)?;
    let mut number: libc::c_uint = 0;
    // SAFETY: TIOCGPTN stores one unsigned int; it lives across the call.
    check::int(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN as _, &raw mut number) })?;
    let slave = open_slave(&master)?;
    Ok(PseudoTerminal { master, slave, number })
}

/// Opens the program end that belongs to a master.
pub fn open_slave(master: impl AsFd) -> io::Result<OwnedFd> {
    use rustix::pty::OpenptFlags as Flags;
    Ok(rustix::pty::ioctl_tiocgptpeer(master, Flags::RDWR | Flags::NOCTTY | Flags::CLOEXEC)?)
}

/// Opens the terminal at a path that is trusted, without making it the controlling one.
pub fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Gives the program end to a user and a group, mode 0620.
pub fn give_slave_to(slave: impl AsFd, user: u32, group: u32) -> io::Result<()> {
    use rustix::fs::{Gid, Uid};
    let (user, group) = (Uid::from_raw(check::id(user)?), Gid::from_raw(check::id(group)?));
    rustix::fs::fchown(slave.as_fd(), Some(user), Some(group))?;
    Ok(rustix::fs::fchmod(slave, Mode::from_raw_mode(0o620))?)
}

/// Makes the terminal the controlling one of the caller's session.
pub fn make_controlling(terminal: impl AsFd) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes a plain number.
    check::int(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSCTTY as _, 0) }).map(drop)
}

/// Sets the size of a terminal; its foreground processes get `SIGWINCH`.
pub fn set_size(terminal: impl AsFd, size: WindowSize) -> io::Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}

/// Returns the size of a terminal.
pub fn size(terminal: impl AsFd) -> io::Result<WindowSize> {
    let size = rustix::termios::tcgetwinsize(terminal)?;
    Ok(WindowSize { rows: size.ws_row, columns: size.ws_col })
}

/// Returns the character that, typed on this terminal, is the end of the input (`VEOF`).
pub fn end_of_input(terminal: impl AsFd) -> io::Result<u8> {
    Ok(rustix::termios::tcgetattr(terminal)?.special_codes[SpecialCodeIndex::VEOF])
}

/// Switches off that the terminal prints what is typed.
pub fn stop_echo(terminal: impl AsFd) -> io::Result<()> {
    let mut settings = rustix::termios::tcgetattr(terminal.as_fd())?;
    settings.local_modes.remove(LocalModes::ECHO);
    Ok(rustix::termios::tcsetattr(terminal, OptionalActions::Now, &settings)?)
}

/// Tells whether the descriptor is a terminal.
pub fn is_terminal(descriptor: impl AsFd) -> bool {
    rustix::termios::isatty(descriptor)
}

/// A terminal in raw mode; its former settings come back when this is dropped.
#[derive(Debug)]
pub struct RawMode<'a> {
    terminal: std::os::fd::BorrowedFd<'a>,
    before: Termios,
}

impl<'a> RawMode<'a> {
    /// Passes every key on as it is, without echo, line editing and signals.
    pub fn enter(terminal: std::os::fd::BorrowedFd<'a>) -> io::Result<Self> {
        let before = rustix::termios::tcgetattr(terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(terminal, OptionalActions::Flush, &raw)?;
        Ok(Self { terminal, before })
    }

    /// Makes the keys what they were, signals and echo, while what is printed goes on as it is.
    pub fn give_keys_back(&self) -> io::Result<()> {
        let mut settings = self.before.clone();
        settings.output_modes = rustix::termios::tcgetattr(self.terminal)?.output_modes;
        Ok(rustix::termios::tcsetattr(self.terminal, OptionalActions::Now, &settings)?)
    }
}

impl Drop for RawMode<'_> {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to restore.
        let _ = rustix::termios::tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// An output that may be set not to block (by whoever shares it): it is waited for, and nothing is lost.
#[derive(Debug)]
pub struct Patient<W>(pub W);

impl<W: AsFd> Patient<W> {
    /// Does it again for as long as there is no room.
    fn insist<T>(&mut self, mut act: impl FnMut(&mut W) -> io::Result<T>) -> io::Result<T> {
        loop {
            match act(&mut self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll::wait(&mut [Interest::write(self.0.as_fd())], None)?;
                }
                other => return other,
            }
        }
    }
}

impl<W: io::Write + AsFd> io::Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.insist(|out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.insist(io::Write::flush)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn an_output_that_does_not_block_loses_nothing() {
        use std::io::Read as _;
        let (reader, writer) = crate::sys::descriptor::pipe().unwrap();
        crate::sys::descriptor::set_nonblocking(&writer).unwrap();
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            std::fs::File::from(reader).read_to_end(&mut all).map(|_| all)
        });
        let sent: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
        let mut out = io::LineWriter::new(Patient(std::fs::File::from(writer)));
        out.write_all(&sent).unwrap();
        out.flush().unwrap();
        drop(out);
        assert!(reading.join().unwrap().unwrap() == sent);
    }
}
