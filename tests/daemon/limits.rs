//! Limits hold, also those that are set while the container runs, and what they did is told.

use serde_json::Value;

use crate::check;
use crate::fixture::Node;
use crate::harness::{Outcome, Stop, misses, need};

pub const TESTS: &[crate::harness::Test] = &[
    ("too little memory kills inside alone, and is counted", memory),
    ("memory is not lowered below what is in use, and what the machine has not is warned of", below_use),
    ("processes and processor time are limited while it runs", processes_and_time),
    ("a full disk is full inside alone, and grows", disk),
];

fn node(name: &str, more: &[&str]) -> Result<Node, Stop> {
    need(&["start-containers"])?;
    let node = Node::begin(name)?;
    node.template()?;
    node.running("c1", more)?;
    Ok(node)
}

fn sh(node: &Node, line: &str) -> Result<crate::fixture::Answer, Stop> {
    node.berth(&["exec", "-T", "c1", "--", "sh", "-c", line])
}

fn memory() -> Outcome {
    need(&["cgroup controller memory"])?;
    let node = node("memory", &["--disk-kind", "directory"])?;
    let before = node.container("c1")?;
    node.must(&["container", "set", "c1", "--memory", "24M"])?;
    let eater = sh(&node, "exec 2>/dev/null; head -c 200000000 /dev/zero | tail -c 190000000 | wc -c")?;
    check!(eater.out.trim() != "190000000", "nothing was limited: {eater:?}");
    let row = node.container("c1")?;
    check!(row["state"] == "running" && row["init"] == before["init"], "{row:#}");
    check!(row["usage"]["out_of_memory_kills"].as_u64() > Some(0), "{row:#}");
    check!(row["usage"]["memory"].as_u64() <= Some(24 << 20), "{row:#}");
    check!(row["configuration"]["limits"]["memory"] == 24 << 20, "{row:#}");
    node.must(&["container", "set", "c1", "--memory", "none"])?;
    let fed = sh(&node, "head -c 50000000 /dev/zero | tail -c 40000000 | wc -c")?;
    check!(fed.out.trim() == "40000000", "{fed:?}");
    node.finish()
}

fn below_use() -> Outcome {
    need(&["cgroup controller memory"])?;
    let node = node("below-use", &["--disk-kind", "directory", "--memory", "200M"])?;
    // A file system in memory is in use until it is emptied.
    let filled = sh(&node, "dd if=/dev/zero of=/dev/shm/full bs=1M count=100 2>&1")?;
    check!(filled.code == 0, "{filled:?}");
    let told = node.berth(&["container", "set", "c1", "--memory", "50M"])?;
    let is_said = told.err.contains("limit the memory to 50 MiB") && told.err.contains("MiB are in use");
    check!(told.code != 0 && is_said && !told.err.contains("/sys/fs/cgroup"), "{told:?}");
    let row = node.container("c1")?;
    check!(row["configuration"]["limits"]["memory"] == 200 << 20, "{row:#}");
    let more = sh(&node, "dd if=/dev/zero of=/dev/shm/more bs=1M count=60 2>&1; rm /dev/shm/*")?;
    check!(more.code == 0, "the limit is lower than it says: {more:?}");
    node.must(&["container", "set", "c1", "--memory", "50M"])?;
    node.must(&["container", "set", "c1", "--memory", "100M"])?;
    for (option, value, words) in [
        ("--memory", "2T", "limits nothing"),
        ("--cpus", "1000", "limits nothing"),
        ("--disk", "15T", "free, less than"),
    ] {
        let told =
            node.must(&["container", "create", "big", "--template", "bb", "--disk-kind", "directory", option, value])?;
        check!(told.err.contains("warning: big") && told.err.contains(words), "{told:?}");
        node.must(&["container", "delete", "big"])?;
        node.must(&["container", "purge", "big", "-y"])?;
    }
    let told = node.must(&["container", "set", "c1", "--cpus", "1000"])?;
    check!(told.err.contains("limits nothing"), "{told:?}");
    node.finish()
}

fn processes_and_time() -> Outcome {
    need(&["cgroup controller pids", "cgroup controller cpu"])?;
    let node = node("processes", &["--disk-kind", "directory"])?;
    let row = node.container("c1")?;
    check!(row["configuration"]["limits"]["pids"] == 4096, "a fork bomb would be the host's: {row:#}");
    node.must(&["container", "set", "c1", "--pids", "16", "--cpus", "0.2"])?;
    let bomb = sh(&node, "for n in $(seq 40); do sleep 5 & done; jobs | wc -l")?;
    check!(bomb.err.contains("fork") || bomb.code != 0, "nothing was limited: {bomb:?}");
    let row = node.container("c1")?;
    check!(row["usage"]["pids"].as_u64() <= Some(16), "{row:#}");
    node.must(&["container", "set", "c1", "--pids", "none"])?;
    node.must(&["exec", "c1", "--", "true"])?;
    let used = |row: &Value| row["usage"]["cpu_micros"].as_u64().unwrap_or_default();
    let (begun, before) = (std::time::Instant::now(), used(&node.container("c1")?));
    sh(&node, "timeout 3 sh -c 'while :; do :; done'")?;
    let (took, spent) = (begun.elapsed().as_micros() as u64, used(&node.container("c1")?) - before);
    let share = spent * 100 / took;
    // A busy machine may give it less than its quota, never more.
    check!((1..=32).contains(&share), "{share} % of a processor instead of 20");
    node.finish()
}

fn disk() -> Outcome {
    need(&["loop devices", "mkfs.ext4", "resize2fs"])?;
    let node = node("disk", &[])?;
    let full = sh(&node, "dd if=/dev/zero of=/big bs=64k count=2000 2>&1; df -m / | tail -1; echo $?")?;
    check!(full.out.contains("No space left"), "{full:?}");
    let row = node.container("c1")?;
    check!(row["usage"]["disk"].as_u64() <= Some(32 << 20), "{row:#}");
    node.must(&["exec", "c1", "--", "true"])?;
    let size = |node: &Node| -> Result<u64, Stop> {
        let told = node.must(&["exec", "-T", "c1", "--", "sh", "-c", "df -m / | tail -1 | awk '{print $2}'"])?;
        Ok(told.out.trim().parse()?)
    };
    let small = size(&node)?;
    check!(small < 32, "{small}");
    let grown = node.berth(&["container", "set", "c1", "--disk", "96M"])?;
    if misses("CAP_SYS_RESOURCE") {
        check!(grown.code != 0 && grown.err.contains("CAP_SYS_RESOURCE"), "{grown:?}");
        check!(
            size(&node)? == small && node.container("c1")?["configuration"]["limits"]["disk"] == 32 << 20,
            "half grown"
        );
        node.must(&["container", "stop", "c1", "--grace", "5s"])?;
        node.must(&["container", "set", "c1", "--disk", "96M"])?;
        node.must(&["container", "start", "c1"])?;
    } else {
        check!(grown.code == 0, "{grown:?}");
    }
    let large = size(&node)?;
    check!((70..=96).contains(&large), "{large}");
    node.refused(&["container", "set", "c1", "--disk", "64M"], 2, "container.disk-shrinks")?;
    node.finish()
}
