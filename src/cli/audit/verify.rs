//! `berth audit verify`: recompute the whole log, with or without a daemon.

use clap::Args;

use crate::api::resources::AuditFinding;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Tone};
use crate::cli::ports::{AuditEvidence, AuditFailure};

/// Recompute the log, compare it with its hashes, and what follows from it with it
///
/// This reads the state directory itself and trusts no daemon. With a checkpoint and a key kept elsewhere it also proves
/// that nothing before the checkpoint was changed. Read models, snapshots, indexes and keys are made again and compared.
/// What was shown and what was not is said. The exit code is 10 if anything is wrong.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth audit verify\n  \
    berth audit verify --checkpoint /mnt/usb/berth.checkpoint --key /mnt/usb/checkpoint.vkey")]
pub struct Arguments {
    #[command(flatten)]
    evidence: AuditEvidence,
}

/// A file that is no evidence says nothing of the log, bad or good.
fn unverified(failure: AuditFailure) -> Failure {
    match failure {
        AuditFailure::Log(reason) => Failure::new(Exit::Failed, "audit.verify", reason),
        AuditFailure::Evidence(path, reason) => {
            let failure = Failure::new(Exit::Usage, "audit.no-evidence", format!("{}: {reason}", path.display()));
            failure.hinted(
                "--key takes checkpoint.vkey of the key directory, --checkpoint a file with what this prints: berth audit checkpoint",
            )
        }
    }
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let report = (context.ports.audit_verify)(&context.state, &arguments.evidence).map_err(unverified)?;
    let is_bad = !report.findings.is_empty() || report.checkpoint_fits == Some(false);
    let exit = if is_bad { Exit::Findings } else { Exit::Done };
    let value = serde_json::to_value(&report).unwrap_or_default();
    if output::one(&mut context.screen, context.format, &value, None)? {
        return Ok(exit);
    }
    tell(context, &report.findings)?;
    report.statements.iter().try_for_each(|statement| context.screen.line(statement))?;
    let checkpoint = match report.checkpoint_fits {
        Some(true) => ", the checkpoint fits",
        Some(false) => ", the checkpoint does NOT fit",
        None => "",
    };
    let state = if is_bad { "something is wrong" } else { "whole" };
    context.screen.line(&format!("{} events, root {}: {state}{checkpoint}", report.events, report.root))?;
    Ok(exit)
}

/// Tells what is wrong, each with what mends it.
pub fn tell(context: &mut Context<'_>, findings: &[AuditFinding]) -> Result<(), Failure> {
    for AuditFinding { finding, mended_by } in findings {
        let mended = mended_by.as_ref().map_or_else(String::new, |command| format!(" (mended by: {command})"));
        let line = format!("{} {}{mended}\n", mark(context, false), crate::types::terminal_safe(finding));
        context.screen.write(&line)?;
    }
    Ok(())
}

/// Returns the sign in front of a finding; it is a sign and a colour.
pub fn mark(context: &Context<'_>, good: bool) -> String {
    let (sign, tone) = if good { ("✓", Tone::Good) } else { ("✗", Tone::Bad) };
    if context.screen.colour { tone.paint(sign) } else { sign.to_owned() }
}
