//! What the suites on the real kernel share: outcomes that may be a skip, roots to boot, a look at what is left.
//!
//! A test whose host feature is missing says so; under `BERTH_REQUIRE_KERNEL=1` that passes only when `berth doctor` names
//! the feature as missing. The last test of a suite looks for anything the others left behind: hence a harness of its own.

#![allow(dead_code, reason = "each suite takes what it needs")]

pub mod gone;
pub mod mounted;
pub mod remains;
pub mod roots;
pub mod unit;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{OnceLock, PoisonError, RwLock};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_berth");

/// Why a test did not pass.
#[derive(Debug)]
pub enum Stop {
    Skipped { feature: String, reason: String },
    Failed(String),
}

pub type Outcome = Result<(), Stop>;

pub type Test = (&'static str, fn() -> Outcome);

impl<E: std::fmt::Display> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Fails unless the condition holds.
#[macro_export]
macro_rules! check {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err($crate::harness::Stop::Failed(format!($($words)+)));
        }
    };
}

/// Held by every test together with others, and by one that takes what the whole machine shares alone.
static MACHINE: RwLock<()> = RwLock::new(());

/// Runs a suite, and after a whole run the look at what is left. No other test of it runs beside one of `alone`.
pub fn main(suite: &[&[Test]], alone: &[&[Test]]) -> ! {
    let mut arguments = Arguments::from_args();
    // Each test has processes of its own; two at a time leave no core idle.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let shared = suite.iter().copied().flatten().copied().map(trial);
    let trials = shared.chain(alone.iter().copied().flatten().copied().map(trial_alone)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let whole = !arguments.list && arguments.filter.is_none();
    if whole && libtest_mimic::run(&arguments, vec![trial(("nothing is left behind", remains::nothing))]).has_failed() {
        std::process::exit(101);
    }
    let _ = std::fs::remove_dir_all(scratch());
    conclusion.exit();
}

fn trial((name, test): Test) -> Trial {
    Trial::test(name, move || {
        let _beside_others = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
        conclude(name, test())
    })
}

fn trial_alone((name, test): Test) -> Trial {
    Trial::test(name, move || {
        let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
        conclude(name, test())
    })
}

fn conclude(name: &str, outcome: Outcome) -> Result<(), Failed> {
    match outcome {
        Ok(()) => Ok(()),
        Err(Stop::Skipped { feature, reason }) => skip(name, &feature, &reason).map_err(Failed::from),
        Err(Stop::Failed(message)) => Err(Failed::from(message)),
    }
}

/// Prints the skip; strict runs want the doctor to agree.
fn skip(name: &str, feature: &str, reason: &str) -> Result<(), String> {
    eprintln!("skipped {name}: {feature}: {reason}");
    let strict = std::env::var_os("BERTH_REQUIRE_KERNEL").is_some_and(|value| value == "1");
    if strict && !misses(feature) {
        return Err(format!("skipped for {feature} ({reason}), which the doctor does not miss"));
    }
    Ok(())
}

/// Makes the end of a test that cannot run here.
pub fn skipped(feature: &str, reason: impl Into<String>) -> Stop {
    Stop::Skipped { feature: feature.to_owned(), reason: reason.into() }
}

/// Skips the test unless the host has the features.
pub fn need(features: &[&str]) -> Outcome {
    let missing = features.iter().find(|feature| misses(feature));
    missing.map_or(Ok(()), |feature| Err(skipped(feature, "the doctor misses it")))
}

/// Says whether the doctor names a feature as missing.
pub fn misses(feature: &str) -> bool {
    let all = findings()["findings"].as_array().cloned().unwrap_or_default();
    all.iter().any(|finding| finding["feature"] == feature && finding["ok"] == false)
}

fn findings() -> &'static Value {
    static FINDINGS: OnceLock<Value> = OnceLock::new();
    FINDINGS.get_or_init(|| {
        let empty = scratch().join("doctor");
        let told = Command::new(PROGRAM).args(["doctor", "-o", "json"]).env("BERTH_STATE", empty).output().unwrap();
        serde_json::from_slice(&told.stdout).unwrap()
    })
}

/// The suite's own folder, removed at its end.
pub fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
    SCRATCH.get_or_init(|| {
        let name = format!("berth-{}-{}", env!("CARGO_CRATE_NAME"), std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    })
}
