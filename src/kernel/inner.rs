//! User namespaces within a container's own.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::sys::capability;

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
    thread > 0 && capability::effective_of(thread).is_ok_and(|set| set & (1 << SYS_ADMIN) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_that_has_gone_may() {
        let own = UserNamespace::of(std::process::id() as i32).unwrap();
        assert!(UserNamespace::of(0).is_none() && !own.lets_make_another(0));
    }
}
