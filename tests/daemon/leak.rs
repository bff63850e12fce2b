//! Runs last: nothing of the other tests is left.

use std::fs;

use crate::check;
use crate::fixture::{Outcome, scratch};
use crate::remains;

pub const TESTS: &[crate::Test] = &[("nothing is left behind", nothing)];

fn nothing() -> Outcome {
    let left = remains::of_all();
    check!(left.is_empty(), "left behind: {left:#?}");
    fs::remove_dir_all(scratch())?;
    Ok(())
}
