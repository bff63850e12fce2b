//! `berth node accept-history`: go on with a log that is not the one that was signed.

use std::path::PathBuf;

use clap::Args;

use crate::cli::confirm;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::ports::{AcceptArguments, Accepted};
use crate::types::terminal_safe;

/// Go on with a log that is not the one that was signed
///
/// A daemon does not start on a log that ends before what was signed of it, or that says something else: its state
/// directory was restored from an older copy, or forged. What came in between is gone from the record, though
/// containers may still be as it left them. That it was accepted is recorded, and what was signed is kept beside the keys.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth node accept-history --dry-run\n  berth node accept-history --reason 'restored from the copy of Monday'"
)]
pub struct Arguments {
    /// Where keys are kept, as the daemon is told; /etc/berth/keys by default
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
    let accept = |context: &Context<'_>, dry_run| {
        let (state, key_dir, reason) = (context.state.clone(), arguments.key_dir.clone(), arguments.reason.clone());
        let accepted = (context.ports.accept_history)(&AcceptArguments { state, key_dir, reason, dry_run });
        let accepted = accepted.map_err(|reason| Failure::new(Exit::Failed, "node.accept-history", reason))?;
        accepted.ok_or_else(|| {
            let message = "there is nothing to accept: the log is the one that was signed";
            Failure::new(Exit::Conflict, "node.history-is-whole", message)
        })
    };
    let mut accepted = accept(context, true)?;
    if !arguments.dry_run {
        let question = format!("Go on with this log, although {}?", terminal_safe(&accepted.reason));
        confirm::yes_or_no(context, &question)?;
        accepted = accept(context, false)?;
    }
    tell(context, &accepted)
}

fn tell(context: &mut Context<'_>, accepted: &Accepted) -> Result<Exit, Failure> {
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
