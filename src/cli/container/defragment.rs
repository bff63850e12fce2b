//! `berth container defragment`: maintenance of one, several or all containers.

use clap::Args;

use crate::cli::change::ChangeOptions;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::maintenance::{self, Who};

/// Put the files on the disks of containers in order
///
/// Unused blocks go back to the host. The container may run meanwhile.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth container defragment web1 db1\n  berth container defragment --all --no-wait"
)]
pub struct Arguments {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    maintenance::ask(context, "defragment", "defragmented", &arguments.who, &arguments.options)
}
