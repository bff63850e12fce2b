//! What this host can do: each feature by name, there or missing and why, tried for real where that is cheap.
//!
//! The data behind `berth doctor`. Some probes fork into namespaces, which needs a process with one thread: elsewhere
//! they are `Unknown` and `berth shim --probe` (a process of its own) prints the whole list as JSON.

mod cgroups;
mod filters;
mod isolation;
mod system;

use serde::{Deserialize, Serialize};

pub use isolation::PLACE_PREFIX;

/// Why something could not be tried here that forks.
const ONE_THREAD: &str = "needs a process with one thread: `berth shim --probe`";

/// Whether a feature is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// It was seen to work, or to be there.
    Present {
        /// What was found.
        detail: String,
    },
    /// It is not there or is refused.
    Missing {
        /// Why.
        reason: String,
    },
    /// It could not be tried here.
    Unknown {
        /// Why not.
        reason: String,
    },
}

/// How much hangs on a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// No container starts without it.
    Required,
    /// Something that can be asked for is refused without it.
    Optional,
    /// A fact about the host.
    Fact,
}

/// One feature of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// Its name, such as `loop devices`.
    pub name: String,
    /// How much hangs on it.
    pub weight: Weight,
    /// Whether it is there.
    #[serde(flatten)]
    pub state: State,
}

impl Feature {
    fn new(name: &str, weight: Weight, outcome: Result<String, String>) -> Self {
        let state = match outcome {
            Ok(detail) => State::Present { detail },
            Err(reason) => State::Missing { reason },
        };
        Self { name: name.to_owned(), weight, state }
    }

    fn unknown(name: &str, weight: Weight, reason: &str) -> Self {
        Self { name: name.to_owned(), weight, state: State::Unknown { reason: reason.to_owned() } }
    }

    /// Tells whether it is there.
    pub fn is_there(&self) -> bool {
        matches!(self.state, State::Present { .. })
    }
}

/// Probes everything that can be probed in this process.
pub fn probe() -> Vec<Feature> {
    // First, because the kernel loads what is tried: on a fresh boot it has no overlay file system before somebody mounts one.
    let isolation = isolation::probe();
    let mut features = system::probe();
    features.extend(cgroups::probe());
    features.extend(isolation);
    features.extend(filters::probe());
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_has_a_name_of_its_own_and_survives_json() {
        let features = probe();
        let mut names: Vec<_> = features.iter().map(|one| one.name.clone()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), features.len());
        let text = serde_json::to_string(&features).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Feature>>(&text).unwrap(), features);
    }
}
