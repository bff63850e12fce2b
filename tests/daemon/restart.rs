//! The daemon ends in order, is replaced by another program, and finds what became of containers without it.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use berth::kernel::cgroup::{Layout, own_paths};
use serde_json::{Value, json};

use crate::check;
use crate::fixture::{Node, PATIENCE};
use crate::harness::{Outcome, Stop, need, remains};

pub const TESTS: &[crate::harness::Test] = &[
    ("containers outlive a daemon that ends in order", outlive),
    ("a daemon that is told to end as soon as it is ready ends in order", at_once),
    ("a daemon of another path takes over what runs", upgrade),
    ("what ends while no daemon runs is found at the next start", unseen),
    ("a daemon of another control group still reaches what an earlier one started", elsewhere),
    ("a supervisor that dies takes its container along, and that is told", orphaned),
    ("an init that ends by itself is told with its reason", by_itself),
    ("records that were damaged lose no container and keep none from ending", damaged),
];

fn node(name: &str) -> Result<Node, Stop> {
    need(&["start-containers"])?;
    let node = Node::begin(name)?;
    node.template()?;
    Ok(node)
}

fn pid_of(row: &Value) -> i32 {
    row["init"]["pid"].as_i64().unwrap_or_default() as i32
}

fn at_once() -> Outcome {
    let mut node = Node::begin("at-once")?;
    node.stop()?;
    let (socket, log) = (node.place.join("notify"), node.place.join("daemon.log"));
    let manager = UnixDatagram::bind(&socket)?;
    manager.set_read_timeout(Some(PATIENCE))?;
    for round in 0..3 {
        let words = fs::File::options().append(true).open(&log)?;
        let mut daemon = node.command().env("NOTIFY_SOCKET", &socket).stdout(Stdio::null()).stderr(words).spawn()?;
        let mut told = [0; 256];
        while !told.starts_with(b"READY=1") {
            manager.recv(&mut told)?;
        }
        berth::sys::process::kill(daemon.id() as i32, 15)?;
        let status = daemon.wait()?;
        check!(status.success(), "round {round}: it ended with {status}: {}", node.words());
    }
    node.start()?;
    node.finish()
}

const PLAIN: &[&str] = &["--disk-kind", "directory"];

/// Every record beside a running container is emptied, each for itself, and then all at once.
fn damaged() -> Outcome {
    let mut node = node("damaged")?;
    let records = ["shim.json", "spec.json", "link.json", "started.json"];
    let folder = |node: &Node, name: &str| -> Result<PathBuf, Stop> {
        let id = node.container(name)?["id"].as_str().unwrap_or_default().to_owned();
        Ok(PathBuf::from("/run/berth").join(node.instance()).join("containers").join(id))
    };
    for name in ["c0", "c1", "c2", "c3", "all"] {
        node.running(name, &[])?;
    }
    for (number, record) in records.iter().enumerate() {
        for name in [format!("c{number}"), "all".to_owned()] {
            let file = folder(&node, &name)?.join(record);
            check!(file.exists(), "there is no {}", file.display());
            fs::write(file, "")?;
        }
    }
    let before: Vec<_> =
        ["c0", "c1", "c2", "c3", "all"].map(|name| node.container(name)).into_iter().collect::<Result<_, _>>()?;
    node.kill()?;
    node.start()?;
    for row in before {
        let name = row["name"].as_str().unwrap_or_default().to_owned();
        let after = node.container(&name)?;
        check!(after["state"] == "running" && after["init"] == row["init"], "{after:#}");
        node.must(&["container", "restart", &name, "--grace", "5s"])?;
        fs::write(folder(&node, &name)?.join("link.json"), "")?;
        node.must(&["container", "stop", &name, "--kill"])?;
        node.must(&["container", "delete", "-y", &name])?;
        node.must(&["container", "purge", "-y", &name])?;
    }
    node.finish()
}

fn outlive() -> Outcome {
    let mut node = node("outlive")?;
    node.running("c1", PLAIN)?;
    node.running("c2", PLAIN)?;
    node.must(&["container", "pause", "c2"])?;
    let before = (node.container("c1")?, node.container("c2")?);
    node.stop()?;
    check!(!node.state().join("instance.json").exists(), "the address of a daemon that ended is left");
    let down = node.berth(&["container", "stop", "c1"])?;
    check!(down.code == 8 && down.err.contains("daemon"), "{down:?}");
    let offline = node.must(&["container", "list", "-o", "json"])?.json()?;
    check!(offline["items"].as_array().is_some_and(|items| items.len() == 2), "{offline}");
    check!(Path::new("/proc").join(pid_of(&before.0).to_string()).exists(), "it ended with the daemon");
    node.start()?;
    let after = (node.container("c1")?, node.container("c2")?);
    check!(before.0["init"] == after.0["init"] && after.0["state"] == "running", "{:#}", after.0);
    check!(before.1["init"] == after.1["init"] && after.1["state"] == "paused", "{:#}", after.1);
    node.must(&["container", "resume", "c2"])?;
    node.must(&["exec", "c2", "--", "true"])?;
    node.must(&["container", "stop", "c1", "--grace", "5s"])?;
    let row = node.container("c1")?;
    check!(row["state"] == "stopped" && row["last_exit"] == json!("power-off"), "{row:#}");
    node.finish()
}

/// Names a group beside the own one in the hierarchy that counts memory.
fn group_elsewhere() -> Result<PathBuf, Stop> {
    let layout = Layout::detect().map_err(|failure| failure.to_string())?;
    let (name, root) = match layout.v1.iter().find(|hierarchy| hierarchy.has("memory")) {
        Some(hierarchy) => (hierarchy.name.as_str(), &hierarchy.root),
        None => ("", &layout.unified),
    };
    let own = own_paths()?.remove(name).unwrap_or_default();
    Ok(root.join(own.trim_matches('/')).join(format!("elsewhere-{}", std::process::id())))
}

fn elsewhere() -> Outcome {
    let mut node = node("elsewhere")?;
    node.running("c1", &["--disk-kind", "directory", "--memory", "64M"])?;
    node.stop()?;
    let group = group_elsewhere()?;
    fs::create_dir(&group)?;
    let join = format!("echo $$ >{}/cgroup.procs; exec \"$@\"", group.display());
    node.wrapper = ["sh", "-c", &join, "sh"].map(str::to_owned).to_vec();
    node.start()?;
    let row = node.container("c1")?;
    check!(row["usage"]["memory"].is_u64(), "its memory is not seen any more: {row:#}");
    node.must(&["container", "set", "c1", "--memory", "80M"])?;
    node.must(&["container", "restart", "c1", "--grace", "5s"])?;
    node.must(&["container", "set", "c1", "--memory", "64M"])?;
    node.finish()?;
    let _ = fs::remove_dir(group.join("daemon")); // on a pure v2 host
    Ok(fs::remove_dir(&group)?)
}

fn upgrade() -> Outcome {
    let mut node = node("upgrade")?;
    node.running("c1", PLAIN)?;
    let before = node.container("c1")?;
    node.stop()?;
    let newer = node.place.join("berth-of-tomorrow");
    fs::copy(&node.program, &newer)?;
    node.program = newer;
    node.start()?;
    let after = node.container("c1")?;
    check!(before["init"] == after["init"], "{after:#}");
    node.must(&["exec", "c1", "--", "true"])?;
    node.must(&["container", "stop", "c1", "--grace", "5s"])?;
    node.must(&["container", "start", "c1"])?;
    let supervisor = supervisor(&node, "c1")?;
    let program = fs::read_link(format!("/proc/{supervisor}/exe"))?;
    check!(program == node.program, "the supervisor still runs {}", program.display());
    node.finish()
}

fn unseen() -> Outcome {
    let mut node = node("unseen")?;
    node.running("power-off", PLAIN)?;
    node.running("killed", PLAIN)?;
    let rows = (node.container("power-off")?, node.container("killed")?);
    node.stop()?;
    for (row, signal) in [(&rows.0, 12), (&rows.1, 9)] {
        let (pid, begun) = (pid_of(row), Instant::now());
        // Before it has its handlers, the first process of a pid namespace ignores a signal.
        while berth::sys::process::kill(pid, signal).is_ok() {
            check!(begun.elapsed() < PATIENCE, "process {pid} does not end");
            thread::sleep(Duration::from_millis(20));
        }
    }
    node.start()?;
    let row = node.wait_for("power-off", |row| row["state"] == "stopped" && row["operation"].is_null())?;
    check!(row["last_exit"] == json!("power-off"), "{row:#}");
    let row = node.wait_for("killed", |row| row["state"] == "stopped" && row["operation"].is_null())?;
    check!(row["last_exit"] == json!({"signal": 9}), "{row:#}");
    node.finish()
}

/// Returns the process that is a container's supervisor.
pub fn supervisor(node: &Node, name: &str) -> Result<i32, Stop> {
    let id = node.container(name)?["id"].as_str().unwrap_or_default().to_owned();
    let found = remains::processes(&format!("/run/berth/{}/containers/{id}", node.instance()));
    let first = found.first().map(|(pid, _)| *pid);
    first.ok_or_else(|| Stop::Failed(format!("{name} has no supervisor")))
}

fn orphaned() -> Outcome {
    need(&["loop devices", "mkfs.ext4"])?;
    let mut node = node("orphaned")?;
    node.running("c1", &[])?;
    node.running("c2", &[])?;
    remains::kill(supervisor(&node, "c1")?);
    let row = node.wait_for("c1", |row| row["state"] == "stopped" && row["operation"].is_null())?;
    check!(row["last_exit"] == json!("unknown"), "{row:#}");
    let second = supervisor(&node, "c2")?;
    node.kill()?;
    remains::kill(second);
    node.start()?;
    let row = node.wait_for("c2", |row| row["state"] == "stopped" && row["operation"].is_null())?;
    check!(row["last_exit"] == json!("unknown"), "{row:#}");
    let left: Vec<_> =
        node.left().into_iter().filter(|line| !line.starts_with("table") && !line.contains("link b")).collect();
    check!(left.iter().all(|line| line.starts_with("process")), "not cleared away: {left:#?}");
    node.must(&["container", "start", "c1", "c2"])?;
    node.finish()
}

fn by_itself() -> Outcome {
    let node = node("by-itself")?;
    node.running("c1", PLAIN)?;
    let stopped = |row: &Value| row["state"] == "stopped" && row["operation"].is_null();
    node.berth(&["exec", "c1", "--", "poweroff"])?;
    let row = node.wait_for("c1", stopped)?;
    check!(row["last_exit"] == json!("power-off"), "{row:#}");
    node.must(&["container", "start", "c1"])?;
    remains::kill(pid_of(&node.container("c1")?));
    let row = node.wait_for("c1", stopped)?;
    check!(row["last_exit"] == json!({"signal": 9}), "{row:#}");
    node.must(&["container", "start", "c1"])?;
    let before = pid_of(&node.container("c1")?);
    node.berth(&["exec", "c1", "--", "reboot"])?;
    let row = node.wait_for("c1", |row| row["state"] == "running" && pid_of(row) != before)?;
    node.must(&["exec", "c1", "--", "true"])?;
    check!(row["last_exit"] == json!("reboot") || row["last_exit"].is_null(), "{row:#}");
    node.finish()
}
