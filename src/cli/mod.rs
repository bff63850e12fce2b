//! L7: the command line, one verb one file.
//!
//! `berth NOUN VERB`: [`root`] is the tree, each noun a folder, each verb a file with its `Arguments` and its `run`.
//! A verb says what to ask and how it reads; asking, waiting and printing are done in [`read`], [`change`] and
//! [`output`]. No rules here: the daemon decides.

mod audit;
mod backup;
pub mod change;
mod complete;
mod completion;
mod confirm;
mod container;
mod content;
pub mod context;
mod doctor;
mod event;
pub mod exit;
pub mod failure;
mod maintenance;
mod moment;
mod network;
mod node;
mod offline;
mod operation;
pub mod output;
mod ports;
mod progress;
pub mod read;
mod root;
mod schedule;
pub mod screen;
mod session;
mod store;
mod template;
mod usage;
mod wait;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use clap_complete::CompleteEnv;

use context::Context;
pub use context::shell_quoted;
use exit::Exit;
pub use ports::{
    AcceptArguments, AuditEvidence, AuditFailure, AuditReport, DaemonArguments, LeftInstance, Leftover, Ports,
    Standing, Sweep, TourArguments,
};
use root::Root;
use screen::{Colour, Screen};

/// Runs one command line, `arguments` with the program's name first, and returns how the process ends.
pub fn run(arguments: impl IntoIterator<Item = OsString>, ports: Ports) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let here = std::env::current_dir().ok();
    let tree = || completion::tree(Root::command(), &arguments);
    match CompleteEnv::with_factory(tree).bin("berth").try_complete(arguments.clone(), here.as_deref()) {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => {}
        Err(error) => {
            // The shell shows what stands here; it ends with newlines of its own.
            let _ = error.print();
            return ExitCode::from(Exit::Usage.code());
        }
    }
    let words: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    match parse(&arguments) {
        Ok(root) => dispatch(&root, &words, Screen::of_process(root.global.color, root.global.quiet), &ports),
        Err(error) => refuse(&error, &words, Screen::of_process(Colour::Auto, false)),
    }
}

/// Runs a command line on a given screen; for tests.
pub fn run_on(arguments: &[&str], screen: Screen, ports: &Ports) -> ExitCode {
    let words: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    match parse(&arguments) {
        Ok(root) => dispatch(&root, &words, screen, ports),
        Err(error) => refuse(&error, &words, screen),
    }
}

/// Builds only what the command line names, until help is asked for: its lists need the verbs' own words.
fn parse(arguments: &[OsString]) -> Result<Root, clap::Error> {
    Root::try_parse_from(arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp => {
            let mut whole = Root::command();
            whole.build();
            whole.try_get_matches_from(arguments).err().unwrap_or(error)
        }
        _ => error,
    })
}

/// Tells why a command line makes no sense, or prints the help that it asked for.
fn refuse(error: &clap::Error, words: &[String], mut screen: Screen) -> ExitCode {
    let help_is_meant = [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion];
    if help_is_meant.contains(&error.kind()) {
        // A closed output changes nothing.
        let _ = error.print();
        return Exit::Done.into();
    }
    let mut root = Root::command();
    root.build();
    let path = usage::path_of(error, &root, words);
    let is_a_noun_alone =
        [ErrorKind::MissingSubcommand, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand].contains(&error.kind());
    if is_a_noun_alone {
        screen.alarm(&usage::help(&root, &path));
        return Exit::Usage.into();
    }
    usage::failure(error, &path, &root).or_help_of(&path).tell(&mut screen, usage::wants_json(words)).into()
}

fn dispatch(root: &Root, words: &[String], screen: Screen, ports: &Ports) -> ExitCode {
    if let Some(code) = root.command.run_port(&root.global, ports) {
        return code;
    }
    let mut context = match Context::new(&root.global, words, screen, ports) {
        Ok(context) => context,
        Err(failure) => return failure.exit().into(),
    };
    match root.command.run(&mut context) {
        Ok(exit) => exit.into(),
        Err(failure) => context.tell(failure).into(),
    }
}

/// Makes the verbs of a noun: one variant and one module each.
macro_rules! verbs {
    ($(#[$meta:meta])* $name:ident { $($(#[$verb_meta:meta])* $verb:ident($module:ident)),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, clap::Subcommand)]
        #[command(defer = true)]
        pub enum $name {
            $($(#[$verb_meta])* #[allow(missing_docs)] $verb(Box<$module::Arguments>)),+
        }

        impl $name {
            /// Runs the verb.
            ///
            /// # Errors
            /// See the verb.
            pub fn run(
                &self,
                context: &mut $crate::cli::context::Context<'_>,
            ) -> Result<$crate::cli::exit::Exit, $crate::cli::failure::Failure> {
                match self {
                    $(Self::$verb(arguments) => $module::run(context, arguments)),+
                }
            }
        }
    };
}
use verbs;

#[cfg(test)]
mod tests;
