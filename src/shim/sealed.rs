//! A privileged container must not reach the host's binary through `/proc/PID/exe`.
//!
//! Its root is root of the host, so closing /proc of the process (`PR_SET_DUMPABLE`) does not hold it off. The shim of
//! such a container runs itself again from a detached read-only mount of its binary: what `exe` then names cannot be
//! written, and a detached mount cannot be made writable from any mount namespace. All shims share the one file and
//! its page cache, which copies in sealed memory would not.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::kernel::failure::{Failure, Step as _};
use crate::sys::mount::{self, TreeAttributes};
use crate::sys::process;

/// Set in the environment of the second run.
const MARK: &str = "BERTH_SHIM_SEALED";

/// Replaces this process by itself, run from a read-only mount; returns when that is done already.
///
/// # Errors
/// Names the step that was refused; a privileged container is not started then.
pub(super) fn run_from_read_only_copy(runtime_dir: &Path) -> Result<(), Failure> {
    if std::env::var_os(MARK).is_some() {
        return Ok(());
    }
    let own = std::env::current_exe().step("find the own binary")?;
    let tree = mount::copy_tree(&own).step("copy the mount of the own binary")?;
    let attributes = TreeAttributes { read_only: true, ..TreeAttributes::default() };
    mount::change_tree(&tree, &attributes).step("make the own binary read-only")?;
    let text = |bytes: &[u8]| CString::new(bytes).map_err(std::io::Error::from).step("name the runtime directory");
    let arguments = [text(b"berth")?, text(b"shim")?, text(runtime_dir.as_os_str().as_bytes())?];
    let environment = [text(format!("{MARK}=1").as_bytes())?];
    match process::execute_descriptor(&tree, &arguments, &environment).step("run the read-only binary") {
        Ok(never) => match never {},
        Err(failure) => Err(failure),
    }
}
