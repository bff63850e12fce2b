//! L4: the seam to the world: the trait [`Host`], its real implementation and the simulated one.
//!
//! `main` (or the test that builds one) chooses; nothing else knows which it is. Every effect has *ensure* meaning: the
//! host looks, acts, and reports what is true. Between two commits a host effect runs an ordered list of named steps
//! ([`steps`]); both hosts run the same list, so that a crash can be tried at every step of both.

pub mod access;
pub mod clock;
pub mod command_line;
mod context;
pub mod linux;
pub mod patience;
pub mod sim;
pub mod steps;

pub use context::{Cancel, EffectContext, Progress, ProgressSink, ProgressUpdate};

use crate::domain::effect::{Facts, Failure, HostEffect};
use crate::events::{Exit, ProcessIdentity};
use crate::types::{ContainerId, Hits, SessionId};

/// Does what states owe the world, and tells what it sees.
pub trait Host: Send + Sync + 'static {
    /// Makes it so, or says why not. Blocks; called on a thread that may.
    ///
    /// # Errors
    /// The failure says whether trying again can help. What was begun and is not named by the error is undone.
    fn perform(&self, effect: &HostEffect, context: &EffectContext) -> Result<Facts, Failure>;

    /// Looks at one container. Changes nothing.
    fn observe(&self, container: ContainerId) -> Observation;

    /// Lists the containers of which anything is left in the kernel.
    ///
    /// # Errors
    /// Nobody can tell.
    fn observed(&self) -> Result<Vec<ContainerId>, Failure>;

    /// Keeps what was done to a container without a record, for as long as the boot lasts; nothing forgets it.
    ///
    /// # Errors
    /// It cannot be kept, or forgotten.
    fn keep_unrecorded(&self, container: ContainerId, deed: Option<&[u8]>) -> Result<(), Failure>;

    /// Lists what was kept of that.
    fn unrecorded(&self) -> Vec<(ContainerId, Vec<u8>)>;

    /// Waits until a container's init becomes ready or ends, it runs into a limit, or a session ends, at most until the host is closed.
    ///
    /// One call delivers one change, whoever it is about; nothing means that the host was closed.
    fn next_change(&self) -> Option<Change>;

    /// Ends every wait of [`Host::next_change`].
    fn close(&self);
}

/// Says what the kernel shows of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// Nothing of it is there.
    Absent,
    /// Its init runs.
    Running {
        /// Which process it is.
        init: ProcessIdentity,
        /// Whether it said that all is up.
        ready: bool,
    },
    /// Its init ended, and nobody has taken note yet.
    Exited {
        /// Which process it was.
        init: ProcessIdentity,
        /// How.
        exit: Exit,
        /// How often it had run into its limits.
        hits: Box<Hits>,
    },
    /// Something is left, but no init and no word of its end.
    Remains,
}

/// Is something that happened by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A container's init became ready or ended.
    Observed {
        /// Which container.
        container: ContainerId,
        /// What is to be seen now.
        observation: Observation,
    },
    /// A container ran into its limits, or was found to have.
    Counted {
        /// Which container.
        container: ContainerId,
        /// Which process its init is.
        init: ProcessIdentity,
        /// How often since its start.
        hits: Box<Hits>,
    },
    /// A session in a container is over.
    SessionEnded {
        /// Which one.
        session: SessionId,
        /// The exit code, if its command ran to its end and it is known.
        code: Option<i32>,
    },
}
