//! `berth event follow`: as they happen, without a gap.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::filter::Filter;
use crate::api::client::{Client, ClientError, ServerEvent, Target};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Format, events};
use crate::projections::rows::EventRow;

const RETRY_EVERY: Duration = Duration::from_millis(500);

/// Print events as they happen
///
/// It goes on over a restart of the daemon, without a gap and without repeating. Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth event follow\n  berth event follow --after 48000 --container web1 -o jsonl"
)]
pub struct Arguments {
    #[command(flatten)]
    filter: Filter,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = context.client()?;
    let target = arguments.filter.on(Target::new("/v1/events/follow"), context.look().now());
    let runtime = context.runtime();
    runtime.block_on(async {
        tokio::select! {
            end = follow(context, &client, &target) => end,
            _ = tokio::signal::ctrl_c() => Ok(Exit::Detached),
        }
    })
}

/// The first connection has to come about; later ones are tried until they do.
async fn follow(context: &mut Context<'_>, client: &Client, target: &Target) -> Result<Exit, Failure> {
    let mut last_id: Option<String> = None;
    let mut stream = client.events(target, None).await?;
    loop {
        match stream.next().await {
            Ok(Some(event)) => {
                print(context, &event)?;
                last_id = event.id.or(last_id);
            }
            Ok(None) | Err(ClientError::Broken(_)) => {
                context.screen.note("the daemon went away; waiting for it to come back");
                stream = again(client, target, last_id.as_deref()).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn again(
    client: &Client,
    target: &Target,
    last_id: Option<&str>,
) -> Result<crate::api::client::EventStream, Failure> {
    loop {
        tokio::time::sleep(RETRY_EVERY).await;
        match client.events(target, last_id).await {
            Err(ClientError::Down | ClientError::Broken(_)) => {}
            other => return Ok(other?),
        }
    }
}

fn print(context: &mut Context<'_>, event: &ServerEvent) -> Result<(), Failure> {
    let Ok(value) = serde_json::from_str::<Value>(&event.data) else {
        return Ok(()); // A keep-alive, or what a newer daemon may say beside events.
    };
    if value.get("position").is_none() {
        return Ok(());
    }
    // A stream has no end, so JSON is a document a line here, YAML a document each, and CSV has no header.
    match context.format {
        Format::Json | Format::Jsonl => context.screen.write(&output::json::line(&value))?,
        Format::Yaml => {
            let document = output::structured(Format::Yaml, &value);
            context.screen.write(&format!("---\n{document}"))?;
        }
        Format::Csv => {
            let table = output::csv::table(std::slice::from_ref(&value));
            context.screen.write(table.split_once('\n').map_or("", |(_, row)| row))?;
        }
        Format::Name => context.screen.line(&output::name_of(&value))?,
        Format::Table | Format::Wide => {
            let row: EventRow = output::row(value)?;
            let line = events::line(&row, context.look());
            context.screen.line(&line)?;
        }
    }
    Ok(())
}
