//! `berth schedule next`: when it will fire.

use std::num::NonZeroU64;

use clap::Args;

use crate::api::client::Target;
use crate::api::resources::NextSlot;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::read::{self, ReadOptions};

/// Show when a schedule fires next
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth schedule next nightly\n  berth schedule next nightly --count 30")]
pub struct Arguments {
    /// The schedule
    #[arg(value_name = "NAME", add = complete::schedules())]
    name: String,
    /// How many times
    #[arg(long, value_name = "COUNT", default_value = "10", allow_hyphen_values = true)]
    count: NonZeroU64,
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let target = Target::new("/v1/schedules").segment(&arguments.name).segment("next").query("count", arguments.count);
    read::list::<NextSlot>(context, &arguments.options, target, |rows| match rows.len() {
        0 => "It does not fire: it is not enabled, or no time fits.".to_owned(),
        _ => String::new(),
    })
}
