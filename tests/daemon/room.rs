//! Every operation on a file system that becomes tight, critical and full: what is refused and how, what works, and that all of
//! it works again once there is room.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::check;
use crate::fixture::{Answer, Node, PATIENCE, run_within};
use crate::full::{Small, fill, small_ext4, space_becomes};
use crate::harness::{Outcome, Stop, need};

pub const TESTS: &[crate::harness::Test] = &[
    (
        "at every step to a full disk each operation does what it should, and all of them once there is room",
        every_operation,
    ),
    ("with --refuse-overcommit no disk is promised that there is no room for", refuse_overcommit),
    ("what ends and what frees works without a record, and is recorded later", unrecorded),
    ("stops without a record are all recorded, and each is told truly what became of it", recorded_meanwhile),
    ("who writes stands still before that is recorded, and never without it", held_before_recorded),
    ("that writes to a disk were lost is told, with what mends it", lost_writes),
];

/// What the log has no room for.
const NO_SPACE: &str = "log.no-space";
/// Done at every level.
const ALWAYS: [&str; 3] = ["", "", ""];
/// Changes something, and so is not begun when room is critical.
const UNTIL_CRITICAL: [&str; 3] = ["", NO_SPACE, NO_SPACE];
/// Takes room for long.
const WITH_ROOM: [&str; 3] = [NO_SPACE, NO_SPACE, NO_SPACE];
/// Refused at every level for a reason of its own.
const fn never(code: &'static str) -> [&'static str; 3] {
    [code, code, code]
}

/// How full it is: the letter of its own subjects, the word of the daemon, and what is left of the room.
const LEVELS: [(&str, &str, u64); 3] = [("t", "tight", 300 << 20), ("c", "critical", 100 << 20), ("f", "critical", 0)];
/// Is the container that writes all that it can into its disk, which is larger than the room there is.
const GREEDY: &str = "greedy";

/// Is a leaf of the command line, what is typed (`%` is the letter of the level), and what comes of it at each level: nothing if it
/// works, else the code, or how it ends.
type Row = (&'static str, &'static [&'static str], [&'static str; 3]);

/// What neither asks a daemon for anything that it records or reads, nor ends: it is no matter of room.
const ASIDE: &[&str] = &["daemon", "tour", "completion", "exit-codes", "event follow"];

const ROWS: &[Row] = &[
    ("container create", &["container", "create", "new-%", "--template", "bb", "--disk-kind", "directory"], WITH_ROOM),
    ("container start", &["container", "start", "idle-%"], UNTIL_CRITICAL),
    ("start", &["start", "idle-%"], UNTIL_CRITICAL),
    ("container set", &["container", "set", "run-%", "--memory", "64M"], UNTIL_CRITICAL),
    ("container rename", &["container", "rename", "name-%", "named-%"], UNTIL_CRITICAL),
    ("container restart", &["container", "restart", "run-%", "--grace", "1s"], UNTIL_CRITICAL),
    ("container pause", &["container", "pause", "run-%"], UNTIL_CRITICAL),
    ("container resume", &["container", "resume", "run-%"], ALWAYS),
    ("container exec", &["container", "exec", "run-%", "--", "true"], ALWAYS),
    ("exec", &["exec", "run-%", "--", "true"], ALWAYS),
    ("container enter", &["container", "enter", "run-%"], ALWAYS),
    ("enter", &["enter", "run-%"], ALWAYS),
    ("container logs", &["container", "logs", "run-%"], ALWAYS),
    ("logs", &["logs", "run-%"], ALWAYS),
    ("container update-check", &["container", "update-check", "run-%"], ["operation.skipped", NO_SPACE, NO_SPACE]),
    ("container defragment", &["container", "defragment", "img-%"], UNTIL_CRITICAL),
    ("container stop", &["container", "stop", "run-%", "--grace", "1s"], ALWAYS),
    ("stop", &["stop", "idle-%", "--kill"], ALWAYS),
    ("container delete", &["container", "delete", "idle-%"], ALWAYS),
    ("container undelete", &["container", "undelete", "gone-%"], UNTIL_CRITICAL),
    ("container purge", &["container", "purge", "dead-%", "-y"], ALWAYS),
    ("container list", &["container", "list"], ALWAYS),
    ("container show", &["container", "show", "run-%"], ALWAYS),
    ("container history", &["container", "history", "run-%"], ALWAYS),
    ("ps", &["ps"], ALWAYS),
    ("template create", &["template", "create", "tpl-%", "--from-dir", "ROOT"], WITH_ROOM),
    ("template verify", &["template", "verify", "bb"], UNTIL_CRITICAL),
    ("template delete", &["template", "delete", "spare-%"], ALWAYS),
    ("template list", &["template", "list"], ALWAYS),
    ("template show", &["template", "show", "bb"], ALWAYS),
    ("network create", &["network", "create", "net-%"], WITH_ROOM),
    ("network delete", &["network", "delete", "link-%"], ALWAYS),
    ("network list", &["network", "list"], ALWAYS),
    ("network show", &["network", "show", "default"], ALWAYS),
    ("store create", &["store", "create", "store-%", "PLACE/store-%"], WITH_ROOM),
    ("store recovery-key", &["store", "recovery-key", "vault"], ALWAYS),
    ("store confirm-recovery-key", &["store", "confirm-recovery-key", "vault"], ALWAYS),
    ("store list", &["store", "list"], ALWAYS),
    ("store show", &["store", "show", "vault"], ALWAYS),
    ("backup run", &["backup", "run", "kept", "--store", "vault"], WITH_ROOM),
    ("backup verify", &["backup", "verify", "kept@latest"], UNTIL_CRITICAL),
    ("backup files", &["backup", "files", "kept@latest", "/etc"], ALWAYS),
    ("backup cat", &["backup", "cat", "kept@latest", "/etc/passwd"], ALWAYS),
    ("backup restore", &["backup", "restore", "kept@latest", "--to", "again-%"], WITH_ROOM),
    ("backup restore", &["backup", "restore", "kept@latest", "--in-place", "-y"], WITH_ROOM),
    ("backup restore", &["backup", "restore", "kept@latest", "--path", "/etc", "--into", "PLACE/out-%"], WITH_ROOM),
    ("backup confirm", &["backup", "confirm", "RUN-OF-keep-%", "-y"], ALWAYS),
    ("backup roll-back", &["backup", "roll-back", "RUN-OF-back-%", "-y"], UNTIL_CRITICAL),
    ("backup list", &["backup", "list"], ALWAYS),
    ("backup show", &["backup", "show", "kept@latest"], ALWAYS),
    ("backup coverage", &["backup", "coverage"], ALWAYS),
    (
        "schedule create",
        &[
            "schedule", "create", "new-%", "--cron", "@yearly", "--action", "backup", "--select", "kept", "--store",
            "vault",
        ],
        UNTIL_CRITICAL,
    ),
    ("schedule disable", &["schedule", "disable", "plan-%"], ALWAYS),
    ("schedule enable", &["schedule", "enable", "plan-%"], ALWAYS),
    ("schedule run-now", &["schedule", "run-now", "plan-%"], WITH_ROOM),
    ("schedule delete", &["schedule", "delete", "old-%"], ALWAYS),
    ("schedule list", &["schedule", "list"], ALWAYS),
    ("schedule show", &["schedule", "show", "plan-%"], ALWAYS),
    ("schedule next", &["schedule", "next", "plan-%"], ALWAYS),
    ("maintenance list", &["maintenance", "list"], ALWAYS),
    ("operation cancel", &["operation", "cancel", "OPERATION"], never("operation.over")),
    ("operation list", &["operation", "list"], ALWAYS),
    ("operation show", &["operation", "show", "OPERATION"], ALWAYS),
    ("operation wait", &["operation", "wait", "OPERATION"], ALWAYS),
    ("event list", &["event", "list", "--limit", "5"], ALWAYS),
    ("events", &["events", "--limit", "5"], ALWAYS),
    ("event show", &["event", "show", "1"], ALWAYS),
    ("node status", &["node", "status"], ALWAYS),
    ("node rebuild", &["node", "rebuild"], ALWAYS),
    ("node confirm-clock", &["node", "confirm-clock"], ALWAYS),
    ("node accept-history", &["node", "accept-history", "-y"], never("node.history-is-whole")),
    ("node sweep-leftovers", &["node", "sweep-leftovers", "--dry-run"], ALWAYS),
    ("audit checkpoint", &["audit", "checkpoint", "--to", "PLACE/note-%"], ALWAYS),
    ("audit redact", &["audit", "redact", "EVENT-%", "-y"], ALWAYS),
    ("audit verify", &["audit", "verify"], ALWAYS),
    ("doctor", &["doctor"], ["", "", "exit 10"]),
];

/// Returns the leaves of the command line below some words, as its own help names them.
fn leaves(node: &Node, path: &[&str]) -> Result<Vec<String>, Stop> {
    let help = node.must(&[path, &["--help"]].concat())?.out;
    let Some((_, below)) = help.split_once("\nCommands:\n") else { return Ok(vec![path.join(" ")]) };
    let named = below.lines().take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("   "));
    let mut found = Vec::new();
    for verb in named.filter_map(|line| line.split_whitespace().next()).filter(|verb| *verb != "help") {
        found.extend(leaves(node, &[path, &[verb]].concat())?);
    }
    Ok(found)
}

/// A leaf that nobody has said anything about fails here.
fn every_leaf_has_a_row(node: &Node) -> Outcome {
    let leaves: BTreeSet<String> = leaves(node, &[])?.into_iter().collect();
    let told: BTreeSet<String> = ROWS.iter().map(|row| row.0).chain(ASIDE.iter().copied()).map(str::to_owned).collect();
    check!(leaves == told, "without a row, or gone: {:?}", leaves.symmetric_difference(&told).collect::<Vec<_>>());
    Ok(())
}

/// Makes what the rows are about, for each level its own.
fn subjects(node: &Node) -> Outcome {
    let root = crate::harness::roots::busybox()?;
    let directory = ["--template", "bb", "--disk-kind", "directory"];
    let create = |name: &str, more: &[&str]| -> Outcome {
        node.must(&[&["container", "create", name], more].concat()).map(drop)
    };
    let vault = node.place.join("vault").display().to_string();
    node.must(&["store", "create", "vault", &vault])?;
    create("kept", &directory)?;
    create(GREEDY, &["--template", "bb", "--disk", "2G", "--start"])?;
    node.must(&["backup", "run", "kept", "--store", "vault"])?;
    for (letter, _, _) in LEVELS {
        let named = |word: &str| format!("{word}-{letter}");
        create(&named("run"), &[&directory[..], &["--start"]].concat())?;
        for word in ["idle", "name", "gone", "dead", "keep", "back"] {
            create(&named(word), &directory)?;
        }
        create(&named("img"), &["--template", "bb", "--disk", "32M"])?;
        for word in ["gone", "dead"] {
            node.must(&["container", "delete", &named(word)])?;
        }
        for word in ["keep", "back"] {
            node.must(&["backup", "run", &named(word)])?;
            node.must(&["backup", "restore", &format!("{}@latest", named(word)), "--in-place", "-y"])?;
        }
        node.must(&["template", "create", &named("spare"), "--from-dir", &root.to_string_lossy()])?;
        node.must(&["network", "create", &named("link")])?;
        for word in ["plan", "old"] {
            let words =
                ["schedule", "create", &named(word), "--cron", "@yearly", "--action", "backup", "--select", "kept"];
            node.must(&words)?;
        }
        node.must(&["schedule", "disable", &named("plan"), "--reason", &format!("noted for {letter}")])?;
    }
    Ok(())
}

/// Returns what is typed for a row at a level.
fn typed(node: &Node, words: &[&str], letter: &str) -> Result<Vec<String>, Stop> {
    words.iter().map(|word| one_typed(node, &word.replace('%', letter), letter)).collect()
}

fn one_typed(node: &Node, word: &str, letter: &str) -> Result<String, Stop> {
    if let Some(name) = word.strip_prefix("RUN-OF-") {
        let restores = node.api().items("/v1/restores")?;
        let id = node.container(name)?["id"].clone();
        let run = restores.iter().find(|row| row["source"] == id).ok_or_else(|| format!("no restore of {name}"))?;
        return Ok(run["id"].as_str().unwrap_or_default().to_owned());
    }
    if word.starts_with("EVENT-") {
        let events = node.api().items("/v1/events?limit=1000")?;
        let own = events.iter().find(|event| event["note"] == format!("noted for {letter}"));
        let own = own.ok_or_else(|| format!("no event with a note for {letter}: {events:?}"))?;
        return Ok(own["position"].to_string());
    }
    if word == "OPERATION" {
        let operations = node.api().items("/v1/operations?limit=1")?;
        return Ok(operations[0]["id"].as_str().unwrap_or_default().to_owned());
    }
    let place = node.place.display().to_string();
    Ok(match word {
        "ROOT" => crate::harness::roots::busybox()?.display().to_string(),
        word => word.replace("PLACE", &place),
    })
}

/// Does everything at one level, and demands what is written for it.
fn walk(node: &Node, level: usize) -> Outcome {
    let (letter, word, _) = LEVELS[level];
    let mut wrong = Vec::new();
    for (leaf, words, outcomes) in ROWS {
        if let Some(answer) = misfit(node, words, letter, outcomes[level])? {
            wrong.push(format!("{leaf} at {word} ({letter}), {:?} wanted: {answer:?}", outcomes[level]));
        }
    }
    check!(wrong.is_empty(), "{wrong:#?}\n{}", node.words());
    Ok(())
}

/// Types a row; returns the answer if it is not as wanted.
fn misfit(node: &Node, words: &[&str], letter: &str, wanted: &str) -> Result<Option<Answer>, Stop> {
    let typed = typed(node, words, letter)?;
    let answer = node.berth(&typed.iter().map(String::as_str).collect::<Vec<_>>())?;
    let fits = match wanted.strip_prefix("exit ") {
        Some(code) => answer.code.to_string() == code,
        None if wanted.is_empty() => answer.code == 0,
        None => answer.word() == wanted,
    };
    Ok((!fits).then_some(answer))
}

/// Makes a file so large that this much is left.
fn leave(node: &Node, bytes: u64) -> Outcome {
    let filler = node.state().join("filler");
    if bytes == 0 {
        return fill(&filler, u64::MAX);
    }
    let (free, there) = (free(node)?, fs::metadata(&filler).map_or(0, |file| file.len()));
    if free <= bytes {
        return Ok(());
    }
    let length = (there + free - bytes).to_string();
    let made = run_within(Command::new("fallocate").args(["-l", &length]).arg(&filler), PATIENCE)?;
    check!(made.code == 0, "{made:?}");
    Ok(())
}

fn free(node: &Node) -> Result<u64, Stop> {
    Ok(node.api().get("/v1/node")?.body["disks"]["free"].as_u64().ok_or("nobody tells what is free")?)
}

/// Has a container write until this much is left; ends when that is on the disk.
fn leave_from_inside(node: &Node, bytes: u64) -> Outcome {
    let count = free(node)?.saturating_sub(bytes) >> 20;
    let writes = format!("dd if=/dev/zero of=/much bs=1048576 count={count} && sync");
    node.must(&["exec", GREEDY, "--", "sh", "-c", &writes]).map(drop)
}

/// Has it write on until it stands still.
fn overfill_from_inside(node: &Node) -> Outcome {
    let writes = "while cat /bin/busybox >>/more; do :; done";
    let mut writer = node.beside(&["exec", GREEDY, "--", "sh", "-c", writes]).spawn()?;
    let stands_still = node.wait_for(GREEDY, |row| row["rest"] == "paused");
    writer.kill()?;
    writer.wait()?;
    stands_still?;
    let synced = run_within(&mut Command::new("sync"), PATIENCE)?; // what it wrote already comes to its disk
    check!(synced.code == 0, "{synced:?}");
    Ok(())
}

fn every_operation() -> Outcome {
    need(&["start-containers", "loop devices", "mkfs.ext4"])?;
    let mut node = Node::new("every-operation")?;
    let mounted = small_ext4(&node, "1200M")?;
    node.start()?;
    every_leaf_has_a_row(&node)?;
    node.template()?;
    subjects(&node)?;
    for (level, (_, word, left)) in LEVELS.iter().enumerate() {
        match level {
            0 => leave_from_inside(&node, *left)?,
            1 => overfill_from_inside(&node)?,
            _ => {}
        }
        leave(&node, *left)?;
        space_becomes(&node, word)?;
        if *word == "critical" {
            node.wait_for(&format!("run-{}", LEVELS[2].0), |row| row["rest"] == "paused")?;
        }
        walk(&node, level)?;
    }
    node.settle()?;
    node.must(&["container", "stop", GREEDY, "--kill"])?;
    node.must(&["container", "delete", GREEDY])?;
    node.must(&["container", "purge", GREEDY, "-y"])?;
    fs::remove_file(node.state().join("filler"))?;
    space_becomes(&node, "warn")?;
    all_works_again(&node)?;
    nothing_is_half_done(&node)?;
    let finished = node.finish();
    drop(mounted);
    finished
}

/// Does with the same daemon what was refused.
fn all_works_again(node: &Node) -> Outcome {
    let mut wrong = Vec::new();
    for (level, (letter, _, _)) in LEVELS.iter().enumerate() {
        node.must(&["start", &format!("run-{letter}")])?;
        for (leaf, words, outcomes) in ROWS.iter().filter(|row| row.2[level] == NO_SPACE) {
            // What these are about was deleted at that level.
            if matches!(*leaf, "container start" | "start") {
                continue;
            }
            let wanted = if outcomes[0] == NO_SPACE { "" } else { outcomes[0] };
            if let Some(answer) = misfit(node, words, letter, wanted)? {
                wrong.push(format!("{leaf} ({letter}) with room again, {wanted:?} wanted: {answer:?}"));
            }
            if *leaf == "container pause" {
                node.must(&["container", "resume", &format!("run-{letter}")])?;
            }
        }
        if let Some(run) = unconfirmed(node, "kept")? {
            node.must(&["backup", "confirm", &run, "-y"])?;
        }
    }
    check!(wrong.is_empty(), "{wrong:#?}\n{}", node.words());
    Ok(())
}

fn unconfirmed(node: &Node, name: &str) -> Result<Option<String>, Stop> {
    let id = node.container(name)?["id"].clone();
    let restores = node.api().items("/v1/restores")?;
    let open = restores.iter().find(|row| row["source"] == id && row["old_files_kept"] == true);
    Ok(open.and_then(|row| row["id"].as_str()).map(str::to_owned))
}

fn nothing_is_half_done(node: &Node) -> Outcome {
    node.settle()?;
    for row in node.api().items("/v1/containers?all=true")? {
        let state = row["state"].as_str().unwrap_or_default();
        check!(["stopped", "running", "deleted", "purged"].contains(&state), "{row:#}");
    }
    for noun in ["templates", "networks", "stores"] {
        for row in node.api().items(&format!("/v1/{noun}"))? {
            check!(row["state"] == "ready", "{row:#}");
        }
    }
    for operation in node.api().items("/v1/operations?limit=1000")? {
        check!(operation["state"] != "stuck", "{operation:#}");
    }
    node.must(&["audit", "verify"]).map(drop)
}

fn refuse_overcommit() -> Outcome {
    need(&["loop devices", "mkfs.ext4"])?;
    let mut node = Node::new("refuse-overcommit")?;
    let mounted = small_ext4(&node, "2G")?;
    node.start_with(|command| {
        command.arg("--refuse-overcommit");
        Ok(())
    })?;
    node.template()?;
    node.must(&["store", "create", "vault", &node.place.join("vault").display().to_string()])?;
    node.must(&["container", "create", "c1", "--template", "bb", "--disk", "800M"])?;
    node.must(&["backup", "run", "c1"])?;
    // There is room for another one as large; then something else takes it, and there is none even for the one that is there.
    node.must(&["backup", "restore", "c1@latest", "--to", "c2"])?;
    node.must(&["container", "delete", "c2"])?;
    node.must(&["container", "purge", "c2", "-y"])?;
    leave(&node, 600 << 20)?;
    // The same file system by a way that is not the daemon's own.
    let beside = Small(node.place.with_file_name("beside-refuse-overcommit"));
    fs::create_dir_all(&beside.0)?;
    let bound = run_within(Command::new("mount").arg("--bind").args([&mounted.0, &beside.0]), PATIENCE)?;
    check!(bound.code == 0, "{bound:?}");
    let out = beside.0.join("out").display().to_string();
    let refused: [&[&str]; 5] = [
        &["container", "create", "c3", "--template", "bb", "--disk", "64M"],
        &["container", "set", "c1", "--disk", "900M"],
        &["backup", "restore", "c1@latest", "--to", "c4"],
        &["backup", "restore", "c1@latest", "--in-place", "-y"],
        &["backup", "restore", "c1@latest", "--path", "/etc", "--into", &out],
    ];
    for words in refused {
        let answer = node.refused(words, 7, "disk.overcommit")?;
        check!(answer.err.contains("disks may still grow by") && answer.err.contains("node status"), "{answer:?}");
    }
    // Elsewhere it takes nothing of what was promised.
    let elsewhere = node.place.join("out").display().to_string();
    node.must(&["backup", "restore", "c1@latest", "--path", "/etc", "--into", &elsewhere])?;
    let rows = node.api().items("/v1/containers?all=true")?;
    let known: BTreeSet<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    check!(known == BTreeSet::from(["c1", "c2"]), "something was made: {known:?}");
    check!(!Path::new(&out).exists(), "something was restored");
    fs::remove_file(node.state().join("filler"))?;
    // It is the state directory after all.
    let answer = node.berth(&["backup", "restore", "c1@latest", "--path", "/etc", "--into", &out])?;
    check!(answer.code == 1 && answer.err.contains("for itself"), "{answer:?}");
    drop(beside);
    let finished = node.finish();
    drop(mounted);
    finished
}

/// Keeps the log from being written, for whoever opens it from now on.
fn lock_log(node: &Node, how: &str) -> Outcome {
    let files = ["log.db", "log.db-wal"].map(|name| node.state().join(name));
    let done = run_within(Command::new("chattr").arg(how).args(files), PATIENCE)?;
    check!(done.code == 0, "{done:?}");
    Ok(())
}

fn unrecorded() -> Outcome {
    need(&["start-containers", "loop devices", "mkfs.ext4"])?;
    let mut node = Node::new("unrecorded")?;
    let mounted = small_ext4(&node, "900M")?;
    node.start()?;
    node.template()?;
    for name in ["c1", "c2"] {
        node.running(name, &["--disk-kind", "directory", "--restart", "on-failure"])?;
    }
    node.must(&["container", "create", "c3", "--template", "bb", "--disk", "32M"])?;
    let id = node.container("c3")?["id"].as_str().unwrap_or_default().to_owned();
    node.must(&["container", "delete", "c3"])?;
    node.stop()?;
    lock_log(&node, "+i")?;
    let done = without_a_record(&mut node, &id);
    lock_log(&node, "-i")?;
    done?;
    // The same daemon goes on, and tells what it did.
    for name in ["c1", "c2"] {
        let row = node.wait_for(name, |row| row["state"] == "stopped")?;
        check!(row["init"].is_null(), "{row:#}");
    }
    node.must(&["container", "purge", "c3", "-y"])?;
    node.must(&["start", "c1"])?;
    node.must(&["start", "c2"])?;
    // Another one tells it, too, and starts nothing that was stopped.
    node.stop()?;
    lock_log(&node, "+i")?;
    let done = node.start().and_then(|()| node.must(&["container", "stop", "c1", "--kill"]));
    let ended = node.stop();
    lock_log(&node, "-i")?;
    check!(done?.err.contains("stopped, but not recorded"), "it is recorded");
    ended?;
    node.start()?;
    let row = node.wait_for("c1", |row| row["state"] == "stopped")?;
    check!(row["init"].is_null() && node.container("c2")?["state"] == "running", "{row:#}");
    let history = node.must(&["container", "history", "c1"])?.out;
    let last = history.lines().rfind(|line| line.contains("requested")).unwrap_or_default();
    check!(last.contains("stop requested"), "{history}");
    node.must(&["audit", "verify"])?;
    let finished = node.finish();
    drop(mounted);
    finished
}

fn runtime(node: &Node, name: &str) -> Result<PathBuf, Stop> {
    let id = node.container(name)?["id"].as_str().unwrap_or_default().to_owned();
    Ok(Path::new("/run/berth").join(node.instance()).join("containers").join(id))
}

/// Waits until a container says that a signal came. Nobody is asked: that would be a reading to be recorded.
fn has_heard(node: &Node, name: &str) -> Outcome {
    let (said, begun) = (runtime(node, name)?.join("console.log"), Instant::now());
    while !fs::read_to_string(&said).unwrap_or_default().contains("heard") {
        check!(begun.elapsed() < PATIENCE, "{name} heard no signal");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Stops a container that ends by no signal, and does something once it has heard one; returns what was told.
fn while_it_stops(node: &Node, grace: &str, meanwhile: impl FnOnce() -> Outcome) -> Result<Answer, Stop> {
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| node.berth(&["container", "stop", "deaf", "--grace", grace]));
        has_heard(node, "deaf")?;
        meanwhile()?;
        stopping.join().map_err(|_| Stop::Failed("the stop panicked".to_owned()))?
    })
}

fn recorded_meanwhile() -> Outcome {
    need(&["start-containers", "loop devices", "mkfs.ext4"])?;
    let mut node = Node::new("recorded-meanwhile")?;
    let mounted = small_ext4(&node, "900M")?;
    node.start()?;
    node.template()?;
    let create = ["container", "create", "deaf", "--template", "bb", "--disk-kind", "directory", "--start"];
    let deaf = ["--", "/bin/sh", "-c", "trap 'echo heard' TERM; while :; do sleep 0.1; done"];
    node.must(&[&create[..], &deaf].concat())?;
    let mut locked = |work: &dyn Fn(&Node) -> Outcome| {
        node.stop()?;
        lock_log(&node, "+i")?;
        let done = node.start().and_then(|()| work(&node));
        lock_log(&node, "-i")?;
        done
    };
    // Recorded while its grace lasts: whoever waits is told when it is over, and not that it is.
    locked(&|node| {
        let begun = Instant::now();
        let told = while_it_stops(node, "8s", || lock_log(node, "-i"))?;
        check!(told.code == 0 && !told.err.contains("not recorded"), "{told:?}");
        check!(begun.elapsed() >= Duration::from_secs(8), "told after {:?}: {told:?}", begun.elapsed());
        check!(node.container("deaf")?["state"] == "stopped", "{told:?}");
        node.must(&["container", "start", "deaf"]).map(drop)
    })?;
    // Both end it without a record, and both are recorded.
    locked(&|node| {
        let told = while_it_stops(node, "1m", || {
            let killed = node.must(&["container", "stop", "deaf", "--kill"])?;
            check!(killed.err.contains("stopped, but not recorded"), "{killed:?}");
            Ok(())
        })?;
        check!(told.code == 0 && told.err.contains("stopped, but not recorded"), "{told:?}");
        Ok(())
    })?;
    let begun = Instant::now();
    while node.api().items("/v1/events?kind=StopAskedAgain&limit=10")?.is_empty() {
        check!(begun.elapsed() < PATIENCE, "the second is not recorded");
        std::thread::sleep(Duration::from_millis(100));
    }
    check!(node.api().items("/v1/events?kind=StopRequested&limit=10")?.len() == 2, "{}", node.words());
    node.wait_for("deaf", |row| row["state"] == "stopped" && row["operation"].is_null())?;
    let finished = node.finish();
    drop(mounted);
    finished
}

fn without_a_record(node: &mut Node, buried: &str) -> Outcome {
    node.start()?;
    let status = node.must(&["node", "status"])?;
    check!(status.out.contains("read-only"), "{status:?}");
    node.must(&["ps"])?;
    node.refused(&["container", "start", "c1"], 7, "log.unwritable")?;
    node.refused(&["container", "create", "c9", "--template", "bb"], 7, "log.unwritable")?;
    let stopped = node.must(&["container", "stop", "c1", "--grace", "10s"])?;
    check!(stopped.err.contains("stopped, but not recorded"), "{stopped:?}");
    let killed = node.must(&["container", "stop", "c2", "--kill"])?;
    check!(killed.err.contains("stopped, but not recorded"), "{killed:?}");
    for name in ["c1", "c2"] {
        let runtime = runtime(node, name)?;
        check!(!runtime.exists(), "{name} still runs");
    }
    let disk = node.state().join("containers").join(buried);
    check!(disk.exists(), "{} is not where disks lie", disk.display());
    let purged = node.must(&["container", "purge", "c3", "-y"])?;
    check!(purged.err.contains("removed, but not recorded yet") && !disk.exists(), "{purged:?}");
    std::thread::sleep(Duration::from_millis(100));
    Ok(())
}

/// What a container wrote has no disk yet when something else takes the last of the room.
fn lost_writes() -> Outcome {
    need(&["start-containers", "loop devices", "mkfs.ext4"])?;
    let mut node = Node::new("lost-writes")?;
    let mounted = small_ext4(&node, "900M")?;
    node.start()?;
    node.template()?;
    for name in ["c1", "c2"] {
        node.must(&["container", "create", name, "--template", "bb", "--disk", "1G", "--start"])?;
    }
    node.must(&["exec", "c2", "--", "sync"])?;
    node.must(&["exec", "c1", "--", "dd", "if=/dev/zero", "of=/lost", "bs=1M", "count=80"])?;
    let (filler, free) = (node.state().join("filler"), free(&node)?);
    let taken = run_within(Command::new("fallocate").args(["-l", &free.to_string()]).arg(&filler), PATIENCE)?;
    check!(taken.code == 0, "{taken:?}");
    fill(&filler, u64::MAX)?; // what is kept for root, too
    let _ = run_within(&mut Command::new("sync"), PATIENCE)?;
    let row = node.wait_for("c1", |row| row["hits"]["disk_faults"]["warnings"].as_u64() > Some(0))?;
    let id = row["id"].as_str().unwrap_or_default();
    let shown = node.must(&["container", "show", "c1"])?.out;
    check!(shown.contains("disk damaged") && shown.contains("may be lost"), "{shown}");
    let listed = node.must(&["ps"])?.out;
    check!(listed.contains("Disk damaged: c1."), "{listed}");
    let history = node.must(&["container", "history", "c1"])?.out;
    check!(history.contains("writes to its disk failed"), "{history}");
    let image = node.state().join("containers").join(id).join("disk.img");
    let told = node.berth(&["doctor"])?;
    check!(told.code == 10, "{told:?}");
    let found = told.out;
    check!(
        found.contains(&format!("✗ disk of {id}: writes to it failed")) && found.contains(", 1 damaged."),
        "{found}"
    );
    let check = format!("flock --verbose -w 60 {0} e2fsck -fp {0}", image.display());
    check!(found.contains(&check), "{found}");
    // As it was told.
    fs::remove_file(&filler)?;
    space_becomes(&node, "warn")?;
    node.must(&["container", "stop", "c1", "--grace", "5s"])?;
    let mended = run_within(Command::new("sh").args(["-c", &check]), PATIENCE)?;
    check!(mended.code <= 1, "{mended:?}");
    node.must(&["container", "start", "c1"])?;
    node.must(&["exec", "c1", "--", "sh", "-c", "echo new >/new && sync"])?;
    let found = node.berth(&["doctor"])?.out;
    check!(!found.contains("disk of "), "{found}");
    let row = node.container("c1")?;
    check!(row["hits"]["disk_faults"]["errors"] == 0, "{row:#}");
    let finished = node.finish();
    drop(mounted);
    finished
}

/// Returns the group of a container that runs.
fn group_of(node: &Node, name: &str) -> Result<PathBuf, Stop> {
    let row = node.container(name)?;
    let (id, pid) = (row["id"].as_str().unwrap_or_default(), row["init"]["pid"].to_string());
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/")).ok_or("no unified group")?;
    // An init may have put itself into a group below.
    let places = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(|root| Path::new(root).join(path));
    let found = places.iter().flat_map(|place| place.ancestors()).find(|place| place.ends_with(id) && place.exists());
    Ok(found.ok_or("its group is nowhere")?.to_owned())
}

fn is_frozen(group: &Path) -> Result<bool, Stop> {
    Ok(fs::read_to_string(group.join("cgroup.freeze"))?.trim() == "1")
}

fn becomes_frozen(group: &Path, wanted: bool) -> Outcome {
    let begun = Instant::now();
    while is_frozen(group)? != wanted {
        check!(begun.elapsed() < Duration::from_secs(8), "frozen does not become {wanted}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The log takes nothing while its file system stands still; what is in memory grows all the same.
fn held_before_recorded() -> Outcome {
    need(&["start-containers", "loop devices", "mkfs.ext4"])?;
    let mut node = Node::new("held-first")?;
    let mounted = small_ext4(&node, "900M")?;
    node.start()?;
    node.template()?;
    for name in ["c1", "c2"] {
        node.must(&["container", "create", name, "--template", "bb", "--disk", "2G", "--start"])?;
    }
    let (group, other) = (group_of(&node, "c1")?, group_of(&node, "c2")?);
    let root = PathBuf::from(format!("/proc/{}/root", node.container("c1")?["init"]["pid"]));
    let line = "touch /run/go; while [ ! -s /run/go ]; do sleep 0.05; done; dd if=/dev/zero of=/big bs=1M count=100";
    let mut writer = node.beside(&["exec", "c1", "--", "sh", "-c", line]).spawn()?;
    leave(&node, 180 << 20)?;
    let _ = run_within(&mut Command::new("sync"), PATIENCE)?;
    std::thread::sleep(Duration::from_secs(1));
    check!(!is_frozen(&group)?, "there is room yet");
    let freeze = |how: &str| run_within(Command::new("fsfreeze").arg(how).arg(&mounted.0), PATIENCE);
    check!(freeze("-f")?.code == 0, "the file system goes on");
    // Its owner is nobody here: it can be written, and not be made.
    let told = fs::File::options().write(true).open(root.join("run/go")).and_then(|mut go| go.write_all(b"go"));
    let held = becomes_frozen(&group, true);
    let goes_on = freeze("-u")?;
    told?;
    held?;
    check!(goes_on.code == 0, "{goes_on:?}");
    for name in ["c1", "c2"] {
        node.wait_for(name, |row| row["rest"] == "paused" && row["operation"].is_null())?;
    }
    // As a pause leaves it that failed: it runs, and stands still.
    node.must(&["container", "resume", "c2"])?;
    fs::write(other.join("cgroup.freeze"), "1")?;
    fs::remove_file(node.state().join("filler"))?;
    node.wait_for("c1", |row| row["rest"] == "running")?;
    becomes_frozen(&group, false)?;
    becomes_frozen(&other, false)?;
    writer.wait()?;
    // What a daemon held and never came to record goes on with the next one; what stands still by a word stays so.
    // The first finds a log that takes nothing.
    for (paused, read_only) in [(false, true), (false, false), (true, false)] {
        if paused {
            node.must(&["container", "pause", "c1"])?;
        }
        node.stop()?;
        fs::write(group.join("cgroup.freeze"), "1")?;
        if read_only {
            lock_log(&node, "+i")?;
        }
        let found = node.start().and_then(|()| becomes_frozen(&group, paused));
        if read_only {
            lock_log(&node, "-i")?;
        }
        found?;
        std::thread::sleep(Duration::from_millis(300));
        check!(is_frozen(&group)? == paused, "a pause of {paused} did not stay");
    }
    let finished = node.finish();
    drop(mounted);
    finished
}
