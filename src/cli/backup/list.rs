//! `berth backup list`.

use std::num::NonZeroU64;

use clap::Args;

use crate::api::client::Target;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::backups;
use crate::cli::read::{self, ReadOptions};

/// List backups, newest first
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth backup list web1\n  berth bk list --store offsite --limit 20 -o csv")]
pub struct Arguments {
    /// Only those of this container
    #[arg(value_name = "NAME", add = complete::containers())]
    container: Option<String>,
    /// Only those in this store
    #[arg(long, value_name = "STORE", add = complete::stores())]
    store: Option<String>,
    /// At most so many
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    limit: Option<NonZeroU64>,
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target = Target::new("/v1/backups")
        .query_if("container", arguments.container.as_ref())
        .query_if("store", arguments.store.as_ref())
        .query_if("limit", arguments.limit);
    read::list(context, &arguments.options, target, backups::summary)
}
