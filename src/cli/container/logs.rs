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
/// The bytes go out unchanged to a pipe; on a terminal, control characters are shown instead of obeyed.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth logs web1 --tail 100\n  berth logs web1 -f")]
pub struct Arguments {
    /// The container
    #[arg(value_name = "NAME", add = complete::containers())]
    name: String,
    /// Go on as more is printed, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "LINES", allow_negative_numbers = true)]
    tail: Option<u64>,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target = targets::one(&arguments.name).segment("log");
    let target = target.flag("follow", arguments.follow).query_if("tail", arguments.tail);
    read::copy(context, &target)
}
