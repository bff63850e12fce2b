//! `berth backup confirm`: the end of a restore in place.

use clap::Args;

use crate::api::client::Target;
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::complete;
use crate::cli::confirm;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;

/// Keep what was restored in place
///
/// The files of before are removed. This cannot be taken back.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth backup confirm 7q2mabcd")]
pub struct Arguments {
    /// The restore, by the id that `berth backup restore` printed or that of its operation
    #[arg(value_name = "RUN", add = complete::unconfirmed())]
    run: String,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target = Target::new("/v1/restores").segment(&arguments.run).segment("confirm");
    let change = Change::new(target, format!("restore {}", arguments.run), "confirmed");
    if change::would_change(context, &arguments.options, &change)? {
        confirm::yes_or_no(context, "The files of before are removed. This cannot be taken back. Go on?")?;
    }
    change::apply(context, &arguments.options, change)
}
