//! What the actor around an aggregate promises: one command at a time, the log before the state, and a way back from
//! whatever breaks.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use berth::actors::{CommandError, Idempotency, Mode, Order, Recorded, UnrecordedStop, at_once};
use berth::domain::Given;
use berth::domain::batch::{self, Batch};
use berth::domain::container::{Command, Container};
use berth::domain::directory::{self, Directory};
use berth::domain::effect::{Answer, Ask, Asked, HostEffect, Outcome, Report};
use berth::domain::session::{self, Session};
use berth::effects::clock::SystemClock;
use berth::effects::sim::Fault;
use berth::events::{AttemptFailed, BatchAction, BatchMember, Closing, ContainerEvent, Exit, NewEvent, RestartPolicy};
use berth::storage::{AppendError, Commit, EventLog, Expected};
use berth::types::{
    BackupId, Category, Clock, ContainerId, OperationId, Principal, RefusalClass, RunId, SessionId, Span, StreamName,
    Version,
};
use futures_util::future::join_all;
use tokio::sync::oneshot;

use crate::daemon::{Daemon, End, Faults, LogFault, Scene, in_system};
use crate::plans::{GRAVE, configuration, container, create, id};

const START: Command = Command::Start { parent: None };

async fn founded(scene: &Scene, faults: Faults) -> Daemon {
    let daemon = Daemon::start(scene, Faults::default());
    daemon.found().await;
    daemon.tell("web", create("web")).await;
    // What is still owed would be appended by the next daemon first, and take the fault meant for the test.
    assert_eq!(daemon.quiet().await, End::Quiet);
    daemon.crash();
    Daemon::restart(scene, faults).await
}

fn names() -> StreamName {
    StreamName::new(Category::Directory, "trial")
}

fn reserve(name: &str, holder: u32) -> directory::Command {
    directory::Command::Reserve { name: name.parse().unwrap(), holder: container(&format!("c{holder}")) }
}

fn versions_have_no_gaps(daemon: &Daemon, stream: &StreamName) {
    let events = daemon.store.read_stream(stream, Version::default(), 1_000).unwrap();
    let versions: Vec<_> = events.iter().map(|event| event.version.get()).collect();
    assert_eq!(versions, (1..=versions.len() as u64).collect::<Vec<_>>());
}

#[test]
fn of_two_hundred_simultaneous_commands_exactly_one_wins() {
    in_system(async {
        let scene = Scene::new();
        let daemon = Daemon::start(&scene, Faults::default());
        let stream = names();
        let orders: Vec<String> = (0..200).map(|number| format!("order {number}")).collect();
        let all = (0..200_u32)
            .map(|number| daemon.order::<Directory>(&stream, reserve("one", number), &orders[number as usize]));
        let answers = join_all(all).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        let refused = |error: &CommandError| matches!(error, CommandError::Refused(why) if why.code == "name.taken");
        assert!(answers.iter().filter_map(|answer| answer.as_ref().err()).all(refused));
        let state = daemon.picture();
        assert_eq!(state.get::<Directory>(&stream).unwrap().holders().count(), 1);
        versions_have_no_gaps(&daemon, &stream);
        daemon.crash();
    });
}

#[test]
fn two_hundred_commands_that_fit_are_all_taken_one_after_another() {
    in_system(async {
        let scene = Scene::new();
        let daemon = Daemon::start(&scene, Faults::default());
        let stream = names();
        let names: Vec<String> = (0..200).map(|number| format!("name-{number}")).collect();
        let all = (0..200_u32).map(|number| {
            let name = &names[number as usize];
            daemon.order::<Directory>(&stream, reserve(name, number), name)
        });
        assert!(join_all(all).await.iter().all(Result::is_ok));
        versions_have_no_gaps(&daemon, &stream);
        daemon.crash();
    });
}

#[test]
fn a_full_mailbox_answers_busy_and_nothing_is_lost_silently() {
    in_system(async {
        let scene = Scene::new();
        let daemon = Daemon::start(&scene, Faults::default());
        let stream = names();
        daemon.order::<Directory>(&stream, reserve("first", 5_000), "first").await.unwrap();
        let names: Vec<String> = (0..2_000).map(|number| format!("name-{number}")).collect();
        let all = (0..2_000_u32).map(|number| {
            let name = &names[number as usize];
            daemon.order::<Directory>(&stream, reserve(name, number), name)
        });
        let answers = join_all(all).await;
        let taken = answers.iter().filter(|answer| answer.is_ok()).count();
        let busy = answers.iter().filter(|answer| matches!(answer, Err(CommandError::Busy { .. }))).count();
        assert_eq!(taken + busy, 2_000);
        assert!(busy > 0, "a mailbox has an end");
        let state = daemon.picture();
        assert_eq!(state.get::<Directory>(&stream).unwrap().holders().count(), taken + 1);
        daemon.crash();
    });
}

#[test]
fn a_panic_in_the_host_is_a_failure_of_the_effect_and_the_container_lives_on() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults { panics: vec!["ensure running"], ..Faults::default() }).await;
        daemon.order::<Container>(&container("web"), START, "start").await.unwrap();
        assert_eq!(daemon.quiet().await, End::Quiet);
        let closed = daemon.picture().closed("start").cloned();
        assert!(matches!(&closed, Some(Closing::Failed { reason }) if reason.contains("panicked")), "{closed:?}");
        daemon.tell("web", START).await;
        assert!(daemon.picture().running().contains(&id("web")));
        daemon.crash();
    });
}

#[test]
fn a_failed_append_ends_the_actor_and_the_next_one_knows_only_the_log() {
    for fault in [LogFault::Refuse(1), LogFault::Deny(1)] {
        in_system(async {
            let scene = Scene::new();
            let faults = Faults { log: Some(fault), of: Some(container("web")), ..Faults::default() };
            let daemon = founded(&scene, faults).await;
            let lost = daemon.order::<Container>(&container("web"), START, "start").await;
            assert!(matches!(lost, Err(CommandError::Log(AppendError::Unavailable { .. }))), "{lost:?}");
            assert_eq!(daemon.quiet().await, End::Quiet);
            let runs = daemon.picture().running().contains(&id("web"));
            assert_eq!(runs, fault == LogFault::Deny(1), "what is in the log happens, what is not does not");
            daemon.tell_until_taken("web", START).await;
            assert!(daemon.picture().running().contains(&id("web")));
            daemon.crash();
        });
    }
}

#[test]
fn a_closed_log_refuses_in_words_and_nothing_changes() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults::default()).await;
        daemon.store.close();
        let error = daemon.order::<Container>(&container("web"), START, "start").await.unwrap_err();
        assert!(error.to_string().contains("not recorded"), "{error}");
        assert!(!daemon.world().inits.contains_key(&id("web")));
        daemon.crash();
    });
}

/// Returns a commit to a stream with a fact that this version does not know.
pub fn foreign(stream: &StreamName, daemon: &Daemon) -> Commit {
    let events = daemon.store.read_stream(stream, Version::default(), 1).unwrap();
    let context = events[0].context.clone();
    let gilded = NewEvent { kind: "ContainerGilded".to_owned(), schema: 1, body: b"null".to_vec(), annex: None };
    let stream = stream.clone();
    Commit { stream, expected: Expected::Any, key: None, request_hash: [0; 32], context, events: vec![gilded] }
}

#[test]
fn a_stream_with_an_unknown_fact_is_parked_and_the_others_live() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults::default()).await;
        daemon.store.append(foreign(&container("web"), &daemon)).await.unwrap().unwrap();
        daemon.crash();
        let daemon = Daemon::restart(&scene, Faults::default()).await;
        let error = daemon.order::<Container>(&container("web"), START, "start").await.unwrap_err();
        let words = error.to_string();
        assert!(matches!(error, CommandError::Parked { .. }), "{words}");
        assert!(words.contains("ContainerGilded") && words.contains("not known to this version"), "{words}");
        daemon.tell("other", create("other")).await;
        daemon.tell("other", START).await;
        daemon.crash();
    });
}

fn once(key: &str, request: u8) -> Option<Idempotency> {
    Some(Idempotency { key: key.to_owned(), request: [request; 32] })
}

#[test]
fn the_same_key_is_the_same_receipt_and_another_request_under_it_is_an_error() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults::default()).await;
        let web = container("web");
        let first = daemon.give::<Container>(&web, START, "start", once("k", 1), Mode::Commit).await.unwrap();
        assert_eq!(daemon.quiet().await, End::Quiet);
        daemon.tell("web", Command::Stop { grace: Span::default(), parent: None }).await;
        let again = daemon.give::<Container>(&web, START, "again", once("k", 1), Mode::Commit).await.unwrap();
        assert!(again.repeated && !first.repeated);
        assert_eq!(first.events, again.events);
        let place = |receipt: &berth::actors::Receipt<ContainerEvent>| receipt.recorded[0].position;
        assert_eq!(place(&first), place(&again));
        assert!(!daemon.picture().running().contains(&id("web")), "a repeated start starts nothing");
        let other = daemon.give::<Container>(&web, Command::Pause, "other", once("k", 2), Mode::Commit).await;
        assert!(matches!(other, Err(CommandError::Log(AppendError::KeyReused { .. }))), "{other:?}");
        daemon.crash();
        let daemon = Daemon::restart(&scene, Faults::default()).await;
        let later = daemon.give::<Container>(&web, START, "later", once("k", 1), Mode::Commit).await.unwrap();
        assert_eq!(place(&first), place(&later), "a key outlives the daemon");
        daemon.crash();
    });
}

#[test]
fn one_key_given_many_times_at_once_is_carried_out_once() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults::default()).await;
        let web = container("web");
        let all = (0..20).map(|_| daemon.give::<Container>(&web, START, "start", once("k", 1), Mode::Commit));
        let answers = join_all(all).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(answers.iter().flatten().filter(|receipt| !receipt.repeated).count(), 1);
        assert_eq!(daemon.quiet().await, End::Quiet);
        daemon.crash();
    });
}

#[test]
fn a_dry_run_records_nothing_and_tells_what_the_real_one_records() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults::default()).await;
        let web = container("web");
        let head = daemon.store.head().position;
        let dry = daemon.give::<Container>(&web, START, "start", None, Mode::DryRun).await.unwrap();
        assert_eq!(daemon.quiet().await, End::Quiet);
        assert_eq!(daemon.store.head().position, head);
        assert!(dry.recorded.is_empty());
        let real = daemon.order::<Container>(&web, START, "start").await.unwrap();
        assert_eq!(dry.events, real.events);
        assert_eq!(daemon.quiet().await, End::Quiet);
        let refused = daemon.give::<Container>(&web, Command::Delete { grave: GRAVE }, "x", None, Mode::DryRun).await;
        assert!(matches!(refused, Err(CommandError::Refused(why)) if why.code == "container.running"));
        daemon.crash();
    });
}

async fn wait_for(daemon: &Daemon, effect: &str) {
    let begun = Instant::now();
    while !daemon.performed().iter().any(|work| work.name() == effect) {
        assert!(begun.elapsed() < Duration::from_mins(2), "{effect} was never performed");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_create_and_a_start_in_flight_are_called_off_at_once_and_leave_nothing() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults { slow: Duration::from_secs(30), ..Faults::default() }).await;
        for (name, command, effect) in [("other", create("other"), "ensure disk"), ("web", START, "ensure running")] {
            let begun = Instant::now();
            daemon.order::<Container>(&container(name), command, name).await.unwrap();
            wait_for(&daemon, effect).await;
            let cancel = Command::Cancel { operation: OperationId::derived(name) };
            daemon.order::<Container>(&container(name), cancel, "cancel").await.unwrap();
            assert!(begun.elapsed() < Duration::from_secs(25), "a cancel does not wait");
        }
        daemon.crash();
        let daemon = Daemon::restart(&scene, Faults::default()).await;
        assert_eq!(daemon.quiet().await, End::Quiet);
        for name in ["other", "web"] {
            let closed = daemon.picture().closed(name).cloned();
            assert!(closed.as_ref().is_some_and(|end| !end.is_success()), "{name}: {closed:?}");
            assert!(!daemon.world().inits.contains_key(&id(name)));
        }
        assert!(!daemon.world().disks.contains_key(&id("other")));
        assert_eq!(daemon.dead_claims(), []);
        daemon.crash();
    });
}

#[test]
fn the_grace_of_a_stop_is_kept_over_a_restart_of_the_daemon() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults::default()).await;
        daemon.tell("web", START).await;
        daemon.world().deaf.insert(id("web"));
        let begun = Instant::now();
        let grace = Span::from_micros(400_000);
        daemon.order::<Container>(&container("web"), Command::Stop { grace, parent: None }, "stop").await.unwrap();
        wait_for(&daemon, "signal init").await;
        daemon.crash();
        let daemon = Daemon::restart(&scene, Faults::default()).await;
        assert_eq!(daemon.quiet().await, End::Quiet);
        assert!(begun.elapsed() >= Duration::from_millis(400), "killed before its grace was over");
        assert!(daemon.history().contains("GraceExpired"));
        assert_eq!(daemon.picture().closed("stop"), Some(&Closing::Done));
        daemon.crash();
    });
}

#[test]
fn a_grave_ends_by_itself_even_if_the_daemon_was_away_meanwhile() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults::default()).await;
        let grave = Span::from_micros(200_000);
        let delete = Command::Delete { grave };
        daemon.order::<Container>(&container("web"), delete, "delete").await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        daemon.crash();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let daemon = Daemon::restart(&scene, Faults::default()).await;
        assert_eq!(daemon.quiet().await, End::Quiet);
        assert!(!daemon.world().disks.contains_key(&id("web")), "{}", daemon.history());
        assert_eq!(daemon.dead_claims(), []);
        daemon.crash();
    });
}

#[test]
fn a_stale_report_changes_nothing() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults::default()).await;
        let head = daemon.store.head().position;
        for operation in ["never", "web"] {
            for step in ["run", "clear", "prepare-disk", "wait-grace", "notify-parent"] {
                let operation = OperationId::derived(operation);
                let report = Report { operation, step, attempt: 1, outcome: Outcome::Woken };
                let command = Command::Report(report);
                let receipt = daemon.order::<Container>(&container("web"), command, "stale").await.unwrap();
                assert!(receipt.events.is_empty());
            }
        }
        assert_eq!(daemon.store.head().position, head);
        daemon.crash();
    });
}

#[test]
fn what_may_pass_is_tried_to_the_policys_bound_and_the_first_and_last_failure_are_recorded() {
    in_system(async {
        let scene = Scene::new();
        let busy = Fault::Transient { effect: "ensure running".to_owned(), step: "link", times: u32::MAX };
        let daemon = founded(&scene, Faults { host: vec![busy], ..Faults::default() }).await;
        daemon.order::<Container>(&container("web"), START, "start").await.unwrap();
        assert_eq!(daemon.quiet().await, End::Quiet);
        let tries = daemon.performed().iter().filter(|work| work.name() == "ensure running").count();
        assert_eq!(tries, 3);
        let closed = daemon.picture().closed("start").cloned();
        assert!(matches!(&closed, Some(Closing::Failed { reason }) if reason.contains("link is busy")), "{closed:?}");
        let history = daemon.history();
        let told = |kind: &str| history.lines().filter(|line| line.contains(kind)).collect::<Vec<_>>();
        assert_eq!(told("StartFailing").len(), 1, "tries are not events: {history}");
        let [first] = told("AttemptFailed")[..] else { panic!("not only the first failure is told: {history}") };
        assert!(first.contains(r#""step":"run""#) && first.contains("link is busy"), "{first}");
        daemon.crash();
        let daemon = Daemon::restart(&scene, Faults::default()).await;
        daemon.tell("web", START).await;
        assert!(daemon.picture().running().contains(&id("web")), "the fact does not stand in the way of a replay");
        daemon.crash();
    });
}

#[test]
fn a_refusal_inside_an_operation_is_recorded_with_its_class_before_what_follows() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults::default()).await;
        let id = ContainerId::derived("second");
        let configuration = Box::new(configuration("web"));
        let create = Command::Create { id, name: "web".parse().unwrap(), configuration, parent: None };
        let stream = StreamName::new(Category::Container, id);
        daemon.order::<Container>(&stream, create, "second").await.unwrap();
        assert_eq!(daemon.quiet().await, End::Quiet);
        let events = daemon.store.read_stream(&stream, Version::default(), 100).unwrap();
        let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds[..3], ["CreateRequested", "AttemptFailed", "CreateFailed"], "{kinds:?}");
        let failed = AttemptFailed::read(&events[1]).unwrap();
        let told = (failed.step.as_str(), failed.class, failed.code.as_deref(), failed.again);
        assert_eq!(told, ("claim-name", Some(RefusalClass::Conflict), Some("name.taken"), false));
        assert_eq!(events[1].context.operation, events[2].context.operation);
        daemon.crash();
        let daemon = Daemon::restart(&scene, Faults::default()).await;
        daemon.tell("web", START).await;
        daemon.crash();
    });
}

#[test]
fn an_init_that_ends_before_its_start_is_recorded_is_not_shown_as_running() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults::default()).await;
        daemon.world().short_lived.insert(id("web"));
        daemon.tell("web", START).await;
        assert!(!daemon.picture().running().contains(&id("web")), "{}", daemon.history());
        daemon.picture().agrees_with(&daemon.world());
        daemon.crash();
    });
}

#[test]
fn a_container_whose_init_and_supervisor_vanished_with_the_daemon_is_shown_stopped() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults::default()).await;
        daemon.tell("web", START).await;
        daemon.world().inits.remove(&id("web"));
        daemon.crash();
        let daemon = Daemon::restart(&scene, Faults::default()).await;
        assert_eq!(daemon.quiet().await, End::Quiet);
        daemon.picture().agrees_with(&daemon.world());
        assert!(!daemon.picture().running().contains(&id("web")), "{}", daemon.history());
        daemon.crash();
    });
}

#[test]
fn an_exit_that_cannot_be_recorded_at_first_is_told_again() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults::default()).await;
        daemon.tell("web", START).await;
        daemon.crash();
        let daemon = Daemon::restart(&scene, Faults { log: Some(LogFault::Refuse(1)), ..Faults::default() }).await;
        daemon.host.inner.end_init(id("web"), Exit::Code(3));
        assert_eq!(daemon.quiet().await, End::Quiet);
        assert!(!daemon.picture().running().contains(&id("web")));
        daemon.crash();
    });
}

/// Orders a stop that cannot be recorded.
fn owe(daemon: &Daemon, operation: &str, grace: Span) -> oneshot::Receiver<Recorded> {
    owe_with(daemon, operation, grace, None)
}

fn owe_with(daemon: &Daemon, operation: &str, grace: Span, key: Option<Idempotency>) -> oneshot::Receiver<Recorded> {
    let given = Given { operation: OperationId::derived(operation), at: SystemClock.now() };
    let command = Command::Stop { grace, parent: None };
    let principal = Principal::local("test", 0);
    let order = Order { command, given, principal, idempotency: key, annex: None, mode: Mode::Commit };
    daemon.registry.owe_stop(UnrecordedStop::new(id("web"), grace, order))
}

fn owe_stop(daemon: &Daemon) {
    drop(owe(daemon, "stop", Span::default()));
}

/// Runs a container that is to be started again whenever it ends, under a log that takes nothing any more; the stop that
/// is made all the same cannot be recorded.
async fn stopped_unrecorded(scene: &Scene) -> Daemon {
    let daemon = founded(scene, Faults::default()).await;
    daemon.tell("web", Command::SetRestart(RestartPolicy::OnFailure)).await;
    daemon.tell("web", START).await;
    daemon.shut_log(true);
    owe_stop(&daemon);
    daemon.host.inner.end_init(id("web"), Exit::Code(3));
    tokio::time::sleep(Duration::from_millis(50)).await;
    daemon
}

/// Waits until the stop is recorded; nothing else of the container is before it, and nothing starts it again.
async fn stays_stopped(daemon: &Daemon) {
    let begun = Instant::now();
    while !daemon.history().contains("ContainerStopped") {
        assert!(begun.elapsed() < Duration::from_mins(2), "{}", daemon.history());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(daemon.quiet().await, End::Quiet);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut events = daemon.store.read_stream(&container("web"), Version::default(), 1_000).unwrap();
    events.retain(|event| event.kind != "ContainerReady");
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    let started = kinds.iter().rposition(|kind| *kind == "ContainerStarted").unwrap();
    assert_eq!(kinds.get(started + 1), Some(&"StopRequested"), "{kinds:?}");
    assert!(!kinds[started + 1..].iter().any(|kind| kind.contains("Start")), "{kinds:?}");
    assert_eq!(events[started + 1].context.principal, Principal::local("test", 0));
    assert!(!daemon.picture().running().contains(&id("web")) && !daemon.world().inits.contains_key(&id("web")));
    assert!(daemon.world().unrecorded.is_empty(), "it would be recorded again");
}

#[test]
fn a_stop_that_was_made_without_a_record_is_recorded_before_the_end_that_it_brought() {
    in_system(async {
        let scene = Scene::new();
        let daemon = stopped_unrecorded(&scene).await;
        daemon.shut_log(false);
        stays_stopped(&daemon).await;
        daemon.tell("web", START).await;
        assert!(daemon.picture().running().contains(&id("web")), "{}", daemon.history());
        daemon.crash();
    });
}

#[test]
fn a_stop_that_was_made_without_a_record_outlives_its_daemon() {
    in_system(async {
        let scene = Scene::new();
        stopped_unrecorded(&scene).await.crash();
        tokio::time::sleep(Duration::from_millis(50)).await; // who was recording it lets go of the log
        let daemon = Daemon::restart(&scene, Faults::default()).await;
        stays_stopped(&daemon).await;
        daemon.crash();
    });
}

/// Returns the kinds of what was recorded in the container's stream for an operation.
fn recorded_for(daemon: &Daemon, operation: &str) -> Vec<String> {
    let mut events = daemon.store.read_stream(&container("web"), Version::default(), 1_000).unwrap();
    events.retain(|event| event.context.operation == OperationId::derived(operation));
    events.iter().map(|event| event.kind.clone()).collect()
}

#[test]
fn stops_that_were_made_without_a_record_are_recorded_in_their_order_and_each_is_told() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults::default()).await;
        daemon.tell("web", START).await;
        daemon.world().deaf.insert(id("web"));
        daemon.shut_log(true);
        let patient = owe(&daemon, "patient", Span::from_secs(60));
        let mut hasty = owe(&daemon, "hasty", Span::default());
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(hasty.try_recv().is_err(), "it is not recorded yet");
        daemon.shut_log(false);
        let kinds = |recorded: Recorded| -> Vec<String> {
            recorded.unwrap().recorded.iter().map(|event| event.kind.clone()).collect()
        };
        assert_eq!(kinds(patient.await.unwrap()), ["StopRequested"]);
        assert_eq!(kinds(hasty.await.unwrap()), ["StopAskedAgain", "GraceExpired"]);
        assert_eq!(daemon.quiet().await, End::Quiet);
        assert!(!daemon.picture().running().contains(&id("web")) && daemon.world().unrecorded.is_empty());
        daemon.crash();
    });
}

#[test]
fn of_very_many_stops_without_a_record_few_are_kept_and_each_is_told() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults::default()).await;
        daemon.tell("web", START).await;
        daemon.world().deaf.insert(id("web"));
        daemon.shut_log(true);
        let kept = || daemon.world().unrecorded.values().map(Vec::len).sum::<usize>();
        let grace = |number: u64| Span::from_secs(if number == 20 { 0 } else { 60 });
        let mut all = vec![owe(&daemon, "stop 0", grace(0))];
        let one = kept();
        all.extend((1..40).map(|number| owe(&daemon, &format!("stop {number}"), grace(number))));
        assert!(kept() < 10 * one, "{} bytes, {one} for one", kept());
        daemon.shut_log(false);
        for told in all {
            assert!(told.await.unwrap().is_ok());
        }
        assert_eq!(daemon.quiet().await, End::Quiet, "none of them waits out a grace that another had cut short");
        assert!(!daemon.picture().running().contains(&id("web")) && daemon.world().unrecorded.is_empty());
        daemon.crash();
    });
}

/// One key for two different stops: the log takes the first.
#[test]
fn a_stop_that_can_never_be_recorded_keeps_no_other_from_it() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults::default()).await;
        daemon.tell("web", START).await;
        daemon.world().deaf.insert(id("web"));
        daemon.shut_log(true);
        let key = |hash| Some(Idempotency { key: "k".to_owned(), request: [hash; 32] });
        let first = owe_with(&daemon, "first", Span::from_secs(60), key(1));
        let never = owe_with(&daemon, "never", Span::from_secs(30), key(2));
        let last = owe(&daemon, "last", Span::default());
        daemon.shut_log(false);
        assert!(first.await.unwrap().is_ok());
        assert!(never.await.unwrap().is_err(), "the key belongs to the first");
        assert!(last.await.unwrap().is_ok());
        assert_eq!(daemon.quiet().await, End::Quiet);
        assert!(daemon.world().unrecorded.is_empty());
        daemon.tell("web", START).await;
        daemon.crash();
    });
}

#[test]
fn all_stops_that_were_made_without_a_record_outlive_their_daemon_and_none_is_made_twice() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults::default()).await;
        daemon.tell("web", START).await;
        daemon.world().deaf.insert(id("web"));
        daemon.shut_log(true);
        for (operation, grace) in [("patient", Span::from_secs(60)), ("hasty", Span::default())] {
            drop(owe(&daemon, operation, grace));
        }
        let kept = daemon.world().unrecorded.clone();
        daemon.crash();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let daemon = Daemon::restart(&scene, Faults::default()).await;
        while recorded_for(&daemon, "hasty").is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(daemon.quiet().await, End::Quiet);
        assert_eq!(recorded_for(&daemon, "patient")[0], "StopRequested");
        assert_eq!(recorded_for(&daemon, "hasty")[0], "StopAskedAgain");
        daemon.tell("web", START).await;
        // What could not be forgotten is found again by the next daemon.
        daemon.world().unrecorded = kept;
        daemon.crash();
        let daemon = Daemon::restart(&scene, Faults::default()).await;
        while !daemon.world().unrecorded.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(daemon.quiet().await, End::Quiet);
        assert!(daemon.picture().running().contains(&id("web")), "{}", daemon.history());
        daemon.crash();
    });
}

/// A part of them, written while they are taken up, would be all that is left of them if the daemon died then.
#[test]
fn stops_without_a_record_are_taken_up_as_a_whole_and_nothing_is_written_for_it() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults::default()).await;
        daemon.tell("web", START).await;
        daemon.world().deaf.insert(id("web"));
        daemon.shut_log(true);
        for operation in ["first", "second", "third"] {
            drop(owe(&daemon, operation, Span::from_secs(60)));
        }
        let kept = daemon.world().unrecorded.clone();
        daemon.crash();
        let revival = Some((Duration::from_mins(1), Duration::from_mins(1)));
        let daemon = Daemon::start(&scene, Faults { revival, ..Faults::default() });
        assert_eq!(daemon.host.kept.load(Ordering::Acquire), 0, "it died meanwhile, and only what it wrote is left");
        assert_eq!(daemon.world().unrecorded, kept);
        daemon.tell("web", Command::Stop { grace: Span::default(), parent: None }).await;
        for operation in ["first", "second", "third"] {
            assert!(!recorded_for(&daemon, operation).is_empty(), "{operation}: {}", daemon.history());
        }
        daemon.crash();
    });
}

#[test]
fn a_start_that_is_open_is_not_made_again_after_a_stop_without_a_record() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults { slow: Duration::from_millis(20), ..Faults::default() }).await;
        daemon.order::<Container>(&container("web"), START, "start").await.unwrap();
        daemon.shut_log(true);
        wait_for(&daemon, "ensure running").await;
        owe_stop(&daemon);
        let work = HostEffect::EnsureStopped { container: id("web") };
        at_once(daemon.registry.house(), &container("web"), OperationId::derived("stop"), work).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!daemon.world().inits.contains_key(&id("web")), "it was started again");
        daemon.shut_log(false);
        assert_eq!(daemon.quiet().await, End::Quiet);
        daemon.tell("web", Command::Stop { grace: Span::default(), parent: None }).await;
        assert!(
            !daemon.world().inits.contains_key(&id("web")) && daemon.picture().open().is_empty(),
            "{}",
            daemon.history()
        );
        daemon.crash();
    });
}

#[test]
fn while_a_start_cannot_be_recorded_it_is_made_again_less_and_less_often() {
    in_system(async {
        let scene = Scene::new();
        let revival = Some((Duration::from_millis(10), Duration::from_secs(10)));
        let faults = Faults { slow: Duration::from_millis(20), revival, ..Faults::default() };
        let daemon = founded(&scene, faults).await;
        daemon.order::<Container>(&container("web"), START, "start").await.unwrap();
        daemon.shut_log(true);
        let tries = || daemon.performed().iter().filter(|work| work.name() == "ensure running").count();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(1) {
            // Who asks it anything makes the actor anew, and does not hurry it.
            let _ = daemon.order::<Container>(&container("web"), Command::SetAutostart(true), "hurry").await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!((2..=8).contains(&tries()), "{} times", tries());
        daemon.shut_log(false);
        assert_eq!(daemon.quiet().await, End::Quiet);
        assert!(daemon.picture().running().contains(&id("web")), "{}", daemon.history());
        daemon.crash();
    });
}

#[test]
fn the_end_of_a_session_is_recorded_once_in_the_name_of_who_opened_it() {
    in_system(async {
        let scene = Scene::new();
        let daemon = Daemon::start(&scene, Faults { log: Some(LogFault::Refuse(2)), ..Faults::default() });
        let session = SessionId::derived("s");
        let stream = StreamName::new(Category::Session, session);
        let open =
            session::Command::Open { id: session, container: id("web"), user: "root".to_owned(), terminal: false };
        daemon.order::<Session>(&stream, open, "enter").await.unwrap();
        daemon.host.inner.end_session(session, 7);
        daemon.host.inner.end_session(session, 0);
        let begun = Instant::now();
        let events = loop {
            let events = daemon.store.read_stream(&stream, Version::default(), 10).unwrap();
            if events.len() > 1 {
                break events;
            }
            assert!(begun.elapsed() < Duration::from_mins(2), "never closed: {}", daemon.history());
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        assert_eq!(events[1].kind, "SessionClosed");
        assert_eq!(events[1].context.principal, events[0].context.principal);
        assert_eq!(events[1].context.operation, OperationId::derived("enter"));
        daemon.crash();
    });
}

#[test]
fn after_a_power_failure_nothing_is_shown_as_running_that_is_not() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults::default()).await;
        daemon.tell("web", START).await;
        daemon.crash();
        let mut world = scene.world.lock().unwrap();
        world.boot = "boot-2".to_owned();
        world.inits.clear();
        world.limits.clear();
        world.marks.retain(|key, _| !key.starts_with("running/"));
        drop(world);
        let daemon = Daemon::restart(&scene, Faults::default()).await;
        assert_eq!(daemon.quiet().await, End::Quiet);
        assert_eq!(daemon.picture().running(), []);
        daemon.picture().agrees_with(&daemon.world());
        daemon.tell("web", START).await;
        daemon.crash();
    });
}

#[test]
fn a_start_that_is_asked_again_after_the_container_ended_starts_nothing() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults::default()).await;
        let operation = OperationId::derived("restore");
        let by = StreamName::new(Category::RestoreJob, "r");
        let (ask, step) = (Ask::StartContainer, "start");
        let (at, principal) = (SystemClock.now(), Principal::local("test", 0));
        let asked = Asked { operation: ask.operation(operation, step), ask, by, step, at, principal };
        daemon.registry.ask(&container("web"), asked.clone(), None).await.unwrap();
        assert_eq!(daemon.quiet().await, End::Quiet);
        daemon.tell("web", Command::Stop { grace: Span::default(), parent: None }).await;
        daemon.crash();
        let daemon = Daemon::restart(&scene, Faults::default()).await;
        let head = daemon.store.head().position;
        assert_eq!(daemon.registry.ask(&container("web"), asked.clone(), None).await.unwrap(), Answer::Accepted);
        assert_eq!(daemon.quiet().await, End::Quiet);
        assert_eq!(daemon.store.head().position, head, "{}", daemon.history());
        let other = Asked { step: "again", operation: OperationId::derived("again"), ..asked };
        daemon.registry.ask(&container("web"), other, None).await.unwrap();
        assert_eq!(daemon.quiet().await, End::Quiet);
        assert!(daemon.picture().running().contains(&id("web")), "another step is another ask");
        daemon.crash();
    });
}

#[test]
fn a_batch_that_is_called_off_takes_its_runs_with_it() {
    in_system(async {
        let scene = Scene::new();
        let daemon = founded(&scene, Faults { slow: Duration::from_secs(30), ..Faults::default() }).await;
        let member = |name: &str| BatchMember {
            container: id(name),
            run: RunId::derived(name),
            operation: OperationId::derived(name),
            backup: BackupId::derived(name),
        };
        let request = batch::Request {
            id: RunId::derived("run"),
            action: BatchAction::Defragment,
            members: ["web", "bystander"].map(member).into(),
            schedule: None,
            parallel: 1,
            parent: None,
        };
        let stream = StreamName::new(Category::Batch, RunId::derived("run"));
        daemon.order::<Batch>(&stream, batch::Command::Request(request), "batch").await.unwrap();
        wait_for(&daemon, "defragment").await;
        let cancel = batch::Command::Cancel { operation: OperationId::derived("batch") };
        daemon.order::<Batch>(&stream, cancel, "batch").await.unwrap();
        assert_eq!(daemon.quiet().await, End::Quiet);
        let picture = daemon.picture();
        assert_eq!(picture.closed("batch"), Some(&Closing::Cancelled), "{}", daemon.history());
        assert_eq!(picture.closed("web"), Some(&Closing::Cancelled));
        assert_eq!(picture.closed("bystander"), None, "what waited never began");
        assert_eq!(daemon.performed().iter().filter(|work| work.name() == "defragment").count(), 1);
        assert!(daemon.history().contains(r#"{"cancelled":2,"total":2}"#), "{}", daemon.history());
        assert_eq!(daemon.dead_claims(), []);
        daemon.crash();
    });
}
