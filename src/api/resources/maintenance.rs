//! What is asked of maintenance.

use serde::{Deserialize, Serialize};

/// Is the body of `POST /v1/maintenance`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunMaintenance {
    /// `defragment` or `update-check`.
    pub action: String,
    /// Which containers.
    #[serde(default)]
    pub containers: Vec<String>,
    /// Whether all there are.
    #[serde(default)]
    pub all: bool,
    /// How many at the same time, where there are several; one if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<u32>,
}
