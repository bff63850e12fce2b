//! `berth operation list`.

use std::num::NonZeroU64;

use clap::Args;

use crate::api::client::Target;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::operations::can_be_called_off;
use crate::cli::read::{self, ReadOptions};
use crate::projections::query::OPERATION_PAGE;
use crate::projections::rows::{OperationRow, RestoreRow};

/// List operations, newest first
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth operation list --open\n  berth op list --limit 50 -o jsonl")]
pub struct Arguments {
    /// Only those under way
    #[arg(long)]
    open: bool,
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true, help = format!("At most so many; without it {OPERATION_PAGE}"))]
    limit: Option<NonZeroU64>,
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target = Target::new("/v1/operations").flag("open", arguments.open).query_if("limit", arguments.limit);
    let unconfirmed = unconfirmed(context, arguments);
    read::list::<OperationRow>(context, &arguments.options, target, |rows| {
        let none = match rows.len() {
            0 if arguments.open => Some("Nothing is under way.".to_owned()),
            0 => Some("No operations.".to_owned()),
            _ => None,
        };
        let open = rows.iter().find(|row| !row.state.is_over()).map(|row| {
            let id = row.id.short();
            let or = if can_be_called_off(row) { format!(", or: berth operation cancel {id}") } else { String::new() };
            format!("Under way: berth operation wait {id}{or}")
        });
        let cut = read::cut(rows.len(), OPERATION_PAGE, arguments.limit);
        none.into_iter().chain(cut).chain(open).chain(unconfirmed).collect::<Vec<_>>().join("\n")
    })
}

/// Tells which restores in place keep files of before until somebody says what is to become of them.
fn unconfirmed(context: &Context<'_>, arguments: &Arguments) -> Vec<String> {
    if !context.format.is_for_people() || arguments.options.as_of.is_some() {
        return vec![];
    }
    let Ok(answer) = read::fetch(context, &Target::new("/v1/restores")) else { return vec![] };
    let rows: Vec<RestoreRow> = serde_json::from_value(answer.value["items"].clone()).unwrap_or_default();
    let line = |row: RestoreRow| {
        let (run, name) =
            (row.operation.short(), row.source_name.map_or_else(String::new, |name| format!(" of {name}")));
        format!(
            "Not confirmed: a restore in place{name}.\n  berth backup confirm {run}, or: berth backup roll-back {run}"
        )
    };
    rows.into_iter().filter(RestoreRow::waits).map(line).collect()
}
