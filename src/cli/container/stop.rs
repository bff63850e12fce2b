//! `berth container stop`: in order, in time, or at once.

use clap::Args;

use super::targets::{self, Names};
use crate::api::resources::StopRequest;
use crate::cli::change::{self, ChangeOptions};
use crate::cli::confirm;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::types::Span;

/// Stop containers
///
/// Their init is asked to end, and killed when the grace is over.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth stop web1\n  berth container stop 'web*' --grace 2m -y\n  berth stop web1 --kill"
)]
pub struct Arguments {
    #[command(flatten)]
    targets: Names,
    /// How long init may take before it is killed, 30s by default
    #[arg(long, value_name = "SPAN", conflicts_with = "kill", allow_hyphen_values = true)]
    grace: Option<Span>,
    /// Kill it at once
    #[arg(long)]
    kill: bool,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let names = arguments.targets.resolved(context)?;
    if names.len() > 1 && !arguments.options.is_dry_run() {
        confirm::yes_or_no(context, &format!("Stop {} containers: {}?", names.len(), names.join(", ")))?;
    }
    let body = StopRequest { grace: arguments.grace.map(|span| span.to_string()), kill: arguments.kill };
    let change = |name: &String| {
        let done = if arguments.kill { "killed" } else { "stopped" };
        let change = targets::change(name, "stop", done).already("stopped").body(&body);
        let change = change.undo(format!("container start {name}"));
        change.way_out("Kill it now", format!("container stop {name} --kill"))
    };
    change::apply_all(context, &arguments.options, names.iter().map(change).collect())
}
