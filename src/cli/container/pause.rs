//! `berth container pause`: freeze every process, keep the memory.

use clap::Args;

use super::targets::{self, Names};
use crate::cli::change::{self, ChangeOptions};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;

/// Freeze containers
///
/// Every process stands still and keeps its memory until resumed.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth container pause web1")]
pub struct Arguments {
    #[command(flatten)]
    targets: Names,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let names = arguments.targets.resolved(context)?;
    let change = |name: &String| targets::change(name, "pause", "paused").undo(format!("container resume {name}"));
    change::apply_all(context, &arguments.options, names.iter().map(change).collect())
}
