//! One cgroup per container, on pure v2 and on hybrid hosts behind the same interface.
//!
//! On a hybrid host a container has a directory in every v1 hierarchy (limits, devices), in `name=systemd` and in the
//! unified tree; on a pure v2 host there is the one directory. Birth, kill, freeze and pressure are always the
//! unified tree's: a group frozen by the v1 freezer does not die on `cgroup.kill`. Nothing of v1 is ever given to the
//! container.

mod devices;
mod door;
mod guard;
mod hybrid;
mod layout;
mod limits;
mod statistics;
mod tree;
mod unified;
mod walk;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use door::Doors;
use layout::parse_paths;
pub use layout::{Hierarchy, Layout, own_paths};
pub use limits::Limits;
pub use statistics::Statistics;
pub use walk::{Walk, remove};

use super::failure::{Failure, Step as _};
use crate::sys::descriptor;

/// How long the kernel may take to freeze every process.
const FREEZE_PATIENCE: Duration = Duration::from_secs(5);
/// How long the directories of a group that was killed may stay busy.
const REMOVE_PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(1);

/// The cgroup of one container (or another named one), in every hierarchy of the host.
#[derive(Debug, Clone)]
pub struct Cgroup {
    /// The mount point of the unified tree.
    root: PathBuf,
    unified: PathBuf,
    v1: Vec<(Hierarchy, PathBuf)>,
}

impl Cgroup {
    /// Names the group `name` (such as `berth-1a2b3c4d/CONTAINER`) below `parent` (a path from the root of each
    /// hierarchy), or below the caller's own group of each hierarchy. Makes nothing.
    pub fn at(layout: &Layout, parent: Option<&str>, name: &str) -> Result<Self, Failure> {
        Ok(Self::below(layout, parent, &own_paths().step("read the own cgroups")?, name))
    }

    /// Names it as [`Cgroup::at`] does for a caller with these own groups, by the names of the hierarchies: those of the
    /// daemon that started the container, which may run elsewhere today.
    pub fn below(layout: &Layout, parent: Option<&str>, own: &BTreeMap<String, String>, name: &str) -> Self {
        let place = |hierarchy: &str, root: &Path| {
            let below = parent.or_else(|| own.get(hierarchy).map(String::as_str)).unwrap_or("/");
            root.join(below.trim_start_matches('/')).join(name)
        };
        let v1 = layout.v1.iter().map(|one| (one.clone(), place(&one.name, &one.root))).collect();
        Self { root: layout.unified.clone(), unified: place("", &layout.unified), v1 }
    }

    /// Returns the directory in the unified tree.
    pub fn unified_path(&self) -> &Path {
        &self.unified
    }

    /// Returns its path in the hierarchy that counts memory, as the kernel names it in its log; nothing where that is not
    /// counted by a group of this hierarchy.
    pub fn memory_path(&self) -> Option<String> {
        let v1 = self.v1.iter().find(|(hierarchy, _)| hierarchy.has("memory"));
        let (root, path) = v1.map_or((&self.root, &self.unified), |(hierarchy, path)| (&hierarchy.root, path));
        Some(format!("/{}", path.strip_prefix(root).ok()?.display()))
    }

    /// Tells whether limits are v1's here.
    pub fn is_hybrid(&self) -> bool {
        !self.v1.is_empty()
    }

    /// Returns the names of the groups directly below this one: for an instance's group, the containers that left a
    /// mark on the host.
    pub fn names_below(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.unified) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    /// Makes room for the groups of containers: on a pure v2 host a group that passes controllers on may have no
    /// processes, so those of the caller's own group (the service's, the session's, the root of a container's namespace)
    /// move into its leaf `leaf`. Controllers that a level above does not pass on yet are switched on where it can be.
    ///
    /// Returns what is to be given as parent from then on; none on a hybrid host, where nothing is to be done.
    ///
    /// # Errors
    /// The group is not delegated to the caller.
    pub fn make_room(layout: &Layout, leaf: &str) -> Result<Option<String>, Failure> {
        if !layout.v1.is_empty() {
            return Ok(None);
        }
        let own = own_paths().step("read the own cgroup")?.remove("").unwrap_or_default();
        let own = own.trim_matches('/');
        let below = match own.strip_suffix(leaf) {
            Some(above) if above.is_empty() || above.ends_with('/') => above.trim_end_matches('/'),
            _ => own,
        };
        let group = layout.unified.join(below);
        // The root of the whole tree is the one group that may have both; it has no type.
        if below == own && group.join("cgroup.type").exists() {
            tree::vacate(&group, leaf)?;
        }
        unified::pass_on(&layout.unified, &group);
        Ok(Some(below.to_owned()))
    }

    /// Moves every process that is in the group itself into its child `leaf`, which is made.
    ///
    /// # Errors
    /// The caller may not move one of them, or new ones come as fast as they are moved.
    pub fn vacate(&self, leaf: &str) -> Result<(), Failure> {
        tree::vacate(&self.unified, leaf)
    }

    fn v1_path(&self, controller: &str) -> Option<&Path> {
        self.v1.iter().find(|(hierarchy, _)| hierarchy.has(controller)).map(|(_, path)| path.as_path())
    }

    /// Makes the group of a container in every hierarchy, with the bounds that every one has. On v2 the controllers are
    /// switched on down the path, which the kernel refuses below a group that has processes of its own.
    ///
    /// # Errors
    /// Names the directory or controller that was refused.
    pub fn ensure(&self) -> Result<(), Failure> {
        self.make(!self.is_hybrid())?;
        guard::bound_groups(&self.unified)?;
        let instance = self.v1.iter().map(|(_, path)| path).chain([&self.unified]).filter_map(|path| path.parent());
        instance.into_iter().try_for_each(guard::bound_instance)
    }

    /// Makes the group alone, with no controller switched on for it: also possible below a group that has processes, such
    /// as the one of the caller.
    ///
    /// # Errors
    /// Names the directory that was refused.
    pub fn ensure_bare(&self) -> Result<(), Failure> {
        self.make(false)
    }

    fn make(&self, controllers: bool) -> Result<(), Failure> {
        unified::ensure(&self.unified, controllers)?;
        for (hierarchy, path) in &self.v1 {
            hybrid::ensure(hierarchy, path)?;
        }
        Ok(())
    }

    /// Allows the devices every container has, loop devices if they are asked for, and refuses all others.
    ///
    /// # Errors
    /// The kernel refuses the device program (no `CAP_BPF`) or has no device controller.
    pub fn restrict_devices(&self, loops: bool) -> Result<(), Failure> {
        match self.v1_path("devices") {
            Some(path) => devices::restrict_v1(path, loops),
            None => devices::restrict_v2(&self.unified, loops),
        }
    }

    /// Sets every limit, live; what is not given becomes unlimited.
    ///
    /// # Errors
    /// Names the limit whose controller is missing or whose value is refused (less memory than is in use).
    pub fn set_limits(&self, limits: &Limits) -> Result<(), Failure> {
        if self.is_hybrid() {
            hybrid::set_limits(&|controller| self.v1_path(controller), limits)
        } else {
            unified::set_limits(&self.unified, limits)
        }
    }

    /// Opens the unified directory as the birth place of a process.
    pub fn open(&self) -> Result<OwnedFd, Failure> {
        descriptor::open_directory(&self.unified).step("open the cgroup")
    }

    /// Opens the unified group that a process of the container is in: one below this, since a group that passes controllers
    /// on takes no processes.
    ///
    /// # Errors
    /// It is in none of them.
    pub fn open_group_of(&self, pid: i32, layout: &Layout) -> Result<OwnedFd, Failure> {
        let told = fs::read_to_string(format!("/proc/{pid}/cgroup"));
        let path = told.ok().and_then(|text| parse_paths(&text).remove(""));
        let named = path.map(|path| descriptor::open_directory(&layout.unified.join(path.trim_start_matches('/'))));
        match named {
            Some(Ok(group)) => Ok(group),
            // The kernel tells no path that is longer than 4096 bytes, and takes none.
            _ => self.find_group_of(pid).step("find the cgroup of the process"),
        }
    }

    fn find_group_of(&self, pid: i32) -> io::Result<OwnedFd> {
        let pid = pid.to_string();
        let mut walk = Walk::at(&self.unified, guard::DEPTH_MAX)?.ok_or(io::ErrorKind::NotFound)?;
        loop {
            let processes = walk.read("cgroup.procs")?.unwrap_or_default();
            if processes.lines().any(|line| line == pid) {
                return walk.here()?.try_clone_to_owned();
            }
            walk.down()?.ok_or(io::ErrorKind::NotFound)?;
        }
    }

    /// Opens the way into every v1 hierarchy of the group, for a child that is about to be born; the unified one is
    /// joined at birth.
    ///
    /// # Errors
    /// Names the directory that is not there.
    pub fn open_v1(&self) -> Result<Doors, Failure> {
        Doors::open(self.v1.iter().map(|(_, path)| path.as_path()))
    }

    /// Gives the group's subtree to the root of the container: the unified directory, never the limit files, and nothing
    /// of v1, where no number of groups can be bounded.
    pub fn delegate(&self, owner: u32) -> Result<(), Failure> {
        tree::delegate(&self.unified, &unified::DELEGATED, owner)
    }

    /// Freezes every process, and waits a while until the kernel says that all are at rest. Returns whether they are: one
    /// that is in the kernel freezes when it leaves there, and runs nothing of its own before.
    ///
    /// # Errors
    /// The group is gone.
    pub fn freeze(&self) -> Result<bool, Failure> {
        self.write_freeze("1")?;
        let deadline = Instant::now() + FREEZE_PATIENCE;
        while !self.event("frozen")? {
            if Instant::now() > deadline {
                return Ok(false);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(true)
    }

    /// Tells every process to stand still, and waits for none.
    ///
    /// # Errors
    /// The group is gone.
    pub fn tell_to_freeze(&self) -> Result<(), Failure> {
        self.write_freeze("1")
    }

    /// Lets every process go on.
    pub fn thaw(&self) -> Result<(), Failure> {
        self.write_freeze("0")
    }

    /// Tells whether the group is told to stand still; one that is gone has nothing that moves.
    pub fn is_told_to_freeze(&self) -> bool {
        tree::read(&self.unified, "cgroup.freeze").map_or(true, |text| text.trim() == "1")
    }

    fn write_freeze(&self, value: &str) -> Result<(), Failure> {
        tree::write(&self.unified, "cgroup.freeze", value)
    }

    /// Kills every process of the group and below (`cgroup.kill`, kernel 5.14).
    pub fn kill(&self) -> Result<(), Failure> {
        tree::write(&self.unified, "cgroup.kill", "1")
    }

    /// Tells whether every process is to stand still and one does not yet.
    ///
    /// # Errors
    /// The group is gone.
    pub fn is_settling(&self) -> Result<bool, Failure> {
        let wanted = tree::read(&self.unified, "cgroup.freeze").step("read cgroup.freeze")?;
        Ok(wanted.trim() == "1" && !self.event("frozen")?)
    }

    /// Lists the processes of the group and below; none if it is gone.
    ///
    /// # Errors
    /// A group cannot be read.
    pub fn processes(&self) -> io::Result<Vec<i32>> {
        let Some(mut walk) = Walk::at(&self.unified, guard::DEPTH_MAX)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        loop {
            let listed = walk.read("cgroup.procs")?.unwrap_or_default();
            found.extend(listed.lines().filter_map(|line| line.parse::<i32>().ok()));
            if walk.down()?.is_none() {
                return Ok(found);
            }
        }
    }

    /// Tells whether any process is in the group or below.
    pub fn is_populated(&self) -> Result<bool, Failure> {
        self.event("populated")
    }

    fn event(&self, name: &str) -> Result<bool, Failure> {
        let text = tree::read(&self.unified, "cgroup.events").step("read cgroup.events")?;
        Ok(statistics::field(&text, name) == Some(1))
    }

    /// Tells whether the group is there.
    pub fn exists(&self) -> bool {
        self.unified.exists()
    }

    /// Returns the directories of the group that are there, in any hierarchy.
    pub fn directories(&self) -> Vec<PathBuf> {
        let all = self.v1.iter().map(|(_, path)| path).chain([&self.unified]);
        all.filter(|path| path.exists()).cloned().collect()
    }

    /// Reads what the group uses and what its limits did.
    pub fn statistics(&self) -> Statistics {
        if self.is_hybrid() {
            hybrid::statistics(&|controller| self.v1_path(controller))
        } else {
            unified::statistics(&self.unified)
        }
    }

    /// Counts the processes that were ended for want of memory and those that the limit refused: what can be asked often.
    pub fn hits(&self) -> (Option<u64>, Option<u64>) {
        if self.is_hybrid() {
            let find = |controller: &str| self.v1_path(controller);
            (hybrid::oom_kills(&find), hybrid::pids_refused(&find))
        } else {
            (unified::oom_kills(&self.unified), unified::pids_refused(&self.unified))
        }
    }

    /// Returns the limit on processes and threads, if no more than one more would fit.
    pub fn pids_limit_reached(&self) -> Option<u64> {
        let group = if self.is_hybrid() { self.v1_path("pids")? } else { &self.unified };
        let limit: u64 = tree::read(group, "pids.max").ok()?.trim().parse().ok()?;
        let used: u64 = tree::read(group, "pids.current").ok()?.trim().parse().ok()?;
        (used + 1 >= limit).then_some(limit)
    }

    /// Returns the bytes that the group has written and no disk has yet; nothing without the memory controller.
    pub fn unwritten(&self) -> Option<u64> {
        let (path, names) = match self.v1_path("memory") {
            Some(path) => (path, ["total_dirty", "total_writeback"]),
            None => (self.unified.as_path(), ["file_dirty", "file_writeback"]),
        };
        let text = tree::read(path, "memory.stat").ok()?;
        let [dirty, writeback] = names.map(|name| statistics::field(&text, name));
        Some(dirty? + writeback.unwrap_or(0))
    }

    /// Removes the group and everything below it, deepest first; a group that is gone is no error. Directories whose
    /// last process has only just died are tried again for a while.
    ///
    /// # Errors
    /// A process is still there.
    pub fn remove(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + REMOVE_PATIENCE;
        let paths = self.v1.iter().map(|(_, path)| path).chain([&self.unified]);
        for path in paths {
            while let Err(error) = walk::remove(path) {
                if error.kind() != io::ErrorKind::ResourceBusy || Instant::now() > deadline {
                    return Err(error).step(&format!("remove the cgroup {}", path.display()));
                }
                std::thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    /// Removes the directory above, where it holds no other container; for the last container of an instance.
    pub fn remove_empty_parent(&self) {
        for path in self.v1.iter().map(|(_, path)| path).chain([&self.unified]) {
            if let Some(parent) = path.parent() {
                let _ = fs::remove_dir(parent);
            }
        }
    }
}
