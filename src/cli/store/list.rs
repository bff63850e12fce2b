//! `berth store list`.

use clap::Args;

use crate::api::client::Target;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::read::{self, ReadOptions};
use crate::projections::rows::StoreRow;
use crate::types::terminal_safe;

/// List backup stores
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth store list\n  berth store list -o json")]
pub struct Arguments {
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    read::list::<StoreRow>(context, &arguments.options, Target::new("/v1/stores"), |rows| match rows.len() {
        0 => "No stores. Make one:  berth store create main /srv/backup".to_owned(),
        _ => rows.iter().filter_map(trouble).collect::<Vec<_>>().join("\n"),
    })
}

fn trouble(row: &StoreRow) -> Option<String> {
    row.trouble.as_ref().map(|trouble| format!("{}: {}", row.name, terminal_safe(trouble)))
}
