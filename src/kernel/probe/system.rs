//! Privilege, kernel interfaces, device nodes, file systems and programs.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Feature, Weight};
use crate::sys::{capability, loop_device, process, seccomp, socket};

/// `CAP_SYS_RESOURCE` and `CAP_SYS_ADMIN` of capabilities(7).
const SYS_RESOURCE: u64 = 1 << 24;
const SYS_ADMIN: u64 = 1 << 21;
const FILE_SYSTEMS: [(&str, Weight); 5] = [
    ("overlay", Weight::Required),
    ("ext4", Weight::Optional),
    ("btrfs", Weight::Optional),
    ("xfs", Weight::Optional),
    ("fuse", Weight::Optional),
];
const PROGRAMS: [&str; 10] =
    ["mkfs.ext4", "e2fsck", "resize2fs", "mkfs.btrfs", "mkfs.xfs", "fstrim", "e4defrag", "nft", "mmdebstrap", "criu"];
const PROGRAM_FOLDERS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn probe() -> Vec<Feature> {
    use Weight::{Fact, Optional, Required};
    let mut features = vec![
        Feature::new("root", Required, root()),
        Feature::new("CAP_SYS_ADMIN", Required, has_capability(SYS_ADMIN, "no mount and no namespace is possible")),
        Feature::new(
            "CAP_SYS_RESOURCE",
            Optional,
            has_capability(SYS_RESOURCE, "ext4 cannot grow while it is mounted"),
        ),
        Feature::new("kernel", Fact, read("/proc/sys/kernel/osrelease")),
        Feature::new("pidfd", Required, text(process::open_pidfd(process::own_pid()).map(|_| String::new()))),
        Feature::new("seccomp", Required, yes_or(seccomp::is_available(), "the kernel has no system call filters")),
        Feature::new("loop devices", Optional, text(loop_device::control_answers().map(|()| String::new()))),
        Feature::new("tun", Optional, node("/dev/net/tun")),
        Feature::new("fuse device", Optional, node("/dev/fuse")),
        Feature::new("nf_tables", Optional, text(socket::nf_tables_answers().map(|()| String::new()))),
        Feature::new("VLAN", Optional, vlan()),
        Feature::new("security modules", Fact, read("/sys/kernel/security/lsm")),
    ];
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    features.extend(FILE_SYSTEMS.map(|(name, weight)| {
        let there = known.lines().any(|line| line.split_whitespace().last() == Some(name));
        Feature::new(
            &format!("{name} file system"),
            weight,
            yes_or(there, "not in /proc/filesystems (a module may be loadable)"),
        )
    }));
    features.extend(PROGRAMS.map(|name| Feature::new(name, Optional, program(name))));
    features
}

fn yes_or(there: bool, reason: &str) -> Result<String, String> {
    if there { Ok(String::new()) } else { Err(reason.to_owned()) }
}

fn text(result: std::io::Result<String>) -> Result<String, String> {
    result.map_err(|error| error.to_string())
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(|error| format!("{path}: {error}"))
}

fn root() -> Result<String, String> {
    yes_or(process::effective_user() == 0, "containers can be started by root alone")
}

fn has_capability(bit: u64, without: &str) -> Result<String, String> {
    let effective = capability::effective().map_err(|error| error.to_string())?;
    yes_or(effective & bit != 0, without)
}

fn node(path: &str) -> Result<String, String> {
    fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .map(|_| path.to_owned())
        .map_err(|error| format!("{path}: {error}"))
}

/// Looks for the driver: loaded or built in, or as a module of the running kernel.
fn vlan() -> Result<String, String> {
    if Path::new("/proc/net/vlan").exists() {
        return Ok("loaded".to_owned());
    }
    let release = read("/proc/sys/kernel/osrelease")?;
    let folder = PathBuf::from(format!("/lib/modules/{release}/kernel/net/8021q"));
    yes_or(folder.exists(), "the kernel has no 802.1q driver").map(|_| "as a module".to_owned())
}

fn program(name: &str) -> Result<String, String> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(PROGRAM_FOLDERS.split(':'))
        .map(|folder| Path::new(folder).join(name))
        .find(|candidate| candidate.is_file())
        .map(|found| found.display().to_string())
        .ok_or_else(|| "not found on PATH".to_owned())
}
