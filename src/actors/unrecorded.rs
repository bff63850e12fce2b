//! What was done where nothing could be recorded, until it is.
//!
//! A stop works without the log. Until it is recorded nobody may take its container for one that ended by itself: it comes
//! before every other command to that container, and what the container's state owes waits for it. Several are recorded in
//! the order in which they came, and whoever asked for each hears of it; of very many the last become one. The host keeps them
//! for a later daemon, for as long as the boot lasts.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::house::House;
use super::message::{CommandError, Idempotency, Mode, Order, Receipt};
use super::registry::Registry;
use crate::domain::Given;
use crate::domain::container::{Command, Container};
use crate::events::ContainerEvent;
use crate::storage::AppendError;
use crate::types::{Category, ContainerId, OperationId, Principal, Span, StreamName, Timestamp};

/// Is a stop that nothing tells of but this.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UnrecordedStop {
    container: ContainerId,
    grace: Span,
    operation: OperationId,
    at: Timestamp,
    principal: Principal,
    idempotency: Idempotency,
    annex: Option<Vec<u8>>,
}

impl UnrecordedStop {
    /// Takes what it is to be recorded as from the order for it. Recorded while the grace lasts, it does not cut it short.
    pub fn new(container: ContainerId, grace: Span, order: Order<Command>) -> Self {
        let Order { given: Given { operation, at }, principal, idempotency, annex, .. } = order;
        // It may be given again by a later daemon that does not know that it is recorded.
        let own = || Idempotency { key: format!("unrecorded/{operation}"), request: [0; 32] };
        let idempotency = idempotency.unwrap_or_else(own);
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
            idempotency: Some(self.idempotency.clone()),
            annex: self.annex.clone(),
            mode: Mode::Commit,
        }
    }
}

/// Is what became of a stop once it could be recorded.
pub type Recorded = Result<Receipt<ContainerEvent>, CommandError>;

/// How many stops of one container are recorded each for itself. The first may be under way to the log.
const EACH_MAX: usize = 8;

/// Is a stop that waits, and who is told.
struct Waiting {
    stop: UnrecordedStop,
    told: Vec<oneshot::Sender<Recorded>>,
}

/// Is what waits for one stream, the oldest first; never empty.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Whoever records has the turn: each stop is given once.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Queue {
    /// Takes a stop in behind the others. Where there are too many already, it is recorded in the place of the last, and grants
    /// no longer grace than that one did.
    fn take_in(&mut self, mut newest: Waiting) {
        if self.waiting.len() >= EACH_MAX
            && let Some(last) = self.waiting.pop_back()
        {
            newest.stop.grace = newest.stop.grace.min(last.stop.grace);
            newest.told.extend(last.told.into_iter().filter(|told| !told.is_closed()));
        }
        self.waiting.push_back(newest);
    }
}

/// Knows the streams that a stop is to be recorded in.
#[derive(Default)]
pub(super) struct Unrecorded {
    queues: Mutex<HashMap<StreamName, Queue>>,
    /// Whoever writes down what waits has the turn. Every command asks for the queues, and waits for no disk.
    writing: Mutex<()>,
}

impl Unrecorded {
    /// Says whether one waits to be recorded in this stream.
    pub(super) fn is_in(&self, stream: &StreamName) -> bool {
        self.queues().contains_key(stream)
    }

    fn turn_of(&self, stream: &StreamName) -> Option<Arc<tokio::sync::Mutex<()>>> {
        self.queues().get(stream).map(|queue| Arc::clone(&queue.turn))
    }

    fn first(&self, stream: &StreamName) -> Option<UnrecordedStop> {
        self.queues().get(stream)?.waiting.front().map(|first| first.stop.clone())
    }

    /// Takes it in behind those that wait already; says whether there was none.
    fn add(&self, house: &House, waiting: Waiting) -> bool {
        let (container, stream) = (waiting.stop.container, waiting.stop.stream());
        let was_none = {
            let mut queues = self.queues();
            let queue = queues.entry(stream.clone()).or_default();
            queue.take_in(waiting);
            queue.waiting.len() == 1
        };
        self.keep(house, container, &stream);
        was_none
    }

    /// Takes up what an earlier daemon kept of a container, in its order, and keeps nothing: it is kept already, and a part of it
    /// would stand for the whole if this daemon died.
    fn take_up(&self, stops: Vec<UnrecordedStop>) -> Option<StreamName> {
        let stream = stops.first()?.stream();
        let waiting = stops.into_iter().map(|stop| Waiting { stop, told: vec![] });
        self.queues().entry(stream.clone()).or_default().waiting.extend(waiting);
        Some(stream)
    }

    /// Takes the first one out, unless that is another by now.
    fn remove_first(&self, house: &House, stream: &StreamName, operation: OperationId) -> Option<Waiting> {
        let first = self.take_first(stream, operation)?;
        self.keep(house, first.stop.container, stream);
        Some(first)
    }

    fn take_first(&self, stream: &StreamName, operation: OperationId) -> Option<Waiting> {
        let mut queues = self.queues();
        let queue = queues.get_mut(stream)?;
        queue.waiting.front().filter(|first| first.stop.operation == operation)?;
        let first = queue.waiting.pop_front();
        if queue.waiting.is_empty() {
            queues.remove(stream);
        }
        first
    }

    /// Keeps what waits now to be recorded in a container's stream where a later daemon finds it.
    fn keep(&self, house: &House, container: ContainerId, stream: &StreamName) {
        let _turn = lock(&self.writing); // who has the last turn writes what is there last
        let stops: Vec<UnrecordedStop> =
            self.queues().get(stream).iter().flat_map(|queue| &queue.waiting).map(|one| one.stop.clone()).collect();
        let deed = (!stops.is_empty()).then(|| serde_json::to_vec(&stops)).transpose();
        let deed = deed.map_err(|error| error.to_string());
        let kept = deed.and_then(|deed| {
            house.host.keep_unrecorded(container, deed.as_deref()).map_err(|failure| failure.to_string())
        });
        if let Err(reason) = kept {
            tracing::warn!(%container, reason, "a later daemon does not know which stops of it are still to be recorded");
        }
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<StreamName, Queue>> {
        lock(&self.queues)
    }
}

impl Registry {
    /// Takes note of a stop before it is made; it is recorded as soon as it can be, whatever comes of it, and then told.
    pub fn owe_stop(self: &Arc<Self>, stop: UnrecordedStop) -> oneshot::Receiver<Recorded> {
        let (told, recorded) = oneshot::channel();
        let stream = stop.stream();
        if self.unrecorded.add(self.house(), Waiting { stop, told: vec![told] }) {
            self.record_in_time(stream);
        }
        recorded
    }

    /// Takes up what an earlier daemon could not record.
    pub fn take_up_unrecorded(self: &Arc<Self>) {
        for (container, kept) in self.house().host.unrecorded() {
            match serde_json::from_slice::<Vec<UnrecordedStop>>(&kept) {
                Ok(stops) => self.unrecorded.take_up(stops).into_iter().for_each(|stream| self.record_in_time(stream)),
                Err(error) => tracing::error!(%container, %error, "a stop that was not recorded cannot be read"),
            }
        }
    }

    fn record_in_time(self: &Arc<Self>, stream: StreamName) {
        self.wake(&stream); // what is under way for it is called off
        let (mut pause, longest) = (self.house().retry.revival, self.house().retry.pause_max);
        let registry = Arc::downgrade(self);
        actix::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(registry) = registry.upgrade().filter(|registry| registry.still_owes(&stream)) else { return };
                if registry.house().log.refuses().is_none() {
                    pause = (pause * 2).min(longest);
                    let _ = registry.make_up(&stream).await; // why it is not recorded yet is known since it was made
                }
            }
        });
    }

    fn still_owes(&self, stream: &StreamName) -> bool {
        !self.is_closing() && self.unrecorded.is_in(stream)
    }

    /// Records the stops that were made without a record, if there are any: whatever else is to be decided in this stream is
    /// decided after them.
    pub(super) async fn make_up(self: &Arc<Self>, stream: &StreamName) -> Result<(), CommandError> {
        let Some(turn) = self.unrecorded.turn_of(stream) else { return Ok(()) };
        let _turn = turn.lock().await;
        while let Some(stop) = self.unrecorded.first(stream) {
            let recorded = self.give::<Container>(stream, stop.order()).await;
            match &recorded {
                Ok(_) => {}
                Err(CommandError::Refused(refusal)) => {
                    tracing::warn!(%stream, %refusal, "a stop that was made without a record is none for the log");
                }
                // It will never be taken, and what waits behind it must not wait for ever.
                Err(CommandError::Log(error @ (AppendError::KeyReused { .. } | AppendError::TooLarge { .. }))) => {
                    tracing::warn!(%stream, %error, "a stop that was made without a record cannot be recorded");
                }
                Err(_) => return recorded.map(drop),
            }
            let first = self.unrecorded.remove_first(self.house(), stream, stop.operation);
            for told in first.into_iter().flat_map(|first| first.told) {
                let _ = told.send(recorded.clone()); // who asked may have gone
            }
        }
        self.wake(stream);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
