//! `berth store confirm-recovery-key`.

use clap::Args;

use crate::api::client::Target;
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;

/// Say that the recovery key is in a safe place
///
/// Until then, coverage warns. The key itself is shown by: berth store recovery-key.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth store confirm-recovery-key main")]
pub struct Arguments {
    /// The store
    #[arg(value_name = "NAME", add = complete::stores())]
    name: String,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let change = Change::new(
        Target::new("/v1/stores").segment(&arguments.name).segment("confirm-recovery-key"),
        &arguments.name,
        "confirmed to be in a safe place",
    );
    change::apply(context, &arguments.options, change)
}
