//! The rules of a run of a backup, as given, when, then.

use super::{BackupJob, Command};
use crate::domain::backup_group::tests::summary;
use crate::domain::effect::{Answer, Ask, Facts, Failure, Outcome};
use crate::domain::testing::{Decided, answers_everything, asked, given, operation, report};
use crate::domain::{Refusal, RefusalClass};
use crate::events::{BackupJobEvent, BackupMode, BackupOutcome, Configuration};
use crate::types::{BackupId, Category, ContainerId, OperationId, RunId, Size, Span, StoreId, StreamName};

fn batch() -> StreamName {
    StreamName::new(Category::Batch, "b")
}

fn requested() -> BackupJobEvent {
    BackupJobEvent::BackupRequested {
        id: RunId::derived("r"),
        container: ContainerId::derived("web1"),
        store: StoreId::derived("local"),
        mode: BackupMode::Incremental,
        backup: BackupId::derived("a"),
        schedule: None,
        parent: Some(batch()),
    }
}

fn request() -> Command {
    let (container, store) = (ContainerId::derived("web1"), StoreId::derived("local"));
    let (id, backup, mode) = (RunId::derived("r"), BackupId::derived("a"), BackupMode::Incremental);
    let ask = Ask::RequestBackup { id, container, store, mode, backup, schedule: None };
    Command::try_from(asked(ask, batch())).unwrap()
}

fn held() -> BackupJobEvent {
    let configuration: Box<Configuration> = Box::new(crate::domain::testing::configuration());
    BackupJobEvent::ContainerHeld { name: "web1".parse().unwrap(), configuration, template_digest: "d".to_owned() }
}

fn ways() -> Vec<(&'static str, Outcome, BackupJobEvent)> {
    let BackupJobEvent::ContainerHeld { name, configuration, template_digest } = held() else { return vec![] };
    let answer = Answer::Held { name, configuration, template_digest };
    let (entries, read, frozen) = (10, Size::from_mib(1), Span::from_micros(5));
    let backup = summary("a", 1, BackupOutcome::Complete);
    let accepted = || Outcome::Answered(Answer::Accepted);
    vec![
        ("hold", Outcome::Answered(answer), held()),
        ("open-store", accepted(), BackupJobEvent::StoreOpened),
        ("admit", Outcome::Answered(Answer::Base(None)), BackupJobEvent::GroupAdmitted { base: None }),
        (
            "live-pass",
            Outcome::Done(Facts::LivePass { entries, read }),
            BackupJobEvent::LivePassCompleted { entries, read },
        ),
        ("frozen-pass", Outcome::Done(Facts::FrozenPass { frozen }), BackupJobEvent::FrozenPassCompleted { frozen }),
        ("seal", Outcome::Done(Facts::Sealed(Box::new(backup.clone()))), BackupJobEvent::BackupSealed(backup)),
        ("commit", accepted(), BackupJobEvent::GroupCommitted),
        ("close-store", accepted(), BackupJobEvent::StoreClosed),
    ]
}

/// Returns the history of a run that is about to take the step.
fn before(step: &str) -> Vec<BackupJobEvent> {
    let facts = ways().into_iter().take_while(|(known, ..)| *known != step).map(|(.., fact)| fact);
    [requested()].into_iter().chain(facts).collect()
}

fn after(history: Vec<BackupJobEvent>, more: impl IntoIterator<Item = BackupJobEvent>) -> Vec<BackupJobEvent> {
    history.into_iter().chain(more).collect()
}

fn failed(step: &'static str) -> Command {
    report(step, Outcome::Failed(Failure::permanent("lost")))
}

fn accepted(step: &'static str) -> Command {
    report(step, Outcome::Answered(Answer::Accepted))
}

#[track_caller]
fn when(history: Vec<BackupJobEvent>, command: Command) -> Decided<BackupJob> {
    given(history).when(command)
}

#[test]
fn it_should_take_its_steps_in_order() {
    when(vec![], request()).then([requested()]).owing(Some("hold"));
    when(vec![requested()], request()).then_nothing();
    for (step, outcome, fact) in ways() {
        when(before(step), report(step, outcome)).then([fact]);
    }
    when(before("unhold"), accepted("unhold"))
        .then([BackupJobEvent::ContainerUnheld, BackupJobEvent::BackupCompleted])
        .owing(Some("notify-parent"));
}

#[test]
fn it_should_say_when_files_could_not_be_read() {
    let sealed = BackupJobEvent::BackupSealed(summary("a", 1, BackupOutcome::CompleteWithExceptions));
    let history = after(before("seal"), [sealed, BackupJobEvent::GroupCommitted, BackupJobEvent::StoreClosed]);
    let partly = BackupJobEvent::BackupCompletedWithExceptions { unreadable: 2 };
    when(history, accepted("unhold")).then([BackupJobEvent::ContainerUnheld, partly]);
}

#[test]
fn it_should_turn_back_from_every_step_before_it_is_sealed() {
    let failing = BackupJobEvent::BackupFailing { reason: "lost".to_owned() };
    for step in ["hold", "open-store", "admit", "live-pass", "frozen-pass", "seal"] {
        when(before(step), failed(step)).then([failing.clone()]).owing(Some("discard"));
    }
}

#[test]
fn it_should_give_everything_back_in_order() {
    let mut history = after(before("seal"), [BackupJobEvent::BackupFailing { reason: "lost".to_owned() }]);
    let steps = [
        ("discard", Outcome::Done(Facts::None), BackupJobEvent::BackupDiscarded),
        ("withdraw", Outcome::Answered(Answer::Accepted), BackupJobEvent::GroupWithdrawn),
        ("close-store", Outcome::Answered(Answer::Accepted), BackupJobEvent::StoreClosed),
    ];
    for (step, outcome, fact) in steps {
        when(history.clone(), report(step, outcome)).then([fact.clone()]);
        history.push(fact);
    }
    let over = BackupJobEvent::BackupFailed { reason: "lost".to_owned() };
    when(history.clone(), accepted("unhold")).then([BackupJobEvent::ContainerUnheld, over.clone()]);
    when(history, failed("unhold")).then([over]);
}

#[test]
fn it_should_be_stuck_when_it_cannot_be_discarded() {
    let history = after(before("seal"), [BackupJobEvent::BackupFailing { reason: "x".to_owned() }]);
    when(history, failed("discard")).then([BackupJobEvent::BackupStuck { reason: "lost".to_owned() }]);
}

#[test]
fn it_should_never_discard_a_sealed_backup() {
    let failing = BackupJobEvent::BackupFailing { reason: "lost".to_owned() };
    when(before("commit"), failed("commit")).then([failing.clone()]).owing(Some("close-store"));
    let history = after(before("commit"), [failing, BackupJobEvent::StoreClosed]);
    let stuck = BackupJobEvent::BackupStuck { reason: "sealed, but not recorded in its group: lost".to_owned() };
    when(history, accepted("unhold")).then([BackupJobEvent::ContainerUnheld, stuck]);
}

#[test]
fn it_should_be_complete_though_a_release_fails() {
    when(before("close-store"), failed("close-store")).then([BackupJobEvent::BackupCompleted]);
}

#[test]
fn it_should_skip_a_container_that_is_not_there() {
    let refused = |code| {
        let refusal = Refusal::new(RefusalClass::Conflict, code, "why");
        when(before("hold"), report("hold", Outcome::Refused(refusal)))
    };
    for code in ["container.not-found", "container.deleted", "container.purged"] {
        refused(code).then([BackupJobEvent::BackupSkipped { reason: "why".to_owned() }]).owing(Some("notify-parent"));
    }
    refused("container.held").then([BackupJobEvent::BackupFailing { reason: "why".to_owned() }]);
}

#[test]
fn it_should_be_called_off_until_it_is_sealed() {
    let cancel = Command::Cancel { operation: operation() };
    for step in ["hold", "open-store", "admit", "live-pass", "frozen-pass", "seal"] {
        when(before(step), cancel.clone()).then([BackupJobEvent::BackupCancelRequested]).owing(Some("discard"));
    }
    when(before("commit"), cancel.clone()).then_refused("operation.too-late");
    let given_back = [
        BackupJobEvent::BackupCancelRequested,
        BackupJobEvent::BackupDiscarded,
        BackupJobEvent::GroupWithdrawn,
        BackupJobEvent::StoreClosed,
    ];
    let history = after(before("seal"), given_back);
    when(history.clone(), cancel.clone()).then_nothing();
    when(history.clone(), accepted("unhold"))
        .then([BackupJobEvent::ContainerUnheld, BackupJobEvent::BackupCancelled])
        .owing(Some("notify-parent"));
    when(after(history, [BackupJobEvent::BackupCancelled]), cancel).then_refused("operation.not-found");
}

#[test]
fn it_should_tell_whoever_waits_once() {
    let history = after(before("unhold"), [BackupJobEvent::ContainerUnheld, BackupJobEvent::BackupCompleted]);
    when(history, accepted("notify-parent")).then([BackupJobEvent::ParentNotified]).owing(None);
}

#[test]
fn it_should_refuse_another_request_and_ignore_stale_reports() {
    let Command::Request { id, container, store, mode, schedule, parent, .. } = request() else { return };
    let backup = BackupId::derived("other");
    let other = Command::Request { id, container, store, mode, backup, schedule, parent };
    when(vec![requested()], other).then_refused("backup.run-exists");
    when(before("seal"), failed("live-pass")).then_nothing();
}

#[test]
fn every_command_has_an_answer_in_every_state() {
    let failing = BackupJobEvent::BackupFailing { reason: "x".to_owned() };
    let histories = [
        after(before("unhold"), [BackupJobEvent::BackupCompleted]),
        after(before("seal"), [failing, BackupJobEvent::BackupStuck { reason: "x".to_owned() }]),
    ];
    let other = Command::Cancel { operation: OperationId::derived("other") };
    let commands = [request(), Command::Cancel { operation: operation() }, other, failed("seal")];
    answers_everything::<BackupJob>(&histories, &commands);
}
