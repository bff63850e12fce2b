//! `berth template show`.

use clap::Args;

use crate::api::client::Target;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::templates;
use crate::cli::read::{self, ReadOptions};

/// Show a template: system, size, users, drift
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth template show debian")]
pub struct Arguments {
    /// The template
    #[arg(value_name = "NAME", add = complete::templates())]
    name: String,
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target = Target::new("/v1/templates").segment(&arguments.name);
    read::show(context, &arguments.options, target, templates::describe)
}
