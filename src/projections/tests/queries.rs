//! Questions to the read models: what is meant, at which moment, and what is told of other things.

use super::*;
use crate::projections::all;
use crate::projections::query::{ContainerFilter, MaintenanceFilter, Moment, Query, QueryError};

/// Appends a backup of the container `c`, kept in the store `s`.
fn back_up(store: &SqliteLog, id: &str, second: i64) {
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
fn neighbours(store: &SqliteLog) {
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
fn a_run_and_its_operations_are_one_thing_under_either_id() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), all());
    create(&store, "c", "web");
    let (run, source) = (RunId::derived("run"), ContainerId::derived("c"));
    let stream = run.to_string();
    let (backup, kept_in) = (BackupId::derived("1"), StoreId::derived("s"));
    back_up(&store, "1", 1);
    let target = RestoreTarget::InPlace { container: source };
    let request = RestoreEvent::RestoreRequested { id: run, backup, source, store: kept_in, target, start: false };
    append(&store, &stream, "asked", &request);
    append(&store, &stream, "asked", &RestoreEvent::RestoreCompleted);
    append(&store, &stream, "back", &RestoreEvent::RollBackRequested);
    let query = Query::new(store.reader());
    let (first, second) = (OperationId::derived("asked"), OperationId::derived("back"));
    for moment in [Moment::Now, Moment::At(store.reader().position().unwrap())] {
        for reference in [stream.clone(), first.to_string(), second.to_string(), run.short(), first.short()] {
            assert_eq!(query.restore(&reference, moment).unwrap().id, run, "{reference} {moment:?}");
        }
        assert_eq!(query.operation(&stream, moment).unwrap().id, second, "the one under way");
        assert_eq!(query.operation(&first.short(), moment).unwrap().id, first);
        let other = OperationId::derived("1").to_string();
        assert!(matches!(query.restore(&other, moment), Err(QueryError::NotFound { .. })), "it is of a backup");
        assert!(matches!(query.operation("' OR '1", moment), Err(QueryError::NotFound { .. })));
    }
    append(&store, &stream, "back", &RestoreEvent::RestoreRolledBack);
    assert_eq!(query.operation(&stream, Moment::Now).unwrap().id, first, "nothing is under way");
}

#[test]
fn a_reason_that_names_another_thing_says_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), all());
    let (web, other) = (create(&store, "a", "web"), create(&store, "b", "db"));
    let reason = format!("10.0.0.7 is leased to container/{other}");
    for event in [ContainerEvent::StartRequested { parent: None }, ContainerEvent::StartFailed { reason }] {
        append(&store, &web.to_string(), "start", &event);
    }
    let query = Query::new(store.reader());
    let row = query.container("web", Moment::Now).unwrap();
    assert!(row.change.why.ends_with("10.0.0.7 is leased to container db"), "{}", row.change.why);
    assert_ne!(query.containers(&ContainerFilter::default(), Moment::Now).unwrap(), []);
}

#[test]
fn a_look_ahead_from_the_past_begins_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), all());
    create(&store, "a", "web");
    let query = Query::new(store.reader());
    let first = store.read_all(Position::default(), 1).unwrap().remove(0);
    let now = Timestamp::from_micros(1_900_000_000_000_000);
    assert_eq!(query.clock_at(Moment::Now, now).unwrap(), now);
    assert_eq!(query.clock_at(Moment::At(first.position), now).unwrap(), first.recorded_at);
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

#[test]
fn the_command_line_of_a_container_that_a_restore_is_making_is_needed_until_the_restore_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), all());
    let (command, run) = (Fingerprint::from_bytes([7; 32]), RunId::derived("r"));
    let configuration = Box::new(Configuration { command: Some(command), ..configuration() });
    let request = RestoreEvent::RestoreRequested {
        id: run,
        backup: BackupId::derived("1"),
        source: ContainerId::derived("c"),
        store: StoreId::derived("s"),
        target: RestoreTarget::New { container: ContainerId::derived("d"), name: name("again"), configuration },
        start: false,
    };
    append(&store, &run.to_string(), "r", &request);
    let query = Query::new(store.reader());
    assert_eq!(query.needed_commands().unwrap().into_iter().collect::<Vec<_>>(), [command]);
    append(&store, &run.to_string(), "r", &RestoreEvent::RestoreCompleted);
    assert!(query.needed_commands().unwrap().is_empty());
}
