//! `berth event show`: one event with everything that is known of it.

use clap::Args;

use crate::api::client::Target;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::events;
use crate::cli::read::{self, ReadOptions};

/// Show an event: body, reason, who, from where, leaf hash
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth event show 48203\n  berth event show 48203 -o json")]
pub struct Arguments {
    /// Its position
    #[arg(value_name = "POSITION")]
    position: u64,
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target = Target::new("/v1/events").segment(arguments.position);
    read::show(context, &arguments.options, target, events::describe)
}
