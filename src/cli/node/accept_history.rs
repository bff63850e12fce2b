//! `berth node accept-history`: go on with a log that is not the one that was signed.

use std::path::PathBuf;

use clap::Args;

use crate::api::client::{ChangeHeaders, Target};
use crate::api::resources::AcceptedHistory;
use crate::cli::confirm;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::ports::AcceptArguments;
use crate::types::terminal_safe;

/// Go on with a log that is not the one that was signed
///
/// A daemon records nothing in a log that ends before what was signed of it, or that says something else: its state
/// directory was restored from an older copy, or forged. What came in between is gone from the record. Containers that run
/// and that this log does not know are ended, for their addresses and ids are given to others; disks stay. That it was accepted is recorded, and what was signed is kept beside the keys.
/// Through the daemon if one runs, which then begins its work; without one at the state directory itself.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth node accept-history --dry-run\n  berth node accept-history --reason 'restored from the copy of Monday'"
)]
pub struct Arguments {
    /// Where keys are kept, as the daemon is told, if none runs; /etc/berth/keys by default
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    key_dir: Option<PathBuf>,
    /// Show what would be accepted, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let mut accepted = accept(context, arguments, true)?;
    if !arguments.dry_run {
        let reason = terminal_safe(&accepted.reason);
        let question =
            format!("Go on with this log, although {reason}? Running containers that it does not know are ended.");
        confirm::yes_or_no(context, &question)?;
        accepted = accept(context, arguments, false)?;
    }
    tell(context, &accepted)
}

fn accept(context: &Context<'_>, arguments: &Arguments, dry_run: bool) -> Result<AcceptedHistory, Failure> {
    let (target, body) = (Target::new("/v1/node/accept-history"), serde_json::json!({}));
    let headers = ChangeHeaders { reason: arguments.reason.clone(), dry_run, ..ChangeHeaders::default() };
    let asked = context.client().and_then(|client| Ok(context.block_on(client.change(&target, &body, &headers))?));
    match asked {
        Ok(value) => output::row(value),
        Err(failure) if failure.is_down() => accept_alone(context, arguments, dry_run),
        Err(failure) => Err(failure),
    }
}

fn accept_alone(context: &Context<'_>, arguments: &Arguments, dry_run: bool) -> Result<AcceptedHistory, Failure> {
    let (state, key_dir, reason) = (context.state.clone(), arguments.key_dir.clone(), arguments.reason.clone());
    let accepted = (context.ports.accept_history)(&AcceptArguments { state, key_dir, reason, dry_run });
    let accepted = accepted.map_err(|reason| Failure::new(Exit::Failed, "node.accept-history", reason))?;
    accepted.ok_or_else(|| {
        let message = "there is nothing to accept: the log is the one that was signed";
        Failure::new(Exit::Conflict, "node.history-is-whole", message)
    })
}

fn tell(context: &mut Context<'_>, accepted: &AcceptedHistory) -> Result<Exit, Failure> {
    let value = serde_json::to_value(accepted).unwrap_or_default();
    if output::one(&mut context.screen, context.format, &value, None)? {
        return Ok(Exit::Done);
    }
    let reason = terminal_safe(&accepted.reason);
    let Some(kept) = &accepted.kept else {
        context.screen.line(&format!("would accept the log of {} events, although {reason}", accepted.events))?;
        return Ok(Exit::Done);
    };
    context.screen.line(&format!("accepted the log of {} events, although {reason}", accepted.events))?;
    context.screen.line(&format!("what was signed is kept in {}", terminal_safe(kept)))?;
    Ok(Exit::Done)
}
