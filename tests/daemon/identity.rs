//! What no two machines may share: taken out of templates, made anew in every container, kept by the one it belongs to.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::check;
use crate::fixture::Node;
use crate::harness::{Outcome, Stop, Test, need, roots};

pub const TESTS: &[Test] = &[
    ("containers, and what is restored as a new one, share no keys and no ids; a restore in place keeps them", own),
    ("a program that is to make keys and does something else holds nobody up and finds nothing of the host", odd_maker),
];

/// Of the machine that the template was taken from.
const ITS_ID: &str = "0123456789abcdef0123456789abcdef";

/// Says who it is: its id, its keys, its seed.
const WHO: &str = "cat /etc/machine-id /etc/ssh/ssh_host_rsa_key /etc/ssh/ssh_host_rsa_key.pub; ls /var/lib/systemd";

/// A system with a server whose keys only its installation made.
fn root(node: &Node, keygen: &str) -> Result<PathBuf, Stop> {
    let root = node.place.join("root");
    roots::run(Command::new("cp").arg("-a").arg(roots::busybox()?).arg(&root))?;
    for folder in ["etc/ssh", "usr/sbin", "usr/bin", "var/lib/systemd"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::write(root.join("etc/machine-id"), format!("{ITS_ID}\n"))?;
    fs::write(root.join("etc/ssh/ssh_host_rsa_key"), "key of the source\n")?;
    fs::write(root.join("etc/ssh/ssh_host_rsa_key.pub"), "key of the source\n")?;
    fs::write(root.join("etc/ssh/sshd_config"), "Port 22\n")?;
    fs::write(root.join("var/lib/systemd/random-seed"), "seed of the source\n")?;
    program(&root.join("usr/sbin/sshd"), "exit 0")?;
    program(&root.join("usr/bin/ssh-keygen"), keygen)?;
    Ok(root)
}

fn program(path: &Path, script: &str) -> Outcome {
    fs::write(path, format!("#!/bin/sh\n{script}\n"))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

fn create(node: &Node, name: &str, template: &str) -> Result<crate::fixture::Answer, Stop> {
    node.must(&["container", "create", name, "--template", template, "--disk-kind", "directory", "--start"])
}

fn who(node: &Node, name: &str) -> Result<String, Stop> {
    Ok(node.must(&["exec", name, "--", "/bin/sh", "-c", WHO])?.out)
}

fn own() -> Outcome {
    need(&["start-containers"])?;
    let node = Node::begin("identity")?;
    let keygen = "[ \"$*\" = -A ] || exit 1\ncd /etc/ssh\n\
        [ -e ssh_host_rsa_key ] || head -c 16 /dev/urandom | md5sum | tee ssh_host_rsa_key > ssh_host_rsa_key.pub";
    let root = root(&node, keygen)?;
    let made = node.must(&["template", "create", "server", "--from-dir", &root.to_string_lossy()])?;
    check!(made.out.contains("Taken out") && made.out.contains("SSH host keys (2), the machine id"), "{made:?}");
    let shown = node.must(&["template", "show", "server"])?.out;
    check!(shown.contains("SSH host keys: /etc/ssh/ssh_host_rsa_key, /etc/ssh/ssh_host_rsa_key.pub"), "{shown}");
    check!(shown.contains("the random seed: /var/lib/systemd/random-seed"), "{shown}");
    let events = node.api().items("/v1/events?limit=1000")?;
    let sealed = events.iter().find(|event| event["kind"] == "TemplateSealed").ok_or("no template was sealed")?;
    check!(sealed["sentence"].to_string().contains("taken out: SSH host keys (2)"), "{sealed:#}");
    check!(fs::read_to_string(root.join("etc/machine-id"))?.contains(ITS_ID), "the source was changed");
    node.must(&["template", "verify", "server"])?;

    create(&node, "c1", "server")?;
    create(&node, "c2", "server")?;
    let (first, second) = (who(&node, "c1")?, who(&node, "c2")?);
    for one in [&first, &second] {
        check!(one.lines().count() == 3 && !one.contains(ITS_ID) && !one.contains("of the source"), "{one}");
    }
    check!(first.lines().zip(second.lines()).all(|(one, other)| one != other), "{first}{second}");
    node.must(&["container", "restart", "c1"])?;
    check!(who(&node, "c1")? == first, "it was another machine after a restart");

    node.must(&["store", "create", "main", &node.place.join("store").to_string_lossy()])?;
    node.must(&["backup", "run", "c1"])?;
    node.must(&["backup", "restore", "c1@latest", "--to", "c3", "--start"])?;
    let third = who(&node, "c3")?;
    check!(third.lines().count() == 3, "{third}");
    check!(first.lines().zip(third.lines()).all(|(one, other)| one != other), "{first}{third}");
    node.must(&["exec", "c1", "--", "/bin/sh", "-c", "echo lost > /etc/machine-id; rm /etc/ssh/ssh_host*"])?;
    node.must(&["backup", "restore", "c1@latest", "--in-place", "-y"])?;
    check!(who(&node, "c1")? == first, "a restore in place made another machine of it");
    node.finish()
}

fn odd_maker() -> Outcome {
    need(&["start-containers"])?;
    let node = Node::begin("odd-maker")?;
    let seen = "for link in /proc/*/fd/* /proc/*/cwd /proc/*/root /proc/*/exe; do echo \"$link $(readlink $link)\"; \
        done > /seen; ls / >> /seen; hostname >> /seen; echo trouble >&2; exit 3";
    let root = root(&node, seen)?;
    node.must(&["template", "create", "odd", "--from-dir", &root.to_string_lossy()])?;
    let told = create(&node, "c1", "odd")?;
    let wanted = "no keys of its own yet: /usr/bin/ssh-keygen -A failed (exit code 3: trouble); run it inside";
    check!(told.err.contains(wanted), "{told:?}");
    check!(node.must(&["container", "show", "c1"])?.out.contains("no keys of its own yet"), "it is not shown");
    let seen = node.must(&["exec", "c1", "--", "/bin/cat", "/seen"])?.out;
    check!(seen.contains("/proc/1/"), "{seen}");
    let host = |line: &&str| ["berth", "stage", "upper", "pidfd", "socket:"].iter().any(|word| line.contains(word));
    check!(seen.lines().find(host).is_none(), "it found something of the host: {seen}");

    for script in ["sleep 1000", "yes"] {
        program(&root.join("usr/bin/ssh-keygen"), script)?;
        let (template, name) = (script.replace(' ', "-"), format!("c-{}", &script[..1]));
        node.must(&["template", "create", &template, "--from-dir", &root.to_string_lossy()])?;
        let begun = Instant::now();
        let told = create(&node, &name, &template)?;
        check!(told.err.contains("no keys of its own yet"), "{told:?}");
        check!(begun.elapsed() < Duration::from_secs(50), "{script} held it up for {:?}", begun.elapsed());
        let left = node.must(&["exec", &name, "--", "/bin/sh", "-c", "ps | grep -c '[s]sh-keygen'; true"])?.out;
        check!(left == "0\n", "{script} goes on: {left}");
    }
    node.finish()
}
