//! `berth maintenance list`.

use clap::Args;

use crate::api::client::Target;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::read::{self, ReadOptions};
use crate::projections::rows::MaintenanceRow;

/// List runs of maintenance and what they found
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth maintenance list\n  berth maintenance list --container web1 --action update-check -o json"
)]
pub struct Arguments {
    /// Only those on this container
    #[arg(long, value_name = "NAME", add = complete::containers())]
    container: Option<String>,
    /// Only those of this kind: defragment, update-check or verify
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target = Target::new("/v1/maintenance")
        .query_if("container", arguments.container.as_ref())
        .query_if("action", arguments.action.as_ref());
    read::list::<MaintenanceRow>(context, &arguments.options, target, |rows| match rows.len() {
        0 => "No runs of maintenance.".to_owned(),
        _ => String::new(),
    })
}
