//! Reads: from the daemon, or from the recorded state where none runs.

use clap::Args;
use serde_json::Value;

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::offline;
use super::output::{self, Cell, Listing, Recorded, Tabular, table};
use crate::api::client::{ClientError, Target};

/// Is what every read takes.
#[derive(Debug, Clone, Default, Args)]
pub struct ReadOptions {
    /// Show how it was then: a time (RFC 3339), a span ago (2h), or a position in the log
    #[arg(long, value_name = "TIME|SPAN|POSITION", help_heading = "Read options")]
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
    let answer = fetch(context, &target.query_if("as_of", options.as_of.as_ref()))?;
    let listing = Listing { document: answer.value, recorded: answer.recorded };
    let look = context.look();
    output::list(&mut context.screen, context.format, look, &listing, summary)?;
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
    let answer = fetch(context, &target.query_if("as_of", options.as_of.as_ref()))?;
    if output::one(&mut context.screen, context.format, item(&answer.value), answer.recorded)? {
        return Ok(Exit::Done);
    }
    let look = context.look();
    let row: T = output::row(item(&answer.value).clone())?;
    let (heading, pairs) = describe(&row, look);
    context.screen.line(&heading)?;
    let text = table::details(&pairs, context.screen.colour);
    context.screen.write(&text)?;
    output::note_recorded(&mut context.screen, look, answer.recorded)?;
    Ok(Exit::Done)
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
            match piece {
                Some(piece) => context.screen.content(&piece)?,
                None => return Ok(Exit::Done),
            }
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
