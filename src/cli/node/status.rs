//! `berth node status`.

use clap::Args;

use crate::api::client::Target;
use crate::api::resources::{ClockStatus, DiskRoom, NodeStatus};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{Cell, Look, Tone};
use crate::cli::read::{self, ReadOptions};
use crate::projections::query;
use crate::types::{Size, counted};

/// Show this machine: version, log, read models, space
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth node status\n  berth node status -o json")]
pub struct Arguments {
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    read::show(context, &arguments.options, Target::new("/v1/node"), describe)
}

fn describe(status: &NodeStatus, look: Look) -> (String, Vec<(&'static str, Cell)>) {
    let node = status.node.as_ref();
    let version = status.version.as_ref().or_else(|| node.and_then(|node| node.version.as_ref()));
    let heading = format!(
        "{}  berth {}  Linux {}",
        node.map_or("this host", |node| &node.hostname),
        version.map_or("?", String::as_str),
        node.and_then(|node| node.kernel.as_deref()).unwrap_or("?"),
    );
    let mut pairs = Vec::new();
    pairs.extend(node.map(|node| ("instance", Cell::from(&node.instance))));
    pairs.extend(
        node.and_then(|node| node.started_at)
            .map(|moment| ("daemon", Cell::from(format!("started {}", look.ago(moment))))),
    );
    pairs.push(("containers", Cell::from(counts(&status.containers))));
    pairs.push(("also", Cell::from(things(&status.counts))));
    pairs.push(("under way", Cell::from(counted(status.open_operations, "operation", "operations"))));
    let head = status.head.time.map_or(String::new(), |time| format!(", the last {}", look.ago(time)));
    pairs.push(("log", Cell::from(format!("{}{head}", counted(status.head.position.get(), "event", "events")))));
    pairs.push(("root", Cell::from(&status.root)));
    pairs.extend(status.read_only.as_ref().map(|why| ("read-only", Cell::toned(why, Tone::Bad))));
    pairs.extend(status.key_trouble.as_ref().map(|why| ("keys", Cell::toned(why, Tone::Bad))));
    pairs.extend(
        status
            .space
            .as_ref()
            .map(|level| ("space", Cell::toned(level, if level == "ok" { Tone::Good } else { Tone::Warn }))),
    );
    pairs.extend(status.disks.map(|room| ("disks", disks(room))));
    pairs.push(("clock", clock(status, look)));
    pairs.push(("read models", models(status)));
    (heading, pairs)
}

fn clock(status: &NodeStatus, look: Look) -> Cell {
    let ClockStatus { trust, synchronised, stepped } = &status.clock;
    let kept = match synchronised {
        Some(true) => ", synchronised",
        Some(false) => ", not synchronised",
        None => "",
    };
    match (trust.as_str(), stepped) {
        ("doubted", Some(step)) => Cell::toned(query::doubt(step), Tone::Bad),
        ("doubted", None) => Cell::toned("it just stepped", Tone::Bad),
        ("settling", _) => {
            let wait = "the machine came up not long ago; nothing is deleted or caught up for some minutes, or until a time \
                        service has it";
            Cell::toned(format!("ok{kept}: {wait}"), Tone::Warn)
        }
        (_, Some(step)) => Cell::toned(format!("ok{kept}, last stepped {}", look.full(step.step.to)), Tone::Good),
        (_, None) => Cell::toned(format!("ok{kept}"), Tone::Good),
    }
}

fn disks(room: DiskRoom) -> Cell {
    let [promised, allocated, to_come, free] =
        [room.promised, room.allocated, room.to_come, room.free].map(Size::from_bytes);
    let told = format!("{promised} promised, {allocated} taken, {to_come} may come; {free} free");
    if room.to_come <= room.free {
        return Cell::from(told);
    }
    Cell::toned(format!("{told}: more is promised than there is"), Tone::Warn)
}

fn counts(counts: &std::collections::BTreeMap<String, u64>) -> String {
    let words: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// Counts things under the nouns of their kinds, which come in the plural.
fn things(counts: &std::collections::BTreeMap<String, u64>) -> String {
    let words = counts.iter().map(|(many, count)| counted(*count, many.strip_suffix('s').unwrap_or(many), many));
    words.collect::<Vec<_>>().join(", ")
}

fn models(status: &NodeStatus) -> Cell {
    let parked: Vec<&str> =
        status.projections.iter().filter(|model| model.error.is_some()).map(|model| model.name.as_str()).collect();
    let lag = |position: u64| status.head.position.get().saturating_sub(position);
    let behind = status.projections.iter().map(|model| lag(model.position.get())).max().unwrap_or(0);
    match (parked.is_empty(), behind) {
        (false, _) => Cell::toned(format!("parked: {}", parked.join(", ")), Tone::Bad),
        (true, 0) => Cell::toned("current", Tone::Good),
        (true, behind) => Cell::toned(format!("{} behind", counted(behind, "event", "events")), Tone::Warn),
    }
}
