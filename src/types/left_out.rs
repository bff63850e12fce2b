//! What stayed behind when files left a container, because it would have meant something to the host.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Counts what was left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Files and directories with set-uid or set-gid.
    #[serde(default)]
    pub set_ids: u64,
    /// Files with capabilities.
    #[serde(default)]
    pub capabilities: u64,
    /// Device nodes.
    #[serde(default)]
    pub devices: u64,
    /// Attributes that the kernel or a security module of the host would read.
    #[serde(default)]
    pub attributes: u64,
    /// Files and directories with access control lists, which name users of the container.
    #[serde(default)]
    pub access_lists: u64,
}

impl LeftOut {
    /// Says whether nothing was left out.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (self.set_ids, "set-uid or set-gid"),
            (self.capabilities, "file capabilities"),
            (self.devices, "device nodes"),
            (self.attributes, "security attributes"),
            (self.access_lists, "access control lists"),
        ];
        let told: Vec<_> =
            kinds.iter().filter(|(count, _)| *count > 0).map(|(count, kind)| format!("{kind}: {count}")).collect();
        f.write_str(if told.is_empty() { "nothing" } else { "" })?;
        f.write_str(&told.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_what_there_is_and_nothing_else() {
        assert_eq!(LeftOut::default().to_string(), "nothing");
        let some = LeftOut { set_ids: 2, devices: 1, ..LeftOut::default() };
        assert_eq!(some.to_string(), "set-uid or set-gid: 2, device nodes: 1");
        assert!(!some.is_empty());
    }
}
