//! `berth doctor`: what this host can and cannot do.

use clap::Args;
use serde_json::json;

use super::audit::verify::mark;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::output::{Format, Listing, Tone};
use super::{output, read};
use crate::api::client::Target;
use crate::api::resources::{DoctorFinding, DoctorReport};

/// Look at this host and say what is missing
///
/// It asks the daemon; with none, or with --offline, it looks itself. What is optional is needed by something that can be
/// asked for. The exit code is 10 if containers cannot start here, or something was lost or spoilt.
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
    let missing: Vec<&DoctorFinding> = report.findings.iter().filter(|finding| !finding.ok).collect();
    let (damaged, missing): (Vec<_>, Vec<_>) = missing.into_iter().partition(|finding| finding.spoilt);
    let (required, optional): (Vec<_>, Vec<_>) = missing.into_iter().partition(|finding| finding.required);
    let exit = if required.is_empty() && damaged.is_empty() { Exit::Done } else { Exit::Findings };
    if told(context, &report)? {
        return Ok(exit);
    }
    for finding in &report.findings {
        tell(context, finding)?;
    }
    let can = if required.is_empty() { "Containers can start here" } else { "Containers cannot start here" };
    let passed = report.findings.len() - damaged.len() - required.len() - optional.len();
    let spoilt = if damaged.is_empty() { String::new() } else { format!(", {} damaged", damaged.len()) };
    let counts = format!(
        "{passed} as they should be, {} required and {} optional missing{spoilt}",
        required.len(),
        optional.len()
    );
    context.screen.sentence("", &format!("{can}: {counts}."), 0)?;
    Ok(exit)
}

/// Prints the report for programs, as one document or a finding a line; says whether that was wanted.
fn told(context: &mut Context<'_>, report: &DoctorReport) -> Result<bool, Failure> {
    let (screen, format) = (&mut context.screen, context.format);
    let document = serde_json::to_value(report).unwrap_or_default();
    if matches!(format, Format::Table | Format::Wide | Format::Json | Format::Yaml) {
        return output::one(screen, format, &document, None);
    }
    let listing = Listing { document: json!({ "items": document["findings"] }), recorded: None };
    output::machine(screen, format, &listing).map(|()| true)
}

fn tell(context: &mut Context<'_>, finding: &DoctorFinding) -> Result<(), Failure> {
    let is_optional = !(finding.ok || finding.required || finding.spoilt);
    let mark = if is_optional { optional_mark(context) } else { mark(context, finding.ok) };
    let optional = if is_optional { " (optional)" } else { "" };
    let reason = if finding.reason.is_empty() { String::new() } else { format!(": {}", finding.reason) };
    context.screen.sentence(&format!("{mark} "), &format!("{}{optional}{reason}", finding.feature), 2)?;
    if let Some(fix) = finding.fix.as_ref().filter(|_| !finding.ok) {
        context.screen.sentence("  fix: ", fix, 7)?;
    }
    Ok(())
}

fn optional_mark(context: &Context<'_>) -> String {
    if context.screen.colour { Tone::Warn.paint("–") } else { "–".to_owned() }
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
