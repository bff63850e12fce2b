//! Changes: ask, wait, tell what came of it and how to take it back.
//!
//! Several targets are asked for one after the other and then waited for together, so that one Ctrl-C leaves all of
//! them to the daemon.

mod plan;
mod round;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::output::row;
use super::wait::WayOut;
use crate::api::client::{ChangeHeaders, Target};
use crate::api::resources::{DryRun, WaitOutcome};
use crate::projections::rows::OperationState;
use crate::types::{Size, Span, terminal_safe};

pub use plan::tell_plan;
use round::Round;

/// Is what everything takes that is recorded.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Change options")]
pub struct RecordOptions {
    /// Show what would be recorded, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Is what every change takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Change options")]
pub struct ChangeOptions {
    #[command(flatten)]
    record: RecordOptions,
    /// Print the operation's id and leave the work to the daemon
    #[arg(long)]
    pub no_wait: bool,
    /// Wait no longer than this (exit 9); the work goes on
    #[arg(long, value_name = "SPAN", allow_hyphen_values = true)]
    pub timeout: Option<Span>,
}

impl ChangeOptions {
    /// Says whether nothing is to be changed.
    pub fn is_dry_run(&self) -> bool {
        self.record.dry_run
    }
}

impl RecordOptions {
    /// Returns the headers of the request, with a fresh key.
    pub fn headers(&self) -> ChangeHeaders {
        ChangeHeaders { reason: self.reason.clone(), dry_run: self.dry_run, idempotency_key: None }.with_fresh_key()
    }
}

/// Is one change that is wanted.
#[derive(Debug, Clone)]
pub struct Change {
    target: Target,
    body: Value,
    subject: String,
    done: String,
    already: Option<&'static str>,
    undo: Option<String>,
    next: Option<String>,
    next_where: Option<(SaysSo, String)>,
    way_out: Option<WayOut>,
    ends_cancelled: bool,
    result: Option<(&'static str, Told)>,
}

/// Tells people what came of a change, from the row of what was made.
type Told = fn(&Value) -> Option<String>;
/// Says something of what was made, from its row.
type SaysSo = fn(&Value) -> bool;

impl Change {
    /// Makes a change of a thing; `done` is its past participle: `started`.
    pub fn new(target: Target, subject: impl Into<String>, done: impl Into<String>) -> Self {
        Self {
            target,
            body: json!({}),
            subject: subject.into(),
            done: done.into(),
            already: None,
            undo: None,
            next: None,
            next_where: None,
            way_out: None,
            ends_cancelled: false,
            result: None,
        }
    }

    /// Adds the body of the request.
    pub fn body(mut self, body: &impl Serialize) -> Self {
        self.body = serde_json::to_value(body).unwrap_or(Value::Null);
        self
    }

    /// Says in another word than that for the deed what it is where there was nothing to do.
    pub fn already(self, word: &'static str) -> Self {
        Self { already: Some(word), ..self }
    }

    /// Says that it is as asked when the operation ends as cancelled.
    pub fn ends_cancelled(self) -> Self {
        Self { ends_cancelled: true, ..self }
    }

    fn exit_of(&self, outcome: &WaitOutcome) -> Exit {
        let as_asked = self.ends_cancelled && outcome.state == OperationState::Cancelled;
        if as_asked { Exit::Done } else { Exit::of_operation(outcome) }
    }

    /// Adds the command that takes it back, without `berth`; `{id}` stands for the id of what was made.
    pub fn undo(mut self, command: impl Into<String>) -> Self {
        self.undo = Some(command.into());
        self
    }

    /// Names what can be done instead of calling it off, where that is not possible: a word and the command for it.
    pub fn way_out(mut self, word: &'static str, command: impl Into<String>) -> Self {
        self.way_out = Some((word, command.into()));
        self
    }

    /// Has the row of what was made read from this resource afterwards: it is part of the result, and `told` of the words.
    pub fn result(self, resource: &'static str, told: Told) -> Self {
        Self { result: Some((resource, told)), ..self }
    }

    /// Adds the command that comes next instead, where the row of the result says so.
    pub fn next_where(self, says_so: SaysSo, command: impl Into<String>) -> Self {
        Self { next_where: Some((says_so, command.into())), ..self }
    }

    /// Adds the command that is likely to come next, without `berth`.
    pub fn next(mut self, command: impl Into<String>) -> Self {
        self.next = Some(command.into());
        self
    }
}

/// Says whether a change would change anything, so that nobody is asked about what cannot be, or is so already. Nor is anybody
/// asked who said yes beforehand, or who only tries: then nothing is found out.
///
/// # Errors
/// What stands against it.
pub fn would_change(context: &Context<'_>, options: &ChangeOptions, change: &Change) -> Result<bool, Failure> {
    if context.yes || options.is_dry_run() {
        return Ok(false);
    }
    let headers = RecordOptions { dry_run: true, ..RecordOptions::default() }.headers();
    let client = context.client()?;
    let plan: DryRun = row(context.block_on(client.change(&change.target, &change.body, &headers))?)?;
    Ok(!plan.events.is_empty())
}

/// Asks for one change; see [`apply_all`].
///
/// # Errors
/// Nobody reads the result.
pub fn apply(context: &mut Context<'_>, options: &ChangeOptions, change: Change) -> Result<Exit, Failure> {
    apply_all(context, options, vec![change])
}

/// Asks for changes, waits for them, and prints what came of each.
///
/// # Errors
/// No daemon runs, or nobody reads the results. What the daemon refuses is told, and the other changes go on.
pub fn apply_all(context: &mut Context<'_>, options: &ChangeOptions, changes: Vec<Change>) -> Result<Exit, Failure> {
    let client = context.client()?;
    let mut round = Round::new(options, changes.len() > 1);
    let mut open = Vec::new();
    for change in changes {
        open.extend(round.begin(context, &client, &change)?.map(|accepted| (change, accepted)));
    }
    for (change, accepted) in open {
        round.finish(context, &client, &change, &accepted)?;
    }
    round.end(context)
}

/// Asks for changes one after the other, each when the one before is done, whether anybody reads of it or not. A dry run can
/// only tell of the first.
///
/// # Errors
/// As [`apply_all`].
pub fn apply_in_turn(
    context: &mut Context<'_>,
    options: &ChangeOptions,
    changes: Vec<Change>,
) -> Result<Exit, Failure> {
    let client = context.client()?;
    let mut round = Round::new(options, false);
    let (mut changes, mut read) = (changes.into_iter(), true);
    for change in changes.by_ref() {
        let Some(accepted) = round.begin(context, &client, &change)? else { break };
        match round.finish(context, &client, &change, &accepted) {
            Err(Failure::OutputClosed) => read = false,
            finished => finished?,
        }
        if round.ends.last() != Some(&Exit::Done) {
            break;
        }
    }
    if matches!(round.ends.last(), Some(Exit::Detached | Exit::Timeout)) {
        for change in changes {
            let told = format!("{}: nobody asked for it to be {} yet", change.subject, change.done);
            context.screen.alarm(&format!("{}\n", terminal_safe(&told)));
        }
    }
    let last = round.ends.last().copied().unwrap_or(Exit::Done);
    round.end(context)?;
    if read { Ok(last) } else { Err(Failure::OutputClosed) }
}

/// Returns a size as an option takes it, to the byte.
pub fn size_flag(size: Size) -> String {
    let bytes = size.as_bytes();
    let unit = [(40, "T"), (30, "G"), (20, "M"), (10, "K")]
        .into_iter()
        .find(|(shift, _)| bytes >= 1 << shift && bytes.is_multiple_of(1 << shift));
    unit.map_or_else(|| bytes.to_string(), |(shift, letter)| format!("{}{letter}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_written_to_the_byte() {
        for (bytes, flag) in [(1 << 30, "1G"), (1536 << 20, "1536M"), (1000, "1000"), (0, "0")] {
            assert_eq!(size_flag(Size::from_bytes(bytes)), flag);
            assert_eq!(flag.parse(), Ok(Size::from_bytes(bytes)));
        }
    }
}
