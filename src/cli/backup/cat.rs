//! `berth backup cat`: the content of one file of a backup.

use clap::Args;

use crate::api::client::Target;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::read;
use crate::cli::usage::inside_path;

/// Print a file of a backup
///
/// The bytes go out unchanged to a pipe; on a terminal, control characters are shown instead of obeyed.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth backup cat web1@latest /etc/fstab\n  \
    berth backup cat web1@2 /var/lib/app/db.sqlite > db.sqlite")]
pub struct Arguments {
    /// The backup: id, NAME@latest, or NAME@2 for two back
    #[arg(value_name = "BACKUP", add = complete::backups())]
    backup: String,
    /// The file, as it is or as files shows it (\xe9 for a byte that is no UTF-8)
    #[arg(value_name = "PATH", value_parser = inside_path())]
    path: String,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target =
        Target::new("/v1/backups").segment(&arguments.backup).segment("content").query("path", &arguments.path);
    read::copy(context, &target)
}
