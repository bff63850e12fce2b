//! Wires the concrete parts together; the only file that names adapters.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(verb), Some(directory)) if verb == "shim" => berth::shim::main(&PathBuf::from(directory)),
        _ => ExitCode::from(2),
    }
}
