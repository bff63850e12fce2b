//! `berth backup restore`: to a new container, in place, or some paths into a directory.

use std::path::PathBuf;

use clap::Args;

use crate::api::client::Target;
use crate::api::resources::{RestoreRequest, RestoreTo};
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::complete;
use crate::cli::confirm;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::template::create::absolute;

/// Restore a backup
///
/// In place, the files of now are kept until confirmed: berth backup confirm, or berth backup roll-back.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth backup restore web1@latest --to web1-test --start\n  \
    berth backup restore web1@2 --in-place\n  berth backup restore web1@latest --path /etc/nginx --into /root/old")]
pub struct Arguments {
    /// The backup: id, NAME@latest, or NAME@2 for two back
    #[arg(value_name = "BACKUP", add = complete::backups())]
    backup: String,
    #[command(flatten)]
    to: Destination,
    /// Only this path; may be given several times
    #[arg(long, value_name = "PATH", conflicts_with_all = ["to", "in_place"])]
    path: Vec<String>,
    /// Start it afterwards
    #[arg(long, conflicts_with = "into")]
    start: bool,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Says where to.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Destination {
    /// A new container of this name
    #[arg(long, value_name = "NEW")]
    to: Option<String>,
    /// The container it is of
    #[arg(long)]
    in_place: bool,
    /// A directory of the node
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    into: Option<PathBuf>,
}

impl Arguments {
    fn body(&self) -> Result<RestoreRequest, Failure> {
        let start = self.start.then_some(true);
        let paths = self.path.clone();
        Ok(match (&self.to.to, &self.to.into) {
            (Some(name), _) => {
                RestoreRequest { to: RestoreTo::New, name: Some(name.clone()), paths, into: None, start }
            }
            (_, Some(into)) => {
                RestoreRequest { to: RestoreTo::Directory, name: None, paths, into: Some(absolute(into)?), start: None }
            }
            _ => RestoreRequest { to: RestoreTo::InPlace, name: None, paths, into: None, start },
        })
    }
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let backup = &arguments.backup;
    let body = arguments.body()?;
    if body.to == RestoreTo::InPlace && !arguments.options.is_dry_run() {
        let question = format!(
            "Restore {backup} over the container it is of? It stops meanwhile, and its files of now are kept until confirmed."
        );
        confirm::yes_or_no(context, &question)?;
    }
    let target = Target::new("/v1/backups").segment(backup).segment("restore");
    let done = match (&body.to, &body.name, &body.into) {
        (RestoreTo::New, Some(name), _) => format!("restored to {name}"),
        (RestoreTo::Directory, _, Some(into)) => format!("restored into {into}"),
        _ => "restored in place".to_owned(),
    };
    let change = Change::new(target, backup, done).body(&body);
    let change = match (&body.to, &body.name) {
        (RestoreTo::New, Some(name)) => change.undo(format!("container delete {name}")),
        (RestoreTo::InPlace, _) => change.next("backup confirm {id}").undo("backup roll-back {id}"),
        _ => change,
    };
    change::apply(context, &arguments.options, change)
}
