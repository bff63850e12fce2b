//! Limits hold, also those that are set while the container runs, and what they did is told.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::check;
use crate::fixture::{Node, PATIENCE};
use crate::harness::{Outcome, Stop, misses, need, remains};

pub const TESTS: &[crate::harness::Test] = &[
    ("too little memory kills inside alone, and is counted", memory),
    ("memory is not lowered below what is in use, and what the machine has not is warned of", below_use),
    ("processes and processor time are limited while it runs", processes_and_time),
    ("a full disk is full inside alone, and grows", disk),
    ("what the kernel counts is told, also what it counted while no daemon ran", hits_are_told),
    ("the end of an init says who brought it", who_ended_it),
    ("page cache is not memory in use", page_cache),
    ("user namespaces are given and taken at the next start, which is told", nesting),
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

fn nesting() -> Outcome {
    let node = node("set-nesting", &["--disk-kind", "directory", "--network", "none"])?;
    let may = || -> Result<bool, Stop> { Ok(sh(&node, "unshare -U -r unshare -U true")?.code == 0) };
    let shown = || -> Result<bool, Stop> { Ok(node.must(&["container", "show", "c1"])?.out.contains("nesting")) };
    check!(!may()? && !shown()?, "it may from the start on");
    let set = node.must(&["container", "set", "c1", "--nesting"])?;
    let told = set.out.contains("Next: berth container restart c1") && set.out.contains("set c1 --no-nesting");
    check!(told && shown()? && !may()?, "{set:?}");
    node.must(&["container", "restart", "c1"])?;
    check!(may()?, "it may not after its next start");
    // What is so already is neither recorded nor something to wait for.
    let events = |node: &Node| -> Result<String, Stop> {
        let told = node.must(&["container", "history", "c1"])?.out;
        // The end of a session before may be recorded meanwhile.
        Ok(told.lines().filter(|line| !line.contains("session")).collect::<Vec<_>>().join("\n"))
    };
    let before = events(&node)?;
    node.must(&["container", "set", "c1", "--nesting"])?;
    check!(events(&node)? == before, "{}", events(&node)?);
    node.must(&["container", "stop", "c1", "--kill"])?;
    let set = node.must(&["container", "set", "c1", "--no-nesting"])?;
    check!(!set.out.contains("Next:") && set.out.contains("set c1 --nesting"), "{set:?}");
    node.must(&["container", "start", "c1"])?;
    check!(!may()? && !shown()?, "it still may");
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

fn hits_are_told() -> Outcome {
    need(&["cgroup controller memory", "cgroup controller pids", "loop devices", "mkfs.ext4"])?;
    let mut node = node("hits", &["--memory", "64M", "--pids", "40"])?;
    let eat = "exec 2>/dev/null; head -c 200000000 /dev/zero | tail -c 190000000 | wc -c";
    sh(&node, eat)?;
    let row = node.wait_for("c1", |row| row["hits"]["kills"].as_u64() > Some(0))?;
    check!(row["state"] == "running" && row["hits"]["killed_at"].is_string(), "{row:#}");
    sh(&node, "dd if=/dev/zero of=/full bs=1M count=100 2>/dev/null")?;
    sh(&node, "i=0; while [ $i -lt 100 ]; do sleep 3 & i=$((i+1)); done 2>/dev/null; wait")?;
    node.wait_for("c1", |row| row["hits"]["refused"].as_u64() > Some(0) && row["hits"]["disk_full"] == true)?;
    let shown = node.must(&["container", "show", "c1"])?.out;
    for words in ["out of memory", "killed, last", "process limit", "reached ", "full now"] {
        check!(shown.contains(words), "{words}: {shown}");
    }
    let listed = node.must(&["ps"])?.out;
    for words in ["Out of memory: c1.", "Process limit reached: c1.", "Disk full: c1."] {
        check!(listed.contains(words), "{words}: {listed}");
    }
    let history = node.must(&["container", "history", "c1"])?.out;
    check!(history.contains("killed by the out-of-memory killer: memory limit 64 MiB"), "{history}");
    check!(history.contains("refused: the limit of 40 was reached"), "{history}");
    check!(history.contains("disk full: 32 MiB"), "{history}");
    // What is counted while no daemon runs is told by the next one.
    let kills = node.container("c1")?["hits"]["kills"].as_u64();
    sh(&node, "rm /full; sync")?;
    let pid = node.container("c1")?["init"]["pid"].to_string();
    sh(&node, &format!("(sleep 4; {eat}; echo > /done) >/dev/null 2>&1 &"))?;
    node.stop()?;
    let begun = Instant::now();
    while !std::path::Path::new(&format!("/proc/{pid}/root/done")).exists() {
        check!(begun.elapsed() < PATIENCE, "nothing was limited");
        std::thread::sleep(Duration::from_millis(100));
    }
    node.start()?;
    node.wait_for("c1", |row| row["hits"]["kills"].as_u64() > kills && row["hits"]["disk_full"] == false)?;
    node.finish()
}

/// The end of what runs says who brought it, not only a number.
fn who_ended_it() -> Outcome {
    need(&["cgroup controller memory"])?;
    let node = Node::begin("who-ended-it")?;
    node.template()?;
    let plain = ["--disk-kind", "directory", "--memory", "64M"];
    let stopped = |row: &Value| row["state"] == "stopped" && row["operation"].is_null();
    let told = |name: &str, command: &str| -> Result<(Value, String), Stop> {
        let more = [&plain[..], &["--", "sh", "-c", command]].concat();
        node.running(name, &more)?;
        let row = node.wait_for(name, stopped)?;
        Ok((row["last_exit"].clone(), node.must(&["container", "show", name])?.out))
    };
    let (exit, shown) = told("eater", "sleep 1; exec tail -c 190000000 /dev/zero")?;
    check!(exit == json!({ "out-of-memory": { "limit": 64 << 20, "bound": "own" } }), "{exit}");
    check!(shown.contains("killed by the out-of-memory killer (memory limit 64 MiB)"), "{shown}");
    let (exit, shown) = told("shell", "sleep 1; tail -c 190000000 /dev/zero; exit $?")?;
    check!(exit == json!({ "out-of-memory": { "limit": 64 << 20, "bound": "own" } }), "{exit}: {shown}");
    let (exit, shown) = told("inside", "sleep 1; kill -9 $$")?;
    check!(exit == json!({ "command-signal": 9 }) && shown.contains("killed by SIGKILL, not by Berth"), "{shown}");
    let (exit, _) = told("code", "sleep 1; exit 137")?;
    check!(exit == json!({ "code": 137 }), "{exit}");
    node.running("outside", &plain)?;
    remains::kill(i32::try_from(node.container("outside")?["init"]["pid"].as_i64().unwrap_or(0)).unwrap_or(0));
    let row = node.wait_for("outside", stopped)?;
    check!(row["last_exit"] == json!({ "signal": 9 }), "{row:#}");
    node.running("berth", &plain)?;
    node.must(&["container", "stop", "--kill", "berth"])?;
    let row = node.wait_for("berth", stopped)?;
    check!(row["last_exit"] == "killed", "{row:#}");
    let history = node.must(&["container", "history", "outside"])?.out;
    check!(history.contains("killed by SIGKILL from outside Berth"), "{history}");
    node.finish()
}

/// What the kernel takes back when it needs to is not in use.
fn page_cache() -> Outcome {
    need(&["cgroup controller memory"])?;
    let node = node("page-cache", &["--disk-kind", "directory", "--memory", "200M"])?;
    sh(&node, "dd if=/dev/zero of=/big bs=1M count=100 2>/dev/null; sync; cat /big >/dev/null")?;
    let row = node.container("c1")?;
    let (memory, cache) = (row["usage"]["memory"].as_u64(), row["usage"]["memory_cache"].as_u64());
    check!(memory < Some(30 << 20) && cache > Some(90 << 20), "{row:#}");
    sh(&node, "dd if=/dev/zero of=/dev/shm/big bs=1M count=60 2>/dev/null")?;
    let row = node.container("c1")?;
    check!(row["usage"]["memory"].as_u64() > Some(60 << 20), "{row:#}");
    node.finish()
}
