//! Wires the concrete parts together; the only file (with its folder) that names adapters.

#[path = "main/audit.rs"]
mod audit;
#[path = "main/capacity.rs"]
mod capacity;
#[path = "main/clock.rs"]
mod clock;
#[path = "main/daemon/mod.rs"]
mod daemon;
#[path = "main/doctor.rs"]
mod doctor;
#[path = "main/history.rs"]
mod history;
#[path = "main/identity.rs"]
mod identity;
#[path = "main/leftovers.rs"]
mod leftovers;
#[path = "main/neighbours.rs"]
mod neighbours;
#[path = "main/networks.rs"]
mod networks;
#[path = "main/space.rs"]
mod space;
#[path = "main/stage.rs"]
mod stage;
#[path = "main/start.rs"]
mod start;
#[path = "main/tour.rs"]
mod tour;

use std::path::PathBuf;
use std::process::ExitCode;

use berth::cli;
use berth::effects::clock::SystemClock;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // The supervisor is no command for people: it knows no options, needs no runtime, and must stay small.
    if let (Some(verb), Some(directory)) = (arguments.next(), arguments.next())
        && verb == "shim"
    {
        return berth::shim::main(&PathBuf::from(directory));
    }
    let ports = cli::Ports {
        clock: Box::new(SystemClock),
        daemon: daemon::run,
        doctor: doctor::report,
        audit_verify: audit::run,
        is_root: || berth::sys::process::effective_user() == 0,
        leftovers: leftovers::look,
        sweep: leftovers::remove,
        rebuild: audit::rebuild,
        accept_history: history::accept,
        tour: |arguments| tour::run(arguments.keep),
    };
    cli::run(std::env::args_os(), ports)
}
