//! `berth schedule list`: with the next three runs of each.

use clap::Args;
use serde_json::Value;

use crate::api::client::Target;
use crate::api::resources::NextSlot;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Look};
use crate::cli::read::{self, ReadOptions};
use crate::projections::rows::{ScheduleRow, ScheduleState};

/// List schedules and their next three runs
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth schedule list\n  berth sch list -o json")]
pub struct Arguments {
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let mut names = Vec::new();
    let exit = read::list::<ScheduleRow>(context, &arguments.options, Target::new("/v1/schedules"), |rows| {
        names.extend(rows.iter().filter(|row| row.state == ScheduleState::Enabled).map(|row| row.name.to_string()));
        if rows.is_empty() { "No schedules.".to_owned() } else { String::new() }
    })?;
    if arguments.options.as_of.is_none() {
        names.iter().try_for_each(|name| print_next(context, name))?;
    }
    Ok(exit)
}

/// Says when it fires; nothing where that is not known, since the list itself is printed already.
fn print_next(context: &mut Context<'_>, name: &str) -> Result<(), Failure> {
    let target = Target::new("/v1/schedules").segment(name).segment("next").query("count", 3);
    let Ok(answer) = read::ask::<Value>(context, &target) else {
        return Ok(());
    };
    let listing = output::Listing { document: answer, recorded: None };
    let slots: Vec<NextSlot> = listing.rows()?;
    if !slots.is_empty() {
        let line = next_line(name, &slots, context.look());
        context.screen.line(&line)?;
    }
    Ok(())
}

fn next_line(name: &str, slots: &[NextSlot], look: Look) -> String {
    let times: Vec<String> = slots.iter().map(|slot| look.time(slot.at)).collect();
    format!("{name}: {}", times.join(" · "))
}
