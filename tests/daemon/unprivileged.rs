//! The daemon without root: everything but starting works, and what is missing is said.

use std::fs;
use std::os::unix::fs::chown;

use crate::check;
use crate::fixture::Node;
use crate::harness::{Outcome, need, roots};
use crate::state_directory::{NOBODY, as_nobody, give_to_nobody};

pub const TESTS: &[crate::harness::Test] = &[("without root everything works but what needs it", without_root)];

fn without_root() -> Outcome {
    need(&["root"])?; // to become nobody
    let mut node = Node::new("nobody")?;
    as_nobody(&mut node)?;
    for folder in ["state", "keys", "stores", "out"] {
        give_to_nobody(&node.place.join(folder))?;
    }
    node.start()?;
    let at = |name: &str| node.place.join(name).to_string_lossy().into_owned();
    let told = node.berth(&["doctor", "-o", "json"])?.json()?;
    let findings = told["findings"].as_array().cloned().unwrap_or_default();
    check!(findings.iter().any(|finding| finding["feature"] == "root" && finding["ok"] == false), "{told:#}");
    node.must(&["template", "create", "bb", "--from-dir", &roots::busybox()?.to_string_lossy()])?;
    node.must(&["container", "create", "c1", "--template", "bb", "--disk-kind", "directory"])?;
    let started = node.refused(&["container", "start", "c1"], 1, "node.cannot-start")?;
    check!(started.err.contains("root"), "{started:?}");
    check!(node.container("c1")?["state"] == "stopped", "{started:?}");
    node.refused(&["container", "create", "c0", "--template", "bb", "--disk-kind", "image"], 1, "disk.no-images")?;
    node.refused(&["network", "create", "n1"], 1, "node.cannot-start")?;
    node.must(&["store", "create", "main", &at("stores/main")])?;
    let id = node.container("c1")?["id"].as_str().unwrap_or_default().to_owned();
    let upper = node.state().join("containers").join(id).join("disk/upper");
    give_to_nobody(&upper)?;
    fs::write(upper.join("note"), "precious")?;
    chown(upper.join("note"), Some(NOBODY), Some(NOBODY))?;
    node.must(&["backup", "run", "c1"])?;
    node.must(&["backup", "run", "c1"])?;
    node.must(&["backup", "verify", "c1@latest"])?;
    let read = node.must(&["backup", "cat", "c1@latest", "/note"])?;
    check!(read.out == "precious", "{read:?}");
    node.must(&["backup", "restore", "c1@latest", "--path", "/note", "--into", &at("out/one")])?;
    check!(fs::read_to_string(node.place.join("out/one/note"))? == "precious", "not restored");
    let to_run = ["backup", "restore", "c1@latest", "--to", "c2", "--start"];
    node.refused(&to_run, 1, "node.cannot-start")?;
    node.must(&["backup", "restore", "c1@latest", "--to", "c2"])?;
    check!(node.container("c2")?["state"] == "stopped", "c2 is not stopped");
    fs::write(upper.join("note"), "spoilt")?;
    node.must(&["backup", "restore", "c1@latest", "--in-place", "-y"])?;
    check!(fs::read_to_string(upper.join("note"))? == "precious", "not restored in place");
    let nightly = ["schedule", "create", "nightly", "--cron", "30 2 * * *", "--action", "backup", "--select", "all"];
    node.must(&nightly)?;
    node.must(&["schedule", "next", "nightly"])?;
    node.must(&["schedule", "run-now", "nightly"])?;
    node.settle()?;
    node.must(&["container", "history", "c1"])?;
    node.must(&["backup", "coverage"])?;
    node.must(&["container", "list", "--as-of", "1s"])?;
    node.must(&["audit", "verify"])?;
    node.kill()?;
    node.start()?;
    node.must(&["audit", "verify"])?;
    node.must(&["container", "delete", "c1", "c2", "-y"])?;
    node.must(&["container", "purge", "c1", "c2", "-y"])?;
    node.finish()
}
