//! `berth store create`: a directory that takes backups, and the key to it.

use std::path::PathBuf;

use clap::Args;

use super::recovery_key;
use crate::api::client::Target;
use crate::api::resources::CreateStore;
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::template::create::absolute;

/// Make a backup store in a directory
///
/// Backups are encrypted. The recovery key is printed once it is made: whoever has it can read the backups on
/// another machine, and without it, and without this machine, nobody can.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth store create main /srv/backup")]
pub struct Arguments {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// The directory, empty or not there yet
    #[arg(value_name = "PATH", value_hint = clap::ValueHint::DirPath)]
    path: PathBuf,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let name = &arguments.name;
    let body = CreateStore { name: name.clone(), path: absolute(&arguments.path)? };
    let change = Change::new(Target::new("/v1/stores"), name, "created").body(&body);
    let exit = change::apply(context, &arguments.options, change)?;
    let shown = exit == Exit::Done && !arguments.options.is_dry_run() && !arguments.options.no_wait;
    if shown && context.format.is_for_people() {
        recovery_key::print(context, name)?;
    }
    Ok(exit)
}
