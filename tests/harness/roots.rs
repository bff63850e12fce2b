//! Roots to boot: busybox alone, and Debian with systemd.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{fs, io};

use super::{Stop, scratch, skipped};

/// A root of busybox alone, with an init that ends at USR2 (power off) and TERM (reboot).
pub fn busybox() -> Result<PathBuf, Stop> {
    static ROOT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = ROOT.get_or_init(|| make_busybox().map_err(|error| error.to_string()));
    made.clone().map_err(|reason| skipped("busybox", reason))
}

fn make_busybox() -> io::Result<PathBuf> {
    let cached = concat!(env!("CARGO_MANIFEST_DIR"), "/target/fixtures/busybox");
    let busybox = ["/bin/busybox", "/usr/bin/busybox", cached].into_iter().find(|path| Path::new(path).exists());
    let busybox = busybox.ok_or_else(|| io::Error::other("no busybox on this host"))?;
    let root = scratch().join("busybox-root");
    for folder in ["bin", "sbin", "etc", "proc", "sys", "dev", "run", "tmp", "root", "usr/bin"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::copy(busybox, root.join("bin/busybox"))?;
    let applets = Command::new(busybox).arg("--list").output()?;
    for name in String::from_utf8_lossy(&applets.stdout).lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(name))?;
    }
    symlink("../bin/busybox", root.join("sbin/init"))?;
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/tmp:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\ntty:x:5:\nsudo:x:27:ann\n")?;
    fs::write(root.join("etc/inittab"), "::sysinit:/bin/echo berth-sysinit\n::respawn:/bin/sleep 1000\n")?;
    Ok(root)
}

/// Debian with systemd, made by mmdebstrap once and kept as a tar below target/.
pub fn debian() -> Result<PathBuf, Stop> {
    static ROOT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = ROOT.get_or_init(|| make_debian().map_err(|error| error.to_string()));
    made.clone().map_err(|reason| skipped("mmdebstrap", reason))
}

fn make_debian() -> io::Result<PathBuf> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fixtures");
    fs::create_dir_all(&cache)?;
    let archive = cache.join("debian.tar");
    if !archive.exists() {
        let part = cache.join("debian.part.tar");
        let packages = "--include=systemd,systemd-sysv,dbus,libpam-systemd";
        run(Command::new("mmdebstrap").args(["--variant=minbase", packages, "bookworm"]).arg(&part))?;
        fs::rename(part, &archive)?;
    }
    let root = scratch().join("debian-root");
    fs::create_dir_all(&root)?;
    let keep = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"];
    run(Command::new("tar").args(keep).arg(archive).arg("-C").arg(&root))?;
    fs::write(root.join("etc/machine-id"), "")?;
    Ok(root)
}

/// Runs a program to its end; what it said to standard error is the error.
pub fn run(command: &mut Command) -> io::Result<String> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))))
}
