//! Which instances are dead, and what they have left on this host.
//!
//! The register in `/run/berth/instances` tells where each instance's state is, and a daemon holds its entry locked while it
//! lives. An instance is dead if no daemon holds the entry and the state directory is gone, or is another's by now. Of one
//! that has no entry nobody knows: it is only removed when it is named.

use std::path::{Path, PathBuf};

use berth::api::client::signpost;
use berth::api::resources::DoctorFinding;
use berth::cli::{LeftInstance, Leftover, Standing, Sweep};
use berth::effects::linux::leftovers::{self, Instance};

use super::{identity, neighbours};

/// Lists what instances that are dead, or unknown, have on this host; `own` is the state directory of the caller.
pub(crate) fn look(own: &Path) -> Vec<LeftInstance> {
    let own = identity::known(own).map(|identity| identity.instance);
    let others = leftovers::instances().into_iter().filter(|digits| Some(digits) != own.as_ref());
    others.filter_map(|digits| of(&digits)).collect()
}

fn of(digits: &str) -> Option<LeftInstance> {
    let (state, standing) = standing(digits)?;
    let found = Instance { digits, state: state.as_deref() }.leftovers();
    let things = found.into_iter().map(|found| Leftover { kind: found.kind.to_owned(), name: found.name }).collect();
    Some(LeftInstance { instance: digits.to_owned(), state, standing, things })
}

/// Says where the state of an instance was, and whether it is dead for certain; nothing of one that lives.
fn standing(digits: &str) -> Option<(Option<PathBuf>, Standing)> {
    match neighbours::entry_of(digits) {
        None => Some((None, Standing::Unknown)),
        Some(entry) if entry.held => None,
        // What stands in a place that another instance has taken by now is that one's.
        Some(entry) => match identity::found(&entry.state) {
            Ok(Some(found)) if found.instance == digits => None,
            Ok(Some(_)) => Some((None, Standing::Dead)),
            Ok(None) => Some((Some(entry.state), Standing::Dead)),
            // A place that cannot be read is not gone.
            Err(_) => Some((None, Standing::Unknown)),
        },
    }
}

/// Removes what one instance left, once more sure that it does not live.
pub(crate) fn remove(own: &Path, left: &LeftInstance) -> Sweep {
    let digits = left.instance.as_str();
    if identity::known(own).is_some_and(|identity| identity.instance == digits) {
        return Sweep::Stays("it is the instance of this state directory".to_owned());
    }
    // Held until the end: a daemon of that instance that begins meanwhile waits for the register.
    let Ok(_register) = neighbours::register() else { return Sweep::Stays("the register is not to be had".to_owned()) };
    let Some((state, _)) = standing(digits) else { return Sweep::Stays("it lives".to_owned()) };
    match (Instance { digits, state: state.as_deref() }).remove() {
        Ok(()) => {
            neighbours::strike(digits);
            if let Some(state) = state {
                let _ = std::fs::remove_file(signpost(&state)); // only there where a group may ask
            }
            Sweep::Removed
        }
        Err(reason) => Sweep::Stays(reason),
    }
}

/// Says in one finding whether dead instances have left anything.
pub(crate) fn finding(own: &Path) -> DoctorFinding {
    let left = look(own);
    let words: Vec<String> = left.iter().map(LeftInstance::words).collect();
    DoctorFinding {
        feature: "leftovers".to_owned(),
        required: false,
        ok: left.is_empty(),
        reason: if left.is_empty() { "none of other instances".to_owned() } else { words.join("; ") },
        fix: (!left.is_empty()).then(|| "berth node sweep-leftovers --dry-run".to_owned()),
    }
}
