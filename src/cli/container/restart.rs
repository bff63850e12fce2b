//! `berth container restart`: stop and start in one operation.

use clap::Args;

use super::targets::{self, Names};
use crate::api::resources::RestartRequest;
use crate::cli::change::{self, ChangeOptions};
use crate::cli::confirm;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::types::Span;

/// Stop containers and start them again
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth container restart web1 --reason 'new kernel parameters'")]
pub struct Arguments {
    #[command(flatten)]
    targets: Names,
    /// How long init may take before it is killed, 30s by default
    #[arg(long, value_name = "SPAN", allow_hyphen_values = true)]
    grace: Option<Span>,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let names = arguments.targets.resolved(context)?;
    if names.len() > 1 && !arguments.options.is_dry_run() {
        confirm::yes_or_no(context, &format!("Restart {} containers: {}?", names.len(), names.join(", ")))?;
    }
    let body = RestartRequest { grace: arguments.grace.map(|span| span.to_string()) };
    let change = |name: &String| {
        let change = targets::change(name, "restart", "restarted").body(&body);
        change.way_out("Look at it", format!("container show {name}"))
    };
    change::apply_all(context, &arguments.options, names.iter().map(change).collect())
}
