//! `berth network create`: a bridge with a range of addresses.

use clap::Args;

use crate::api::client::Target;
use crate::api::resources::CreateNetwork;
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::types::Subnet;

/// Make a network
///
/// Containers join the network named default unless told otherwise.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth network create default\n  berth network create lab --subnet 10.40.0.0/24"
)]
pub struct Arguments {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// Its addresses; a range that is free on this host by default
    #[arg(long, value_name = "ADDRESS/LENGTH")]
    subnet: Option<Subnet>,
    /// Take the addresses although this host uses them: what is behind them is not reached any more
    #[arg(long, requires = "subnet")]
    force: bool,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let name = &arguments.name;
    let subnet = arguments.subnet.as_ref().map(ToString::to_string);
    let body = CreateNetwork { name: name.clone(), subnet, force: arguments.force };
    let change =
        Change::new(Target::new("/v1/networks"), name, "created").body(&body).undo(format!("network delete {name}"));
    change::apply(context, &arguments.options, change)
}
