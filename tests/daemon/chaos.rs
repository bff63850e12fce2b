//! The daemon is killed at random moments while clients make it do everything it can.
//!
//! `BERTH_CHAOS_SEED` repeats a run as far as that is possible, `BERTH_CHAOS_ROUNDS` says how often it dies.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::check;
use crate::fixture::{Api, Node, PATIENCE, Reply};
use crate::harness::{Outcome, Stop, need, remains};

pub const TESTS: &[crate::harness::Test] =
    &[("a daemon that is killed at any moment loses nothing and lies about nothing", killed)];

const ROUNDS: u64 = 50;
/// After so many deaths everything is looked at.
const ROUNDS_BETWEEN_LOOKS: u64 = 10;
const CLIENTS: u64 = 4;

/// SplitMix64: enough for choices, and the same on every machine.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What all threads know.
struct Shared {
    api: Api,
    /// Held for reading while a client works, for writing while everything is looked at.
    gate: RwLock<()>,
    ended: AtomicBool,
    acknowledged: Mutex<Vec<(String, String)>>,
    counts: Mutex<BTreeMap<String, u64>>,
    keys: AtomicU64,
    faults: Mutex<Vec<String>>,
}

impl Shared {
    fn note(&self, verb: &str, reply: &Reply) {
        let operation = reply.body["operation"].as_str().unwrap_or_default().to_owned();
        if reply.status == 202 && reply.body["events"].as_array().is_some_and(|events| !events.is_empty()) {
            self.acknowledged.lock().unwrap().push((verb.to_owned(), operation));
            *self.counts.lock().unwrap().entry(verb.to_owned()).or_default() += 1;
        }
        if reply.status >= 500 {
            self.faults.lock().unwrap().push(format!("{verb}: {reply:?}"));
        }
    }

    /// Sends a command; one whose answer was lost is sent again under its key, as a client does.
    fn command(&self, verb: &str, path: &str, body: &Value) -> Option<Reply> {
        let key = format!("chaos-{}", self.keys.fetch_add(1, Ordering::Relaxed));
        let begun = Instant::now();
        while !self.ended.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE {
            if let Ok(reply) = self.api.ask("POST", path, Some(&key), Some(body)) {
                self.note(verb, &reply);
                return Some(reply);
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// Watches an operation until it is over, the daemon is gone, or a while has passed.
    fn watch(&self, operation: &str) {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3) {
            match self.api.get(&format!("/v1/operations/{operation}")) {
                Ok(reply) if reply.body["closed_at"].is_null() => thread::sleep(Duration::from_millis(5)),
                _ => return,
            }
        }
    }
}

/// One client: does something with containers of its own, again and again.
fn client(shared: &Shared, number: u64, mut chance: Chance) {
    let name = format!("w{number}");
    while !shared.ended.load(Ordering::Relaxed) {
        let _working = shared.gate.read().unwrap();
        let (verb, path, body) = wish(&name, number, &mut chance);
        let Some(reply) = shared.command(verb, &path, &body) else { continue };
        if reply.status == 202 && chance.below(10) < 7 {
            shared.watch(reply.body["operation"].as_str().unwrap_or_default());
        }
        if reply.status != 202 {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn wish(name: &str, number: u64, chance: &mut Chance) -> (&'static str, String, Value) {
    let of = |verb: &str| format!("/v1/containers/{name}/{verb}");
    match chance.below(20) {
        0..=3 => {
            let kind = if chance.below(3) == 0 { "image" } else { "directory" };
            let network = if chance.below(2) == 0 { "none" } else { "default" };
            let body = json!({"name": name, "template": "bb", "disk": "32M", "disk_kind": kind, "network": network});
            ("create", "/v1/containers".to_owned(), body)
        }
        4..=7 => ("start", of("start"), json!({})),
        8 => ("stop", of("stop"), json!({"grace": "2s"})),
        9 => ("stop", of("stop"), json!({"kill": true})),
        10 => ("restart", of("restart"), json!({"grace": "1s"})),
        11 => ("pause", of("pause"), json!({})),
        12 => ("resume", of("resume"), json!({})),
        13 => ("backup", "/v1/backups".to_owned(), json!({"containers": [name], "store": "main"})),
        14 => {
            let keeper = ["keeper-image", "keeper-directory"][chance.below(2) as usize];
            ("backup", "/v1/backups".to_owned(), json!({"containers": [keeper], "store": "main"}))
        }
        15 => {
            let body = json!({"to": "new", "name": format!("r{number}"), "start": chance.below(2) == 0});
            (
                "restore",
                format!("/v1/backups/keeper-{}@latest/restore", ["image", "directory"][number as usize % 2]),
                body,
            )
        }
        16 => ("restore in place", format!("/v1/backups/{name}@latest/restore"), json!({"to": "in-place"})),
        17 => match chance.below(4) {
            0 => ("stop", format!("/v1/containers/r{number}/stop"), json!({"kill": true})),
            1 => ("delete", format!("/v1/containers/r{number}/delete"), json!({})),
            _ => ("delete", of("delete"), json!({})),
        },
        _ => match chance.below(3) {
            0 => ("purge", format!("/v1/containers/r{number}/purge"), json!({})),
            _ => ("purge", of("purge"), json!({})),
        },
    }
}

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn killed() -> Outcome {
    need(&["start-containers", "loop devices", "mkfs.ext4"])?;
    let drawn = u64::from_le_bytes(berth::sys::random::bytes()?[..8].try_into()?);
    let seed = number_of("BERTH_CHAOS_SEED").unwrap_or(drawn % 1_000_000);
    eprintln!("BERTH_CHAOS_SEED={seed}");
    let mut node = Node::begin("chaos")?;
    node.template()?;
    let store = node.place.join("store");
    node.must(&["store", "create", "main", &store.to_string_lossy()])?;
    node.running("keeper-image", &["--network", "none"])?;
    node.running("keeper-directory", &["--disk-kind", "directory"])?;
    node.must(&["backup", "run", "keeper-image", "keeper-directory"])?;
    let shared = Arc::new(Shared {
        api: node.api(),
        gate: RwLock::default(),
        ended: AtomicBool::new(false),
        acknowledged: Mutex::default(),
        counts: Mutex::default(),
        keys: AtomicU64::new(seed << 20),
        faults: Mutex::default(),
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || client(&shared, number, Chance(seed ^ (number + 1) << 32)))
        })
        .collect();
    let done = die_and_look(&mut node, &shared, Chance(seed));
    shared.ended.store(true, Ordering::Relaxed);
    for client in clients {
        let _ = client.join();
    }
    done.map_err(|stop| told_with(stop, seed, &node))?;
    eprintln!("acknowledged: {:?}", shared.counts.lock().unwrap());
    node.finish()
}

fn told_with(stop: Stop, seed: u64, node: &Node) -> Stop {
    match stop {
        Stop::Failed(reason) => Stop::Failed(format!("BERTH_CHAOS_SEED={seed}: {reason}\n{}", node.words())),
        skipped @ Stop::Skipped { .. } => skipped,
    }
}

fn die_and_look(node: &mut Node, shared: &Shared, mut chance: Chance) -> Outcome {
    let keepers = keepers(node)?;
    let rounds = number_of("BERTH_CHAOS_ROUNDS").unwrap_or(ROUNDS);
    for round in 1..=rounds {
        thread::sleep(Duration::from_millis(chance.below(500)));
        node.kill()?;
        node.start()?;
        check!(keepers == self::keepers(node)?, "round {round}: containers that nobody touched are not as they were");
        if round % ROUNDS_BETWEEN_LOOKS == 0 || round == rounds {
            let _nobody_works = shared.gate.write().unwrap();
            look_at_everything(node, shared).map_err(|stop| in_round(stop, round))?;
            check!(keepers == self::keepers(node)?, "round {round}: containers that nobody touched changed");
        }
    }
    Ok(())
}

fn in_round(stop: Stop, round: u64) -> Stop {
    match stop {
        Stop::Failed(reason) => Stop::Failed(format!("round {round}: {reason}")),
        skipped @ Stop::Skipped { .. } => skipped,
    }
}

/// Returns who the untouched containers are, as the daemon says and as the kernel says.
fn keepers(node: &Node) -> Result<Vec<(Value, bool)>, Stop> {
    let rows = ["keeper-image", "keeper-directory"].map(|name| node.container(name));
    let mut found = Vec::new();
    for row in rows {
        let row = row?;
        check!(row["state"] == "running", "{row:#}");
        let alive = Path::new("/proc").join(row["init"]["pid"].to_string()).exists();
        found.push((row["init"].clone(), alive));
    }
    Ok(found)
}

fn look_at_everything(node: &Node, shared: &Shared) -> Outcome {
    node.settle()?;
    let faults = std::mem::take(&mut *shared.faults.lock().unwrap());
    check!(faults.is_empty(), "{faults:#?}");
    let acknowledged = std::mem::take(&mut *shared.acknowledged.lock().unwrap());
    for (verb, operation) in acknowledged {
        let reply = node.api().get(&format!("/v1/operations/{operation}"))?;
        let over = reply.status == 200 && !reply.body["closed_at"].is_null() && reply.body["state"] != "stuck";
        check!(over, "{verb} {operation} was acknowledged: {reply:?}");
    }
    let rows = node.api().items("/v1/containers?all=true")?;
    for row in &rows {
        look_at(node, row)?;
    }
    look_at_the_kernel(node, &rows)?;
    node.must(&["audit", "verify"]).map(drop)
}

fn is_one_of(row: &Value, states: &[&str]) -> bool {
    row["state"].as_str().is_some_and(|state| states.contains(&state))
}

/// A state word is a promise: it is held against processes, control groups and folders.
fn look_at(node: &Node, row: &Value) -> Outcome {
    let (id, name) = (row["id"].as_str().unwrap_or_default(), row["name"].as_str().unwrap_or_default());
    check!(is_one_of(row, &["running", "paused", "stopped", "deleted", "purged", "failed"]), "no rest: {row:#}");
    check!(row["holds"].as_array().is_some_and(Vec::is_empty), "held by nobody: {row:#}");
    let lives = is_one_of(row, &["running", "paused"]);
    let disk = node.state().join("containers").join(id);
    let kept = !is_one_of(row, &["purged", "failed"]);
    check!(
        disk.exists() == kept,
        "{name} is {}, but {} is{} there",
        row["state"],
        disk.display(),
        if kept { " not" } else { "" }
    );
    let runtime = Path::new("/run/berth").join(node.instance()).join("containers").join(id);
    check!(runtime.exists() == lives, "{name} is {}; {}: {}", row["state"], runtime.display(), runtime.exists());
    let groups: Vec<_> = remains::cgroups(&node.instance()).into_iter().filter(|path| path.ends_with(id)).collect();
    check!(groups.is_empty() != lives, "{name} is {}, its control groups: {groups:?}", row["state"]);
    if !lives {
        return Ok(());
    }
    let frozen = groups.iter().any(|group| is_frozen(group));
    check!(frozen == (row["state"] == "paused"), "{name} is {}, frozen: {frozen}", row["state"]);
    if row["state"] == "running" {
        node.must(&["exec", id, "--", "true"])?;
    }
    Ok(())
}

fn is_frozen(group: &Path) -> bool {
    let read = |file: &str| fs::read_to_string(group.join(file)).unwrap_or_default();
    read("cgroup.freeze").trim() == "1" || !matches!(read("freezer.state").trim(), "" | "THAWED")
}

/// Nothing but what living containers need is there.
fn look_at_the_kernel(node: &Node, rows: &[Value]) -> Outcome {
    let living: Vec<&Value> = rows.iter().filter(|row| is_one_of(row, &["running", "paused"])).collect();
    let images = living.iter().filter(|row| row["configuration"]["disk"] == "image").count();
    let begun = Instant::now();
    let mut loops = remains::loops_of(&node.state());
    while loops.len() != images && begun.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(50));
        loops = remains::loops_of(&node.state());
    }
    check!(loops.len() == images, "{images} images are in use, but attached are {loops:?}");
    let ports = remains::links(&node.instance()).into_iter().filter(|name| name.starts_with('v')).count();
    let leased = living.iter().filter(|row| row["lease"].is_object()).count();
    check!(ports == leased, "{leased} containers have a link, but there are {ports}");
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    check!(!mounts.contains(&*node.place.to_string_lossy()), "mounts: {mounts}");
    look_for_strangers(node, rows)
}

/// Folders and processes that belong to no container.
fn look_for_strangers(node: &Node, rows: &[Value]) -> Outcome {
    let known: BTreeSet<&str> = rows.iter().filter_map(|row| row["id"].as_str()).collect();
    let runtime = Path::new("/run/berth").join(node.instance()).join("containers");
    for folder in [node.state().join("containers"), runtime.clone()] {
        for entry in fs::read_dir(&folder)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            check!(known.contains(name.as_str()), "{} belongs to nobody", entry.path().display());
        }
    }
    let disks = runtime.with_file_name("disks");
    let left: Vec<_> = fs::read_dir(&disks).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    check!(left.is_empty(), "left by a daemon that died: {left:?}");
    let mut shims = remains::processes(&runtime.to_string_lossy());
    // Those that wait for the next start have no container yet.
    shims.retain(|(_, line)| !line.contains("--wait"));
    let living = rows.iter().filter(|row| is_one_of(row, &["running", "paused"])).count();
    check!(shims.len() == living, "{living} containers live, with the supervisors {shims:?}");
    Ok(())
}
