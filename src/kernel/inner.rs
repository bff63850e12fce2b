//! User namespaces within a container's own.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

/// `CAP_SYS_ADMIN` of linux/capability.h.
const SYS_ADMIN: u32 = 21;

/// Names a user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserNamespace {
    device: u64,
    number: u64,
}

impl UserNamespace {
    /// Looks up the one that a process is in.
    pub fn of(process: i32) -> Option<Self> {
        let found = fs::metadata(format!("/proc/{process}/ns/user")).ok()?;
        Some(Self { device: found.dev(), number: found.ino() })
    }

    /// Tells whether a thread may have one of its own, where this is the container's: in it the thread has the capabilities
    /// that it would have there, and within another one nobody gets one.
    pub fn lets_make_another(self, thread: i32) -> bool {
        Self::of(thread) == Some(self) && is_administrator(thread)
    }
}

fn is_administrator(thread: i32) -> bool {
    fs::read_to_string(format!("/proc/{thread}/status")).is_ok_and(|text| has_capability(&text, SYS_ADMIN))
}

fn has_capability(status: &str, number: u32) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = line.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    set.is_some_and(|set| set & (1 << number) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_set_is_what_counts() {
        let status = "Name:\tCapEff: ffff\nCapPrm:\t00000000ffffffff\nCapEff:\t0000000000200000\n";
        assert!(has_capability(status, SYS_ADMIN) && !has_capability(status, 20));
        assert!(
            !has_capability("CapPrm:\t00000000ffffffff\n", SYS_ADMIN) && !has_capability("CapEff:\tx\n", SYS_ADMIN)
        );
    }

    #[test]
    fn nobody_that_has_gone_may() {
        let own = UserNamespace::of(std::process::id() as i32).unwrap();
        assert!(UserNamespace::of(0).is_none() && !own.lets_make_another(0));
    }
}
