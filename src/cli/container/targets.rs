//! Which containers a command is about, and where to ask for it.

use clap::Args;
use serde_json::Value;

use crate::api::client::Target;
use crate::cli::change::Change;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{self, name_of};
use crate::cli::read;
use crate::projections::rows::ContainerRow;

/// Is one or more containers.
#[derive(Debug, Clone, Default, Args)]
pub struct Names {
    /// Containers by name, id or quoted pattern ('web*')
    #[arg(required = true, value_name = "NAME", add = complete::containers())]
    pub names: Vec<String>,
}

impl Names {
    /// Returns the names, patterns replaced by those they fit, each name once.
    ///
    /// # Errors
    /// A pattern fits none, or nobody can be asked which.
    pub fn resolved(&self, context: &Context<'_>) -> Result<Vec<String>, Failure> {
        resolved(context, &self.names, &list())
    }
}

/// Returns the names of deleted containers, patterns replaced by those they fit, each name once.
///
/// # Errors
/// As [`Names::resolved`].
pub fn resolved_buried(context: &Context<'_>, names: &[String]) -> Result<Vec<String>, Failure> {
    resolved(context, names, &list().query("state", "deleted").flag("all", true))
}

fn resolved(context: &Context<'_>, names: &[String], among: &Target) -> Result<Vec<String>, Failure> {
    let mut resolved: Vec<String> = Vec::new();
    for name in names {
        let found = if name.contains(['*', '?']) { fitting(context, name, among)? } else { vec![name.clone()] };
        resolved.extend(found.into_iter().filter(|name| !resolved.contains(name)).collect::<Vec<_>>());
    }
    Ok(resolved)
}

fn fitting(context: &Context<'_>, pattern: &str, among: &Target) -> Result<Vec<String>, Failure> {
    let answer = read::fetch(context, &among.clone().query("name", pattern))?.value;
    let items = answer.get("items").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        let message = format!("no container fits the pattern {pattern:?}");
        return Err(Failure::new(Exit::NotFound, "container.not-found", message));
    }
    Ok(items.iter().map(name_of).collect())
}

/// Returns where containers are listed and made.
pub fn list() -> Target {
    Target::new("/v1/containers")
}

/// Returns where one container is.
pub fn one(name: &str) -> Target {
    list().segment(name)
}

/// Returns what a container is now.
///
/// # Errors
/// Nobody can be asked, or there is none.
pub fn present(context: &Context<'_>, name: &str) -> Result<ContainerRow, Failure> {
    output::row(read::item(&read::ask(context, &one(name))?).clone())
}

/// Returns the change that a verb is to a container.
pub fn change(name: &str, verb: &str, done: &str) -> Change {
    Change::new(one(name).segment(verb), name, done)
}
