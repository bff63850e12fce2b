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

/// How many dead instances a finding names; a machine on which tests ran has dozens.
const NAMED: usize = 3;

/// Says in one finding whether dead instances have left anything.
pub(crate) fn finding(own: &Path) -> DoctorFinding {
    let mut left: Vec<LeftInstance> = look(own).into_iter().filter(|left| !left.things.is_empty()).collect();
    left.sort_by_key(|left| !matches!(left.standing, Standing::Dead)); // what the broom takes comes first
    DoctorFinding {
        feature: "leftovers".to_owned(),
        required: false,
        spoilt: false,
        ok: left.is_empty(),
        reason: sentence(&left),
        fix: (!left.is_empty()).then(|| "berth node sweep-leftovers --dry-run".to_owned()),
    }
}

fn sentence(left: &[LeftInstance]) -> String {
    let mut words: Vec<String> = left.iter().take(NAMED).map(LeftInstance::words).collect();
    match left.len().saturating_sub(NAMED) {
        0 if left.is_empty() => return "none of other instances".to_owned(),
        0 => {}
        1 => words.push("one more instance".to_owned()),
        more => words.push(format!("{more} more instances")),
    }
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_dead_instances_the_first_are_named_and_the_others_counted() {
        let left: Vec<LeftInstance> = (0..9)
            .map(|number| LeftInstance {
                instance: format!("0000000{number}"),
                state: None,
                standing: Standing::Unknown,
                things: vec![Leftover { kind: "control group".to_owned(), name: "x".to_owned() }],
            })
            .collect();
        assert_eq!(sentence(&[]), "none of other instances");
        assert!(
            sentence(&left[..3]).ends_with("00000002, of which nobody knows where its state is, left control group: 1")
        );
        assert!(sentence(&left[..4]).ends_with("; one more instance"));
        assert!(sentence(&left).ends_with("; 6 more instances") && !sentence(&left).contains("00000003"));
    }
}
