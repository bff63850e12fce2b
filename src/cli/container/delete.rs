//! `berth container delete`: into a grave, from which it can come back.

use clap::Args;

use super::targets::{self, Names};
use crate::api::resources::DeleteRequest;
use crate::cli::change::{self, ChangeOptions};
use crate::cli::confirm;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::types::Span;

/// Delete containers; they can be taken back for a week
///
/// A deleted container keeps its files until its grave is over. Its history and its backups stay for good.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth container delete web1\n  berth container delete 'web*' -y\n  berth container delete web1 --grave 30d"
)]
pub struct Arguments {
    #[command(flatten)]
    targets: Names,
    /// How long it can be taken back, 7d by default; 0s is for good
    #[arg(long, value_name = "SPAN", allow_hyphen_values = true)]
    grave: Option<Span>,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let names = arguments.targets.resolved(context)?;
    if names.len() > 1 && !arguments.options.is_dry_run() {
        confirm::yes_or_no(context, &format!("Delete {} containers: {}?", names.len(), names.join(", ")))?;
    }
    let body = DeleteRequest { grave: arguments.grave.map(|span| span.to_string()) };
    let is_final = arguments.grave == Some(Span::default());
    let change = |name: &String| {
        let change = targets::change(name, "delete", if is_final { "deleted for good" } else { "deleted" }).body(&body);
        if is_final { change } else { change.undo(format!("container undelete {name}")) }
    };
    change::apply_all(context, &arguments.options, names.iter().map(change).collect())
}
