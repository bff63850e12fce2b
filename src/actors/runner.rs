//! Carries out one try of one effect beside the actor, and brings the end of it back.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::house::House;
use super::message::{CommandError, Finished};
use super::registry::Registry;
use super::shell::Shell;
use crate::domain::Aggregate;
use crate::domain::effect::{Ask, Asked, Effect, Facts, Failure, HostEffect, Outcome};
use crate::effects::{Cancel, EffectContext};
use crate::events::EventReference;
use crate::types::{Clock, OperationId, Principal, StreamName, Timestamp, Version};
use actix::{Addr, System};

/// The longest sleep without a look at the clock: it may have been set, and machines are suspended.
const SLEEP_MAX: Duration = Duration::from_mins(1);

/// Sleeps until the clock shows `at`.
pub(super) async fn sleep_until(clock: Arc<dyn Clock>, at: Timestamp) {
    loop {
        let now = clock.now();
        if now >= at {
            return;
        }
        tokio::time::sleep(at.since(now).as_duration().min(SLEEP_MAX)).await;
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
            Err(error) => Outcome::Failed(Failure::transient(error.to_string())),
        };
        address.do_send(Finished { operation, step, attempt, outcome });
    });
    debug_assert!(System::try_current().is_some(), "asks are sent from actors");
}
