//! `berth container logs`: what its console printed.

use clap::Args;

use super::targets;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::read;

/// Show what a container's console printed
///
/// Also of a container that does not run any more: the last three runs are kept until it is purged.
/// The bytes go out unchanged to a pipe; on a terminal, control characters are shown instead of obeyed.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth logs web1 --tail 100\n  berth logs web1 -f\n  berth logs web1 --boot -1"
)]
pub struct Arguments {
    /// The container
    #[arg(value_name = "NAME", add = complete::containers())]
    name: String,
    /// Go on as more is printed, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Of which run: 0 the present or last one, -1 the one before it, 1 the oldest of the three that are kept
    #[arg(short, long, value_name = "RUN", allow_hyphen_values = true)]
    boot: Option<i64>,
    /// Only the last lines
    #[arg(long, value_name = "LINES", allow_hyphen_values = true)]
    tail: Option<u64>,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target = targets::one(&arguments.name).segment("log");
    let target =
        target.flag("follow", arguments.follow).query_if("tail", arguments.tail).query_if("boot", arguments.boot);
    read::copy(context, &target)
}
