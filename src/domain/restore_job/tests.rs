//! The rules of a restore, as given, when, then.

use super::{Command, Request, RestoreJob};
use crate::domain::effect::{Action, Answer, Ask, Facts, Failure, Outcome};
use crate::domain::testing::{Decided, answers_everything, configuration, given, operation, report};
use crate::domain::{Refusal, RefusalClass};
use crate::events::{Closing, RestoreEvent, RestoreTarget};
use crate::types::{BackupId, Category, ContainerId, LeftOut, OperationId, RunId, Size, StoreId, StreamName};

type Way = Vec<(&'static str, Command, RestoreEvent)>;

fn container() -> ContainerId {
    ContainerId::derived("web1")
}

fn request(target: RestoreTarget) -> Request {
    let (id, backup, store) = (RunId::derived("r"), BackupId::derived("a"), StoreId::derived("local"));
    Request { id, backup, source: container(), store, target, start: false }
}

fn in_place() -> Request {
    request(RestoreTarget::InPlace { container: container() })
}

fn new() -> Request {
    let name = "web2".parse().unwrap();
    let configuration = Box::new(configuration());
    Request { start: true, ..request(RestoreTarget::New { container: container(), name, configuration }) }
}

fn directory() -> Request {
    request(RestoreTarget::Directory {
        paths: vec!["etc".to_owned()],
        into: "/tmp/x".to_owned(),
        owner: Some((0, 0)),
        privileges: false,
    })
}

fn accepted(step: &'static str) -> Command {
    report(step, Outcome::Answered(Answer::Accepted))
}

fn already(step: &'static str) -> Command {
    report(step, Outcome::Answered(Answer::AlreadySo))
}

fn done(step: &'static str) -> Command {
    report(step, Outcome::Done(Facts::None))
}

fn failed(step: &'static str) -> Command {
    report(step, Outcome::Failed(Failure::permanent("why")))
}

fn refused(step: &'static str) -> Command {
    report(step, Outcome::Refused(Refusal::new(RefusalClass::Conflict, "container.held", "why")))
}

/// Tells the end of what the container was asked at that step.
fn ended(step: &str, outcome: Closing) -> Command {
    let child = StreamName::new(Category::Container, container());
    Command::FinishChild { child, operation: OperationId::derived(&format!("{}/{step}", operation())), outcome }
}

fn files() -> RestoreEvent {
    RestoreEvent::FilesRestored { entries: 3, written: Size::from_mib(1), left_out: LeftOut::default(), trouble: None }
}

fn restored(step: &'static str) -> Command {
    report(
        step,
        Outcome::Done(Facts::Restored {
            entries: 3,
            written: Size::from_mib(1),
            left_out: LeftOut::default(),
            trouble: None,
        }),
    )
}

fn held(step: &'static str) -> Command {
    let (name, configuration) = ("web1".parse().unwrap(), Box::new(configuration()));
    let answer = Answer::Held { name, configuration, template_digest: "d".to_owned() };
    report(step, Outcome::Answered(answer))
}

fn writing() -> Way {
    vec![
        ("restore", restored("restore"), files()),
        ("hold-still", held("hold-still"), RestoreEvent::TargetHeldStill),
        ("stop", accepted("stop"), RestoreEvent::TargetAsked),
        ("", ended("stop", Closing::Done), RestoreEvent::TargetStopped),
        ("exchange", done("exchange"), RestoreEvent::RootExchanged),
        ("carry-on", accepted("carry-on"), RestoreEvent::TargetAsked),
        ("", ended("carry-on", Closing::Done), RestoreEvent::TargetStarted),
    ]
}

fn in_place_way() -> Way {
    let mut way =
        vec![("pin", accepted("pin"), RestoreEvent::BackupPinned), ("hold", held("hold"), RestoreEvent::TargetHeld)];
    way.extend(writing());
    way
}

fn new_way() -> Way {
    let mut way = vec![
        ("pin", accepted("pin"), RestoreEvent::BackupPinned),
        ("create", accepted("create"), RestoreEvent::TargetAsked),
        ("", ended("create", Closing::Done), RestoreEvent::TargetCreated),
        ("hold", held("hold"), RestoreEvent::TargetHeld),
    ];
    way.extend(writing());
    let [asked, started] = [
        ("start", accepted("start"), RestoreEvent::TargetAsked),
        ("", ended("start", Closing::Done), RestoreEvent::TargetStarted),
    ];
    let carried = way.iter().position(|(step, ..)| *step == "carry-on").unwrap();
    way.splice(carried..carried + 2, [("carry-on", already("carry-on"), RestoreEvent::TargetSettled), asked, started]);
    way
}

/// Returns the history of a run that is about to take the step.
fn before(request: Request, way: Way, step: &str) -> Vec<RestoreEvent> {
    let facts = way.into_iter().take_while(|(known, ..)| *known != step).map(|(.., fact)| fact);
    [request.event()].into_iter().chain(facts).collect()
}

fn before_in_place(step: &str) -> Vec<RestoreEvent> {
    before(in_place(), in_place_way(), step)
}

fn completed() -> Vec<RestoreEvent> {
    after(before_in_place("unpin"), [RestoreEvent::BackupUnpinned, RestoreEvent::RestoreCompleted])
}

fn after(history: Vec<RestoreEvent>, more: impl IntoIterator<Item = RestoreEvent>) -> Vec<RestoreEvent> {
    history.into_iter().chain(more).collect()
}

fn failing() -> RestoreEvent {
    RestoreEvent::RestoreFailing { reason: "why".to_owned() }
}

#[track_caller]
fn when(history: Vec<RestoreEvent>, command: Command) -> Decided<RestoreJob> {
    given(history).when(command)
}

/// Walks a history on by commands and returns what followed.
#[track_caller]
fn walk(mut history: Vec<RestoreEvent>, way: &[(&str, Command, Vec<RestoreEvent>)]) {
    for (step, command, facts) in way {
        let owed = given::<RestoreJob>(history.clone()).owes().map(|effect| effect.step);
        assert_eq!(owed.unwrap_or_default(), *step);
        when(history.clone(), command.clone()).then(facts.clone());
        history.extend(facts.clone());
    }
    assert_eq!(given::<RestoreJob>(history).owes(), None);
}

fn one(way: Way) -> Vec<(&'static str, Command, Vec<RestoreEvent>)> {
    way.into_iter().map(|(step, command, fact)| (step, command, vec![fact])).collect()
}

#[test]
fn it_should_restore_in_place_and_start_what_ran() {
    when(vec![], Command::Request(in_place())).then([in_place().event()]);
    when(vec![in_place().event()], Command::Request(in_place())).then_nothing();
    when(vec![in_place().event()], Command::Request(new())).then_refused("restore.exists");
    let mut way = one(in_place_way());
    way.push(("unpin", accepted("unpin"), vec![RestoreEvent::BackupUnpinned, RestoreEvent::RestoreCompleted]));
    walk(vec![in_place().event()], &way);
}

#[test]
fn it_should_restore_as_new() {
    let mut way = one(new_way());
    way.push(("unpin", accepted("unpin"), vec![RestoreEvent::BackupUnpinned, RestoreEvent::RestoreCompleted]));
    walk(vec![new().event()], &way);
}

#[test]
fn it_should_restore_into_a_directory() {
    let over = |event| vec![RestoreEvent::BackupUnpinned, event];
    let way = [
        ("pin", accepted("pin"), vec![RestoreEvent::BackupPinned]),
        ("extract", restored("extract"), vec![files()]),
        ("unpin", accepted("unpin"), over(RestoreEvent::RestoreCompleted)),
    ];
    walk(vec![directory().event()], &way);
    let way = [
        ("pin", accepted("pin"), vec![RestoreEvent::BackupPinned]),
        ("extract", failed("extract"), vec![failing()]),
        ("unpin", accepted("unpin"), over(RestoreEvent::RestoreFailed { reason: "why".to_owned() })),
    ];
    walk(vec![directory().event()], &way);
}

#[test]
fn it_should_be_complete_but_for_what_could_not_be_written_into_a_directory() {
    let (written, left_out, why) = (Size::from_mib(1), LeftOut::default(), "2 of 3 entries".to_owned());
    let facts = Facts::Restored { entries: 3, written, left_out, trouble: Some(why.clone()) };
    let files = RestoreEvent::FilesRestored { entries: 3, written, left_out, trouble: Some(why.clone()) };
    let history = vec![directory().event(), RestoreEvent::BackupPinned];
    when(history.clone(), report("extract", Outcome::Done(facts))).then([files.clone()]).owing(Some("unpin"));
    let over = RestoreEvent::RestoreCompletedWithExceptions { reason: why };
    when(after(history, [files]), accepted("unpin")).then([RestoreEvent::BackupUnpinned, over]);
}

#[test]
fn it_should_put_everything_back_and_leave_running_what_runs() {
    let over = RestoreEvent::RestoreFailed { reason: "why".to_owned() };
    let way = [
        ("restore", failed("restore"), vec![failing()]),
        ("revert", done("revert"), vec![RestoreEvent::FilesRemoved]),
        ("unhold", accepted("unhold"), vec![RestoreEvent::TargetUnheld]),
        ("unpin", accepted("unpin"), vec![RestoreEvent::BackupUnpinned, over]),
    ];
    walk(before_in_place("restore"), &way);
}

#[test]
fn it_should_put_everything_back_and_start_again_what_ran() {
    let over = RestoreEvent::RestoreFailed { reason: "why".to_owned() };
    let way = [
        ("exchange", failed("exchange"), vec![failing()]),
        ("revert", done("revert"), vec![RestoreEvent::FilesRemoved]),
        ("carry-on", accepted("carry-on"), vec![RestoreEvent::TargetAsked]),
        ("", ended("carry-on", Closing::Done), vec![RestoreEvent::TargetStarted]),
        ("unpin", accepted("unpin"), vec![RestoreEvent::BackupUnpinned, over]),
    ];
    walk(before_in_place("exchange"), &way);
}

#[test]
fn it_should_start_nothing_that_the_container_does_not_want_started() {
    let settled = RestoreEvent::TargetSettled;
    when(before_in_place("carry-on"), already("carry-on")).then([settled.clone()]).owing(Some("unpin"));
    let back = [failing(), RestoreEvent::FilesRemoved];
    when(after(before_in_place("exchange"), back), already("carry-on")).then([settled.clone()]).owing(Some("unpin"));
    let wished = Request { start: true, ..in_place() };
    when(before(wished, in_place_way(), "carry-on"), already("carry-on")).then([settled]).owing(Some("start"));
}

#[test]
fn it_should_say_that_what_was_paused_is_stopped() {
    let left = report("carry-on", Outcome::Answered(Answer::LeftStopped));
    when(before_in_place("carry-on"), left).then([RestoreEvent::TargetLeftStopped]).owing(Some("unpin"));
    let history = after(before_in_place("carry-on"), [RestoreEvent::TargetLeftStopped]);
    let reason = "the container was paused and is stopped now; start it when it is wanted".to_owned();
    let over = RestoreEvent::RestoreCompletedWithExceptions { reason };
    when(history, accepted("unpin")).then([RestoreEvent::BackupUnpinned, over]);
    let wished = Request { start: true, ..in_place() };
    let started = [RestoreEvent::TargetLeftStopped, RestoreEvent::TargetStarted];
    let history = after(before(wished, in_place_way(), "carry-on"), started);
    when(history, accepted("unpin")).then([RestoreEvent::BackupUnpinned, RestoreEvent::RestoreCompleted]);
}

#[test]
fn it_should_not_take_words_for_what_a_container_was() {
    let reason = "the container was paused and is stopped now; start it when it is wanted".to_owned();
    let failed = [
        RestoreEvent::TargetStartFailed { reason: "why".to_owned() },
        RestoreEvent::FilesRestored {
            entries: 3,
            written: Size::from_mib(1),
            left_out: LeftOut::default(),
            trouble: Some(reason.clone()),
        },
        RestoreEvent::TargetStarted,
    ];
    let over = RestoreEvent::RestoreCompletedWithExceptions { reason };
    when(after(before_in_place("carry-on"), failed), accepted("unpin")).then([RestoreEvent::BackupUnpinned, over]);
}

#[test]
fn it_should_remove_the_container_that_was_made_for_it() {
    let over = RestoreEvent::RestoreFailed { reason: "why".to_owned() };
    let way = [
        ("exchange", failed("exchange"), vec![failing()]),
        ("revert", done("revert"), vec![RestoreEvent::FilesRemoved]),
        ("unhold", accepted("unhold"), vec![RestoreEvent::TargetUnheld]),
        ("remove", accepted("remove"), vec![RestoreEvent::TargetRemoved]),
        ("unpin", accepted("unpin"), vec![RestoreEvent::BackupUnpinned, over]),
    ];
    walk(before(new(), new_way(), "exchange"), &way);
    when(before(new(), new_way(), "create"), refused("create"))
        .then([RestoreEvent::TargetRemoved, failing()])
        .owing(Some("unhold"));
}

#[test]
fn it_should_turn_back_when_the_container_cannot_do_its_part() {
    let words = RestoreEvent::RestoreFailing { reason: "failed: why".to_owned() };
    let failure = |step| ended(step, Closing::Failed { reason: "why".to_owned() });
    let waiting = |history| after(history, [RestoreEvent::TargetAsked]);
    when(waiting(before_in_place("stop")), failure("stop")).then([words.clone()]).owing(Some("revert"));
    when(waiting(before(new(), new_way(), "create")), failure("create")).then([words]).owing(Some("unhold"));
    when(before_in_place("stop"), refused("stop")).then([failing()]).owing(Some("revert"));
    when(before_in_place("hold"), refused("hold")).then([failing()]).owing(Some("unhold"));
    when(before_in_place("pin"), refused("pin")).then([failing()]).owing(Some("unpin"));
}

#[test]
fn it_should_be_complete_though_the_container_does_not_start() {
    let exception = |why: &str| RestoreEvent::RestoreCompletedWithExceptions {
        reason: format!("the container could not be started: {why}"),
    };
    let not_started = |reason: &str| RestoreEvent::TargetStartFailed { reason: reason.to_owned() };
    when(before(new(), new_way(), "start"), refused("start")).then([not_started("why")]).owing(Some("unpin"));
    let waiting = after(before_in_place("carry-on"), [RestoreEvent::TargetAsked]);
    when(waiting, ended("carry-on", Closing::Failed { reason: "why".to_owned() })).then([not_started("failed: why")]);
    let history = after(before_in_place("carry-on"), [not_started("why")]);
    when(history, accepted("unpin")).then([RestoreEvent::BackupUnpinned, exception("why")]);
}

#[test]
fn it_should_not_wait_for_what_is_so_already_or_was_told_before_the_answer() {
    let already = report("stop", Outcome::Answered(Answer::AlreadySo));
    let stopped = RestoreEvent::TargetStopped;
    when(before_in_place("stop"), already).then([stopped.clone()]).owing(Some("exchange"));
    when(before_in_place("stop"), ended("stop", Closing::Done)).then([stopped.clone()]).owing(Some("exchange"));
    let history = after(before_in_place("stop"), [stopped]);
    when(history.clone(), accepted("stop")).then_nothing();
    when(history, ended("stop", Closing::Done)).then_nothing();
}

#[test]
fn it_should_not_take_the_end_of_one_ask_for_that_of_another() {
    let waiting = after(before_in_place("carry-on"), [RestoreEvent::TargetAsked]);
    when(waiting.clone(), ended("stop", Closing::Done)).then_nothing().owing(None);
    when(before_in_place("carry-on"), ended("stop", Closing::Done)).then_nothing().owing(Some("carry-on"));
    when(waiting, ended("carry-on", Closing::Done)).then([RestoreEvent::TargetStarted]).owing(Some("unpin"));
}

#[test]
fn it_should_be_stuck_when_a_step_back_does_not_work() {
    let left = || RestoreEvent::FilesLeft { reason: "why".to_owned() };
    let way = [
        ("revert", failed("revert"), vec![left()]),
        ("unhold", accepted("unhold"), vec![RestoreEvent::TargetUnheld]),
        ("unpin", accepted("unpin"), vec![RestoreEvent::BackupUnpinned, stuck()]),
    ];
    walk(after(before_in_place("restore"), [failing()]), &way);
    let way = [
        ("revert", failed("revert"), vec![left()]),
        ("unhold", accepted("unhold"), vec![RestoreEvent::TargetUnheld]),
        ("remove", accepted("remove"), vec![RestoreEvent::TargetRemoved]),
        (
            "unpin",
            accepted("unpin"),
            vec![RestoreEvent::BackupUnpinned, RestoreEvent::RestoreFailed { reason: "why".to_owned() }],
        ),
    ];
    walk(after(before(new(), new_way(), "exchange"), [failing()]), &way);
    let unheld = [failing(), RestoreEvent::TargetUnheld];
    when(after(before(new(), new_way(), "hold"), unheld), refused("remove")).then([stuck()]).owing(None);
}

/// The words name the command that gets out of it.
fn stuck() -> RestoreEvent {
    let run = RunId::derived("r").short();
    RestoreEvent::RestoreStuck { reason: format!("why; when that is mended: berth backup roll-back {run}") }
}

#[test]
fn it_should_get_out_of_being_stuck_by_a_roll_back() {
    let history = after(before_in_place("restore"), [failing(), stuck()]);
    when(history.clone(), Command::Confirm).then_refused("restore.stuck");
    when(history.clone(), Command::RollBack).then([RestoreEvent::RollBackRequested]).owing(Some("hold-again"));
    let rolling = after(history, [RestoreEvent::RollBackRequested]);
    walk(rolling.clone(), &rolling_back_what_is_stopped());
    let still = RestoreEvent::RollBackFailed { reason: "why".to_owned() };
    when(after(rolling, [still]), Command::RollBack).then([RestoreEvent::RollBackRequested]);
}

#[test]
fn it_should_remove_what_a_stuck_restore_made() {
    let rolling = || after(before(new(), new_way(), "exchange"), [failing(), stuck(), RestoreEvent::RollBackRequested]);
    let way = [
        ("hold-again", held("hold-again"), vec![RestoreEvent::RollBackHeld]),
        ("stop-again", already("stop-again"), vec![RestoreEvent::TargetStopped]),
        ("put-back", done("put-back"), vec![RestoreEvent::RootReverted]),
        ("unhold-again", accepted("unhold-again"), vec![RestoreEvent::TargetUnheld]),
        ("remove-again", accepted("remove-again"), vec![RestoreEvent::TargetRemoved, RestoreEvent::RestoreRolledBack]),
    ];
    walk(rolling(), &way);
    let gone = Refusal::new(RefusalClass::NotFound, "container.purged", "why");
    when(rolling(), report("hold-again", Outcome::Refused(gone))).then([RestoreEvent::RestoreRolledBack]).owing(None);
}

#[test]
fn it_should_be_called_off_until_the_files_are_in_place() {
    let cancel = Command::Cancel { operation: operation() };
    let called_off = RestoreEvent::RestoreCancelRequested;
    when(before_in_place("restore"), cancel.clone()).then([called_off.clone()]).owing(Some("revert"));
    when(before_in_place("carry-on"), cancel.clone()).then_refused("operation.too-late");
    let history = after(before_in_place("restore"), [called_off]);
    when(history.clone(), cancel.clone()).then_nothing();
    let back = [RestoreEvent::FilesRemoved, RestoreEvent::TargetUnheld];
    when(after(history, back), accepted("unpin"))
        .then([RestoreEvent::BackupUnpinned, RestoreEvent::RestoreCancelled])
        .owing(None);
    when(completed(), cancel).then_refused("operation.not-found");
}

#[test]
fn it_should_wait_for_the_container_before_it_turns_back() {
    let cancel = Command::Cancel { operation: operation() };
    when(before_in_place("stop"), cancel.clone()).owing(Some("stop"));
    let waiting = after(before_in_place("stop"), [RestoreEvent::TargetAsked]);
    when(waiting.clone(), cancel).then([RestoreEvent::RestoreCancelRequested]).owing(None);
    let history = after(waiting, [RestoreEvent::RestoreCancelRequested]);
    when(history, ended("stop", Closing::Done)).then([RestoreEvent::TargetStopped]).owing(Some("revert"));
    when(before_in_place("hold-still"), Command::Cancel { operation: operation() }).owing(Some("revert"));
}

/// The container may have taken the hold, and the files of before with it, though its answer came too late.
#[test]
fn it_should_give_up_what_it_may_have_claimed_when_it_is_called_off() {
    let back = [RestoreEvent::RestoreCancelRequested, RestoreEvent::FilesRemoved];
    let history = after(before_in_place("hold-still"), back);
    when(history.clone(), held("hold-still")).then_nothing();
    let owed = given::<RestoreJob>(history.clone()).owes().unwrap();
    assert!(matches!(owed.action, Action::Ask(_, Ask::CarryOn { keeping: false, .. })), "{owed:?}");
    let way = [
        ("carry-on", already("carry-on"), vec![RestoreEvent::TargetSettled]),
        ("unpin", accepted("unpin"), vec![RestoreEvent::BackupUnpinned, RestoreEvent::RestoreCancelled]),
    ];
    walk(history, &way);
}

/// Nothing but the end of a start says that it was let go.
#[test]
fn it_should_say_that_the_container_could_not_be_let_go() {
    let still = || RestoreEvent::TargetStillHeld { reason: "why".to_owned() };
    let words = "the container could not be let go, and nothing starts or deletes it: why; when that is mended: systemctl \
                 restart berth, and start it if it is to run";
    let wished = before(Request { start: true, ..in_place() }, in_place_way(), "carry-on");
    when(wished.clone(), failed("carry-on")).then([still()]).owing(Some("unpin"));
    let over = RestoreEvent::RestoreCompletedWithExceptions { reason: words.to_owned() };
    when(after(wished, [still()]), accepted("unpin")).then([RestoreEvent::BackupUnpinned, over]);
    let back = after(before_in_place("exchange"), [failing(), RestoreEvent::FilesRemoved]);
    when(back.clone(), failed("carry-on")).then([still()]).owing(Some("unpin"));
    let over = RestoreEvent::RestoreFailed { reason: format!("why; {words}") };
    when(after(back, [still()]), accepted("unpin")).then([RestoreEvent::BackupUnpinned, over]);
    let mut way = rolling_back_what_is_stopped();
    way[3] = ("carry-on-again", failed("carry-on-again"), vec![still()]);
    let over = RestoreEvent::RestoreRolledBackWithExceptions { reason: words.to_owned() };
    way[4] = ("close", report("close", Outcome::Woken), vec![over]);
    walk(after(completed(), [RestoreEvent::RollBackRequested]), &way);
}

#[test]
fn it_should_not_hide_behind_a_cancel_that_the_container_is_down() {
    let reason = "cancelled; the container could not be started: why".to_owned();
    let called_off = after(
        before_in_place("exchange"),
        [
            RestoreEvent::RestoreCancelRequested,
            RestoreEvent::FilesRemoved,
            RestoreEvent::TargetStartFailed { reason: "why".to_owned() },
        ],
    );
    let over = RestoreEvent::RestoreFailed { reason };
    when(called_off, accepted("unpin")).then([RestoreEvent::BackupUnpinned, over]);
}

#[test]
fn it_should_keep_the_old_files_until_confirmed() {
    when(completed(), Command::Confirm).then([RestoreEvent::ConfirmRequested]).owing(Some("discard-old"));
    let history = after(completed(), [RestoreEvent::ConfirmRequested]);
    when(history.clone(), Command::Confirm).then_nothing();
    when(history.clone(), Command::RollBack).then_refused("restore.busy");
    when(history.clone(), failed("discard-old"))
        .then([RestoreEvent::ConfirmFailed { reason: "why".to_owned() }])
        .owing(None);
    let discarded = RestoreEvent::OldFilesDiscarded;
    when(history.clone(), done("discard-old")).then([discarded.clone()]).owing(Some("release-old"));
    let gone = after(history, [discarded]);
    for outcome in [accepted("release-old"), refused("release-old"), failed("release-old")] {
        when(gone.clone(), outcome).then([RestoreEvent::RestoreConfirmed]).owing(None);
    }
    let confirmed = after(gone, [RestoreEvent::RestoreConfirmed]);
    when(confirmed.clone(), Command::Confirm).then_nothing();
    when(confirmed, Command::RollBack).then_refused("restore.confirmed");
}

#[test]
fn it_should_roll_back_under_a_hold() {
    when(completed(), Command::RollBack).then([RestoreEvent::RollBackRequested]);
    walk(after(completed(), [RestoreEvent::RollBackRequested]), &rolling_back_what_is_stopped());
    let back = after(completed(), [RestoreEvent::RollBackRequested, RestoreEvent::RestoreRolledBack]);
    when(back.clone(), Command::RollBack).then_nothing();
    when(back, Command::Confirm).then_refused("restore.rolled-back");
}

/// Returns the way of a roll-back of a container that is stopped.
fn rolling_back_what_is_stopped() -> Vec<(&'static str, Command, Vec<RestoreEvent>)> {
    vec![
        ("hold-again", held("hold-again"), vec![RestoreEvent::RollBackHeld]),
        ("stop-again", already("stop-again"), vec![RestoreEvent::TargetStopped]),
        ("put-back", done("put-back"), vec![RestoreEvent::RootReverted]),
        ("carry-on-again", already("carry-on-again"), vec![RestoreEvent::TargetSettled]),
        ("close", report("close", Outcome::Woken), vec![RestoreEvent::RestoreRolledBack]),
    ]
}

/// Returns the way of a roll-back until the container carries on.
fn rolling_back_what_runs() -> Vec<(&'static str, Command, Vec<RestoreEvent>)> {
    vec![
        ("hold-again", held("hold-again"), vec![RestoreEvent::RollBackHeld]),
        ("stop-again", accepted("stop-again"), vec![RestoreEvent::TargetAsked]),
        ("", ended("stop-again", Closing::Done), vec![RestoreEvent::TargetStopped]),
        ("put-back", done("put-back"), vec![RestoreEvent::RootReverted]),
        ("carry-on-again", accepted("carry-on-again"), vec![RestoreEvent::TargetAsked]),
    ]
}

#[test]
fn it_should_stop_what_runs_for_a_roll_back_and_start_it_again() {
    let requested = || after(completed(), [RestoreEvent::RollBackRequested]);
    let mut way = rolling_back_what_runs();
    way.push(("", ended("carry-on-again", Closing::Done), vec![RestoreEvent::TargetStarted]));
    way.push(("close", report("close", Outcome::Woken), vec![RestoreEvent::RestoreRolledBack]));
    walk(requested(), &way);
    let mut way = rolling_back_what_runs();
    let reason = "the container could not be started: failed: why".to_owned();
    let failed = RestoreEvent::TargetStartFailed { reason: "failed: why".to_owned() };
    way.push(("", ended("carry-on-again", Closing::Failed { reason: "why".to_owned() }), vec![failed]));
    let over = RestoreEvent::RestoreRolledBackWithExceptions { reason };
    way.push(("close", report("close", Outcome::Woken), vec![over]));
    walk(requested(), &way);
}

#[test]
fn it_should_start_again_what_it_stopped_for_a_roll_back_that_failed() {
    let failing_back = RestoreEvent::RollBackFailing { reason: "why".to_owned() };
    let over = RestoreEvent::RollBackFailed { reason: "why".to_owned() };
    let mut way = rolling_back_what_runs();
    way[3] = ("put-back", failed("put-back"), vec![failing_back.clone()]);
    way.push(("", ended("carry-on-again", Closing::Done), vec![RestoreEvent::TargetStarted]));
    way.push(("close", report("close", Outcome::Woken), vec![over.clone()]));
    walk(after(completed(), [RestoreEvent::RollBackRequested]), &way);
    let mut way = rolling_back_what_runs();
    way.truncate(1);
    way.push(("stop-again", refused("stop-again"), vec![failing_back]));
    way.push(("carry-on-again", already("carry-on-again"), vec![RestoreEvent::TargetSettled]));
    way.push(("close", report("close", Outcome::Woken), vec![over]));
    walk(after(completed(), [RestoreEvent::RollBackRequested]), &way);
}

#[test]
fn it_should_stay_as_restored_when_it_cannot_roll_back() {
    let over = RestoreEvent::RollBackFailed { reason: "why".to_owned() };
    let failing_back = RestoreEvent::RollBackFailing { reason: "why".to_owned() };
    let way = [
        ("hold-again", refused("hold-again"), vec![failing_back]),
        ("unhold-again", accepted("unhold-again"), vec![RestoreEvent::TargetUnheld, over]),
    ];
    walk(after(completed(), [RestoreEvent::RollBackRequested]), &way);
}

#[test]
fn it_should_refuse_what_makes_no_sense_afterwards() {
    for command in [Command::Confirm, Command::RollBack] {
        when(vec![], command.clone()).then_refused("restore.not-found");
        when(before_in_place("restore"), command.clone()).then_refused("restore.not-completed");
        let new_one = after(before(new(), new_way(), "unpin"), [RestoreEvent::RestoreCompleted]);
        when(new_one, command).then_refused("restore.nothing-kept");
    }
}

#[test]
fn every_command_has_an_answer_in_every_state() {
    let histories = [
        after(completed(), [RestoreEvent::RollBackRequested, RestoreEvent::RollBackHeld]),
        after(before(new(), new_way(), "exchange"), [failing(), RestoreEvent::FilesRemoved]),
        vec![directory().event(), RestoreEvent::BackupPinned, files()],
    ];
    let commands = [
        Command::Request(in_place()),
        ended("stop", Closing::Done),
        Command::Confirm,
        Command::RollBack,
        Command::Cancel { operation: operation() },
        Command::Cancel { operation: OperationId::derived("other") },
        failed("restore"),
    ];
    answers_everything::<RestoreJob>(&histories, &commands);
}
