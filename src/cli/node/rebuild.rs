//! `berth node rebuild`: make everything anew that follows from the log.

use clap::Args;

use crate::api::client::{ChangeHeaders, Target};
use crate::api::resources::Rebuilt;
use crate::cli::audit::verify::{mark, tell};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::types::terminal_safe;

/// Make read models, indexes and snapshots anew from the log
///
/// The log itself is not touched. Through the daemon if one runs: commands wait meanwhile, containers do not notice.
/// What was mended is told. The exit code is 10 if something is left that only a copy of the log can mend.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth audit verify\n  berth node rebuild")]
pub struct Arguments {}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, _: &Arguments) -> Result<Exit, Failure> {
    let rebuilt = rebuild(context)?;
    let exit = if rebuilt.left.is_empty() { Exit::Done } else { Exit::Findings };
    let value = serde_json::to_value(&rebuilt).unwrap_or_default();
    if output::one(&mut context.screen, context.format, &value, None)? {
        return Ok(exit);
    }
    for finding in &rebuilt.mended {
        let line = format!("{} mended: {}\n", mark(context, true), terminal_safe(finding));
        context.screen.write(&line)?;
    }
    tell(context, &rebuilt.left)?;
    context.screen.line(&format!("made anew from {} events", rebuilt.events))?;
    Ok(exit)
}

fn rebuild(context: &Context<'_>) -> Result<Rebuilt, Failure> {
    let (target, body, headers) = (Target::new("/v1/node/rebuild"), serde_json::json!({}), ChangeHeaders::default());
    let asked = context.client().and_then(|client| Ok(context.block_on(client.change(&target, &body, &headers))?));
    match asked {
        Ok(value) => output::row(value),
        Err(failure) if failure.is_down() => (context.ports.rebuild)(&context.state).map_err(|reason| {
            Failure::new(Exit::Failed, "node.rebuild", reason).hinted(context.command("audit verify"))
        }),
        Err(failure) => Err(failure),
    }
}
