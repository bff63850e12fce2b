//! Real containers on the real kernel, without a daemon: supervisor, limits, freezing, attacks from inside. No mocks.

#![allow(clippy::unwrap_used, missing_docs)]

mod attack;
mod boot;
mod fixture;
mod freeze;
#[path = "../harness/mod.rs"]
mod harness;
mod host;
mod limits;
mod recovery;
mod session;
mod traps;

fn main() {
    harness::remains::remember(&fixture::instance());
    harness::main(&[
        boot::TESTS,
        session::TESTS,
        freeze::TESTS,
        limits::TESTS,
        recovery::TESTS,
        attack::TESTS,
        traps::TESTS,
        host::TESTS,
    ]);
}
