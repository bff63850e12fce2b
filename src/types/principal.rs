//! Who asked for something, how they proved it, and from where.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names the one who caused an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// Who: a user name, `schedule/nightly`, or `berth` for what the runtime does by itself.
    pub who: String,
    /// How they were recognised: `peer-credentials uid 0`, `runtime`.
    pub how: String,
}

impl Principal {
    /// Returns the runtime itself: recovery, reconciliation, deadlines.
    pub fn runtime() -> Self {
        Self { who: "berth".to_owned(), how: "runtime".to_owned() }
    }

    /// Returns the schedule of that name.
    pub fn schedule(name: &str) -> Self {
        Self { who: format!("schedule/{name}"), how: "runtime".to_owned() }
    }

    /// Returns a local user whom the kernel vouches for (`SO_PEERCRED`, unix(7)).
    pub fn local(name: &str, uid: u32) -> Self {
        Self { who: name.to_owned(), how: format!("peer-credentials uid {uid}") }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.who)
    }
}
