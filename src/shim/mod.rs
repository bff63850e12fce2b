//! L3: the supervisor of one container and the protocol it speaks: tiny, single-threaded.
//!
//! One process per container, spawned by the daemon as `berth shim --wait`, told its runtime directory, and then on
//! its own: it is the parent of the container's first process and of every command that joins, holds disk, console and exit status, and
//! outlives the daemon. It waits in one poll(2) and wakes for nothing but work. `docs/runtime.md` has the table of
//! who may die when.

pub mod attach;
pub mod client;
mod connection;
mod console;
mod control;
mod ending;
mod freezer;
mod message;
mod notify;
mod order;
pub mod protocol;
mod questions;
pub mod record;
mod sealed;
mod session;
mod supervisor;
mod unheard;

use std::path::Path;
use std::process::ExitCode;

use crate::kernel::failure::{Failure, Step as _};
use crate::sys::{descriptor, heritage, process, signal};
use protocol::Spec;
use supervisor::Supervisor;

/// In place of a runtime directory: prints what the host can do, as JSON, and ends.
pub const PROBE: &str = "--probe";

/// In place of a runtime directory: waits on standard input for the message that names it; see `order`. What follows is
/// not looked at: it keeps room for the name in what ps(1) shows.
pub const WAIT: &str = "--wait";

/// Runs the shim of the container whose specification lies in `runtime_dir`; returns when its work is done.
///
/// What goes wrong before anybody can connect is left in `RUNTIME_DIR/failure.json` for the daemon.
pub fn main(runtime_dir: &Path) -> ExitCode {
    if runtime_dir == Path::new(PROBE) {
        return print_probe();
    }
    prepare();
    if runtime_dir != Path::new(WAIT) {
        return supervise(runtime_dir);
    }
    match order::wait() {
        Ok(Some(runtime_dir)) => supervise(&runtime_dir),
        Ok(None) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// How soon a supervisor is ended when the host has no memory left: late, since its container ends with it.
const OOM_SCORE: i32 = -500;

/// What every shim needs and no container decides. Nothing comes down from the daemon, and through it from whoever began
/// that: a service's settings, a shell's. What the kernel refuses to set stays as it was.
fn prepare() {
    // Already the leader of a session when the daemon made one for it.
    let _ = process::new_session();
    process::set_file_mode_mask(0o077);
    let _ = descriptor::close_inherited(3);
    let _ = signal::restore_defaults();
    signal::ignore(signal::PIPE);
    heritage::forget();
    let _ = heritage::set_oom_score("self", OOM_SCORE).or_else(|_| heritage::set_oom_score("self", 0));
}

fn supervise(runtime_dir: &Path) -> ExitCode {
    match run(runtime_dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to tell when even this fails; the exit code remains.
            let _ = record::write(runtime_dir, record::FAILURE, &failure);
            ExitCode::FAILURE
        }
    }
}

fn print_probe() -> ExitCode {
    use std::io::Write as _;
    let features = serde_json::to_vec_pretty(&crate::kernel::probe::probe());
    match features.map_err(std::io::Error::from).and_then(|text| std::io::stdout().write_all(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(runtime_dir: &Path) -> Result<(), Failure> {
    let runtime_dir = runtime_dir.canonicalize().step("find the runtime directory")?;
    let spec = Spec::load(&runtime_dir)?;
    if spec.container.as_ref().is_some_and(|container| container.ids.is_none()) {
        sealed::run_from_read_only_copy(&runtime_dir)?;
    }
    process::forbid_dump().step("close /proc of the shim")?;
    process::become_subreaper().step("become subreaper")?;
    let first = order::take_connection().step("take the first connection")?;
    Supervisor::new(runtime_dir, spec, first)?.run()
}
