//! `berth schedule disable`.

use clap::Args;

use crate::api::client::Target;
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;

/// Keep a schedule from firing
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth schedule disable nightly --reason holidays")]
pub struct Arguments {
    /// The schedule
    #[arg(value_name = "NAME", add = complete::schedules())]
    name: String,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let change = Change::new(
        Target::new("/v1/schedules").segment(&arguments.name).segment("disable"),
        &arguments.name,
        "disabled",
    )
    .undo(format!("schedule enable {name}", name = arguments.name));
    change::apply(context, &arguments.options, change)
}
