//! Tells the host's own network managers to leave our links alone: they would give them addresses, names and link
//! addresses of their own.
//!
//! Drop-ins go below `/run`, so that they end with the boot, and only where the manager runs.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

struct Manager {
    runs: &'static str,
    directory: &'static str,
    file: &'static str,
    reload: &'static [&'static str],
}

const NETWORK_MANAGER: Manager = Manager {
    runs: "NetworkManager",
    directory: "NetworkManager/conf.d",
    file: "90-berth",
    reload: &["nmcli", "general", "reload", "conf"],
};
const NETWORKD: Manager = Manager {
    runs: "systemd/netif",
    directory: "systemd/network",
    file: "05-berth",
    reload: &["networkctl", "reload"],
};
const UDEV: Manager = Manager {
    runs: "udev",
    directory: "systemd/network",
    file: "05-berth",
    reload: &["udevadm", "control", "--reload"],
};

/// Writes the drop-ins of `instance` below `run` (usually `/run`).
pub(super) fn ensure(run: &Path, instance: &str) -> io::Result<()> {
    let (bridges, ports) = (format!("b{instance}*"), format!("v{instance}*"));
    let keyfile = format!("[keyfile]\nunmanaged-devices=interface-name:{bridges};interface-name:{ports}\n");
    put(run, &NETWORK_MANAGER, instance, "conf", &keyfile)?;
    put(run, &NETWORKD, instance, "network", &format!("[Match]\nName={bridges} {ports}\n[Link]\nUnmanaged=yes\n"))?;
    let link = format!("[Match]\nOriginalName={bridges} {ports}\n[Link]\nNamePolicy=keep\nMACAddressPolicy=none\n");
    put(run, &UDEV, instance, "link", &link)
}

/// Each manager with the ending of its drop-in.
const ALL: [(&Manager, &str); 3] = [(&NETWORK_MANAGER, "conf"), (&NETWORKD, "network"), (&UDEV, "link")];

/// Lists the drop-ins of `instance` that are there.
pub(super) fn present(run: &Path, instance: &str) -> Vec<PathBuf> {
    let paths = ALL.iter().map(|(manager, kind)| place(run, manager, instance, kind));
    paths.filter(|path| path.exists()).collect()
}

fn place(run: &Path, manager: &Manager, instance: &str, kind: &str) -> PathBuf {
    run.join(manager.directory).join(format!("{}-{instance}.{kind}", manager.file))
}

/// Removes the drop-ins of `instance`.
pub(super) fn ensure_gone(run: &Path, instance: &str) -> io::Result<()> {
    for (manager, kind) in ALL {
        let path = place(run, manager, instance, kind);
        match fs::remove_file(path) {
            Ok(()) => reload(manager),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn put(run: &Path, manager: &Manager, instance: &str, kind: &str, text: &str) -> io::Result<()> {
    let directory = run.join(manager.directory);
    let path = place(run, manager, instance, kind);
    if !run.join(manager.runs).exists() || fs::read_to_string(&path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    if !directory.exists() {
        fs::create_dir_all(&directory)?;
        fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
    }
    fs::write(&path, text)?;
    // networkd is no root, and the daemon's file mode mask lets nobody else read.
    fs::set_permissions(&path, Permissions::from_mode(0o644))?;
    reload(manager);
    Ok(())
}

/// A manager that does not answer reads its drop-ins when it starts.
fn reload(manager: &Manager) {
    let Some((program, arguments)) = manager.reload.split_first() else { return };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Err(error) = command.status() {
        tracing::debug!(program, %error, "a network manager was not told of its new drop-in");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_managers_that_run_get_a_drop_in() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("systemd/netif")).unwrap();
        let only_networkd = Manager { reload: &[], ..NETWORKD };
        put(place.path(), &only_networkd, "00c0ffee", "network", "text").unwrap();
        put(place.path(), &NETWORK_MANAGER, "00c0ffee", "conf", "text").unwrap();
        let drop_in = place.path().join("systemd/network/05-berth-00c0ffee.network");
        assert_eq!(fs::metadata(&drop_in).unwrap().permissions().mode() & 0o777, 0o644);
        assert!(!place.path().join("NetworkManager").exists());
    }
}
