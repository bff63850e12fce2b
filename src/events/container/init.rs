//! The first process of a container: of which kind it is, which process, and how it ended.

use serde::{Deserialize, Serialize};

/// Says which program a template starts as process 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitKind {
    /// systemd, stopped by SIGRTMIN+3 (systemd(1), "Signals").
    Systemd,
    /// OpenRC under its own init, stopped by SIGINT… as sysvinit is: `halt` through the control fifo, else SIGTERM.
    Openrc,
    /// busybox init, stopped by SIGUSR2.
    Busybox,
    /// Any other `/sbin/init`, stopped by SIGTERM.
    Other,
}

/// Identifies a process beyond the reuse of its number: pid and start time, within one boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The boot in which it runs.
    pub boot: String,
    /// Its number on the host.
    pub pid: u32,
    /// Its start in clock ticks since boot (proc_pid_stat(5), field 22).
    pub started: u64,
}

/// Says how a container's init ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// It returned a code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It asked for a reboot (reboot(2), "Behavior inside PID namespaces").
    Reboot,
    /// It powered itself off.
    PowerOff,
    /// The supervisor was gone too: nobody saw it.
    Unknown,
}

impl Exit {
    /// Returns how init ended, in words.
    pub fn words(self) -> String {
        match self {
            Self::Code(code) => format!("exit code {code}"),
            Self::Signal(signal) => format!("signal {signal}"),
            Self::Reboot => "reboot".to_owned(),
            Self::PowerOff => "power off".to_owned(),
            Self::Unknown => "exit unknown".to_owned(),
        }
    }
}

/// Says why a container does not run any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// Somebody asked, and it ended in time.
    Requested,
    /// Somebody asked, and it had to be killed.
    Killed,
    /// It ended by itself.
    Exited,
}
