//! `berth event list`, also `berth events`.

use std::num::NonZeroU64;

use clap::Args;

use super::filter::Filter;
use crate::api::client::Target;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::read::{self, ReadOptions};
use crate::projections::rows::EventRow;

/// List events, newest last
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth events --since 6h --container web1\n  berth event list --kind '*Failed' -o jsonl"
)]
pub struct Arguments {
    #[command(flatten)]
    filter: Filter,
    /// At most so many
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    limit: Option<NonZeroU64>,
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target =
        arguments.filter.on(Target::new("/v1/events"), context.look().now()).query_if("limit", arguments.limit);
    read::list::<EventRow>(context, &arguments.options, target, |rows| match rows.len() {
        0 => "No events.".to_owned(),
        _ => String::new(),
    })
}
