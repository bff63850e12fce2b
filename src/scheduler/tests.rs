//! The ticker on a real log with real actors and a simulated host.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::System;
use tokio::sync::watch;

use super::due::{Plan, Verdict, due};
use super::ticker::{Room, Ticker};
use crate::actors::{House, Mode, Order, Registry, RetryPolicy};
use crate::domain::schedule::{Command, Schedule};
use crate::domain::{Aggregate, Given};
use crate::effects::sim::{SimulatedHost, World};
use crate::events::{
    AddressRequest, BackupMode, ClockEvent, Configuration, ContainerEvent, Context, DiskKind, Limits, RestartPolicy,
    ScheduleDefinition, ScheduledAction, Selection, encode,
};
use crate::projections;
use crate::projections::query::{Moment, Query};
use crate::projections::rows::{OperationState, ScheduleRow, SlotFate};
use crate::storage::{Commit, EventLog, Expected, Options, SqliteLog, Timekeeper};
use crate::types::{
    CatchUp, Category, Clock, ClockWatch, ContainerId, NodeId, OperationId, Position, Principal, Reading, ScheduleId,
    Span, Step, StoreId, StreamName, TemplateId, Timestamp, Trust,
};

/// Is a wall clock that can be set while it runs.
struct Wall {
    base: Mutex<(Timestamp, std::time::Instant)>,
    boot: std::time::Instant,
}

impl Wall {
    fn at(text: &str) -> Arc<Self> {
        let boot = std::time::Instant::now();
        Arc::new(Self { base: Mutex::new((moment(text), boot)), boot })
    }

    fn set(&self, text: &str) {
        *self.base.lock().unwrap() = (moment(text), std::time::Instant::now());
    }
}

fn moment(text: &str) -> Timestamp {
    text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().into()
}

fn elapsed(since: std::time::Instant) -> Span {
    Span::from_micros(since.elapsed().as_micros() as i64)
}

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        let (at, since) = *self.base.lock().unwrap();
        at.after(elapsed(since))
    }

    fn reading(&self) -> Reading {
        Reading { wall: self.now(), up: Some(elapsed(self.boot)) }
    }
}

/// Says in a commit what became of the clock.
fn told(fact: &ClockEvent) -> Commit {
    let (operation, node) = (OperationId::derived("clock"), NodeId::derived("node"));
    let context = Context {
        wall_clock: Timestamp::default(),
        boot: "boot".to_owned(),
        principal: Principal::runtime(),
        operation,
        causation: None,
        node,
    };
    let stream = StreamName::new(Category::Clock, node);
    let events = vec![encode(fact, None).unwrap()];
    Commit { stream, expected: Expected::Any, key: None, request_hash: [0; 32], context, events }
}

struct Home {
    _folder: tempfile::TempDir,
    registry: Arc<Registry>,
    query: Query,
    store: Arc<SqliteLog>,
    clock: Arc<Wall>,
}

impl Home {
    fn new(now: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Wall::at(now);
        let mut options =
            Options::new(clock.clone() as Arc<dyn Clock>, folder.path().join("keys"), Arc::new(|_: &Path| Ok(1 << 40)));
        options.projections = projections::all();
        options.reserve = 0;
        let watch = Arc::new(ClockWatch::new(clock.clone()));
        let step = |step: &Step| told(&ClockEvent::from(*step));
        options.timekeeper = Some(Timekeeper { watch: watch.clone(), told: Box::new(step) });
        let store = Arc::new(SqliteLog::open(&folder.path().join("state"), options).unwrap());
        let host = Arc::new(SimulatedHost::new(Arc::new(Mutex::new(World::default())), vec![]));
        let node = NodeId::derived("node");
        let house = House::new(store.clone(), host, clock.clone(), node, "boot".to_owned(), RetryPolicy::default());
        let registry = Registry::new(Arc::new(house.watched_by(watch)), actix::Arbiter::current());
        let query = Query::new(store.reader());
        Self { _folder: folder, registry, query, store, clock }
    }

    async fn container(&self) {
        let id = ContainerId::derived("web");
        let configuration = Configuration {
            hostname: "web".parse().unwrap(),
            managed: crate::types::Managed::default(),
            template: TemplateId::derived("t"),
            limits: Limits::default(),
            disk: DiskKind::Image,
            network: None,
            address: AddressRequest::Auto,
            labels: std::collections::BTreeMap::new(),
            autostart: false,
            restart: RestartPolicy::default(),
            privileged: false,
            nesting: false,
            command: None,
        };
        let name = "web".parse().unwrap();
        let events = [
            ContainerEvent::CreateRequested { id, name, configuration, parent: None },
            ContainerEvent::ContainerCreated,
        ];
        let commit = Commit {
            stream: StreamName::new(Category::Container, id),
            expected: Expected::Any,
            key: None,
            request_hash: [0; 32],
            context: Context {
                wall_clock: self.clock.now(),
                boot: "boot".to_owned(),
                principal: Principal::runtime(),
                operation: OperationId::derived("create"),
                causation: None,
                node: NodeId::derived("node"),
            },
            events: events.iter().map(|event| encode(event, None).unwrap()).collect(),
        };
        self.store.append(commit).await.unwrap().unwrap();
    }

    async fn perform(&self, schedule: ScheduleId, command: Command) {
        let order = Order {
            command,
            given: Given { operation: OperationId::derived("define"), at: self.clock.now() },
            principal: Principal::runtime(),
            idempotency: None,
            annex: None,
            mode: Mode::Commit,
        };
        let stream = StreamName::new(Schedule::CATEGORY, schedule);
        self.registry.perform::<Schedule>(&stream, order).await.unwrap();
    }

    async fn schedule(&self, cron: &str, catch_up: CatchUp, from: &str) -> ScheduleId {
        self.schedule_of(ScheduledAction::Defragment, cron, catch_up, from).await
    }

    async fn schedule_of(&self, action: ScheduledAction, cron: &str, catch_up: CatchUp, from: &str) -> ScheduleId {
        let id = ScheduleId::derived("nightly");
        let definition = ScheduleDefinition {
            cron: cron.parse().unwrap(),
            zone: "UTC".parse().unwrap(),
            action,
            selection: Selection::All,
            catch_up,
            jitter: Span::default(),
            window: None,
            parallel: 1,
        };
        let from: chrono::DateTime<chrono::Utc> = from.parse().unwrap();
        let (name, definition) = ("nightly".parse().unwrap(), Box::new(definition));
        self.perform(id, Command::Create { id, name, definition, from: from.into() }).await;
        self.until(|row| row.operation.is_none()).await;
        id
    }

    /// Waits until the schedule is as wanted.
    async fn until(&self, wanted: impl Fn(&ScheduleRow) -> bool) -> ScheduleRow {
        for _ in 0..2_000 {
            if let Ok(row) = self.query.schedule("nightly", Moment::Now)
                && wanted(&row)
            {
                return row;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the schedule never was as wanted: {:?}", self.query.schedule("nightly", Moment::Now));
    }

    fn tick(&self) -> watch::Sender<bool> {
        let (end, shutdown) = watch::channel(false);
        self.tick_with_room(Arc::new(|| true), shutdown);
        end
    }

    fn tick_with_room(&self, room: Room, shutdown: watch::Receiver<bool>) {
        actix::spawn(Ticker::new(self.registry.clone(), self.query.clone(), room).run(shutdown));
    }
}

fn over(row: &ScheduleRow, count: usize) -> bool {
    row.slots.len() >= count && row.running().next().is_none()
}

#[test]
fn a_slot_fires_in_its_time_and_once_across_restarts() {
    System::new().block_on(async {
        let home = Home::new("2026-11-23T02:59:59.500Z");
        home.container().await;
        let first = home.tick();
        home.schedule("0 3 * * *", CatchUp::None, "2026-11-23T02:00:00Z").await;
        let row = home.until(|row| over(row, 1)).await;
        assert_eq!((row.fired, row.slots[0].fate), (1, SlotFate::Fired));
        assert_eq!(row.slots[0].slot.to_string(), "2026-11-23T03:00:00.000000Z");
        first.send(true).unwrap();
        let batch = home.query.batch(row.slots[0].batch.unwrap(), Moment::Now).unwrap().unwrap();
        assert_eq!((batch.state, batch.members.len()), (OperationState::Done, 1), "{batch:?}");
        assert_eq!(batch.schedule.unwrap().as_str(), "nightly");
        let second = home.tick();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(home.until(|_| true).await.fired, 1);
        second.send(true).unwrap();
    });
}

#[test]
fn slots_that_were_missed_run_one_after_another() {
    System::new().block_on(async {
        let home = Home::new("2026-11-23T03:30:00Z");
        home.container().await;
        home.schedule("0 * * * *", CatchUp::All, "2026-11-23T00:30:00Z").await;
        let end = home.tick();
        let row = home.until(|row| over(row, 3)).await;
        end.send(true).unwrap();
        assert_eq!((row.fired, row.skipped, row.missed), (3, 0, 0));
        let batches: Vec<_> =
            row.slots.iter().map(|slot| home.query.batch(slot.batch.unwrap(), Moment::Now).unwrap().unwrap()).collect();
        for pair in batches.windows(2) {
            assert!(pair[0].ended_at.unwrap() <= pair[1].requested_at, "one after another");
        }
    });
}

#[test]
fn what_is_too_late_or_selects_nobody_is_recorded_with_its_reason() {
    System::new().block_on(async {
        let home = Home::new("2026-11-23T03:30:00Z");
        let id = home.schedule("0 * * * *", CatchUp::None, "2026-11-23T00:30:00Z").await;
        let end = home.tick();
        let row = home.until(|row| row.slots.len() == 1).await;
        assert_eq!((row.missed, row.slots[0].count), (3, 3));
        home.perform(id, Command::Disable).await;
        *home.clock.base.lock().unwrap() = (home.clock.now().after(Span::from_secs(1_799)), std::time::Instant::now());
        home.perform(id, Command::Enable { from: home.clock.now() }).await;
        let row = home.until(|row| row.slots.len() == 2).await;
        assert_eq!((row.skipped, row.fired), (1, 0));
        assert!(row.slots[1].reason.as_ref().unwrap().contains("selects no container"));
        end.send(true).unwrap();
    });
}

#[test]
fn a_backup_that_finds_no_room_is_skipped_for_now_and_caught_up() {
    System::new().block_on(async {
        let home = Home::new("2026-11-23T03:30:00Z");
        home.container().await;
        let room = Arc::new(AtomicBool::new(false));
        let (seen, (end, shutdown)) = (room.clone(), watch::channel(false));
        home.tick_with_room(Arc::new(move || seen.load(Ordering::Acquire)), shutdown);
        let action = ScheduledAction::Backup { store: StoreId::derived("local"), mode: BackupMode::Incremental };
        let id = home.schedule_of(action, "0 * * * *", CatchUp::Once, "2026-11-23T01:30:00Z").await;
        let row = home.until(|row| row.slots.len() == 1).await;
        let slot = &row.slots[0];
        assert_eq!((row.fired, slot.fate, slot.count), (0, SlotFate::Waiting, 2));
        assert!(slot.reason.as_ref().unwrap().contains("too full"), "{slot:?}");
        room.store(true, Ordering::Release);
        let other = Command::Defer { slot: slot.slot.after(Span::from_micros(1)), count: 1, reason: "look".to_owned() };
        home.perform(id, other).await; // a fact of a schedule makes the ticker look again
        let row = home.until(|row| row.fired == 1).await;
        assert_eq!((row.missed, row.last_slot), (1, Some(slot.slot)), "{:?}", row.slots);
        let waits = row.slots.iter().filter(|held| held.fate == SlotFate::Waiting && held.slot <= slot.slot);
        assert_eq!(waits.count(), 0, "{:?}", row.slots);
        end.send(true).unwrap();
    });
}

#[test]
fn what_ran_under_a_clock_that_was_ahead_runs_again_when_it_is_time() {
    System::new().block_on(async {
        let home = Home::new("2026-11-25T02:59:59.500Z");
        home.container().await;
        let end = home.tick();
        home.schedule("0 * * * *", CatchUp::Once, "2026-11-25T02:30:00Z").await;
        let ahead = home.until(|row| over(row, 1)).await;
        home.clock.set("2026-11-23T02:59:55Z"); // a step is noticed within a second, on a busy machine later
        let newest = |row: &ScheduleRow| row.slots.last().map(|slot| slot.slot);
        let right = home.until(|row| over(row, 2)).await;
        assert_eq!((right.fired, newest(&right)), (2, Some(moment("2026-11-23T03:00:00Z"))), "{right:?}");
        assert_eq!(home.registry.house().watch.trust(), Trust::Doubted, "and that without being asked");
        home.clock.set("2026-11-25T02:59:55Z");
        let again = home.until(|row| over(row, 3) && newest(row) == newest(&ahead)).await;
        assert_ne!(again.slots.last().unwrap().batch, ahead.slots[0].batch, "it is another run");
        end.send(true).unwrap();
    });
}

#[test]
fn each_slot_that_a_clock_jumped_over_waits_until_it_is_confirmed_while_later_ones_run() {
    System::new().block_on(async {
        let home = Home::new("2026-11-23T01:30:00Z");
        home.container().await;
        let end = home.tick();
        home.schedule("0 * * * *", CatchUp::All, "2026-11-23T01:30:00Z").await;
        home.clock.set("2026-11-23T04:59:58Z"); // a step is noticed within a second
        let row = home.until(|row| row.fired == 1 && row.running().next().is_none()).await;
        let five = Some(moment("2026-11-23T05:00:00Z"));
        assert_eq!((row.missed, row.last_slot, row.gaps.is_empty()), (0, five, false), "{row:?}");
        assert_eq!((row.slots[0].fate, row.slots[0].count), (SlotFate::Waiting, 3));
        home.registry.house().watch.confirm(Position::new(u64::MAX));
        home.store.append(told(&ClockEvent::ClockConfirmed)).await.unwrap().unwrap();
        let row = home.until(|row| row.fired == 4 && row.running().next().is_none()).await;
        assert_eq!((row.missed, row.skipped, row.last_slot, row.gaps.is_empty()), (0, 0, five, true), "{row:?}");
        assert!(row.slots.iter().all(|slot| slot.fate == SlotFate::Fired), "nothing waits any more: {row:?}");
        end.send(true).unwrap();
    });
}

#[test]
fn a_clock_that_goes_back_brings_no_slot_again_that_was_forgotten() {
    System::new().block_on(async {
        let home = Home::new("2026-11-24T10:30:00Z");
        let id = home.schedule("0 * * * *", CatchUp::All, "2026-11-23T00:30:00Z").await;
        let midnight = moment("2026-11-24T00:00:00Z");
        home.perform(id, Command::SetAside { slot: midnight, count: 24, reason: "clock".to_owned() }).await;
        for hours in (1..=10).chain(-23..=0) {
            let slot = midnight.moved(hours * 3_600 * 1_000_000);
            home.perform(id, Command::Skip { slot, reason: "why".to_owned() }).await;
        }
        let row = home.until(|row| row.gaps.is_empty()).await;
        assert_eq!(row.slots.len(), 32, "some are forgotten");
        for (now, after) in [("02:30", "02:00"), ("06:30", "06:00"), ("01:30", "01:30")] {
            let [now, after] = [now, after].map(|time| moment(&format!("2026-11-24T{time}:00Z")));
            let verdicts: Vec<Verdict> = due(&[Plan::of(&row)], now).into_iter().map(|due| due.verdict).collect();
            assert_eq!(verdicts, [Verdict::Reopen { after }]);
        }
    });
}

#[test]
fn what_waits_when_its_schedule_is_disabled_is_told_to_be_missed() {
    System::new().block_on(async {
        let home = Home::new("2026-11-24T10:30:00Z");
        let id = home.schedule("0 * * * *", CatchUp::All, "2026-11-23T00:30:00Z").await;
        let midnight = moment("2026-11-24T00:00:00Z");
        home.perform(id, Command::SetAside { slot: midnight, count: 24, reason: "clock".to_owned() }).await;
        let five = midnight.after(Span::from_secs(5 * 3_600));
        home.perform(id, Command::Defer { slot: five, count: 5, reason: "full".to_owned() }).await;
        assert_eq!(home.until(|_| true).await.slots.len(), 2);
        home.perform(id, Command::Disable).await;
        home.perform(id, Command::Enable { from: home.clock.now() }).await;
        let row = home.until(|_| true).await;
        assert_eq!((row.missed, row.gaps.is_empty(), row.slots.len()), (29, true, 2), "{row:?}");
        assert!(row.slots.iter().all(|slot| slot.fate == SlotFate::Missed), "{row:?}");
    });
}

#[test]
fn nothing_is_caught_up_by_a_clock_that_jumped_until_it_is_confirmed() {
    System::new().block_on(async {
        let home = Home::new("2026-11-23T01:30:00Z");
        home.container().await;
        let end = home.tick();
        home.schedule("0 * * * *", CatchUp::Once, "2026-11-23T01:30:00Z").await;
        home.clock.set("2026-11-23T05:30:00Z");
        tokio::time::sleep(Duration::from_millis(1_500)).await; // longer than a step goes unnoticed
        assert_eq!(home.until(|_| true).await.slots, vec![]);
        home.registry.house().watch.confirm(Position::new(u64::MAX));
        home.store.append(told(&ClockEvent::ClockConfirmed)).await.unwrap().unwrap();
        let row = home.until(|row| over(row, 2)).await;
        assert_eq!((row.missed, row.fired, row.last_slot), (3, 1, Some(moment("2026-11-23T05:00:00Z"))));
        end.send(true).unwrap();
    });
}
