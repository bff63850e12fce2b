//! The rules of a run of maintenance, as given, when, then.

use super::{Command, Maintenance};
use crate::domain::effect::{Answer, Ask, Facts, Failure, FailureKind, Outcome};
use crate::domain::testing::{Decided, answers_everything, asked, given, operation, report};
use crate::domain::{Refusal, RefusalClass};
use crate::events::{MaintenanceAction, MaintenanceEvent, MaintenanceResult};
use crate::types::{BackupId, Category, ContainerId, RunId, StoreId, StreamName};

fn check() -> MaintenanceAction {
    MaintenanceAction::UpdateCheck { container: ContainerId::derived("web1") }
}

fn verify() -> MaintenanceAction {
    let (container, store) = (ContainerId::derived("web1"), StoreId::derived("local"));
    MaintenanceAction::Verify { container, store, backup: BackupId::derived("a") }
}

fn request(action: MaintenanceAction) -> Command {
    let ask = Ask::RequestMaintenance { id: RunId::derived("r"), action };
    Command::try_from(asked(ask, StreamName::new(Category::Batch, "b"))).unwrap()
}

fn requested(action: MaintenanceAction) -> MaintenanceEvent {
    let parent = Some(StreamName::new(Category::Batch, "b"));
    MaintenanceEvent::MaintenanceRequested { id: RunId::derived("r"), action, parent }
}

fn held() -> Vec<MaintenanceEvent> {
    vec![requested(check()), MaintenanceEvent::ContainerHeld]
}

fn pinned() -> Vec<MaintenanceEvent> {
    vec![requested(verify()), MaintenanceEvent::BackupPinned]
}

fn after(history: Vec<MaintenanceEvent>, more: impl IntoIterator<Item = MaintenanceEvent>) -> Vec<MaintenanceEvent> {
    history.into_iter().chain(more).collect()
}

fn accepted(step: &'static str) -> Command {
    report(step, Outcome::Answered(Answer::Accepted))
}

fn failed(step: &'static str, kind: FailureKind) -> Command {
    report(step, Outcome::Failed(Failure::new(kind, "why")))
}

fn worked(result: MaintenanceResult) -> Command {
    report("work", Outcome::Done(Facts::Maintenance(result)))
}

fn refused(step: &'static str, code: &str) -> Command {
    report(step, Outcome::Refused(Refusal::new(RefusalClass::Conflict, code, "why")))
}

fn why() -> String {
    "why".to_owned()
}

#[track_caller]
fn when(history: Vec<MaintenanceEvent>, command: Command) -> Decided<Maintenance> {
    given(history).when(command)
}

#[test]
fn it_should_hold_work_and_let_go() {
    when(vec![], request(check())).then([requested(check())]).owing(Some("hold"));
    when(held(), request(check())).then_nothing();
    when(held(), request(verify())).then_refused("maintenance.exists");
    when(vec![requested(check())], accepted("hold")).then([MaintenanceEvent::ContainerHeld]).owing(Some("work"));
    let done = MaintenanceEvent::WorkDone(MaintenanceResult::Verified);
    when(held(), worked(MaintenanceResult::Verified)).then([done.clone()]).owing(Some("unhold"));
    when(after(held(), [done.clone()]), accepted("unhold"))
        .then([MaintenanceEvent::ContainerUnheld, MaintenanceEvent::MaintenanceCompleted])
        .owing(Some("notify-parent"));
    when(after(held(), [done]), failed("unhold", FailureKind::Permanent))
        .then([MaintenanceEvent::MaintenanceCompleted]);
}

#[test]
fn it_should_pin_a_backup_and_tell_its_group() {
    when(vec![], request(verify())).owing(Some("pin"));
    when(vec![requested(verify())], accepted("pin")).then([MaintenanceEvent::BackupPinned]).owing(Some("work"));
    let damaged = MaintenanceResult::Damaged { reason: why() };
    let done = MaintenanceEvent::WorkDone(damaged.clone());
    when(pinned(), worked(damaged)).then([done.clone()]).owing(Some("tell-group"));
    let history = after(pinned(), [done]);
    when(history.clone(), accepted("tell-group")).then([MaintenanceEvent::GroupTold]).owing(Some("unpin"));
    when(history.clone(), refused("tell-group", "backup.not-found"))
        .then([MaintenanceEvent::WorkFailed { reason: "the result could not be recorded: why".to_owned() }])
        .owing(Some("unpin"));
    when(after(history, [MaintenanceEvent::GroupTold]), accepted("unpin"))
        .then([MaintenanceEvent::BackupUnpinned, MaintenanceEvent::MaintenanceCompletedWithFindings { reason: why() }]);
}

#[test]
fn it_should_skip_what_is_not_there_or_cannot_be_done() {
    let skipped = MaintenanceEvent::MaintenanceSkipped { reason: why() };
    when(vec![requested(check())], refused("hold", "container.deleted")).then([skipped.clone()]);
    let work_skipped = MaintenanceEvent::WorkSkipped { reason: why() };
    when(held(), failed("work", FailureKind::NotApplicable)).then([work_skipped.clone()]).owing(Some("unhold"));
    when(after(held(), [work_skipped]), accepted("unhold")).then([MaintenanceEvent::ContainerUnheld, skipped]);
}

#[test]
fn it_should_fail_when_it_is_kept_out_or_the_work_fails() {
    let failure = MaintenanceEvent::MaintenanceFailed { reason: why() };
    when(vec![requested(check())], refused("hold", "container.held")).then([failure.clone()]);
    when(vec![requested(verify())], refused("pin", "backup.not-found")).then([failure.clone()]);
    let work_failed = MaintenanceEvent::WorkFailed { reason: why() };
    when(held(), failed("work", FailureKind::Permanent)).then([work_failed.clone()]).owing(Some("unhold"));
    when(after(held(), [work_failed.clone()]), accepted("unhold")).then([MaintenanceEvent::ContainerUnheld, failure]);
    when(after(pinned(), [work_failed]), accepted("tell-group")).then_nothing();
}

#[test]
fn it_should_be_called_off_until_the_work_is_over() {
    let cancel = Command::Cancel { operation: operation() };
    let called_off = MaintenanceEvent::MaintenanceCancelRequested;
    when(vec![requested(check())], cancel.clone()).then([called_off.clone()]).owing(Some("unhold"));
    when(pinned(), cancel.clone()).then([called_off.clone()]).owing(Some("unpin"));
    let history = after(held(), [called_off]);
    when(history.clone(), cancel.clone()).then_nothing();
    when(history.clone(), accepted("unhold"))
        .then([MaintenanceEvent::ContainerUnheld, MaintenanceEvent::MaintenanceCancelled]);
    let done = after(held(), [MaintenanceEvent::WorkDone(MaintenanceResult::Verified)]);
    when(done, cancel.clone()).then_refused("operation.too-late");
    when(after(history, [MaintenanceEvent::MaintenanceCancelled]), cancel).then_refused("operation.not-found");
}

#[test]
fn it_should_tell_whoever_waits_once() {
    let history = after(held(), [MaintenanceEvent::MaintenanceCompleted]);
    when(history, accepted("notify-parent")).then([MaintenanceEvent::ParentNotified]).owing(None);
}

#[test]
fn every_command_has_an_answer_in_every_state() {
    let failed_work = [MaintenanceEvent::WorkFailed { reason: why() }, MaintenanceEvent::ContainerUnheld];
    let histories = [
        after(after(held(), failed_work), [MaintenanceEvent::MaintenanceFailed { reason: why() }]),
        after(pinned(), [MaintenanceEvent::MaintenanceCancelRequested]),
    ];
    let cancel = Command::Cancel { operation: operation() };
    answers_everything::<Maintenance>(&histories, &[request(check()), request(verify()), cancel, accepted("hold")]);
}
