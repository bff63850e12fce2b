//! `berth container rename`: another name, the same container.

use clap::Args;

use super::targets;
use crate::api::resources::RenameRequest;
use crate::cli::change::{self, ChangeOptions};
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::projections::rows::ContainerRow;

/// Give a container another name
///
/// The host name inside stays as it is; the command that changes it is told.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth container rename web1 shop")]
pub struct Arguments {
    /// The container
    #[arg(value_name = "NAME", add = complete::containers())]
    name: String,
    /// Its new name
    #[arg(value_name = "NEW")]
    new: String,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let change = targets::change(&arguments.name, "rename", &format!("renamed to {}", arguments.new))
        .body(&RenameRequest { name: arguments.new.clone() })
        .undo(format!("container rename {} {}", arguments.new, arguments.name));
    // Whoever gave it a host name of its own has no use for the new one.
    let same = |row: &ContainerRow| row.configuration.hostname.as_str() == row.name.as_str();
    let change = match targets::present(context, &arguments.name) {
        Ok(row) if same(&row) => change.next(format!("container set {0} --hostname {0}", arguments.new)),
        _ => change,
    };
    change::apply(context, &arguments.options, change)
}
