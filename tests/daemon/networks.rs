//! Networks that somebody else takes parts of away.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::check;
use crate::fixture::{Node, PATIENCE};
use crate::harness::{Outcome, Stop, Test, need};

pub const TESTS: &[Test] = &[
    ("what somebody removes of a network comes back, and containers talk", removed),
    (
        "what somebody does to the host's network after the start is noticed, and told until it is undone",
        after_the_start,
    ),
];

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
    // The record by which it is known is damaged as well.
    let record = Path::new("/run/berth").join(&instance).join("containers").join(&id).join("link.json");
    std::fs::write(&record, "{")?;
    run(&["ip", "link", "delete", &port])?;
    made_again(&node, 5, &format!("the port {port}"))?;
    talk(&node)?;
    check!(std::fs::read_to_string(&record)?.contains(&port), "the record is as it was");
    node.must(&["container", "stop", "c1", "--kill"])?;
    thread::sleep(Duration::from_millis(500));
    made_again(&node, 5, "")?; // a port that goes with its container is not missed
    node.finish()
}

/// Waits until the network has shortcomings with these words in them, or none.
fn told(node: &Node, words: Option<&str>) -> Outcome {
    let begun = Instant::now();
    loop {
        let row = node.api().items("/v1/networks")?.remove(0);
        let found = row["shortcomings"].as_array().map(Vec::as_slice).unwrap_or_default();
        let fits = match words {
            None => found.is_empty(),
            Some(words) => found.iter().any(|one| one.to_string().contains(words)),
        };
        if fits {
            return Ok(());
        }
        check!(begun.elapsed() < PATIENCE, "wanted {words:?}: {found:#?}\n{}", node.words());
        thread::sleep(Duration::from_millis(50));
    }
}

/// The daemon has a network namespace of its own: this machine's firewall is nobody's to try things with.
fn after_the_start() -> Outcome {
    need(&["start-containers", "nft"])?;
    let mut node = Node::new("network-after-the-start")?;
    node.wrapper = ["unshare", "-n"].map(str::to_owned).to_vec();
    node.start()?;
    let daemon = node.daemon.as_ref().map_or(0, std::process::Child::id).to_string();
    let on_host = |words: &[&str]| run(&[&["nsenter", "-n", "-t", &daemon], words].concat());
    told(&node, None)?;
    node.template()?;
    node.must(&["container", "create", "c1", "--template", "bb", "--disk-kind", "directory"])?;
    on_host(&["nft", "add table inet fw"])?;
    on_host(&["nft", "add chain inet fw f { type filter hook forward priority 0; policy drop; }"])?;
    told(&node, Some("the chain f of table inet fw drops by default"))?;
    let started = node.must(&["container", "start", "c1"])?;
    check!(started.err.contains("warning: c1: the chain f of table inet fw"), "{started:?}");
    let looked = node.must(&["doctor"])?;
    check!(looked.out.contains("the chain f of table inet fw"), "{looked:?}");
    on_host(&["nft", "delete table inet fw"])?;
    told(&node, None)?;
    let started = node.must(&["container", "restart", "c1"])?;
    check!(!started.err.contains("warning"), "{started:?}");
    // An uplink that comes later, and then a way into a private range that the network has.
    on_host(&["ip", "link", "add", "wan0", "type", "veth", "peer", "name", "wan1"])?;
    on_host(&["ip", "address", "add", "192.0.2.1/24", "dev", "wan0"])?;
    on_host(&["ip", "link", "set", "wan0", "up"])?;
    made_again(&node, 1, "forwarding from wan0")?;
    // What `sysctl --system` does where the global switch was on.
    on_host(&["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv4/ip_forward"])?;
    made_again(&node, 2, "forwarding from b")?;
    let subnet = node.api().items("/v1/networks")?.remove(0)["subnet"].as_str().unwrap_or_default().to_owned();
    on_host(&["ip", "route", "add", &subnet, "via", "192.0.2.2", "metric", "7"])?;
    told(&node, Some(&format!("the route to {subnet} by wan0")))?;
    on_host(&["ip", "route", "delete", &subnet, "via", "192.0.2.2", "metric", "7"])?;
    told(&node, None)?;
    node.must(&["container", "stop", "c1", "--kill"])?;
    node.finish()
}
