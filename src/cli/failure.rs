//! Why a command did not do what was asked: what, why, and the next command, in six lines at most.

use std::io;

use serde_json::json;

use super::exit::Exit;
use super::output::json::document;
use super::output::look::local;
use super::screen::Screen;
use crate::api::client::{ClientError, Problem};
use crate::types::terminal_safe;

/// The most lines an error has.
const LINES_MAX: usize = 6;

/// Is why a command ended early.
#[derive(Debug)]
pub enum Failure {
    /// Something to tell.
    Told(Box<Told>),
    /// Nobody reads what is written (EPIPE): the end, without a word.
    OutputClosed,
}

/// Is an error in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// How the process ends.
    pub exit: Exit,
    /// A stable code word such as `container.not-found`.
    pub code: String,
    /// What stands against it.
    pub message: String,
    /// What to do, a line each.
    pub hints: Vec<String>,
}

impl Failure {
    /// Makes an error.
    pub fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self::Told(Box::new(Told { exit, code: code.to_owned(), message: message.into(), hints: Vec::new() }))
    }

    /// Makes an error about the command line.
    pub fn usage(code: &str, message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, code, message)
    }

    /// Adds a line on what to do.
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        if let Self::Told(told) = &mut self {
            told.hints.push(hint.into());
        }
        self
    }

    /// Says of which of several things it is told, where its words do not.
    pub fn about(mut self, subject: &str) -> Self {
        if let Self::Told(told) = &mut self
            && !told.message.contains(&format!("{subject:?}"))
        {
            told.message = format!("{subject}: {}", told.message);
        }
        self
    }

    /// Adds where a command is explained, if the command line is at fault and nothing else says what to type.
    pub fn or_help_of(self, path: &str) -> Self {
        let is_open = matches!(&self, Self::Told(told) if told.exit == Exit::Usage && told.hints.is_empty());
        if is_open { self.hinted(format!("{path} --help")) } else { self }
    }

    /// Tells it and returns how the process ends.
    pub fn tell(self, screen: &mut Screen, as_json: bool) -> Exit {
        let exit = self.exit();
        if let Self::Told(told) = self {
            screen.alarm(&if as_json { told.json() } else { told.lines() });
        }
        exit
    }

    /// Returns how the process ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Told(told) => told.exit,
            Self::OutputClosed => Exit::Done,
        }
    }

    /// Says whether it is that no daemon runs.
    pub fn is_down(&self) -> bool {
        self.exit() == Exit::NoDaemon
    }
}

impl Told {
    /// Returns it as lines for a terminal.
    pub fn lines(&self) -> String {
        let message = local(&self.message);
        let mut message = message.lines();
        let mut text = format!("error: {}  [{}]\n", terminal_safe(message.next().unwrap_or_default()), self.code);
        let hints = self.hints.iter().flat_map(|hint| hint.lines());
        for line in message.chain(hints).take(LINES_MAX - 1) {
            text.extend(["  ", &terminal_safe(line), "\n"]);
        }
        text
    }

    /// Returns it as a JSON document, for `-o json`.
    pub fn json(&self) -> String {
        document(&json!({
            "schema": "berth.error/v1", "code": self.code, "detail": self.message,
            "hints": self.hints, "exit": self.exit.code(),
        }))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::Problem(problem) => refused(*problem),
            ClientError::Down => Self::new(Exit::NoDaemon, "daemon.down", message),
            ClientError::Forbidden { .. } => Self::new(Exit::NotAllowed, "daemon.forbidden", message)
                .hinted("Only root, and the group the socket belongs to, may talk to the daemon."),
            ClientError::Instance { .. } | ClientError::Foreign { .. } => {
                Self::new(Exit::Failed, "daemon.foreign", message).hinted("Are berth and its daemon of one version?")
            }
            ClientError::Broken(_) => Self::new(Exit::NoDaemon, "daemon.broken", message),
        }
    }
}

fn refused(problem: Problem) -> Failure {
    let by_status = match problem.status {
        400 | 405 | 422 => Exit::Usage,
        401 | 403 => Exit::NotAllowed,
        404 | 410 => Exit::NotFound,
        409 | 412 => Exit::Conflict,
        507 | 413 | 429 => Exit::Limit,
        _ => Exit::Failed,
    };
    let exit = problem.class.map_or(by_status, Exit::of_class);
    let failure = Failure::new(exit, &problem.code, problem.detail);
    match problem.hint {
        Some(hint) => failure.hinted(hint),
        None => failure,
    }
}

/// What is printed and cannot be: the reader is gone, or the disk behind it is full.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::new(Exit::Failed, "output", format!("cannot write the output: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_words_and_gets_its_exit_code() {
        let problem = Problem {
            status: 404,
            code: "container.not-found".into(),
            detail: "no container named \"wbe1\"".into(),
            hint: Some("did you mean web1?".into()),
            class: None,
        };
        let failure = Failure::from(ClientError::Problem(Box::new(problem)));
        assert_eq!(failure.exit(), Exit::NotFound);
        let Failure::Told(told) = failure else { panic!("it is told") };
        let expected = "error: no container named \"wbe1\"  [container.not-found]\n  did you mean web1?\n";
        assert_eq!(told.lines(), expected);
    }

    #[test]
    fn an_error_has_six_lines_at_most_and_cannot_move_the_cursor() {
        let failure = Failure::new(Exit::Failed, "x", "a\u{1b}[2J").hinted("1\n2\n3\n4\n5\n6\n7");
        let Failure::Told(told) = failure else { panic!("it is told") };
        assert_eq!(told.lines().lines().count(), 6);
        assert!(!told.lines().contains('\u{1b}'));
    }

    #[test]
    fn a_reader_that_left_is_no_error() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.exit(), Exit::Done);
    }
}
