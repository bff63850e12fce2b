//! Watches the room that containers write into, and has them stand still before what they write is lost.
//!
//! A container's disk takes room on the host only as it is filled. When the host has none left, what the container has
//! written already cannot reach its disk, and its file system turns read-only. So it is to stand still while there is
//! room for all that it has written and no disk has yet, and for what it can write until it is looked at again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth::actors::{CommandError, Mode, Order, Registry};
use berth::domain::Given;
use berth::domain::container::{Command, Container};
use berth::effects::access::{Access, enough, reserve};
use berth::events::ProcessIdentity;
use berth::projections::query::{ContainerFilter, Moment, Query};
use berth::projections::rows::{ContainerRow, ContainerState, OperationState};
use berth::types::{Category, ContainerId, OperationId, Principal, Size, StreamName};
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::sync::{Mutex, watch};

/// The most that is taken to be written in a second: as fast as two processors fill memory.
const BYTES_PER_SECOND: u64 = 16 << 30;
/// The shortest and the longest time between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// How soon a container whose pause came to nothing is told again: each time is two events in a log that has little room.
const AGAIN: Duration = Duration::from_secs(10);
/// How many are told at once: the log takes what comes together in one go, and each who is told takes memory.
const AT_ONCE: usize = 32;
/// How long until what the log did not take is told to it again.
const UNTOLD: Duration = Duration::from_secs(1);

/// Is what a look finds.
struct Look {
    /// What is to be kept free.
    low: u64,
    /// What is left of the room once everything is written; nothing if nobody can tell.
    left: Option<u64>,
}

/// Is when somebody was told to stand still.
struct Told {
    operation: OperationId,
    since: Instant,
    /// In which run: whoever starts again by itself is told anew.
    init: Option<ProcessIdentity>,
}

/// Is what is known from one look to the next.
struct Watch {
    registry: Arc<Registry>,
    query: Query,
    access: Arc<dyn Access>,
    /// Who was told to stand still since there was room: whoever goes on by a person's word is not told again.
    told: BTreeMap<ContainerId, Told>,
    /// Whether those who stand still were let go on since.
    at_ease: bool,
    /// When somebody who was held still had to be let go, since the word was refused.
    refused: BTreeMap<ContainerId, Instant>,
}

/// Is what is held while containers may stand still of which nothing is recorded yet.
pub(crate) type Round = Arc<Mutex<()>>;

/// Watches until the daemon ends.
pub(crate) async fn follow(
    registry: Arc<Registry>,
    query: Query,
    access: Arc<dyn Access>,
    round: Round,
    mut ending: watch::Receiver<bool>,
) {
    let mut watch = Watch { registry, query, access, told: BTreeMap::new(), at_ease: false, refused: BTreeMap::new() };
    watch.let_go_of_held().await;
    loop {
        let held = round.lock().await;
        if *ending.borrow() {
            return;
        }
        let Look { low, left } = watch.look().await;
        match left {
            Some(left) if left < low => {
                let are_told = watch.stop_writers(left).await;
                if left < low / 2 && !are_told {
                    watch.end_writers().await;
                }
            }
            Some(left) if left >= enough(low) && !watch.at_ease => watch.let_go_on().await,
            _ => {}
        }
        drop(held);
        let pause = left.map_or(PAUSES.1, |left| pause_until(left.saturating_sub(low)));
        if tokio::time::timeout(pause, ending.changed()).await.is_ok() {
            return;
        }
    }
}

/// Lets those go whom a daemon held and did not come to record.
pub(crate) async fn let_go_of_held(query: Query, access: Arc<dyn Access>) {
    let let_go = move || {
        let running = of_state(&query, ContainerState::Running);
        let ids = running.iter().filter(|row| row.operation.is_none()).map(|row| row.id);
        access.let_go(&ids.collect::<Vec<_>>());
    };
    let _ = tokio::task::spawn_blocking(let_go).await; // only a panic, which was told
}

/// Returns the time in which so many bytes cannot be written, within bounds.
fn pause_until(bytes: u64) -> Duration {
    let micros = bytes.saturating_mul(1_000) / (BYTES_PER_SECOND / 1_000);
    Duration::from_micros(micros).clamp(PAUSES.0, PAUSES.1)
}

impl Watch {
    /// Looks at the room. What anybody in the machine has still to write is known at once; only where that is too much is
    /// each container looked at.
    async fn look(&self) -> Look {
        let access = Arc::clone(&self.access);
        let looked = self.ask(move |query| {
            let low = reserve(access.disk_size().unwrap_or(0));
            Look { low, left: left(query, &*access, low) }
        });
        looked.await.unwrap_or_else(|| Look { low: reserve(0), left: None })
    }

    /// Asks the read models on a thread that may block; nothing if it broke down.
    async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&Query) -> T + Send + 'static) -> Option<T> {
        let query = self.query.clone();
        tokio::task::spawn_blocking(move || question(&query)).await.ok()
    }

    async fn of_state(&self, state: ContainerState) -> Vec<ContainerRow> {
        self.ask(move |query| of_state(query, state)).await.unwrap_or_default()
    }

    /// Has all that run stand still; says whether one of them was told just now. They are held before it is recorded: the log
    /// may take long where all write to its disk. It takes nothing from them, and what is not recorded is taken back.
    async fn stop_writers(&mut self, left: u64) -> bool {
        self.at_ease = false;
        let left = Size::from_bytes(left);
        let mut due = Vec::new();
        for row in self.of_state(ContainerState::Running).await {
            if row.operation.is_none() && self.is_to_be_told(&row).await {
                due.push(row);
            }
        }
        let held = self.hold(&due).await;
        let (told, refused): (Vec<_>, Vec<_>) =
            self.tell_all(due, &Command::PauseForSpace { left }).await.into_iter().partition(|(_, _, heard)| *heard);
        self.let_go(refused.iter().map(|(row, _, _)| row.id).filter(|id| held.contains(id)).collect()).await;
        let is_any = !told.is_empty();
        for (row, operation, _) in told {
            tracing::warn!(container = %row.name, %left, "the container is to stand still: the host has no room for its disk");
            self.told.insert(row.id, Told { operation, since: Instant::now(), init: row.init });
        }
        is_any
    }

    /// Holds them still, and returns those that moved until now. Who had to be let go of late is not held before it is told:
    /// the log may be of no use, or that container's own stream.
    async fn hold(&self, due: &[ContainerRow]) -> Vec<ContainerId> {
        let of_late = |id: &ContainerId| self.refused.get(id).is_some_and(|at| at.elapsed() < AGAIN);
        let ids: Vec<_> = due.iter().map(|row| row.id).filter(|id| !of_late(id)).collect();
        if ids.is_empty() {
            return vec![];
        }
        let access = Arc::clone(&self.access);
        self.ask(move |_| access.hold_still(&ids)).await.unwrap_or_default()
    }

    async fn let_go(&mut self, held: Vec<ContainerId>) {
        if held.is_empty() {
            return;
        }
        self.refused.extend(held.iter().map(|id| (*id, Instant::now())));
        let access = Arc::clone(&self.access);
        self.ask(move |_| access.let_go(&held)).await;
    }

    async fn let_go_of_held(&self) {
        let_go_of_held(self.query.clone(), Arc::clone(&self.access)).await;
    }

    async fn is_to_be_told(&self, row: &ContainerRow) -> bool {
        let told = self.told.get(&row.id).filter(|told| told.init == row.init);
        let Some(Told { operation, since, .. }) = told else { return true };
        if since.elapsed() < AGAIN {
            return false;
        }
        let operation = operation.to_string();
        let found = self.ask(move |query| query.operation(&operation, Moment::Now)).await;
        let failed = found.is_some_and(|found| found.is_ok_and(|row| row.state == OperationState::Failed));
        if failed {
            tracing::warn!(container = %row.name, "the container did not stand still; it is tried again");
        }
        failed
    }

    /// Ends what the freezer does not stop: a process in the kernel writes until its call is over, and takes what the others
    /// have written and no disk has yet. Nothing of a container is ended that stands still for another reason.
    async fn end_writers(&self) {
        let access = Arc::clone(&self.access);
        let looked = self.ask(move |query| {
            let there = [ContainerState::Running, ContainerState::Paused].map(|state| of_state(query, state));
            let told = there.iter().flatten().filter(|row| row.is_short_of_room());
            access.end_writers(&told.map(|row| row.id).collect::<Vec<_>>())
        });
        for (container, names) in looked.await.unwrap_or_default() {
            tracing::warn!(%container, ?names, "processes that wrote on were killed: the host has no room for the container's disk");
            actix::spawn(record_ended(Arc::clone(&self.registry), container, names));
        }
    }

    /// Lets go on who stands still: by its record, and, where its pause failed, without one.
    async fn let_go_on(&mut self) {
        self.let_go_of_held().await;
        let still = self.of_state(ContainerState::Paused).await;
        let heard = self.tell_all(still, &Command::ResumeWithSpace).await;
        // One whose pause is under way stands still only after this.
        let is_any_to_come = self.of_state(ContainerState::Running).await.iter().any(ContainerRow::is_short_of_room);
        if !is_any_to_come && heard.iter().all(|(_, _, heard)| *heard) {
            self.at_ease = true;
            self.told.clear();
            self.refused.clear();
        }
    }

    /// Tells containers the same, each by an operation of its own, and says who heard it; one that is busy is told again at
    /// the next look. Many at once: a disk that is written to by all takes long to record it for one.
    async fn tell_all(&self, rows: Vec<ContainerRow>, command: &Command) -> Vec<(ContainerRow, OperationId, bool)> {
        let each = stream::iter(rows).map(|row| async move {
            let operation = new_operation();
            let heard = tell(&self.registry, row.id, operation, command.clone()).await.is_ok();
            (row, operation, heard)
        });
        each.buffer_unordered(AT_ONCE).collect().await
    }
}

/// Returns what is left of the room once everything is written.
fn left(query: &Query, access: &dyn Access, low: u64) -> Option<u64> {
    let free = access.disk_space()?;
    let at_least = free.saturating_sub(access.unwritten(&[]));
    let is_enough = at_least >= low && free < enough(low); // neither is anybody to stand still, nor to go on
    if at_least >= enough(low) || is_enough {
        return Some(at_least);
    }
    // Also of those that stand still: what they wrote already still comes.
    let writers = [ContainerState::Running, ContainerState::Paused].map(|state| of_state(query, state));
    let writers: Vec<ContainerId> = writers.iter().flatten().map(|row| row.id).collect();
    let unwritten = if writers.is_empty() { 0 } else { access.unwritten(&writers) };
    Some(free.saturating_sub(unwritten))
}

/// Records what was ended, however long the log takes no record.
async fn record_ended(registry: Arc<Registry>, container: ContainerId, names: Vec<String>) {
    let (operation, mut is_said) = (new_operation(), false);
    while let Err(error) =
        tell(&registry, container, operation, Command::ReportWritersEnded { names: names.clone() }).await
    {
        if !std::mem::replace(&mut is_said, true) {
            tracing::warn!(%container, ?names, %error, "that these processes were killed is not recorded yet; it is tried again");
        }
        tokio::time::sleep(UNTOLD).await;
    }
}

/// Gives a command in the runtime's own name.
async fn tell(
    registry: &Arc<Registry>,
    container: ContainerId,
    operation: OperationId,
    command: Command,
) -> Result<(), CommandError> {
    let order = Order {
        command,
        given: Given { operation, at: registry.house().clock.now() },
        principal: Principal::runtime(),
        idempotency: None,
        annex: None,
        mode: Mode::Commit,
    };
    let stream = StreamName::new(Category::Container, container);
    registry.perform::<Container>(&stream, order).await.map(drop)
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
    use berth::effects::access::RESERVE_MIN;
    use berth::storage::Watermarks;

    use super::*;

    #[test]
    fn containers_stand_still_no_later_than_the_log_is_in_need() {
        assert_eq!(RESERVE_MIN, Watermarks::default().critical);
    }

    #[test]
    fn the_less_room_the_sooner_it_is_looked_at_again() {
        assert_eq!(pause_until(0), PAUSES.0);
        assert_eq!(pause_until(1 << 30), Duration::from_micros(62_500));
        assert_eq!(pause_until(u64::MAX), PAUSES.1);
    }
}
