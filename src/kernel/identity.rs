//! The identity of a process: (boot, pid, start time). A bare pid is used again by the kernel, this is not.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use serde::{Deserialize, Serialize};

/// Names one process for all time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The boot in which it ran, as [`boot_id`] tells it.
    pub boot: String,
    /// The pid in the host's pid namespace.
    pub pid: i32,
    /// The start time in clock ticks since the boot (proc(5), field 22 of `stat`).
    pub started: u64,
}

/// The inode of the first pid namespace (`PROC_PID_INIT_INO` of linux/proc_ns.h).
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Returns the id of this boot: the kernel's; inside a container, which boots without the kernel, with the start time of
/// the container's first process behind a `+`.
pub fn boot_id() -> io::Result<String> {
    let kernel = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    boot_of(kernel.trim(), fs::metadata("/proc/self/ns/pid")?.ino())
}

fn boot_of(kernel: &str, pid_namespace: u64) -> io::Result<String> {
    if pid_namespace == FIRST_PID_NAMESPACE {
        return Ok(kernel.to_owned());
    }
    Ok(format!("{kernel}+{}", stat(1)?.1))
}

/// Reads state letter and start time out of `/proc/PID/stat`; the name in parentheses may hold anything.
fn parse_stat(text: &str) -> Option<(char, u64)> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

fn stat(pid: i32) -> io::Result<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

impl ProcessIdentity {
    /// Returns the identity of a process that runs now.
    pub fn of(pid: i32) -> io::Result<Self> {
        Self::in_boot(&boot_id()?, pid)
    }

    /// Does the same where it is known which boot this is.
    pub fn in_boot(boot: &str, pid: i32) -> io::Result<Self> {
        Ok(Self { boot: boot.to_owned(), pid, started: stat(pid)?.1 })
    }

    /// Tells whether exactly this process still runs (a zombie does not).
    pub fn is_alive(&self) -> bool {
        let same_boot = boot_id().is_ok_and(|boot| boot == self.boot);
        same_boot && stat(self.pid).is_ok_and(|(state, started)| started == self.started && !"ZX".contains(state))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_container_that_boots_again_is_another_boot_and_a_host_is_not() {
        assert_eq!(boot_of("k", FIRST_PID_NAMESPACE).unwrap(), "k");
        let first = stat(1).unwrap().1;
        assert_eq!(boot_of("k", FIRST_PID_NAMESPACE + 1).unwrap(), format!("k+{first}"));
    }

    proptest! {
        #[test]
        fn a_strange_stat_line_never_panics(text in ".*") {
            let _ = parse_stat(&text);
        }
    }

    #[test]
    fn the_name_of_a_process_cannot_fake_its_fields() {
        let text = "7 (evil) S 1 2) Z 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4711 1 1";
        assert_eq!(parse_stat(text), Some(('Z', 4711)));
    }

    #[test]
    fn the_own_process_is_alive_and_one_of_another_boot_is_not() {
        let own = ProcessIdentity::of(std::process::id() as i32).unwrap();
        assert!(own.is_alive());
        assert!(!ProcessIdentity { boot: "x".into(), ..own.clone() }.is_alive());
        assert!(!ProcessIdentity { started: own.started + 1, ..own }.is_alive());
    }
}
