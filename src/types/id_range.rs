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
