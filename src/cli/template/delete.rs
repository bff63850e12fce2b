//! `berth template delete`.

use clap::Args;

use crate::api::client::Target;
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::complete;
use crate::cli::confirm;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::templates::needed;
use crate::cli::read;
use crate::projections::rows::TemplateRow;

/// Delete a template that nobody uses
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth template delete debian")]
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
        Target::new("/v1/templates").segment(&arguments.name).segment("delete"),
        &arguments.name,
        "deleted",
    );
    warn_of_backups(context, arguments, &change)?;
    change::apply(context, &arguments.options, change)
}

/// Says how many backups could not become containers any more, and asks; what is not found is told of by the change itself.
fn warn_of_backups(context: &mut Context<'_>, arguments: &Arguments, change: &Change) -> Result<(), Failure> {
    let target = Target::new("/v1/templates").segment(&arguments.name);
    let row = read::ask::<TemplateRow>(context, &target).ok();
    let Some(words) = row.as_ref().and_then(needed) else { return Ok(()) };
    if change::would_change(context, &arguments.options, change)? {
        return confirm::yes_or_no(context, &format!("{words} Delete it?"));
    }
    context.screen.note(&format!("note: {words}"));
    Ok(())
}
