//! What a container may use at most, and how that is to change.

use serde::{Deserialize, Deserializer, Serialize};

use crate::types::{Cpus, Size};

/// Says what a container may use at most; nothing means as much as there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Memory, swap included.
    pub memory: Option<Size>,
    /// Processor time.
    pub cpus: Option<Cpus>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Size of the disk.
    pub disk: Size,
}

impl Limits {
    /// Returns these limits with `change` made.
    pub fn with(self, change: LimitChange) -> Self {
        Self {
            memory: change.memory.unwrap_or(self.memory),
            cpus: change.cpus.unwrap_or(self.cpus),
            pids: change.pids.unwrap_or(self.pids),
            disk: change.disk.unwrap_or(self.disk),
        }
    }

    /// Returns the limits in words.
    pub fn words(self) -> String {
        let show = |value: Option<String>| value.unwrap_or_else(|| "unlimited".to_owned());
        format!(
            "memory {}, cpus {}, processes {}, disk {}",
            show(self.memory.map(|size| size.to_string())),
            show(self.cpus.map(|cpus| cpus.to_string())),
            show(self.pids.map(|pids| pids.to_string())),
            self.disk
        )
    }
}

/// Says which limits are to become what; nothing leaves a limit as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LimitChange {
    /// Memory; the inner nothing lifts the limit.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub memory: Option<Option<Size>>,
    /// Processor time.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub cpus: Option<Option<Cpus>>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub pids: Option<Option<u64>>,
    /// Size of the disk; it only grows.
    pub disk: Option<Size>,
}

/// Tells a limit that is lifted (`null`) from one that stays as it is (not there): serde takes both for nothing.
#[allow(clippy::option_option)] // Three cases, as the fields have them.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
