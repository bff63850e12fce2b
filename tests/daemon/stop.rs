//! A stop wins over whatever else is under way, and over an init that does not listen yet or starts again and again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::check;
use crate::fixture::{Node, PATIENCE, run_within};
use crate::harness::{Outcome, Stop, Test, need, roots};

pub const TESTS: &[Test] = &[
    ("a container that reboots for ever starts ever later, and stops at the first word", reboots),
    ("an init that is told to end before it listens ends all the same", early),
    ("whoever waits for a stop hears that another one killed the container", hurried),
    ("a delete calls the creation off", delete_over_create),
    ("what a console printed outlives the run, three runs long", consoles),
];

/// Makes a template whose init is this script.
fn template(node: &Node, name: &str, script: &str) -> Outcome {
    let root = node.place.join(name);
    let busybox = roots::busybox()?;
    run_within(Command::new("cp").arg("-a").arg(busybox).arg(&root), PATIENCE)?;
    let init = root.join("sbin/init");
    fs::remove_file(&init)?;
    fs::write(&init, script)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    node.must(&["template", "create", name, "--from-dir", &root.to_string_lossy()]).map(drop)
}

fn create(node: &Node, name: &str, template: &str, more: &[&str]) -> Outcome {
    let words = ["container", "create", name, "--template", template, "--disk-kind", "directory", "--network", "none"];
    node.must(&[words.as_slice(), more].concat()).map(drop)
}

fn reboots() -> Outcome {
    need(&["start-containers"])?;
    let node = Node::begin("reboots")?;
    template(&node, "loop", "#!/bin/sh\nreboot -f\n")?;
    create(&node, "c1", "loop", &[])?;
    node.must(&["start", "c1"])?;
    let row = node.wait_for("c1", |row| row["restarts"].as_u64() >= Some(2))?;
    check!(row["configuration"]["restart"] == "on-reboot", "{row:#}");
    let events = node.api().items("/v1/containers/c1/history")?.len();
    std::thread::sleep(Duration::from_secs(4));
    // At most two more rounds fit into that time, of six facts each.
    let more = node.api().items("/v1/containers/c1/history")?.len() - events;
    check!(more <= 14, "{more} events in four seconds");
    let shown = node.must(&["container", "show", "c1"])?.out;
    check!(shown.contains("on-reboot") && shown.contains("in a row"), "{shown}");
    for round in 0..10 {
        if round > 0 {
            node.must(&["start", "c1"])?;
            std::thread::sleep(Duration::from_millis(round * 37));
        }
        node.must(&["stop", "c1", "--kill"])?;
        check!(node.container("c1")?["state"] == "stopped", "{:#}", node.container("c1")?);
    }
    node.must(&["container", "set", "c1", "--restart", "never"])?;
    node.must(&["start", "c1"])?;
    node.wait_for("c1", |row| row["state"] == "stopped" && row["last_exit"] == "reboot")?;
    node.finish()
}

fn early() -> Outcome {
    need(&["start-containers"])?;
    let node = Node::begin("early")?;
    template(&node, "late", "#!/bin/sh\nsleep 2\ntrap 'poweroff -f' TERM\nwhile :; do sleep 0.1; done\n")?;
    create(&node, "c1", "late", &[])?;
    node.must(&["start", "c1"])?;
    let begun = Instant::now();
    node.must(&["stop", "c1", "--grace", "10m", "--timeout", "5m"]).or_else(|stop| told(&node, stop))?;
    check!(begun.elapsed() >= Duration::from_secs(1), "it did not sleep");
    let row = node.container("c1")?;
    check!(row["last_exit"] == "power-off", "{row:#}");
    node.finish()
}

fn hurried() -> Outcome {
    need(&["start-containers"])?;
    let node = Node::begin("hurried-stop")?;
    template(&node, "deaf", "#!/bin/sh\ntrap '' TERM USR1 PWR\nwhile :; do sleep 0.1; done\n")?;
    create(&node, "c1", "deaf", &[])?;
    node.must(&["start", "c1"])?;
    let mut first = Command::new(&node.program);
    first.args(["stop", "c1", "--grace", "10m"]).env("BERTH_STATE", node.state());
    let first = first.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    node.wait_for("c1", |row| !row["operation"].is_null())?;
    node.must(&["stop", "c1", "--kill"])?;
    let told = first.wait_with_output()?;
    let words = String::from_utf8_lossy(&told.stderr);
    check!(told.status.success(), "{told:?}");
    check!(words.contains("c1: killed before its grace was over, as another stop asked"), "{told:?}");
    node.finish()
}

fn told(node: &Node, stop: Stop) -> Result<crate::fixture::Answer, Stop> {
    let row = node.container("c1")?;
    match stop {
        Stop::Failed(reason) => Err(Stop::Failed(format!("{reason}\n{row:#}"))),
        skipped @ Stop::Skipped { .. } => Err(skipped),
    }
}

fn consoles() -> Outcome {
    need(&["start-containers"])?;
    let node = Node::begin("consoles")?;
    node.template()?;
    create(
        &node,
        "c1",
        "bb",
        &["--", "sh", "-c", "echo run $(cat /n 2>/dev/null)x; echo -n x >>/n; echo FATAL; exit 3"],
    )?;
    node.refused(&["logs", "c1"], 5, "log.not-kept")?;
    for _ in 0..5 {
        node.must(&["start", "c1"])?;
        node.wait_for("c1", |row| row["state"] == "stopped" && row["operation"].is_null())?;
    }
    let told = |arguments: &[&str]| -> Result<String, Stop> { Ok(node.must(arguments)?.out.replace('\r', "")) };
    check!(told(&["logs", "c1"])? == "run xxxxx\nFATAL\n", "{:?}", told(&["logs", "c1"])?);
    check!(told(&["logs", "c1", "--tail", "1"])? == "FATAL\n", "{:?}", told(&["logs", "c1", "--tail", "1"])?);
    check!(told(&["logs", "c1", "--boot", "-1"])? == "run xxxx\nFATAL\n", "{:?}", told(&["logs", "c1", "-b", "-1"])?);
    check!(told(&["logs", "c1", "--boot", "1"])? == "run xxx\nFATAL\n", "{:?}", told(&["logs", "c1", "-b", "1"])?);
    let none = node.refused(&["logs", "c1", "--boot", "-3"], 5, "log.not-kept")?;
    check!(none.err.contains("0 to -2"), "{none:?}");
    let id = node.container("c1")?["id"].as_str().unwrap_or_default().to_owned();
    node.must(&["container", "delete", "c1"])?;
    node.must(&["container", "purge", &id, "-y"])?;
    check!(!node.state().join("containers").join(&id).exists(), "something is left");
    node.finish()
}

fn delete_over_create() -> Outcome {
    let node = Node::begin("called-off")?;
    node.template()?;
    let create = serde_json::json!({"name": "c1", "template": "bb", "disk_kind": "directory", "network": "none"});
    let made = node.api().ask("POST", "/v1/containers", None, Some(&create))?;
    let id = made.body["id"].as_str().unwrap_or_default().to_owned();
    // Whichever comes first: the creation is called off, or what it made is deleted.
    let path = format!("/v1/containers/{id}/delete");
    let deleted = node.api().ask("POST", &path, None, Some(&serde_json::json!({})))?;
    check!(deleted.status == 202, "{deleted:?}");
    node.settle()?;
    let row = node.container(&id)?;
    check!(["purged", "deleted"].contains(&row["state"].as_str().unwrap_or_default()), "{row:#}");
    node.finish()
}
