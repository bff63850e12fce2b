//! `berth container history`: what happened to it, in words.

use clap::Args;

use super::targets;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::read::{self, ReadOptions};
use crate::projections::rows::EventRow;

/// Tell what happened to a container, its sessions and its backups
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth container history web1\n  berth container history web1 -o jsonl")]
pub struct Arguments {
    /// The container, deleted ones too
    #[arg(value_name = "NAME", add = complete::containers())]
    name: String,
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target = targets::one(&arguments.name).segment("history");
    read::list::<EventRow>(context, &arguments.options, target, |rows| match rows.len() {
        0 => "No events.".to_owned(),
        _ => String::new(),
    })
}
