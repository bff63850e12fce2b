//! What a dry run tells: what would be recorded, and what the plan expects after it.

use serde_json::Value;

use crate::api::resources::DryRun;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{self, look::local};
use crate::types::terminal_safe;

/// Tells what a change that begins no operation would record.
///
/// # Errors
/// Nobody reads, or the answer is not what this version knows.
pub fn tell_plan(context: &mut Context<'_>, subject: &str, answer: Value) -> Result<Exit, Failure> {
    if !output::one(&mut context.screen, context.format, &answer, None)? {
        let plan: DryRun = output::row(answer)?;
        context.screen.write(&plan_text(subject, &plan))?;
    }
    Ok(Exit::Done)
}

/// The first commit is exact; what the plan expects after it is marked as such.
pub(super) fn plan_text(subject: &str, plan: &DryRun) -> String {
    let mut lines = Vec::new();
    if plan.events.is_empty() {
        lines.push(format!("{subject}: it is so already; nothing would be recorded."));
    } else {
        lines.push(format!("{subject}: would be recorded:"));
        lines.extend(plan.events.iter().map(|fact| format!("  {}  {}", fact.kind, local(&fact.sentence))));
        lines.extend(plan.expected.iter().map(|step| format!("  expected: {step}")));
        lines.push("Nothing was changed. Run it again without --dry-run to do it.".to_owned());
    }
    terminal_safe_lines(&lines)
}

fn terminal_safe_lines(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |text, line| text + &terminal_safe(line) + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::resources::RecordedFact;

    #[test]
    fn a_plan_tells_the_exact_from_the_expected() {
        let fact = RecordedFact {
            kind: "StartRequested".into(),
            sentence: "start requested".into(),
            body: None,
            position: None,
        };
        let plan = DryRun { dry_run: true, events: vec![fact], expected: vec!["mount".into()] };
        let expected = "web1: would be recorded:\n  StartRequested  start requested\n  expected: mount\n\
                        Nothing was changed. Run it again without --dry-run to do it.\n";
        assert_eq!(plan_text("web1", &plan), expected);
    }
}
