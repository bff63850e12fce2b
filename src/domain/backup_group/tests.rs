//! The rules of a backup group, as given, when, then.

use super::*;
use crate::domain::testing::{Decided, answers_everything, asked, given, operation};
use crate::events::BackupMode;
use crate::types::{RunId, Size, Span, Timestamp};

/// Makes the summary of a backup.
pub(in crate::domain) fn summary(id: &str, taken_at: i64, outcome: BackupOutcome) -> BackupSummary {
    BackupSummary {
        backup: BackupId::derived(id),
        run: RunId::derived(id),
        container: ContainerId::derived("web1"),
        container_name: "web1".parse().unwrap(),
        store: StoreId::derived("local"),
        taken_at: Timestamp::from_micros(taken_at),
        mode: BackupMode::Incremental,
        base: None,
        outcome,
        entries: 10,
        read: Size::from_mib(10),
        new: Size::from_mib(5),
        stored: Size::from_mib(2),
        frozen: Span::from_micros(90),
        unreadable: if outcome == BackupOutcome::Complete { 0 } else { 2 },
        schedule: None,
    }
}

fn admitted() -> BackupGroupEvent {
    BackupGroupEvent::BackupAdmitted { operation: operation(), base: None }
}

fn committed(id: &str, taken_at: i64, outcome: BackupOutcome) -> BackupGroupEvent {
    BackupGroupEvent::BackupCommitted(summary(id, taken_at, outcome))
}

fn two() -> Vec<BackupGroupEvent> {
    vec![committed("a", 1, BackupOutcome::Complete), committed("b", 2, BackupOutcome::CompleteWithExceptions)]
}

fn after(history: Vec<BackupGroupEvent>, more: BackupGroupEvent) -> Vec<BackupGroupEvent> {
    history.into_iter().chain([more]).collect()
}

fn commit(id: &str) -> Command {
    let summary = Box::new(summary(id, 3, BackupOutcome::Complete));
    Command::Commit { operation: operation(), summary }
}

#[track_caller]
fn when(history: Vec<BackupGroupEvent>, command: Command) -> Decided<BackupGroup> {
    given(history).when(command)
}

#[test]
fn it_should_admit_a_run_once_and_name_its_base() {
    let admit = Command::Admit { operation: operation() };
    when(vec![], admit.clone()).then([admitted()]);
    when(vec![admitted()], admit.clone()).then_nothing();
    let base = Some(BackupId::derived("b"));
    let expected = BackupGroupEvent::BackupAdmitted { operation: operation(), base };
    when(two(), admit).then([expected.clone()]);
    let state = given::<BackupGroup>(after(two(), expected)).state();
    let by = StreamName::new(Category::BackupJob, "r");
    assert_eq!(state.answer(&asked(Ask::AdmitBackup, by)), Answer::Base(base));
}

#[test]
fn it_should_never_compare_with_a_damaged_backup() {
    let damaged = BackupGroupEvent::BackupDamageFound { backup: BackupId::derived("b"), reason: "x".to_owned() };
    let history = after(two(), damaged);
    assert_eq!(given::<BackupGroup>(history.clone()).state().base(), Some(BackupId::derived("a")));
    let mended = after(history, BackupGroupEvent::BackupVerified { backup: BackupId::derived("b") });
    assert_eq!(given::<BackupGroup>(mended).state().base(), Some(BackupId::derived("b")));
}

#[test]
fn it_should_know_the_last_complete_one() {
    assert_eq!(given::<BackupGroup>(two()).state().last_complete(), Some(BackupId::derived("a")));
    assert_eq!(given::<BackupGroup>([]).state().last_complete(), None);
}

#[test]
fn it_should_take_a_backup_only_from_who_was_admitted() {
    when(vec![], commit("c")).then_refused("backup.not-admitted");
    let done = committed("c", 3, BackupOutcome::Complete);
    when(vec![admitted()], commit("c")).then([done.clone()]);
    let history = vec![admitted(), done];
    when(history.clone(), commit("c")).then_nothing();
    when(history.clone(), commit("d")).then_refused("backup.not-admitted");
    when(history, Command::Withdraw { operation: operation() }).then_nothing();
}

#[test]
fn it_should_let_a_run_withdraw() {
    let operation = operation();
    let withdraw = Command::Withdraw { operation };
    when(vec![], withdraw.clone()).then_nothing();
    when(vec![admitted()], withdraw).then([BackupGroupEvent::BackupWithdrawn { operation }]);
    when(vec![admitted(), BackupGroupEvent::BackupWithdrawn { operation }], commit("c"))
        .then_refused("backup.not-admitted");
}

#[test]
fn it_should_pin_by_operation() {
    let (backup, operation) = (BackupId::derived("a"), operation());
    let (pin, unpin) = (Command::Pin { backup, operation }, Command::Unpin { backup, operation });
    when(vec![], pin.clone()).then_refused("backup.not-found");
    when(two(), pin.clone()).then([BackupGroupEvent::BackupPinned { backup, operation }]);
    let pinned = after(two(), BackupGroupEvent::BackupPinned { backup, operation });
    when(pinned.clone(), pin).then_nothing();
    assert_eq!(given::<BackupGroup>(pinned.clone()).state().pins().count(), 1);
    when(pinned, unpin.clone()).then([BackupGroupEvent::BackupUnpinned { backup, operation }]);
    when(vec![], unpin).then_nothing();
}

#[test]
fn it_should_record_each_verification_once() {
    let backup = BackupId::derived("a");
    let whole = Command::RecordVerification { backup, damage: None };
    let damaged = Command::RecordVerification { backup, damage: Some("x".to_owned()) };
    when(vec![], whole.clone()).then_refused("backup.not-found");
    when(two(), whole.clone()).then([BackupGroupEvent::BackupVerified { backup }]);
    let verified = after(two(), BackupGroupEvent::BackupVerified { backup });
    when(verified.clone(), whole.clone()).then_nothing();
    let later = OperationId::derived("later");
    given::<BackupGroup>(verified.clone())
        .operation(later)
        .when(whole)
        .then([BackupGroupEvent::BackupVerified { backup }]);
    when(verified, damaged).then([BackupGroupEvent::BackupDamageFound { backup, reason: "x".to_owned() }]);
}

#[test]
fn every_command_has_an_answer_in_every_state() {
    let (backup, operation) = (BackupId::derived("a"), operation());
    let commands = [
        Command::Admit { operation },
        Command::Withdraw { operation },
        commit("a"),
        Command::Pin { backup, operation },
        Command::Unpin { backup, operation },
        Command::RecordVerification { backup, damage: None },
    ];
    answers_everything::<BackupGroup>(&[two(), vec![admitted()]], &commands);
}
