//! The ticker: sleeps until something is due, records what becomes of it, and sleeps again.
//!
//! It does not poll: a change of any schedule wakes it through the log, and the next slot is known. What it knows of
//! the past it reads from the read model each time, so nothing is lost with it. Three things hold it back: a clock that is
//! not trusted, by which nothing is caught up; a catch-up of several slots, which run one after another; and a log with
//! too little room, in which backups would be refused.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::due::{self, Due, Plan, Verdict};
use super::resolve;
use crate::actors::{Idempotency, Mode, Order, Registry};
use crate::domain::Given;
use crate::domain::schedule::Schedule;
use crate::events::ScheduledAction;
use crate::projections::query::{Moment, Query};
use crate::projections::rows::{ScheduleRow, ScheduleState};
use crate::storage::{Subscription, SubscriptionError};
use crate::types::{CatchUp, Category, Clock, Principal, ScheduleId, StreamName, Timestamp};

/// The longest sleep without a look at the clock: it may have been set, and machines are suspended.
const SLEEP_MAX: Duration = Duration::from_mins(1);
/// The pause after something could not be recorded.
const RETRY: Duration = Duration::from_secs(5);

/// Says whether the log has room for what takes space.
pub type Room = Arc<dyn Fn() -> bool + Send + Sync>;

/// Fires the slots of all schedules.
pub struct Ticker {
    registry: Arc<Registry>,
    query: Query,
    /// Says whether there is room for backups.
    room: Room,
    /// Schedules whose catch-up is under way: the next slot waits for the end of the last one's batch.
    catching_up: HashSet<ScheduleId>,
}

/// Says what the ticker does next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Something was recorded: look again at once.
    Again,
    /// Something could not be recorded.
    Retry,
    /// Nothing is due before then; nothing at all if no schedule has a slot.
    Sleep(Option<Timestamp>),
}

impl Ticker {
    /// Makes a ticker.
    pub fn new(registry: Arc<Registry>, query: Query, room: Room) -> Self {
        Self { registry, query, room, catching_up: HashSet::new() }
    }

    /// Ticks until the daemon ends or the log is closed.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        let store = Arc::clone(&self.registry.house().log);
        let mut changes = store.subscribe(store.head().position);
        self.resume().await;
        loop {
            let next = self.tick().await;
            tokio::select! {
                goes_on = self.rest(next, &mut changes) => if !goes_on { return },
                _ = shutdown.wait_for(|ending| *ending) => return,
            }
        }
    }

    /// Finds the catch-ups that were under way when the last daemon ended.
    async fn resume(&mut self) {
        let caught = |row: &&ScheduleRow| row.definition.catch_up == CatchUp::All && row.running().next().is_some();
        self.catching_up = self.schedules().await.iter().filter(caught).map(|row| row.id).collect();
    }

    async fn schedules(&self) -> Vec<ScheduleRow> {
        let query = self.query.clone();
        let rows = tokio::task::spawn_blocking(move || query.schedules(false, Moment::Now)).await;
        match rows {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) => {
                tracing::error!(%error, "the schedules cannot be read");
                vec![]
            }
            Err(_) => vec![],
        }
    }

    /// Records what is due now.
    async fn tick(&mut self) -> Next {
        let watch = &self.registry.house().watch;
        let (now, doubt) = (watch.now(), due::doubt(watch));
        let rows: Vec<ScheduleRow> =
            self.schedules().await.into_iter().filter(|row| row.state == ScheduleState::Enabled).collect();
        let waits = |row: &ScheduleRow| self.catching_up.contains(&row.id) && row.running().next().is_some();
        let ready: Vec<&ScheduleRow> = rows.iter().filter(|row| !waits(row)).collect();
        let room = (self.room)();
        let fits = |row: &ScheduleRow| room || !matches!(row.definition.action, ScheduledAction::Backup { .. });
        let plans: Vec<Plan> = ready.iter().map(|row| Plan { has_room: fits(row), doubt, ..Plan::of(row) }).collect();
        let due = due::due(&plans, now);
        if due.is_empty() {
            return Next::Sleep(due::next_due(&plans, now));
        }
        let mut next = Next::Again;
        for row in ready {
            let own: Vec<&Due> = due.iter().filter(|due| due.schedule == row.id).collect();
            if !self.settle(row, &own).await {
                next = Next::Retry;
            }
        }
        next
    }

    /// Records the fates of one schedule's slots in order, up to the first that runs: what comes behind it waits.
    async fn settle(&mut self, row: &ScheduleRow, due: &[&Due]) -> bool {
        let fires = |due: &&&Due| matches!(due.verdict, Verdict::Fire { .. });
        if due.iter().filter(fires).count() > 1 {
            self.catching_up.insert(row.id);
        } else {
            self.catching_up.remove(&row.id);
        }
        for due in due {
            if !self.record(row, due).await {
                return false;
            }
            if matches!(due.verdict, Verdict::Fire { .. }) {
                break;
            }
        }
        true
    }

    async fn record(&self, row: &ScheduleRow, due: &Due) -> bool {
        let (query, resolved, what) = (self.query.clone(), row.clone(), due.clone());
        let command = tokio::task::spawn_blocking(move || resolve::command(&query, &resolved, &what)).await;
        let command = match command {
            Ok(Ok(command)) => command,
            Ok(Err(error)) => {
                tracing::error!(schedule = %row.name, %error, "the selection cannot be looked up");
                return false;
            }
            Err(_) => return false,
        };
        // A slot that waits has its fate still before it: that is recorded under the slot's own key.
        let aside = match due.verdict {
            Verdict::Defer { .. } => "/deferred",
            Verdict::SetAside { .. } => "/set-aside",
            Verdict::Reopen { .. } => "/reopened",
            Verdict::Fire { .. } | Verdict::Skip { .. } | Verdict::Miss { .. } => "",
        };
        let key = format!("schedule/{}{aside}", due.key());
        let order = Order {
            command,
            given: Given { operation: resolve::operation(due), at: self.registry.house().clock.now() },
            principal: Principal::schedule(row.name.as_str()),
            idempotency: Some(Idempotency { request: *blake3::hash(key.as_bytes()).as_bytes(), key }),
            annex: None,
            mode: Mode::Commit,
        };
        let stream = StreamName::new(Category::Schedule, row.id);
        match self.registry.perform::<Schedule>(&stream, order).await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(schedule = %row.name, slot = %due.verdict.last_slot(), %error, "a slot was not recorded");
                false
            }
        }
    }

    /// Rests as long as nothing can be due; false if the log was closed.
    async fn rest(&self, next: Next, changes: &mut Subscription) -> bool {
        match next {
            Next::Again => true,
            Next::Retry => {
                tokio::time::sleep(RETRY).await;
                true
            }
            Next::Sleep(until) => tokio::select! {
                woken = schedule_changed(changes) => woken,
                () = sleep(&*self.registry.house().clock, until) => true,
            },
        }
    }
}

/// Waits for a fact about a schedule or the clock; false if the log was closed.
async fn schedule_changed(changes: &mut Subscription) -> bool {
    loop {
        match changes.next().await {
            Ok(event) if matches!(event.stream.category(), Category::Schedule | Category::Clock) => return true,
            Ok(_) => {}
            Err(SubscriptionError::Closed) => return false,
            Err(SubscriptionError::Read(error)) => {
                tracing::error!(%error, "the log cannot be followed");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Sleeps until the clock shows `until`, at most until it is to be looked at again.
async fn sleep(clock: &dyn Clock, until: Option<Timestamp>) {
    let Some(until) = until else { return std::future::pending().await };
    tokio::time::sleep(until.since(clock.now()).as_duration().min(SLEEP_MAX)).await;
}
