//! What supervisors and containers have of the daemon and of the host: of the service's settings nothing, of the host's
//! mounts none but those they need.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::check;
use crate::fixture::{Node, PATIENCE};
use crate::harness::mounted::Mounted;
use crate::harness::{Outcome, Stop, need, unit};

pub const TESTS: &[crate::harness::Test] = &[
    ("a daemon with the settings of the packaged unit hands none of them on", service),
    ("a file system of the host is let go of while containers run and supervisors wait", lets_go),
];

fn service() -> Outcome {
    need(&["start-containers", "loop devices", "mkfs.ext4"])?;
    let mut node = Node::new("service")?;
    node.start_with(unit::begin_as_service)?;
    node.template()?;
    node.running("c", &[])?;
    // Begun by a shell, the command would have what that ignores.
    for process in ["1", "self"] {
        let file = |name: &str| -> Result<String, Stop> {
            Ok(node.must(&["exec", "c", "--", "/bin/cat", &format!("/proc/{process}/{name}")])?.out)
        };
        let status = file("status")?;
        for part in ["Umask:\t0022", "SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"] {
            check!(status.contains(part), "{process}: no {part:?} in {status}");
        }
        check!(file("oom_score_adj")?.trim() == "0", "{process} has a score");
        let limits = file("limits")?;
        let descriptors = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        let soft = descriptors.and_then(|rest| rest.split_whitespace().next());
        check!(soft == Some("1024"), "{process}: {limits}");
        let environment = file("environ")?;
        check!(!environment.contains("INVOCATION_ID"), "{process}: {environment:?}");
    }
    node.finish()
}

fn lets_go() -> Outcome {
    need(&["start-containers", "loop devices", "mkfs.ext4"])?;
    let mounted = Mounted::new("lets-go")?;
    let mut node = Node::new("lets-go-node")?;
    node.wrapper = mounted.wrapper();
    node.start()?;
    node.template()?;
    node.running("c", &[])?;
    node.running("d", &["--disk-kind", "directory"])?;
    let begun = Instant::now();
    while waiting(&node)? == 0 {
        check!(begun.elapsed() < PATIENCE, "no supervisor waits");
        std::thread::sleep(Duration::from_millis(5));
    }
    mounted.let_go()?;
    for name in ["c", "d"] {
        node.must(&["exec", name, "--", "true"])?;
    }
    node.finish()
}

/// Those that wait for the next start; one that has begun is called by its folder.
fn waiting(node: &Node) -> Result<usize, Stop> {
    let daemon = node.daemon.as_ref().ok_or("no daemon")?.id();
    let told = Command::new("ps").args(["--no-headers", "-o", "args", "--ppid", &daemon.to_string()]).output()?;
    Ok(String::from_utf8_lossy(&told.stdout).lines().filter(|line| line.contains("shim --wait")).count())
}
