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
use crate::cli::usage::inside_path;
use crate::projections::rows::RestoreRow;
use crate::types::LeftOut;

/// Restore a backup
///
/// In a directory of the node the files belong to you, and what the node would obey is left out and counted: set-uid,
/// set-gid, capabilities, devices.
///
/// In place, the files of now are kept until confirmed: berth backup confirm, or berth backup roll-back.
#[derive(Debug, Args)]
#[command(
    override_usage = "berth backup restore [OPTIONS] <BACKUP>\n       <--to <NEW>|--in-place|--into <DIR>>",
    after_long_help = "Examples:\n  berth backup restore web1@latest --to web1-test --start\n  \
    berth backup restore web1@2 --in-place\n  berth backup restore web1@latest --path /etc/nginx --into /root/old"
)]
pub struct Arguments {
    /// The backup: id, NAME@latest, or NAME@2 for two back
    #[arg(value_name = "BACKUP", add = complete::backups())]
    backup: String,
    #[command(flatten)]
    to: Destination,
    /// Only this path, as it is or as files shows it; may be given several times
    #[arg(long, value_name = "PATH", value_parser = inside_path(), conflicts_with_all = ["to", "in_place"])]
    path: Vec<String>,
    /// Keep the numeric owners and access lists from inside; else the files are yours
    #[arg(long, conflicts_with_all = ["to", "in_place"])]
    keep_owners: bool,
    /// Keep set-uid, set-gid, capabilities, devices and security attributes, and the owners: this host will obey them
    #[arg(long, conflicts_with_all = ["to", "in_place"])]
    keep_privileges: bool,
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
        let (keep_owners, keep_privileges) = (self.keep_owners, self.keep_privileges);
        let wish = RestoreRequest {
            paths: self.path.clone(),
            start,
            keep_owners,
            keep_privileges,
            ..RestoreRequest::default()
        };
        Ok(match (&self.to.to, &self.to.into) {
            (Some(name), _) => RestoreRequest { to: RestoreTo::New, name: Some(name.clone()), ..wish },
            (_, Some(into)) => RestoreRequest { to: RestoreTo::Directory, into: Some(absolute(into)?), ..wish },
            _ => RestoreRequest { to: RestoreTo::InPlace, ..wish },
        })
    }
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let backup = &arguments.backup;
    let body = arguments.body()?;
    let target = Target::new("/v1/backups").segment(backup).segment("restore");
    let done = match (&body.to, &body.name, &body.into) {
        (RestoreTo::New, Some(name), _) => format!("restored to {name}"),
        (RestoreTo::Directory, _, Some(into)) => format!("restored into {into}"),
        _ => "restored in place".to_owned(),
    };
    let change = Change::new(target, backup, done).body(&body);
    let change = match (&body.to, &body.name) {
        (RestoreTo::New, Some(name)) => change.undo(format!("container delete {name}")),
        (RestoreTo::Directory, _) => change.result("/v1/restores", left_out),
        (RestoreTo::InPlace, _) => change.next("backup confirm {id}").undo("backup roll-back {id}".to_owned()),
        _ => change,
    };
    if body.to == RestoreTo::InPlace && change::would_change(context, &arguments.options, &change)? {
        let question = format!(
            "Restore {backup} over the container it is of? It stops for a moment, and its files of now are kept until confirmed."
        );
        confirm::yes_or_no(context, &question)?;
    }
    change::apply(context, &arguments.options, change)
}

/// Says what did not go along.
fn left_out(row: &serde_json::Value) -> Option<String> {
    let row: RestoreRow = serde_json::from_value(row.clone()).ok()?;
    let owners = LeftOut { access_lists: row.left_out.access_lists, ..LeftOut::default() };
    let privileges = LeftOut { access_lists: 0, ..row.left_out };
    let told = [
        (privileges, "This node would have obeyed it; --keep-privileges takes it along."),
        (owners, "--keep-owners takes it along."),
    ];
    let told = told.iter().filter(|(left_out, _)| !left_out.is_empty());
    let lines: Vec<_> = told.map(|(left_out, option)| format!("Left out: {left_out}. {option}")).collect();
    (!lines.is_empty()).then(|| lines.join(" "))
}
