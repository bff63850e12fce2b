//! The rules of a batch, as given, when, then.

use super::{Batch, Command, Request};
use crate::domain::effect::{Action, Answer, Ask, Failure, Outcome, Report};
use crate::domain::testing::{Decided, answers_everything, asked, given, operation, report};
use crate::domain::{Refusal, RefusalClass};
use crate::events::{BackupMode, BatchAction, BatchEvent, BatchMember, Closing};
use crate::types::{BackupId, Category, ContainerId, OperationId, RunId, StoreId, StreamName};

fn member(name: &str) -> BatchMember {
    BatchMember {
        container: ContainerId::derived(name),
        run: RunId::derived(name),
        operation: OperationId::derived(name),
        backup: BackupId::derived(name),
    }
}

fn request(names: &[&str], parallel: u32) -> Request {
    Request {
        id: RunId::derived("batch"),
        action: BatchAction::Backup { store: StoreId::derived("local"), mode: BackupMode::Full },
        members: names.iter().map(|name| member(name)).collect(),
        schedule: None,
        parallel,
        parent: Some(StreamName::new(Category::Schedule, "nightly")),
    }
}

fn requested(names: &[&str], parallel: u32) -> BatchEvent {
    let Request { id, action, members, schedule, parallel, parent } = request(names, parallel);
    BatchEvent::BatchRequested { id, action, members, schedule, parallel, parent }
}

fn started(name: &str) -> BatchEvent {
    BatchEvent::ChildStarted { run: RunId::derived(name) }
}

fn finished(name: &str, outcome: Closing) -> BatchEvent {
    BatchEvent::ChildFinished { run: RunId::derived(name), outcome }
}

fn finish(name: &str, outcome: Closing) -> Command {
    Command::FinishChild { child: StreamName::new(Category::BackupJob, RunId::derived(name)), outcome }
}

fn failure() -> Closing {
    Closing::Failed { reason: "lost".to_owned() }
}

fn started_as(name: &str, outcome: Outcome) -> Command {
    Command::Report(Report { operation: OperationId::derived(name), step: "start-child", attempt: 1, outcome })
}

#[track_caller]
fn when(history: Vec<BatchEvent>, command: Command) -> Decided<Batch> {
    given(history).when(command)
}

#[test]
fn it_should_start_as_many_as_may_run_at_once() {
    let accepted = || Outcome::Answered(Answer::Accepted);
    when(vec![], Command::Request(request(&["a", "b", "c"], 2)))
        .then([requested(&["a", "b", "c"], 2)])
        .owing(Some("start-child"));
    let mut history = vec![requested(&["a", "b", "c"], 2)];
    when(history.clone(), started_as("a", accepted())).then([started("a")]).owing(Some("start-child"));
    history.push(started("a"));
    when(history.clone(), started_as("b", accepted())).then([started("b")]).owing(None);
    history.push(started("b"));
    when(history, finish("a", Closing::Done)).then([finished("a", Closing::Done)]).owing(Some("start-child"));
}

#[test]
fn it_should_start_each_run_under_its_own_operation() {
    let effect = given::<Batch>([requested(&["a"], 1)]).owes().unwrap();
    assert_eq!(effect.operation, OperationId::derived("a"));
    let Action::Ask(stream, Ask::RequestBackup { backup, .. }) = effect.action else { panic!("{effect:?}") };
    assert_eq!(stream, StreamName::new(Category::BackupJob, RunId::derived("a")));
    assert_eq!(backup, BackupId::derived("a"));
    let maintenance = Request { action: BatchAction::Defragment, ..request(&["a"], 1) };
    assert_eq!(maintenance.child(&member("a")).category(), Category::Maintenance);
}

#[test]
fn it_should_take_a_refused_start_for_a_failure() {
    let refusal = Refusal::new(RefusalClass::Conflict, "x.y", "lost");
    for outcome in [Outcome::Refused(refusal), Outcome::Failed(Failure::permanent("lost"))] {
        when(vec![requested(&["a"], 1)], started_as("a", outcome))
            .then([finished("a", failure())])
            .owing(Some("close"));
    }
}

#[test]
fn it_should_take_an_end_that_comes_before_the_answer() {
    let history = vec![requested(&["a", "b"], 1)];
    when(history.clone(), finish("a", Closing::Done)).then([finished("a", Closing::Done)]);
    let history = vec![requested(&["a", "b"], 1), finished("a", Closing::Done)];
    when(history.clone(), started_as("a", Outcome::Answered(Answer::Accepted))).then_nothing();
    when(history.clone(), finish("a", failure())).then_nothing();
    when(history, finish("stranger", Closing::Done)).then_nothing();
}

#[test]
fn it_should_say_how_many_did_not_succeed() {
    let skipped = Closing::Skipped { reason: "gone".to_owned() };
    let partly = Closing::DoneWithExceptions { reason: "2 files".to_owned() };
    let with =
        |failed, partial, skipped| BatchEvent::BatchCompletedWithExceptions { failed, total: 2, partial, skipped };
    let none = || BatchEvent::BatchFailed { reason: "none of 2 succeeded; the first: failed: lost".to_owned() };
    let reason = "all 2 were left out; the first: skipped: gone".to_owned();
    for (ends, expected) in [
        ([Closing::Done, Closing::Done], BatchEvent::BatchCompleted),
        ([Closing::Done, skipped.clone()], with(0, 0, 1)),
        ([Closing::Done, failure()], with(1, 0, 0)),
        ([skipped.clone(), failure()], none()),
        ([skipped.clone(), partly.clone()], with(0, 1, 1)),
        ([skipped.clone(), skipped], BatchEvent::BatchSkipped { reason }),
        ([Closing::Done, partly], with(0, 1, 0)),
        ([failure(), failure()], none()),
    ] {
        let [first, second] = ends;
        let history = vec![requested(&["a", "b"], 2), finished("a", first), finished("b", second)];
        when(history, report("close", Outcome::Woken)).then([expected]).owing(Some("notify-parent"));
    }
}

#[test]
fn it_should_be_complete_when_nobody_is_meant() {
    when(vec![requested(&[], 1)], report("close", Outcome::Woken)).then([BatchEvent::BatchCompleted]);
}

fn ended_as(name: &str, outcome: Outcome) -> Command {
    Command::Report(Report { operation: OperationId::derived(name), step: "cancel-child", attempt: 1, outcome })
}

fn asked_to_end(name: &str) -> BatchEvent {
    BatchEvent::ChildCancelAsked { run: RunId::derived(name) }
}

/// Called off while the run of `a` is under way and the start of `b` may be.
fn called_off() -> Vec<BatchEvent> {
    vec![requested(&["a", "b", "c"], 2), started("a"), BatchEvent::BatchCancelRequested]
}

#[test]
fn it_should_call_off_the_runs_under_way_and_begin_no_more() {
    let cancel = Command::Cancel { operation: operation() };
    when(called_off()[..2].to_vec(), cancel.clone())
        .then([BatchEvent::BatchCancelRequested])
        .owing(Some("cancel-child"));
    when(called_off(), cancel.clone()).then_nothing();
    let accepted = Outcome::Answered(Answer::Accepted);
    when(called_off(), ended_as("a", accepted)).then([asked_to_end("a")]).owing(Some("cancel-child"));
    let history = [called_off(), vec![asked_to_end("a")]].concat();
    let never = Refusal::new(RefusalClass::NotFound, "run.not-found", "there is no such run");
    when(history.clone(), ended_as("b", Outcome::Refused(never))).then([finished("b", Closing::Cancelled)]).owing(None);
    let history = [history, vec![finished("b", Closing::Cancelled)]].concat();
    when(history.clone(), finish("a", Closing::Cancelled))
        .then([finished("a", Closing::Cancelled)])
        .owing(Some("close"));
    let over = [history, vec![finished("a", Closing::Cancelled)]].concat();
    let cancelled = BatchEvent::BatchCancelled { cancelled: 3, total: 3 };
    when(over.clone(), report("close", Outcome::Woken)).then([cancelled.clone()]);
    when([over, vec![cancelled]].concat(), cancel).then_refused("operation.not-found");
}

#[test]
fn it_should_wait_for_a_run_that_cannot_be_called_off_any_more() {
    let late = Outcome::Refused(Refusal::new(RefusalClass::Conflict, "operation.too-late", "too late"));
    when(called_off(), ended_as("a", late)).then([asked_to_end("a")]);
    let history = vec![requested(&["a"], 1), started("a"), BatchEvent::BatchCancelRequested, asked_to_end("a")];
    let done = [history, vec![finished("a", Closing::Done)]].concat();
    when(done, report("close", Outcome::Woken)).then([BatchEvent::BatchCompleted]);
    let lost = Outcome::Failed(Failure::permanent("lost"));
    when(called_off(), ended_as("a", lost)).then([finished("a", failure())]);
}

#[test]
fn it_should_tell_its_schedule_once() {
    let history = vec![requested(&[], 1), BatchEvent::BatchCompleted];
    when(history, report("notify-parent", Outcome::Answered(Answer::Accepted)))
        .then([BatchEvent::ParentNotified])
        .owing(None);
}

#[test]
fn it_should_take_a_repeated_request_for_the_first() {
    let Request { id, action, members, parallel, .. } = request(&["a"], 1);
    let (schedule, parent) = ("nightly".parse().unwrap(), StreamName::new(Category::Schedule, "nightly"));
    let ask = Ask::RequestBatch { id, action, members, schedule, parallel };
    let command = Command::try_from(asked(ask, parent)).unwrap();
    let Command::Request(wanted) = command.clone() else { panic!("{command:?}") };
    let Request { id, action, members, schedule, parallel, parent } = wanted;
    let history = vec![BatchEvent::BatchRequested { id, action, members, schedule, parallel, parent }];
    when(history.clone(), command).then_nothing();
    when(history, Command::Request(request(&["b"], 1))).then_refused("batch.exists");
}

#[test]
fn every_command_has_an_answer_in_every_state() {
    let histories = [
        vec![requested(&["a", "b"], 1), started("a"), finished("a", failure()), BatchEvent::BatchCancelRequested],
        vec![requested(&[], 1), BatchEvent::BatchCompleted, BatchEvent::ParentNotified],
    ];
    let commands = [
        Command::Request(request(&["a"], 1)),
        finish("a", Closing::Done),
        Command::Cancel { operation: operation() },
        started_as("a", Outcome::Woken),
        report("close", Outcome::Woken),
        ended_as("a", Outcome::Answered(Answer::Accepted)),
    ];
    answers_everything::<Batch>(&histories, &commands);
}
