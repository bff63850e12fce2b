//! The rules of a container, as given, when, then.

mod held;

use std::collections::BTreeMap;

use super::{Command, Container, Rejection};
use crate::domain::effect::{Action, Answer, Ask, Asked, Due, Facts, Failure, HostEffect, Outcome, Report};
use crate::domain::testing::{Decided, asked, given};
use crate::domain::{Aggregate, Given, Refusal, RefusalClass};
use crate::events::{
    AddressRequest, Configuration, ContainerEvent, DiskKind, DomainEvent as _, Exit, HoldKind, InitKind, KillReason,
    LimitChange, Limits, ProcessIdentity, RestartPolicy, StopReason,
};
use crate::types::{
    Category, ContainerId, HostName, Managed, Name, NetworkId, OperationId, Size, Span, StreamName, TemplateId,
    Timestamp,
};

fn id() -> ContainerId {
    ContainerId::derived("web1")
}

fn operation() -> OperationId {
    OperationId::derived("test")
}

fn name() -> Name {
    "web1".parse().unwrap()
}

fn configuration() -> Configuration {
    Configuration {
        hostname: name().into(),
        managed: crate::types::Managed::default(),
        template: TemplateId::derived("debian"),
        limits: Limits { disk: Size::from_mib(1024), ..Limits::default() },
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

fn create() -> Command {
    Command::Create { id: id(), name: name(), configuration: Box::new(configuration()), parent: None }
}

fn requested() -> ContainerEvent {
    ContainerEvent::CreateRequested { id: id(), name: name(), configuration: configuration(), parent: None }
}

fn claimed() -> Vec<ContainerEvent> {
    vec![
        requested(),
        ContainerEvent::NameClaimed,
        ContainerEvent::IdRangeClaimed { base: 1_000_000_000, count: 65_536 },
        ContainerEvent::TemplateClaimed { digest: "d".to_owned(), init: Some(InitKind::Systemd) },
    ]
}

fn stopped() -> Vec<ContainerEvent> {
    let mut history = claimed();
    history.extend([ContainerEvent::DiskPrepared, ContainerEvent::ContainerCreated]);
    history
}

fn init() -> ProcessIdentity {
    ProcessIdentity { boot: "boot-1".to_owned(), pid: 42, started: 7 }
}

fn running() -> Vec<ContainerEvent> {
    let mut history = stopped();
    history.push(ContainerEvent::StartRequested { parent: None });
    history.push(ContainerEvent::ContainerStarted {
        init: init(),
        took: Span::from_micros(3000),
        warnings: vec![],
        kept: vec![],
    });
    history
}

fn stopping() -> Vec<ContainerEvent> {
    let mut history = running();
    let deadline = Timestamp::from_micros(31_000_000);
    history.push(ContainerEvent::StopRequested { deadline, grace: Span::from_secs(30), parent: None });
    history
}

fn report(step: &'static str, outcome: Outcome) -> Command {
    Command::Report(Report { operation: operation(), step, attempt: 1, outcome })
}

fn failed(step: &'static str) -> Command {
    report(step, Outcome::Failed(Failure::permanent("no space")))
}

#[track_caller]
fn when(history: Vec<ContainerEvent>, command: Command) -> Decided<Container> {
    given(history).when(command)
}

#[test]
fn it_should_claim_everything_in_order_before_it_touches_the_disk() {
    let steps = ["claim-name", "claim-ids", "claim-template", "prepare-disk"];
    let history = claimed();
    for (index, step) in steps.into_iter().enumerate() {
        let owed = given::<Container>(history[..=index].to_vec()).owes();
        assert_eq!(owed.map(|effect| effect.step), Some(step));
    }
}

#[test]
fn it_should_be_stopped_once_its_disk_is_there() {
    when(claimed(), report("prepare-disk", Outcome::Done(Facts::None)))
        .then([ContainerEvent::DiskPrepared, ContainerEvent::ContainerCreated])
        .owing(None);
}

#[test]
fn it_should_take_back_every_claim_when_the_disk_cannot_be_made() {
    let mut history = claimed();
    history.push(ContainerEvent::CreateFailed { reason: "no space".to_owned() });
    for (step, outcome, event) in [
        ("remove-disk", Outcome::Done(Facts::None), ContainerEvent::DiskRemoved),
        ("release-template", Outcome::Answered(Answer::Accepted), ContainerEvent::TemplateReleased),
        ("release-ids", Outcome::Answered(Answer::Accepted), ContainerEvent::IdRangeReleased),
    ] {
        when(history.clone(), report(step, outcome)).then([event.clone()]);
        history.push(event);
    }
    let undone = ContainerEvent::CreateUndone { reason: "no space".to_owned() };
    when(history, report("release-name", Outcome::Answered(Answer::Accepted)))
        .then([ContainerEvent::NameReleased, undone])
        .owing(None);
}

#[test]
fn it_should_undo_a_creation_whose_name_is_taken() {
    let refusal = Refusal::new(RefusalClass::Conflict, "name.taken", "the name web1 is taken");
    when(vec![requested()], report("claim-name", Outcome::Refused(refusal)))
        .then([ContainerEvent::CreateFailed { reason: "the name web1 is taken".to_owned() }])
        .owing(Some("remove-disk"));
}

#[test]
fn it_should_take_a_repeated_create_for_the_first() {
    when(stopped(), create()).then_nothing();
    let mut other = configuration();
    other.autostart = true;
    let command = Command::Create { id: id(), name: name(), configuration: Box::new(other), parent: None };
    when(stopped(), command).then_refused("container.exists");
}

#[test]
fn it_should_refuse_limits_that_cannot_work() {
    let fine = configuration().limits;
    let cases = [
        (Limits { disk: Size::from_mib(1), ..fine }, "container.disk-too-small"),
        (Limits { memory: Some(Size::from_mib(1)), ..fine }, "container.memory-too-small"),
        (Limits { disk: Size::from_mib((16 << 20) + 1), ..fine }, "container.disk-too-large"),
        (Limits { memory: Some(Size::from_bytes(u64::MAX)), ..fine }, "container.memory-too-large"),
        (Limits { pids: Some(1), ..fine }, "container.pids-too-few"),
        (Limits { pids: Some(4_194_305), ..fine }, "container.pids-too-many"),
    ];
    for (limits, code) in cases {
        let configuration = Configuration { limits, ..configuration() };
        let command = Command::Create { id: id(), name: name(), configuration: Box::new(configuration), parent: None };
        when(vec![], command).then_refused(code);
    }
}

#[test]
fn it_should_start_with_two_commits() {
    when(stopped(), Command::Start { parent: None })
        .then([ContainerEvent::StartRequested { parent: None }])
        .owing(Some("run"));
    when(running(), Command::Start { parent: None }).then_nothing();
}

#[test]
fn it_should_clear_away_a_start_that_failed() {
    let mut history = stopped();
    history.push(ContainerEvent::StartRequested { parent: None });
    when(history.clone(), failed("run"))
        .then([ContainerEvent::StartFailing { reason: "no space".to_owned() }])
        .owing(Some("clear"));
    history.push(ContainerEvent::StartFailing { reason: "no space".to_owned() });
    when(history, report("clear", Outcome::Done(Facts::None)))
        .then([ContainerEvent::StartFailed { reason: "no space".to_owned() }])
        .owing(None);
}

#[test]
fn it_should_come_loose_by_a_stop_when_a_start_could_not_be_cleared_away() {
    let mut history = stopped();
    history.push(ContainerEvent::StartRequested { parent: None });
    history.push(ContainerEvent::StartFailing { reason: "no space".to_owned() });
    history.push(ContainerEvent::UndoStuck { reason: "busy".to_owned() });
    when(history.clone(), Command::Start { parent: None }).then_refused("container.stuck");
    let deadline = Timestamp::from_micros(10_000_000);
    let loosened = [ContainerEvent::StopRequested { deadline, grace: Span::from_secs(9), parent: None }];
    when(history.clone(), Command::Stop { grace: Span::from_secs(9), parent: None })
        .then(loosened.clone())
        .owing(Some("clear"));
    history.extend(loosened);
    when(history, report("clear", Outcome::Done(Facts::None)))
        .then([ContainerEvent::ContainerStopped { reason: StopReason::Requested, exit: Exit::Unknown }])
        .owing(None);
}

#[test]
fn it_should_signal_then_wait_then_kill() {
    let why = KillReason::Outlasted { grace: Span::from_secs(30) };
    let outlasted = ContainerEvent::GraceExpired { why };
    when(stopping(), report("signal", Outcome::Done(Facts::None)))
        .then([ContainerEvent::StopSignalled])
        .owing(Some("wait-grace"));
    let mut history = stopping();
    history.push(ContainerEvent::StopSignalled);
    when(history.clone(), report("wait-grace", Outcome::Woken)).then([outlasted.clone()]).owing(Some("clear"));
    history.push(outlasted);
    when(history, report("clear", Outcome::Done(Facts::None)))
        .then([ContainerEvent::ContainerStopped { reason: StopReason::Killed { why }, exit: Exit::Killed }]);
    let untold = ContainerEvent::GraceExpired { why: KillReason::Untold };
    when(stopping(), failed("signal")).then([untold]).owing(Some("clear"));
}

#[test]
fn it_should_not_wait_once_init_has_ended() {
    let mut history = stopping();
    history.push(ContainerEvent::StopSignalled);
    when(history.clone(), Command::ReportExit { init: init(), exit: Exit::PowerOff, hits: Box::default() })
        .then([ContainerEvent::InitExited { exit: Exit::PowerOff }])
        .owing(Some("clear"));
    history.push(ContainerEvent::InitExited { exit: Exit::PowerOff });
    when(history.clone(), Command::ReportExit { init: init(), exit: Exit::PowerOff, hits: Box::default() })
        .then_nothing();
    when(history, report("clear", Outcome::Done(Facts::None)))
        .then([ContainerEvent::ContainerStopped { reason: StopReason::Requested, exit: Exit::PowerOff }])
        .owing(None);
}

#[test]
fn it_should_start_again_after_a_reboot_from_inside() {
    let mut history = running();
    history.push(ContainerEvent::InitExited { exit: Exit::Reboot });
    when(history, report("clear", Outcome::Done(Facts::None))).then([halted(Exit::Reboot, 1, 0)]).owing(Some("run"));
}

fn halted(exit: Exit, restarts: u32, seconds: i64) -> ContainerEvent {
    ContainerEvent::ContainerHalted { exit, restarts, delay: Span::from_secs(seconds) }
}

fn started() -> ContainerEvent {
    ContainerEvent::ContainerStarted { init: init(), took: Span::default(), warnings: vec![], kept: vec![] }
}

#[test]
fn it_should_make_its_own_identity_until_it_has_run_once_and_never_again() {
    let first = |history: Vec<ContainerEvent>| {
        let mut state = Container::default();
        for event in history {
            state.evolve(&event, Given { operation: operation(), at: Timestamp::default() });
        }
        let Some(Action::Host(work)) = state.next_effect().map(|effect| effect.action) else { panic!("owes nothing") };
        let HostEffect::EnsureRunning(run) = *work else { panic!("owes {work:?}") };
        run.first
    };
    let start = ContainerEvent::StartRequested { parent: None };
    let failed = ContainerEvent::StartFailed { reason: "no".to_owned() };
    assert!(first(with(stopped(), [start.clone()])));
    assert!(first(with(stopped(), [start.clone(), failed, start.clone()])), "nobody has seen it yet");
    let exit = Exit::Code(0);
    let stopped = ContainerEvent::ContainerStopped { reason: StopReason::Exited, exit };
    assert!(!first(with(running(), [ContainerEvent::InitExited { exit }, stopped, start])));
    assert!(!first(with(running(), [ContainerEvent::InitExited { exit: Exit::Reboot }, halted(Exit::Reboot, 1, 0)])));
}

fn called_off(verb: &str, wish: &str) -> ContainerEvent {
    ContainerEvent::OperationCalledOff { operation: operation(), verb: verb.to_owned(), wish: wish.to_owned() }
}

fn stop(grace: i64) -> Command {
    Command::Stop { grace: Span::from_secs(grace), parent: None }
}

fn stop_requested(second: i64) -> ContainerEvent {
    let deadline = Timestamp::from_micros(second * 1_000_000);
    ContainerEvent::StopRequested { deadline, grace: Span::from_secs(second - 1), parent: None }
}

/// Gives a command of another operation than the one that is under way.
#[track_caller]
fn beside(history: Vec<ContainerEvent>, command: Command) -> Decided<Container> {
    given(history).operation(OperationId::derived("another")).when(command)
}

fn with(mut history: Vec<ContainerEvent>, more: impl IntoIterator<Item = ContainerEvent>) -> Vec<ContainerEvent> {
    history.extend(more);
    history
}

#[test]
fn it_should_stand_still_for_longer_each_time_it_starts_again_by_itself() {
    let mut history = running();
    for (restarts, seconds) in [(1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (6, 16), (7, 32), (8, 64), (9, 128), (10, 256)]
    {
        history.push(ContainerEvent::InitExited { exit: Exit::Reboot });
        let fact = halted(Exit::Reboot, restarts, seconds);
        let next = if seconds == 0 { "run" } else { "wait-restart" };
        when(history.clone(), report("clear", Outcome::Done(Facts::None))).then([fact.clone()]).owing(Some(next));
        history.push(fact);
        if seconds > 0 {
            when(history.clone(), report("wait-restart", Outcome::Woken))
                .then([ContainerEvent::RestartDue])
                .owing(Some("run"));
            history.push(ContainerEvent::RestartDue);
        }
        history.push(started());
    }
    history.push(ContainerEvent::InitExited { exit: Exit::Reboot });
    when(history, report("clear", Outcome::Done(Facts::None))).then([halted(Exit::Reboot, 11, 300)]);
    assert_eq!(super::delay_after(u32::MAX), Span::from_secs(300));
}

#[test]
fn it_should_count_anew_once_it_has_run_well_for_a_while() {
    let mut state = Container::default();
    let at = |seconds: i64| Given { operation: operation(), at: Timestamp::from_micros(seconds * 1_000_000) };
    for event in running() {
        state.evolve(&event, at(0));
    }
    for (second, delay) in [(599, 0), (700, 1), (1400, 0), (1500, 1)] {
        state.evolve(&ContainerEvent::InitExited { exit: Exit::Reboot }, at(second));
        let facts = state.decide(&report("clear", Outcome::Done(Facts::None)), at(second)).unwrap();
        assert!(
            matches!(&facts[..], [ContainerEvent::ContainerHalted { delay: told, .. }] if *told == Span::from_secs(delay)),
            "{facts:?}"
        );
        state.evolve(&facts[0], at(second));
        state.evolve(&started(), at(second));
    }
}

#[test]
fn it_should_start_again_by_itself_as_its_policy_says() {
    let ends = [Exit::Reboot, Exit::PowerOff, Exit::Code(0), Exit::Code(3), Exit::Signal(11), Exit::Unknown];
    for (policy, again) in [
        (RestartPolicy::Never, [false; 6]),
        (RestartPolicy::OnReboot, [true, false, false, false, false, false]),
        (RestartPolicy::OnFailure, [true, false, false, true, true, true]),
    ] {
        for (exit, again) in ends.into_iter().zip(again) {
            let history =
                with(running(), [ContainerEvent::RestartPolicySet { policy }, ContainerEvent::InitExited { exit }]);
            let stopped = ContainerEvent::ContainerStopped { reason: StopReason::Exited, exit };
            let wanted = if again { halted(exit, 1, 0) } else { stopped };
            when(history, report("clear", Outcome::Done(Facts::None))).then([wanted]);
        }
    }
    let hostname: HostName = "a.example".parse().unwrap();
    when(running(), Command::SetHostName(name().into())).then_nothing();
    when(running(), Command::SetHostName(hostname.clone())).then([ContainerEvent::HostNameSet { hostname }]);
    when(running(), Command::SetNesting(false)).then_nothing();
    when(running(), Command::SetNesting(true)).then([ContainerEvent::NestingSet { nesting: true }]);
    when(with(stopped(), [ContainerEvent::NestingSet { nesting: true }]), Command::SetNesting(true)).then_nothing();
    when(stopped(), Command::SetManaged(Managed::UntilChanged)).then_nothing();
    let managed: Managed = "hosts".parse().unwrap();
    when(stopped(), Command::SetManaged(managed.clone())).then([ContainerEvent::ManagedFilesSet { managed }]);
    when(stopped(), Command::SetRestart(RestartPolicy::OnReboot)).then_nothing();
    when(stopped(), Command::SetRestart(RestartPolicy::Never))
        .then([ContainerEvent::RestartPolicySet { policy: RestartPolicy::Never }]);
}

#[test]
fn it_should_stop_whatever_else_is_under_way() {
    let (verb, starting) = ("start", with(stopped(), [ContainerEvent::StartRequested { parent: None }]));
    beside(starting.clone(), stop(9)).then([called_off(verb, "stop"), stop_requested(10)]).owing(Some("clear"));
    beside(starting, stop(0)).then([called_off(verb, "stop"), stop_requested(1)]).owing(Some("clear"));
    let rebooting = with(running(), [ContainerEvent::InitExited { exit: Exit::Reboot }]);
    let waiting = with(rebooting.clone(), [halted(Exit::Reboot, 2, 1)]);
    for history in [rebooting, waiting.clone(), with(waiting, [ContainerEvent::RestartDue])] {
        let verb = if matches!(history.last(), Some(ContainerEvent::RestartDue)) { "start" } else { "restart" };
        for grace in [0, 9] {
            beside(history.clone(), stop(grace))
                .then([called_off(verb, "stop"), stop_requested(1 + grace)])
                .owing(Some("clear"));
        }
    }
    let restarting = with(
        running(),
        [ContainerEvent::RestartRequested { deadline: Timestamp::from_micros(9), grace: Span::default() }],
    );
    beside(restarting, stop(9)).then([called_off("restart", "stop"), stop_requested(10)]).owing(Some("signal"));
    let change = LimitChange { memory: Some(Some(Size::from_mib(64))), ..LimitChange::default() };
    for (fact, verb) in
        [(ContainerEvent::PauseRequested, "pause"), (ContainerEvent::LimitChangeRequested { change }, "set")]
    {
        let history = with(running(), [fact]);
        beside(history.clone(), stop(9)).then([called_off(verb, "stop"), stop_requested(10)]).owing(Some("signal"));
        beside(history, stop(0))
            .then([
                called_off(verb, "stop"),
                stop_requested(1),
                ContainerEvent::GraceExpired { why: KillReason::Asked },
            ])
            .owing(Some("clear"));
    }
}

#[test]
fn it_should_end_a_rename_before_the_stop_that_overtook_it() {
    let renaming = with(running(), [ContainerEvent::RenameRequested { name: "web2".parse().unwrap() }]);
    beside(renaming.clone(), stop(9)).then([stop_requested(10)]).owing(Some("exchange-name"));
    let both = with(renaming, [stop_requested(10)]);
    when(both, report("exchange-name", Outcome::Answered(Answer::Accepted)))
        .then([ContainerEvent::ContainerRenamed { name: "web2".parse().unwrap() }])
        .owing(Some("signal"));
}

#[test]
fn it_should_join_the_stop_that_is_under_way() {
    let told = with(stopping(), [ContainerEvent::StopSignalled]);
    let asked = |second: i64| {
        let deadline = Timestamp::from_micros(second * 1_000_000);
        ContainerEvent::StopAskedAgain { deadline, parent: None }
    };
    beside(told.clone(), stop(0))
        .then([asked(1), ContainerEvent::GraceExpired { why: KillReason::AskedMeanwhile }])
        .owing(Some("clear"));
    for (grace, second) in [(9, 10), (900, 31)] {
        beside(told.clone(), stop(grace)).then([asked(second)]).owing(Some("wait-grace"));
    }
    let why = KillReason::Outlasted { grace: Span::from_secs(9) };
    when(with(told.clone(), [asked(10)]), report("wait-grace", Outcome::Woken))
        .then([ContainerEvent::GraceExpired { why }]);
    when(told, stop(9)).then_nothing();
    let ended = with(running(), [ContainerEvent::InitExited { exit: Exit::Code(1) }]);
    beside(ended, stop(9)).then([called_off("stop", "stop"), stop_requested(10)]).owing(Some("clear"));
}

#[test]
fn it_should_know_how_its_init_ended_when_a_stop_overtakes_a_reboot() {
    let history = with(
        running(),
        [ContainerEvent::InitExited { exit: Exit::Reboot }, called_off("restart", "stop"), stop_requested(10)],
    );
    when(history, report("clear", Outcome::Done(Facts::None)))
        .then([ContainerEvent::ContainerStopped { reason: StopReason::Requested, exit: Exit::Reboot }])
        .owing(None);
}

#[test]
fn it_should_clear_away_at_once_when_the_init_to_be_told_has_ended() {
    when(stopping(), report("signal", Outcome::Done(Facts::InitEnded { exit: Exit::Code(3), hits: Box::default() })))
        .then([ContainerEvent::InitExited { exit: Exit::Code(3) }])
        .owing(Some("clear"));
}

#[test]
fn it_should_be_deleted_whatever_else_is_under_way_but_not_while_it_runs() {
    let delete = || Command::Delete { grave: Span::from_secs(60) };
    let requested = ContainerEvent::DeleteRequested { until: Timestamp::from_micros(61_000_000) };
    let starting = with(stopped(), [ContainerEvent::StartRequested { parent: None }]);
    beside(starting.clone(), delete()).then([called_off("start", "delete"), requested.clone()]).owing(Some("clear"));
    let deleting = with(starting, [called_off("start", "delete"), requested.clone()]);
    when(deleting, report("clear", Outcome::Done(Facts::None)))
        .then([ContainerEvent::RemainsCleared])
        .owing(Some("release-name"));
    let waiting = with(running(), [ContainerEvent::InitExited { exit: Exit::Reboot }, halted(Exit::Reboot, 2, 1)]);
    beside(waiting, delete()).then([called_off("restart", "delete"), requested]).owing(Some("release-name"));
    beside(claimed(), delete())
        .then([called_off("create", "delete"), ContainerEvent::PurgeRequested])
        .owing(Some("remove-disk"));
    beside(stopping(), delete()).then_refused("container.running");
}

#[test]
fn it_should_go_for_good_when_its_maker_takes_back_what_somebody_deletes() {
    let deleting = with(stopped(), [ContainerEvent::DeleteRequested { until: Timestamp::from_micros(61_000_000) }]);
    let parent = StreamName::new(Category::RestoreJob, "run");
    beside(deleting, Command::Remove { parent })
        .then([called_off("delete", "remove"), ContainerEvent::PurgeRequested])
        .owing(Some("remove-disk"));
}

#[test]
fn it_should_call_off_what_can_still_be_called_off() {
    let cancel = Command::Cancel { operation: operation() };
    let restarting = with(
        running(),
        [ContainerEvent::RestartRequested { deadline: Timestamp::from_micros(9), grace: Span::default() }],
    );
    beside(restarting, cancel.clone()).then([called_off("restart", "cancel")]).owing(None);
    let waiting = with(running(), [ContainerEvent::InitExited { exit: Exit::Reboot }, halted(Exit::Reboot, 2, 1)]);
    beside(waiting.clone(), cancel.clone()).then([called_off("restart", "cancel")]).owing(None);
    let start = ContainerEvent::StartRequested { parent: None };
    beside(waiting, Command::Start { parent: None }).then([called_off("restart", "start"), start]).owing(Some("run"));
    beside(with(stopping(), [ContainerEvent::GraceExpired { why: KillReason::Asked }]), cancel)
        .then_refused("operation.too-late");
}

#[test]
fn it_should_tell_an_end_that_a_called_off_stop_brought_about() {
    let mut state = Container::default();
    let at = |seconds: i64| Given { operation: operation(), at: Timestamp::from_micros(seconds * 1_000_000) };
    for event in with(stopping(), [ContainerEvent::StopSignalled, called_off("stop", "cancel")]) {
        state.evolve(&event, at(0));
    }
    let exit = Exit::PowerOff;
    for (second, reason) in [(2, StopReason::CalledOff), (299, StopReason::CalledOff), (300, StopReason::Exited)] {
        let mut state = state.clone();
        state.evolve(&ContainerEvent::InitExited { exit }, at(second));
        let facts = state.decide(&report("clear", Outcome::Done(Facts::None)), at(second)).unwrap();
        assert_eq!(facts, [ContainerEvent::ContainerStopped { reason, exit }], "{second}");
    }
    let told = ContainerEvent::ContainerStopped { reason: StopReason::CalledOff, exit };
    assert!(told.sentence().contains("called off") && !told.sentence().contains("by itself"), "{}", told.sentence());
}

#[test]
fn it_should_be_interrupted_by_another_boot() {
    when(running(), Command::ReportBoot { boot: "boot-1".to_owned() }).then_nothing();
    when(running(), Command::ReportBoot { boot: "boot-2".to_owned() })
        .then([ContainerEvent::ContainerInterrupted { boot: "boot-2".to_owned() }])
        .owing(None);
}

#[test]
fn it_should_close_what_its_exit_leaves_without_object() {
    let mut history = running();
    history.push(ContainerEvent::PauseRequested);
    when(history, Command::ReportExit { init: init(), exit: Exit::Code(1), hits: Box::default() })
        .then([
            ContainerEvent::PauseFailed { reason: "its init ended".to_owned() },
            ContainerEvent::InitExited { exit: Exit::Code(1) },
        ])
        .owing(Some("clear"));
}

#[test]
fn it_should_go_on_by_itself_only_where_space_alone_made_it_stand_still() {
    let left = Size::from_mib(90);
    let short = ContainerEvent::SpacePauseRequested { left };
    when(running(), Command::PauseForSpace { left }).then([short.clone()]).owing(Some("pause"));
    let mut by_space = running();
    by_space.extend([short, ContainerEvent::ContainerPaused]);
    when(by_space.clone(), Command::PauseForSpace { left }).then_nothing();
    when(by_space.clone(), Command::ResumeWithSpace).then([ContainerEvent::ResumeRequested]).owing(Some("resume"));
    when(by_space.clone(), Command::Resume).then([ContainerEvent::ResumeRequested]);
    by_space.extend([ContainerEvent::ResumeRequested, ContainerEvent::ContainerResumed]);
    by_space.extend([ContainerEvent::PauseRequested, ContainerEvent::ContainerPaused]);
    when(by_space, Command::ResumeWithSpace).then_nothing();
    when(stopped(), Command::PauseForSpace { left }).then_refused("container.not-running");
}

#[test]
fn it_should_tell_what_was_ended_because_it_wrote_on() {
    let names: Vec<String> = (0..40).map(|number| format!("cp{:02}", number / 2)).collect();
    let told =
        ContainerEvent::WritersEnded { count: 40, names: (0..10).map(|number| format!("cp{number:02}")).collect() };
    let mut pausing = running();
    pausing.push(ContainerEvent::SpacePauseRequested { left: Size::from_mib(90) });
    let ended = Command::ReportWritersEnded { names };
    when(pausing.clone(), ended.clone()).then([told.clone()]).owing(Some("pause"));
    pausing.push(ContainerEvent::ContainerPaused);
    when(pausing, ended.clone()).then([told.clone()]).owing(None);
    // One of them was its init: that it ended may have been recorded first.
    when(stopped(), ended.clone()).then([told]).owing(None);
    when(vec![], ended).then_nothing();
}

#[test]
fn it_should_ignore_a_stale_report() {
    when(running(), report("run", Outcome::Done(Facts::None))).then_nothing();
    let foreign =
        Report { operation: OperationId::derived("other"), step: "signal", attempt: 1, outcome: Outcome::Woken };
    when(stopping(), Command::Report(foreign)).then_nothing();
    let other = ProcessIdentity { pid: 43, ..init() };
    when(running(), Command::ReportExit { init: other, exit: Exit::Code(0), hits: Box::default() }).then_nothing();
}

#[test]
fn it_should_keep_deletion_and_growth_away_from_a_reader() {
    let mut history = stopped();
    history.push(ContainerEvent::HoldPlaced { operation: OperationId::derived("backup"), kind: HoldKind::Reading });
    when(history.clone(), Command::Delete { grave: Span::from_secs(60) }).then_refused("container.held");
    let grow = LimitChange { disk: Some(Size::from_mib(2048)), ..LimitChange::default() };
    when(history.clone(), Command::ChangeLimits(grow)).then_refused("container.held");
    when(history.clone(), Command::Hold { kind: HoldKind::Writing, by: StreamName::new(Category::BackupJob, "b") })
        .then_refused("container.held");
    when(history, Command::Start { parent: None }).then([ContainerEvent::StartRequested { parent: None }]);
}

#[test]
fn it_should_tell_who_asks_for_a_stop_that_it_stands_still_though_something_else_is_under_way() {
    let mut history = stopped();
    let asked = asked(Ask::StopContainer, StreamName::new(Category::RestoreJob, "r"));
    history.push(ContainerEvent::RenameRequested { name: "shop".parse().unwrap() });
    let other = Asked { operation: OperationId::derived("other"), ..asked.clone() };
    assert_eq!(given::<Container>(history.clone()).state().answer(&other), Answer::AlreadySo);
    assert_eq!(given::<Container>(running()).state().answer(&asked), Answer::Accepted);
}

#[test]
fn it_should_grow_the_disk_before_it_sets_other_limits() {
    let change = LimitChange {
        disk: Some(Size::from_mib(2048)),
        memory: Some(Some(Size::from_mib(64))),
        ..LimitChange::default()
    };
    when(running(), Command::ChangeLimits(change))
        .then([ContainerEvent::LimitChangeRequested { change }])
        .owing(Some("disk-size"));
    let mut history = running();
    history.push(ContainerEvent::LimitChangeRequested { change });
    when(history, report("disk-size", Outcome::Done(Facts::None)))
        .then([ContainerEvent::DiskGrown { size: Size::from_mib(2048) }])
        .owing(Some("limits"));
    let shrink = LimitChange { disk: Some(Size::from_mib(512)), ..LimitChange::default() };
    when(running(), Command::ChangeLimits(shrink)).then_refused("container.disk-shrinks");
}

#[test]
fn it_should_lie_in_its_grave_until_its_time_is_over() {
    when(running(), Command::Delete { grave: Span::from_secs(60) }).then_refused("container.running");
    let until = Timestamp::from_micros(61_000_000);
    when(stopped(), Command::Delete { grave: Span::from_secs(60) })
        .then([ContainerEvent::DeleteRequested { until }])
        .owing(Some("release-name"));
    let mut history = stopped();
    history.extend([
        ContainerEvent::DeleteRequested { until },
        ContainerEvent::NameReleased,
        ContainerEvent::ContainerBuried { until },
    ]);
    assert_eq!(given::<Container>(history.clone()).owes().map(|effect| effect.step), Some("grave"));
    when(history.clone(), Command::Start { parent: None }).then_refused("container.deleted");
    when(history.clone(), Command::Undelete { name: None, place: None })
        .then([ContainerEvent::UndeleteRequested { name: name() }])
        .owing(Some("claim-name"));
    let requested = ContainerEvent::UndeleteRequested { name: name() };
    let nowhere = ContainerEvent::NetworkSet { network: None, address: AddressRequest::Auto };
    let place = Some((None, AddressRequest::Auto));
    let mut back = history.clone();
    back.extend([requested.clone(), nowhere.clone()]);
    when(back, report("claim-name", Outcome::Answered(Answer::Accepted)))
        .then([ContainerEvent::NameClaimed, ContainerEvent::ContainerUndeleted]);
    when(history.clone(), Command::Undelete { name: None, place }).then([requested, nowhere]).owing(Some("claim-name"));
    when(history, Command::Purge).then([ContainerEvent::PurgeRequested]).owing(Some("remove-disk"));
}

#[test]
fn it_should_be_as_it_was_once_it_could_not_come_back() {
    let mut history = stopped();
    let until = Timestamp::from_micros(61_000_000);
    history.extend([
        ContainerEvent::DeleteRequested { until },
        ContainerEvent::AddressReleased,
        ContainerEvent::NameReleased,
        ContainerEvent::ContainerBuried { until },
    ]);
    let buried = given::<Container>(history.clone()).state();
    let before = buried.record.as_ref().map(|record| record.configuration.clone()).unwrap();
    let other: Name = "other".parse().unwrap();
    history.extend([
        ContainerEvent::UndeleteRequested { name: other.clone() },
        ContainerEvent::NetworkSet { network: Some(NetworkId::derived("other")), address: AddressRequest::Auto },
        ContainerEvent::NameClaimed,
    ]);
    when(history.clone(), report("lease-address", Outcome::Failed(Failure::permanent("full"))))
        .then([ContainerEvent::UndeleteFailing { reason: "full".to_owned() }])
        .owing(Some("release-name"));
    history.push(ContainerEvent::UndeleteFailing { reason: "full".to_owned() });
    let facts = [
        ContainerEvent::NameReleased,
        ContainerEvent::NetworkSet { network: before.network, address: before.address },
        ContainerEvent::UndeleteFailed { name: name(), reason: "full".to_owned() },
    ];
    when(history.clone(), report("release-name", Outcome::Answered(Answer::Accepted))).then(facts.clone());
    history.extend(facts);
    let record = given::<Container>(history).state().record.unwrap();
    assert_eq!((record.name, record.configuration), (name(), before));
}

#[test]
fn it_should_lie_as_long_again_once_somebody_could_not_have_it_back() {
    let until = Timestamp::from_micros(-1_000_000_000); // long past: the clock was behind when it was buried
    let mut state = given::<Container>(stopped()).state();
    let given = |micros| Given { operation: operation(), at: Timestamp::from_micros(micros) };
    state.evolve(&ContainerEvent::DeleteRequested { until }, given(-1_060_000_000));
    state.evolve(&ContainerEvent::NameReleased, given(-1_060_000_000));
    state.evolve(&ContainerEvent::ContainerBuried { until }, given(-1_060_000_000));
    let due = |state: &Container| state.next_effect().map(|effect| effect.action);
    assert_eq!(due(&state), Some(Action::Wake(Due::Trusted(until))));
    state.evolve(&ContainerEvent::UndeleteRequested { name: name() }, given(5_000_000));
    state.evolve(&ContainerEvent::UndeleteFailing { reason: "taken".to_owned() }, given(5_000_000));
    state.evolve(&ContainerEvent::UndeleteFailed { name: name(), reason: "taken".to_owned() }, given(5_000_000));
    assert_eq!(due(&state), Some(Action::Wake(Due::Trusted(Timestamp::from_micros(65_000_000)))));
}

#[test]
fn the_moment_that_is_awaited_is_known_from_the_fact_that_names_it() {
    let moment = |history: Vec<ContainerEvent>| given::<Container>(history).state().moment();
    let deadline = Timestamp::from_micros(31_000_000);
    assert_eq!(moment(running()), None);
    let mut history = stopping();
    assert_eq!(moment(history.clone()), Some(deadline), "before the signal is told, after which it is waited");
    history.push(ContainerEvent::StopSignalled);
    assert_eq!(moment(history), Some(deadline));
    let mut history = stopped();
    history.push(ContainerEvent::DeleteRequested { until: deadline });
    assert_eq!(moment(history.clone()), Some(deadline));
    history.extend([ContainerEvent::NameReleased, ContainerEvent::ContainerBuried { until: deadline }]);
    assert_eq!(moment(history), Some(deadline));
}

#[test]
fn it_should_tell_the_saga_that_waits() {
    let parent = crate::types::StreamName::new(crate::types::Category::RestoreJob, "r");
    let mut history = stopped();
    history.push(ContainerEvent::StartRequested { parent: Some(parent) });
    history.push(ContainerEvent::ContainerStarted {
        init: init(),
        took: Span::default(),
        warnings: vec![],
        kept: vec![],
    });
    when(history, report("notify-parent", Outcome::Answered(Answer::Accepted)))
        .then([ContainerEvent::ParentNotified])
        .owing(None);
}

#[test]
fn every_command_has_an_answer_in_every_state() {
    let histories = [vec![], claimed(), stopped(), running(), stopping()];
    let commands = [
        create(),
        Command::Start { parent: None },
        Command::Stop { grace: Span::default(), parent: None },
        Command::Restart { grace: Span::default() },
        Command::Pause,
        Command::PauseForSpace { left: Size::default() },
        Command::Resume,
        Command::ResumeWithSpace,
        Command::Rename("other".parse().unwrap()),
        Command::SetAutostart(true),
        Command::Hold { kind: HoldKind::Reading, by: StreamName::new(Category::BackupJob, "b") },
        Command::Unhold,
        Command::Delete { grave: Span::default() },
        Command::Undelete { name: None, place: None },
        Command::Purge,
        Command::Cancel { operation: operation() },
    ];
    for history in &histories {
        for command in &commands {
            let mut state = Container::default();
            let around = Given { operation: operation(), at: Timestamp::default() };
            for event in history {
                state.evolve(event, around);
            }
            if let Err(rejection) = state.decide(command, around) {
                let refusal = Refusal::from(rejection.clone());
                assert!(!refusal.code.is_empty() && !refusal.message.is_empty(), "{rejection:?}");
            }
        }
    }
    when(vec![], Command::Start { parent: None }).then_refused("container.not-found");
    assert_eq!(Rejection::Unknown.to_string(), "there is no such container");
}
