//! Command lines that carry secrets: where they are, where they are not, and how they go.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::check;
use crate::fixture::{Node, PATIENCE};
use crate::harness::{Outcome, Stop, Test, need};

pub const TESTS: &[Test] = &[("a secret in a command line can be redacted, and the container starts by it", redacted)];

const SECRET: &str = "hunter2-of-the-log";

fn commands(node: &Node) -> Result<Vec<std::path::PathBuf>, Stop> {
    Ok(fs::read_dir(node.state().join("commands"))?.flatten().map(|entry| entry.path()).collect())
}

/// Says whether the log's files have the secret anywhere.
fn in_the_log(node: &Node) -> Result<bool, Stop> {
    let has = |name: &str| -> Result<bool, Stop> {
        let path = node.state().join(name);
        let bytes = if path.exists() { fs::read(path)? } else { vec![] };
        Ok(bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()))
    };
    Ok(has("log.db")? || has("log.db-wal")?)
}

fn create_event(node: &Node) -> Result<String, Stop> {
    let events = node.api().items("/v1/events?kind=CreateRequested&limit=1")?;
    Ok(events[0]["position"].to_string())
}

fn redacted() -> Outcome {
    need(&["start-containers"])?;
    let mut node = Node::begin("redacted")?;
    node.template()?;
    let command = format!("echo {SECRET}; exec sleep 1000");
    let words = ["container", "create", "s", "--template", "bb", "--disk-kind", "directory", "--start", "--"];
    node.must(&[&words[..], &["sh", "-c", &command]].concat())?;
    let file = commands(&node)?.remove(0);
    check!(fs::metadata(&file)?.permissions().mode() & 0o777 == 0o600, "{} is for others", file.display());
    check!(in_the_log(&node)?, "the annex tells it until it is redacted");

    let event = create_event(&node)?;
    node.must(&["audit", "redact", &event, "-y", "--reason", "a password"])?;
    check!(!in_the_log(&node)?, "it is in the log's files still");
    let verified = node.must(&["audit", "verify", "-o", "json"])?.json()?;
    check!(verified["redacted"] == 1 && verified["findings"].as_array().is_some_and(Vec::is_empty), "{verified:#}");

    // After a replay, and with a file of a creation that was never recorded.
    fs::write(file.with_file_name("0".repeat(64)), "{}")?;
    node.kill()?;
    node.start()?;
    check!(commands(&node)? == [file.clone()], "{:?}", commands(&node)?);
    node.must(&["container", "restart", "s", "--grace", "0s"])?;
    check!(node.container("s")?["state"] == "running", "it does not start by its command");

    // Somebody who reads the log keeps the secret in its files: that is told, and mended once it can be, by a later daemon.
    node.must(&["stop", "s", "--kill", "--reason", SECRET])?;
    let stop = node.api().items("/v1/events?kind=StopRequested&limit=1")?[0]["position"].to_string();
    let reader = rusqlite::Connection::open(node.state().join("log.db")).map_err(|error| error.to_string())?;
    reader.execute_batch("BEGIN; SELECT count(*) FROM events").map_err(|error| error.to_string())?;
    let answer = node.berth(&["audit", "redact", &stop, "-y"])?;
    check!(answer.code != 0 && answer.err.contains("somebody reads the log") && in_the_log(&node)?, "{answer:?}");
    node.kill()?;
    node.start()?;
    check!(in_the_log(&node)?, "the reader is in nobody's way");
    drop(reader);
    let begun = Instant::now();
    while in_the_log(&node)? {
        check!(begun.elapsed() < PATIENCE, "it is never removed");
        std::thread::sleep(Duration::from_millis(100));
    }

    // Not what was recorded, then gone.
    let whole = fs::read_to_string(&file)?;
    fs::write(&file, whole.replace("sleep", "sleet"))?;
    let answer = node.berth(&["start", "s"])?;
    check!(answer.code == 1 && answer.err.contains("is not what was recorded"), "{answer:?}");
    fs::remove_file(&file)?;
    let answer = node.berth(&["start", "s"])?;
    check!(answer.code == 1 && answer.err.contains("redacted or lost"), "{answer:?}");
    fs::write(&file, whole)?;
    node.must(&["container", "delete", "s", "-y"])?;
    node.must(&["container", "purge", "s", "-y"])?;
    node.must(&["audit", "redact", &event, "-y"])?;
    check!(!Path::new(&file).exists(), "a command line that nobody needs stays");
    node.finish()
}
