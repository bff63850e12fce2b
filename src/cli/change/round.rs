//! What comes of the changes of one command: each is asked for, waited for, told, and summed up.

use std::time::Duration;

use serde_json::{Value, json};

use super::plan::plan_text;
use super::{Change, ChangeOptions};
use crate::api::client::{Client, ClientError, Target};
use crate::api::resources::{Accepted, DryRun, WaitOutcome};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::look::took;
use crate::cli::output::{self, Format};
use crate::cli::read;
use crate::cli::wait::{self, Waited};
use crate::types::{Span, terminal_safe};

/// How long the answer to a request is waited for after a Ctrl-C.
const LEAVE_PATIENCE: Duration = Duration::from_secs(2);

/// Is what has come of the changes of one command so far.
pub(super) struct Round<'a> {
    options: &'a ChangeOptions,
    several: bool,
    pub(super) ends: Vec<Exit>,
    documents: Vec<Value>,
}

impl<'a> Round<'a> {
    /// Begins a round; of `several` targets each refusal says which one it is about.
    pub(super) fn new(options: &'a ChangeOptions, several: bool) -> Self {
        Self { options, several, ends: Vec::new(), documents: Vec::new() }
    }

    /// Asks; nothing if it was refused or only tried.
    pub(super) fn begin(
        &mut self,
        context: &mut Context<'_>,
        client: &Client,
        change: &Change,
    ) -> Result<Option<Accepted>, Failure> {
        match ask(context, client, self.options, change) {
            Ok(answer) if self.options.is_dry_run() => self.dry_run(context, change, answer).map(|()| None),
            Ok(answer) => {
                let accepted: Accepted = output::row(answer)?;
                for words in &accepted.warnings {
                    let told = format!("warning: {}: {words}", change.subject);
                    context.screen.alarm(&format!("{}\n", terminal_safe(&told)));
                }
                Ok(Some(accepted))
            }
            Err(failure) => {
                let failure = if self.several { failure.about(&change.subject) } else { failure };
                self.ends.push(context.tell(failure));
                Ok(None)
            }
        }
    }

    pub(super) fn end(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
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

    pub(super) fn finish(
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
            Ok(Waited::Over(outcome, elapsed)) => {
                self.over(context, change, accepted, &outcome, lasted(&outcome, elapsed))?;
                let made = result(context, client, change, accepted);
                if matches!(self.ends.last(), Some(Exit::Done | Exit::Partly)) {
                    Self::follow_up(context, change, accepted, made.as_ref())?;
                }
                self.told(context, change, made)
            }
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
        if accepted.events.is_empty() && accepted.warnings.is_empty() {
            let already = change.already.unwrap_or(&change.done);
            let told = format!("{}: already {already}; nothing was changed", change.subject);
            return Ok(context.screen.line(&told)?);
        }
        context.screen.line(&format!("{}: {}", change.subject, change.done))?;
        Self::follow_up(context, change, accepted, None)
    }

    fn over(
        &mut self,
        context: &mut Context<'_>,
        change: &Change,
        accepted: &Accepted,
        outcome: &WaitOutcome,
        elapsed: Span,
    ) -> Result<(), Failure> {
        let exit = change.exit_of(outcome);
        self.ends.push(exit);
        self.keep(change, accepted, Some(outcome));
        let unsaid = if outcome.state == super::OperationState::Cancelled {
            "it was called off"
        } else {
            "no reason was recorded"
        };
        let reason = outcome.reason.as_deref().unwrap_or(unsaid);
        wait::tell_members(context, outcome)?;
        if exit != Exit::Done && exit != Exit::Partly {
            let code = outcome.cause.as_ref().and_then(|cause| cause.code.clone());
            let code = code.unwrap_or_else(|| format!("operation.{}", outcome.state));
            let show = context.command(&format!("operation show {}", accepted.operation));
            let failure = Failure::new(exit, &code, format!("{}: {reason}", change.subject));
            context.tell(failure.hinted(format!("What happened:  {show}")));
            return Ok(());
        }
        if !context.format.is_for_people() {
            return Ok(());
        }
        let exceptions = if exit == Exit::Partly { format!(", but for: {reason}") } else { String::new() };
        let counted = outcome.counted().map_or(String::new(), |words| format!(": {words}"));
        let done = format!("{} in {}{counted}{exceptions}", change.done, took(elapsed));
        context.screen.line(&format!("{}: {done}", change.subject))?;
        for warning in &outcome.warnings {
            context.screen.note(&format!("warning: {}: {warning}", change.subject));
        }
        Ok(())
    }

    /// Tells what is to be told of what was made.
    fn told(&mut self, context: &mut Context<'_>, change: &Change, made: Option<Value>) -> Result<(), Failure> {
        let (Some((_, told)), Some(row)) = (change.result, made) else { return Ok(()) };
        if let Some(words) = told(&row).filter(|_| context.format.is_for_people()) {
            context.screen.line(&words)?;
        }
        if let Some(document) = self.documents.last_mut() {
            document["result"] = row;
        }
        Ok(())
    }

    fn follow_up(
        context: &mut Context<'_>,
        change: &Change,
        accepted: &Accepted,
        made: Option<&Value>,
    ) -> Result<(), Failure> {
        let other = change.next_where.as_ref().filter(|(says_so, _)| made.is_some_and(says_so));
        let next = other.map(|(_, command)| command).or(change.next.as_ref());
        for (word, command) in [("Next", next), ("Undo", change.undo.as_ref())] {
            if let Some(command) = command.filter(|_| !context.screen.quiet && context.format.is_for_people()) {
                let command = command.replace("{id}", &accepted.id);
                let commands: Vec<String> = command.split(" && ").map(|one| context.command(one)).collect();
                context.screen.line(&format!("{word}: {}", commands.join(" && ")))?;
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
        let operation = accepted.operation.short();
        let out = change.way_out.clone().unwrap_or_else(|| wait::call_off(&operation));
        wait::left(context, &change.subject, &operation, &out, exit);
        Ok(())
    }

    fn keep(&mut self, change: &Change, accepted: &Accepted, outcome: Option<&WaitOutcome>) {
        let is_done = |outcome| matches!(change.exit_of(outcome), Exit::Done | Exit::Partly);
        let mut document = json!({
            "schema": "berth.change/v1", "id": accepted.id, "name": accepted.name, "stream": accepted.stream,
            "operation": accepted.operation, "done": accepted.done || outcome.is_some_and(is_done),
            "events": accepted.events, "repeated": accepted.repeated,
        });
        if !accepted.warnings.is_empty() {
            document["warnings"] = json!(accepted.warnings);
        }
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

/// Reads what was made, where the change has it read; without an answer the change is done all the same.
fn result(context: &Context<'_>, client: &Client, change: &Change, accepted: &Accepted) -> Option<Value> {
    let (resource, _) = change.result?;
    let target = Target::new(resource).segment(&accepted.id);
    let answer = context.block_on(client.get::<Value>(&target)).ok()?;
    Some(read::item(&answer).clone())
}

/// Returns how long an operation took. Of several the later ones were over before anybody looked at them.
fn lasted(outcome: &WaitOutcome, watched: Span) -> Span {
    let recorded = outcome.opened_at.zip(outcome.closed_at);
    recorded.map_or(watched, |(opened, closed)| closed.since(opened))
}

/// Sends the request once more with the same key when the connection breaks: then it is still one request.
fn ask(context: &mut Context<'_>, client: &Client, options: &ChangeOptions, change: &Change) -> Result<Value, Failure> {
    let headers = options.record.headers();
    if context.verbose > 0 {
        context.screen.note(&format!("POST {} {}", change.target, change.body));
    }
    match answer(context, client.change(&change.target, &change.body, &headers))? {
        Err(ClientError::Broken(_)) => Ok(answer(context, client.change(&change.target, &change.body, &headers))??),
        other => Ok(other?),
    }
}

/// Waits for an answer, for a moment also over a Ctrl-C: whoever leaves is to know what was begun.
fn answer<T>(context: &mut Context<'_>, asked: impl Future<Output = T>) -> Result<T, Failure> {
    let mut asked = std::pin::pin!(asked);
    if let Some(answer) = context.until_interrupted(async |_| asked.as_mut().await)? {
        return Ok(answer);
    }
    let late = context.block_on(async { tokio::time::timeout(LEAVE_PATIENCE, asked).await });
    late.map_err(|_| {
        let told = "detached before the daemon answered; it may have begun with it or not";
        Failure::new(Exit::Detached, "change.unanswered", told.to_owned())
            .hinted(format!("Look:  {}", context.command("operation list")))
    })
}
