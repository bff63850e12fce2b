//! The rules of a template, as given, when, then.

use super::{Command, Rejection, Template};
use crate::domain::effect::{Answer, Ask, Facts, Failure, Outcome};
use crate::domain::testing::{Decided, answers_everything, asked, given, operation, report};
use crate::domain::{Aggregate, Refusal, RefusalClass};
use crate::events::{InitKind, TemplateEvent, TemplateSource, TemplateSummary};
use crate::types::{Category, OperationId, Size, StreamName, TemplateId};

fn import() -> Command {
    Command::Import { id: TemplateId::derived("t"), name: "debian".parse().unwrap(), source: TemplateSource::Host }
}

fn requested() -> TemplateEvent {
    let (id, name) = (TemplateId::derived("t"), "debian".parse().unwrap());
    TemplateEvent::TemplateImportRequested { id, name, source: TemplateSource::Host }
}

fn summary() -> TemplateSummary {
    let (digest, init) = ("d".to_owned(), Some(InitKind::Systemd));
    TemplateSummary {
        digest,
        size: Size::from_mib(1),
        entries: 3,
        init,
        system: None,
        taken_out: std::collections::BTreeMap::new(),
    }
}

fn copying() -> Vec<TemplateEvent> {
    vec![requested(), TemplateEvent::TemplateNameClaimed]
}

fn sealed() -> Vec<TemplateEvent> {
    after(copying(), [TemplateEvent::TemplateSealed(summary())])
}

fn used() -> Vec<TemplateEvent> {
    after(sealed(), [TemplateEvent::TemplateClaimed { holder: "container/a".to_owned() }])
}

fn after(history: Vec<TemplateEvent>, more: impl IntoIterator<Item = TemplateEvent>) -> Vec<TemplateEvent> {
    history.into_iter().chain(more).collect()
}

fn holder(key: &str) -> StreamName {
    StreamName::new(Category::Container, key)
}

fn failed(step: &'static str) -> Command {
    report(step, Outcome::Failed(Failure::permanent("no space")))
}

fn done(step: &'static str) -> Command {
    report(step, Outcome::Done(Facts::None))
}

fn accepted(step: &'static str) -> Command {
    report(step, Outcome::Answered(Answer::Accepted))
}

#[track_caller]
fn when(history: Vec<TemplateEvent>, command: Command) -> Decided<Template> {
    given(history).when(command)
}

#[test]
fn it_should_claim_its_name_then_copy_then_be_sealed() {
    when(vec![], import()).then([requested()]).owing(Some("claim-name"));
    when(vec![requested()], accepted("claim-name")).then([TemplateEvent::TemplateNameClaimed]).owing(Some("copy"));
    when(copying(), report("copy", Outcome::Done(Facts::Template(summary()))))
        .then([TemplateEvent::TemplateSealed(summary())])
        .owing(None);
    when(sealed(), import()).then_nothing();
}

#[test]
fn it_should_remove_the_tree_then_the_name_of_a_failed_import() {
    let failing = TemplateEvent::TemplateImportFailing { reason: "no space".to_owned() };
    when(copying(), failed("copy")).then([failing.clone()]).owing(Some("remove-tree"));
    let history = after(copying(), [failing]);
    when(history.clone(), done("remove-tree")).then([TemplateEvent::TemplateTreeRemoved]).owing(Some("release-name"));
    let history = after(history, [TemplateEvent::TemplateTreeRemoved]);
    let over = TemplateEvent::TemplateImportFailed { reason: "no space".to_owned() };
    when(history.clone(), accepted("release-name")).then([over.clone()]).owing(None);
    when(history.clone(), failed("release-name")).then([over.clone()]).owing(None);
    let gone = after(history, [over]);
    when(gone.clone(), Command::Claim { holder: holder("a") }).then_refused("template.not-found");
    when(gone.clone(), Command::Delete).then_nothing();
    when(gone, import()).then_refused("template.exists");
}

#[test]
fn it_should_fail_when_its_name_is_taken() {
    let refusal = Refusal::new(RefusalClass::Conflict, "name.taken", "the name is taken");
    when(vec![requested()], report("claim-name", Outcome::Refused(refusal)))
        .then([TemplateEvent::TemplateImportFailing { reason: "the name is taken".to_owned() }])
        .owing(Some("remove-tree"));
}

#[test]
fn it_should_be_stuck_when_an_unfinished_tree_stays() {
    let history = after(copying(), [TemplateEvent::TemplateImportFailing { reason: "x".to_owned() }]);
    let stuck = TemplateEvent::TemplateImportStuck { reason: "no space".to_owned() };
    when(history.clone(), failed("remove-tree")).then([stuck.clone()]).owing(None);
    let history = after(history, [stuck]);
    when(history.clone(), Command::Claim { holder: holder("a") }).then_refused("template.stuck");
    when(history, Command::Delete).then([TemplateEvent::TemplateDeleteRequested]).owing(Some("remove-tree"));
}

#[test]
fn it_should_let_an_import_be_called_off() {
    let cancel = Command::Cancel { operation: operation() };
    let called_off = TemplateEvent::TemplateImportCancelRequested;
    when(copying(), cancel.clone()).then([called_off.clone()]).owing(Some("remove-tree"));
    let history = after(copying(), [called_off]);
    when(history.clone(), cancel.clone()).then_nothing();
    when(history.clone(), report("copy", Outcome::Done(Facts::Template(summary())))).then_nothing();
    let history = after(history, [TemplateEvent::TemplateTreeRemoved]);
    when(history, accepted("release-name")).then([TemplateEvent::TemplateImportCancelled]).owing(None);
    when(sealed(), cancel.clone()).then_refused("operation.not-found");
    when(after(sealed(), [TemplateEvent::TemplateVerifyRequested]), cancel).then_refused("operation.too-late");
}

#[test]
fn it_should_be_used_only_when_sealed() {
    let claim = Command::Claim { holder: holder("a") };
    when(vec![], claim.clone()).then_refused("template.not-found");
    when(copying(), claim.clone()).then_refused("template.not-sealed");
    when(sealed(), claim.clone()).then([TemplateEvent::TemplateClaimed { holder: "container/a".to_owned() }]);
    when(used(), claim.clone()).then_nothing();
    when(after(sealed(), [TemplateEvent::TemplateDeleteRequested]), claim).then_refused("template.busy");
    let answer = given::<Template>(used()).state().answer(&asked(Ask::ClaimTemplate, holder("a")));
    assert_eq!(answer, Answer::Template { digest: "d".to_owned(), init: Some(InitKind::Systemd) });
}

#[test]
fn it_should_forget_a_user_that_lets_go() {
    let release = Command::Release { holder: holder("a") };
    when(used(), release.clone()).then([TemplateEvent::TemplateReleased { holder: "container/a".to_owned() }]);
    when(sealed(), release.clone()).then_nothing();
    when(vec![], release).then_nothing();
}

#[test]
fn it_should_not_be_deleted_while_used() {
    when(used(), Command::Delete).then_refused("template.used");
    let holders = ["a", "b", "c", "d"].map(str::to_owned).into();
    assert_eq!(Rejection::used_by(&holders).to_string(), "the template is used by 4: a, b, c and 1 more");
}

#[test]
fn it_should_remove_the_tree_then_the_name_when_deleted() {
    when(vec![], Command::Delete).then_refused("template.not-found");
    when(copying(), Command::Delete).then_refused("template.busy");
    when(sealed(), Command::Delete).then([TemplateEvent::TemplateDeleteRequested]).owing(Some("remove-tree"));
    let history = after(sealed(), [TemplateEvent::TemplateDeleteRequested]);
    when(history.clone(), failed("remove-tree"))
        .then([TemplateEvent::TemplateDeleteStuck { reason: "no space".to_owned() }])
        .owing(None);
    let history = after(history, [TemplateEvent::TemplateTreeRemoved]);
    when(history, accepted("release-name")).then([TemplateEvent::TemplateDeleted]).owing(None);
}

#[test]
fn it_should_say_what_a_comparison_found() {
    when(sealed(), Command::Verify).then([TemplateEvent::TemplateVerifyRequested]).owing(Some("verify"));
    let history = after(sealed(), [TemplateEvent::TemplateVerifyRequested]);
    when(history.clone(), Command::Verify).then_nothing();
    when(history.clone(), done("verify")).then([TemplateEvent::TemplateVerified]).owing(None);
    let (paths, count) = (vec!["etc/passwd".to_owned()], 1);
    let drift = report("verify", Outcome::Done(Facts::Drift { paths: paths.clone(), count }));
    when(history.clone(), drift).then([TemplateEvent::TemplateDriftFound { paths, count }]).owing(None);
    when(history, failed("verify")).then([TemplateEvent::TemplateVerifyFailed { reason: "no space".to_owned() }]);
    when(copying(), Command::Verify).then_refused("template.not-sealed");
}

#[test]
fn it_should_ignore_a_stale_report() {
    when(sealed(), done("copy")).then_nothing();
    when(copying(), accepted("claim-name")).then_nothing();
}

#[test]
fn every_command_has_an_answer_in_every_state() {
    let failing = TemplateEvent::TemplateImportFailing { reason: "x".to_owned() };
    let histories = [
        used(),
        after(copying(), [failing, TemplateEvent::TemplateImportStuck { reason: "x".to_owned() }]),
        after(sealed(), [TemplateEvent::TemplateVerifyRequested, TemplateEvent::TemplateVerified]),
        after(sealed(), [TemplateEvent::TemplateDeleteRequested, TemplateEvent::TemplateDeleted]),
    ];
    let commands = [
        import(),
        Command::Claim { holder: holder("b") },
        Command::Release { holder: holder("a") },
        Command::Verify,
        Command::Delete,
        Command::Cancel { operation: OperationId::derived("other") },
        done("copy"),
    ];
    answers_everything::<Template>(&histories, &commands);
}
