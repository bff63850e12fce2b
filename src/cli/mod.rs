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
pub mod context;
mod doctor;
mod event;
pub mod exit;
pub mod failure;
mod maintenance;
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
mod wait;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use clap_complete::CompleteEnv;

use context::Context;
use exit::Exit;
pub use ports::{AuditReport, DaemonArguments, Ports, TourArguments};
use root::Root;
use screen::Screen;

/// Runs one command line, `arguments` with the program's name first, and returns how the process ends.
pub fn run(arguments: impl IntoIterator<Item = OsString>, ports: Ports) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let here = std::env::current_dir().ok();
    match CompleteEnv::with_factory(Root::command).bin("berth").try_complete(arguments.clone(), here.as_deref()) {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => {}
        Err(error) => {
            // The shell shows what stands here; it ends with newlines of its own.
            let _ = error.print();
            return ExitCode::from(Exit::Usage.code());
        }
    }
    match Root::try_parse_from(arguments) {
        Ok(root) => {
            let screen = Screen::of_process(root.global.color, root.global.quiet);
            dispatch(&root, screen, &ports)
        }
        Err(error) => {
            // Help and version go to standard output, everything else to standard error; a closed one changes nothing.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage.code()))
        }
    }
}

/// Runs a command line on a given screen; for tests.
///
/// # Errors
/// The words of clap where the command line makes no sense.
pub fn run_on(arguments: &[&str], screen: Screen, ports: &Ports) -> Result<ExitCode, String> {
    let root = Root::try_parse_from(arguments).map_err(|error| error.to_string())?;
    Ok(dispatch(&root, screen, ports))
}

fn dispatch(root: &Root, screen: Screen, ports: &Ports) -> ExitCode {
    if let Some(code) = root.command.run_port(&root.global, ports) {
        return code;
    }
    let mut context = match Context::new(&root.global, screen, ports) {
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
