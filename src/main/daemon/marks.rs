//! What the daemon leaves on the host while it runs, so that others find it, and takes away when it ends.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use berth::api::client::{INSTANCE_FILE, RUN_OF_ROOT, signpost};
use berth::effects::linux::network::Networks;

use super::super::neighbours;
use super::Setup;

/// Removes what nobody needs any more: empty folders, and without containers the instance's block of ids.
pub(super) fn leave_no_marks(setup: &Setup, empty: bool) {
    for folder in ["containers", "disks", "sessions", "unrecorded", ""] {
        let _ = fs::remove_dir(setup.run.join(folder)); // what is not empty stays
    }
    if empty {
        let bare = Networks::new(&setup.identity.instance, &setup.run).on_host().is_ok_and(|left| left.is_empty());
        neighbours::forget(&setup.state, &setup.identity.instance, bare);
    }
}

/// Lets members of the group `berth` reach the socket; everything else below is closed by its own mode.
pub(super) fn open_the_way(run: &Path) -> io::Result<()> {
    for folder in [run.parent(), Some(run)].into_iter().flatten().filter(|folder| folder.starts_with(RUN_OF_ROOT)) {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o711))?;
    }
    Ok(())
}

/// Tells the command line where the socket is: the state directory's own path may be too long for one. Members of the group
/// cannot look into the state directory, and on a full disk nothing can be written there: so it stands below `/run/berth`,
/// too.
pub(super) fn write_instance(setup: &Setup, socket: &Path) -> io::Result<()> {
    let told = serde_json::json!({
        "instance": setup.identity.instance,
        "run_dir": setup.run,
        "socket": socket,
        "pid": std::process::id(),
        "started_at": setup.clock.now(),
    });
    let told = serde_json::to_vec(&told)?;
    if setup.run.starts_with(RUN_OF_ROOT) {
        let signpost = signpost(&setup.state);
        fs::write(&signpost, &told)?;
        let group = berth::api::group_id();
        std::os::unix::fs::chown(&signpost, None, group)?;
        fs::set_permissions(&signpost, fs::Permissions::from_mode(if group.is_some() { 0o640 } else { 0o600 }))?;
    }
    let path = setup.state.join(INSTANCE_FILE);
    berth::sys::fs::durable::replace(&path, &told).inspect_err(|_| {
        let _ = fs::remove_file(&path); // what an earlier daemon said is worse than nothing
    })
}
