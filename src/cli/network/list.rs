//! `berth network list`.

use clap::Args;

use crate::api::client::Target;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::read::{self, ReadOptions};
use crate::projections::rows::NetworkRow;

/// List networks
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth network list\n  berth net list -o wide")]
pub struct Arguments {
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    read::list::<NetworkRow>(context, &arguments.options, Target::new("/v1/networks"), |rows| match rows.len() {
        0 => "No networks. Make one:  berth network create default".to_owned(),
        _ => String::new(),
    })
}
