//! What a daemon does before and after it serves: introduces itself, makes what is shown true, starts what starts with
//! the node, and takes leave.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth::actors::{CommandError, Mode, Order, Registry, Replica, at_once, reconcile, sweep};
use berth::domain::effect::HostEffect;
use berth::domain::{Aggregate, Given, network, node};
use berth::effects::Observation;
use berth::effects::access::Access;
use berth::effects::linux::network::Networks;
use berth::projections::query::{ContainerFilter, Moment, OperationFilter, Query, QueryError};
use berth::projections::rows::{ContainerState, ThingState};
use berth::storage::SqliteLog;
use berth::types::{Category, ContainerId, NetworkId, OperationId, Principal, StreamName, Version};
use tokio::sync::watch;

use super::daemon::{Setup, free_subnet};
use super::neighbours;

/// The network that is there from the first start on.
const DEFAULT_NETWORK: &str = "default";
/// How long its making is waited for at the first start.
const NETWORK_PATIENCE: Duration = Duration::from_secs(5);
/// The shortest and the longest pause before it is tried again to remove what was to be redacted: each try holds up the log
/// while it waits for who reads it.
const REDACTION_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));

/// Gives a command in the runtime's own name; a refusal is logged and changes nothing. Says whether it was recorded.
pub(crate) async fn tell<A: Aggregate + Unpin>(
    registry: &Arc<Registry>,
    stream: &StreamName,
    command: A::Command,
) -> bool {
    let drawn = berth::sys::random::bytes().unwrap_or_default();
    let order = Order {
        command,
        given: Given { operation: OperationId::from_bytes(drawn), at: registry.house().clock.now() },
        principal: Principal::runtime(),
        idempotency: None,
        annex: None,
        mode: Mode::Commit,
    };
    match registry.perform::<A>(stream, order).await {
        Ok(_) => return true,
        Err(CommandError::Refused(refusal)) => tracing::debug!(%stream, %refusal, "refused"),
        Err(error) => tracing::warn!(%stream, %error, "not recorded"),
    }
    false
}

fn own_stream(registry: &Registry) -> StreamName {
    StreamName::new(Category::Node, registry.house().node)
}

/// Records who runs here, under which boot, and which ids belong to others.
pub(crate) async fn introduce(registry: &Arc<Registry>, setup: &Setup) {
    let stream = own_stream(registry);
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let instance = setup.identity.instance.clone();
    let hostname = read("/proc/sys/kernel/hostname");
    tell::<node::Node>(registry, &stream, node::Command::Initialise { hostname, instance }).await;
    let kernel = read("/proc/sys/kernel/osrelease");
    tell::<node::Node>(registry, &stream, node::Command::ReportBoot { boot: setup.boot.clone(), kernel }).await;
    let mut foreign = foreign_ranges(&read("/etc/subuid"));
    if berth::sys::process::effective_user() == 0 {
        match neighbours::foreign_ids(&setup.state, &setup.identity.instance) {
            Ok(ranges) => foreign.extend(ranges),
            Err(error) => tracing::error!(%error, "the ids of other daemons on this host are not known"),
        }
    }
    tell::<node::Node>(registry, &stream, node::Command::ForbidRanges(foreign)).await;
    let berth = env!("CARGO_PKG_VERSION").to_owned();
    tell::<node::Node>(registry, &stream, node::Command::ReportDaemonStarted { berth }).await;
}

/// Ends what runs of containers that the log does not know: an earlier log was put back. Their names, addresses and ids are
/// free by that log, and given to others.
pub(crate) async fn end_unknown(registry: &Arc<Registry>) {
    let (house, own) = (Arc::clone(registry.house()), own_stream(registry));
    let observed = house.host.observed().unwrap_or_else(|failure| {
        tracing::error!(%failure, "whether containers run that the log does not know is not known");
        vec![]
    });
    for container in observed {
        let stream = StreamName::new(Category::Container, container);
        if !house.log.read_stream(&stream, Version::default(), 1).is_ok_and(|events| events.is_empty()) {
            continue;
        }
        tracing::error!(%container, "the log knows nothing of a container that is there: what runs of it is ended");
        if !tell::<node::Node>(registry, &own, node::Command::ReportUnknownContainer(container)).await {
            continue; // it is looked for at each start
        }
        let operation = OperationId::from_bytes(berth::sys::random::bytes().unwrap_or_default());
        if let Err(failure) = at_once(&house, &stream, operation, HostEffect::EnsureStopped { container }).await {
            tracing::error!(%container, %failure, "it is not ended");
        }
    }
}

/// Reads the ranges that subuid(5) gives to others.
fn foreign_ranges(subuid: &str) -> Vec<(u32, u32)> {
    let range = |line: &str| {
        let mut fields = line.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    subuid.lines().filter_map(range).collect()
}

/// Removes what was to be redacted when a daemon died. As long as somebody who reads the log, or a full disk, keeps the text in
/// its files, that is tried again.
pub(crate) async fn finish_redactions(
    store: &Arc<SqliteLog>,
    registry: &Arc<Registry>,
    mut ending: watch::Receiver<bool>,
) {
    if redact_again(store, registry).await {
        return;
    }
    let (store, registry) = (Arc::clone(store), Arc::clone(registry));
    actix::spawn(async move {
        let mut pause = REDACTION_PAUSES.0;
        while tokio::time::timeout(pause, ending.changed()).await.is_err() {
            pause = (pause * 2).min(REDACTION_PAUSES.1);
            if redact_again(&store, &registry).await {
                return tracing::info!("what was redacted is gone from the log's files");
            }
        }
    });
}

async fn redact_again(store: &SqliteLog, registry: &Registry) -> bool {
    let redacted = match Replica::<node::Node>::read(store, &own_stream(registry)) {
        Ok(replica) => store.redact(replica.state.redacted().collect()).await,
        Err(error) => {
            tracing::error!(%error, "redactions cannot be finished");
            return false;
        }
    };
    let reason = match redacted {
        Ok(Ok(_)) => return true,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the log is closed".to_owned(),
    };
    tracing::error!(reason, "what was redacted may still be readable in the log's files; it is tried again");
    false
}

/// Removes command lines that nothing refers to: of a creation that was never recorded, or redacted and purged since.
pub(crate) fn forget_commands(query: &Query, access: &dyn Access) {
    let unneeded = query.needed_commands().map_err(|error| error.to_string()).and_then(|needed| {
        let kept = access.kept_commands().map_err(|failure| failure.to_string())?;
        let gone = kept.into_iter().filter(|command| !needed.contains(command));
        gone.into_iter().try_for_each(|command| access.forget_command(command)).map_err(|failure| failure.to_string())
    });
    if let Err(reason) = unneeded {
        tracing::error!(%reason, "command lines that nobody needs are kept");
    }
}

/// Looks at everything that the log says is running, so that every state shown is true when the API opens.
pub(crate) async fn settle(
    registry: &Arc<Registry>,
    query: &Query,
    access: &Arc<dyn Access>,
) -> Result<(), QueryError> {
    let boot = registry.house().boot.clone();
    for row in query.networks(false, Moment::Now)? {
        let stream = StreamName::new(Category::Network, row.id);
        tell::<network::Network>(registry, &stream, network::Command::ReportBoot { boot: boot.clone() }).await;
    }
    let rows = query.containers(&ContainerFilter::default(), Moment::Now)?;
    let running: Vec<ContainerId> = rows.iter().filter(|row| row.init.is_some()).map(|row| row.id).collect();
    reconcile::settle(registry, &running).await;
    close_sessions(registry, query, access).await
}

/// Closes the sessions that their supervisor does not know any more: how they ended nobody can tell.
async fn close_sessions(registry: &Arc<Registry>, query: &Query, access: &Arc<dyn Access>) -> Result<(), QueryError> {
    for row in query.open_sessions()? {
        if access.sessions(row.container).contains(&row.id) {
            continue;
        }
        let reason = match registry.house().host.observe(row.container) {
            Observation::Running { .. } => "it ended while no daemon ran",
            _ => "its container does not run any more",
        };
        reconcile::close_session(registry, row.id, None, Some(reason.to_owned())).await;
    }
    Ok(())
}

/// Frees what the dead left claimed, before anybody alive goes on.
pub(crate) async fn sweep(registry: &Arc<Registry>, query: &Query) -> Result<(), QueryError> {
    let owners = query.owners(registry.house().node)?;
    let swept = sweep::sweep(registry, &owners, open_operations(query)?).await;
    if !swept.left.is_empty() || !swept.unread.is_empty() {
        let (left, unread) = (swept.left.len(), swept.unread.len());
        tracing::warn!(left, unread, "not every claim of the dead is released");
    }
    Ok(())
}

fn open_operations(query: &Query) -> Result<BTreeSet<OperationId>, QueryError> {
    let filter = OperationFilter { open: true, ..OperationFilter::default() };
    Ok(query.operations(&filter, Moment::Now)?.iter().map(|row| row.id).collect())
}

/// Starts what starts with the node; what runs already takes it for done.
pub(crate) async fn autostart(registry: &Arc<Registry>, query: &Query) {
    let query = query.clone();
    let rows = tokio::task::spawn_blocking(move || query.containers(&ContainerFilter::default(), Moment::Now)).await;
    let rows = rows.ok().and_then(Result::ok).unwrap_or_default();
    let wanted: Vec<ContainerId> = rows.iter().filter(|row| row.configuration.autostart).map(|row| row.id).collect();
    reconcile::autostart(registry, &wanted).await;
}

/// Says whether the node went down since the log was last written: then what starts with it is to start.
pub(crate) fn has_rebooted(query: &Query, setup: &Setup) -> bool {
    let known = query.node(Moment::Now).ok().flatten().and_then(|row| row.boot);
    known.is_some_and(|boot| boot != setup.boot)
}

/// Makes the NAT network that containers join unless told otherwise.
pub(crate) async fn default_network(registry: &Arc<Registry>, query: &Query, setup: &Setup, can_start: bool) {
    let there = query.networks(true, Moment::Now).is_ok_and(|rows| !rows.is_empty());
    if there || !can_start {
        return;
    }
    let subnet = match free_subnet(&[], &setup.identity.instance) {
        Ok(subnet) => subnet,
        Err(failure) => return tracing::warn!(%failure, "no default network"),
    };
    let id = NetworkId::derived(&format!("{}/{DEFAULT_NETWORK}", setup.identity.node));
    let bridge = Networks::new(&setup.identity.instance, &setup.run).bridge_name(id);
    let Ok(name) = DEFAULT_NETWORK.parse() else { return };
    let command = network::Command::Define { id, name, subnet, bridge };
    tell::<network::Network>(registry, &StreamName::new(Category::Network, id), command).await;
    // The first container of all is not to be refused because its network is still being made.
    let patience = Instant::now() + NETWORK_PATIENCE;
    while query.network(DEFAULT_NETWORK, Moment::Now).is_ok_and(|row| row.state == ThingState::Creating) {
        if Instant::now() > patience {
            return tracing::warn!("the default network is still being made");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Records that the daemon ends in order.
pub(crate) async fn take_leave(registry: &Arc<Registry>) {
    tell::<node::Node>(registry, &own_stream(registry), node::Command::ReportDaemonStopped).await;
}

/// Says whether no container is left, not even in a grave: then nothing on the host needs this instance's marks.
pub(crate) fn is_empty(query: &Query) -> bool {
    let all = ContainerFilter { all: true, ..ContainerFilter::default() };
    let gone = |state| matches!(state, ContainerState::Purged | ContainerState::Failed);
    query.containers(&all, Moment::Now).is_ok_and(|rows| rows.iter().all(|row| gone(row.rest)))
}
