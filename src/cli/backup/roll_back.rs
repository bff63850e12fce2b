//! `berth backup roll-back`: the end of a restore in place, or of one that is stuck.

use clap::Args;

use crate::api::client::Target;
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::complete;
use crate::cli::confirm;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;

/// Take a restore in place back, or one that is stuck
///
/// The files of before the restore come back, what was written since is lost. A container that runs is stopped
/// for it and started again. A container that a stuck restore made is removed.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth backup roll-back 7q2mabcd")]
pub struct Arguments {
    /// The restore, by the id that `berth backup restore` printed or that of its operation
    #[arg(value_name = "RUN", add = complete::unconfirmed())]
    run: String,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target = Target::new("/v1/restores").segment(&arguments.run).segment("roll-back");
    let change = Change::new(target, format!("restore {}", arguments.run), "rolled back");
    if change::would_change(context, &arguments.options, &change)? {
        confirm::yes_or_no(
            context,
            "The files of before the restore come back, what was written since is lost. Go on?",
        )?;
    }
    change::apply(context, &arguments.options, change)
}
