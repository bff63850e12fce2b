//! The floor of a start: the kernel's work alone, by the functions that the supervisor calls, in this one process.
//!
//! `cargo bench --bench start -- ROOT [ROUNDS]` (root): a loop device is attached to an image, its file system mounted,
//! the control group made and limited, one process cloned into all namespaces, its overlay and views mounted, its program
//! executed. No daemon, no log, no supervisor, no network. Prints the middle of each part in microseconds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use berth::kernel::cgroup::{Cgroup, Layout, Limits};
use berth::kernel::disk::{self, Disk};
use berth::kernel::etc::Names;
use berth::kernel::launch::{self, Container, Init, Network};
use berth::kernel::stage;
use berth::sys::process;
use berth::types::{HostName, IdRange, Managed};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What a start is made of, in order.
const PARTS: [&str; 4] = ["disk", "control group", "namespaces and root", "exec"];
/// Between two rounds, as a machine that starts a container now and then would have it.
const PAUSE: Duration = Duration::from_millis(150);
const KILL: i32 = 9;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let Some(root) = arguments.first() else {
        println!("start: names no root directory, so nothing is measured: cargo bench --bench start -- ROOT");
        return Ok(());
    };
    let rounds = arguments.get(1).map_or(Ok(15), |text| text.parse())?;
    let work = std::env::temp_dir().join(format!("berth-floor-{}", std::process::id()));
    std::fs::create_dir_all(&work)?;
    let measured = measure(Path::new(root), &work, rounds);
    std::fs::remove_dir_all(&work)?;
    print(&measured?);
    Ok(())
}

fn measure(root: &Path, work: &Path, rounds: usize) -> Outcome<Vec<[Duration; 4]>> {
    let disk = image(work)?;
    let layout = Layout::detect()?;
    let parent = Cgroup::make_room(&layout, "daemon")?;
    let group = Cgroup::at(&layout, parent.as_deref(), &format!("berth-{:08x}/floor", std::process::id()))?;
    stage::enter(&work.join("stage"), &BTreeSet::from([std::env::temp_dir(), root.to_path_buf()]))?;
    let measured = (0..rounds).map(|_| {
        std::thread::sleep(PAUSE);
        round(&container(root), &disk, &group)
    });
    let measured = measured.collect();
    group.remove_empty_parent();
    measured
}

fn image(work: &Path) -> Outcome<Disk> {
    let path = work.join("disk.img");
    std::fs::File::create(&path)?.set_len(1 << 30)?;
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-m", "0", "-J", "size=16", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"])
        .arg(&path)
        .status()?;
    if !made.success() {
        return Err("mkfs.ext4 failed".into());
    }
    Ok(Disk::Image { path, filesystem: "ext4".to_owned(), options: "noinit_itable".to_owned() })
}

fn container(root: &Path) -> Container {
    Container {
        names: Names { hostname: HostName::localhost(), address: None, resolv_conf: None, managed: Managed::default() },
        ids: Some(IdRange { base: 2_000_000_000, count: 65_536 }),
        lowers: vec![PathBuf::from(root)],
        init: Init::Own { argv: vec!["/bin/sleep".to_owned(), "1000".to_owned()], stop_signal: KILL },
        environment: Vec::new(),
        nesting: false,
        network: Network::Own,
        renew: false,
    }
}

fn round(container: &Container, disk: &Disk, group: &Cgroup) -> Outcome<[Duration; 4]> {
    let limits = Limits { memory: Some(256 << 20), cpu_millis: Some(1000), pids: Some(100), ..Limits::default() };
    let mut last = Instant::now();
    let mut lap = || std::mem::replace(&mut last, Instant::now()).elapsed();
    disk::mount_disk(disk)?;
    let mounted = lap();
    group.ensure()?;
    group.restrict_devices(false)?;
    group.set_limits(&limits)?;
    let grouped = lap();
    let created = launch::create(container, group)?;
    let launched = lap();
    created.gate.open()?;
    let executed = lap();
    process::signal_pidfd(&created.child.pidfd, KILL)?;
    process::reap_one(created.child.pid)?;
    group.remove()?;
    drop(created.console);
    disk::unmount_disk()?;
    Ok([mounted, grouped, launched, executed])
}

fn print(rounds: &[[Duration; 4]]) {
    let middle = |mut all: Vec<Duration>| {
        all.sort_unstable();
        all[all.len() / 2].as_micros()
    };
    for (index, part) in PARTS.iter().enumerate() {
        println!("{}\t{part}", middle(rounds.iter().map(|round| round[index]).collect()));
    }
    println!("{}\twhole", middle(rounds.iter().map(|round| round.iter().sum()).collect()));
}
