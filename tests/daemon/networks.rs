//! Networks that somebody else takes parts of away.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::check;
use crate::fixture::{Node, PATIENCE};
use crate::harness::{Outcome, Stop, Test, need};

pub const TESTS: &[Test] = &[("what somebody removes of a network comes back, and containers talk", removed)];

fn run(words: &[&str]) -> Outcome {
    let output = Command::new(words[0]).args(&words[1..]).output()?;
    check!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Waits until the network was made again so many times, and what was missing is told.
fn made_again(node: &Node, times: usize, missing: &str) -> Outcome {
    let begun = Instant::now();
    loop {
        let asked = node.api().items("/v1/events?kind=NetworkRestoreRequested&limit=100")?;
        let done = node.api().items("/v1/events?kind=NetworkRestored&limit=100")?.len();
        if asked.len() == times && done == times {
            check!(asked.iter().any(|event| event.to_string().contains(missing)), "{missing}: {asked:#?}");
            return Ok(());
        }
        check!(begun.elapsed() < PATIENCE, "not made again: {asked:#?}, {done} done\n{}", node.words());
        thread::sleep(Duration::from_millis(50));
    }
}

fn address(node: &Node, name: &str) -> Result<String, Stop> {
    Ok(node.container(name)?["lease"]["address"].as_str().unwrap_or_default().to_owned())
}

fn talk(node: &Node) -> Outcome {
    let (near, far) = (address(node, "c1")?, address(node, "c2")?);
    let begun = Instant::now();
    for (from, to) in [("c1", &far), ("c2", &near)] {
        while node.berth(&["exec", from, "--", "ping", "-c", "1", "-W", "2", to])?.code != 0 {
            check!(begun.elapsed() < PATIENCE, "{from} does not reach {to}: {}", node.words());
        }
    }
    Ok(())
}

fn removed() -> Outcome {
    need(&["start-containers", "nft"])?;
    let node = Node::begin("removed-network")?;
    node.template()?;
    node.running("c1", &["--disk-kind", "directory"])?;
    node.running("c2", &["--disk-kind", "directory"])?;
    talk(&node)?;
    let (instance, row) = (node.instance(), node.api().items("/v1/networks")?.remove(0));
    let bridge = row["bridge"].as_str().unwrap_or_default().to_owned();
    // What `nft flush ruleset` does to us, without what it does to others on this machine.
    let (own, ports) = (format!("berth-{bridge}"), format!("berth-{instance}"));
    run(&["nft", &format!("delete table inet {own}; delete table bridge {ports}")])?;
    made_again(&node, 1, &ports)?;
    run(&["nft", "list", "table", "inet", &own])?;
    talk(&node)?;
    run(&["nft", "flush", "table", "inet", &own])?;
    made_again(&node, 2, &own)?;
    talk(&node)?;
    run(&["ip", "link", "delete", &bridge])?;
    made_again(&node, 3, &format!("the bridge {bridge}"))?;
    talk(&node)?;
    let id = node.container("c1")?["id"].as_str().unwrap_or_default().to_owned();
    let port = format!("v{instance}{}", &id[..6]);
    run(&["ip", "link", "delete", &port])?;
    made_again(&node, 4, &format!("the port {port}"))?;
    talk(&node)?;
    node.must(&["container", "stop", "c1", "--kill"])?;
    thread::sleep(Duration::from_millis(500));
    made_again(&node, 4, "")?; // a port that goes with its container is not missed
    node.finish()
}
