//! Nonsense by the command line: each is refused with the right exit code and code word, and nothing is recorded, or
//! what was begun is undone.

use std::fs;

use crate::check;
use crate::fixture::Node;
use crate::harness::{Outcome, Stop, need, roots};

pub const TESTS: &[crate::harness::Test] = &[
    ("names that are none, and names of nothing", names),
    ("sizes, schedules and limits that make no sense", values),
    ("a template with nothing to boot", no_init),
    ("addresses that are taken, outside or used up", addresses),
];

/// Returns the position of the log's newest event.
fn head(node: &Node) -> Result<u64, Stop> {
    let list = node.api().get("/v1/containers")?;
    list.body["as_of"]["position"].as_u64().ok_or_else(|| Stop::Failed(format!("{list:?}")))
}

/// Each line is refused so, and the log does not grow.
fn all_refused(node: &Node, cases: &[(&[&str], i32, &str)]) -> Outcome {
    let before = head(node)?;
    let mut wrong = Vec::new();
    for (line, code, word) in cases {
        let answer = node.berth(line)?;
        let shown: String = line.join(" ").escape_debug().take(100).collect();
        if answer.code != *code || answer.word() != *word {
            wrong.push(format!("berth {shown}: {} instead of {code} [{word}]: {}", answer.code, answer.err.trim()));
        }
        let hostile = answer.err.chars().any(|character| character.is_control() && character != '\n');
        if hostile || answer.err.lines().count() > 6 {
            wrong.push(format!("berth {shown}: shown as {:?}", answer.err));
        }
    }
    check!(wrong.is_empty(), "{wrong:#?}");
    check!(head(node)? == before, "something was recorded");
    Ok(())
}

fn names() -> Outcome {
    let node = Node::begin("names")?;
    node.template()?;
    let create =
        |name| -> Vec<&str> { vec!["container", "create", "--template", "bb", "--disk-kind", "directory", "--", name] };
    let _ = create;
    node.must(&["container", "create", "web1", "--template", "bb", "--disk-kind", "directory"])?;
    let unknown = node.refused(&["container", "stop", "wbe1"], 5, "container.not-found")?;
    check!(unknown.err.contains("web1"), "no suggestion: {unknown:?}");
    let unknown = node.refused(&["container", "create", "x", "--template", "bv"], 5, "template.not-found")?;
    check!(unknown.err.contains("bb"), "no suggestion: {unknown:?}");
    let long = "x".repeat(300);
    let new = |name: &'static str| ["container", "create", name, "--template", "bb"];
    let (upper, dots, dash, empty) = (new("Web"), new("../../etc"), new("web-"), new(""));
    let (control, unicode) = (new("a\u{1b}[2J\nb"), new("wéb"));
    all_refused(
        &node,
        &[
            (&upper, 2, "name.invalid"),
            (&dots, 2, "name.invalid"),
            (&dash, 2, "name.invalid"),
            (&empty, 2, "name.invalid"),
            (&control, 2, "name.invalid"),
            (&unicode, 2, "name.invalid"),
            (&["container", "create", &long, "--template", "bb"], 2, "name.invalid"),
            (&["container", "start", &long], 5, "container.not-found"),
            (&["container", "start", "a\u{1b}[2Jb"], 5, "container.not-found"),
            (&["container", "show", "../../etc"], 5, "container.not-found"),
            (&["container", "create", "y", "--template", "bb", "--network", "nowhere"], 5, "network.not-found"),
            (&["container", "create", "y", "--template", "bb", "--hostname", "x..y"], 2, "hostname.invalid"),
            (&["backup", "run", "web1", "--store", "nowhere"], 5, "store.not-found"),
            (&["backup", "show", "web1@latest"], 5, "backup.not-found"),
            (&["operation", "show", "zzzzzzzz"], 5, "operation.not-found"),
            (&["container", "purge", "web1", "-y"], 6, "container.not-deleted"),
        ],
    )?;
    node.refused(&["container", "create", "web1", "--template", "bb", "--disk-kind", "directory"], 6, "name.taken")?;
    taken(&node)?;
    node.finish()
}

/// What cannot work is said at once, with a code of its own, and no operation is begun for it.
fn taken(node: &Node) -> Outcome {
    let create = ["container", "create", "--template", "bb", "--disk-kind", "directory"];
    node.must(&[create.as_slice(), &["web2"]].concat())?;
    node.must(&["container", "delete", "web2"])?;
    node.must(&[create.as_slice(), &["web2"]].concat())?;
    let buried = node.api().items("/v1/containers?all=true")?;
    let buried = buried.iter().find(|row| row["state"] == "deleted").ok_or("nothing is buried")?;
    let buried = buried["id"].as_str().unwrap_or_default();
    let before = node.api().items("/v1/operations?limit=1000")?.len();
    let file = node.place.join("a-file");
    fs::write(&file, "x")?;
    let (file, place) = (file.to_string_lossy().into_owned(), node.place.to_string_lossy().into_owned());
    all_refused(
        node,
        &[
            (&["container", "rename", "web1", "web2"], 6, "name.taken"),
            (&["container", "undelete", buried], 6, "name.taken"),
            (&["container", "undelete", buried, "--name", "web1"], 6, "name.taken"),
            (&["template", "create", "t", "--from-dir", "/no/such/folder"], 5, "path.not-found"),
            (&["template", "create", "t", "--from-tar", "/no/such/file.tar"], 5, "path.not-found"),
            (&["template", "create", "t", "--from-dir", &file], 2, "path.kind"),
            (&["template", "create", "t", "--from-tar", &place], 2, "path.kind"),
        ],
    )?;
    let after = node.api().items("/v1/operations?limit=1000")?.len();
    check!(before == after, "an operation was begun for what cannot work");
    node.must(&["container", "undelete", buried, "--name", "web3"])?;
    node.must(&["container", "rename", "web1", "web1"])?;
    node.must(&["container", "rename", "web1", "web4"]).map(drop)
}

fn values() -> Outcome {
    let node = Node::begin("values")?;
    node.template()?;
    node.must(&["container", "create", "web1", "--template", "bb", "--disk-kind", "directory"])?;
    let of =
        |option: &'static str, value: &'static str| ["container", "create", "x", "--template", "bb", option, value];
    let schedule = |cron: &'static str, zone: &'static str| {
        ["schedule", "create", "s", "--cron", cron, "--zone", zone, "--action", "update-check", "--select", "all"]
    };
    all_refused(
        &node,
        &[
            (&of("--memory", "2GB"), 2, "usage.value"),
            (&of("--memory", "1e99"), 2, "usage.value"),
            (&of("--memory=-1", "x"), 2, "usage.value"),
            (&of("--memory", "99999999999999999999G"), 2, "usage.value"),
            (&of("--memory", "1K"), 2, "container.memory-too-small"),
            (&of("--memory", "18446744073709551615"), 2, "container.memory-too-large"),
            (&of("--disk", "1M"), 2, "container.disk-too-small"),
            (&of("--disk", "17T"), 2, "container.disk-too-large"),
            (&of("--cpus", "1025"), 2, "usage.value"),
            (&of("--disk", ""), 2, "usage.value"),
            (&of("--cpus", "0"), 2, "usage.value"),
            (&of("--cpus", "NaN"), 2, "usage.value"),
            (&of("--pids", "1"), 2, "container.pids-too-few"),
            (&of("--pids", "5000000"), 2, "container.pids-too-many"),
            (&["container", "set", "web1", "--memory", "2GB"], 2, "usage.value"),
            (&["container", "set", "web1", "--disk", "1M"], 2, "container.disk-shrinks"),
            (&["container", "list", "--as-of", "the flood"], 2, "moment.invalid"),
            (&schedule("0 0 30 2 *", "UTC"), 2, "usage.value"),
            (&schedule("61 * * * *", "UTC"), 2, "usage.value"),
            (&schedule("* * * *", "UTC"), 2, "usage.value"),
            (&schedule("* * * * *", "Mars/Olympus"), 2, "usage.value"),
        ],
    )?;
    node.finish()
}

/// A template without an init is fine; a container of it that could never start is not.
fn no_init() -> Outcome {
    need(&["start-containers"])?;
    let node = Node::begin("no-init")?;
    let bare = node.place.join("bare");
    fs::create_dir_all(bare.join("bin"))?;
    fs::copy(roots::busybox()?.join("bin/busybox"), bare.join("bin/busybox"))?;
    node.must(&["template", "create", "bare", "--from-dir", &bare.to_string_lossy()])?;
    let create = ["container", "create", "c1", "--template", "bare", "--disk-kind", "directory"];
    let answer = node.berth(&create)?;
    check!(answer.code == 1 && answer.word() == "container.no-init", "{answer:?}");
    check!(node.must(&["container", "list", "--all", "-o", "name"])?.out.is_empty(), "something was left");
    node.must(&[create.as_slice(), &["--start", "--", "/bin/busybox", "sleep", "1000"]].concat())?;
    check!(node.must(&["exec", "-T", "c1", "--", "/bin/busybox", "cat", "/etc/hostname"])?.out == "c1\n", "no name");
    node.must(&["container", "stop", "c1", "--kill", "-y"])?;
    node.finish()
}

fn addresses() -> Outcome {
    need(&["start-containers"])?;
    let node = Node::begin("addresses")?;
    node.template()?;
    node.must(&["network", "create", "lab", "--subnet", "10.213.77.0/30"])?;
    let on = ["container", "create", "--template", "bb", "--disk-kind", "directory", "--network", "lab"];
    let with = |more: &[&'static str]| [on.as_slice(), more].concat();
    for (address, word) in [("10.213.78.2", "outside"), ("10.213.77.1", "gateway"), ("10.213.77.3", "broadcast")] {
        let answer = node.berth(&with(&["x", "--ip", address]))?;
        check!(answer.code != 0 && !answer.word().is_empty(), "{word}: {answer:?}");
    }
    node.must(&with(&["c1", "--ip", "10.213.77.2"]))?;
    let taken = node.berth(&with(&["x", "--ip", "10.213.77.2"]))?;
    let told = taken.err.contains("10.213.77.2") && taken.err.contains("network show lab");
    check!(taken.code == 6 && told, "{taken:?}");
    let full = node.berth(&with(&["x"]))?;
    check!(full.code == 7 && full.err.contains("10.213.77.0/30"), "{full:?}");
    node.settle()?;
    let listed = node.api().items("/v1/containers")?;
    check!(listed.len() == 1, "half made: {listed:#?}");
    let leases = node.api().get("/v1/networks/lab")?.body;
    check!(leases["leases"].as_array().is_some_and(|leases| leases.len() == 1), "{leases:#}");
    for subnet in ["10.213.77.0/30", "10.213.77.0/33", "words", "0.0.0.0/0", "127.0.0.0/24", "10.213.79.0/32"] {
        let answer = node.berth(&["network", "create", "other", "--subnet", subnet])?;
        check!(answer.code != 0 && answer.err.contains(subnet), "{subnet}: {answer:?}");
    }
    node.settle()?;
    node.must(&["container", "start", "c1"])?;
    node.refused(&["network", "delete", "lab"], 6, "network.used")?;
    node.finish()
}
