//! `berth node sweep-leftovers`: removes from this host what instances without a state directory left on it.

use clap::Args;
use serde_json::json;

use crate::cli::confirm;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Cell, Column, Listing, Look, Tabular, Tone};
use crate::cli::ports::{LeftInstance, LeftoverRow, Standing, Sweep};
use crate::types::terminal_safe;

/// Remove what dead instances left on this host
///
/// An instance is dead if its state directory is gone and no daemon of it runs. What it left (control groups with their
/// processes, bridges and ports, filter tables, forwarding, loop devices, folders below /run) is removed; no daemon is
/// needed. Nothing of an instance that lives is ever touched. One of which nobody knows where its state is, is listed and
/// only removed if it is named with --instance.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth node sweep-leftovers --dry-run\n  berth node sweep-leftovers -y\n  berth node sweep-leftovers --instance c0ffee00"
)]
pub struct Arguments {
    /// Only list what would be removed
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// This instance alone, also if nobody knows where its state is: eight hexadecimal digits
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
}

impl Tabular for LeftoverRow {
    const COLUMNS: &'static [Column] = &[
        Column::left("INSTANCE"),
        Column::left("KIND"),
        Column::left("NAME"),
        Column::left("OUTCOME"),
        Column::left("STATE DIRECTORY").wide(),
    ];

    fn cells(&self, _: Look) -> Vec<Cell> {
        let tone = match self.outcome.as_str() {
            "removed" => Tone::Good,
            _ => Tone::Warn,
        };
        vec![
            Cell::from(&self.instance),
            Cell::from(&self.kind),
            Cell::from(&self.name),
            Cell::toned(&self.outcome, tone),
            Cell::maybe(self.state.as_ref()),
        ]
    }
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    if !(context.ports.is_root)() {
        let failure = Failure::new(Exit::NotAllowed, "node.root", "only root sees and removes what instances left");
        return Err(failure.hinted("sudo berth node sweep-leftovers"));
    }
    let mut found = (context.ports.leftovers)(&context.state);
    found.retain(|left| arguments.instance.as_ref().is_none_or(|wanted| *wanted == left.instance));
    if let Some(wanted) = arguments.instance.as_ref().filter(|_| found.is_empty()) {
        let message = format!("the instance {wanted} has left nothing here, or it lives");
        return Err(
            Failure::new(Exit::NotFound, "instance.not-found", message).hinted("berth node sweep-leftovers --dry-run")
        );
    }
    let (swept, kept): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|left| left.standing == Standing::Dead || arguments.instance.is_some());
    if !arguments.dry_run && !swept.is_empty() {
        ask(context, &swept)?;
    }
    let mut rows = vec![];
    let mut ends = vec![];
    for left in &swept {
        let (exit, outcome) = if arguments.dry_run {
            (Exit::Done, "to be removed".to_owned())
        } else {
            match (context.ports.sweep)(&context.state, left) {
                Sweep::Removed => (Exit::Done, "removed".to_owned()),
                Sweep::Stays(reason) => (Exit::Failed, format!("stays: {reason}")),
            }
        };
        ends.push(exit);
        rows.extend(left.rows(&outcome));
    }
    rows.extend(
        kept.iter().flat_map(|left| left.rows("stays: nobody knows where its state is; name it with --instance")),
    );
    tell(context, &rows)?;
    Ok(Exit::sum(ends))
}

fn ask(context: &mut Context<'_>, swept: &[LeftInstance]) -> Result<(), Failure> {
    for left in swept {
        context.screen.alarm(&format!("{}\n", terminal_safe(&left.words())));
    }
    confirm::yes_or_no(context, "Remove all of it, and end the processes in it?")
}

fn tell(context: &mut Context<'_>, rows: &[LeftoverRow]) -> Result<(), Failure> {
    let look = context.look();
    let listing = Listing { document: json!({ "items": rows }), recorded: None };
    output::list(&mut context.screen, context.format, look, &listing, |rows: &[LeftoverRow]| match rows.len() {
        0 => "No instance has left anything here.".to_owned(),
        _ => String::new(),
    })
}
