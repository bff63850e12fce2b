//! Turns an argument list into the running program: looks it up in `PATH` and execs it.

use std::convert::Infallible;
use std::ffi::CString;
use std::io;

use crate::sys::{descriptor, process};

/// `PATH` where nothing else is said.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Becomes the program `arguments[0]` with exactly this environment (`NAME=value`). Returns only on failure. A path
/// through a magic link of proc is refused: `/proc/self/exe` is the host's own program here.
///
/// # Errors
/// What execve(2) said of the last candidate that was there; `NotFound` when none was.
pub fn become_program(arguments: &[String], environment: &[String]) -> io::Result<Infallible> {
    let first = arguments.first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let argv = c_strings(arguments)?;
    let envp = c_strings(environment)?;
    let mut refusal = io::Error::from_raw_os_error(NOT_FOUND);
    for candidate in candidates(first, environment) {
        let program = CString::new(candidate)?;
        let executed = descriptor::find_untrusted(&program).and_then(|()| process::execute(&program, &argv, &envp));
        let error = match executed {
            Err(error) => error,
            Ok(never) => match never {},
        };
        if error.kind() != io::ErrorKind::NotFound {
            refusal = error;
        }
    }
    Err(refusal)
}

/// Returns the step of a failure to become the program. It goes into events, so it names the program alone: arguments may
/// be secret.
pub fn step(arguments: &[String]) -> String {
    format!("execute {}", arguments.first().map_or("nothing", String::as_str))
}

/// `ENOENT` on every Linux.
const NOT_FOUND: i32 = 2;

fn c_strings(texts: &[String]) -> io::Result<Vec<CString>> {
    texts.iter().map(|text| CString::new(text.as_str()).map_err(io::Error::from)).collect()
}

fn candidates(name: &str, environment: &[String]) -> Vec<String> {
    if name.contains('/') {
        return vec![name.to_owned()];
    }
    let path = environment.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    path.split(':').filter(|folder| !folder.is_empty()).map(|folder| format!("{folder}/{name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_looked_up_in_the_path_given_and_a_path_is_taken_as_it_is() {
        assert_eq!(candidates("sh", &["PATH=/a::/b".into()]), ["/a/sh", "/b/sh"]);
        assert_eq!(candidates("./sh", &[]), ["./sh"]);
    }
}
