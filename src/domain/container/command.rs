//! What can be asked of a container.

use crate::domain::effect::{Ask, Asked, Report};
use crate::events::{AddressRequest, Configuration, Exit, HoldKind, LimitChange, ProcessIdentity, RestartPolicy};
use crate::types::{ContainerId, Hits, HostName, Managed, Name, NetworkId, OperationId, Size, Span, StreamName};

/// How long a container that another operation stops may take to end by itself.
pub const GRACE_OF_SAGAS: Span = Span::from_secs(30);

/// Is a wish, a report, or an observation.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Make it.
    Create {
        /// Its id, drawn at the edge.
        id: ContainerId,
        /// Its name.
        name: Name,
        /// What it is to be.
        configuration: Box<Configuration>,
        /// The saga that waits for it.
        parent: Option<StreamName>,
    },
    /// Start it.
    Start {
        /// The saga that waits for it.
        parent: Option<StreamName>,
    },
    /// Start it with the node.
    Autostart,
    /// Let others at it, and go on as it was before a saga stopped it.
    CarryOn {
        /// The operation that held it.
        holder: OperationId,
        /// Whether files of before stay beside its own.
        keeping: bool,
        /// That saga.
        parent: StreamName,
    },
    /// Stop it.
    Stop {
        /// How long its init may take; none means kill at once.
        grace: Span,
        /// The saga that waits for it.
        parent: Option<StreamName>,
    },
    /// Stop it and start it again.
    Restart {
        /// How long its init may take.
        grace: Span,
    },
    /// Let it stand still.
    Pause,
    /// Let it stand still because the file system of its disk is nearly full.
    PauseForSpace {
        /// What is left there.
        left: Size,
    },
    /// What wrote on though it was to stand still was ended.
    ReportWritersEnded {
        /// The program of each process.
        names: Vec<String>,
    },
    /// Let it go on.
    Resume,
    /// Let it go on if it stands still for want of space alone.
    ResumeWithSpace,
    /// Hold it to other limits.
    ChangeLimits(LimitChange),
    /// Call it something else.
    Rename(Name),
    /// Start it with the node, or not.
    SetAutostart(bool),
    /// Start it again by itself, or not.
    SetRestart(RestartPolicy),
    /// Have this host name from the next start on.
    SetHostName(HostName),
    /// Let it make user namespaces of its own from the next start on, or not.
    SetNesting(bool),
    /// Write these files of its `/etc`.
    SetManaged(Managed),
    /// Put a label on it.
    SetLabel {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// Take a label off.
    RemoveLabel {
        /// The key.
        key: String,
    },
    /// Keep others from it.
    Hold {
        /// From what.
        kind: HoldKind,
        /// The saga that does.
        by: StreamName,
    },
    /// Let others at it.
    Unhold,
    /// No files of before are left beside its own.
    ReleaseOldFiles {
        /// The restore that kept them.
        by: StreamName,
    },
    /// Bury it.
    Delete {
        /// How long it can be taken back.
        grave: Span,
    },
    /// Take it back from the grave.
    Undelete {
        /// Under this name; its old one if none is given.
        name: Option<Name>,
        /// In this network, at this address; as it was if none is given.
        place: Option<(Option<NetworkId>, AddressRequest)>,
    },
    /// Remove what lies in the grave.
    Purge,
    /// Remove it at once: the saga that made it takes it back.
    Remove {
        /// That saga.
        parent: StreamName,
    },
    /// Call the open operation off.
    Cancel {
        /// Which operation.
        operation: OperationId,
    },
    /// Its init was seen to end.
    ReportExit {
        /// Which process.
        init: ProcessIdentity,
        /// How it ended.
        exit: Exit,
        /// How often it had run into its limits.
        hits: Box<Hits>,
    },
    /// It was seen to have run into its limits.
    ReportHits {
        /// Which process its init is.
        init: ProcessIdentity,
        /// How often since its start.
        hits: Box<Hits>,
    },
    /// Its init says that all is up.
    ReportReady {
        /// Which process.
        init: ProcessIdentity,
    },
    /// The node runs under this boot id.
    ReportBoot {
        /// The kernel's id of the boot.
        boot: String,
    },
    /// An effect's outcome.
    Report(Report),
}

impl From<Report> for Command {
    fn from(report: Report) -> Self {
        Self::Report(report)
    }
}

impl TryFrom<Asked> for Command {
    type Error = Asked;

    fn try_from(asked: Asked) -> Result<Self, Asked> {
        Ok(match asked.ask {
            Ask::CreateContainer { id, name, configuration } => {
                Self::Create { id, name, configuration, parent: Some(asked.by) }
            }
            Ask::StartContainer => Self::Start { parent: Some(asked.by) },
            Ask::StopContainer => Self::Stop { grace: GRACE_OF_SAGAS, parent: Some(asked.by) },
            Ask::CarryOn { holder, keeping } => Self::CarryOn { holder, keeping, parent: asked.by },
            Ask::RemoveContainer => Self::Remove { parent: asked.by },
            Ask::Hold(kind) => Self::Hold { kind, by: asked.by },
            Ask::Unhold => Self::Unhold,
            Ask::ReleaseOldFiles => Self::ReleaseOldFiles { by: asked.by },
            _ => return Err(asked),
        })
    }
}
