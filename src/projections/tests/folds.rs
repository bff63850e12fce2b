//! The law of read models: live equals rebuilt equals folded from the past, for histories of every kind of event.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::projections::all;
use crate::projections::query::{EventFilter, Moment, OperationFilter, Query};
use crate::projections::rows::{ContainerState, OperationState};

fn tables(store: &SqliteLog) -> BTreeMap<&'static str, Vec<(String, Value)>> {
    all().iter().map(|model| (model.name(), store.reader().rows(model.name(), "", 1_000).unwrap())).collect()
}

/// Draws a fact about a container.
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
        ContainerEvent::ContainerStarted { init: init(), took: Span::default(), warnings: vec![], kept: vec![] },
        ContainerEvent::ContainerReady,
        ContainerEvent::StartFailing { reason: reason() },
        ContainerEvent::StartFailed { reason: reason() },
        ContainerEvent::ParentNotified,
        ContainerEvent::StopRequested { deadline: at, grace: Span::default(), parent: None },
        ContainerEvent::StopSignalled,
        ContainerEvent::InitExited { exit },
        ContainerEvent::InitExited { exit: Exit::Reboot },
        ContainerEvent::ContainerStopped { reason: StopReason::Requested, exit },
        ContainerEvent::ContainerHalted { exit, restarts: 2, delay: Span::from_secs(1) },
        ContainerEvent::RestartDue,
        ContainerEvent::OperationCalledOff { operation, verb: "start".to_owned(), wish: "stop".to_owned() },
        ContainerEvent::RemainsCleared,
        ContainerEvent::StopAskedAgain { deadline: at, parent: None },
        ContainerEvent::ReturnPromised { paused: false },
        ContainerEvent::ReturnCalledOff,
        ContainerEvent::RestartPolicySet { policy: RestartPolicy::OnFailure },
        ContainerEvent::HostNameSet { hostname: "a.example".parse().unwrap() },
        ContainerEvent::NestingSet { nesting: true },
        ContainerEvent::ManagedFilesSet { managed: "hosts".parse().unwrap() },
        ContainerEvent::ContainerInterrupted { boot: "b".to_owned() },
        ContainerEvent::StopStuck { reason: reason() },
        ContainerEvent::PauseRequested,
        ContainerEvent::SpacePauseRequested { left: Size::from_mib(90) },
        ContainerEvent::ContainerPaused,
        ContainerEvent::DiskFaulted { faults: DiskFaults { errors: 1, warnings: 2 } },
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
        ContainerEvent::NetworkSet { network: None, address: AddressRequest::Auto },
        ContainerEvent::UndeleteRequested { name: name("web") },
        ContainerEvent::ContainerUndeleted,
        ContainerEvent::PurgeRequested,
        ContainerEvent::ContainerPurged,
        ContainerEvent::UndoStuck { reason: reason() },
    ])
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
    let started =
        ContainerEvent::ContainerStarted { init: init(), took: Span::default(), warnings: vec![], kept: vec![] };
    assert_eq!(state("start", started), ContainerState::Running);
    let row = query.container("web", Moment::Now).unwrap();
    assert_eq!((row.change.by.as_str(), row.init), ("ann", Some(init())));
    assert!(row.change.why.starts_with("started as process 7"));
    let now = row.hostname_now;
    assert_eq!(now.as_ref(), Some(&row.configuration.hostname));
    append(&store, &key, "set", &ContainerEvent::HostNameSet { hostname: "a.example".parse().unwrap() });
    let row = query.container("web", Moment::Now).unwrap();
    assert!(row.hostname_now == now && Some(row.configuration.hostname) != now, "it is the one of now until a start");
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
    assert_eq!(query.container("web", Moment::Now).unwrap().hostname_now, None);
    let open = OperationFilter { open: true, ..OperationFilter::default() };
    assert_eq!(query.operations(&open, Moment::Now).unwrap(), [], "the pause is over although nobody closed it");
}

#[test]
fn what_stands_still_for_want_of_room_is_told_from_what_a_person_has_stand_still() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), all());
    let key = create(&store, "a", "web").to_string();
    let query = Query::new(store.reader());
    let is_short = |event: ContainerEvent| {
        append(&store, &key, "o", &event);
        query.container("web", Moment::Now).unwrap().is_short_of_room()
    };
    let started =
        || ContainerEvent::ContainerStarted { init: init(), took: Span::default(), warnings: vec![], kept: vec![] };
    let short = || ContainerEvent::SpacePauseRequested { left: Size::from_mib(90) };
    assert!(!is_short(started()));
    assert!(!is_short(ContainerEvent::PauseRequested) && !is_short(ContainerEvent::ContainerPaused), "a person's word");
    assert!(!is_short(ContainerEvent::ContainerResumed));
    assert!(is_short(short()) && is_short(ContainerEvent::ContainerPaused));
    assert!(!is_short(ContainerEvent::ContainerResumed), "whoever has it go on has the last word");
    assert!(is_short(short()) && !is_short(ContainerEvent::PauseFailed { reason: "busy".to_owned() }));
    assert!(is_short(short()));
    assert!(!is_short(ContainerEvent::ContainerStopped { reason: StopReason::Requested, exit: Exit::Killed }));
    assert!(!is_short(started()), "a new run");
}

#[test]
fn an_operation_tells_the_first_failure_of_what_was_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), all());
    let id = create(&store, "a", "web");
    let (key, query) = (id.to_string(), Query::new(store.reader()));
    append(&store, &key, "start", &ContainerEvent::StartRequested { parent: None });
    for reason in ["the link is busy", "the disk is busy"] {
        let failed = attempt(reason, true, None);
        let stream = StreamName::new(Category::Container, id);
        append_written(&store, stream, "start", failed.written().unwrap());
    }
    let row = query.operation(&OperationId::derived("start").to_string(), Moment::Now).unwrap();
    assert_eq!(row.first_failure.as_deref(), Some("run did not work at first, trying again: the link is busy"));
    assert_eq!(row.state, OperationState::Running);
    let told = query.events(&EventFilter::default(), Moment::Now).unwrap();
    assert_eq!(told.iter().filter(|event| event.kind == AttemptFailed::KIND).count(), 2);
}

fn attempt(reason: &str, again: bool, class: Option<RefusalClass>) -> AttemptFailed {
    let code = class.map(|_| "network.address-taken".to_owned());
    AttemptFailed { step: "run".to_owned(), reason: reason.to_owned(), again, class, code }
}

#[test]
fn an_operation_keeps_the_class_of_what_ended_it_and_of_nothing_that_was_got_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), all());
    let id = create(&store, "a", "web");
    let (key, query) = (id.to_string(), Query::new(store.reader()));
    for (operation, said, ended, kept) in [
        ("one", "the address is taken", "the address is taken", true),
        ("two", "the address is taken", "the address is taken; not undone: link", true),
        ("three", "the address is taken", "the kernel refuses", false),
    ] {
        append(&store, &key, operation, &ContainerEvent::StartRequested { parent: None });
        let written = attempt(said, false, Some(RefusalClass::Conflict)).written().unwrap();
        append_written(&store, StreamName::new(Category::Container, id), operation, written);
        append(&store, &key, operation, &ContainerEvent::StartFailing { reason: ended.to_owned() });
        append(&store, &key, operation, &ContainerEvent::StartFailed { reason: ended.to_owned() });
        let row = query.operation(&OperationId::derived(operation).to_string(), Moment::Now).unwrap();
        let cause = row.cause.map(|cause| (cause.class, cause.code));
        let conflict = (RefusalClass::Conflict, Some("network.address-taken".to_owned()));
        assert_eq!((row.state, cause), (OperationState::Failed, kept.then_some(conflict)), "{operation}");
        assert_eq!(row.first_failure, None);
    }
}

#[test]
fn a_child_owes_its_parent_a_word_until_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), all());
    let id = create(&store, "a", "web");
    let (key, query) = (id.to_string(), Query::new(store.reader()));
    let parent = Some("restore-job/r".parse().unwrap());
    let requested =
        ContainerEvent::StopRequested { deadline: Timestamp::from_micros(0), grace: Span::default(), parent };
    append(&store, &key, "stop", &requested);
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
fn a_row_tells_the_same_end_of_a_grave_as_the_rule_after_it_could_not_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), all());
    let id = create(&store, "a", "web");
    let (key, query) = (id.to_string(), Query::new(store.reader()));
    let row = || query.container(&key, Moment::Now).unwrap();
    let until = Timestamp::from_micros(1_900_000_000_000_000);
    append(&store, &key, "delete", &ContainerEvent::ContainerBuried { until });
    let first = row().deleted_at.unwrap();
    let length = until.since(first);
    append(&store, &key, "undelete", &ContainerEvent::UndeleteRequested { name: name("other") });
    let again = ContainerEvent::UndeleteFailed { name: name("web"), reason: "the name is taken".to_owned() };
    let position = append(&store, &key, "undelete", &again);
    let row = row();
    assert!(row.deleted_at.unwrap() > first);
    assert_eq!(row.deleted_until.unwrap().since(row.deleted_at.unwrap()), length);
    assert_eq!(row.deleted_position, Some(position));
    assert_eq!((row.name, row.former_names), (name("web"), vec![]), "it is called as it was");
}

/// Appends a schedule to the log, by its request.
fn schedule(store: &SqliteLog, key: &str) {
    let definition = ScheduleDefinition {
        cron: "0 * * * *".parse().unwrap(),
        zone: "UTC".parse().unwrap(),
        action: ScheduledAction::Defragment,
        selection: Selection::All,
        catch_up: CatchUp::All,
        jitter: Span::default(),
        window: None,
        parallel: 1,
    };
    let (id, from) = (ScheduleId::derived(key), Timestamp::from_micros(0));
    let wish = ScheduleEvent::ScheduleRequested { id, name: name(key), definition: Box::new(definition), from };
    append(store, key, "define", &wish);
}

#[test]
fn slots_that_wait_are_shown_however_many_others_come_to_an_end() {
    let place = tempfile::tempdir().unwrap();
    let store = open(place.path(), crate::projections::all());
    let at = |hour: i64| Timestamp::from_micros(hour * 3_600_000_000);
    let waiting = |counted: &[(i64, u64)]| {
        let row = store.reader().rows("schedules", "", 1).unwrap().remove(0).1;
        let slots = row["slots"].as_array().unwrap().clone();
        assert!(slots.len() <= 32, "{}", slots.len());
        let waits: Vec<_> = slots.iter().filter(|slot| slot["fate"] == "waiting").collect();
        let found: Vec<_> = waits.iter().map(|slot| (slot["slot"].clone(), slot["count"].as_u64().unwrap())).collect();
        let told: Vec<_> =
            counted.iter().map(|(hour, count)| (serde_json::to_value(at(*hour)).unwrap(), *count)).collect();
        assert_eq!(found, told);
    };
    schedule(&store, "hourly");
    let reason = || "why".to_owned();
    let aside = ScheduleEvent::SlotsSetAside { after: at(0), slot: at(24), count: 24, reason: reason() };
    append(&store, "hourly", "aside", &aside);
    for hour in 25..65 {
        append(&store, "hourly", "skip", &ScheduleEvent::SlotSkipped { slot: at(hour), reason: reason() });
    }
    waiting(&[(24, 24)]);
    // More wait than are shown one by one: they stand for each other, and none is lost.
    for hour in 65..105 {
        let slot = at(hour);
        append(&store, "hourly", "wait", &ScheduleEvent::SlotDeferred { slot, count: 1, reason: reason() });
    }
    let alone: Vec<_> = (74..105).map(|hour| (hour, 1)).collect();
    waiting(&[vec![(73, 33)], alone].concat());
}
