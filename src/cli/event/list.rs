//! `berth event list`, also `berth events`.

use std::num::NonZeroU64;

use clap::Args;

use super::filter::Filter;
use crate::api::client::Target;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::read::{self, ReadOptions};
use crate::projections::query::EVENT_PAGE;
use crate::projections::rows::EventRow;

/// List events, newest last
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth events --since 6h --container web1\n  berth event list --kind '*Failed' -o jsonl"
)]
pub struct Arguments {
    #[command(flatten)]
    filter: Filter,
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true, help = format!("At most so many; without it {EVENT_PAGE}"))]
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
        count if count >= EVENT_PAGE && arguments.limit.is_none() && arguments.filter.after.is_some() => {
            let last = rows.last().map(|row| row.position).unwrap_or_default();
            format!("The next {EVENT_PAGE} are shown, the most without --limit. More: --after {last}")
        }
        count => read::cut(count, EVENT_PAGE, arguments.limit).unwrap_or_default(),
    })
}
