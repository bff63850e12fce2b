//! The ids of a container on the host.

use serde::{Deserialize, Serialize};

/// Is a range of user and group ids on the host that stand for 0, 1, 2 … inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The host's id of the container's root.
    pub base: u32,
    /// How many ids.
    pub count: u32,
}

impl IdRange {
    /// Tells whether an id is in it.
    pub const fn contains(&self, id: u32) -> bool {
        id >= self.base && id - self.base < self.count
    }
}
