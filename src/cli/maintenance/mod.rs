//! `berth maintenance`: runs of maintenance and what they found.

mod list;

use clap::Args;

use super::change::{self, Change, ChangeOptions};
use super::complete;
use super::container::targets::Names;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::verbs;
use crate::api::client::Target;
use crate::api::resources::RunMaintenance;

verbs! {
    /// What can be done with runs of maintenance.
    Verb {
        List(list),
    }
}

/// Is one, several or all containers.
#[derive(Debug, Clone, Args)]
pub struct Who {
    /// Containers by name, id or quoted pattern ('web*')
    #[arg(required_unless_present = "all", value_name = "NAME", add = complete::containers())]
    names: Vec<String>,
    /// All containers
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
    /// How many at the same time, one by default
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    pub parallel: Option<u32>,
}

impl Who {
    /// Returns the names, patterns replaced.
    ///
    /// # Errors
    /// A pattern fits none.
    pub fn containers(&self, context: &Context<'_>) -> Result<Vec<String>, Failure> {
        Names { names: self.names.clone() }.resolved(context)
    }

    /// Returns what to call them in messages.
    pub fn subject(&self, names: &[String]) -> String {
        if self.all { "all containers".to_owned() } else { names.join(", ") }
    }
}

/// Asks for maintenance.
///
/// # Errors
/// No daemon runs, or nobody reads.
pub fn ask(
    context: &mut Context<'_>,
    action: &str,
    done: &str,
    who: &Who,
    options: &ChangeOptions,
) -> Result<Exit, Failure> {
    let containers = who.containers(context)?;
    let subject = who.subject(&containers);
    let body = RunMaintenance { action: action.to_owned(), containers, all: who.all, parallel: who.parallel };
    let change = Change::new(Target::new("/v1/maintenance"), subject, done)
        .body(&body)
        .next(format!("maintenance list --action {action}"));
    change::apply(context, options, change)
}
