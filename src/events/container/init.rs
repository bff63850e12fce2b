//! The first process of a container: of which kind it is, which process, and how it ended.

use serde::{Deserialize, Serialize};

use crate::types::{MemoryBound, Size, Span};

/// The signal that nothing can catch.
const SIGKILL: i32 = 9;
/// The code with which a shell ends when that ended what it ran.
const KILLED_CODE: i32 = 128 + SIGKILL;

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
    /// A signal ended the command that Berth's own init ran.
    CommandSignal(i32),
    /// The kernel ended it for want of memory.
    OutOfMemory {
        /// The container's limit, where it was that.
        limit: Option<Size>,
        /// What it fell to, as far as the kernel's log tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bound: Option<MemoryBound>,
    },
    /// Berth killed it: its time to stop was over, or nobody wanted to wait.
    Killed,
    /// It was killed while it was to stand still for want of room on the host: by Berth, if it wrote on.
    WroteOn,
    /// The supervisor was gone too: nobody saw it.
    Unknown,
}

impl Exit {
    /// Says whether the signal that nothing can catch brought it, or a shell says so of what it ran.
    pub const fn is_kill(self) -> bool {
        matches!(self, Self::Signal(SIGKILL) | Self::CommandSignal(SIGKILL) | Self::Code(KILLED_CODE))
    }

    /// Returns how init ended, in words.
    pub fn words(self) -> String {
        match self {
            Self::Code(code @ 129..=159) => {
                format!("exit code {code}, as a shell says {}", signal_name(code - 128))
            }
            Self::Code(code) => format!("exit code {code}"),
            Self::Signal(SIGKILL) => "killed by SIGKILL from outside Berth".to_owned(),
            // The kernel drops what a process of the container, or of the host, sends it and it has no handler for.
            Self::Signal(signal) => format!("ended by {}, a fault of its own", signal_name(signal)),
            Self::CommandSignal(SIGKILL) => "killed by SIGKILL, not by Berth".to_owned(),
            Self::CommandSignal(signal) => format!("ended by {}", signal_name(signal)),
            Self::OutOfMemory { limit, bound } => {
                format!("killed by the out-of-memory killer ({})", want_of_memory(bound, limit))
            }
            Self::Killed => "killed by Berth".to_owned(),
            Self::WroteOn => "killed while it was to stand still for want of room on the host".to_owned(),
            Self::Reboot => "reboot".to_owned(),
            Self::PowerOff => "power off".to_owned(),
            Self::Unknown => "exit unknown".to_owned(),
        }
    }
}

/// Returns what a process fell to that was ended for want of memory, in words.
pub(super) fn want_of_memory(bound: Option<MemoryBound>, limit: Option<Size>) -> String {
    let words = match (bound, limit) {
        (Some(MemoryBound::Machine), _) => "the machine had no memory left",
        (Some(MemoryBound::Around), _) => "the bound of all containers together",
        (Some(MemoryBound::Inside), _) => "a memory limit that was set inside",
        (Some(MemoryBound::Own) | None, Some(limit)) => return format!("memory limit {limit}"),
        (Some(MemoryBound::Own), None) => "a memory limit",
        (None, None) => "no memory left",
    };
    words.to_owned()
}

/// Says why a container does not run any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// Somebody asked, and it ended in time.
    Requested,
    /// Somebody asked, and it was killed.
    Killed {
        /// Why.
        why: KillReason,
    },
    /// It ended by itself.
    Exited,
    /// A stop had told it to end before that one was called off.
    CalledOff,
}

/// Says why an init was killed that was to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KillReason {
    /// Nobody wanted to wait.
    Asked,
    /// Somebody else did not want to wait.
    AskedMeanwhile,
    /// It had this long to end, and did not.
    Outlasted {
        /// How long.
        grace: Span,
    },
    /// It could not be told to end.
    Untold,
}

impl KillReason {
    /// Returns why, in words, behind a word for the deed: `killed`.
    pub fn after(self, deed: &str) -> String {
        match self {
            Self::Asked => format!("{deed} as asked"),
            Self::AskedMeanwhile => format!("{deed} before its grace was over, as another stop asked"),
            Self::Outlasted { grace } => format!("{deed}: init did not end within its grace of {grace}"),
            Self::Untold => format!("{deed}: init could not be told to end"),
        }
    }
}

/// Returns the name of a signal (signal(7)).
fn signal_name(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        SIGKILL => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return format!("signal {number}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_says_who_brought_it() {
        let out_of_memory = |bound, limit| Exit::OutOfMemory { limit, bound };
        let limit = Some(Size::from_mib(256));
        for (exit, words) in [
            (out_of_memory(None, limit), "killed by the out-of-memory killer (memory limit 256 MiB)"),
            (out_of_memory(None, None), "killed by the out-of-memory killer (no memory left)"),
            (
                out_of_memory(Some(MemoryBound::Inside), None),
                "killed by the out-of-memory killer (a memory limit that was set inside)",
            ),
            (
                out_of_memory(Some(MemoryBound::Machine), None),
                "killed by the out-of-memory killer (the machine had no memory left)",
            ),
            (Exit::Signal(9), "killed by SIGKILL from outside Berth"),
            (Exit::Signal(11), "ended by SIGSEGV, a fault of its own"),
            (Exit::CommandSignal(9), "killed by SIGKILL, not by Berth"),
            (Exit::CommandSignal(15), "ended by SIGTERM"),
            (Exit::CommandSignal(40), "ended by signal 40"),
            (Exit::Killed, "killed by Berth"),
            (Exit::Code(137), "exit code 137, as a shell says SIGKILL"),
            (Exit::Code(3), "exit code 3"),
        ] {
            assert_eq!(exit.words(), words);
        }
    }
}
