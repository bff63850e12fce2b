//! `berth container start`: let them run.

use clap::Args;

use super::targets::{self, Names};
use crate::cli::change::{self, ChangeOptions};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;

/// Start containers
///
/// Several are started at the same time. One that runs already is left alone.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth start web1\n  berth container start 'web*' --reason 'back from maintenance'"
)]
pub struct Arguments {
    #[command(flatten)]
    targets: Names,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let names = arguments.targets.resolved(context)?;
    let change = |name: &String| targets::change(name, "start", "started").undo(format!("container stop {name}"));
    change::apply_all(context, &arguments.options, names.iter().map(change).collect())
}
