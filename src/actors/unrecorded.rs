//! What was done where nothing could be recorded, until it is.
//!
//! A stop works without the log. Until it is recorded nobody may take its container for one that ended by itself: it comes
//! before every other command to that container, and what the container's state owes waits for it. The host keeps it for a
//! later daemon, for as long as the boot lasts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::house::House;
use super::message::{CommandError, Idempotency, Mode, Order};
use super::registry::Registry;
use crate::domain::Given;
use crate::domain::container::{Command, Container};
use crate::types::{Category, ContainerId, OperationId, Principal, Span, StreamName, Timestamp};

/// Is a stop that nothing tells of but this.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UnrecordedStop {
    container: ContainerId,
    grace: Span,
    operation: OperationId,
    at: Timestamp,
    principal: Principal,
    idempotency: Option<Idempotency>,
    annex: Option<Vec<u8>>,
}

impl UnrecordedStop {
    /// Takes what it is to be recorded as from the order for it. Recorded while the grace lasts, it does not cut it short.
    pub fn new(container: ContainerId, grace: Span, order: Order<Command>) -> Self {
        let Order { given: Given { operation, at }, principal, idempotency, annex, .. } = order;
        Self { container, grace, operation, at, principal, idempotency, annex }
    }

    fn stream(&self) -> StreamName {
        StreamName::new(Category::Container, self.container)
    }

    fn order(&self) -> Order<Command> {
        Order {
            command: Command::Stop { grace: self.grace, parent: None },
            given: Given { operation: self.operation, at: self.at },
            principal: self.principal.clone(),
            idempotency: self.idempotency.clone(),
            annex: self.annex.clone(),
            mode: Mode::Commit,
        }
    }
}

/// Holds the one stop of a stream; whoever records it has it alone.
type Slot = Arc<tokio::sync::Mutex<Option<UnrecordedStop>>>;

/// Knows the streams that a stop is to be recorded in.
#[derive(Default)]
pub(super) struct Unrecorded(Mutex<HashMap<StreamName, Slot>>);

impl Unrecorded {
    /// Says whether one waits to be recorded in this stream.
    pub(super) fn is_in(&self, stream: &StreamName) -> bool {
        self.slots().contains_key(stream)
    }

    fn of(&self, stream: &StreamName) -> Option<Slot> {
        self.slots().get(stream).map(Arc::clone)
    }

    /// Takes it in; false where one waits already.
    fn add(&self, stop: UnrecordedStop) -> bool {
        let mut slots = self.slots();
        let is_new = !slots.contains_key(&stop.stream());
        slots.entry(stop.stream()).or_insert_with(|| Arc::new(tokio::sync::Mutex::new(Some(stop))));
        is_new
    }

    fn remove(&self, stream: &StreamName) {
        self.slots().remove(stream);
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<StreamName, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// Takes note of a stop before it is made; it is recorded as soon as it can be, whatever comes of it.
    pub fn owe_stop(self: &Arc<Self>, stop: UnrecordedStop) {
        keep(self.house(), &stop);
        self.record_in_time(stop);
    }

    /// Says whether a stop of this stream waits to be recorded.
    pub fn owes_stop(&self, stream: &StreamName) -> bool {
        self.unrecorded.is_in(stream)
    }

    /// Takes up what an earlier daemon could not record.
    pub fn take_up_unrecorded(self: &Arc<Self>) {
        for (container, kept) in self.house().host.unrecorded() {
            match serde_json::from_slice::<UnrecordedStop>(&kept) {
                Ok(stop) => self.record_in_time(stop),
                Err(error) => tracing::error!(%container, %error, "a stop that was not recorded cannot be read"),
            }
        }
    }

    fn record_in_time(self: &Arc<Self>, stop: UnrecordedStop) {
        let stream = stop.stream();
        if !self.unrecorded.add(stop) {
            return;
        }
        self.wake(&stream); // what is under way for it is called off
        let (mut pause, longest) = (self.house().retry.revival, self.house().retry.pause_max);
        let registry = Arc::downgrade(self);
        actix::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(registry) = registry.upgrade().filter(|registry| registry.still_owes(&stream)) else { return };
                if registry.house().store.refuses().is_none() {
                    pause = (pause * 2).min(longest);
                    let _ = registry.make_up(&stream).await; // why it is not recorded yet is known since it was made
                }
            }
        });
    }

    fn still_owes(&self, stream: &StreamName) -> bool {
        !self.is_closing() && self.unrecorded.is_in(stream)
    }

    /// Records the stop that was made without a record, if there is one: whatever else is to be decided in this stream is
    /// decided after it.
    pub(super) async fn make_up(self: &Arc<Self>, stream: &StreamName) -> Result<(), CommandError> {
        let Some(slot) = self.unrecorded.of(stream) else { return Ok(()) };
        let mut held = slot.lock().await;
        let Some(stop) = &*held else { return Ok(()) };
        match self.give::<Container>(stream, stop.order()).await {
            Ok(_) => {}
            Err(CommandError::Refused(refusal)) => {
                tracing::warn!(%stream, %refusal, "a stop that was made without a record is none for the log");
            }
            Err(error) => return Err(error),
        }
        let container = stop.container;
        *held = None;
        self.unrecorded.remove(stream);
        if let Err(failure) = self.house().host.keep_unrecorded(container, None) {
            tracing::warn!(%container, %failure, "a stop that is recorded now will be recorded again");
        }
        self.wake(stream);
        Ok(())
    }
}

fn keep(house: &House, stop: &UnrecordedStop) {
    let kept = serde_json::to_vec(stop).map_err(|error| error.to_string());
    let kept = kept.and_then(|text| {
        house.host.keep_unrecorded(stop.container, Some(&text)).map_err(|failure| failure.to_string())
    });
    if let Err(reason) = kept {
        tracing::warn!(container = %stop.container, reason, "a daemon that is started before this stop is recorded knows nothing of it");
    }
}
