//! The law of read models: live equals rebuilt equals folded from the past, for histories of every kind of event.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use super::all;
use super::query::{ContainerFilter, EventFilter, MaintenanceFilter, Moment, OperationFilter, Query, QueryError};
use super::rows::{ContainerState, OperationState};
use crate::events::{self, *};
use crate::storage::{Commit, EventStore, Expected, Options, SqliteStore};
use crate::types::*;

/// Is a clock that goes on by a second with every look.
struct Steady(std::sync::atomic::AtomicI64);

impl Clock for Steady {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1_000_000, std::sync::atomic::Ordering::Relaxed))
    }
}

fn open(folder: &Path, projections: Vec<Box<dyn crate::storage::InlineProjection>>) -> SqliteStore {
    let clock: Arc<dyn Clock> = Arc::new(Steady(1_800_000_000_000_000.into()));
    let mut options = Options::new(clock, folder.join("keys"), Arc::new(|_: &Path| Ok(1 << 40)));
    options.projections = projections;
    options.ballast = 0;
    SqliteStore::open(&folder.join("state"), options).unwrap()
}

fn append<E: DomainEvent>(store: &SqliteStore, key: &str, operation: &str, event: &E) -> Position {
    append_written(store, StreamName::new(E::CATEGORY, key), operation, events::encode(event, None).unwrap())
}

fn append_written(store: &SqliteStore, stream: StreamName, operation: &str, event: NewEvent) -> Position {
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
        template: TemplateId::derived("t"),
        limits: Limits::default(),
        disk: DiskKind::Image,
        network: None,
        address: AddressRequest::Auto,
        labels: BTreeMap::new(),
        autostart: false,
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

fn create(store: &SqliteStore, id: &str, text: &str) -> ContainerId {
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

fn tables(store: &SqliteStore) -> BTreeMap<&'static str, Vec<(String, Value)>> {
    all().iter().map(|model| (model.name(), store.reader().rows(model.name(), "", 1_000).unwrap())).collect()
}

/// Makes a text of JSON that fits any event of a category, for bodies drawn at random.
fn container_events() -> impl Strategy<Value = ContainerEvent> {
    let reason = || "no".to_owned();
    let limits = Limits { memory: Some(Size::from_mib(64)), ..Limits::default() };
    let id = ContainerId::derived("c");
    let at = Timestamp::from_micros(1_900_000_000_000_000);
    let operation = OperationId::derived("holder");
    let exit = Exit::Code(0);
    prop::sample::select(vec![
        ContainerEvent::CreateRequested { id, name: name("web"), configuration: configuration(), parent: None },
        ContainerEvent::NameClaimed,
        ContainerEvent::IdRangeClaimed { base: 1_000_000, count: 65_536 },
        ContainerEvent::TemplateClaimed { digest: "d".to_owned(), init: Some(InitKind::Busybox) },
        ContainerEvent::DiskPrepared,
        ContainerEvent::ContainerCreated,
        ContainerEvent::CreateFailed { reason: reason() },
        ContainerEvent::CreateUndone { reason: reason() },
        ContainerEvent::StartRequested { parent: Some("batch/x".parse().unwrap()) },
        ContainerEvent::ContainerStarted { init: init(), took: Span::default() },
        ContainerEvent::ContainerReady,
        ContainerEvent::StartFailing { reason: reason() },
        ContainerEvent::StartFailed { reason: reason() },
        ContainerEvent::ParentNotified,
        ContainerEvent::StopRequested { deadline: at, parent: None },
        ContainerEvent::StopSignalled,
        ContainerEvent::InitExited { exit },
        ContainerEvent::InitExited { exit: Exit::Reboot },
        ContainerEvent::ContainerStopped { reason: StopReason::Requested, exit },
        ContainerEvent::ContainerHalted { exit },
        ContainerEvent::ContainerInterrupted { boot: "b".to_owned() },
        ContainerEvent::StopStuck { reason: reason() },
        ContainerEvent::PauseRequested,
        ContainerEvent::ContainerPaused,
        ContainerEvent::PauseFailed { reason: reason() },
        ContainerEvent::ResumeRequested,
        ContainerEvent::ContainerResumed,
        ContainerEvent::LimitsSet { limits },
        ContainerEvent::DiskGrown { size: Size::from_mib(64) },
        ContainerEvent::ContainerRenamed { name: name("front") },
        ContainerEvent::AutostartSet { autostart: true },
        ContainerEvent::LabelSet { key: "a".to_owned(), value: "b".to_owned() },
        ContainerEvent::LabelRemoved { key: "a".to_owned() },
        ContainerEvent::HoldPlaced { operation, kind: HoldKind::Reading },
        ContainerEvent::HoldReleased { operation },
        ContainerEvent::DeleteRequested { until: at },
        ContainerEvent::ContainerBuried { until: at },
        ContainerEvent::UndeleteRequested { name: name("web") },
        ContainerEvent::ContainerUndeleted,
        ContainerEvent::PurgeRequested,
        ContainerEvent::ContainerPurged,
        ContainerEvent::UndoStuck { reason: reason() },
    ])
}

/// Appends one event of each kind of stream that a history needs.
fn others(store: &SqliteStore, step: usize) {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn live_rows_equal_rebuilt_ones_and_those_of_the_past(
        history in prop::collection::vec((container_events(), 0_usize..3, 0_usize..16), 1..24),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), all());
        let mut moments = vec![];
        for (event, operation, other) in history {
            append(&store, &ContainerId::derived("c").to_string(), &operation.to_string(), &event);
            others(&store, other);
            moments.push((store.reader().position().unwrap(), tables(&store)));
        }
        for status in store.reader().projections().unwrap() {
            prop_assert_eq!(status.error, None, "{}", status.name);
        }
        for (position, live) in &moments {
            for model in all() {
                let folded: Vec<_> = store.reader().rows_at(&*model, *position).unwrap().into_iter().collect();
                prop_assert_eq!(&folded, &live[model.name()], "{} at {}", model.name(), position);
                for (key, row) in folded {
                    prop_assert_eq!(store.reader().row_at(&*model, &key, *position).unwrap(), Some(row));
                }
            }
        }
        let live = tables(&store);
        drop(store);
        drop(open(folder.path(), vec![])); // a daemon that knew none of them
        prop_assert_eq!(tables(&open(folder.path(), all())), live);
    }
}

/// Appends a backup of the container `c`, kept in the store `s`.
fn back_up(store: &SqliteStore, id: &str, second: i64) {
    let summary = BackupSummary {
        backup: BackupId::derived(id),
        run: RunId::derived(id),
        container: ContainerId::derived("c"),
        container_name: name("web"),
        store: StoreId::derived("s"),
        taken_at: Timestamp::from_micros(1_800_000_000_000_000 + second * 1_000_000),
        mode: BackupMode::Full,
        base: None,
        outcome: BackupOutcome::Complete,
        entries: 1,
        read: Size::from_mib(1),
        new: Size::from_mib(1),
        stored: Size::from_mib(1),
        frozen: Span::default(),
        unreadable: 0,
        schedule: None,
    };
    append(store, "s,c", id, &BackupGroupEvent::BackupCommitted(summary));
}

/// Appends all that a container's row tells of other things: names, backups of which the newest is damaged, a restore.
fn neighbours(store: &SqliteStore) {
    let (template, id) = (TemplateId::derived("t"), StoreId::derived("s"));
    let import =
        TemplateEvent::TemplateImportRequested { id: template, name: name("tiny"), source: TemplateSource::Host };
    append(store, &template.to_string(), "t", &import);
    let path = "/srv/vault".to_owned();
    let request = StoreEvent::StoreRequested { id, name: name("vault"), path, node: NodeId::derived("node") };
    append(store, &id.to_string(), "s", &request);
    (1..=3).for_each(|number| back_up(store, &number.to_string(), number));
    let damage = BackupGroupEvent::BackupDamageFound { backup: BackupId::derived("3"), reason: "torn".to_owned() };
    append(store, "s,c", "v", &damage);
    let container = ContainerId::derived("c");
    let request = RestoreEvent::RestoreRequested {
        id: RunId::derived("r"),
        backup: BackupId::derived("1"),
        source: container,
        store: id,
        target: RestoreTarget::InPlace { container },
        start: false,
    };
    append(store, &RunId::derived("r").to_string(), "r", &request);
    append(store, &RunId::derived("r").to_string(), "r", &RestoreEvent::RestoreCompleted);
}

#[test]
fn what_a_row_tells_of_other_things_is_the_same_now_as_in_the_past() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), all());
    create(&store, "c", "web");
    create(&store, "d", "db");
    neighbours(&store);
    let query = Query::new(store.reader());
    let head = Moment::At(query.reader().position().unwrap());
    let web = query.container("web", Moment::Now).unwrap();
    assert_eq!(web.template_name, Some(name("tiny")));
    assert_eq!(web.restored_from, Some(BackupId::derived("1")));
    assert_eq!(web.last_backup.as_ref().map(|last| last.backup), Some(BackupId::derived("2")), "the newest is damaged");
    assert_eq!(query.container("web", head).unwrap(), web);
    let listed = |moment| query.containers(&ContainerFilter::default(), moment).unwrap();
    assert_eq!(listed(Moment::Now), [query.container("db", Moment::Now).unwrap(), web]);
    assert_eq!(listed(head), listed(Moment::Now));
    let vault = query.store("vault", Moment::Now).unwrap();
    assert_eq!((vault.backups, vault.stored), (3, Size::from_mib(3)));
    assert_eq!(query.stores(true, Moment::Now).unwrap(), [vault]);
    assert_eq!(query.stores(true, head).unwrap(), query.stores(true, Moment::Now).unwrap());
    (0..16).for_each(|step| others(&store, step));
    let (c, d) = (Some(ContainerId::derived("c")), Some(ContainerId::derived("d")));
    let head = Moment::At(query.reader().position().unwrap());
    for (container, count) in [(c, 1), (d, 0), (None, 1)] {
        let filter = MaintenanceFilter { container, ..MaintenanceFilter::default() };
        for moment in [Moment::Now, head] {
            assert_eq!(query.sessions(container, moment).unwrap().len(), count);
            assert_eq!(query.maintenance(&filter, moment).unwrap().len(), count);
        }
    }
    let names = |moment| query.restores(moment).unwrap()[0].source_name.clone();
    assert_eq!((names(Moment::Now), names(head)), (Some(name("web")), Some(name("web"))));
}

#[test]
fn the_state_word_follows_what_is_done_and_says_who_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), all());
    let id = create(&store, "a", "web");
    let query = Query::new(store.reader());
    let key = id.to_string();
    let state = |operation: &str, event: ContainerEvent| {
        append(&store, &key, operation, &event);
        query.container("web", Moment::Now).unwrap().state
    };
    assert_eq!(state("start", ContainerEvent::StartRequested { parent: None }), ContainerState::Starting);
    let started = ContainerEvent::ContainerStarted { init: init(), took: Span::default() };
    assert_eq!(state("start", started), ContainerState::Running);
    let row = query.container("web", Moment::Now).unwrap();
    assert_eq!((row.change.by.as_str(), row.init), ("ann", Some(init())));
    assert!(row.change.why.starts_with("started as process 7"));
    assert_eq!(state("pause", ContainerEvent::PauseRequested), ContainerState::Pausing);
    assert_eq!(state("exit", ContainerEvent::PauseFailed { reason: "its init ended".into() }), ContainerState::Running);
    assert_eq!(state("exit", ContainerEvent::InitExited { exit: Exit::Code(3) }), ContainerState::Stopping);
    let owing = query.owing_streams().unwrap();
    assert_eq!(owing, [StreamName::new(Category::Container, id)], "an exit is cleared away after a crash");
    let pause = query.operation(&OperationId::derived("pause").to_string(), Moment::Now).unwrap();
    assert_eq!((pause.state, pause.reason.as_deref()), (OperationState::Failed, Some("its init ended")));
    let stopped = ContainerEvent::ContainerStopped { reason: StopReason::Exited, exit: Exit::Code(3) };
    assert_eq!(state("exit", stopped), ContainerState::Stopped);
    assert_eq!(query.container("web", Moment::Now).unwrap().last_exit, Some(Exit::Code(3)));
    let open = OperationFilter { open: true, ..OperationFilter::default() };
    assert_eq!(query.operations(&open, Moment::Now).unwrap(), [], "the pause is over although nobody closed it");
}

#[test]
fn an_operation_tells_the_first_failure_of_what_was_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), all());
    let id = create(&store, "a", "web");
    let (key, query) = (id.to_string(), Query::new(store.reader()));
    append(&store, &key, "start", &ContainerEvent::StartRequested { parent: None });
    for reason in ["the link is busy", "the disk is busy"] {
        let failed = AttemptFailed { step: "run".to_owned(), reason: reason.to_owned() };
        let stream = StreamName::new(Category::Container, id);
        append_written(&store, stream, "start", failed.written().unwrap());
    }
    let row = query.operation(&OperationId::derived("start").to_string(), Moment::Now).unwrap();
    assert_eq!(row.first_failure.as_deref(), Some("run did not work at first, trying again: the link is busy"));
    assert_eq!(row.state, OperationState::Running);
    let told = query.events(&EventFilter::default(), Moment::Now).unwrap();
    assert_eq!(told.iter().filter(|event| event.kind == AttemptFailed::KIND).count(), 2);
}

#[test]
fn a_child_owes_its_parent_a_word_until_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), all());
    let id = create(&store, "a", "web");
    let (key, query) = (id.to_string(), Query::new(store.reader()));
    let parent = Some("restore-job/r".parse().unwrap());
    append(&store, &key, "stop", &ContainerEvent::StopRequested { deadline: Timestamp::from_micros(0), parent });
    let stopped = ContainerEvent::ContainerStopped { reason: StopReason::Requested, exit: Exit::Unknown };
    append(&store, &key, "stop", &stopped);
    let own = [StreamName::new(Category::Container, id)];
    assert_eq!(query.owing_streams().unwrap(), own);
    append(&store, &key, "stop", &ContainerEvent::ParentNotified);
    assert_eq!(query.owing_streams().unwrap(), []);
    append(&store, &key, "delete", &ContainerEvent::DeleteRequested { until: Timestamp::from_micros(1) });
    append(&store, &key, "delete", &ContainerEvent::ContainerBuried { until: Timestamp::from_micros(1) });
    assert_eq!(query.owing_streams().unwrap(), own, "a grave has a timer");
    append(&store, &key, "purge", &ContainerEvent::PurgeRequested);
    append(&store, &key, "purge", &ContainerEvent::ContainerPurged);
    assert_eq!(query.owing_streams().unwrap(), []);
}

#[test]
fn a_reference_is_a_name_an_id_or_a_prefix_and_else_a_question() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), all());
    let (a, b) = (create(&store, "a", "web"), create(&store, "b", "database"));
    let query = Query::new(store.reader());
    for moment in [Moment::Now, Moment::At(store.reader().position().unwrap())] {
        let found = |reference: &str| query.container(reference, moment).map(|row| row.id);
        assert_eq!(found("web").unwrap(), a);
        assert_eq!(found(&b.to_string()).unwrap(), b);
        assert_eq!(found(&b.to_string()[..5]).unwrap(), b);
        assert!(matches!(found(&b.to_string()[..3]), Err(QueryError::NotFound { .. })), "too short a prefix");
        let Err(QueryError::NotFound { suggestion, .. }) = found("databse") else { panic!("it is not there") };
        assert_eq!(suggestion.as_deref(), Some("database"));
    }
    for id in [a, b] {
        let until = Timestamp::from_micros(1);
        append(&store, &id.to_string(), "delete", &ContainerEvent::ContainerBuried { until });
    }
    let c = create(&store, "c", "web");
    assert_eq!(query.container("web", Moment::Now).unwrap().id, c, "the living before the dead");
    assert_eq!(query.container("database", Moment::Now).unwrap().id, b);
    append(&store, &c.to_string(), "delete", &ContainerEvent::ContainerBuried { until: Timestamp::from_micros(1) });
    assert!(matches!(query.container("web", Moment::Now), Err(QueryError::Ambiguous { .. })));
    assert_eq!(query.containers(&ContainerFilter::default(), Moment::Now).unwrap(), []);
    let all = ContainerFilter { all: true, ..ContainerFilter::default() };
    assert_eq!(query.containers(&all, Moment::Now).unwrap().len(), 3);
}

#[test]
fn moments_are_times_spans_and_positions() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), all());
    create(&store, "a", "web");
    let query = Query::new(store.reader());
    let first = query.event_at(Position::new(1)).unwrap().unwrap().recorded_at;
    let now = first.after(Span::from_secs(3_600));
    let at = |text: &str| query.moment(Some(text), now).unwrap();
    assert_eq!(query.moment(None, now).unwrap(), Moment::Now);
    assert_eq!(at("1"), Moment::At(Position::new(1)));
    let ahead = first.after(Span::from_secs(7_200)).to_string();
    for text in ["99", &ahead] {
        assert!(matches!(query.moment(Some(text), now), Err(QueryError::Future { .. })), "{text}");
    }
    assert_eq!(at("1h"), Moment::At(Position::new(1)));
    assert_eq!(at("2h"), Moment::At(Position::new(0)));
    assert_eq!(at(&first.to_string()), Moment::At(Position::new(1)));
    assert!(query.moment(Some("tuesday"), now).is_err());
    let (_, recorded) = (query.as_of(at("2h")).unwrap(), query.as_of(Moment::Now).unwrap());
    assert_eq!(recorded.position, Position::new(2));
}
