//! `berth template list`.

use clap::Args;

use crate::api::client::Target;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::read::{self, ReadOptions};
use crate::projections::rows::TemplateRow;

/// List templates
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth template list\n  berth tpl list -o wide")]
pub struct Arguments {
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    read::list::<TemplateRow>(context, &arguments.options, Target::new("/v1/templates"), |rows| match rows.len() {
        0 => "No templates. Make one:  berth template create host --from-host".to_owned(),
        _ => String::new(),
    })
}
