//! The rules of a schedule, as given, when, then.

use super::{Command, Schedule};
use crate::domain::effect::{Answer, Failure, Outcome};
use crate::domain::testing::{Decided, answers_everything, given, operation, report};
use crate::domain::{Refusal, RefusalClass};
use crate::events::{BatchAction, Closing, ScheduleDefinition, ScheduleEvent, ScheduledAction, Selection};
use crate::types::{CatchUp, Category, RunId, ScheduleId, Span, StreamName, Timestamp};

fn definition() -> Box<ScheduleDefinition> {
    Box::new(ScheduleDefinition {
        cron: "0 3 * * *".parse().unwrap(),
        zone: "UTC".parse().unwrap(),
        action: ScheduledAction::Defragment,
        selection: Selection::All,
        catch_up: CatchUp::Once,
        jitter: Span::default(),
        window: None,
        parallel: 2,
    })
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn create() -> Command {
    let id = ScheduleId::derived("s");
    Command::Create { id, name: "nightly".parse().unwrap(), definition: definition(), from: at(10) }
}

fn requested() -> ScheduleEvent {
    let id = ScheduleId::derived("s");
    ScheduleEvent::ScheduleRequested { id, name: "nightly".parse().unwrap(), definition: definition(), from: at(10) }
}

fn enabled() -> Vec<ScheduleEvent> {
    vec![requested(), ScheduleEvent::ScheduleCreated]
}

fn after(history: Vec<ScheduleEvent>, more: impl IntoIterator<Item = ScheduleEvent>) -> Vec<ScheduleEvent> {
    history.into_iter().chain(more).collect()
}

fn fire(slot: i64) -> Command {
    let (batch, operation) = (RunId::derived("b"), operation());
    Command::Fire { slot: at(slot), batch, operation, action: BatchAction::Defragment, members: vec![] }
}

fn fired(slot: i64) -> ScheduleEvent {
    let (batch, operation) = (RunId::derived("b"), operation());
    ScheduleEvent::SlotFired { slot: at(slot), batch, operation, action: BatchAction::Defragment, members: vec![] }
}

fn finish(name: &str) -> Command {
    let child = StreamName::new(Category::Batch, RunId::derived(name));
    Command::FinishBatch { child, outcome: Closing::Done }
}

fn finished(outcome: Closing) -> ScheduleEvent {
    ScheduleEvent::BatchFinished { batch: RunId::derived("b"), outcome }
}

fn accepted(step: &'static str) -> Command {
    report(step, Outcome::Answered(Answer::Accepted))
}

fn failed(step: &'static str) -> Command {
    report(step, Outcome::Failed(Failure::permanent("why")))
}

#[track_caller]
fn when(history: Vec<ScheduleEvent>, command: Command) -> Decided<Schedule> {
    given(history).when(command)
}

#[test]
fn it_should_count_once_its_name_is_reserved() {
    when(vec![], create()).then([requested()]).owing(Some("claim-name"));
    when(vec![requested()], fire(20)).then_refused("schedule.not-made");
    when(vec![requested()], accepted("claim-name")).then([ScheduleEvent::ScheduleCreated]).owing(None);
    when(enabled(), create()).then_nothing();
    let refusal = Refusal::new(RefusalClass::Conflict, "name.taken", "why");
    let over = ScheduleEvent::ScheduleCreateFailed { reason: "why".to_owned() };
    when(vec![requested()], report("claim-name", Outcome::Refused(refusal))).then([over.clone()]).owing(None);
    when(vec![requested(), over.clone()], create()).then_refused("schedule.exists");
    when(vec![requested(), over], fire(20)).then_refused("schedule.not-found");
}

#[test]
fn it_should_handle_each_slot_once_and_in_order() {
    when(enabled(), fire(20)).then([fired(20)]).owing(Some("start-batch"));
    when(after(enabled(), [fired(20)]), fire(20)).then_nothing();
    when(after(enabled(), [fired(20)]), fire(15)).then_refused("schedule.slot-handled");
    when(enabled(), fire(5)).then_refused("schedule.slot-handled");
    let skip = |slot| Command::Skip { slot: at(slot), reason: "why".to_owned() };
    let skipped = ScheduleEvent::SlotSkipped { slot: at(30), reason: "why".to_owned() };
    when(after(enabled(), [fired(20)]), skip(30)).then([skipped.clone()]);
    when(after(enabled(), [skipped]), fire(30)).then_nothing();
    let missed = ScheduleEvent::SlotMissed { slot: at(40), count: 3, reason: "why".to_owned() };
    when(enabled(), Command::Miss { slot: at(40), count: 3, reason: "why".to_owned() }).then([missed.clone()]);
    when(after(enabled(), [missed]), skip(30)).then_refused("schedule.slot-handled");
}

#[test]
fn it_should_tell_once_of_a_slot_that_waits_and_settle_it_later() {
    let defer = |slot| Command::Defer { slot: at(slot), count: 1, reason: "full".to_owned() };
    let deferred = |slot| ScheduleEvent::SlotDeferred { slot: at(slot), count: 1, reason: "full".to_owned() };
    given::<Schedule>(enabled()).when(defer(20)).then([deferred(20)]).owing(None);
    let waiting = after(enabled(), [deferred(20)]);
    given::<Schedule>(waiting.clone()).when(defer(20)).then_nothing();
    given::<Schedule>(waiting.clone()).when(defer(30)).then([deferred(30)]);
    given::<Schedule>(waiting.clone()).when(fire(20)).then([fired(20)]);
    let skip = Command::Skip { slot: at(20), reason: "no".to_owned() };
    given::<Schedule>(waiting).when(skip).then([ScheduleEvent::SlotSkipped { slot: at(20), reason: "no".to_owned() }]);
    given::<Schedule>(after(enabled(), [fired(20)])).when(defer(20)).then_nothing();
    given::<Schedule>(vec![]).when(defer(20)).then_refused("schedule.not-found");
}

#[test]
fn it_should_not_fire_while_disabled() {
    when(enabled(), Command::Disable).then([ScheduleEvent::ScheduleDisabled]);
    let disabled = after(enabled(), [ScheduleEvent::ScheduleDisabled]);
    when(disabled.clone(), Command::Disable).then_nothing();
    when(disabled.clone(), fire(20)).then_refused("schedule.disabled");
    let on = ScheduleEvent::ScheduleEnabled { from: at(50) };
    when(disabled.clone(), Command::Enable { from: at(50) }).then([on.clone()]);
    when(enabled(), Command::Enable { from: at(50) }).then_nothing();
    when(after(disabled.clone(), [on.clone()]), fire(40)).then_refused("schedule.slot-handled");
    when(after(disabled, [on]), fire(60)).then([fired(60)]);
    when(vec![], Command::Disable).then_refused("schedule.not-found");
}

#[test]
fn it_should_follow_its_batch_to_the_end() {
    let history = after(enabled(), [fired(20)]);
    let started = ScheduleEvent::BatchStarted { batch: RunId::derived("b") };
    when(history.clone(), accepted("start-batch")).then([started.clone()]).owing(None);
    let failure = Closing::Failed { reason: "why".to_owned() };
    when(history.clone(), failed("start-batch")).then([finished(failure)]).owing(None);
    when(history.clone(), finish("b")).then([finished(Closing::Done)]).owing(None);
    let running = after(history.clone(), [started]);
    assert!(given::<Schedule>(running.clone()).state().is_running());
    when(running.clone(), finish("b")).then([finished(Closing::Done)]).owing(None);
    when(running.clone(), finish("stranger")).then_nothing();
    let over = after(running, [finished(Closing::Done)]);
    assert!(!given::<Schedule>(over.clone()).state().is_running());
    when(over, finish("b")).then_nothing();
}

#[test]
fn it_should_release_its_name_when_deleted() {
    when(vec![], Command::Delete).then_refused("schedule.not-found");
    when(vec![requested()], Command::Delete).then_refused("schedule.not-made");
    when(enabled(), Command::Delete).then([ScheduleEvent::ScheduleDeleteRequested]).owing(Some("release-name"));
    let history = after(enabled(), [ScheduleEvent::ScheduleDeleteRequested]);
    when(history.clone(), fire(20)).then_refused("schedule.not-found");
    when(history.clone(), accepted("release-name")).then([ScheduleEvent::ScheduleDeleted]).owing(None);
    when(history.clone(), failed("release-name")).then([ScheduleEvent::ScheduleDeleted]).owing(None);
    when(after(history, [ScheduleEvent::ScheduleDeleted]), Command::Delete).then_nothing();
}

#[test]
fn it_should_start_a_fired_batch_though_it_is_being_deleted() {
    let history = after(enabled(), [fired(20), ScheduleEvent::ScheduleDeleteRequested]);
    when(history, accepted("start-batch"))
        .then([ScheduleEvent::BatchStarted { batch: RunId::derived("b") }])
        .owing(Some("release-name"));
}

#[test]
fn every_command_has_an_answer_in_every_state() {
    let histories = [
        after(enabled(), [fired(20), ScheduleEvent::ScheduleDisabled, ScheduleEvent::ScheduleDeleteRequested]),
        vec![requested(), ScheduleEvent::ScheduleCreateFailed { reason: "why".to_owned() }],
    ];
    let commands = [
        create(),
        Command::Enable { from: at(1) },
        Command::Disable,
        Command::Delete,
        fire(30),
        Command::Skip { slot: at(1), reason: "why".to_owned() },
        Command::Miss { slot: at(1), count: 1, reason: "why".to_owned() },
        finish("b"),
        accepted("claim-name"),
    ];
    answers_everything::<Schedule>(&histories, &commands);
}

#[test]
fn slots_that_were_set_aside_are_settled_after_later_ones_and_once() {
    let set_aside = |slot| Command::SetAside { slot: at(slot), count: 2, reason: "clock".to_owned() };
    let aside = |after, slot| ScheduleEvent::SlotsSetAside {
        after: at(after),
        slot: at(slot),
        count: 2,
        reason: "clock".to_owned(),
    };
    let history = after(enabled(), [fired(20), finished(Closing::Done)]);
    when(history.clone(), set_aside(40)).then([aside(20, 40)]);
    let history = after(history, [aside(20, 40)]);
    when(history.clone(), set_aside(40)).then_nothing();
    when(history.clone(), fire(40)).then([fired(40)]);
    let history = after(history, [fired(50)]);
    for slot in [30, 40] {
        when(history.clone(), fire(slot)).then([fired(slot)]);
    }
    when(history.clone(), fire(20)).then_refused("schedule.slot-handled");
    let caught_up = after(history.clone(), [fired(30)]);
    when(caught_up.clone(), fire(30)).then_refused("schedule.slot-handled");
    when(caught_up.clone(), fire(50)).then_nothing();
    when(caught_up.clone(), fire(60)).then([fired(60)]);
    when(after(caught_up, [fired(40)]), fire(40)).then_refused("schedule.slot-handled");
    let reason = "the schedule was disabled before it could be caught up".to_owned();
    let missed = ScheduleEvent::SlotMissed { slot: at(40), count: 0, reason };
    let disabled = [missed, ScheduleEvent::ScheduleDisabled];
    when(history.clone(), Command::Disable).then(disabled.clone());
    let anew = after(disabled.to_vec(), [ScheduleEvent::ScheduleEnabled { from: at(45) }]);
    when(after(history, anew), fire(40)).then_refused("schedule.slot-handled");
}

#[test]
fn it_should_let_slots_come_again_that_were_settled_under_a_clock_that_was_ahead() {
    let reopened = ScheduleEvent::SlotsReopened { after: at(30) };
    let history = after(enabled(), [fired(20), finished(Closing::Done), fired(90)]);
    when(history.clone(), fire(40)).then_refused("schedule.slot-handled");
    when(history.clone(), Command::Reopen { after: at(30) }).then([reopened.clone()]);
    when(history.clone(), Command::Reopen { after: at(90) }).then_nothing();
    let history = after(history, [reopened]);
    when(history.clone(), Command::Reopen { after: at(30) }).then_nothing();
    when(history.clone(), fire(40)).then([fired(40)]);
    when(history.clone(), fire(90)).then([fired(90)]);
    when(history, fire(20)).then_refused("schedule.slot-handled");
}
