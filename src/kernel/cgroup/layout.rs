//! Which cgroup hierarchies the host has and where they are mounted.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use crate::kernel::failure::{Failure, Step as _};

/// One v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// As in `/proc/PID/cgroup`: `cpu,cpuacct`, `memory`, `name=systemd`.
    pub name: String,
    /// Its mount point.
    pub root: PathBuf,
}

impl Hierarchy {
    /// Tells whether this controller is attached here.
    pub fn has(&self, controller: &str) -> bool {
        self.name.split(',').any(|one| one == controller)
    }
}

/// The hierarchies of the host: pure v2 when there is no v1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The mount point of the unified tree.
    pub unified: PathBuf,
    /// The v1 hierarchies.
    pub v1: Vec<Hierarchy>,
}

impl Layout {
    /// Looks at the mounts of the caller's mount namespace.
    ///
    /// # Errors
    /// There is no unified tree (a v1-only host): kill and freeze would be missing.
    pub fn detect() -> Result<Self, Failure> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").step("read the mounts")?;
        let own = own_paths().step("read the own cgroups")?;
        Self::parse(&mounts, &own.into_keys().collect::<Vec<_>>())
            .ok_or_else(|| Failure::new("detect the cgroup layout", "no cgroup2 file system is mounted"))
    }

    /// `names` are the hierarchies that the kernel lists, so that options of the mount which are no controllers
    /// (`rw`, `xattr`) are told apart.
    fn parse(mounts: &str, names: &[String]) -> Option<Self> {
        let mut unified = None;
        let mut v1: Vec<Hierarchy> = Vec::new();
        for (kind, root, options) in mounts.lines().filter_map(parse_mount) {
            if kind == "cgroup2" {
                unified = Some(PathBuf::from(root));
            } else if kind == "cgroup"
                && let Some(name) = names.iter().find(|name| is_named_by(name, options))
                && !v1.iter().any(|known| known.name == *name)
            {
                v1.push(Hierarchy { name: name.clone(), root: PathBuf::from(root) });
            }
        }
        Some(Self { unified: unified?, v1 })
    }
}

/// Returns (type, mount point, super options) of a line of mountinfo (proc(5)).
fn parse_mount(line: &str) -> Option<(&str, &str, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    Some((after.next()?, before.split(' ').nth(4)?, after.nth(1)?))
}

fn is_named_by(name: &str, options: &str) -> bool {
    !name.is_empty() && name.split(',').all(|part| options.split(',').any(|option| option == part))
}

/// Returns the caller's own group in each hierarchy; the unified one has the empty name.
pub fn own_paths() -> io::Result<BTreeMap<String, String>> {
    fs::read_to_string("/proc/self/cgroup").map(|text| parse_paths(&text))
}

/// Reads the lines `number:controllers:path` of `/proc/PID/cgroup` (cgroups(7)).
pub fn parse_paths(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (name, path) = rest.split_once(':')?;
            Some((name.to_owned(), path.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn strange_mounts_never_panic(mounts in ".*( - .*)?", groups in "[0-9:a-z/\n]*") {
            let names: Vec<String> = parse_paths(&groups).into_keys().collect();
            let _ = Layout::parse(&mounts, &names);
        }
    }

    const HYBRID: &str = "\
38 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    #[test]
    fn a_hybrid_host_has_a_unified_tree_and_named_hierarchies() {
        let names = ["", "cpu,cpuacct", "memory", "name=systemd"].map(String::from);
        let layout = Layout::parse(HYBRID, &names).unwrap();
        assert_eq!(layout.unified, PathBuf::from("/sys/fs/cgroup/unified"));
        let found: Vec<_> = layout.v1.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(found, ["cpu,cpuacct", "memory", "name=systemd"]);
        assert!(layout.v1[0].has("cpuacct"));
    }

    #[test]
    fn a_pure_host_has_no_v1_and_a_v1_host_is_none() {
        let pure = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        assert!(Layout::parse(pure, &[String::new()]).unwrap().v1.is_empty());
        assert_eq!(Layout::parse("1 2 0:3 / / rw - ext4 /dev/vda rw\n", &[]), None);
    }

    #[test]
    fn own_paths_are_keyed_by_hierarchy() {
        let paths = parse_paths("4:memory:/a/b\n0::/\n");
        assert_eq!(paths["memory"], "/a/b");
        assert_eq!(paths[""], "/");
    }
}
