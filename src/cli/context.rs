//! What every verb has at hand: where the state is, the daemon behind it, the screen, the form of output.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::CommandFactory as _;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::Exit;
use super::failure::Failure;
use super::output::{Format, Look};
use super::ports::Ports;
use super::root::{Global, Root};
use super::screen::Screen;
use super::usage;
use crate::api::client::{Client, STATE_OF_ROOT, Started, state_to_ask};

/// The variable that names the state directory.
pub const STATE_VARIABLE: &str = "BERTH_STATE";

/// Is what a command runs in.
pub struct Context<'a> {
    /// The state directory.
    pub state: PathBuf,
    /// The form of results.
    pub format: Format,
    /// Where they go.
    pub screen: Screen,
    /// What `main` handed in.
    pub ports: &'a Ports,
    /// Whether questions are answered with yes.
    pub yes: bool,
    /// Whether questions are refused.
    pub no_input: bool,
    /// How much is told beside the result.
    pub verbose: u8,
    words: &'a [String],
    runtime: Rc<Runtime>,
    interrupts: Option<Signal>,
    interrupted: bool,
}

impl<'a> Context<'a> {
    /// Makes the context of a command line, `words` as it was typed.
    ///
    /// # Errors
    /// The process may not even have a poll descriptor.
    pub fn new(global: &Global, words: &'a [String], screen: Screen, ports: &'a Ports) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, "cli.runtime", error.to_string()))?;
        Ok(Self {
            state: global.state.clone().unwrap_or_else(state_to_ask),
            format: global.format(),
            screen,
            ports,
            yes: global.yes,
            no_input: global.no_input,
            verbose: global.verbose,
            words,
            runtime: Rc::new(runtime),
            interrupts: None,
            interrupted: false,
        })
    }

    /// Returns the client of the daemon; whether it answers shows at the first request.
    ///
    /// # Errors
    /// No daemon has left its address in the state directory.
    pub fn client(&self) -> Result<Client, Failure> {
        Ok(Client::of_state(&self.state)?)
    }

    /// Returns the runtime, for work that also needs the screen.
    pub fn runtime(&self) -> Rc<Runtime> {
        Rc::clone(&self.runtime)
    }

    /// Runs asynchronous work to its end.
    pub fn block_on<F: Future>(&self, work: F) -> F::Output {
        self.runtime.block_on(work)
    }

    /// Keeps Ctrl-C from ending the process from here on: [`Context::until_interrupted`] tells of it, also of one that
    /// came before somebody asked.
    ///
    /// # Errors
    /// The kernel takes no handler.
    pub fn heed_interrupts(&mut self) -> Result<(), Failure> {
        let _inside = self.runtime.enter();
        if self.interrupts.is_none() {
            self.interrupts = Some(signal(SignalKind::interrupt())?);
        }
        Ok(())
    }

    /// Runs work to its end, or to a Ctrl-C: then there is no answer, and none to whatever is asked for after it.
    ///
    /// # Errors
    /// The kernel takes no handler.
    pub fn until_interrupted<T>(&mut self, work: impl AsyncFnOnce(&mut Screen) -> T) -> Result<Option<T>, Failure> {
        self.heed_interrupts()?;
        let Some(interrupts) = self.interrupts.as_mut().filter(|_| !self.interrupted) else { return Ok(None) };
        let screen = &mut self.screen;
        let answer = self.runtime.block_on(async {
            tokio::select! {
                answer = work(screen) => Some(answer),
                _ = interrupts.recv() => None,
            }
        });
        self.interrupted = answer.is_none();
        Ok(answer)
    }

    /// Returns the look of this moment.
    pub fn look(&self) -> Look {
        Look::at(self.ports.clock.now())
    }

    /// Returns a command of this tool as the user would type it for the same state directory.
    pub fn command(&self, rest: &str) -> String {
        let from_environment = std::env::var_os(STATE_VARIABLE).is_some_and(|value| Path::new(&value) == self.state);
        if from_environment || self.state == state_to_ask() {
            return format!("berth {rest}");
        }
        format!("berth --state {} {rest}", shell_quoted(&self.state.to_string_lossy()))
    }

    /// Tells an error and returns how the process ends.
    pub fn tell(&mut self, failure: Failure) -> Exit {
        let failure = match failure.exit() {
            Exit::NoDaemon => failure.hinted(self.how_to_start()),
            Exit::Usage => failure.or_help_of(&usage::path(&Root::command(), self.words)),
            _ => failure,
        };
        failure.tell(&mut self.screen, self.format.is_json())
    }

    fn how_to_start(&self) -> String {
        let unit = "systemctl start berth".to_owned();
        let is_of_unit = self.state == Path::new(STATE_OF_ROOT);
        let start = if is_of_unit { unit } else { self.command(&daemon_as_before(&self.state)) };
        if self.state.exists() {
            return format!("Start it:  {start}");
        }
        format!("There is no directory {}; a daemon would make it:  {start}", self.state.display())
    }
}

/// Returns the words that start the daemon of a state directory as it was started last.
fn daemon_as_before(state: &Path) -> String {
    let options = Started::of(state).unwrap_or_default().options();
    options.iter().fold("daemon".to_owned(), |words, option| format!("{words} {}", shell_quoted(option)))
}

/// Returns the text as one word of a POSIX shell.
pub fn shell_quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+,=".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_shell_would_change_is_quoted() {
        for (text, quoted) in
            [("web1", "web1"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("", "''"), ("web*", "'web*'")]
        {
            assert_eq!(shell_quoted(text), quoted);
        }
    }
}
