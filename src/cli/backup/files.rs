//! `berth backup files`: what is in a backup, template files included.

use clap::Args;

use crate::api::client::Target;
use crate::api::resources::BackupFile;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::read::{self, ReadOptions};
use crate::cli::usage::inside_path;

/// List the files of a backup
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth backup files web1@latest /etc\n  berth backup files b7f3a91c / -o name"
)]
pub struct Arguments {
    /// The backup: id, NAME@latest, or NAME@2 for two back
    #[arg(value_name = "BACKUP", add = complete::backups())]
    backup: String,
    /// Only those below this path, as it is or as it is shown (\xe9 for a byte that is no UTF-8)
    #[arg(value_name = "PATH", value_parser = inside_path(), default_value = "/")]
    path: String,
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target = Target::new("/v1/backups").segment(&arguments.backup).segment("files").query("below", &arguments.path);
    read::list::<BackupFile>(context, &arguments.options, target, |rows| match rows.len() {
        0 => "No files there.".to_owned(),
        1 => "1 entry.".to_owned(),
        count => format!("{count} entries."),
    })
}
