//! `berth backup verify`.

use clap::Args;

use crate::api::client::Target;
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;

/// Read a backup again, to the last byte
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth backup verify web1@latest")]
pub struct Arguments {
    /// The backup: id, NAME@latest, or NAME@2 for two back
    #[arg(value_name = "NAME", add = complete::backups())]
    name: String,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let change =
        Change::new(Target::new("/v1/backups").segment(&arguments.name).segment("verify"), &arguments.name, "verified");
    change::apply(context, &arguments.options, change)
}
