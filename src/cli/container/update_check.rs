//! `berth container update-check`: maintenance of one, several or all containers.

use clap::Args;

use crate::cli::change::ChangeOptions;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::maintenance::{self, Who};

/// Ask the package managers inside containers what is pending
///
/// Nothing is installed. What was found is shown by: berth maintenance list.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth container update-check web1 db1\n  berth container update-check --all --no-wait"
)]
pub struct Arguments {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    maintenance::ask(context, "update-check", "checked for updates", &arguments.who, &arguments.options)
}
