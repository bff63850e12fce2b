//! What a container does while another operation holds it or has stopped it for a while, and what it comes back to.

use super::*;

fn restore() -> StreamName {
    StreamName::new(Category::RestoreJob, "r")
}

fn held(kind: HoldKind) -> ContainerEvent {
    ContainerEvent::HoldPlaced { operation: OperationId::derived("restore"), kind }
}

fn hold(kind: HoldKind) -> Command {
    Command::Hold { kind, by: restore() }
}

fn let_go() -> ContainerEvent {
    ContainerEvent::HoldReleased { operation: OperationId::derived("restore") }
}

/// The stop that a saga asks for.
fn stop_for_a_while() -> Command {
    Command::Stop { grace: Span::from_secs(30), parent: Some(restore()) }
}

fn requested_for_a_while() -> ContainerEvent {
    ContainerEvent::StopRequested {
        deadline: Timestamp::from_micros(31_000_000),
        grace: Span::from_secs(30),
        parent: Some(restore()),
    }
}

fn promised(paused: bool) -> ContainerEvent {
    ContainerEvent::ReturnPromised { paused }
}

fn carry_on() -> Command {
    Command::CarryOn { holder: OperationId::derived("restore"), keeping: true, parent: restore() }
}

fn ask_to_carry_on() -> Ask {
    Ask::CarryOn { holder: OperationId::derived("restore"), keeping: true }
}

fn start_requested(parent: Option<StreamName>) -> ContainerEvent {
    ContainerEvent::StartRequested { parent }
}

fn ended() -> ContainerEvent {
    ContainerEvent::ContainerStopped { reason: StopReason::Requested, exit: Exit::PowerOff }
}

/// Is a container whose files change places.
fn standing_still() -> Vec<ContainerEvent> {
    let ending = [requested_for_a_while(), promised(false), ended(), ContainerEvent::ParentNotified];
    with(with(running(), [held(HoldKind::Exchanging)]), ending)
}

fn paused() -> Vec<ContainerEvent> {
    with(running(), [ContainerEvent::PauseRequested, ContainerEvent::ContainerPaused])
}

fn answer(history: Vec<ContainerEvent>, ask: Ask) -> Answer {
    given::<Container>(history).state().answer(&asked(ask, restore()))
}

#[test]
fn it_should_run_start_and_stop_while_files_are_written_beside_its_own() {
    let written = with(stopped(), [held(HoldKind::Writing)]);
    when(written.clone(), Command::Start { parent: None }).then([start_requested(None)]);
    when(written.clone(), Command::Autostart).then([start_requested(None)]);
    beside(written, hold(HoldKind::Reading)).then_refused("container.held");
    let written = with(running(), [held(HoldKind::Writing)]);
    when(written.clone(), Command::Restart { grace: Span::from_secs(1) }).then([ContainerEvent::RestartRequested {
        deadline: Timestamp::from_micros(2_000_000),
        grace: Span::from_secs(1),
    }]);
    when(written, stop(9)).then([stop_requested(10)]);
}

#[test]
fn it_should_not_start_while_its_files_change_places() {
    let still = with(stopped(), [held(HoldKind::Exchanging)]);
    when(still.clone(), Command::Start { parent: None }).then_refused("container.held");
    beside(still, hold(HoldKind::Reading)).then_refused("container.held");
    let still = with(running(), [held(HoldKind::Exchanging)]);
    when(still, Command::Restart { grace: Span::default() }).then_refused("container.held");
}

#[test]
fn it_should_be_held_still_by_whom_it_is_held_whatever_is_under_way_and_by_no_other() {
    let placed = |kind| ContainerEvent::HoldPlaced { operation: operation(), kind };
    let starting = with(stopped(), [placed(HoldKind::Writing), start_requested(None)]);
    let claimed = ContainerEvent::OldFilesClaimed { by: restore() };
    when(starting.clone(), hold(HoldKind::Exchanging)).then([placed(HoldKind::Exchanging), claimed]);
    beside(starting, hold(HoldKind::Exchanging)).then_refused("container.busy");
    when(with(running(), [held(HoldKind::Writing)]), hold(HoldKind::Exchanging)).then_refused("container.held");
    for kind in [HoldKind::Writing, HoldKind::Exchanging] {
        when(stopping(), hold(kind)).then([placed(kind)]);
    }
}

#[test]
fn it_should_come_back_to_what_it_was_when_a_saga_stopped_it() {
    when(running(), stop_for_a_while()).then([requested_for_a_while(), promised(false)]).owing(Some("signal"));
    when(paused(), stop_for_a_while()).then([requested_for_a_while(), promised(true)]);
    let left = Size::from_mib(100);
    let for_space =
        [ContainerEvent::PauseRequested, ContainerEvent::SpacePauseRequested { left }, ContainerEvent::ContainerPaused];
    when(with(running(), for_space), stop_for_a_while()).then([requested_for_a_while(), promised(false)]);
    let starting = with(stopped(), [start_requested(None)]);
    beside(starting, stop_for_a_while()).then([called_off("start", "stop"), requested_for_a_while(), promised(false)]);
    let rebooting = with(running(), [ContainerEvent::InitExited { exit: Exit::Reboot }]);
    beside(rebooting, stop_for_a_while()).then([
        called_off("restart", "stop"),
        requested_for_a_while(),
        promised(false),
    ]);
    let ending = with(running(), [ContainerEvent::InitExited { exit: Exit::Code(1) }]);
    beside(ending, stop_for_a_while()).then([called_off("stop", "stop"), requested_for_a_while()]);
    when(stopped(), stop_for_a_while()).then_nothing();
}

#[test]
fn it_should_be_let_go_and_carry_on_in_one() {
    let started = start_requested(Some(restore()));
    when(standing_still(), carry_on()).then([let_go(), started.clone()]).owing(Some("run"));
    let by_another = Command::CarryOn { holder: OperationId::derived("other"), keeping: true, parent: restore() };
    when(standing_still(), by_another).then_nothing();
    let called_off = with(standing_still(), [ContainerEvent::ReturnCalledOff]);
    when(called_off, carry_on()).then([let_go()]).owing(None);
    assert_eq!(answer(with(standing_still(), [let_go(), started]), ask_to_carry_on()), Answer::Accepted);
    let free = with(standing_still(), [let_go()]);
    when(free.clone(), carry_on()).then([start_requested(Some(restore()))]).owing(Some("run"));
    assert_eq!(answer(with(free.clone(), [start_requested(Some(restore()))]), ask_to_carry_on()), Answer::Accepted);
    let failed =
        with(free, [start_requested(Some(restore())), ContainerEvent::StartFailed { reason: "why".to_owned() }]);
    assert_eq!(answer(failed.clone(), ask_to_carry_on()), Answer::Accepted, "its end is still to be told");
    when(with(failed, [ContainerEvent::ParentNotified]), carry_on()).then_nothing();
    when(stopped(), carry_on()).then_nothing();
    assert_eq!(answer(stopped(), ask_to_carry_on()), Answer::AlreadySo);
    let ending = [requested_for_a_while(), promised(true), ended(), ContainerEvent::ParentNotified];
    let was_paused = with(paused(), ending);
    when(was_paused.clone(), carry_on()).then_nothing();
    assert_eq!(answer(was_paused.clone(), ask_to_carry_on()), Answer::LeftStopped);
    when(was_paused.clone(), stop(9)).then_nothing();
    assert_eq!(answer(with(was_paused, [held(HoldKind::Exchanging)]), ask_to_carry_on()), Answer::AlreadySo);
}

#[test]
fn it_should_be_restored_by_no_other_while_files_of_before_are_kept() {
    let by = || StreamName::new(Category::RestoreJob, crate::types::RunId::derived("first"));
    let claimed = ContainerEvent::OldFilesClaimed { by: by() };
    let kept = with(running(), [claimed]);
    for kind in [HoldKind::Writing, HoldKind::Exchanging] {
        beside(kept.clone(), hold(kind)).then_refused("restore.unconfirmed");
        when(kept.clone(), Command::Hold { kind, by: by() })
            .then([ContainerEvent::HoldPlaced { operation: operation(), kind }]);
    }
    when(kept.clone(), hold(HoldKind::Reading))
        .then([ContainerEvent::HoldPlaced { operation: operation(), kind: HoldKind::Reading }]);
    let released = ContainerEvent::OldFilesReleased { by: by() };
    when(kept.clone(), Command::ReleaseOldFiles { by: restore() }).then_nothing();
    when(kept.clone(), Command::ReleaseOldFiles { by: by() }).then([released.clone()]);
    let back = |keeping| Command::CarryOn { holder: OperationId::derived("restore"), keeping, parent: by() };
    let held_again = with(kept.clone(), [held(HoldKind::Exchanging)]);
    when(held_again.clone(), back(true)).then([let_go()]);
    when(held_again, back(false)).then([let_go(), released.clone()]);
    when(with(kept, [released]), hold(HoldKind::Writing))
        .then([ContainerEvent::HoldPlaced { operation: operation(), kind: HoldKind::Writing }]);
}

#[test]
fn it_should_carry_on_though_it_is_being_renamed() {
    let renaming = ContainerEvent::RenameRequested { name: "web2".parse().unwrap() };
    let history = with(standing_still(), [let_go(), renaming]);
    when(history, carry_on()).then([start_requested(Some(restore()))]).owing(Some("exchange-name"));
}

#[test]
fn it_should_stay_stopped_when_somebody_stops_it_meanwhile() {
    let stays = |history: Vec<ContainerEvent>| {
        when(with(history, [let_go()]), carry_on()).then_nothing();
    };
    when(standing_still(), stop(9)).then([ContainerEvent::ReturnCalledOff]).owing(None);
    stays(with(standing_still(), [ContainerEvent::ReturnCalledOff]));
    when(with(standing_still(), [ContainerEvent::ReturnCalledOff]), stop(9)).then_nothing();
    let under_way = with(running(), [held(HoldKind::Exchanging), requested_for_a_while(), promised(false)]);
    let asked = |second: i64| ContainerEvent::StopAskedAgain {
        deadline: Timestamp::from_micros(second * 1_000_000),
        parent: None,
    };
    beside(under_way.clone(), stop(9)).then([asked(10)]);
    beside(under_way.clone(), stop(0))
        .then([asked(1), ContainerEvent::GraceExpired { why: KillReason::AskedMeanwhile }]);
    stays(with(under_way, [asked(10), ended()]));
    let before = with(running(), [held(HoldKind::Writing), stop_requested(10), ended()]);
    when(before.clone(), stop_for_a_while()).then_nothing();
    stays(before);
    let deleted = ContainerEvent::DeleteRequested { until: Timestamp::from_micros(9) };
    when(with(standing_still(), [let_go(), deleted]), carry_on()).then_nothing();
}

#[test]
fn it_should_let_a_saga_wait_for_the_stop_that_is_under_way_and_hurry_it_not() {
    let deadline = Timestamp::from_micros(31_000_000);
    let joined = ContainerEvent::StopAskedAgain { deadline, parent: Some(restore()) };
    let under_way = with(stopping(), [ContainerEvent::StopSignalled]);
    let hasty = Command::Stop { grace: Span::from_secs(1), parent: Some(restore()) };
    beside(under_way.clone(), hasty).then([joined.clone()]).owing(Some("wait-grace"));
    let both = with(under_way, [joined, ended()]);
    let told = given::<Container>(both.clone()).owes().unwrap();
    let outcome = crate::events::Closing::Done;
    let child = StreamName::new(Category::Container, id());
    let finished = Ask::ChildFinished { child, operation: operation(), outcome };
    assert_eq!(told.action, Action::Ask(restore(), finished));
    when(with(both, [ContainerEvent::ParentNotified]), carry_on()).then_nothing().owing(None);
}

#[test]
fn it_should_wait_with_its_restart_until_its_files_have_changed_places() {
    let waiting = with(running(), [ContainerEvent::InitExited { exit: Exit::Reboot }, halted(Exit::Reboot, 2, 1)]);
    let written = with(waiting.clone(), [held(HoldKind::Writing)]);
    assert_eq!(given::<Container>(written).owes().map(|effect| effect.step), Some("wait-restart"));
    let still = with(waiting, [held(HoldKind::Exchanging)]);
    assert_eq!(given::<Container>(still.clone()).owes(), None);
    beside(still.clone(), stop_for_a_while()).then_nothing();
    let other = Asked { operation: OperationId::derived("other"), ..asked(Ask::StopContainer, restore()) };
    assert_eq!(given::<Container>(still.clone()).state().answer(&other), Answer::AlreadySo);
    let free = with(still, [let_go()]);
    assert_eq!(given::<Container>(free.clone()).owes().map(|effect| effect.step), Some("wait-restart"));
    beside(free, carry_on()).then_nothing();
}

#[test]
fn it_should_start_with_the_node_once_its_files_have_changed_places() {
    let still = with(stopped(), [held(HoldKind::Exchanging)]);
    when(still.clone(), Command::Autostart).then([promised(false)]);
    let wanted = with(still, [promised(false)]);
    when(wanted.clone(), Command::Autostart).then_nothing();
    when(with(wanted, [let_go()]), carry_on()).then([start_requested(Some(restore()))]);
    when(running(), Command::Autostart).then_nothing();
    when(stopped(), Command::Autostart).then([start_requested(None)]);
}
