//! Changes: ask, wait, tell what came of it and how to take it back.
//!
//! Several targets are asked for one after the other and then waited for together, so that one Ctrl-C leaves all of
//! them to the daemon.

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::output::look::took;
use super::output::{self, Format};
use super::wait::{self, Waited};
use crate::api::client::{ChangeHeaders, Client, ClientError, Target};
use crate::api::resources::{Accepted, DryRun, WaitOutcome};
use crate::projections::rows::OperationState;
use crate::types::{Size, Span, terminal_safe};

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
    #[arg(long, value_name = "SPAN")]
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
    undo: Option<String>,
    next: Option<String>,
    ends_cancelled: bool,
}

impl Change {
    /// Makes a change of a thing; `done` is its past participle: `started`.
    pub fn new(target: Target, subject: impl Into<String>, done: impl Into<String>) -> Self {
        Self {
            target,
            body: json!({}),
            subject: subject.into(),
            done: done.into(),
            undo: None,
            next: None,
            ends_cancelled: false,
        }
    }

    /// Adds the body of the request.
    pub fn body(mut self, body: &impl Serialize) -> Self {
        self.body = serde_json::to_value(body).unwrap_or(Value::Null);
        self
    }

    /// Says that it is as asked when the operation ends as cancelled.
    pub fn ends_cancelled(self) -> Self {
        Self { ends_cancelled: true, ..self }
    }

    fn exit_of(&self, state: OperationState) -> Exit {
        let as_asked = self.ends_cancelled && state == OperationState::Cancelled;
        if as_asked { Exit::Done } else { Exit::of_operation(state) }
    }

    /// Adds the command that takes it back, without `berth`; `{id}` stands for the id of what was made.
    pub fn undo(mut self, command: impl Into<String>) -> Self {
        self.undo = Some(command.into());
        self
    }

    /// Adds the command that is likely to come next, without `berth`.
    pub fn next(mut self, command: impl Into<String>) -> Self {
        self.next = Some(command.into());
        self
    }
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
    let mut round = Round::new(options);
    let mut open = Vec::new();
    for change in changes {
        open.extend(round.begin(context, &client, &change)?.map(|accepted| (change, accepted)));
    }
    for (change, accepted) in open {
        round.finish(context, &client, &change, &accepted)?;
    }
    round.end(context)
}

/// Asks for changes one after the other, each when the one before is done. A dry run can only tell of the first.
///
/// # Errors
/// As [`apply_all`].
pub fn apply_in_turn(
    context: &mut Context<'_>,
    options: &ChangeOptions,
    changes: Vec<Change>,
) -> Result<Exit, Failure> {
    let client = context.client()?;
    let mut round = Round::new(options);
    for change in changes {
        match round.begin(context, &client, &change)? {
            Some(accepted) => round.finish(context, &client, &change, &accepted)?,
            None => break,
        }
        if round.ends.last() != Some(&Exit::Done) {
            break;
        }
    }
    let last = round.ends.last().copied().unwrap_or(Exit::Done);
    round.end(context).map(|_| last)
}

/// Returns a size as an option takes it, to the byte.
pub fn size_flag(size: Size) -> String {
    let bytes = size.as_bytes();
    let unit = [(40, "T"), (30, "G"), (20, "M"), (10, "K")]
        .into_iter()
        .find(|(shift, _)| bytes >= 1 << shift && bytes.is_multiple_of(1 << shift));
    unit.map_or_else(|| bytes.to_string(), |(shift, letter)| format!("{}{letter}", bytes >> shift))
}

/// Sends the request once more with the same key when the connection breaks: then it is still one request.
fn ask(context: &mut Context<'_>, client: &Client, options: &ChangeOptions, change: &Change) -> Result<Value, Failure> {
    let headers = options.record.headers();
    if context.verbose > 0 {
        context.screen.note(&format!("POST {} {}", change.target, change.body));
    }
    let first = context.block_on(client.change(&change.target, &change.body, &headers));
    match first {
        Err(ClientError::Broken(_)) => Ok(context.block_on(client.change(&change.target, &change.body, &headers))?),
        other => Ok(other?),
    }
}

/// Is what has come of the changes of one command so far.
struct Round<'a> {
    options: &'a ChangeOptions,
    ends: Vec<Exit>,
    documents: Vec<Value>,
}

impl<'a> Round<'a> {
    fn new(options: &'a ChangeOptions) -> Self {
        Self { options, ends: Vec::new(), documents: Vec::new() }
    }

    /// Asks; nothing if it was refused or only tried.
    fn begin(
        &mut self,
        context: &mut Context<'_>,
        client: &Client,
        change: &Change,
    ) -> Result<Option<Accepted>, Failure> {
        match ask(context, client, self.options, change) {
            Ok(answer) if self.options.is_dry_run() => self.dry_run(context, change, answer).map(|()| None),
            Ok(answer) => output::row(answer).map(Some),
            Err(failure) => {
                self.ends.push(context.tell(failure));
                Ok(None)
            }
        }
    }

    fn end(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        self.print_documents(context)?;
        Ok(Exit::sum(self.ends))
    }

    fn dry_run(&mut self, context: &mut Context<'_>, change: &Change, answer: Value) -> Result<(), Failure> {
        self.ends.push(Exit::Done);
        if context.format.is_for_people() {
            let plan: DryRun = output::row(answer)?;
            return Ok(context.screen.write(&plan_text(&change.subject, &plan))?);
        }
        self.documents.push(answer);
        Ok(())
    }

    fn finish(
        &mut self,
        context: &mut Context<'_>,
        client: &Client,
        change: &Change,
        accepted: &Accepted,
    ) -> Result<(), Failure> {
        let operation = accepted.operation.to_string();
        if accepted.done || self.options.no_wait || self.ends.contains(&Exit::Detached) {
            return self.unwaited(context, change, accepted);
        }
        match wait::wait(context, client, &operation, &change.subject, self.options.timeout) {
            Ok(Waited::Over(outcome, elapsed)) => self.over(context, change, accepted, &outcome, elapsed),
            Ok(Waited::Detached) => self.left(context, change, accepted, Exit::Detached),
            Ok(Waited::TimedOut) => self.left(context, change, accepted, Exit::Timeout),
            Err(failure) => {
                self.ends.push(context.tell(failure));
                Ok(())
            }
        }
    }

    /// Nothing is waited for: it was so already, it is done at once, or nobody wants to wait.
    fn unwaited(&mut self, context: &mut Context<'_>, change: &Change, accepted: &Accepted) -> Result<(), Failure> {
        self.ends.push(Exit::Done);
        self.keep(change, accepted, None);
        if !context.format.is_for_people() {
            return Ok(());
        }
        if !accepted.done {
            return Ok(context.screen.line(&accepted.operation.to_string())?);
        }
        if accepted.events.is_empty() {
            return Ok(context
                .screen
                .line(&format!("{}: already {}; nothing was changed", change.subject, change.done))?);
        }
        context.screen.line(&format!("{}: {}", change.subject, change.done))?;
        Self::follow_up(context, change, accepted)
    }

    fn over(
        &mut self,
        context: &mut Context<'_>,
        change: &Change,
        accepted: &Accepted,
        outcome: &WaitOutcome,
        elapsed: Span,
    ) -> Result<(), Failure> {
        let exit = change.exit_of(outcome.state);
        self.ends.push(exit);
        self.keep(change, accepted, Some(outcome));
        let reason = outcome.reason.as_deref().unwrap_or("no reason was recorded");
        if exit != Exit::Done && exit != Exit::Partly {
            let failure =
                Failure::new(exit, &format!("operation.{}", outcome.state), format!("{}: {reason}", change.subject))
                    .hinted(format!(
                        "What happened:  {}",
                        context.command(&format!("operation show {}", accepted.operation))
                    ));
            context.tell(failure);
            return Ok(());
        }
        if !context.format.is_for_people() {
            return Ok(());
        }
        let exceptions = if exit == Exit::Partly { format!(", but for: {reason}") } else { String::new() };
        context.screen.line(&format!("{}: {} in {}{exceptions}", change.subject, change.done, took(elapsed)))?;
        Self::follow_up(context, change, accepted)
    }

    fn follow_up(context: &mut Context<'_>, change: &Change, accepted: &Accepted) -> Result<(), Failure> {
        for (word, command) in [("Next", &change.next), ("Undo", &change.undo)] {
            if let Some(command) = command.as_ref().filter(|_| !context.screen.quiet) {
                let line = format!("{word}: {}", context.command(&command.replace("{id}", &accepted.id)));
                context.screen.line(&line)?;
            }
        }
        Ok(())
    }

    /// The wait is over before the work is.
    fn left(
        &mut self,
        context: &mut Context<'_>,
        change: &Change,
        accepted: &Accepted,
        exit: Exit,
    ) -> Result<(), Failure> {
        self.ends.push(exit);
        self.keep(change, accepted, None);
        wait::left(context, &change.subject, &accepted.operation.short(), exit);
        Ok(())
    }

    fn keep(&mut self, change: &Change, accepted: &Accepted, outcome: Option<&WaitOutcome>) {
        let mut document = json!({
            "schema": "berth.change/v1", "id": accepted.id, "name": accepted.name, "stream": accepted.stream,
            "operation": accepted.operation, "done": accepted.done || outcome.is_some(),
            "events": accepted.events, "repeated": accepted.repeated,
        });
        if let Some(outcome) = outcome {
            document["outcome"] = json!(outcome);
        }
        if let Some(undo) = &change.undo {
            document["undo"] = json!(format!("berth {}", undo.replace("{id}", &accepted.id)));
        }
        self.documents.push(document);
    }

    fn print_documents(&self, context: &mut Context<'_>) -> Result<(), Failure> {
        let format = context.format;
        if format.is_for_people() || self.documents.is_empty() {
            return Ok(());
        }
        if matches!(format, Format::Json | Format::Yaml) {
            let list = || json!({"schema": "berth.change.list/v1", "items": self.documents});
            let document = if let [document] = self.documents.as_slice() { document.clone() } else { list() };
            return Ok(context.screen.write(&output::structured(format, &document))?);
        }
        if format == Format::Csv {
            return Ok(context.screen.write(&output::csv::table(&self.documents))?);
        }
        for document in &self.documents {
            let text = match format {
                Format::Jsonl => output::json::line(document),
                _ if self.options.no_wait => output::json::plain(&document["operation"]),
                _ => format!("{}\n", output::name_of(document)),
            };
            context.screen.write(&text)?;
        }
        Ok(())
    }
}

/// Tells what a change that begins no operation would record.
///
/// # Errors
/// Nobody reads, or the answer is not what this version knows.
pub fn tell_plan(context: &mut Context<'_>, subject: &str, answer: Value) -> Result<Exit, Failure> {
    if !output::one(&mut context.screen, context.format, &answer, None)? {
        let plan: DryRun = output::row(answer)?;
        context.screen.write(&plan_text(subject, &plan))?;
    }
    Ok(Exit::Done)
}

/// The first commit is exact; what the plan expects after it is marked as such.
fn plan_text(subject: &str, plan: &DryRun) -> String {
    let mut lines = Vec::new();
    if plan.events.is_empty() {
        lines.push(format!("{subject}: it is so already; nothing would be recorded."));
    } else {
        lines.push(format!("{subject}: would be recorded:"));
        lines.extend(plan.events.iter().map(|fact| format!("  {}  {}", fact.kind, fact.sentence)));
        lines.extend(plan.expected.iter().map(|step| format!("  expected: {step}")));
        lines.push("Nothing was changed. Run it again without --dry-run to do it.".to_owned());
    }
    terminal_safe_lines(&lines)
}

fn terminal_safe_lines(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |text, line| text + &terminal_safe(line) + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::resources::RecordedFact;

    #[test]
    fn a_size_is_written_to_the_byte() {
        for (bytes, flag) in [(1 << 30, "1G"), (1536 << 20, "1536M"), (1000, "1000"), (0, "0")] {
            assert_eq!(size_flag(Size::from_bytes(bytes)), flag);
            assert_eq!(flag.parse(), Ok(Size::from_bytes(bytes)));
        }
    }

    #[test]
    fn a_plan_tells_the_exact_from_the_expected() {
        let fact = RecordedFact {
            kind: "StartRequested".into(),
            sentence: "start requested".into(),
            body: None,
            position: None,
        };
        let plan = DryRun { dry_run: true, events: vec![fact], expected: vec!["mount".into()] };
        let expected = "web1: would be recorded:\n  StartRequested  start requested\n  expected: mount\n\
                        Nothing was changed. Run it again without --dry-run to do it.\n";
        assert_eq!(plan_text("web1", &plan), expected);
    }
}
