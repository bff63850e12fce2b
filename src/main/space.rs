//! Watches the room that containers write into, and has them stand still before what they write is lost.
//!
//! A container's disk takes room on the host only as it is filled. When the host has none left, what the container has
//! written already cannot reach its disk, and its file system turns read-only. So it is to stand still while there is
//! room for all that it has written and no disk has yet, and for what it can write until it is looked at again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth::actors::{Mode, Order, Registry};
use berth::domain::Given;
use berth::domain::container::{Command, Container};
use berth::effects::access::Access;
use berth::projections::query::{ContainerFilter, Moment, Query};
use berth::projections::rows::{ContainerRow, ContainerState, OperationState};
use berth::storage::Watermarks;
use berth::types::{Category, ContainerId, OperationId, Principal, Size, StreamName};
use futures_util::future::join_all;
use tokio::sync::watch;

/// The most that is taken to be written in a second: memory is filled faster than any disk.
const BYTES_PER_SECOND: u64 = 2 << 30;
/// The shortest and the longest time between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// The most that is kept free: what is written while containers are found, told and held still, many times over.
const RESERVE_MAX: u64 = 1 << 30;
/// How soon a container whose pause came to nothing is told again: each time is two events in a log that has little room.
const AGAIN: Duration = Duration::from_secs(10);

/// Is what is known from one look to the next.
struct Watch {
    registry: Arc<Registry>,
    query: Query,
    access: Arc<dyn Access>,
    /// Who was told to stand still since there was room, by which operation and when: whoever goes on by a person's word is
    /// not told again.
    told: BTreeMap<ContainerId, (OperationId, Instant)>,
    /// Whether those who stand still were let go on since.
    at_ease: bool,
}

/// Watches until the daemon ends.
pub(crate) async fn follow(
    registry: Arc<Registry>,
    query: Query,
    access: Arc<dyn Access>,
    mut ending: watch::Receiver<bool>,
) {
    let mut watch = Watch { registry, query, access, told: BTreeMap::new(), at_ease: false };
    loop {
        let (low, left) = watch.left().await;
        match left {
            Some(left) if left < low => {
                let are_told = watch.stop_writers(left).await;
                if left < low / 2 && !are_told {
                    watch.end_writers().await;
                }
            }
            Some(left) if left >= 2 * low && !watch.at_ease => watch.let_go_on().await,
            _ => {}
        }
        let pause = left.map_or(PAUSES.1, |left| pause_until(left.saturating_sub(low)));
        if tokio::time::timeout(pause, ending.changed()).await.is_ok() {
            return;
        }
    }
}

/// Returns how much is kept free of a file system: an eighth, at least what the log calls critical, and no more than
/// [`RESERVE_MAX`].
fn reserve(size: u64) -> u64 {
    (size / 8).clamp(Watermarks::default().critical, RESERVE_MAX)
}

/// Returns the time in which so many bytes cannot be written, within bounds.
fn pause_until(bytes: u64) -> Duration {
    let millis = bytes.saturating_mul(1_000) / BYTES_PER_SECOND;
    Duration::from_millis(millis).clamp(PAUSES.0, PAUSES.1)
}

impl Watch {
    /// Returns what is to be kept free, and what is left of the room once everything is written. What anybody in the machine has still to write is
    /// known at once; only where that is too much is each container looked at.
    async fn left(&self) -> (u64, Option<u64>) {
        let access = Arc::clone(&self.access);
        let low = self.ask(move |_| reserve(access.disk_size().unwrap_or(0))).await.unwrap_or_else(|| reserve(0));
        let access = Arc::clone(&self.access);
        let left = self.ask(move |query| {
            let free = access.disk_space()?;
            let at_least = free.saturating_sub(access.unwritten(&[]));
            if at_least >= 2 * low {
                return Some(at_least);
            }
            // Also of those that stand still: what they wrote already still comes.
            let writers = [ContainerState::Running, ContainerState::Paused].map(|state| of_state(query, state));
            let writers: Vec<ContainerId> = writers.iter().flatten().map(|row| row.id).collect();
            let unwritten = if writers.is_empty() { 0 } else { access.unwritten(&writers) };
            Some(free.saturating_sub(unwritten))
        });
        (low, left.await.flatten())
    }

    /// Asks the read models on a thread that may block; nothing if it broke down.
    async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&Query) -> T + Send + 'static) -> Option<T> {
        let query = self.query.clone();
        tokio::task::spawn_blocking(move || question(&query)).await.ok()
    }

    async fn of_state(&self, state: ContainerState) -> Vec<ContainerRow> {
        self.ask(move |query| of_state(query, state)).await.unwrap_or_default()
    }

    /// Has all that run stand still; says whether one of them was told just now.
    async fn stop_writers(&mut self, left: u64) -> bool {
        self.at_ease = false;
        let left = Size::from_bytes(left);
        let mut due = Vec::new();
        for row in self.of_state(ContainerState::Running).await {
            if self.is_to_be_told(&row).await {
                due.push((row, new_operation()));
            }
        }
        // All at once: a disk that is written to by all takes long to record it for one.
        let command = Command::PauseForSpace { left };
        let heard = join_all(due.iter().map(|(row, operation)| self.tell(row.id, *operation, command.clone()))).await;
        let told: Vec<_> = due.into_iter().zip(heard).filter_map(|(told, heard)| heard.then_some(told)).collect();
        for (row, operation) in &told {
            tracing::warn!(container = %row.name, %left, "the container is to stand still: the host has no room for its disk");
            self.told.insert(row.id, (*operation, Instant::now()));
        }
        !told.is_empty()
    }

    async fn is_to_be_told(&self, row: &ContainerRow) -> bool {
        let Some((operation, since)) = self.told.get(&row.id).copied() else { return true };
        if since.elapsed() < AGAIN {
            return false;
        }
        let found = self.ask(move |query| query.operation(&operation.to_string(), Moment::Now)).await;
        let failed = found.is_some_and(|found| found.is_ok_and(|row| row.state == OperationState::Failed));
        if failed {
            tracing::warn!(container = %row.name, "the container did not stand still; it is tried again");
        }
        failed
    }

    /// Ends what the freezer does not stop: a process in the kernel writes until its call is over, and takes what the others
    /// have written and no disk has yet. That its container is to stand still is recorded.
    async fn end_writers(&self) {
        let access = Arc::clone(&self.access);
        let looked = self.ask(move |query| {
            let there = [ContainerState::Running, ContainerState::Paused].map(|state| of_state(query, state));
            let containers: Vec<ContainerId> = there.iter().flatten().map(|row| row.id).collect();
            access.end_writers(&containers)
        });
        for (container, names) in looked.await.unwrap_or_default() {
            tracing::warn!(%container, ?names, "processes that wrote on were killed: the host has no room for the container's disk");
            self.tell(container, new_operation(), Command::ReportWritersEnded { names }).await;
        }
    }

    async fn let_go_on(&mut self) {
        let mut all = true;
        for row in self.of_state(ContainerState::Paused).await {
            let operation = new_operation();
            all &= self.tell(row.id, operation, Command::ResumeWithSpace).await;
        }
        if all {
            self.at_ease = true;
            self.told.clear();
        }
    }

    /// Gives a command in the runtime's own name; a container that is busy is told again at the next look.
    async fn tell(&self, container: ContainerId, operation: OperationId, command: Command) -> bool {
        let order = Order {
            command,
            given: Given { operation, at: self.registry.house().clock.now() },
            principal: Principal::runtime(),
            idempotency: None,
            annex: None,
            mode: Mode::Commit,
        };
        let stream = StreamName::new(Category::Container, container);
        self.registry.perform::<Container>(&stream, order).await.is_ok()
    }
}

fn new_operation() -> OperationId {
    OperationId::from_bytes(berth::sys::random::bytes().unwrap_or_default())
}

fn of_state(query: &Query, state: ContainerState) -> Vec<ContainerRow> {
    let rows = query.containers(&ContainerFilter::default(), Moment::Now).unwrap_or_default();
    rows.into_iter().filter(|row| row.rest == state).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_grows_with_the_disk_within_bounds() {
        assert_eq!([0, 1 << 30, 4 << 30, 1 << 40].map(reserve), [128 << 20, 128 << 20, 512 << 20, 1 << 30]);
    }

    #[test]
    fn the_less_room_the_sooner_it_is_looked_at_again() {
        assert_eq!(pause_until(0), PAUSES.0);
        assert_eq!(pause_until(1 << 30), Duration::from_millis(500));
        assert_eq!(pause_until(u64::MAX), PAUSES.1);
    }
}
