//! `berth container list`, also `berth ps`.

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::targets;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, containers};
use crate::cli::read::{self, ReadOptions};
use crate::projections::rows::ContainerState;

/// List containers
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  berth ps\n  berth container list 'web*' --in-state running -o json\n  berth ps --as-of 2h"
)]
pub struct Arguments {
    /// Only those with this name; a quoted pattern fits several ('web*')
    #[arg(value_name = "NAME", add = complete::containers())]
    name: Option<String>,
    /// Only those in this state
    #[arg(long, value_name = "STATE", value_parser = states(), hide_possible_values = true)]
    in_state: Option<String>,
    /// Only those of this template
    #[arg(long, value_name = "TEMPLATE", add = complete::templates())]
    template: Option<String>,
    /// Only those with this label; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Deleted ones too
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    options: ReadOptions,
}

fn states() -> PossibleValuesParser {
    PossibleValuesParser::new(ContainerState::ALL.iter().map(|state| state.as_str()))
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    // A name that is none would look like one that has nothing.
    let named = arguments.name.as_ref().filter(|name| !name.contains(['*', '?']));
    if let Some(name) = named.filter(|_| arguments.options.as_of.is_none()) {
        read::fetch(context, &targets::one(name))?;
    }
    let labels = (!arguments.label.is_empty()).then(|| arguments.label.join(","));
    let target = targets::list()
        .query_if("name", arguments.name.as_ref())
        .query_if("state", arguments.in_state.as_ref())
        .query_if("template", arguments.template.as_ref())
        .query_if("label", labels)
        .flag("all", arguments.all)
        .flag("notes", !matches!(context.format, Format::Table | Format::Name));
    read::list(context, &arguments.options, target, containers::summary)
}
