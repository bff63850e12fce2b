//! `berth container show`: one container in full.

use clap::Args;

use super::targets;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::containers;
use crate::cli::read::{self, ReadOptions};

/// Show a container: state, limits, address, last backup
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth container show web1\n  berth container show web1 --as-of 2026-11-20T08:00:00Z"
)]
pub struct Arguments {
    /// The container
    #[arg(value_name = "NAME", add = complete::containers())]
    name: String,
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    read::show(context, &arguments.options, targets::one(&arguments.name), containers::describe)
}
