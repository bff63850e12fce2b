//! `berth operation wait`: until it is over.

use clap::Args;

use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{self, look::took};
use crate::cli::wait::{self, Waited};
use crate::types::Span;

/// Wait for operations to end
///
/// The exit code tells how they ended: 0 as asked, 1 failed, 3 partly; 4 to 7 failed for a reason with a code of its own. Ctrl-C leaves them to the daemon.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth operation wait 7q2mabcd\n  berth op wait 7q2mabcd --timeout 10m")]
pub struct Arguments {
    /// The operations, by id or their first characters
    #[arg(required = true, value_name = "ID", add = complete::open_operations())]
    ids: Vec<String>,
    /// Wait no longer than this for each (exit 9)
    #[arg(long, value_name = "SPAN", allow_hyphen_values = true)]
    timeout: Option<Span>,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = context.client()?;
    let mut ends = Vec::new();
    for id in &arguments.ids {
        let exit = match wait::wait(context, &client, id, id, arguments.timeout)? {
            Waited::Detached => return Ok(wait::left(context, id, id, &wait::call_off(id), Exit::Detached)),
            Waited::TimedOut => wait::left(context, id, id, &wait::call_off(id), Exit::Timeout),
            Waited::Over(outcome, elapsed) => {
                let value = serde_json::to_value(&outcome).unwrap_or_default();
                if !output::one(&mut context.screen, context.format, &value, None)? {
                    let reason = outcome.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
                    let line = format!("{id}: {}{reason}, waited {}", outcome.state, took(elapsed));
                    context.screen.line(&line)?;
                    wait::tell_members(context, &outcome)?;
                }
                Exit::of_operation(&outcome)
            }
        };
        ends.push(exit);
    }
    Ok(Exit::sum(ends))
}
