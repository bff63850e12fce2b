//! What any event says, whatever its kind: its mark, its words, and what its operation is about.

use crate::events::{
    self, AttemptFailed, BackupGroupEvent, BackupJobEvent, BatchEvent, ClockEvent, ContainerEvent, DirectoryEvent,
    DomainEvent, Envelope, MaintenanceEvent, Mark, NetworkEvent, NodeEvent, RestoreEvent, RestoreTarget, ScheduleEvent,
    SessionEvent, StoreEvent, TemplateEvent,
};
use crate::types::{Category, ContainerId, OperationId, StreamName};

/// Is an event in words.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// What it does to its operation.
    pub mark: Mark,
    /// The fact in words.
    pub sentence: String,
    /// The container that a run is about, where the event names it.
    pub container: Option<ContainerId>,
    /// What is not as it should be, though the operation goes on.
    pub warnings: Vec<String>,
}

/// Reads an event of any kind; nothing for one that this version does not know.
pub fn told(event: &Envelope) -> Option<Told> {
    if let Some(failed) = AttemptFailed::read(event) {
        return Some(Told { mark: Mark::Fact, sentence: failed.sentence(), container: None, warnings: vec![] });
    }
    match event.stream.category() {
        Category::Node => plain::<NodeEvent>(event),
        Category::Clock => plain::<ClockEvent>(event),
        Category::Directory => plain::<DirectoryEvent>(event),
        Category::Container => plain::<ContainerEvent>(event),
        Category::Session => about::<SessionEvent>(event, |fact| match fact {
            SessionEvent::SessionOpened { container, .. } | SessionEvent::ReadAllowed { container, .. } => {
                Some(*container)
            }
            SessionEvent::SessionClosed { .. } => None,
        }),
        Category::Template => plain::<TemplateEvent>(event),
        Category::Network => plain::<NetworkEvent>(event),
        Category::Store => plain::<StoreEvent>(event),
        Category::BackupGroup => plain::<BackupGroupEvent>(event),
        Category::BackupJob => about::<BackupJobEvent>(event, |fact| match fact {
            BackupJobEvent::BackupRequested { container, .. } => Some(*container),
            _ => None,
        }),
        Category::RestoreJob => about::<RestoreEvent>(event, restored),
        Category::Maintenance => about::<MaintenanceEvent>(event, |fact| match fact {
            MaintenanceEvent::MaintenanceRequested { action, .. } => Some(action.container()),
            _ => None,
        }),
        Category::Batch => plain::<BatchEvent>(event),
        Category::Schedule => plain::<ScheduleEvent>(event),
    }
}

fn plain<E: DomainEvent>(event: &Envelope) -> Option<Told> {
    about::<E>(event, |_| None)
}

fn about<E: DomainEvent>(event: &Envelope, container: impl Fn(&E) -> Option<ContainerId>) -> Option<Told> {
    let fact: E = events::decode(&event.kind, event.schema, &event.body).ok()?;
    let warnings = fact.warnings();
    Some(Told { mark: fact.mark(), sentence: fact.sentence(), container: container(&fact), warnings })
}

fn restored(fact: &RestoreEvent) -> Option<ContainerId> {
    match fact {
        RestoreEvent::RestoreRequested { target: RestoreTarget::New { container, .. }, .. }
        | RestoreEvent::RestoreRequested { target: RestoreTarget::InPlace { container }, .. } => Some(*container),
        RestoreEvent::RestoreRequested { source, .. } => Some(*source),
        _ => None,
    }
}

/// Returns what the one who asked said about it: the reason, the note, or both. It stands in the annex, and goes with it.
pub fn note(event: &Envelope) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Said {
        reason: Option<String>,
        note: Option<String>,
    }
    let said: Said = serde_json::from_slice(event.annex.as_deref()?).ok()?;
    let words: Vec<String> = [said.reason, said.note].into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// Returns the operation that an event of another one calls off, and what was asked for instead.
pub fn called_off(event: &Envelope) -> Option<(OperationId, String)> {
    if event.stream.category() != Category::Container || event.kind != "OperationCalledOff" {
        return None;
    }
    match events::decode(&event.kind, event.schema, &event.body).ok()? {
        ContainerEvent::OperationCalledOff { operation, wish, .. } => Some((operation, wish)),
        _ => None,
    }
}

/// Returns the words of an event, or the name of one that this version does not know.
pub fn sentence(event: &Envelope) -> String {
    told(event).map_or_else(|| format!("{} (not known to this version of berth)", event.kind), |told| told.sentence)
}

/// Returns the stream that waits for what an event opens.
pub fn parent(event: &Envelope) -> Option<StreamName> {
    #[derive(serde::Deserialize)]
    struct Opening {
        parent: Option<StreamName>,
    }
    serde_json::from_slice::<Opening>(&event.body).ok()?.parent
}
