//! `berth node confirm-clock`.

use clap::Args;

use crate::api::client::Target;
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;

/// Say that the clock of this machine is right
///
/// After the clock stepped nothing is deleted or caught up until then, unless a time service keeps it. Look at it first: date.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth node confirm-clock")]
pub struct Arguments {
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let change = Change::new(Target::new("/v1/node/confirm-clock"), "clock", "confirmed");
    change::apply(context, &arguments.options, change)
}
