//! Read models over a real log: the folds, and the questions that are asked of them.

mod folds;
mod queries;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::events::{self, *};
use crate::storage::{Commit, EventLog, Expected, Options, SqliteLog};
use crate::types::*;

/// Is a clock that goes on by a second with every look.
struct Steady(std::sync::atomic::AtomicI64);

impl Clock for Steady {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1_000_000, std::sync::atomic::Ordering::Relaxed))
    }
}

fn open(folder: &Path, projections: Vec<Box<dyn crate::storage::InlineProjection>>) -> SqliteLog {
    let clock: Arc<dyn Clock> = Arc::new(Steady(1_800_000_000_000_000.into()));
    let mut options = Options::new(clock, folder.join("keys"), Arc::new(|_: &Path| Ok(1 << 40)));
    options.projections = projections;
    options.reserve = 0;
    SqliteLog::open(&folder.join("state"), options).unwrap()
}

fn append<E: DomainEvent>(store: &SqliteLog, key: &str, operation: &str, event: &E) -> Position {
    append_written(store, StreamName::new(E::CATEGORY, key), operation, events::encode(event, None).unwrap())
}

fn append_written(store: &SqliteLog, stream: StreamName, operation: &str, event: NewEvent) -> Position {
    let commit = Commit {
        stream,
        expected: Expected::Any,
        key: None,
        request_hash: [0; 32],
        context: Context {
            wall_clock: Timestamp::from_micros(0),
            boot: "boot".to_owned(),
            principal: Principal::local("ann", 1_000),
            operation: OperationId::derived(operation),
            causation: None,
            node: NodeId::derived("node"),
        },
        events: vec![event],
    };
    store.append(commit).blocking_recv().unwrap().unwrap().events[0].position
}

fn configuration() -> Configuration {
    Configuration {
        hostname: "web".parse().unwrap(),
        managed: crate::types::Managed::default(),
        template: TemplateId::derived("t"),
        limits: Limits::default(),
        disk: DiskKind::Image,
        network: None,
        address: AddressRequest::Auto,
        labels: BTreeMap::new(),
        autostart: false,
        restart: RestartPolicy::default(),
        privileged: false,
        nesting: false,
        command: None,
    }
}

fn init() -> ProcessIdentity {
    ProcessIdentity { boot: "boot".to_owned(), pid: 7, started: 7 }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn create(store: &SqliteLog, id: &str, text: &str) -> ContainerId {
    let container = ContainerId::derived(id);
    let wish = ContainerEvent::CreateRequested {
        id: container,
        name: name(text),
        configuration: configuration(),
        parent: None,
    };
    append(store, &container.to_string(), &format!("create {id}"), &wish);
    append(store, &container.to_string(), &format!("create {id}"), &ContainerEvent::ContainerCreated);
    container
}

/// Appends one event of each kind of stream that a history needs.
fn others(store: &SqliteLog, step: usize) {
    let (run, backup, container) = (RunId::derived("run"), BackupId::derived("b"), ContainerId::derived("c"));
    let (key, reason) = (run.to_string(), "no".to_owned());
    let member = BatchMember { container, run, operation: OperationId::derived("m"), backup };
    let slot = Timestamp::from_micros(1_800_000_100_000_000 + step as i64);
    let definition = ScheduleDefinition {
        cron: "0 3 * * *".parse().unwrap(),
        zone: "UTC".parse().unwrap(),
        action: ScheduledAction::Defragment,
        selection: Selection::All,
        catch_up: CatchUp::Once,
        jitter: Span::default(),
        window: None,
        parallel: 1,
    };
    let fired = ScheduleEvent::SlotFired {
        slot,
        batch: run,
        operation: OperationId::derived("m"),
        action: BatchAction::Defragment,
        members: vec![member.clone()],
    };
    let group = "store,container";
    match step % 16 {
        0 => append(store, "n", "boot", &NodeEvent::NodeBooted { boot: "b".to_owned(), kernel: "6".to_owned() }),
        1 => append(
            store,
            "s",
            "s",
            &ScheduleEvent::ScheduleRequested {
                id: ScheduleId::derived("s"),
                name: name("nightly"),
                definition: Box::new(definition),
                from: slot,
            },
        ),
        2 => append(store, "s", "s", &ScheduleEvent::ScheduleCreated),
        3 => append(store, "s", "f", &fired),
        4 => append(store, "s", "f", &ScheduleEvent::BatchFinished { batch: run, outcome: Closing::Done }),
        5 => append(store, "s", "f", &ScheduleEvent::SlotMissed { slot, count: 3, reason }),
        6 => append(
            store,
            &key,
            "x",
            &SessionEvent::SessionOpened {
                id: SessionId::derived("x"),
                container,
                user: "root".to_owned(),
                terminal: true,
            },
        ),
        7 => append(store, &key, "x", &SessionEvent::SessionClosed { code: Some(1), reason: None }),
        8 => append(
            store,
            &key,
            "m",
            &BatchEvent::BatchRequested {
                id: run,
                action: BatchAction::Defragment,
                members: vec![member],
                schedule: None,
                parallel: 1,
                parent: Some("schedule/s".parse().unwrap()),
            },
        ),
        9 => append(store, &key, "m", &BatchEvent::ChildFinished { run, outcome: Closing::Failed { reason } }),
        10 => append(store, &key, "m", &BatchEvent::BatchFailed { reason }),
        11 => append(
            store,
            &key,
            "w",
            &MaintenanceEvent::MaintenanceRequested {
                id: run,
                action: MaintenanceAction::Defragment { container },
                parent: None,
            },
        ),
        12 => append(store, &key, "w", &MaintenanceEvent::WorkDone(MaintenanceResult::Verified)),
        13 => append(store, &key, "w", &MaintenanceEvent::MaintenanceCompleted),
        14 => append(store, group, "b", &BackupGroupEvent::BackupVerified { backup }),
        _ => append(store, "net", "n", &NetworkEvent::NetworkDeleteRequested),
    };
}
