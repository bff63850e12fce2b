//! What a container is called, what it knows of its own name, and what is kept that it made of that itself.

use crate::check;
use crate::fixture::Node;
use crate::harness::{Outcome, Stop, Test, need};

pub const TESTS: &[Test] =
    &[("a container has its own names in /etc, and what is changed inside is kept and shown", own)];

fn inside(node: &Node, name: &str, line: &str) -> Result<String, Stop> {
    Ok(node.must(&["exec", "-T", name, "--", "/bin/sh", "-c", line])?.out)
}

fn own() -> Outcome {
    need(&["start-containers"])?;
    let node = Node::begin("etc-names")?;
    node.template()?;
    let more = ["--disk-kind", "directory", "--network", "none"];
    node.running("n1", &[&more[..], &["--hostname", "a.example"]].concat())?;
    let told = inside(&node, "n1", "hostname; hostname -f; cat /etc/hosts")?;
    check!(told.starts_with("a.example\na.example\n") && told.contains("\n127.0.1.1\ta.example a\n"), "{told}");
    let shown = node.must(&["container", "show", "n1"])?.out;
    check!(shown.contains("a.example") && !shown.contains("changed inside"), "{shown}");
    let long = format!("{}.example", "a".repeat(60));
    let refused =
        node.refused(&["container", "create", "n2", "--template", "bb", "--hostname", &long], 2, "hostname.invalid")?;
    check!(refused.err.contains("64 are the most that the kernel takes"), "{refused:?}");

    inside(&node, "n1", "echo '10.0.0.1 db' >> /etc/hosts; ln -sf ../run/stub /etc/resolv.conf")?;
    node.must(&["container", "restart", "n1"])?;
    let told = inside(&node, "n1", "hostname; tail -1 /etc/hosts; readlink /etc/resolv.conf")?;
    check!(told == "a.example\n10.0.0.1 db\n../run/stub\n", "{told}");
    let shown = node.must(&["container", "show", "n1"])?.out;
    check!(shown.contains("/etc/hosts, /etc/resolv.conf: changed inside"), "{shown}");

    // What goes out of it and comes back is known again: its own, and what was written.
    node.must(&["store", "create", "main", &node.place.join("store").to_string_lossy()])?;
    node.must(&["backup", "run", "n1"])?;
    node.must(&["backup", "restore", "n1@latest", "--to", "n3", "--start"])?;
    let told = inside(&node, "n3", "cat /etc/hostname; tail -1 /etc/hosts")?;
    check!(told == "n3\n10.0.0.1 db\n", "{told}");

    let set = node.must(&["container", "set", "n3", "--hostname", "b.example.org"])?;
    check!(set.out.contains("Next: berth container restart n3") && set.out.contains("--hostname n3"), "{set:?}");
    check!(inside(&node, "n3", "hostname")? == "n3\n", "it has another name while it runs");
    node.must(&["container", "restart", "n3"])?;
    let told = inside(&node, "n3", "hostname; cat /etc/hostname")?;
    check!(told == "b.example.org\nb.example.org\n", "{told}");

    let set = node.must(&["container", "set", "n1", "--manage", "hosts"])?;
    check!(set.out.contains("--manage until-changed"), "{set:?}");
    node.must(&["container", "restart", "n1"])?;
    let told = inside(&node, "n1", "grep -c db /etc/hosts; readlink /etc/resolv.conf")?;
    check!(told == "0\n../run/stub\n", "{told}");
    node.refused(&["container", "set", "n1", "--manage", "motd"], 2, "usage.value")?;
    node.finish()
}
