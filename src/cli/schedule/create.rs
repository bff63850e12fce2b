//! `berth schedule create`: what is to be done by itself.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::selection::selection;
use crate::api::client::Target;
use crate::api::resources::{BackupMode, CreateSchedule, Selection};
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::read;
use crate::types::{CatchUp, CronExpression, Span, Window, Zone};

/// Make a schedule
///
/// When is told in the words of cron: minute, hour, day of month, month, day of week, or @daily and its like.
#[derive(Debug, Args)]
#[command(
    override_usage = "berth schedule create [OPTIONS] --cron <EXPRESSION> --action <ACTION>\n       --select <all|PATTERN|label:KEY=VALUE> <NAME>",
    after_long_help = "Examples:\n  \
    berth schedule create nightly --cron '30 2 * * *' --zone Europe/Berlin --action backup --select all\n  \
    berth schedule create weekly --cron '@weekly' --action update-check --select 'web*'\n  \
    berth schedule create tidy --cron '0 4 1 * *' --action defragment --select label:tier=db --window 01:00-06:00"
)]
pub struct Arguments {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// When, in the words of cron
    #[arg(long, value_name = "EXPRESSION")]
    cron: CronExpression,
    /// In which time zone, UTC by default
    #[arg(long, value_name = "ZONE", add = complete::zones())]
    zone: Option<Zone>,
    /// What
    #[arg(long, value_enum)]
    action: Action,
    /// For which containers: all, a quoted pattern ('web*'), or label:KEY=VALUE; may be given several times
    #[arg(long, value_name = "all|PATTERN|label:KEY=VALUE", required = true)]
    select: Vec<String>,
    /// What becomes of runs that were missed: none, once (default) or all
    #[arg(long, value_name = "none|once|all")]
    catch_up: Option<CatchUp>,
    /// Start each run late by up to this long, so that many schedules do not begin at once; none by default
    #[arg(long, value_name = "SPAN", allow_hyphen_values = true)]
    jitter: Option<Span>,
    /// The hours in which it may run
    #[arg(long, value_name = "FROM-TO")]
    window: Option<Window>,
    /// For a backup: into which store
    #[arg(long, value_name = "STORE", add = complete::stores())]
    store: Option<String>,
    /// For a backup: read everything again each time
    #[arg(long)]
    full: bool,
    /// How many containers at the same time
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    parallel: Option<u32>,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Is the word for what is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Back them up
    Backup,
    /// Put their disks in order
    Defragment,
    /// Ask what updates are pending
    UpdateCheck,
}

impl Arguments {
    fn body(&self, select: Selection) -> CreateSchedule {
        let action = match self.action {
            Action::Backup => "backup",
            Action::Defragment => "defragment",
            Action::UpdateCheck => "update-check",
        };
        CreateSchedule {
            name: self.name.clone(),
            cron: self.cron.to_string(),
            zone: self.zone.map(|zone| zone.to_string()),
            action: action.to_owned(),
            store: self.store.clone(),
            mode: self.full.then_some(BackupMode::Full),
            select,
            catch_up: self.catch_up.map(|way| way.to_string()),
            jitter: self.jitter.map(|span| span.to_string()),
            window: self.window.map(|window| window.to_string()),
            parallel: self.parallel,
        }
    }
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    if arguments.action != Action::Backup && (arguments.store.is_some() || arguments.full) {
        return Err(Failure::usage("usage.schedule", "--store and --full are for backups only"));
    }
    let name = &arguments.name;
    let select = selection(&arguments.select)?;
    note_who_is_not_there(context, &select);
    let body = arguments.body(select);
    let change = Change::new(Target::new("/v1/schedules"), name, "created")
        .body(&body)
        .next(format!("schedule next {name}"))
        .undo(format!("schedule delete {name}"));
    change::apply(context, &arguments.options, change)
}

/// A schedule may well be there before its containers; more often a name is mistyped.
fn note_who_is_not_there(context: &mut Context<'_>, select: &Selection) {
    let Selection::Names(patterns) = select else { return };
    for pattern in patterns {
        let found = read::ask::<Value>(context, &Target::new("/v1/containers").query("name", pattern));
        let is_empty = |found: &Value| found["items"].as_array().is_some_and(Vec::is_empty);
        if found.as_ref().is_ok_and(is_empty) {
            context.screen.note(&format!("note: no container fits {pattern:?} so far"));
        }
    }
}
