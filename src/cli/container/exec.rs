//! `berth container exec`: one command inside.

use clap::Args;

use crate::cli::change::RecordOptions;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::session::{self, Wish};

/// Run a command in a container
///
/// The exit code is the command's own; 126 if it cannot be run, 127 if it is not there, 128+N if signal N ended it.
/// It has a terminal if input and output of this command are one. Signals to this command are passed on; a second SIGINT or
/// SIGTERM, a second or more after the first, ends it with code 1 though its command goes on. When this command ends so or is
/// killed, its command is hung up on (SIGHUP).
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth exec web1 apt-get update\n  \
    berth exec web1 --user www-data --dir /srv sh -c 'ls | wc -l'\n  berth exec -T db1 -- mysqldump shop")]
pub struct Arguments {
    /// The container
    #[arg(value_name = "NAME", add = complete::containers())]
    name: String,
    /// The user inside, root by default
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// The directory inside
    #[arg(short = 'w', long, visible_alias = "workdir", value_name = "DIR")]
    dir: Option<String>,
    /// A variable of its environment; may be given several times
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = variable)]
    env: Vec<String>,
    /// Give it a terminal in any case
    #[arg(short = 't', long, conflicts_with = "no_tty")]
    tty: bool,
    /// Give it no terminal in any case
    #[arg(short = 'T', long)]
    no_tty: bool,
    /// Taken for those used to it: standard input is passed on in any case
    #[arg(short = 'i', long, hide_short_help = true)]
    interactive: bool,
    /// The command and its arguments; options from here on are its own
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    record: RecordOptions,
}

/// Reads a variable with its value; one without a name or a value would be handed on as it is, which no program expects.
fn variable(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("a variable is written KEY=VALUE".to_owned()),
    }
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let terminal = match (arguments.tty, arguments.no_tty) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    let wish = Wish {
        argv: arguments.command.clone(),
        environment: arguments.env.clone(),
        user: arguments.user.clone(),
        directory: arguments.dir.clone(),
        terminal,
    };
    session::run(context, &arguments.name, wish, &arguments.record)
}
