//! Ctrl-C: the daemon owns the work, and whoever leaves is told what was begun and what can be done about it.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use berth::sys::process;

use crate::check;
use crate::fixture::{Node, PATIENCE};
use crate::harness::{Outcome, Stop, Test, need};

pub const TESTS: &[Test] = &[
    ("a Ctrl-C before the daemon has answered still tells what was begun", unanswered),
    ("who leaves a stop is told how to end it at once, and that works", stopping),
];

const INTERRUPT: i32 = 2;
const CONTINUE: i32 = 18;
const HALT: i32 = 19;

fn begin(node: &Node, arguments: &[&str]) -> Result<Child, Stop> {
    let mut command = Command::new(&node.program);
    command.args(arguments).env("BERTH_STATE", node.state()).stdin(Stdio::null());
    Ok(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

/// Sends a Ctrl-C as soon as the process has an ear for it; before, it would just end.
fn interrupt(child: &Child) -> Outcome {
    let begun = Instant::now();
    let status = format!("/proc/{}/status", child.id());
    let hears = |text: &str| {
        let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or_default().trim();
        u64::from_str_radix(mask, 16).is_ok_and(|mask| mask & (1 << (INTERRUPT - 1)) != 0)
    };
    while !hears(&fs::read_to_string(&status)?) {
        check!(begun.elapsed() < PATIENCE, "it takes no Ctrl-C");
        thread::sleep(Duration::from_millis(1));
    }
    Ok(process::kill(child.id() as i32, INTERRUPT)?)
}

/// Waits for the end; returns the exit code and what was said on standard error.
fn end(child: Child) -> Result<(i32, String), Stop> {
    let output = child.wait_with_output()?;
    Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn unanswered() -> Outcome {
    let node = Node::begin("unanswered")?;
    node.template()?;
    let daemon = node.daemon.as_ref().map(Child::id).ok_or("no daemon")? as i32;
    let create = |name| ["container", "create", name, "--template", "bb", "--disk-kind", "directory", "--start"];
    process::kill(daemon, HALT)?;
    let child = begin(&node, &create("c1"))?;
    interrupt(&child)?;
    let (code, told) = end(child)?;
    check!(code == 130 && told.contains("before the daemon answered") && told.contains("operation list"), "{told}");
    let child = begin(&node, &create("c2"))?;
    interrupt(&child)?;
    process::kill(daemon, CONTINUE)?;
    let (code, told) = end(child)?;
    check!(code == 130 && told.contains("c2: detached") && told.contains("operation wait"), "{code} {told}");
    check!(told.contains("nobody asked for it to be started yet"), "{told}");
    node.wait_for("c2", |row| row["state"] == "stopped")?;
    node.finish()
}

fn stopping() -> Outcome {
    need(&["start-containers"])?;
    let node = Node::begin("stopping")?;
    node.template()?;
    node.must(&[
        "container",
        "create",
        "c1",
        "--template",
        "bb",
        "--disk-kind",
        "directory",
        "--start",
        "--",
        "sh",
        "-c",
        "trap '' TERM; while :; do sleep 1; done",
    ])?;
    let child = begin(&node, &["container", "stop", "c1", "--grace", "10m"])?;
    node.wait_for("c1", |row| row["state"] == "stopping")?;
    interrupt(&child)?;
    let (code, told) = end(child)?;
    check!(code == 130 && !told.contains("cancel") && told.contains("container stop c1 --kill"), "{code} {told}");
    node.must(&["container", "stop", "c1", "--kill"])?;
    node.wait_for("c1", |row| row["state"] == "stopped")?;
    node.finish()
}
