//! State directories that somebody else uses, that are newer, damaged or not ours.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::check;
use crate::fixture::{Answer, Node, PATIENCE, run_within};
use crate::full::Small;
use crate::harness::{Outcome, Stop, need};

pub const TESTS: &[crate::harness::Test] = &[
    ("the second daemon of a state directory is refused", second),
    ("a newer state directory is refused and stays as it is", newer),
    ("a log that was cut or changed is refused or told by the audit", damaged),
    ("read models that were forged are named, and made anew from the log", forged),
    ("a log that was rolled back takes nothing until somebody accepts it, and that is recorded", rolled_back),
    ("under a log that was rolled back containers can be stopped, and nothing else is changed", in_doubt),
    ("lost keys are replaced at a word alone, and whoever asks hears that they are not there", lost_keys),
    ("a file that is no checkpoint, or no key, is refused as that", no_evidence),
    ("a state directory of another user is refused", foreign),
    ("on a file system that no layer can lie on nothing starts, and the doctor says why", overlay),
    ("what a killed look at the machine left is removed", probe),
];

/// Runs a daemon that is expected to end by itself.
fn daemon(node: &Node) -> Result<Answer, Stop> {
    run_within(&mut node.command(), PATIENCE)
}

/// Returns what is in a directory: names, times of change and contents of everything of the log.
fn picture(folder: &Path) -> Result<Vec<(String, u64, Vec<u8>)>, Stop> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let bytes = if entry.file_type()?.is_file() { fs::read(entry.path())? } else { vec![] };
        found.push((name, bytes.len() as u64, bytes));
    }
    found.sort();
    Ok(found)
}

fn names(picture: &[(String, u64, Vec<u8>)]) -> Vec<(&str, u64)> {
    picture.iter().map(|(name, length, _)| (name.as_str(), *length)).collect()
}

fn second() -> Outcome {
    let node = Node::begin("second")?;
    let answer = daemon(&node)?;
    check!(answer.code == 6 && answer.err.contains("in use"), "{answer:?}");
    check!(answer.err.lines().count() >= 2, "no hint: {answer:?}");
    check!(node.api().get("/v1/node")?.status == 200, "the first does not answer any more");
    node.must(&["node", "status"])?;
    node.finish()
}

fn probe() -> Outcome {
    let mut node = Node::begin("probe")?;
    node.stop()?;
    let (dead, foreign) = (node.state().join("berth-probe-4194305"), node.state().join("berth-probe-of-mine"));
    for folder in [&dead, &foreign] {
        fs::create_dir_all(folder.join("lower"))?;
    }
    node.start()?;
    check!(!dead.exists(), "the folder of a process that is gone is still there");
    check!(foreign.exists(), "a folder of somebody else was removed");
    node.finish()
}

fn newer() -> Outcome {
    let mut node = Node::begin("newer")?;
    node.stop()?;
    fs::write(node.state().join("format"), "berth-state 77\n")?;
    let before = picture(&node.state())?;
    let answer = daemon(&node)?;
    check!(answer.code != 0 && answer.err.contains("77") && answer.err.contains("up to 1"), "{answer:?}");
    let after = picture(&node.state())?;
    check!(before == after, "changed: {:?} {:?}", names(&before), names(&after));
    fs::write(node.state().join("format"), "berth-state 1\n")?;
    node.start()?;
    node.finish()
}

/// Demands that the audit finds something, whatever is left of the log.
fn finds(node: &Node, what: &str) -> Outcome {
    let told = node.berth(&["audit", "verify"])?;
    check!(told.code == 10 && told.out.contains('✗') && !told.out.contains(": whole"), "{what}: {told:?}");
    Ok(())
}

fn rolled_back() -> Outcome {
    let mut node = Node::begin("rolled-back")?;
    node.template()?;
    node.stop()?;
    let older = node.place.join("older");
    let copied = Command::new("cp").arg("-a").arg(node.state()).arg(&older).status()?;
    check!(copied.success(), "no copy");
    node.start()?;
    node.running("unknown", &["--disk-kind", "directory"])?;
    let unknown = node.container("unknown")?["id"].as_str().unwrap_or_default().to_owned();
    node.stop()?;
    put_back(&node, &older)?;
    node.start()?;
    let words = node.words();
    check!(
        words.contains("not as it was signed: it ends at event") && words.contains("node accept-history"),
        "{words}"
    );
    node.must(&["ps"])?;
    node.stop()?;
    // A look with other keys makes none and says nothing of the history.
    let other = node.place.join("other-keys").to_string_lossy().into_owned();
    let strange = node.berth(&["node", "accept-history", "--key-dir", &other, "--dry-run"])?;
    check!(strange.code != 0 && strange.err.contains("no key of this log"), "{strange:?}");
    check!(!std::path::Path::new(&other).exists(), "a look made keys");
    let keys = node.place.join("keys").to_string_lossy().into_owned();
    let accept = ["node", "accept-history", "--key-dir", &keys];
    let tried = node.must(&[&accept[..], &["--dry-run"]].concat())?;
    check!(tried.out.starts_with("would accept the log of"), "{tried:?}");
    node.start()?;
    let told = node.must(&["node", "status"])?;
    check!(told.out.contains("not as it was signed: it ends at event"), "a look at it accepted it: {told:?}");
    node.stop()?;
    let accepted = node.must(&[&accept[..], &["-y", "--reason", "the copy of Monday"]].concat())?;
    check!(accepted.out.contains("what was signed is kept in"), "{accepted:?}");
    node.refused(&[&accept[..], &["-y"]].concat(), 6, "node.history-is-whole")?;
    check!(is_alive(&node, &unknown), "it is ended before that is recorded");
    node.start()?;
    let told = node.must(&["event", "list", "--kind", "HistoryAccepted", "-o", "json"])?;
    check!(told.out.contains("the copy of Monday") && told.out.contains("command line uid"), "{told:?}");
    let told = node.must(&["event", "list", "--kind", "UnknownContainerFound", "-o", "json"])?;
    check!(
        told.out.contains(&unknown) && !is_alive(&node, &unknown),
        "its address and ids are given to others: {told:?}"
    );
    node.must(&["audit", "verify"])?;
    // Another instance's log is nobody's here.
    node.stop()?;
    let mut other = Node::begin("other-log")?;
    other.stop()?;
    let own = node.state().join("log.db");
    fs::copy(&own, node.place.join("kept.db"))?;
    fs::copy(other.state().join("log.db"), &own)?;
    let answer = daemon(&node)?;
    check!(answer.code == 1 && answer.err.contains("seals berth-log/"), "{answer:?}");
    fs::copy(other.state().join("checkpoint"), node.state().join("checkpoint"))?;
    let answer = daemon(&node)?;
    check!(answer.code == 1 && answer.err.contains("is that of instance"), "{answer:?}");
    fs::remove_file(node.state().join("checkpoint"))?;
    fs::copy(node.place.join("kept.db"), &own)?;
    node.start()?;
    other.start()?;
    other.finish()?;
    node.finish()
}

fn lost_keys() -> Outcome {
    let mut node = Node::begin("lost-keys")?;
    let store = node.place.join("vault").to_string_lossy().into_owned();
    node.must(&["store", "create", "vault", &store])?;
    node.stop()?;
    let (keys, kept) = (node.place.join("keys"), node.place.join("kept"));
    let hint = format!("daemon --key-dir {}", keys.display());
    let told = node.berth(&["store", "confirm-recovery-key", "vault"])?;
    check!(told.code == 8 && told.err.contains(&hint), "how to start it does not name its keys: {told:?}");
    fs::rename(&keys, &kept)?;
    let answer = daemon(&node)?;
    check!(answer.code == 1 && answer.err.contains("no key of this log"), "{answer:?}");
    check!(answer.err.contains("put that directory back") && answer.err.contains("--new-keys"), "{answer:?}");
    let mut elsewhere = Command::new(&node.program);
    elsewhere.arg("daemon").arg("--key-dir").arg(node.place.join("others")).env("BERTH_STATE", node.state());
    let answer = run_within(&mut elsewhere, PATIENCE)?;
    check!(answer.code == 1 && answer.err.contains(&hint), "where they were is not said: {answer:?}");
    check!(!keys.exists() && !node.place.join("others").exists(), "a refusal made keys");
    node.start_with(|command| {
        command.arg("--new-keys");
        Ok(())
    })?;
    let told = node.berth(&["doctor"])?;
    check!(told.code == 10 && told.out.contains("no key that signed this log before"), "{told:?}");
    let told = node.must(&["node", "status"])?;
    check!(told.out.contains("no key that signed this log before"), "{told:?}");
    let told = node.must(&["store", "list"])?;
    check!(told.out.contains("NOT USABLE") && told.out.contains("the key of this node"), "{told:?}");
    // The old directory put back is told as what it is.
    node.must(&["audit", "checkpoint"])?;
    node.stop()?;
    fs::remove_dir_all(&keys)?;
    fs::rename(&kept, &keys)?;
    node.start()?;
    let told = node.refused(&["store", "confirm-recovery-key", "vault"], 6, "log.unaccepted")?;
    check!(told.err.contains("checkpoint-other.vkey"), "{told:?}");
    node.must(&["node", "accept-history", "-y", "--reason", "the old keys are back"])?;
    let id = fs::read_dir(&keys)?.flatten().next().map(|entry| entry.path().join("checkpoint.vkey"));
    let key = id.unwrap_or_default().to_string_lossy().into_owned();
    let told = node.must(&["audit", "verify", "--key", &key])?;
    check!(told.out.contains("signed with another key") && told.out.contains(": whole"), "{told:?}");
    let told = node.must(&["store", "list"])?;
    check!(told.out.contains("ready"), "{told:?}");
    node.finish()
}

fn no_evidence() -> Outcome {
    let node = Node::begin("no-evidence")?;
    node.must(&["audit", "checkpoint"])?;
    let text = node.place.join("README.md");
    fs::write(&text, "# Nothing\n\n0123\n")?;
    let (text, gone) = (text.to_string_lossy().into_owned(), node.place.join("gone").to_string_lossy().into_owned());
    for (option, file) in [("--checkpoint", &text), ("--key", &text), ("--checkpoint", &gone), ("--key", &gone)] {
        let told = node.refused(&["audit", "verify", option, file], 2, "audit.no-evidence")?;
        check!(told.err.contains(file.as_str()) && told.err.contains("berth audit checkpoint"), "{told:?}");
        check!(!told.out.contains("wrong"), "{told:?}");
    }
    node.finish()
}

/// Puts an older copy of the state directory back as a whole: what was signed is known beside the keys alone.
fn put_back(node: &Node, older: &Path) -> Outcome {
    fs::rename(node.state(), node.place.join("newer"))?;
    Ok(fs::rename(older, node.state())?)
}

/// Says whether the kernel has anything of a container.
fn is_alive(node: &Node, id: &str) -> bool {
    Path::new("/run/berth").join(node.instance()).join("containers").join(id).exists()
}

fn in_doubt() -> Outcome {
    need(&["start-containers"])?;
    let mut node = Node::begin("in-doubt")?;
    node.template()?;
    for name in ["c1", "c2"] {
        node.running(name, &["--disk-kind", "directory", "--restart", "on-failure"])?;
    }
    for name in ["c3", "c4"] {
        node.must(&["container", "create", name, "--template", "bb", "--disk-kind", "directory"])?;
    }
    node.must(&["container", "delete", "c4"])?;
    let ids =
        ["c1", "c2", "c3"].map(|name| node.container(name).map(|row| row["id"].as_str().unwrap_or("").to_owned()));
    let [c1, c2, c3] = ids;
    let (c1, c2, c3) = (c1?, c2?, c3?);
    node.stop()?;
    let older = node.place.join("older");
    check!(Command::new("cp").arg("-a").arg(node.state()).arg(&older).status()?.success(), "no copy");
    node.start()?;
    node.must(&["container", "start", "c3"])?; // the copy does not know
    node.stop()?;
    put_back(&node, &older)?;
    node.start()?;
    let head = || node.api().get("/v1/node").map(|reply| reply.body["head"]["position"].clone());
    let before = head()?;
    nothing_is_changed(&node)?;
    // Everything that runs can be stopped, also what the log does not know of.
    for (words, id) in [(&["c1", "--grace", "20s"][..], &c1), (&["c2", "--kill"], &c2), (&["c3", "--kill"], &c3)] {
        check!(is_alive(&node, id), "{words:?} does not run");
        let stopped = node.must(&[&["container", "stop"], words].concat())?;
        check!(stopped.err.contains("stopped, but not recorded: the log"), "{stopped:?}");
        check!(!is_alive(&node, id), "{words:?} still runs: {stopped:?}");
    }
    check!(
        node.words().contains("stopped without a record") && node.words().contains("container=c1"),
        "{}",
        node.words()
    );
    check!(head()? == before, "something was recorded: {}", head()?);
    let accepted = node.must(&["node", "accept-history", "-y", "--reason", "the copy of Monday"])?;
    check!(accepted.out.contains("what was signed is kept in"), "{accepted:?}");
    node.refused(&["node", "accept-history", "-y"], 6, "node.history-is-whole")?;
    let told = node.must(&["event", "list", "--kind", "HistoryAccepted", "-o", "json"])?;
    check!(told.out.contains("the copy of Monday") && told.out.contains("root"), "{told:?}");
    // It goes on without a restart, and what was stopped stays so.
    for name in ["c1", "c2", "c3"] {
        node.wait_for(name, |row| row["state"] == "stopped")?;
    }
    let history = node.must(&["container", "history", "c1"])?.out;
    check!(history.contains("stop requested"), "{history}");
    node.must(&["container", "start", "c1"])?;
    check!(is_alive(&node, &c1) && !is_alive(&node, &c2), "{}", node.words());
    node.must(&["audit", "verify"])?;
    node.must(&["doctor"])?;
    node.stop()?;
    node.start()?;
    node.finish()
}

/// Asks for everything but a stop under a log that nobody accepted; each is refused with the way out.
fn nothing_is_changed(node: &Node) -> Outcome {
    node.must(&["ps"])?;
    node.must(&["container", "history", "c1"])?;
    let status = node.must(&["node", "status"])?;
    check!(status.out.contains("not as it was signed"), "{status:?}");
    let doctor = node.berth(&["doctor"])?;
    check!(doctor.code == 10 && doctor.out.contains("history: the log"), "{doctor:?}");
    check!(doctor.out.contains("node accept-history"), "{doctor:?}");
    let refused: [&[&str]; 12] = [
        &["container", "create", "c9", "--template", "bb"],
        &["container", "start", "c3"],
        &["container", "restart", "c1"],
        &["container", "set", "c1", "--memory", "64M"],
        &["container", "delete", "c3"],
        &["container", "purge", "c4", "-y"],
        &["container", "undelete", "c4"],
        &["exec", "c1", "true"],
        &["network", "create", "n9"],
        &["audit", "checkpoint"],
        &["node", "rebuild"],
        &["node", "confirm-clock"],
    ];
    for words in refused {
        let answer = node.refused(words, 6, "log.unaccepted")?;
        check!(answer.err.contains("node accept-history"), "{answer:?}");
    }
    Ok(())
}

/// Changes the log's file as somebody with root would.
fn change(node: &Node, sql: &str) -> Outcome {
    let log = rusqlite::Connection::open(node.state().join("log.db")).map_err(|error| error.to_string())?;
    log.execute_batch(sql).map_err(|error| Stop::Failed(error.to_string()))
}

fn forged() -> Outcome {
    let hide = "DELETE FROM projection_containers WHERE row ->> '$.name' = 'c1'; DROP TRIGGER events_delete;
        UPDATE projection_containers SET row = json_set(row, '$.rest', 'deleted') WHERE row ->> '$.name' = 'c2'";
    let mut node = Node::begin("forged")?;
    node.template()?;
    for name in ["c1", "c2", "c3"] {
        node.must(&["container", "create", name, "--template", "bb", "--disk", "32M", "--disk-kind", "directory"])?;
    }
    let truth = node.must(&["ps", "-o", "name"])?.out;
    // With no daemon: every reader of the record is misled until it is made anew.
    node.stop()?;
    change(&node, hide)?;
    check!(node.must(&["ps", "-o", "name"])?.out != truth, "the forgery shows nothing");
    finds(&node, "forged rows")?;
    let told = node.berth(&["audit", "verify"])?.out;
    for word in
        ["the row of c1 (", "is missing", "the row of c2 (", "rest is", "trigger events_delete", "berth node rebuild"]
    {
        check!(told.contains(word), "{word} is not told: {told}");
    }
    let mended = node.must(&["node", "rebuild"])?;
    check!(mended.out.contains("mended: the row of c2"), "{mended:?}");
    node.must(&["audit", "verify"])?;
    check!(node.must(&["ps", "-o", "name"])?.out == truth, "not as it was: {mended:?}");
    // A start looks itself, and says so.
    change(&node, hide)?;
    node.start()?;
    check!(node.must(&["ps", "-o", "name"])?.out == truth, "the daemon believes the forgery");
    check!(node.words().contains("a read model is not what the log makes"), "{}", node.words());
    node.must(&["audit", "verify"])?;
    // Under a daemon at work.
    change(&node, hide)?;
    finds(&node, "rows forged beside the daemon")?;
    let mended = node.must(&["node", "rebuild", "-o", "json"])?.json()?;
    check!(mended["left"] == serde_json::json!([]) && mended["events"].as_u64() > Some(10), "{mended}");
    node.must(&["audit", "verify"])?;
    node.must(&["container", "rename", "c1", "c9"])?;
    check!(node.must(&["ps", "-o", "name"])?.out.contains("c9"), "the read models do not go on");
    node.must(&["audit", "verify"])?;
    node.finish()
}

fn damaged() -> Outcome {
    let mut node = Node::begin("damaged")?;
    node.template()?;
    for name in ["c1", "c2", "c3"] {
        node.must(&["container", "create", name, "--template", "bb", "--disk", "32M", "--disk-kind", "directory"])?;
    }
    node.stop()?;
    let log = node.state().join("log.db");
    let whole = fs::read(&log)?;
    node.must(&["audit", "verify"])?;
    // A byte of an event's body is another: the words are in the file as they are.
    let word = b"CreateRequested";
    let at = whole.windows(word.len()).position(|bytes| bytes == word).ok_or("no such event in the file")?;
    let mut changed = whole.clone();
    changed[at + 2] ^= 1;
    fs::write(&log, &changed)?;
    finds(&node, "a changed word")?;
    // The beginning says no more that it is a database, or a page of it is gone, or all but a page. Behind the pages that the
    // header counts is room that nothing is in yet.
    let pages = u32::from_be_bytes(whole[28..32].try_into().unwrap()) as usize * 4096;
    let mut beheaded = whole.clone();
    beheaded[3] ^= 1;
    let cuts = [beheaded, whole[..pages - 4096].to_vec(), whole[..4096].to_vec(), b"no log at all".to_vec(), vec![]];
    for (number, bytes) in cuts.iter().enumerate() {
        fs::write(&log, bytes)?;
        finds(&node, &format!("damage {number}"))?;
    }
    fs::remove_file(&log)?;
    node.refused(&["audit", "verify"], 1, "audit.verify")?;
    // Half of the file is missing.
    fs::write(&log, &whole[..pages / 2])?;
    finds(&node, "half of the file")?;
    let before = picture(&node.state())?;
    let answer = daemon(&node)?;
    check!(answer.code != 0 && answer.err.contains("log.db"), "{answer:?}");
    let after = picture(&node.state())?;
    let log_of = |picture: &[(String, u64, Vec<u8>)]| picture.iter().find(|file| file.0 == "log.db").cloned();
    check!(log_of(&before) == log_of(&after), "changed: {:?} {:?}", names(&before), names(&after));
    fs::write(&log, &whole)?;
    node.start()?;
    node.stop()?;
    forge(&log)?;
    node.start()?;
    let begun = Instant::now();
    while !node.words().contains("the log is not as it was written") {
        check!(begun.elapsed() < PATIENCE, "the daemon says nothing of a forged event: {}", node.words());
        std::thread::sleep(Duration::from_millis(20));
    }
    node.finish()
}

/// Changes what an event says into something that makes as much sense, so that no start stumbles over it.
fn forge(log: &Path) -> Outcome {
    let (word, other) = (br#""hostname":"c3""#, br#""hostname":"c9""#);
    let mut bytes = fs::read(log)?;
    let places: Vec<usize> =
        bytes.windows(word.len()).enumerate().filter(|(_, at)| at == word).map(|(at, _)| at).collect();
    check!(!places.is_empty(), "no such word in the log");
    for at in places {
        bytes[at..at + word.len()].copy_from_slice(other);
    }
    Ok(fs::write(log, bytes)?)
}

/// An overlay cannot carry the layers of another one inside a user namespace.
fn overlay() -> Outcome {
    need(&["start-containers"])?;
    let mut node = Node::new("overlay")?;
    let place = node.place.display().to_string();
    for folder in ["lower", "upper", "work", "state"] {
        fs::create_dir_all(node.place.join(folder))?;
    }
    let options = format!("lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work");
    let mut mount = Command::new("mount");
    mount.args(["-t", "overlay", "-o", &options, "berth-test"]).arg(node.state());
    let mounted = run_within(&mut mount, PATIENCE)?;
    check!(mounted.code == 0, "{mounted:?}");
    let mounted = Small(node.state());
    fs::set_permissions(node.state(), fs::Permissions::from_mode(0o700))?;
    node.start()?;
    let told = node.berth(&["doctor", "-o", "json"])?.json()?;
    let findings = told["findings"].as_array().cloned().unwrap_or_default();
    let found = findings.iter().find(|finding| finding["feature"] == "overlay in a user namespace");
    let found = found.ok_or("the doctor does not look")?;
    check!(found["ok"] == false && found["reason"].as_str().is_some_and(|reason| reason.len() > 10), "{found}");
    check!(found["fix"].as_str().is_some_and(|fix| fix.contains("ext4")), "{found}");
    node.template()?;
    node.must(&["container", "create", "c1", "--template", "bb", "--disk-kind", "directory"])?;
    let refused = node.refused(&["container", "start", "c1"], 1, "node.cannot-start")?;
    check!(refused.err.contains("overlay in a user namespace"), "{refused:?}");
    check!(node.container("c1")?["state"] == "stopped", "{refused:?}");
    node.must(&["store", "create", "vault", &format!("{place}/vault")])?;
    node.must(&["backup", "run", "c1"])?;
    let finished = node.finish();
    drop(mounted);
    finished
}

pub const NOBODY: u32 = 65_534;

/// Makes a program run as nobody, from a place that nobody can reach.
pub fn as_nobody(node: &mut Node) -> Outcome {
    let program = node.place.join("berth");
    fs::copy(&node.program, &program)?;
    node.program = program;
    let words = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"].map(str::to_owned).to_vec();
    node.wrapper.clone_from(&words);
    node.client_wrapper = words;
    fs::set_permissions(&node.place, fs::Permissions::from_mode(0o711))?;
    Ok(())
}

/// Makes a folder of nobody's.
pub fn give_to_nobody(path: &Path) -> Outcome {
    fs::create_dir_all(path)?;
    chown(path, Some(NOBODY), Some(NOBODY))?;
    Ok(())
}

fn foreign() -> Outcome {
    need(&["root"])?;
    let mut node = Node::begin("foreign")?;
    node.stop()?;
    let before = picture(&node.state())?;
    as_nobody(&mut node)?;
    let answer = daemon(&node)?;
    let path = node.state().to_string_lossy().into_owned();
    check!(answer.code == 4 && answer.err.contains(&path) && answer.err.contains("ermission"), "{answer:?}");
    let after = picture(&node.state())?;
    check!(before == after, "changed: {:?} {:?}", names(&before), names(&after));
    let read = node.berth(&["container", "list"])?;
    check!(read.code == 4, "{read:?}");
    node.wrapper.clear();
    node.client_wrapper.clear();
    node.start()?;
    node.finish()
}
