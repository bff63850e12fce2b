//! The real daemon on the real kernel: killed, replaced, starved and fed with nonsense. No mocks.
//!
//! A test whose host feature is missing says so; under `BERTH_REQUIRE_KERNEL=1` that passes only when `berth doctor` names
//! the feature as missing. The last test looks for anything the others left behind: hence a harness of its own.

#![allow(clippy::unwrap_used, missing_docs)]

mod boot;
mod chaos;
mod fixture;
mod input;
mod leak;
mod limits;
mod remains;
mod restart;
mod state_directory;
mod unprivileged;

use libtest_mimic::{Arguments, Failed, Trial};

use fixture::Outcome;

pub type Test = (&'static str, fn() -> Outcome);

fn trial((name, test): Test) -> Trial {
    Trial::test(name, move || match test() {
        Ok(()) => Ok(()),
        Err(fixture::Stop::Skipped { feature, reason }) => fixture::skip(name, &feature, &reason).map_err(Failed::from),
        Err(fixture::Stop::Failed(message)) => Err(Failed::from(message)),
    })
}

fn main() {
    let mut arguments = Arguments::from_args();
    let all = [
        chaos::TESTS,
        restart::TESTS,
        boot::TESTS,
        state_directory::TESTS,
        unprivileged::TESTS,
        input::TESTS,
        limits::TESTS,
    ];
    let trials = all.into_iter().flatten().copied().map(trial).collect();
    // Each has a daemon of its own; two at a time leave no core idle.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let conclusion = libtest_mimic::run(&arguments, trials);
    let listing = arguments.list || arguments.filter.is_some();
    if !listing {
        arguments.test_threads = Some(1);
        let last = libtest_mimic::run(&arguments, leak::TESTS.iter().copied().map(trial).collect());
        if last.has_failed() {
            std::process::exit(101);
        }
    }
    // A filtered run leaves out the leak test, which removes the folder else.
    let _ = std::fs::remove_dir_all(fixture::scratch());
    conclusion.exit();
}
