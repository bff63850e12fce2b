//! Carries out one try of one effect beside the actor, and brings the end of it back.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::house::House;
use super::message::{CommandError, Finished};
use super::registry::Registry;
use super::shell::Shell;
use crate::domain::effect::{Ask, Asked, Due, Effect, Facts, Failure, HostEffect, Outcome};
use crate::domain::{Aggregate, RefusalClass};
use crate::effects::{Cancel, EffectContext};
use crate::events::EventReference;
use crate::storage::AppendError;
use crate::types::{ClockWatch, OperationId, Position, Principal, Span, StreamName, Timestamp, Trust, Version};
use actix::{Addr, System};

/// The longest sleep without a look at the clock: it may have been set, and machines are suspended.
const SLEEP_MAX: Duration = Duration::from_mins(1);

/// How often a clock that is not trusted is asked about by what waits for nothing else.
const DOUBT: Duration = Duration::from_secs(5);

/// Waits until it is due; `since` is the place in the log of the moment that it names.
pub(super) async fn wait(watch: Arc<ClockWatch>, due: Due, since: Position) {
    match due {
        Due::Now => {}
        Due::Soon(at) => pass(&watch, at, since).await,
        Due::Trusted(at) => {
            while !is_over(&watch, at, since) || watch.trust() != Trust::Sure {
                let left = watch.moved(at, since).since(watch.now()).as_duration();
                tokio::time::sleep(if left.is_zero() { DOUBT } else { left.min(SLEEP_MAX) }).await;
            }
        }
    }
}

fn is_over(watch: &ClockWatch, at: Timestamp, since: Position) -> bool {
    watch.now() >= watch.moved(at, since)
}

/// Lets the time pass that is left now, by the time since boot: a clock that is set meanwhile makes it neither longer nor
/// shorter.
async fn pass(watch: &ClockWatch, at: Timestamp, since: Position) {
    let left = watch.moved(at, since).since(watch.now());
    let end = watch.up().map(|up| up.as_micros().saturating_add(left.as_micros()));
    loop {
        let left = match (end, watch.up()) {
            (Some(end), Some(up)) => Span::from_micros(end - up.as_micros()),
            _ => watch.moved(at, since).since(watch.now()),
        };
        if left == Span::default() {
            return;
        }
        tokio::time::sleep(left.as_duration().min(SLEEP_MAX)).await;
    }
}

/// Has the host do its work on a thread that may block.
pub(super) fn host<A: Aggregate + Unpin>(
    house: &Arc<House>,
    address: Addr<Shell<A>>,
    stream: &StreamName,
    effect: &Effect,
    work: HostEffect,
    (attempt, cancel): (u32, Cancel),
) {
    let context = EffectContext {
        stream: stream.clone(),
        operation: effect.operation,
        step: effect.step,
        cancel,
        progress: house.progress_sink(),
    };
    let (operation, step, lane, host) = (effect.operation, effect.step, house.lane(stream), Arc::clone(&house.host));
    tokio::task::spawn_blocking(move || {
        let _turn = lane.lock().unwrap_or_else(PoisonError::into_inner);
        let attempted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| host.perform(&work, &context)));
        let result = attempted
            .unwrap_or_else(|_| Err(Failure::permanent(format!("{} panicked; see the daemon's log", work.name()))));
        let outcome = match result {
            Ok(facts) => Outcome::Done(facts),
            Err(failure) => Outcome::Failed(failure),
        };
        address.do_send(Finished { operation, step, attempt, outcome });
    });
}

/// Has the host do a work that no plan owes, in its turn among those of the stream: for what cannot be recorded.
///
/// # Errors
/// What the host says.
pub async fn at_once(
    house: &Arc<House>,
    stream: &StreamName,
    operation: OperationId,
    work: HostEffect,
) -> Result<Facts, Failure> {
    let (cancel, progress) = (Cancel::default(), house.progress_sink());
    let context = EffectContext { stream: stream.clone(), operation, step: "unrecorded", cancel, progress };
    let (lane, host) = (house.lane(stream), Arc::clone(&house.host));
    let done = tokio::task::spawn_blocking(move || {
        let _turn = lane.lock().unwrap_or_else(PoisonError::into_inner);
        host.perform(&work, &context)
    });
    done.await.unwrap_or_else(|error| Err(Failure::permanent(format!("the work did not end: {error}"))))
}

/// Asks another aggregate.
pub(super) fn ask<A: Aggregate + Unpin>(
    registry: Arc<Registry>,
    address: Addr<Shell<A>>,
    (by, version, principal): (StreamName, Version, Principal),
    effect: &Effect,
    (to, ask): (StreamName, Ask),
    attempt: u32,
) {
    let at = registry.house().clock.now();
    let (operation, step) = (effect.operation, effect.step);
    let causation = Some(EventReference { stream: by.clone(), version });
    let asked = Asked { operation: ask.operation(operation, step), ask, by, step, at, principal };
    actix::spawn(async move {
        let outcome = match registry.ask(&to, asked, causation).await {
            Ok(answer) => Outcome::Answered(answer),
            Err(CommandError::Refused(refusal)) => Outcome::Refused(refusal),
            Err(error @ CommandError::Parked { .. }) => Outcome::Failed(Failure::permanent(error.to_string())),
            Err(error) => Outcome::Failed(Failure::transient(error.to_string()).classed(class_of(&error))),
        };
        address.do_send(Finished { operation, step, attempt, outcome });
    });
    debug_assert!(System::try_current().is_some(), "asks are sent from actors");
}

fn class_of(error: &CommandError) -> Option<RefusalClass> {
    match error {
        CommandError::Busy { .. } | CommandError::Log(AppendError::Busy { .. }) => Some(RefusalClass::Conflict),
        CommandError::Log(AppendError::NoSpace { .. }) => Some(RefusalClass::Limit),
        _ => None,
    }
}
