//! `berth store create`: a directory that takes backups, and the key to it.

use std::path::{Path, PathBuf};

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

/// Returns the whole path of a directory. What other tools take for a server or a bucket would be one of a strange name here.
fn directory(path: &Path) -> Result<String, Failure> {
    let text = path.to_string_lossy();
    let first = text.split('/').next().unwrap_or_default();
    if !first.contains(':') {
        return absolute(path);
    }
    let message = format!("{text} is no directory, and stores are only directories yet");
    let hint = format!("mount it, and name the directory; one of that very name is ./{text}");
    Err(Failure::usage("store.not-a-directory", message).hinted(hint))
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let name = &arguments.name;
    let path = directory(&arguments.path)?;
    let done = format!("created at {path}");
    let body = CreateStore { name: name.clone(), path };
    let change = Change::new(Target::new("/v1/stores"), name, done).body(&body);
    let exit = change::apply(context, &arguments.options, change)?;
    let shown = exit == Exit::Done && !arguments.options.is_dry_run() && !arguments.options.no_wait;
    if shown && context.format.is_for_people() {
        recovery_key::print(context, name)?;
    }
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_no_directory_is_refused_and_a_relative_one_made_whole() {
        for place in ["s3:bucket", "sftp:me@host:/srv", "rest:https://host/", "b2:bucket", "me@host:backup", "s3://x"] {
            assert!(directory(Path::new(place)).is_err(), "{place}");
        }
        let here = std::env::current_dir().unwrap();
        for (place, whole) in
            [("/srv/a:b", "/srv/a:b".into()), ("vault", here.join("vault")), ("./s3:x", here.join("s3:x"))]
        {
            assert_eq!(PathBuf::from(directory(Path::new(place)).unwrap()), whole);
        }
    }
}
