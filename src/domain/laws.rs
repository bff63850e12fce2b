//! The laws of every saga, tried at every step: what fails turns back, what is told twice counts once, and what is
//! forgotten in a crash is derived again from the log.
//!
//! A story is a history, a command and a world that answers effects. It is walked undisturbed first, then again and again
//! with one step disturbed, and with a second one disturbed after a failure. After every fact the log is written, read
//! back and replayed: the state must be the live one. The walk is pure; it knows no aggregate.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;

use super::effect::{Action, Effect, Failure, Outcome, Report, Step};
use super::refusal::{Refusal, RefusalClass};
use super::testing::{as_snapshot, operation};
use super::{Aggregate, Given};
use crate::events::{Closing, DomainEvent, Mark, decode, encode};
use crate::types::{OperationId, Timestamp};

/// The most steps that a plan may take: one that needs more owes for ever.
const STEPS_MAX: usize = 200;

/// Is what the world does about an effect.
pub struct Reaction<C> {
    /// What is reported; nothing means that the effect stays owed, as a wait that nobody waits for.
    pub outcome: Option<Outcome>,
    /// What is told later: the end of what another aggregate was asked.
    pub later: Option<C>,
}

impl<C> Reaction<C> {
    /// Reports and tells nothing more.
    pub fn report(outcome: Outcome) -> Self {
        Self { outcome: Some(outcome), later: None }
    }
}

/// Is a saga with its world.
pub struct Story<A: Aggregate> {
    /// What happened before.
    pub history: Vec<A::Event>,
    /// What is asked.
    pub command: A::Command,
    /// What the world does about each effect.
    pub world: fn(&Effect) -> Reaction<A::Command>,
}

/// Is what goes wrong at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disturbance {
    /// The effect fails for good.
    Fails,
    /// It fails now and whenever it is owed again.
    Broken,
    /// The other aggregate refuses.
    Refused,
    /// The report comes twice.
    Twice,
    /// The effect is done, and the report lost in a crash.
    Lost,
    /// What is told later comes before the report.
    Early,
    /// What is told later comes first, the report is lost in a crash, and from then on it is told again and again.
    Again,
}

const ALL: [Disturbance; 7] = [
    Disturbance::Fails,
    Disturbance::Broken,
    Disturbance::Refused,
    Disturbance::Twice,
    Disturbance::Lost,
    Disturbance::Early,
    Disturbance::Again,
];

/// Is a saga under way in its world.
struct Walk<'a, A: Aggregate> {
    story: &'a Story<A>,
    state: A,
    /// What comes of a snapshot at every fact and the facts after it.
    snapshotted: A,
    log: Vec<(A::Event, Given)>,
    later: VecDeque<A::Command>,
    again: Vec<A::Command>,
    closings: Vec<Closing>,
    open: i32,
    undo_failed: bool,
    broken: Vec<(OperationId, Step)>,
    steps: usize,
}

/// Tries every law of a story.
///
/// # Panics
/// If one is broken, with the disturbance under which it is.
#[track_caller]
pub fn hold_for<A>(story: &Story<A>)
where
    A: Aggregate + PartialEq + Debug,
{
    let calm = Walk::through(story, &BTreeMap::new());
    assert!(calm.steps > 0, "{:?} owes nothing", story.command);
    for step in 0..calm.steps {
        for disturbance in ALL {
            let first = BTreeMap::from([(step, disturbance)]);
            let walk = Walk::through(story, &first);
            walk.ends_well(&calm, &first);
            let breaks = matches!(disturbance, Disturbance::Fails | Disturbance::Broken | Disturbance::Refused);
            for second in (step + 1..walk.steps).filter(|_| breaks) {
                for another in ALL {
                    let both = BTreeMap::from([(step, disturbance), (second, another)]);
                    Walk::through(story, &both).ends_well(&walk, &both);
                }
            }
        }
    }
}

impl<'a, A> Walk<'a, A>
where
    A: Aggregate + PartialEq + Debug,
{
    fn through(story: &'a Story<A>, disturbances: &BTreeMap<usize, Disturbance>) -> Self {
        let mut walk = Self {
            story,
            state: A::default(),
            snapshotted: A::default(),
            log: vec![],
            later: VecDeque::new(),
            again: vec![],
            closings: vec![],
            open: 0,
            undo_failed: false,
            broken: vec![],
            steps: 0,
        };
        let given = Given { operation: operation(), at: Timestamp::from_micros(1_000_000) };
        story.history.iter().for_each(|event| walk.record(event.clone(), given));
        walk.closings.clear();
        walk.tell(&story.command, given);
        assert!(walk.log.len() > story.history.len(), "nothing follows from {:?}", story.command);
        while walk.goes_on(disturbances) {
            assert!(walk.steps < STEPS_MAX, "owes for ever under {disturbances:?}: {:?}", walk.state.next_effect());
        }
        walk
    }

    /// Takes one step; says no when nothing is owed any more and nothing is to be told.
    fn goes_on(&mut self, disturbances: &BTreeMap<usize, Disturbance>) -> bool {
        let given = Given { operation: operation(), at: Timestamp::from_micros(2_000_000) };
        self.again.clone().iter().for_each(|command| self.tell(command, given));
        let Some(effect) = self.state.next_effect() else {
            return self.later.pop_front().map(|command| self.tell(&command, given)).is_some();
        };
        let reaction = (self.story.world)(&effect);
        let Some(outcome) = reaction.outcome else { return false };
        let disturbance = disturbances.get(&self.steps).copied();
        if disturbance == Some(Disturbance::Broken) {
            self.broken.push((effect.operation, effect.step));
        }
        let broken = self.broken.contains(&(effect.operation, effect.step));
        let disturbance = if broken { Some(Disturbance::Fails) } else { disturbance };
        self.steps += 1;
        let waits = matches!(effect.action, Action::Wake(_));
        let asks = matches!(effect.action, Action::Ask(..));
        match disturbance {
            Some(Disturbance::Fails) if !waits => {
                self.undo_failed |= effect.undo;
                self.report(&effect, Outcome::Failed(Failure::permanent("disturbed")));
            }
            Some(Disturbance::Refused) if asks => {
                self.undo_failed |= effect.undo;
                let refusal = Refusal::new(RefusalClass::Conflict, "test.disturbed", "disturbed");
                self.report(&effect, Outcome::Refused(refusal));
            }
            Some(Disturbance::Twice) => {
                self.later.extend(reaction.later);
                self.report(&effect, outcome.clone());
                self.report(&effect, outcome);
            }
            Some(Disturbance::Lost) => {
                self.later.extend(reaction.later);
                assert_eq!(self.state.next_effect(), Some(effect), "what is owed is not derived again");
            }
            Some(Disturbance::Early) => {
                reaction.later.iter().for_each(|command| self.tell(command, given));
                self.report(&effect, outcome);
            }
            Some(Disturbance::Again) => match reaction.later {
                Some(command) => self.again.push(command),
                None => assert_eq!(self.state.next_effect(), Some(effect), "what is owed is not derived again"),
            },
            Some(Disturbance::Fails | Disturbance::Broken | Disturbance::Refused) | None => {
                self.later.extend(reaction.later);
                self.report(&effect, outcome);
            }
        }
        true
    }

    fn report(&mut self, effect: &Effect, outcome: Outcome) {
        let (operation, step) = (effect.operation, effect.step);
        let given = Given { operation, at: Timestamp::from_micros(2_000_000) };
        self.tell(&A::Command::from(Report { operation, step, attempt: 1, outcome }), given);
    }

    /// Gives a command. A refusal changes nothing, which is all there is to know of it here.
    fn tell(&mut self, command: &A::Command, given: Given) {
        let events = self.state.decide(command, given).unwrap_or_default();
        for event in events {
            self.record(event, given);
        }
        assert_eq!(self.replayed(), self.state, "the replayed state is another");
    }

    fn record(&mut self, event: A::Event, given: Given) {
        match event.mark() {
            Mark::Opened { .. } => self.open += 1,
            Mark::Closed { outcome } => {
                self.open -= 1;
                self.closings.push(outcome);
            }
            Mark::Phase { .. } | Mark::Done { .. } | Mark::Fact => {}
        }
        self.state.evolve(&event, given);
        self.snapshotted.evolve(&event, given);
        self.snapshotted = as_snapshot(&self.snapshotted);
        assert_eq!(self.snapshotted, self.state, "a snapshot makes another state");
        self.log.push((event, given));
    }

    /// Returns the state that follows from the log as it is written and read back.
    fn replayed(&self) -> A {
        let mut state = A::default();
        for (event, given) in &self.log {
            let written = encode(event, None).expect("events are written as JSON");
            let read: A::Event =
                decode(&written.kind, written.schema, &written.body).expect("what is written is read back");
            assert_eq!(read, *event, "what is read is not what was written");
            state.evolve(&read, *given);
        }
        state
    }

    /// Compares with the walk that only lacked the last disturbance.
    #[track_caller]
    fn ends_well(&self, calm: &Self, under: &BTreeMap<usize, Disturbance>) {
        assert!(self.open <= 0, "an operation stays open under {under:?}: {:?}", self.log);
        let stuck = self.closings.iter().any(|closing| matches!(closing, Closing::Stuck { .. }));
        assert!(!stuck || self.undo_failed, "stuck though nothing was taken back under {under:?}: {:?}", self.log);
        let breaks = under
            .values()
            .next_back()
            .is_some_and(|last| matches!(last, Disturbance::Fails | Disturbance::Broken | Disturbance::Refused));
        if !breaks {
            assert_eq!(self.state, calm.state, "another end under {under:?}");
            assert_eq!(self.closings, calm.closings, "another outcome under {under:?}");
        }
    }
}
