//! Reads: from the daemon, or from the recorded state where none runs.

use std::num::NonZeroU64;

use clap::Args;
use serde_json::Value;

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::moment;
use super::offline;
use super::output::{self, Cell, Listing, Look, Recorded, Tabular, table};
use crate::api::client::{ClientError, Target};
use crate::types::Timestamp;

/// Is what every read takes.
#[derive(Debug, Clone, Default, Args)]
pub struct ReadOptions {
    /// Show how it was then: a time (2026-11-20 08:00, or RFC 3339), a span ago (2h), or a position in the log
    #[arg(long, value_name = "TIME|SPAN|POSITION", help_heading = "Read options", allow_hyphen_values = true)]
    pub as_of: Option<String>,
}

/// Is an answer with where it comes from.
#[derive(Debug)]
pub struct Answer {
    /// The document.
    pub value: Value,
    /// That it was read without the daemon, if so.
    pub recorded: Option<Recorded>,
}

/// Asks the daemon, or the recorded state if none runs.
///
/// # Errors
/// The daemon refuses, or no daemon runs and the state cannot be read either.
pub fn fetch(context: &Context<'_>, target: &Target) -> Result<Answer, Failure> {
    let asked = context.client().and_then(|client| Ok(context.block_on(client.get::<Value>(target))?));
    match asked {
        Ok(value) => Ok(Answer { value, recorded: None }),
        Err(failure) if failure.is_down() => offline::answer(context, target).unwrap_or(Err(failure)),
        Err(failure) => Err(failure),
    }
}

/// Prints a list; `summary` is the line below a table.
///
/// # Errors
/// As [`fetch`], or nobody reads.
pub fn list<T: Tabular>(
    context: &mut Context<'_>,
    options: &ReadOptions,
    target: Target,
    summary: impl FnOnce(&[T]) -> String,
) -> Result<Exit, Failure> {
    let (target, look) = at_moment(context, options, target)?;
    let answer = fetch(context, &target)?;
    let listing = Listing { document: answer.value, recorded: answer.recorded };
    output::list(&mut context.screen, context.format, look, &listing, summary)?;
    note_moment(context, options, look)
}

/// Says below a list that it has no more rows because nobody named another limit.
pub fn cut(shown: usize, most: usize, limit: Option<NonZeroU64>) -> Option<String> {
    let is_cut = limit.is_none() && shown >= most;
    is_cut.then(|| {
        format!("The newest {most} are shown, the most without --limit. More: the same with --limit {}", most * 10)
    })
}

/// Adds the moment that is looked at to the question; ages are told as of then.
fn at_moment(context: &Context<'_>, options: &ReadOptions, target: Target) -> Result<(Target, Look), Failure> {
    let now = context.look();
    let Some(text) = &options.as_of else { return Ok((target, now)) };
    let text = moment::with_zone(text, now.now());
    let then = match moment::of(&text, now.now()) {
        Some(then) => Some(then),
        None if text.parse::<u64>().is_ok() => recorded_at(context, &text),
        None => None, // Whoever answers says what is wrong with it.
    };
    Ok((target.query("as_of", &text), then.map_or(now, Look::at)))
}

/// A position that is not there is told by the answer to the question itself.
fn recorded_at(context: &Context<'_>, position: &str) -> Option<Timestamp> {
    let event = fetch(context, &Target::new("/v1/events").segment(position)).ok()?;
    serde_json::from_value(event.value.get("recorded_at")?.clone()).ok()
}

fn note_moment(context: &mut Context<'_>, options: &ReadOptions, look: Look) -> Result<Exit, Failure> {
    if options.as_of.is_some() && context.format.is_for_people() {
        context.screen.line(&format!("as of {}", look.full(look.now())))?;
    }
    Ok(Exit::Done)
}

/// Prints one thing; `describe` gives a heading and the labelled values for people.
///
/// # Errors
/// As [`fetch`], or nobody reads.
pub fn show<T: serde::de::DeserializeOwned>(
    context: &mut Context<'_>,
    options: &ReadOptions,
    target: Target,
    describe: impl FnOnce(&T, output::Look) -> (String, Vec<(&'static str, Cell)>),
) -> Result<Exit, Failure> {
    let (target, look) = at_moment(context, options, target)?;
    let answer = fetch(context, &target)?;
    if output::one(&mut context.screen, context.format, item(&answer.value), answer.recorded)? {
        return Ok(Exit::Done);
    }
    let row: T = output::row(item(&answer.value).clone())?;
    let (heading, pairs) = describe(&row, look);
    context.screen.line(&heading)?;
    let text = table::details(&pairs, context.screen.colour, context.screen.room);
    context.screen.write(&text)?;
    output::note_recorded(&mut context.screen, look, answer.recorded)?;
    note_moment(context, options, look)
}

/// Returns the thing inside an envelope, or the document itself where there is none.
pub fn item(document: &Value) -> &Value {
    document.get("item").filter(|item| item.is_object()).unwrap_or(document)
}

/// Copies a stream of bytes to standard output until it ends; Ctrl-C ends it too.
///
/// # Errors
/// The daemon refuses, the connection breaks, nobody reads.
pub fn copy(context: &mut Context<'_>, target: &Target) -> Result<Exit, Failure> {
    let client = context.client()?;
    let runtime = context.runtime();
    runtime.block_on(async {
        let mut stream = client.bytes(target).await?;
        loop {
            let piece = tokio::select! {
                piece = stream.next() => piece?,
                _ = tokio::signal::ctrl_c() => return Ok(Exit::Detached),
            };
            let Some(piece) = piece else {
                context.screen.end_content()?;
                return Ok(Exit::Done);
            };
            context.screen.content(&piece)?;
        }
    })
}

/// Asks the daemon alone, for what is not recorded: keys, files of backups, doctor.
///
/// # Errors
/// No daemon runs, or it refuses.
pub fn ask<T: serde::de::DeserializeOwned>(context: &Context<'_>, target: &Target) -> Result<T, Failure> {
    let client = context.client()?;
    context.block_on(client.get(target)).map_err(|error: ClientError| error.into())
}
