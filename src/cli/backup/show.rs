//! `berth backup show`.

use clap::Args;

use crate::api::client::Target;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::backups;
use crate::cli::read::{self, ReadOptions};

/// Show a backup
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth backup show web1@latest\n  berth backup show b7f3a91c -o json")]
pub struct Arguments {
    /// The backup: id, NAME@latest, or NAME@2 for two back
    #[arg(value_name = "NAME", add = complete::backups())]
    name: String,
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target = Target::new("/v1/backups").segment(&arguments.name);
    read::show(context, &arguments.options, target, backups::describe)
}
