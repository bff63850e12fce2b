//! `berth operation list`.

use clap::Args;

use crate::api::client::Target;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::read::{self, ReadOptions};
use crate::projections::rows::OperationRow;

/// List operations, newest first
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth operation list --open\n  berth op list --limit 50 -o jsonl")]
pub struct Arguments {
    /// Only those under way
    #[arg(long)]
    open: bool,
    /// At most so many
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    limit: Option<u64>,
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target = Target::new("/v1/operations").flag("open", arguments.open).query_if("limit", arguments.limit);
    read::list::<OperationRow>(context, &arguments.options, target, |rows| match rows.len() {
        0 if arguments.open => "Nothing is under way.".to_owned(),
        0 => "No operations.".to_owned(),
        _ => String::new(),
    })
}
