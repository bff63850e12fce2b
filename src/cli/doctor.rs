//! `berth doctor`: what this host can and cannot do.

use clap::Args;

use super::audit::verify::mark;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::{output, read};
use crate::api::client::Target;
use crate::api::resources::DoctorReport;
use crate::types::terminal_safe;

/// Look at this host and say what is missing
///
/// It asks the daemon; with none, or with --offline, it looks itself. The exit code is 10 if anything is missing.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth doctor\n  berth doctor --offline -o json")]
pub struct Arguments {
    /// Look from this process, not from the daemon
    #[arg(long)]
    offline: bool,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let report = report(context, arguments.offline)?;
    let bad = report.findings.iter().filter(|finding| !finding.ok).count();
    let exit = if bad > 0 { Exit::Findings } else { Exit::Done };
    let value = serde_json::to_value(&report).unwrap_or_default();
    if output::one(&mut context.screen, context.format, &value, None)? {
        return Ok(exit);
    }
    for finding in &report.findings {
        let reason = if finding.reason.is_empty() { String::new() } else { format!(": {}", finding.reason) };
        let line = format!("{} {}", mark(context, finding.ok), terminal_safe(&format!("{}{reason}", finding.feature)));
        context.screen.write(&format!("{line}\n"))?;
        if let Some(fix) = finding.fix.as_ref().filter(|_| !finding.ok) {
            context.screen.line(&format!("  fix: {fix}"))?;
        }
    }
    let passed = report.findings.len() - bad;
    context.screen.line(&format!("{passed} as they should be, {bad} not."))?;
    Ok(exit)
}

fn report(context: &Context<'_>, offline: bool) -> Result<DoctorReport, Failure> {
    let look = || (context.ports.doctor)(&context.state);
    if offline {
        return Ok(look());
    }
    match read::ask(context, &Target::new("/v1/doctor")) {
        Err(failure) if failure.is_down() => Ok(look()),
        other => other,
    }
}
