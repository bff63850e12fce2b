//! `berth store recovery-key`: the key, for the one who puts it in a safe place.

use clap::Args;

use crate::api::client::Target;
use crate::api::resources::RecoveryKey;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::{output, read};

/// Print the recovery key of a store
///
/// Keep it in a safe place that is not this machine. Asking for it does not change it.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth store recovery-key main\n  berth store recovery-key main -o name > key.txt"
)]
pub struct Arguments {
    /// The store
    #[arg(value_name = "NAME", add = complete::stores())]
    name: String,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    print(context, &arguments.name)
}

/// Prints the key; with `-o name` the key alone.
///
/// # Errors
/// The node does not hold the key.
pub fn print(context: &mut Context<'_>, name: &str) -> Result<Exit, Failure> {
    let target = Target::new("/v1/stores").segment(name).segment("recovery-key");
    let value: serde_json::Value = read::ask(context, &target)?;
    let key: RecoveryKey = output::row(value.clone())?;
    if context.format == output::Format::Name {
        context.screen.line(&key.key)?;
        return Ok(Exit::Done);
    }
    if output::one(&mut context.screen, context.format, &value, None)? {
        return Ok(Exit::Done);
    }
    let fingerprint = key.fingerprint.map_or(String::new(), |fingerprint| format!("  (fingerprint {fingerprint})"));
    context.screen.line(&format!("Recovery key of {}{fingerprint}:", key.store))?;
    context.screen.line(&format!("  {}", key.key))?;
    context.screen.line("Put it in a safe place that is not this machine, then say so:")?;
    let confirm = context.command(&format!("store confirm-recovery-key {name}"));
    context.screen.line(&format!("  {confirm}"))?;
    Ok(Exit::Done)
}
