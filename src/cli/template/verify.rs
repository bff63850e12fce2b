//! `berth template verify`.

use clap::Args;

use crate::api::client::Target;
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;

/// Compare a template with its digest
///
/// Every file is read. What differs is shown by: berth template show.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth template verify debian")]
pub struct Arguments {
    /// The template
    #[arg(value_name = "NAME", add = complete::templates())]
    name: String,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let change = Change::new(
        Target::new("/v1/templates").segment(&arguments.name).segment("verify"),
        &arguments.name,
        "verified",
    );
    change::apply(context, &arguments.options, change)
}
