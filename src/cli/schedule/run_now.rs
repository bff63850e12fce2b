//! `berth schedule run-now`.

use clap::Args;

use crate::api::client::Target;
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;

/// Do now what a schedule does
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth schedule run-now nightly")]
pub struct Arguments {
    /// The schedule
    #[arg(value_name = "NAME", add = complete::schedules())]
    name: String,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let change =
        Change::new(Target::new("/v1/schedules").segment(&arguments.name).segment("run-now"), &arguments.name, "run");
    change::apply(context, &arguments.options, change)
}
