//! `berth store show`.

use clap::Args;

use crate::api::client::Target;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::stores;
use crate::cli::read::{self, ReadOptions};

/// Show a backup store
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth store show main")]
pub struct Arguments {
    /// The store
    #[arg(value_name = "NAME", add = complete::stores())]
    name: String,
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target = Target::new("/v1/stores").segment(&arguments.name);
    read::show(context, &arguments.options, target, stores::describe)
}
