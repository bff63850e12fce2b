//! `berth container history`: what happened to it, in words.

use std::num::NonZeroU64;

use clap::Args;

use crate::api::client::Target;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::moment::with_zone;
use crate::cli::read::{self, ReadOptions};
use crate::projections::query::EVENT_PAGE_MAX;
use crate::projections::rows::EventRow;

/// The most events that the daemon tells at once.
const EVENTS_MAX: u64 = EVENT_PAGE_MAX as u64;

/// Tell what happened to a container, its sessions and its backups
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth container history web1\n  berth container history web1 --since 1d -o jsonl"
)]
pub struct Arguments {
    /// The container, deleted ones too
    #[arg(value_name = "NAME", add = complete::containers())]
    name: String,
    /// Only those since then: a time (2026-11-20 08:00, or RFC 3339) or a span ago (6h)
    #[arg(long, value_name = "TIME|SPAN", allow_hyphen_values = true)]
    since: Option<String>,
    /// Only the last so many
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    limit: Option<NonZeroU64>,
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let since = arguments.since.as_ref().map(|text| with_zone(text, context.look().now()));
    let target = Target::new("/v1/events")
        .query("container", &arguments.name)
        .query_if("since", since)
        .query("limit", arguments.limit.map_or(EVENTS_MAX, NonZeroU64::get));
    read::list::<EventRow>(context, &arguments.options, target, |rows| match rows.len() {
        0 => "No events.".to_owned(),
        EVENT_PAGE_MAX if arguments.limit.is_none() => {
            format!("The last {EVENT_PAGE_MAX}; there may be more before them.")
        }
        _ => String::new(),
    })
}
