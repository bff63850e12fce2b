//! `berth container undelete`: back from the grave.

use clap::Args;

use super::targets;
use crate::api::resources::UndeleteRequest;
use crate::cli::change::{self, ChangeOptions};
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;

/// Take deleted containers back
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth container undelete web1 'db*'\n  berth container undelete web1 --name web1-old\n  berth container undelete web1 --network none"
)]
pub struct Arguments {
    /// Containers by last name, id or quoted pattern ('web*')
    #[arg(required = true, value_name = "NAME", add = complete::graves())]
    containers: Vec<String>,
    /// The name it gets, its old one by default
    #[arg(long, value_name = "NEW")]
    name: Option<String>,
    /// The network it joins, or none; the one it was in by default
    #[arg(long, value_name = "NETWORK", add = complete::networks())]
    network: Option<String>,
    /// Its address there; auto takes the next free one
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let containers = targets::resolved_buried(context, &arguments.containers)?;
    if containers.len() > 1 && (arguments.name.is_some() || arguments.ip.is_some()) {
        return Err(Failure::usage("usage.conflict", "--name and --ip are for one container alone"));
    }
    let body = UndeleteRequest {
        name: arguments.name.clone(),
        network: arguments.network.clone(),
        address: arguments.ip.clone(),
    };
    let change = |container: &String| {
        let name = arguments.name.as_ref().unwrap_or(container);
        targets::change(container, "undelete", "taken back").body(&body).undo(format!("container delete {name}"))
    };
    change::apply_all(context, &arguments.options, containers.iter().map(change).collect())
}
