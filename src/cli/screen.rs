//! Where output goes: standard output for results, standard error for messages and progress.
//!
//! Knows whether each is a terminal, how wide, and whether colour is wanted. Tests put buffers in place of both.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex};

use clap::ValueEnum;

use super::content::Content;
use super::output::wrapped;
use crate::sys::tty::{self, Patient};
use crate::types::terminal_safe;

/// How wide a terminal is that does not say.
const COLUMNS_DEFAULT: usize = 80;
/// Below this nothing can be laid out.
const COLUMNS_MIN: usize = 40;

/// Says when colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Is both outputs of a command.
pub struct Screen {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    /// Whether standard output is a terminal.
    pub out_is_terminal: bool,
    /// Whether standard error is one.
    pub err_is_terminal: bool,
    /// Whether standard input is one, so that questions can be asked.
    pub in_is_terminal: bool,
    /// Whether words of state get their colour.
    pub colour: bool,
    /// How many columns a line of results may have, where they go to a terminal.
    pub room: Option<usize>,
    /// Whether anything but results is left out.
    pub quiet: bool,
    progress_shown: bool,
    content: Content,
}

impl Screen {
    /// Makes the screen of this process.
    pub fn of_process(colour: Colour, quiet: bool) -> Self {
        let out_is_terminal = io::stdout().is_terminal();
        Self {
            out: Box::new(io::LineWriter::new(Patient(io::stdout()))),
            err: Box::new(Patient(io::stderr())),
            out_is_terminal,
            err_is_terminal: io::stderr().is_terminal(),
            in_is_terminal: io::stdin().is_terminal(),
            colour: wants_colour(colour, out_is_terminal, |name| std::env::var(name).ok()),
            room: out_is_terminal.then(columns_of_process),
            quiet,
            progress_shown: false,
            content: Content::default(),
        }
    }

    /// Makes a screen of two buffers, no terminals.
    pub fn of_buffers(out: Buffer, err: Buffer) -> Self {
        Self {
            out: Box::new(out),
            err: Box::new(err),
            out_is_terminal: false,
            err_is_terminal: false,
            in_is_terminal: false,
            colour: false,
            room: None,
            quiet: false,
            progress_shown: false,
            content: Content::default(),
        }
    }

    /// Goes on as where the reader of the output has left.
    #[cfg(test)]
    pub fn lose_reader(&mut self) {
        let (reader, writer) = std::os::unix::net::UnixStream::pair().expect("there are sockets");
        drop(reader);
        self.out = Box::new(writer);
    }

    /// Writes text that is already safe: a table, a JSON document.
    ///
    /// # Errors
    /// Nobody reads, or there is no space.
    pub fn write(&mut self, text: &str) -> io::Result<()> {
        self.clear_progress();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Writes one result line, made safe.
    ///
    /// # Errors
    /// As [`Screen::write`].
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.write(&format!("{}\n", terminal_safe(text)))
    }

    /// Writes a sentence, made safe, on a terminal broken between its words; what follows the first line is indented.
    ///
    /// # Errors
    /// As [`Screen::write`].
    pub fn sentence(&mut self, begin: &str, text: &str, indent: usize) -> io::Result<()> {
        let text = terminal_safe(text);
        let room = self.room.map_or(usize::MAX, |room| room.saturating_sub(indent));
        let indented = format!("\n{}", " ".repeat(indent));
        self.write(&format!("{begin}{}\n", wrapped(&text, room).join(&indented)))
    }

    /// Writes content of a container's log or a file: unchanged to a pipe, made safe to a terminal.
    ///
    /// # Errors
    /// As [`Screen::write`].
    pub fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.out_is_terminal {
            let text = self.content.push(bytes);
            return self.write(&text);
        }
        self.clear_progress();
        self.out.write_all(bytes)?;
        self.out.flush()
    }

    /// Writes what of a content that has ended was still to come.
    ///
    /// # Errors
    /// As [`Screen::write`].
    pub fn end_content(&mut self) -> io::Result<()> {
        let text = self.content.end();
        self.write(&text)
    }

    /// Tells something beside the result on standard error, unless it is to be quiet.
    pub fn note(&mut self, text: &str) {
        if !self.quiet {
            self.alarm(&format!("{}\n", terminal_safe(text)));
        }
    }

    /// Tells an error; never left out.
    pub fn alarm(&mut self, text: &str) {
        self.clear_progress();
        // Nobody reads it: nothing to be done, and the exit code still tells.
        let _ = self.err.write_all(text.as_bytes());
        let _ = self.err.flush();
    }

    /// Shows a line of progress in place of the last (terminal) or below it.
    pub fn progress(&mut self, text: &str) {
        if self.quiet {
            return;
        }
        let text = terminal_safe(text);
        let line = if self.err_is_terminal { format!("\r{text}\x1b[K") } else { format!("{text}\n") };
        self.progress_shown = self.err_is_terminal;
        let _ = self.err.write_all(line.as_bytes());
        let _ = self.err.flush();
    }

    fn clear_progress(&mut self) {
        if std::mem::take(&mut self.progress_shown) {
            let _ = self.err.write_all(b"\r\x1b[K");
        }
    }

    /// Returns how many columns a line of progress may have.
    pub fn width(&self) -> usize {
        let size = if self.err_is_terminal { tty::size(io::stderr()).ok() } else { None };
        size.map_or(COLUMNS_DEFAULT, |size| usize::from(size.columns)).clamp(COLUMNS_MIN, 240)
    }
}

/// Returns how wide the terminal of the results is; COLUMNS says so where somebody set it.
fn columns_of_process() -> usize {
    let set = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse::<usize>().ok());
    let size = || tty::size(io::stdout()).ok().map(|size| usize::from(size.columns)).filter(|columns| *columns > 0);
    set.or_else(size).unwrap_or(COLUMNS_DEFAULT).max(COLUMNS_MIN)
}

/// NO_COLOR (no-color.org), CLICOLOR_FORCE (bixense.com/clicolors) and TERM=dumb count where the flag leaves it open.
fn wants_colour(wish: Colour, is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty() && value != "0");
    match wish {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto if variable("NO_COLOR").is_some_and(|value| !value.is_empty()) => false,
        Colour::Auto if is_set("CLICOLOR_FORCE") => true,
        Colour::Auto => is_terminal && variable("TERM").is_none_or(|term| term != "dumb"),
    }
}

/// Is a piece of memory that takes output and can be read afterwards.
#[derive(Debug, Clone, Default)]
pub struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    /// Returns what was written.
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_over_the_environment_and_the_environment_over_the_terminal() {
        let with =
            |name: &'static str, value: &'static str| move |asked: &str| (asked == name).then(|| value.to_owned());
        assert!(wants_colour(Colour::Always, false, with("NO_COLOR", "1")));
        assert!(!wants_colour(Colour::Auto, true, with("NO_COLOR", "1")));
        assert!(wants_colour(Colour::Auto, false, with("CLICOLOR_FORCE", "1")));
        assert!(!wants_colour(Colour::Auto, true, with("TERM", "dumb")));
        assert!(wants_colour(Colour::Auto, true, with("X", "")));
        assert!(!wants_colour(Colour::Auto, false, with("X", "")));
    }

    #[test]
    fn quiet_leaves_notes_out_and_errors_in() {
        let (out, err) = (Buffer::default(), Buffer::default());
        let mut screen = Screen::of_buffers(out.clone(), err.clone());
        screen.quiet = true;
        screen.note("n");
        screen.progress("p");
        screen.alarm("error: e\n");
        screen.line("r").unwrap();
        assert_eq!((out.text().as_str(), err.text().as_str()), ("r\n", "error: e\n"));
    }
}
