//! `berth schedule delete`.

use clap::Args;

use crate::api::client::Target;
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;

/// Delete a schedule; its backups stay
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth schedule delete nightly")]
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
        Target::new("/v1/schedules").segment(&arguments.name).segment("delete"),
        &arguments.name,
        "deleted",
    );
    change::apply(context, &arguments.options, change)
}
