//! Ties a session to this process: its three streams, its signals, the size of its terminal.
//!
//! One poll for everything. What one end gave waits until the other end takes it, so that neither a slow reader nor a late
//! writer loses anything, whether the ends of this process block or not. Raw mode ends with this, however it ends.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::{AttachError, Session, SessionStreams};
use crate::sys::poll::{self, Interest, ROOM};
use crate::sys::tty::{self, RawMode};
use crate::sys::{descriptor, signal};

/// The most that is read at once.
const PIECE: usize = 16 * 1024;
/// How long a terminal may take to pass on what was printed last: that happens behind the program's end.
const LAST_WORDS: Duration = Duration::from_millis(20);
/// How long all of that may take together: something that was left behind may print a little again and again.
const ALL_LAST_WORDS: Duration = Duration::from_millis(200);
/// More than a terminal holds that nobody reads (some 20 KiB).
const TERMINAL_HOLDS: usize = 64 * 1024;
/// How often the end of the input is typed again. A program that had just changed its terminal did not see it, and a file
/// that is at its end stays there.
const STILL_AT_END: Duration = Duration::from_secs(1);
/// From when on a second request for an end is one: who ends a whole group of processes tells some of them twice at once, as
/// timeout(1) does.
const ASKED_AGAIN: Duration = Duration::from_secs(1);
/// From when on it is the first one anew: who interrupts one query now and another later wants no end of both.
const ASKED_ANEW: Duration = Duration::from_secs(10);
/// The exit code where nobody reads what a terminal shows: as a shell says of a program that prints to nobody.
const UNREAD: i32 = 128 + signal::PIPE;

/// Passes input, output and signals on until the command ends, and returns its exit code.
///
/// Whoever prints into a pipe hears itself that nobody reads it any more. A terminal tells its programs nothing but that it is
/// gone: so this ends then, which is the hang-up.
///
/// Blocks the forwarded signals for the whole process: call it once, when nothing else is left to do.
///
/// # Errors
/// The container ended with the command, or its shim is gone. `Left` if the command was told to end and a second request
/// comes before it has: it may be traced, or wait in the kernel.
pub fn until_the_end(session: &Session, streams: SessionStreams) -> Result<i32, AttachError> {
    let forwarded = [signal::INTERRUPT, signal::TERMINATE, signal::HANGUP, signal::QUIT, signal::WINDOW_CHANGE];
    let signals = signal::receive(&forwarded)?;
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let own = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    // Raw only where there is a terminal to make raw: `exec -t` may well read from a file.
    let is_raw = matches!(streams, SessionStreams::Terminal(_)) && tty::is_terminal(&stdin);
    let raw = if is_raw { Some(RawMode::enter(stdin.as_fd())?) } else { None };
    Relay::new(session, &signals, streams, own)?.run(raw.as_ref())
}

/// One end of a way.
enum End<'a> {
    Session(OwnedFd),
    Process(BorrowedFd<'a>),
}

impl AsFd for End<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Session(own) => own.as_fd(),
            Self::Process(borrowed) => *borrowed,
        }
    }
}

/// One direction, with what was read and not yet taken.
struct Way<'a> {
    from: Option<End<'a>>,
    to: Option<End<'a>>,
    /// What is typed at the end of the input of a terminal, which cannot be closed as a pipe can.
    end: Option<u8>,
    waiting: Vec<u8>,
    last: u8,
    /// How much may still be read.
    left: usize,
    /// Whether the reader left before everything was read.
    is_unread: bool,
}

impl<'a> Way<'a> {
    fn new(from: End<'a>, to: End<'a>) -> Self {
        Self {
            from: Some(from),
            to: Some(to),
            end: None,
            waiting: Vec::new(),
            last: b'\n',
            left: usize::MAX,
            is_unread: false,
        }
    }

    fn interest(&self) -> Option<Interest<'_>> {
        let to = self.to.as_ref()?;
        if self.waiting.is_empty() {
            self.from.as_ref().filter(|_| self.left > 0).map(|from| Interest::read(from.as_fd()))
        } else {
            Some(Interest::write(to.as_fd()))
        }
    }

    /// Does what the interest was about.
    fn go_on(&mut self) {
        if self.waiting.is_empty() { self.take() } else { self.give() }
    }

    fn take(&mut self) {
        let Some(from) = &self.from else { return };
        let mut buffer = vec![0; PIECE.min(self.left)];
        match descriptor::read_now(from, &mut buffer) {
            Ok(None) => {}
            Ok(Some(length @ 1..)) => {
                buffer.truncate(length);
                self.left -= length;
                self.last = buffer[length - 1];
                self.waiting = buffer;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A terminal whose other end is closed says EIO.
            Ok(Some(0)) | Err(_) => self.end(),
        }
    }

    fn end(&mut self) {
        self.from = None;
        match self.end {
            // In the middle of a line the first one only ends the line.
            Some(end) if self.last != b'\n' => self.waiting = vec![end, end],
            Some(end) => self.waiting = vec![end],
            None => self.to = None,
        }
        self.last = b'\n';
    }

    fn give(&mut self) {
        let Some(to) = &self.to else { return };
        let piece = &self.waiting[..self.waiting.len().min(ROOM)];
        match descriptor::write_some(to, piece) {
            Ok(length) => drop(self.waiting.drain(..length)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // The reader left: the writer is to hear of it.
            Err(_) => (self.from, self.to, self.waiting, self.is_unread) = (None, None, Vec::new(), true),
        }
    }

    /// Reads no more than lies here now. What is written comes out in order, so that everything from before is in it.
    fn take_no_more(&mut self) {
        self.left = self.from.as_ref().and_then(|from| descriptor::pipe_size(from).ok()).unwrap_or(TERMINAL_HOLDS);
    }

    /// Says whether the input of a terminal is at its end, and the program was told.
    fn is_at_end(&self) -> bool {
        self.end.is_some() && self.from.is_none() && self.to.is_some() && self.waiting.is_empty()
    }
}

struct Relay<'a> {
    session: &'a Session,
    signals: &'a OwnedFd,
    /// Input, output, errors.
    ways: [Option<Way<'a>>; 3],
    is_terminal: bool,
    /// When somebody asked for an end first.
    asked: Option<Instant>,
}

/// What a wait found.
#[derive(Default)]
struct Ready {
    signals: bool,
    session: bool,
    ways: [bool; 3],
}

impl Ready {
    fn is_nothing(&self) -> bool {
        !self.signals && !self.session && self.ways == [false; 3]
    }
}

impl<'a> Relay<'a> {
    fn new(
        session: &'a Session,
        signals: &'a OwnedFd,
        streams: SessionStreams,
        [stdin, stdout, stderr]: [BorrowedFd<'a>; 3],
    ) -> io::Result<Self> {
        let is_terminal = matches!(streams, SessionStreams::Terminal(_));
        let ways = match streams {
            SessionStreams::Terminal(terminal) => {
                descriptor::set_nonblocking(&terminal)?;
                let mut input = Way::new(End::Process(stdin), End::Session(terminal.try_clone()?));
                input.end = tty::end_of_input(&terminal).ok().filter(|_| !tty::is_terminal(stdin));
                [Some(input), Some(Way::new(End::Session(terminal), End::Process(stdout))), None]
            }
            SessionStreams::Pipes { input, output, errors } => {
                descriptor::set_nonblocking(&input)?;
                let out = Way::new(End::Session(output), End::Process(stdout));
                let errors = Way::new(End::Session(errors), End::Process(stderr));
                [Some(Way::new(End::Process(stdin), End::Session(input))), Some(out), Some(errors)]
            }
        };
        Ok(Self { session, signals, ways, is_terminal, asked: None })
    }

    fn run(mut self, raw: Option<&RawMode<'_>>) -> Result<i32, AttachError> {
        loop {
            let at_end = self.ways[0].as_ref().is_some_and(Way::is_at_end);
            let ready = self.wait(true, at_end.then_some(STILL_AT_END))?;
            if ready.signals {
                self.pass_signals()?;
            }
            self.go_on(&ready);
            if ready.session {
                let code = self.session.wait();
                // A terminal that is gone takes nothing back, and no code from the command.
                let _ = raw.map_or(Ok(()), RawMode::give_keys_back);
                self.pass_rest()?;
                return code;
            }
            if self.is_terminal && self.ways[1].as_ref().is_some_and(|output| output.is_unread) {
                return Ok(UNREAD);
            }
            if let Some(input) = self.ways[0].as_mut().filter(|_| at_end && ready.is_nothing()) {
                input.end();
            }
        }
    }

    fn pass_signals(&mut self) -> Result<(), AttachError> {
        while let Some(number) = signal::next(self.signals)? {
            if matches!(number, signal::TERMINATE | signal::INTERRUPT) {
                match self.asked.map(|first| first.elapsed()) {
                    Some(ago) if ago < ASKED_AGAIN => {}
                    Some(ago) if ago < ASKED_ANEW => return Err(AttachError::Left),
                    _ => self.asked = Some(Instant::now()),
                }
            }
            forward(self.session, number);
        }
        Ok(())
    }

    fn wait(&self, with_session: bool, limit: Option<Duration>) -> io::Result<Ready> {
        let session = with_session.then(|| Interest::read(self.session.as_fd()));
        let ways = self.ways.iter().map(|way| way.as_ref().and_then(Way::interest));
        let all: Vec<Option<Interest<'_>>> =
            [Some(Interest::read(self.signals.as_fd())), session].into_iter().chain(ways).collect();
        let is_asked: Vec<bool> = all.iter().map(Option::is_some).collect();
        let mut asked: Vec<Interest<'_>> = all.into_iter().flatten().collect();
        poll::wait(&mut asked, limit)?;
        let mut found = asked.iter().map(Interest::is_ready);
        let mut ready = is_asked.into_iter().map(|is_asked| is_asked && found.next().unwrap_or(false));
        let mut next = || ready.next().unwrap_or(false);
        Ok(Ready { signals: next(), session: next(), ways: [next(), next(), next()] })
    }

    fn go_on(&mut self, ready: &Ready) {
        for (way, is_ready) in self.ways.iter_mut().zip(ready.ways) {
            if let Some(way) = way.as_mut().filter(|_| is_ready) {
                way.go_on();
            }
        }
    }

    /// The command is over: what it printed is passed on whole, however slow the reader is; what its processes in the
    /// background print later is not waited for, and no reason to stay. A signal ends the wait.
    fn pass_rest(&mut self) -> io::Result<()> {
        self.ways[0] = None;
        self.ways.iter_mut().flatten().for_each(Way::take_no_more);
        let over = Instant::now() + if self.is_terminal { ALL_LAST_WORDS } else { Duration::ZERO };
        while self.ways.iter().flatten().any(|way| way.interest().is_some()) {
            let is_slow = self.ways.iter().flatten().any(|way| !way.waiting.is_empty());
            let patience = LAST_WORDS.min(over.saturating_duration_since(Instant::now()));
            let ready = self.wait(false, if is_slow { None } else { Some(patience) })?;
            if ready.is_nothing() || ready.signals && self.asks_for_an_end()? {
                return Ok(());
            }
            self.go_on(&ready);
        }
        Ok(())
    }

    fn asks_for_an_end(&self) -> io::Result<bool> {
        while let Some(number) = signal::next(self.signals)? {
            if number != signal::WINDOW_CHANGE {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A session that is over cannot be told anything; its end is read in the next round.
fn forward(session: &Session, number: i32) {
    let _ = if number == signal::WINDOW_CHANGE {
        tty::size(io::stdin()).map_err(AttachError::from).and_then(|size| session.resize(size))
    } else {
        session.signal(number)
    };
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn after_the_end_no_more_is_passed_on_than_lay_there() {
        let (from, mut endless) = io::pipe().unwrap();
        let (mut read, to) = io::pipe().unwrap();
        let printing = std::thread::spawn(move || while endless.write_all(&[b'x'; 4096]).is_ok() {});
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            read.read_to_end(&mut all).unwrap();
            all.len()
        });
        let mut way = Way::new(End::Session(from.into()), End::Process(to.as_fd()));
        way.take_no_more();
        let most = way.left;
        assert!(most <= 1 << 20, "{most}");
        let begun = Instant::now();
        while way.interest().is_some() {
            assert!(begun.elapsed() < Duration::from_mins(1), "it goes on for ever");
            way.go_on();
        }
        drop(way);
        drop(to);
        assert_eq!(reading.join().unwrap(), most);
        printing.join().unwrap();
    }
}
