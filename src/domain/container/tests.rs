//! The rules of a container, as given, when, then.

use std::collections::BTreeMap;

use super::{Command, Container, Rejection};
use crate::domain::effect::{Answer, Facts, Failure, Outcome, Report};
use crate::domain::testing::{Decided, given};
use crate::domain::{Aggregate, Given, Refusal, RefusalClass};
use crate::events::{
    AddressRequest, Configuration, ContainerEvent, DiskKind, Exit, HoldKind, InitKind, LimitChange, Limits,
    ProcessIdentity, StopReason,
};
use crate::types::{ContainerId, Name, OperationId, Size, Span, TemplateId, Timestamp};

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
        hostname: name(),
        template: TemplateId::derived("debian"),
        limits: Limits { disk: Size::from_mib(1024), ..Limits::default() },
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
    history.push(ContainerEvent::ContainerStarted { init: init(), took: Span::from_micros(3000), warnings: vec![] });
    history
}

fn stopping() -> Vec<ContainerEvent> {
    let mut history = running();
    let deadline = Timestamp::from_micros(31_000_000);
    history.push(ContainerEvent::StopRequested { deadline, parent: None });
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
    let deadline = Timestamp::from_micros(1_000_000);
    let loosened = [ContainerEvent::StopRequested { deadline, parent: None }, ContainerEvent::GraceExpired];
    when(history.clone(), Command::Stop { grace: Span::from_secs(9), parent: None })
        .then(loosened.clone())
        .owing(Some("clear"));
    history.extend(loosened);
    when(history, report("clear", Outcome::Done(Facts::None)))
        .then([ContainerEvent::ContainerStopped { reason: StopReason::Killed, exit: Exit::Signal(9) }])
        .owing(None);
}

#[test]
fn it_should_signal_then_wait_then_kill() {
    when(stopping(), report("signal", Outcome::Done(Facts::None)))
        .then([ContainerEvent::StopSignalled])
        .owing(Some("wait-grace"));
    let mut history = stopping();
    history.push(ContainerEvent::StopSignalled);
    when(history.clone(), report("wait-grace", Outcome::Woken))
        .then([ContainerEvent::GraceExpired])
        .owing(Some("clear"));
    history.push(ContainerEvent::GraceExpired);
    when(history, report("clear", Outcome::Done(Facts::None)))
        .then([ContainerEvent::ContainerStopped { reason: StopReason::Killed, exit: Exit::Signal(9) }]);
}

#[test]
fn it_should_not_wait_once_init_has_ended() {
    let mut history = stopping();
    history.push(ContainerEvent::StopSignalled);
    when(history.clone(), Command::ReportExit { init: init(), exit: Exit::PowerOff })
        .then([ContainerEvent::InitExited { exit: Exit::PowerOff }])
        .owing(Some("clear"));
    history.push(ContainerEvent::InitExited { exit: Exit::PowerOff });
    when(history.clone(), Command::ReportExit { init: init(), exit: Exit::PowerOff }).then_nothing();
    when(history, report("clear", Outcome::Done(Facts::None)))
        .then([ContainerEvent::ContainerStopped { reason: StopReason::Requested, exit: Exit::PowerOff }])
        .owing(None);
}

#[test]
fn it_should_start_again_after_a_reboot_from_inside() {
    let mut history = running();
    history.push(ContainerEvent::InitExited { exit: Exit::Reboot });
    when(history, report("clear", Outcome::Done(Facts::None)))
        .then([ContainerEvent::ContainerHalted { exit: Exit::Reboot }])
        .owing(Some("run"));
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
    when(history, Command::ReportExit { init: init(), exit: Exit::Code(1) })
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
fn it_should_ignore_a_stale_report() {
    when(running(), report("run", Outcome::Done(Facts::None))).then_nothing();
    let foreign =
        Report { operation: OperationId::derived("other"), step: "signal", attempt: 1, outcome: Outcome::Woken };
    when(stopping(), Command::Report(foreign)).then_nothing();
    let other = ProcessIdentity { pid: 43, ..init() };
    when(running(), Command::ReportExit { init: other, exit: Exit::Code(0) }).then_nothing();
}

#[test]
fn it_should_keep_deletion_and_growth_away_from_a_reader() {
    let mut history = stopped();
    history.push(ContainerEvent::HoldPlaced { operation: OperationId::derived("backup"), kind: HoldKind::Reading });
    when(history.clone(), Command::Delete { grave: Span::from_secs(60) }).then_refused("container.held");
    let grow = LimitChange { disk: Some(Size::from_mib(2048)), ..LimitChange::default() };
    when(history.clone(), Command::ChangeLimits(grow)).then_refused("container.held");
    when(history.clone(), Command::Hold(HoldKind::Writing)).then_refused("container.held");
    when(history, Command::Start { parent: None }).then([ContainerEvent::StartRequested { parent: None }]);
}

#[test]
fn it_should_not_start_while_its_files_are_replaced() {
    let mut history = stopped();
    history.push(ContainerEvent::HoldPlaced { operation: OperationId::derived("restore"), kind: HoldKind::Writing });
    when(history.clone(), Command::Start { parent: None }).then_refused("container.held");
    when(history, Command::Hold(HoldKind::Reading)).then_refused("container.held");
    when(running(), Command::Hold(HoldKind::Writing)).then_refused("container.running");
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
    when(history.clone(), Command::Undelete { name: None })
        .then([ContainerEvent::UndeleteRequested { name: name() }])
        .owing(Some("claim-name"));
    when(history, Command::Purge).then([ContainerEvent::PurgeRequested]).owing(Some("remove-disk"));
}

#[test]
fn it_should_tell_the_saga_that_waits() {
    let parent = crate::types::StreamName::new(crate::types::Category::RestoreJob, "r");
    let mut history = stopped();
    history.push(ContainerEvent::StartRequested { parent: Some(parent) });
    history.push(ContainerEvent::ContainerStarted { init: init(), took: Span::default(), warnings: vec![] });
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
        Command::Hold(HoldKind::Reading),
        Command::Unhold,
        Command::Delete { grave: Span::default() },
        Command::Undelete { name: None },
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
