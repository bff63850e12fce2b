//! Who enters a container: members of the group, and those whose way out nobody saw.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::check;
use crate::fixture::{Node, PATIENCE};
use crate::harness::remains;
use crate::harness::{Outcome, Stop, Test, need};
use crate::restart::supervisor;

pub const TESTS: &[Test] = &[
    ("sessions of a supervisor that is gone are closed at the start", lost),
    ("a shell inside says where it is", prompt),
    ("a member of the group enters, runs and reads, and nobody else does", group),
];

const PLAIN: &[&str] = &["--disk-kind", "directory"];

fn sessions(node: &Node, name: &str) -> Result<Vec<Value>, Stop> {
    node.api().items(&format!("/v1/containers/{name}/sessions"))
}

/// Begins a command that stays, and waits until its session is told.
fn stay(node: &Node, name: &str) -> Result<Child, Stop> {
    let mut command = Command::new(&node.program);
    command.args(["exec", name, "--", "sleep", "1000"]).env("BERTH_STATE", node.state());
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let begun = Instant::now();
    while sessions(node, name)?.is_empty() {
        check!(begun.elapsed() < PATIENCE, "no session is told");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(child)
}

fn lost() -> Outcome {
    need(&["start-containers"])?;
    let mut node = Node::begin("lost-sessions")?;
    node.template()?;
    node.running("c1", PLAIN)?;
    node.running("c2", PLAIN)?;
    let (mut gone, mut stays) = (stay(&node, "c1")?, stay(&node, "c2")?);
    let supervisor = supervisor(&node, "c1")?;
    node.kill()?;
    gone.kill()?; // it cannot tell its end
    gone.wait()?;
    remains::kill(supervisor);
    node.start()?;
    let row = sessions(&node, "c1")?.remove(0);
    let told = row["closed_at"].is_string() && row["code"].is_null();
    let reason = row["reason"].as_str().unwrap_or_default();
    check!(told && reason.contains("does not run any more"), "{row:#}");
    let row = sessions(&node, "c2")?.remove(0);
    check!(row["closed_at"].is_null(), "a session that goes on is closed: {row:#}");
    let history = node.must(&["container", "history", "c1"])?;
    check!(history.out.contains("session closed: its container does not run any more"), "{history:?}");
    node.must(&["container", "stop", "c2", "--kill"])?;
    stays.wait()?;
    node.finish()
}

fn prompt() -> Outcome {
    need(&["start-containers"])?;
    let node = Node::begin("prompt")?;
    node.template()?;
    node.running("c1", PLAIN)?;
    let mut command = Command::new("script"); // it gives a terminal
    let line = format!("{} enter c1", node.program.display());
    command.args(["-qec", &line, "/dev/null"]).env("BERTH_STATE", node.state());
    let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut typing = shell.stdin.take().ok_or("no input")?;
    let begun = Instant::now();
    while shell.try_wait()?.is_none() {
        check!(begun.elapsed() < PATIENCE, "the shell does not end");
        let _ = typing.write_all(b"exit\n"); // what comes before the shell has its terminal is lost
        thread::sleep(Duration::from_millis(50));
    }
    let told = String::from_utf8_lossy(&shell.wait_with_output()?.stdout).into_owned();
    check!(told.contains("root@c1:"), "{told:?}");
    node.finish()
}

const MEMBER: [&str; 7] = ["setpriv", "--reuid", "4242", "--regid", "4242", "--groups", "7777"];
const STRANGER: [&str; 6] = ["setpriv", "--reuid", "4343", "--regid", "4343", "--clear-groups"];

/// Gives the daemon a host with a group `berth` and one member.
fn with_group(node: &mut Node) -> Outcome {
    let file = |name: &str, text: &str| -> Result<String, Stop> {
        let path = node.place.join(name);
        fs::write(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    };
    let passwd = file("passwd", "root:x:0:0:root:/root:/bin/sh\nann:x:4242:4242::/:/bin/sh\n")?;
    let group = file("group", "root:x:0:\nann:x:4242:\nberth:x:7777:ann\n")?;
    let bind = format!("mount --bind {passwd} /etc/passwd && mount --bind {group} /etc/group && exec \"$@\"");
    node.wrapper = ["unshare", "-m", "sh", "-c", &bind, "sh"].map(str::to_owned).to_vec();
    let program = node.place.join("berth"); // where others can reach it
    fs::copy(&node.program, &program)?;
    node.program = program;
    fs::set_permissions(&node.place, fs::Permissions::from_mode(0o711))?;
    Ok(())
}

fn group() -> Outcome {
    need(&["start-containers"])?;
    let mut node = Node::new("group")?;
    with_group(&mut node)?;
    node.start()?;
    node.template()?;
    node.running("c1", PLAIN)?;
    node.client_wrapper = MEMBER.map(str::to_owned).to_vec();
    let told = node.must(&["exec", "c1", "--", "id", "-u"])?;
    check!(told.out.trim() == "0", "{told:?}");
    let failed = node.berth(&["exec", "c1", "--", "sh", "-c", "exit 7"])?;
    check!(failed.code == 7, "{failed:?}");
    node.must(&["logs", "c1"])?;
    node.must(&["container", "list"])?;
    node.must(&["enter", "c1"])?;
    // The end is told by the supervisor, and recorded after the command line has ended.
    let begun = Instant::now();
    let mut by = sessions(&node, "c1")?;
    while !by.iter().all(|row| row["closed_at"].is_string()) {
        check!(begun.elapsed() < PATIENCE, "an end is not recorded: {by:#?}");
        thread::sleep(Duration::from_millis(10));
        by = sessions(&node, "c1")?;
    }
    check!(by.len() == 3 && by.iter().all(|row| row["by"] == "ann"), "{by:#?}");
    let run = std::path::Path::new("/run/berth").join(node.instance());
    let mode = |path: &std::path::Path| fs::metadata(path).map(|found| found.permissions().mode() & 0o777);
    check!(mode(&run.join("sessions"))? == 0o750, "sessions/ is open to others");
    check!(mode(&run.join("containers"))? == 0o700, "containers/ is open to others");
    for socket in fs::read_dir(run.join("sessions"))?.flatten() {
        check!(mode(&socket.path())? == 0o660, "{} is open to others", socket.path().display());
    }
    node.client_wrapper = STRANGER.map(str::to_owned).to_vec();
    let refused = node.berth(&["exec", "c1", "--", "true"])?;
    check!(refused.code == 4, "{refused:?}");
    node.client_wrapper.clear();
    node.finish()
}
