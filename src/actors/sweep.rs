//! Frees what the dead left claimed.
//!
//! A claim belongs to a stream (a name, an id range, a template, an address) or to an operation (a hold, a writer, an
//! expected backup, a pin). Whoever ends releases what it had; but a release may fail for good, and then the owner keeps a
//! claim that nobody will ever give back. So at start, before anybody is woken, the owners are compared with the living:
//! the owners' states are folded from their streams, and of each holder only its own stream is read. What does not
//! understand itself, such as a holder's stream with facts of a newer program, counts as living: nothing of it is freed.
//! An owner that cannot be read, or does not take a release, keeps its claims and holds up no other.
//!
//! Not for a daemon at work: between the look and the release a holder could claim again. The comparison is pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::message::{CommandError, Mode, Order};
use super::registry::Registry;
use super::replica::{ReplayError, Replica};
use crate::domain::backup_group::{self, BackupGroup};
use crate::domain::container::{self, Container};
use crate::domain::directory::{self, Directory};
use crate::domain::network::{self, Network};
use crate::domain::node::{self, Node};
use crate::domain::store::{self, Store};
use crate::domain::template::{self, Template};
use crate::domain::{Aggregate, Given};
use crate::events::{
    self, AttemptFailed, ContainerEvent, DecodeError, DomainEvent, Mark, NetworkEvent, RestoreEvent, ScheduleEvent,
    StoreEvent, TemplateEvent,
};
use crate::storage::{EventLog, ReadError};
use crate::types::{BackupId, Category, OperationId, Principal, StreamName, Version};

/// How many events are read at once.
const PAGE: usize = 1_000;

/// Says what is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A unique name.
    Name,
    /// A range of user ids.
    IdRange,
    /// The use of a template.
    Template,
    /// An address.
    Address,
    /// Writing to a store.
    Writer,
    /// A place in a group for a backup to come.
    Expected,
    /// A backup that is to stay.
    Pin(BackupId),
    /// A container that others are kept from.
    Hold,
    /// Files of before beside those of a container.
    OldFiles,
}

/// Says who claims.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A thing, for as long as it has it.
    Stream(StreamName),
    /// A piece of work, for as long as it is under way.
    Operation(OperationId),
}

/// Is a claim as its owner has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The owner's stream.
    pub owner: StreamName,
    /// Who claims.
    pub holder: Holder,
    /// What.
    pub what: What,
}

/// Says who is alive, and what the living have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Living {
    /// Operations under way.
    pub open: BTreeSet<OperationId>,
    /// What each holder says of itself; nothing means that it cannot be read.
    pub having: BTreeMap<StreamName, Option<BTreeSet<What>>>,
    /// Holders that are at work: what they are about to have is not told yet.
    pub busy: BTreeSet<StreamName>,
}

/// Is what a look at the owners found.
#[derive(Debug, Default)]
pub struct Found {
    /// The claims whose holders are dead.
    pub dead: Vec<Claim>,
    /// The owners that cannot be read: of their claims nothing is known.
    pub unread: Vec<StreamName>,
}

/// Is what a sweep did, and what it could not do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many claims were released.
    pub released: usize,
    /// Dead claims that their owner did not let go.
    pub left: Vec<Claim>,
    /// The owners that cannot be read: of their claims nothing is known.
    pub unread: Vec<StreamName>,
}

/// Says why a stream could not be read for what it has or claims.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadingError {
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An event is not known to this version.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A state cannot be folded.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

/// Returns the claims whose holders are dead.
pub fn dead(claims: Vec<Claim>, living: &Living) -> Vec<Claim> {
    let is_dead = |claim: &Claim| match &claim.holder {
        Holder::Operation(operation) => !living.open.contains(operation),
        Holder::Stream(stream) if living.busy.contains(stream) => false,
        Holder::Stream(stream) => match living.having.get(stream) {
            Some(Some(having)) => !having.contains(&claim.what),
            Some(None) | None => false,
        },
    };
    claims.into_iter().filter(is_dead).collect()
}

/// Compares the owners with the living and releases what the dead left, each claim for itself.
///
/// `owners` are the streams that may have claims of others, `open` every operation under way; both are read from the
/// projections.
pub async fn sweep(registry: &Arc<Registry>, owners: &[StreamName], open: BTreeSet<OperationId>) -> Swept {
    let Found { dead, unread } = look(&*registry.house().log, owners, open);
    let mut swept = Swept { unread, ..Swept::default() };
    for claim in dead {
        let Claim { owner, holder, what } = &claim;
        match release(registry, &claim).await {
            Ok(()) => {
                tracing::warn!(%owner, ?holder, ?what, "a dead claim is released");
                swept.released += 1;
            }
            Err(error) => {
                tracing::warn!(%owner, ?holder, ?what, %error, "a dead claim is not released; the next start tries again");
                swept.left.push(claim);
            }
        }
    }
    swept
}

/// Finds the dead claims; changes nothing.
pub fn look(log: &dyn EventLog, owners: &[StreamName], open: BTreeSet<OperationId>) -> Found {
    let (mut claims, mut unread) = (vec![], vec![]);
    for owner in owners {
        match claims_of(log, owner) {
            Ok(found) => claims.extend(found),
            Err(error) => {
                tracing::warn!(%owner, %error, "it cannot be read, so dead claims on it are not known");
                unread.push(owner.clone());
            }
        }
    }
    let mut living = Living { open, ..Living::default() };
    for claim in &claims {
        if let Holder::Stream(stream) = &claim.holder {
            if living.having.contains_key(stream) {
                continue;
            }
            let told = having(log, stream).ok().flatten();
            if told.as_ref().is_some_and(|told| told.busy) {
                living.busy.insert(stream.clone());
            }
            living.having.insert(stream.clone(), told.map(|told| told.having));
        }
    }
    Found { dead: dead(claims, &living), unread }
}

/// Folds the state of a stream from the log.
///
/// # Errors
/// The log cannot be read, or has facts that this version does not know.
pub(super) fn fold<A: Aggregate>(log: &dyn EventLog, stream: &StreamName) -> Result<A, ReadingError> {
    Ok(Replica::read(log, stream)?.state)
}

fn each<E: DomainEvent>(
    log: &dyn EventLog,
    stream: &StreamName,
    mut take: impl FnMut(E, Given),
) -> Result<(), ReadingError> {
    let mut after = Version::default();
    loop {
        let page = log.read_stream(stream, after, PAGE)?;
        for envelope in &page {
            after = envelope.version;
            if AttemptFailed::read(envelope).is_some() {
                continue;
            }
            let event = events::decode::<E>(&envelope.kind, envelope.schema, &envelope.body)?;
            take(event, Given { operation: envelope.context.operation, at: envelope.recorded_at });
        }
        if page.len() < PAGE {
            return Ok(());
        }
    }
}

fn claims_of(log: &dyn EventLog, owner: &StreamName) -> Result<Vec<Claim>, ReadingError> {
    let streams = |what: What, holders: Vec<String>| {
        let parsed = holders.into_iter().filter_map(|holder| holder.parse().ok());
        parsed.map(|stream| (Holder::Stream(stream), what)).collect::<Vec<_>>()
    };
    let operations = |what: What, operations: Vec<OperationId>| {
        operations.into_iter().map(|operation| (Holder::Operation(operation), what)).collect::<Vec<_>>()
    };
    let own = |holders: Vec<&str>| holders.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let found = match owner.category() {
        Category::Directory => {
            let state = fold::<Directory>(log, owner)?;
            streams(What::Name, own(state.holders().map(|(_, holder)| holder).collect()))
        }
        Category::Node => streams(What::IdRange, own(fold::<Node>(log, owner)?.holders().collect())),
        Category::Template => streams(What::Template, own(fold::<Template>(log, owner)?.holders().collect())),
        Category::Network => streams(What::Address, own(fold::<Network>(log, owner)?.holders().collect())),
        Category::Store => operations(What::Writer, fold::<Store>(log, owner)?.writers().collect()),
        Category::Container => {
            let state = fold::<Container>(log, owner)?;
            let keeper = state.keeper_of_old_files().map(|keeper| (Holder::Stream(keeper.clone()), What::OldFiles));
            operations(What::Hold, state.holders().collect()).into_iter().chain(keeper).collect()
        }
        Category::BackupGroup => {
            let state = fold::<BackupGroup>(log, owner)?;
            let pins = state.pins().map(|(backup, operation)| (Holder::Operation(operation), What::Pin(backup)));
            operations(What::Expected, state.expected().collect()).into_iter().chain(pins).collect()
        }
        _ => vec![],
    };
    Ok(found.into_iter().map(|(holder, what)| Claim { owner: owner.clone(), holder, what }).collect())
}

/// Is what a holder says of itself.
#[derive(Default)]
struct Told {
    busy: bool,
    having: BTreeSet<What>,
}

/// Is what one fact changes about that.
enum Turn {
    Gets(What),
    Gives(What),
    Ends,
    Nothing,
}

impl Told {
    fn read<E: DomainEvent>(
        log: &dyn EventLog,
        stream: &StreamName,
        turn: impl Fn(&E) -> Turn,
    ) -> Result<Option<Self>, ReadingError> {
        let mut told = Self::default();
        each::<E>(log, stream, |event, _| {
            match turn(&event) {
                Turn::Gets(what) => drop(told.having.insert(what)),
                Turn::Gives(what) => drop(told.having.remove(&what)),
                Turn::Ends => told.having.clear(),
                Turn::Nothing => {}
            }
            match event.mark() {
                Mark::Opened { .. } => told.busy = true,
                Mark::Closed { .. } => told.busy = false,
                Mark::Phase { .. } | Mark::Done { .. } | Mark::Fact => {}
            }
        })?;
        Ok(Some(told))
    }
}

/// Reads what a holder has from its own stream; nothing for a kind of stream that holds nothing.
fn having(log: &dyn EventLog, stream: &StreamName) -> Result<Option<Told>, ReadingError> {
    match stream.category() {
        Category::Container => Told::read(log, stream, turn_of_container),
        Category::Template => Told::read(log, stream, |event| match event {
            TemplateEvent::TemplateNameClaimed => Turn::Gets(What::Name),
            TemplateEvent::TemplateImportFailed { .. }
            | TemplateEvent::TemplateImportCancelled
            | TemplateEvent::TemplateDeleted => Turn::Ends,
            _ => Turn::Nothing,
        }),
        Category::Network => Told::read(log, stream, |event| match event {
            NetworkEvent::NetworkNameClaimed => Turn::Gets(What::Name),
            NetworkEvent::NetworkCreateFailed { .. } | NetworkEvent::NetworkDeleted => Turn::Ends,
            _ => Turn::Nothing,
        }),
        Category::Store => Told::read(log, stream, |event| match event {
            StoreEvent::StoreNameClaimed => Turn::Gets(What::Name),
            StoreEvent::StoreCreateFailed { .. } => Turn::Ends,
            _ => Turn::Nothing,
        }),
        Category::Schedule => Told::read(log, stream, |event| match event {
            ScheduleEvent::ScheduleCreated => Turn::Gets(What::Name),
            ScheduleEvent::ScheduleCreateFailed { .. } | ScheduleEvent::ScheduleDeleted => Turn::Ends,
            _ => Turn::Nothing,
        }),
        Category::RestoreJob => Told::read(log, stream, |event| match event {
            // The container is told at once to stand still; what it answers may never be heard.
            RestoreEvent::FilesRestored { .. } => Turn::Gets(What::OldFiles),
            RestoreEvent::RestoreFailed { .. }
            | RestoreEvent::RestoreCancelled
            | RestoreEvent::RestoreConfirmed
            | RestoreEvent::RestoreRolledBack
            | RestoreEvent::RestoreRolledBackWithExceptions { .. } => Turn::Ends,
            _ => Turn::Nothing,
        }),
        _ => Ok(None),
    }
}

fn turn_of_container(event: &ContainerEvent) -> Turn {
    match event {
        ContainerEvent::NameClaimed => Turn::Gets(What::Name),
        ContainerEvent::NameReleased => Turn::Gives(What::Name),
        ContainerEvent::IdRangeClaimed { .. } => Turn::Gets(What::IdRange),
        ContainerEvent::IdRangeReleased => Turn::Gives(What::IdRange),
        ContainerEvent::TemplateClaimed { .. } => Turn::Gets(What::Template),
        ContainerEvent::TemplateReleased => Turn::Gives(What::Template),
        ContainerEvent::AddressClaimed(_) => Turn::Gets(What::Address),
        ContainerEvent::AddressReleased => Turn::Gives(What::Address),
        ContainerEvent::CreateUndone { .. } | ContainerEvent::ContainerPurged => Turn::Ends,
        _ => Turn::Nothing,
    }
}

async fn release(registry: &Arc<Registry>, claim: &Claim) -> Result<(), CommandError> {
    let Claim { owner, holder, what } = claim;
    match (holder.clone(), *what) {
        (Holder::Stream(holder), What::Name) => {
            order::<Directory>(registry, owner, directory::Command::Release { holder }, None).await
        }
        (Holder::Stream(holder), What::IdRange) => {
            order::<Node>(registry, owner, node::Command::ReleaseIdRange { holder }, None).await
        }
        (Holder::Stream(holder), What::Template) => {
            order::<Template>(registry, owner, template::Command::Release { holder }, None).await
        }
        (Holder::Stream(holder), What::Address) => {
            order::<Network>(registry, owner, network::Command::Release { holder }, None).await
        }
        (Holder::Stream(by), What::OldFiles) => {
            order::<Container>(registry, owner, container::Command::ReleaseOldFiles { by }, None).await
        }
        (Holder::Operation(operation), What::Writer) => {
            order::<Store>(registry, owner, store::Command::CloseWriter { operation }, None).await
        }
        (Holder::Operation(operation), What::Expected) => {
            order::<BackupGroup>(registry, owner, backup_group::Command::Withdraw { operation }, None).await
        }
        (Holder::Operation(operation), What::Pin(backup)) => {
            order::<BackupGroup>(registry, owner, backup_group::Command::Unpin { backup, operation }, None).await
        }
        (Holder::Operation(operation), What::Hold) => {
            order::<Container>(registry, owner, container::Command::Unhold, Some(operation)).await
        }
        _ => Ok(()), // streams and operations claim different things
    }
}

/// Gives an order of the runtime itself; a hold is let go under the operation that placed it.
async fn order<A: Aggregate + Unpin>(
    registry: &Arc<Registry>,
    owner: &StreamName,
    command: A::Command,
    operation: Option<OperationId>,
) -> Result<(), CommandError> {
    let at = registry.house().clock.now();
    let operation = operation.unwrap_or_else(|| OperationId::derived(&format!("sweep/{owner}/{at}")));
    let (given, principal) = (Given { operation, at }, Principal::runtime());
    let order = Order { command, given, principal, idempotency: None, annex: None, mode: Mode::Commit };
    registry.perform::<A>(owner, order).await.map(drop)
}
