//! `berth operation cancel`: call it off.

use clap::Args;

use crate::api::client::Target;
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;

/// Call an operation off
///
/// What it has done so far is taken back where that is possible.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth operation cancel 7q2mabcd --reason 'wrong store'")]
pub struct Arguments {
    /// The operation, by id or its first characters
    #[arg(value_name = "ID", add = complete::open_operations())]
    id: String,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target = Target::new("/v1/operations").segment(&arguments.id).segment("cancel");
    let change = Change::new(target, format!("operation {}", arguments.id), "called off");
    change::apply(context, &arguments.options, change.ends_cancelled())
}
