//! `berth operation show`.

use clap::Args;

use crate::api::client::Target;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::operations;
use crate::cli::read::{self, ReadOptions};

/// Show an operation
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth operation show 7q2mabcd")]
pub struct Arguments {
    /// The operation, by id or its first characters
    #[arg(value_name = "NAME", add = complete::operations())]
    name: String,
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target = Target::new("/v1/operations").segment(&arguments.name);
    read::show(context, &arguments.options, target, operations::describe)
}
