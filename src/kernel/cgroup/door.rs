//! The way of a new process into v1 groups without a wait.
//!
//! A process moved by another one through `cgroup.procs` waits for a grace period of the whole machine: the kernel
//! first keeps everybody from forking and ending (`cgroup_threadgroup_rwsem`), 10 to 20 ms where no other move came
//! shortly before. A single thread that moves itself through `tasks` by writing `0` cannot fork or end meanwhile, so
//! the kernel (5.16 on) takes no such lock, and a process with one thread is moved whole by that. On the unified tree
//! a process is born in its group (`CLONE_INTO_CGROUP`) and needs none of this.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::kernel::failure::{Failure, Step as _};

/// Open ways into groups. Whoever opened them decides what is allowed, not whoever goes through: a child that has
/// changed its namespaces and ids still can.
#[derive(Debug)]
pub struct Doors(Vec<(PathBuf, File)>);

impl Doors {
    /// Opens the way into each of these v1 groups.
    ///
    /// # Errors
    /// Names the group that is not there.
    pub fn open<'a>(groups: impl IntoIterator<Item = &'a Path>) -> Result<Self, Failure> {
        let open = |group: &Path| {
            let path = group.join("tasks");
            let file = OpenOptions::new().write(true).open(&path).step(&format!("open {}", path.display()))?;
            Ok((path, file))
        };
        groups.into_iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// Moves the calling process, which has one thread, into every group.
    ///
    /// # Errors
    /// Names the group that refused.
    pub fn pass(self) -> Result<(), Failure> {
        self.0
            .into_iter()
            .try_for_each(|(path, mut file)| file.write_all(b"0").step(&format!("join {}", path.display())))
    }
}
