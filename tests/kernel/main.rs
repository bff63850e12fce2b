//! Real containers on the real kernel, without a daemon: supervisor, limits, freezing, attacks from inside. No mocks.

#![allow(clippy::unwrap_used, missing_docs)]

mod attack;
mod boot;
mod drain;
mod fixture;
mod freeze;
#[path = "../harness/mod.rs"]
mod harness;
mod heritage;
mod host;
mod inside;
mod limits;
mod pools;
mod recovery;
mod session;
mod traps;
mod wedge;

fn main() {
    drain::run_if_asked();
    inside::run_if_asked();
    harness::remains::remember(&fixture::instance());
    let suite = [
        boot::TESTS,
        session::TESTS,
        freeze::TESTS,
        limits::TESTS,
        recovery::TESTS,
        attack::TESTS,
        traps::TESTS,
        wedge::TESTS,
        pools::TESTS,
        heritage::TESTS,
        host::TESTS,
    ];
    harness::main(&suite, &[traps::ALONE, pools::ALONE]);
}
