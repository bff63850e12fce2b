//! What the tour prints, and what it reads out of answers.

use std::io::{self, Write as _};
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What is shown of a long answer.
const LINES_SHOWN: usize = 14;

/// Prints a line; a closed output is told, so that the tour can end in order.
pub(crate) fn say(words: &str) -> Result<(), String> {
    writeln!(io::stdout(), "{words}").map_err(|error| format!("nobody reads this: {error}"))
}

/// Prints the head of a chapter. That nobody reads shows at the next command.
pub(crate) fn title(words: &str) {
    let _ = say(&format!("\n== {words}"));
}

/// Prints the beginning of an answer.
pub(crate) fn say_some(answer: &str) -> Result<(), String> {
    answer.lines().take(LINES_SHOWN).try_for_each(say)?;
    match answer.lines().count().saturating_sub(LINES_SHOWN) {
        0 => Ok(()),
        more => say(&format!("… and {more} more lines")),
    }
}

/// Returns a word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@:=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}

/// Reads an answer in JSON.
pub(crate) fn json(output: &Output) -> Result<Value, String> {
    serde_json::from_slice(&output.stdout).map_err(|error| format!("no JSON: {error}"))
}

/// Counts the rows of an answer.
pub(crate) fn count(output: &Output) -> Result<usize, String> {
    Ok(json(output)?["items"].as_array().map_or(0, Vec::len))
}

/// Returns a value in words.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Finds the first value under that key, however deep.
pub(crate) fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(fields) => fields.get(key).or_else(|| fields.values().find_map(|inner| find(inner, key))),
        Value::Array(items) => items.iter().find_map(|inner| find(inner, key)),
        _ => None,
    }
}

/// Hears Ctrl-C, a closed terminal and the order to end. They are caught and not blocked: what is blocked here would stay
/// so in every program that is started, and a daemon that cannot be told to end never does.
pub(crate) struct Interrupts {
    runtime: Runtime,
    signals: [Signal; 3],
}

impl Interrupts {
    /// Begins to listen.
    pub(crate) fn listen() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let guard = runtime.enter();
        let signals =
            [signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?, signal(SignalKind::terminate())?];
        drop(guard);
        Ok(Self { runtime, signals })
    }

    /// Says whether one has come.
    pub(crate) fn have_come(&mut self) -> bool {
        let [interrupt, hangup, terminate] = &mut self.signals;
        self.runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => true,
                _ = hangup.recv() => true,
                _ = terminate.recv() => true,
                () = tokio::time::sleep(Duration::from_millis(1)) => false,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_heard_once_and_is_not_blocked() {
        let mut interrupts = Interrupts::listen().unwrap();
        assert!(!interrupts.have_come());
        berth::sys::process::kill(std::process::id() as i32, berth::sys::signal::HANGUP).unwrap();
        assert!((0..1_000).any(|_| interrupts.have_come()));
        assert!(!interrupts.have_come());
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        assert_eq!(blocked.trim().trim_start_matches('0'), "", "a program started here could not be told to end");
    }
}
