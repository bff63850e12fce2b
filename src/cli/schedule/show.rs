//! `berth schedule show`.

use clap::Args;

use crate::api::client::Target;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::schedules;
use crate::cli::read::{self, ReadOptions};

/// Show a schedule and its last slots
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth schedule show nightly")]
pub struct Arguments {
    /// The schedule
    #[arg(value_name = "NAME", add = complete::schedules())]
    name: String,
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target = Target::new("/v1/schedules").segment(&arguments.name);
    read::show(context, &arguments.options, target, schedules::describe)
}
