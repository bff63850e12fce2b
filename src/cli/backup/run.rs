//! `berth backup run`: now, of one, several or all containers.

use clap::Args;

use crate::api::client::Target;
use crate::api::resources::{BackupMode, RunBackup};
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::maintenance::Who;

/// Back containers up
///
/// A running container stands still only for the last part. What has not changed since the last backup is not read
/// again, and what the store has is not stored again.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth backup run web1 --note 'before the upgrade'\n  \
    berth backup run --all --store offsite\n  berth bk run web1 --full --no-wait")]
pub struct Arguments {
    #[command(flatten)]
    who: Who,
    /// Into which store; the only one by default
    #[arg(long, value_name = "STORE", add = complete::stores())]
    store: Option<String>,
    /// Read everything again
    #[arg(long)]
    full: bool,
    /// A word for later
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let who = &arguments.who;
    let body = RunBackup {
        containers: who.containers(context)?,
        all: who.all,
        store: arguments.store.clone(),
        mode: arguments.full.then_some(BackupMode::Full),
        note: arguments.note.clone(),
        parallel: who.parallel,
    };
    let look = if let [name] = body.containers.as_slice() {
        format!("backup list {name}")
    } else {
        "backup coverage".to_owned()
    };
    let change =
        Change::new(Target::new("/v1/backups"), who.subject(&body.containers), "backed up").body(&body).next(look);
    change::apply(context, &arguments.options, change)
}
