//! `berth backup coverage`: who is backed up, who is not, and what to worry about.

use clap::Args;

use crate::api::client::Target;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::read::{self, ReadOptions};
use crate::projections::rows::CoverageRow;

/// Show how well each container is backed up
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth backup coverage\n  berth backup coverage -o json")]
pub struct Arguments {
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb; warnings are in the table, and the exit code stays that of a list.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    read::list::<CoverageRow>(context, &arguments.options, Target::new("/v1/coverage"), summary)
}

fn summary(rows: &[CoverageRow]) -> String {
    let worried = rows.iter().filter(|row| !row.warnings.is_empty()).count();
    match (rows.len(), worried) {
        (0, _) => "No containers.".to_owned(),
        (count, 0) => format!("{count} covered, nothing to worry about."),
        (count, worried) => format!("{worried} of {count} need a look."),
    }
}
