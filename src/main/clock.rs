//! The clock of the daemon: what became of it while no daemon ran, how a step is recorded, and when it is trusted again.

use std::sync::Arc;
use std::time::Duration;

use berth::actors::Registry;
use berth::api::resources::DoctorFinding;
use berth::domain::clock::{self, Before, Clock, Found};
use berth::events::{self, ClockEvent, Context, NewEvent};
use berth::projections::query::{Moment, Query, QueryError, doubt};
use berth::storage::{Commit, Expected, Timekeeper};
use berth::types::{Category, ClockWatch, NodeId, OperationId, Principal, Step, StreamName, Trust};
use tokio::sync::watch;

use super::start::tell;

/// How often a clock that is doubted is asked about.
const LOOK: Duration = Duration::from_secs(5);

fn stream(node: NodeId) -> StreamName {
    StreamName::new(Category::Clock, node)
}

/// Returns what has the log record the steps of its clock.
pub(crate) fn timekeeper(watch: &Arc<ClockWatch>, node: NodeId, boot: &str) -> Timekeeper {
    let boot = boot.to_owned();
    Timekeeper { watch: Arc::clone(watch), told: Box::new(move |step| told(*step, node, boot.clone())) }
}

fn told(step: Step, node: NodeId, boot: String) -> Commit {
    let fact = ClockEvent::from(step);
    let operation = OperationId::derived(&format!("clock/{node}/{}/{}", step.from, step.to));
    let context =
        Context { wall_clock: step.to, boot, principal: Principal::runtime(), operation, causation: None, node };
    let events: Vec<NewEvent> = events::encode(&fact, None).into_iter().collect();
    Commit { stream: stream(node), expected: Expected::Any, key: None, request_hash: [0; 32], context, events }
}

/// Looks at the clock before anybody acts by it: a step between two runs is recorded before everything else.
pub(crate) fn judge(watch: &ClockWatch, query: &Query, boot: &str) -> Result<(), QueryError> {
    let row = query.clock(Moment::Now)?;
    let last = query.as_of(Moment::Now)?.time;
    watch.restore(row.steps.iter().map(|taken| (taken.position, taken.step)).collect(), row.doubted);
    let Some(found) = found(watch, boot) else { return Ok(()) };
    let before = last.map(|last| Before { last, boot: row.boot.zip(row.up_since) });
    if let Some(step) = before.as_ref().and_then(|before| clock::step_between(before, &found)) {
        watch.suspect(step);
    }
    if let Some(until) = clock::settles_until(before.as_ref(), &found) {
        watch.settle_until(until);
    }
    Ok(())
}

fn found(watch: &ClockWatch, boot: &str) -> Option<Found> {
    let (wall, up) = (watch.now(), watch.up()?);
    Some(Found { wall, up, boot: boot.to_owned(), is_synchronised: watch.is_synchronised() })
}

/// Records when this boot began, once per boot.
pub(crate) async fn time_boot(registry: &Arc<Registry>) {
    let house = registry.house();
    let Some(found) = found(&house.watch, &house.boot) else { return };
    let (boot, up_since) = (found.boot.clone(), found.up_since());
    tell::<Clock>(registry, &stream(house.node), clock::Command::TimeBoot { boot, up_since }).await;
}

/// Lets the watch know what is said of the clock, until the daemon ends: by people, or by a time service that has it now.
pub(crate) async fn follow(registry: Arc<Registry>, mut ending: watch::Receiver<bool>) {
    let house = Arc::clone(registry.house());
    let mut changes = house.log.subscribe(house.log.head().position);
    loop {
        if house.watch.trust() == Trust::Doubted && house.watch.is_synchronised() {
            registry.read_on(&stream(house.node));
            tell::<Clock>(&registry, &stream(house.node), clock::Command::ReportSynchronised).await;
        }
        let doubted = house.watch.trust() == Trust::Doubted;
        tokio::select! {
            change = changes.next() => match change {
                Ok(event) => hear(&house.watch, &event),
                Err(berth::storage::SubscriptionError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "the log cannot be followed");
                    tokio::time::sleep(LOOK).await;
                }
            },
            () = tokio::time::sleep(LOOK), if doubted => {}
            _ = ending.wait_for(|ending| *ending) => return,
        }
    }
}

fn hear(watch: &ClockWatch, event: &events::Envelope) {
    if event.stream.category() != Category::Clock {
        return;
    }
    let fact = events::decode::<ClockEvent>(&event.kind, event.schema, &event.body);
    if matches!(fact, Ok(ClockEvent::ClockConfirmed | ClockEvent::ClockSynchronised)) {
        watch.confirm(event.position);
    }
}

/// Says in the doctor's words what the clock is good for.
pub(crate) fn finding(watch: &ClockWatch, query: &Query) -> DoctorFinding {
    let kept = if watch.is_synchronised() { "a time service keeps it" } else { "no time service keeps it" };
    let trust = watch.trust();
    let stepped = query.clock(Moment::Now).ok().and_then(|row| row.steps.last().copied());
    let reason = match (trust, stepped) {
        (Trust::Doubted, Some(step)) => doubt(&step),
        (Trust::Doubted, None) => "it stepped; nothing is deleted or caught up".to_owned(),
        (Trust::Settling, _) => {
            format!("{kept}, and the machine came up not long ago: nothing is deleted or caught up yet")
        }
        (Trust::Sure, _) => kept.to_owned(),
    };
    let ok = trust == Trust::Sure;
    let fix = (trust == Trust::Doubted)
        .then(|| "look at it (date), put it right if need be, then: berth node confirm-clock".to_owned());
    DoctorFinding { feature: "clock".to_owned(), required: false, spoilt: false, ok, reason, fix }
}
