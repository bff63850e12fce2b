//! The real daemon on the real kernel: killed, replaced, starved and fed with nonsense. No mocks.

#![allow(clippy::unwrap_used, missing_docs)]

mod archives;
mod boot;
mod chaos;
mod clocks;
mod exec;
mod fixture;
mod full;
#[path = "../harness/mod.rs"]
mod harness;
mod heritage;
mod identity;
mod input;
mod leaving;
mod leftovers;
mod limits;
mod names;
mod networks;
mod outward;
mod redaction;
mod restart;
mod restores;
mod room;
mod sessions;
mod state_directory;
mod stop;
mod stores;
mod tour;
mod unprivileged;

fn main() {
    let suite = [
        tour::TESTS,
        chaos::TESTS,
        clocks::TESTS,
        restart::TESTS,
        sessions::TESTS,
        exec::TESTS,
        leaving::TESTS,
        leftovers::TESTS,
        stop::TESTS,
        names::TESTS,
        networks::TESTS,
        boot::TESTS,
        heritage::TESTS,
        state_directory::TESTS,
        full::TESTS,
        room::TESTS,
        stores::TESTS,
        unprivileged::TESTS,
        identity::TESTS,
        input::TESTS,
        archives::TESTS,
        limits::TESTS,
        outward::TESTS,
        restores::TESTS,
        redaction::TESTS,
    ];
    harness::main(&suite, &[]);
}
