//! `berth container purge`: for good, so the name has to be typed.

use clap::Args;

use super::targets;
use crate::cli::change::{self, ChangeOptions};
use crate::cli::complete;
use crate::cli::confirm;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;

/// Remove the files of deleted containers for good
///
/// This cannot be taken back. History and backups stay.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth container purge web1\n  berth container purge web1 -y --reason 'disk is full'"
)]
pub struct Arguments {
    /// Deleted containers by name or id
    #[arg(required = true, value_name = "NAME", add = complete::graves())]
    names: Vec<String>,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    if let Some(pattern) = arguments.names.iter().find(|name| name.contains(['*', '?'])) {
        let message = format!("what is gone for good is named one by one, and {pattern:?} is a pattern");
        return Err(Failure::usage("usage.pattern", message).hinted("berth ps --all"));
    }
    let changes: Vec<_> = arguments.names.iter().map(|name| targets::change(name, "purge", "purged")).collect();
    for (name, change) in arguments.names.iter().zip(&changes) {
        if change::would_change(context, &arguments.options, change)? {
            confirm::typed_name(context, &format!("The files of {name} will be gone for good."), name)?;
        }
    }
    change::apply_all(context, &arguments.options, changes)
}
