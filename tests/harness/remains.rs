//! What an instance has in the kernel: looked at by tests, and swept away after a failed one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use super::{Outcome, scratch};
use crate::check;

static INSTANCES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Remembers an instance for the leak test.
pub fn remember(instance: &str) {
    let mut known = INSTANCES.lock().unwrap();
    if !known.iter().any(|one| one == instance) {
        known.push(instance.to_owned());
    }
}

/// Runs last: nothing of the other tests is left.
pub fn nothing() -> Outcome {
    let left = of_all();
    check!(left.is_empty(), "left behind: {left:#?}");
    fs::remove_dir_all(scratch())?;
    Ok(())
}

/// Names what is left of every instance, and of the folder all tests share.
fn of_all() -> Vec<String> {
    let known = INSTANCES.lock().unwrap().clone();
    let mut left: Vec<String> = known.iter().flat_map(|instance| of(instance)).collect();
    let mark = scratch().to_string_lossy().into_owned();
    left.extend(mounts(&mark));
    left.extend(loops(&mark));
    left.extend(sockets(&mark));
    left.extend(processes(&mark).into_iter().map(|(pid, line)| format!("process {pid} {line}")));
    left
}

/// Names what one instance has in the kernel.
pub fn of(instance: &str) -> Vec<String> {
    let mut left: Vec<String> = cgroups(instance).iter().map(|path| format!("cgroup {}", path.display())).collect();
    left.extend(links(instance).into_iter().map(|name| format!("link {name}")));
    left.extend(tables(instance).into_iter().map(|name| format!("table {name}")));
    let mark = format!("/run/berth/{instance}");
    left.extend(mounts(&mark));
    left.extend(processes(&mark).into_iter().map(|(pid, line)| format!("process {pid} {line}")));
    left
}

/// Returns the control groups of an instance, parents first.
pub fn cgroups(instance: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), &format!("berth-{instance}"), false, &mut found);
    found
}

fn walk(folder: &Path, name: &str, below: bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let ours = below || entry.file_name() == name;
        if ours {
            found.push(entry.path());
        }
        walk(&entry.path(), name, ours, found);
    }
}

/// Returns the links of an instance on the host.
pub fn links(instance: &str) -> Vec<String> {
    let names = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.get(1..9) == Some(instance) && name.starts_with(['b', 'v'])).collect()
}

fn tables(instance: &str) -> Vec<String> {
    let Ok(told) = Command::new("nft").args(["list", "tables"]).stderr(Stdio::null()).output() else { return vec![] };
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    let words = text.lines().filter_map(|line| line.strip_prefix("table "));
    words.filter(|line| line.contains("berth-") && line.contains(instance)).map(str::to_owned).collect()
}

fn mounts(mark: &str) -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines().filter(|line| line.contains(mark)).map(|line| format!("mount {line}")).collect()
}

fn sockets(mark: &str) -> Vec<String> {
    let text = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    text.lines().filter(|line| line.contains(mark)).map(|line| format!("socket {line}")).collect()
}

/// Returns the loop devices whose file is below that folder.
pub fn loops(mark: &str) -> Vec<String> {
    loops_where(|file| file.contains(mark))
}

/// Returns the loop devices of containers of that state directory.
pub fn loops_of(state: &Path) -> Vec<String> {
    let containers = fs::read_dir(state.join("containers")).into_iter().flatten().flatten();
    let containers: Vec<_> = containers.map(|entry| format!("/{}/", entry.file_name().display())).collect();
    loops_where(|file| containers.iter().any(|container| file.contains(container)))
}

fn loops_where(ours: impl Fn(&str) -> bool) -> Vec<String> {
    let attached = berth::sys::loop_device::attached().into_iter();
    let told = attached.map(|(device, file)| (device, file.to_string_lossy().into_owned()));
    told.filter(|(_, file)| ours(file)).map(|(device, file)| format!("{} {file}", device.display())).collect()
}

/// Returns the processes whose command line has that word, without this one.
pub fn processes(mark: &str) -> Vec<(i32, String)> {
    let own = std::process::id();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let told = entries.filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        (line.contains(mark) && pid.unsigned_abs() != own).then_some((pid, line))
    });
    told.collect()
}

/// Ends and removes whatever an instance has: only for what a failed test leaves.
pub fn sweep(instance: &str) {
    if instance.len() != 8 {
        return;
    }
    for group in cgroups(instance) {
        let pids = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        pids.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid > 1).for_each(kill);
        let _ = fs::write(group.join("cgroup.freeze"), "0");
        let _ = fs::write(group.join("freezer.state"), "THAWED");
    }
    for (pid, _) in processes(&format!("/run/berth/{instance}")) {
        kill(pid);
    }
    for _ in 0..40 {
        cgroups(instance).iter().rev().for_each(|group| drop(fs::remove_dir(group)));
        if cgroups(instance).is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let quiet = |program: &str, arguments: &[&str]| {
        let _ = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    };
    for name in links(instance) {
        quiet("ip", &["link", "delete", &name]);
    }
    for table in tables(instance) {
        let words: Vec<&str> = ["delete", "table"].into_iter().chain(table.split(' ')).collect();
        quiet("nft", &words);
    }
    for folder in ["/run/systemd/network", "/run/NetworkManager/conf.d"] {
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        let own = files.filter(|file| file.file_name().to_string_lossy().contains(&format!("berth-{instance}.")));
        own.for_each(|file| drop(fs::remove_file(file.path())));
    }
    let _ = fs::remove_dir_all(Path::new("/run/berth").join(instance));
}

pub fn kill(pid: i32) {
    let _ = berth::sys::process::kill(pid, 9);
}
