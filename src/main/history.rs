//! Accepts a log that is not the one that was signed: rolled back, or another one.

use std::sync::Arc;

use berth::actors::Replica;
use berth::api::own_principal;
use berth::cli::{AcceptArguments, Accepted};
use berth::domain::node::{Command, Node};
use berth::domain::{Aggregate, Given};
use berth::effects::clock::SystemClock;
use berth::events::{self, Context, NewEvent};
use berth::projections;
use berth::storage::{Commit, Divergence, EventStore, Expected, Options, SqliteStore, merkle};
use berth::types::{Category, Clock, OperationId, StreamName};

use super::identity;

type Failure = Box<dyn std::error::Error>;

/// Opens the log of a state directory without a daemon, and records that it is the true one; nothing if none other was signed.
pub(crate) fn accept(arguments: &AcceptArguments) -> Result<Option<Accepted>, String> {
    try_accept(arguments).map_err(|error| error.to_string())
}

fn try_accept(arguments: &AcceptArguments) -> Result<Option<Accepted>, Failure> {
    let missing = || format!("no daemon ever ran on the state directory {}", arguments.state.display());
    let identity = identity::found(&arguments.state)?.ok_or_else(missing)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let keys = arguments.key_dir.clone().unwrap_or_else(identity::key_directory);
    let mut options = Options::new(Arc::clone(&clock), &keys, super::daemon::space_probe());
    (options.projections, options.any_history) = (projections::all(), true);
    let store = SqliteStore::open(&arguments.state, options)?;
    let Some(found) = store.divergence().cloned() else { return Ok(None) };
    let mut accepted = told(&found);
    if arguments.dry_run {
        return Ok(Some(accepted));
    }
    // What was signed is kept first: after a crash in between it is asked again, and nothing is forgotten.
    accepted.kept = Some(store.set_aside(&found)?.display().to_string());
    let commit = commit(&store, &identity, &*clock, &found, arguments.reason.as_deref())?;
    store.append(commit).blocking_recv()??;
    store.seal().blocking_recv()??;
    store.close();
    Ok(Some(accepted))
}

fn told(found: &Divergence) -> Accepted {
    Accepted {
        reason: found.reason.clone(),
        signed: found.recorded.size,
        events: found.head.position.get(),
        root: merkle::hex(&found.head.root),
        kept: None,
    }
}

fn commit(
    store: &SqliteStore,
    identity: &identity::Identity,
    clock: &dyn Clock,
    found: &Divergence,
    reason: Option<&str>,
) -> Result<Commit, Failure> {
    let stream = StreamName::new(Category::Node, identity.node);
    let node = Replica::<Node>::read(store, &stream)?;
    let given = Given { operation: OperationId::from_bytes(berth::sys::random::bytes()?), at: clock.now() };
    let command = Command::AcceptHistory {
        signed: found.recorded.size,
        signed_root: merkle::hex(&found.recorded.root),
        signed_at: found.recorded.sealed_at,
        events: found.head.position.get(),
        root: merkle::hex(&found.head.root),
    };
    let facts = node.state.decide(&command, given)?;
    let annex = reason.map(|reason| serde_json::to_vec(&serde_json::json!({ "reason": reason }))).transpose()?;
    let mut events: Vec<NewEvent> = facts.iter().map(|fact| events::encode(fact, None)).collect::<Result<_, _>>()?;
    if let Some(first) = events.first_mut() {
        first.annex = annex;
    }
    let context = Context {
        wall_clock: given.at,
        boot: berth::kernel::identity::boot_id()?,
        principal: own_principal(),
        operation: given.operation,
        causation: None,
        node: identity.node,
    };
    Ok(Commit { stream, expected: Expected::Version(node.version), key: None, request_hash: [0; 32], context, events })
}
