//! What an instance has on this host, found by the eight digits that every name of it carries, and how it is removed without
//! its daemon and without its state directory.
//!
//! Whether an instance is dead is not decided here. Everything can be done again: what is gone is passed by.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::firewall;
use super::listing::known_entries;
use super::network::{Networks, drop_ins, links_of};
use super::paths::RUN;
use crate::kernel::cgroup::{self, Walk};
use crate::sys::loop_device::{self, LoopDevice};
use crate::sys::{mount, process, signal};

/// Where the folders of all instances lie.
const CGROUPS: &str = "/sys/fs/cgroup";
/// How long processes may take to be gone, and their control groups with them.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// Is one thing of an instance on this host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leftover {
    /// What kind of thing it is.
    pub kind: &'static str,
    /// Which.
    pub name: String,
}

/// Finds what one instance has on this host.
pub struct Instance<'a> {
    /// Its eight hexadecimal digits.
    pub digits: &'a str,
    /// Where its state was, if that is known: its loop devices are found by it.
    pub state: Option<&'a Path>,
}

/// Lists every instance of which something is on this host.
pub fn instances() -> BTreeSet<String> {
    let mut found: BTreeSet<String> = names_in(RUN).iter().filter_map(|name| digits_of(name)).collect();
    found
        .extend(names_in(&format!("{RUN}/instances")).iter().filter_map(|name| digits_of(name.strip_suffix(".json")?)));
    found.extend(links_of(None).iter().filter_map(|name| digits_of(name.get(1..9)?)));
    found.extend(firewall::tables_of(None).iter().filter_map(|(_, name)| {
        let rest = name.strip_prefix("berth-")?;
        digits_of(rest).or_else(|| digits_of(rest.get(1..9)?))
    }));
    let digits = |name: &str| digits_of(name.strip_prefix("berth-")?);
    let groups = topmost_groups(&|name| digits(name).is_some());
    found.extend(groups.iter().filter_map(|path| digits(path.file_name()?.to_str()?)));
    found
}

/// An instance is named by eight hexadecimal digits and nothing else.
fn digits_of(text: &str) -> Option<String> {
    let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    digits.then(|| text.to_owned())
}

fn names_in(folder: &str) -> Vec<String> {
    known_entries(Path::new(folder)).into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

impl Instance<'_> {
    fn runtime(&self) -> PathBuf {
        Path::new(RUN).join(self.digits)
    }

    fn networks(&self) -> Networks {
        Networks::new(self.digits, &self.runtime())
    }

    /// Lists what there is, in the order in which it is removed.
    pub fn leftovers(&self) -> Vec<Leftover> {
        let of = |kind: &'static str, names: Vec<String>| names.into_iter().map(move |name| Leftover { kind, name });
        let shown = |paths: Vec<PathBuf>| paths.iter().map(|path| path.display().to_string()).collect();
        let tables =
            firewall::tables_of(Some(self.digits)).into_iter().map(|(family, name)| format!("{family} {name}"));
        let forwarding = self.networks().forwarding_changed();
        let runtime = vec![self.runtime()].into_iter().filter(|path| path.exists()).collect();
        let mut found: Vec<Leftover> = vec![];
        found.extend(of("control group", shown(self.groups())));
        found.extend(of("supervisor", self.supervisors().iter().map(|pid| format!("process {pid}")).collect()));
        found.extend(of("mount", shown(self.mounts())));
        found.extend(of(
            "loop device",
            self.loops().into_iter().map(|(device, file)| format!("{} on {file}", device.display())).collect(),
        ));
        found.extend(of("link", links_of(Some(self.digits))));
        found.extend(of("filter table", tables.collect()));
        found.extend(of("forwarding", forwarding.into_iter().map(|name| format!("from {name}")).collect()));
        found.extend(of("drop-in", shown(drop_ins(self.digits))));
        found.extend(of("folder", shown(runtime)));
        found
    }

    /// Removes all of it.
    ///
    /// # Errors
    /// What could not be removed, in words.
    pub fn remove(&self) -> Result<(), String> {
        let told = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
        self.end_processes().map_err(|error| told("its processes", &error))?;
        for target in self.mounts().iter().rev() {
            mount::detach(target).map_err(|error| told(&target.display().to_string(), &error))?;
        }
        for (device, _) in self.loops() {
            let detached = LoopDevice::open(&device).and_then(LoopDevice::detach);
            detached.map_err(|error| told(&device.display().to_string(), &error))?;
        }
        self.networks().remove_everything().map_err(|failure| told("its networks", &failure.reason))?;
        match fs::remove_dir_all(self.runtime()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(told("its folder", &error)),
            _ => Ok(()),
        }
    }

    /// Ends every process: those in its control groups, and its supervisors, which would look after them.
    fn end_processes(&self) -> io::Result<()> {
        let begun = Instant::now();
        loop {
            let (groups, supervisors) = (self.groups(), self.supervisors());
            if groups.is_empty() && supervisors.is_empty() {
                return Ok(());
            }
            supervisors.into_iter().for_each(end);
            for group in &groups {
                empty(group)?;
                // It goes when nothing in it runs any more.
                let _ = cgroup::remove(group);
            }
            if begun.elapsed() > PATIENCE {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "they do not end"));
            }
            thread::sleep(PAUSE);
        }
    }

    /// Lists its control group in every hierarchy; those below lie in them.
    fn groups(&self) -> Vec<PathBuf> {
        let own = format!("berth-{}", self.digits);
        topmost_groups(&|name| name == own)
    }

    /// Lists its supervisors: each has the directory it works for on its command line.
    fn supervisors(&self) -> Vec<i32> {
        let runtime = self.runtime();
        let pids = names_in("/proc").into_iter().filter_map(|name| name.parse::<i32>().ok());
        let works_for = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            words.len() > 2
                && words[0].rsplit(|byte| *byte == b'/').next() == Some(b"berth")
                && words[1] == b"shim"
                && words[2..].iter().any(|word| is_below(word, &runtime))
        };
        pids.filter(works_for).collect()
    }

    /// Lists what is mounted below its folder, in the order in which it was mounted.
    fn mounts(&self) -> Vec<PathBuf> {
        let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let targets = text.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
        targets.filter(|target| target.starts_with(self.runtime())).collect()
    }

    /// Lists its loop devices with their files: disks of its containers, wherever these were.
    fn loops(&self) -> Vec<(PathBuf, String)> {
        let state = self.state.map(|state| state.join("containers"));
        let folders = state.iter().cloned().chain([self.runtime().join("containers")]);
        let known: BTreeSet<String> = folders.flat_map(|folder| names_in(&folder.to_string_lossy())).collect();
        let ours = |(_, file): &(PathBuf, PathBuf)| {
            let container = file.parent().and_then(Path::file_name).and_then(|name| name.to_str());
            // A whole path says it: a copy of a state directory has containers of the same names.
            let by_name = file.is_relative() || state.is_none();
            state.as_ref().is_some_and(|state| file.starts_with(state))
                || (by_name && container.is_some_and(|name| known.contains(name)))
        };
        let attached = loop_device::attached().into_iter().filter(ours);
        attached.map(|(device, file)| (device, file.display().to_string())).collect()
    }
}

fn is_below(word: &[u8], folder: &Path) -> bool {
    std::str::from_utf8(word).is_ok_and(|word| Path::new(word).starts_with(folder))
}

/// Finds the groups whose name fits, in every hierarchy and not below one that fits: there a container may have made some.
fn topmost_groups(fits: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let (mut found, mut folders) = (vec![], vec![PathBuf::from(CGROUPS)]);
    while let Some(folder) = folders.pop() {
        for entry in
            known_entries(&folder).into_iter().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        {
            let is_one = entry.file_name().to_str().is_some_and(fits);
            if is_one { &mut found } else { &mut folders }.push(entry.path());
        }
    }
    found
}

/// Thaws and kills what is in a group and below; each hierarchy is told in its own words, and one has no word for it.
fn empty(group: &Path) -> io::Result<()> {
    let _ = fs::write(group.join("cgroup.kill"), "1");
    let _ = fs::write(group.join("cgroup.freeze"), "0");
    let Some(mut walk) = Walk::at(group, usize::MAX)? else { return Ok(()) };
    loop {
        walk.write("freezer.state", "THAWED");
        let text = walk.read("cgroup.procs")?.unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 1).for_each(end);
        if walk.down()?.is_none() {
            return Ok(());
        }
    }
}

fn end(pid: i32) {
    let _ = process::kill(pid, signal::KILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_eight_hexadecimal_digits_name_an_instance() {
        for text in ["", "c0ffee0", "c0ffee000", "C0FFEE00", "c0ffeeg0", "instance", "eth0abcd"] {
            assert_eq!(digits_of(text), None, "{text}");
        }
        assert_eq!(digits_of("c0ffee00").as_deref(), Some("c0ffee00"));
    }

    #[test]
    fn an_instance_that_nobody_ever_made_has_nothing() {
        let nobody = Instance { digits: "00000000", state: Some(Path::new("/nonexistent")) };
        assert_eq!(nobody.leftovers(), []);
        assert_eq!(nobody.remove(), Ok(()));
    }
}
