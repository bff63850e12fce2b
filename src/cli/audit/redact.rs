//! `berth audit redact`: what stands beside an event is removed for good.

use clap::Args;

use crate::api::client::Target;
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::confirm;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;

/// Remove the reason, note, arguments, path or command line beside an event
///
/// The event itself stays, and so does the hash of what was removed: the log is as whole as before. That it was removed, by
/// whom and why, is an event. A container's command line stays in its file as long as the container is there to start by it.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth audit redact 48203 --reason 'a password in the arguments'\n  \
    berth audit redact 48203 --dry-run")]
pub struct Arguments {
    /// The event's position, as lists show it
    #[arg(value_name = "EVENT")]
    event: u64,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let event = arguments.event;
    let target = Target::new("/v1/events").segment(event).segment("redact");
    let change = Change::new(target, format!("event {event}"), "redacted").next("audit verify");
    if change::would_change(context, &arguments.options, &change)? {
        let question = format!("What stands beside event {event} is removed for good. Go on?");
        confirm::yes_or_no(context, &question)?;
    }
    change::apply(context, &arguments.options, change)
}
