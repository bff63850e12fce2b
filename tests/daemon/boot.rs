//! The machine goes down and comes up again: the kernel's boot id is another, and nothing runs.

use std::fs;
use std::time::Instant;

use serde_json::Value;

use crate::check;
use crate::fixture::{Node, PATIENCE};
use crate::harness::{Outcome, Stop, need, remains};

pub const TESTS: &[crate::harness::Test] = &[
    ("a boot interrupts what ran and starts what starts with the node", boot),
    ("what starts with the node does so though its restore in place was interrupted", restoring),
];

/// Ends the daemon and whatever a boot takes: every process, mount, group, link and the whole of /run. Then it starts under
/// another boot id.
fn reboot(node: &mut Node) -> Outcome {
    node.kill()?;
    remains::sweep(&node.instance());
    let other = node.place.join("boot_id");
    fs::write(&other, "11111111-2222-4333-8444-555555555555\n")?;
    // A user namespace may mount a /proc of its own only where one is wholly visible, so another one stands beside.
    let proc = node.place.join("proc");
    fs::create_dir_all(&proc)?;
    let (proc, other) = (proc.display(), other.display());
    let bind =
        format!("mount -t proc proc {proc} && mount --bind {other} /proc/sys/kernel/random/boot_id && exec \"$@\"");
    node.wrapper = ["unshare", "-m", "sh", "-c", &bind, "sh"].map(str::to_owned).to_vec();
    node.start()
}

/// Returns the places in the log of the events of a kind; of one stream, if one is named.
fn places(node: &Node, kind: &str, stream: &str) -> Result<Vec<u64>, Stop> {
    let events = node.api().items(&format!("/v1/events?kind={kind}&limit=1000"))?;
    let of_it = events.iter().filter(|event| stream.is_empty() || event["stream"] == stream);
    Ok(of_it.filter_map(|event| event["position"].as_u64()).collect())
}

/// Returns where the log tells of the boot under which the daemon runs.
fn node_boot(node: &Node) -> Result<u64, Stop> {
    places(node, "NodeBooted", "")?.into_iter().max().ok_or_else(|| Stop::Failed("no boot is told".to_owned()))
}

/// Returns the stream of the restore in place of a container.
fn restore_of(node: &Node, name: &str) -> Result<String, Stop> {
    let container = node.container(name)?["id"].clone();
    let restores = node.api().items("/v1/restores")?;
    let of_it = restores.iter().find(|row| row["target"]["container"] == container);
    let id = of_it.and_then(|row| row["id"].as_str()).ok_or_else(|| Stop::Failed(format!("{restores:#?}")))?;
    Ok(format!("restore-job/{id}"))
}

/// One of them is interrupted while its files are written, one while it is being stopped so that they may change places.
fn restoring() -> Outcome {
    need(&["start-containers", "loop devices", "mkfs.ext4"])?;
    let mut node = Node::begin("boot-restore")?;
    node.template()?;
    node.must(&["store", "create", "main", &node.place.join("store").to_string_lossy()])?;
    let create = ["container", "create", "--template", "bb", "--disk", "400M", "--autostart", "--start"];
    let deaf = ["stops", "--", "/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"];
    node.must(&[create.as_slice(), &deaf].concat())?;
    node.must(&[create.as_slice(), &["writes"]].concat())?;
    node.must(&["exec", "writes", "--", "sh", "-c", "dd if=/dev/urandom of=/srv-file bs=1M count=100"])?;
    for name in ["stops", "writes"] {
        node.must(&["backup", "run", name])?;
    }
    node.must(&["backup", "restore", "stops@latest", "--in-place", "-y", "--no-wait"])?;
    node.wait_for("stops", |row| row["operation"]["verb"] == "stop")?;
    node.must(&["backup", "restore", "writes@latest", "--in-place", "-y", "--no-wait"])?;
    let [stops, writes] = ["stops", "writes"].map(|name| restore_of(&node, name));
    let (stops, writes) = (stops?, writes?);
    let begun = Instant::now();
    while places(&node, "TargetHeld", &writes)?.is_empty() {
        check!(begun.elapsed() < PATIENCE, "nothing is written");
    }
    reboot(&mut node)?;
    for name in ["stops", "writes"] {
        node.wait_for(name, |row| row["state"] == "running" && row["operation"].is_null())?;
    }
    node.settle()?;
    let restores = node.api().items("/v1/restores")?;
    check!(restores.iter().all(|row| row["state"] == "done"), "{restores:#?}");
    // What each was at when the node went down came to its end under the next boot alone.
    let boot = node_boot(&node)?;
    for (restore, before, after) in
        [(&stops, "TargetHeldStill", "TargetStopped"), (&writes, "TargetHeld", "FilesRestored")]
    {
        let (before, after) = (places(&node, before, restore)?, places(&node, after, restore)?);
        check!(before.iter().all(|place| *place < boot), "{before:?} and the boot at {boot}");
        check!(after.len() == 1 && after[0] > boot, "{after:?} and the boot at {boot}");
    }
    for name in ["stops", "writes"] {
        check!(node.container(name)?["state"] == "running", "{name} is down");
    }
    node.finish()
}

fn boot() -> Outcome {
    need(&["start-containers", "loop devices", "mkfs.ext4"])?;
    let mut node = Node::begin("boot")?;
    node.template()?;
    node.running("ran", &[])?;
    node.running("ran-paused", &["--disk-kind", "directory"])?;
    node.must(&["container", "pause", "ran-paused"])?;
    node.running("auto-ran", &["--autostart"])?;
    let create = ["container", "create", "--template", "bb", "--disk", "32M"];
    node.must(&[create.as_slice(), &["auto", "--autostart"]].concat())?;
    node.must(&[create.as_slice(), &["still"]].concat())?;
    let boots = node.container("ran")?["init"]["boot"].clone();
    reboot(&mut node)?;
    let stopped = |row: &Value| row["state"] == "stopped" && row["operation"].is_null();
    for name in ["ran", "ran-paused", "still"] {
        let row = node.container(name)?;
        check!(stopped(&row) && row["init"].is_null(), "{row:#}");
    }
    for name in ["auto", "auto-ran"] {
        let row = node.wait_for(name, |row| row["state"] == "running")?;
        check!(row["init"]["boot"] != boots, "{row:#}");
        node.must(&["exec", name, "--", "true"])?;
    }
    let told = node.must(&["container", "history", "ran", "-o", "json"])?.json()?;
    let kinds: Vec<&str> =
        told["items"].as_array().into_iter().flatten().filter_map(|row| row["kind"].as_str()).collect();
    check!(kinds.contains(&"ContainerInterrupted"), "{kinds:?}");
    for row in node.api().items("/v1/networks")? {
        check!(row["state"] == "ready", "{row:#}");
    }
    node.must(&["container", "start", "ran"])?;
    node.must(&[
        "exec",
        "ran",
        "--",
        "ping",
        "-c",
        "1",
        "-W",
        "2",
        node.container("auto")?["lease"]["address"].as_str().unwrap_or_default(),
    ])?;
    node.finish()
}
