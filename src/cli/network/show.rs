//! `berth network show`.

use clap::Args;

use crate::api::client::Target;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::networks;
use crate::cli::read::{self, ReadOptions};

/// Show a network and who has which address
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth network show default")]
pub struct Arguments {
    /// The network
    #[arg(value_name = "NAME", add = complete::networks())]
    name: String,
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target = Target::new("/v1/networks").segment(&arguments.name);
    read::show(context, &arguments.options, target, networks::describe)
}
