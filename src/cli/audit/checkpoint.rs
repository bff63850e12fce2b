//! `berth audit checkpoint`: a signed note of where the log stands, to be kept elsewhere.

use std::path::PathBuf;

use clap::Args;

use crate::api::client::{ChangeHeaders, Target};
use crate::api::resources::CheckpointNote;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output;

/// Write a signed note of where the log stands
///
/// Whoever keeps it elsewhere can prove later that nothing before it was changed: berth audit verify --checkpoint.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth audit checkpoint --to /mnt/usb/berth.checkpoint\n  berth audit checkpoint > note"
)]
pub struct Arguments {
    /// The file, standard output by default
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    to: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = context.client()?;
    let target = Target::new("/v1/audit/checkpoint");
    let value = context.block_on(client.change(&target, &serde_json::json!({}), &ChangeHeaders::default()))?;
    if context.format.is_json() {
        context.screen.write(&output::json::document(&value))?;
        return Ok(Exit::Done);
    }
    let note: CheckpointNote = output::row(value)?;
    let Some(path) = &arguments.to else {
        context.screen.content(note.note.as_bytes())?;
        return Ok(Exit::Done);
    };
    std::fs::write(path, &note.note).map_err(|error| {
        Failure::new(Exit::Failed, "audit.checkpoint", format!("cannot write {}: {error}", path.display()))
    })?;
    context.screen.line(&path.display().to_string())?;
    Ok(Exit::Done)
}
