//! Accepts a log that is not the one that was signed: rolled back, or another one.

use std::sync::Arc;

use berth::actors::Replica;
use berth::api::client::Started;
use berth::api::resources::{AcceptedHistory, DoctorFinding};
use berth::api::{Acceptance, own_principal};
use berth::cli::AcceptArguments;
use berth::domain::node::{Command, Node};
use berth::domain::{Aggregate, Given};
use berth::effects::clock::SystemClock;
use berth::events::{self, Context, NewEvent};
use berth::projections;
use berth::storage::{Commit, Divergence, Expected, KeyTrouble, Options, Purpose, SqliteLog, merkle};
use berth::types::{Category, Clock, NodeId, OperationId, StreamName};

use super::identity;

type Failure = Box<dyn std::error::Error>;

/// Opens the log of a state directory without a daemon, and records that it is the true one; nothing if none other was signed.
pub(crate) fn accept(arguments: &AcceptArguments) -> Result<Option<AcceptedHistory>, String> {
    accept_alone(arguments).map_err(|error| error.to_string())
}

fn accept_alone(arguments: &AcceptArguments) -> Result<Option<AcceptedHistory>, Failure> {
    let missing = || format!("no daemon ever ran on the state directory {}", arguments.state.display());
    let identity = identity::found(&arguments.state)?.ok_or_else(missing)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let named = || Started::of(&arguments.state).and_then(|started| started.key_dir);
    let keys = arguments.key_dir.clone().or_else(named).unwrap_or_else(identity::key_directory);
    let mut options = Options::new(Arc::clone(&clock), &keys, super::daemon::space_probe());
    options.projections = projections::all();
    options.purpose = if arguments.dry_run { Purpose::Look } else { Purpose::Amend };
    let store = SqliteLog::open(&arguments.state, options)?;
    let reason = arguments.reason.as_deref().map(|reason| serde_json::to_vec(&serde_json::json!({ "reason": reason })));
    let word = Acceptance {
        principal: own_principal(),
        operation: OperationId::from_bytes(berth::sys::random::bytes()?),
        annex: reason.transpose()?,
        dry_run: arguments.dry_run,
    };
    let accepted = accept_in(&store, identity.node, &*clock, &word);
    store.close();
    accepted
}

/// Records that the log of a store is the true one, which may be at work; nothing if none other was signed.
///
/// # Errors
/// The key directory, or the log, does not take it.
pub(crate) fn accept_in(
    store: &SqliteLog,
    node: NodeId,
    clock: &dyn Clock,
    word: &Acceptance,
) -> Result<Option<AcceptedHistory>, Failure> {
    let Some(found) = store.divergence() else { return Ok(None) };
    let mut accepted = told(&found);
    if word.dry_run {
        return Ok(Some(accepted));
    }
    // What was signed is kept first: after a crash in between it is asked again, and nothing is forgotten.
    accepted.kept = Some(store.set_aside(&found)?.display().to_string());
    let commit = commit(store, node, clock, &found, word)?;
    store.accept(commit).blocking_recv()??;
    Ok(Some(accepted))
}

fn told(found: &Divergence) -> AcceptedHistory {
    AcceptedHistory {
        reason: found.reason.clone(),
        signed: found.recorded.size,
        events: found.head.position.get(),
        root: merkle::hex(&found.head.root),
        kept: None,
    }
}

fn commit(
    store: &SqliteLog,
    node: NodeId,
    clock: &dyn Clock,
    found: &Divergence,
    word: &Acceptance,
) -> Result<Commit, Failure> {
    let stream = StreamName::new(Category::Node, node);
    let replica = Replica::<Node>::read(store, &stream)?;
    let given = Given { operation: word.operation, at: clock.now() };
    let command = Command::AcceptHistory {
        signed: found.recorded.size,
        signed_root: merkle::hex(&found.recorded.root),
        signed_at: found.recorded.sealed_at,
        events: found.head.position.get(),
        root: merkle::hex(&found.head.root),
    };
    let facts = replica.state.decide(&command, given)?;
    let mut events: Vec<NewEvent> = facts.iter().map(|fact| events::encode(fact, None)).collect::<Result<_, _>>()?;
    if let Some(first) = events.first_mut() {
        first.annex.clone_from(&word.annex);
    }
    let context = Context {
        wall_clock: given.at,
        boot: berth::kernel::identity::boot_id()?,
        principal: word.principal.clone(),
        operation: word.operation,
        causation: None,
        node,
    };
    let expected = Expected::Version(replica.version);
    Ok(Commit { stream, expected, key: None, request_hash: [0; 32], context, events })
}

/// Says in the doctor's words whether the log is the one that was signed.
pub(crate) fn finding(found: Option<&Divergence>) -> DoctorFinding {
    let (feature, required, ok) = ("history".to_owned(), true, found.is_none());
    let reason = found.map_or_else(|| "the log is the one that was signed".to_owned(), Divergence::to_string);
    let fix = found.map(|found| found.cure().to_owned());
    DoctorFinding { feature, required, spoilt: false, ok, reason, fix }
}

/// Says in the doctor's words whether the keys are those of the log.
pub(crate) fn key_finding(trouble: Option<&KeyTrouble>) -> DoctorFinding {
    let (feature, required, ok) = ("keys".to_owned(), true, trouble.is_none());
    let fix = trouble.map(KeyTrouble::cure);
    let reason = trouble.map_or_else(|| "those that signed the log are there".to_owned(), KeyTrouble::to_string);
    DoctorFinding { feature, required, spoilt: false, ok, reason, fix }
}
