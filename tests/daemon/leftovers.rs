//! What instances leave on the host whose state directory was thrown away, and the broom for it.

use std::fs;

use serde_json::Value;

use crate::check;
use crate::fixture::Node;
use crate::harness::{Outcome, Stop, Test, need, remains};

pub const TESTS: &[Test] = &[("what a dead instance left is named and swept, and nothing of a living one", swept)];

/// Returns what is listed of an instance, kind and name.
fn listed(node: &Node, words: &[&str], instance: &str) -> Result<Vec<(String, String)>, Stop> {
    let answer = node.must(&[&["node", "sweep-leftovers", "-o", "json"], words].concat())?;
    let rows = answer.json()?["items"].as_array().cloned().unwrap_or_default();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let own = rows.iter().filter(|row| text(row, "instance") == instance);
    Ok(own.map(|row| (text(row, "kind"), text(row, "name"))).collect())
}

fn swept() -> Outcome {
    need(&["start-containers", "nft"])?;
    let lives = Node::begin("swept-lives")?;
    lives.template()?;
    lives.running("alive", &[])?;
    let mut dead = Node::begin("swept-dead")?;
    dead.template()?;
    dead.running("gone", &[])?;
    let (living, instance) = (lives.instance(), dead.instance());
    check!(listed(&lives, &["--dry-run"], &instance)?.is_empty(), "its daemon runs");
    // Its daemon runs and holds its entry: it lives, whatever became of its files.
    let state = dead.state();
    let aside = dead.place.join("aside");
    fs::rename(&state, &aside)?;
    check!(listed(&lives, &["--dry-run"], &instance)?.is_empty(), "its daemon still runs");
    fs::rename(&aside, &state)?;
    dead.kill()?;
    check!(listed(&lives, &["--dry-run"], &instance)?.is_empty(), "its state is there, so it can begin again");
    fs::remove_dir_all(&state)?;
    let found = listed(&lives, &["--dry-run"], &instance)?;
    for kind in ["control group", "supervisor", "loop device", "link", "filter table", "folder"] {
        check!(found.iter().any(|(one, _)| one == kind), "no {kind}: {found:#?}");
    }
    let looked = lives.must(&["doctor", "--offline"])?;
    check!(looked.out.contains(&format!("the instance {instance}, whose state directory")), "{looked:?}");
    check!(!remains::of(&instance).is_empty(), "a dry run removes nothing");
    let unasked = lives.berth(&["node", "sweep-leftovers", "--instance", &instance])?;
    check!(unasked.code == 2 && !remains::of(&instance).is_empty(), "nobody said yes: {unasked:?}");
    // From a place without a daemon and without a state, and never what lives, even if it is named.
    let living_row = lives.container("alive")?;
    let refused = lives.berth(&["node", "sweep-leftovers", "-y", "--instance", &living])?;
    check!(refused.code == 5 && refused.word() == "instance.not-found", "{refused:?}");
    let swept = dead.berth(&["node", "sweep-leftovers", "-y", "--instance", &instance])?;
    check!(swept.code == 0, "{swept:?}");
    check!(remains::of(&instance).is_empty(), "left: {:#?}", remains::of(&instance));
    check!(remains::loops(&state.to_string_lossy()).is_empty(), "loop devices are left");
    check!(listed(&lives, &["--dry-run"], &instance)?.is_empty(), "it is still listed");
    check!(lives.container("alive")?["init"] == living_row["init"], "the living one was touched");
    lives.must(&["exec", "alive", "--", "true"])?;
    lives.finish()
}
