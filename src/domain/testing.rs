//! Given, when, then: the grammar in which rules are tested.

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::{Aggregate, Ask, Asked, Effect, Given, Outcome, Refusal, Report, Step};
use crate::events::{AddressRequest, Configuration, DiskKind, Limits, RestartPolicy};
use crate::types::{OperationId, Principal, Size, StreamName, TemplateId, Timestamp};

/// Is an aggregate with a history.
pub struct Scenario<A: Aggregate> {
    state: A,
    given: Given,
}

/// Is what came of a command.
pub struct Decided<A: Aggregate> {
    state: A,
    result: Result<Vec<A::Event>, Refusal>,
}

/// Returns the operation of every history and command that names no other.
pub fn operation() -> OperationId {
    OperationId::derived("test")
}

/// Makes the report of a step of that operation.
pub fn report<C: From<Report>>(step: Step, outcome: Outcome) -> C {
    C::from(Report { operation: operation(), step, attempt: 1, outcome })
}

/// Makes the plainest configuration there is.
pub fn configuration() -> Configuration {
    Configuration {
        hostname: "web1".parse().expect("the name is well formed"),
        managed: crate::types::Managed::default(),
        template: TemplateId::derived("debian"),
        limits: Limits { disk: Size::from_mib(1024), ..Limits::default() },
        disk: DiskKind::Image,
        network: None,
        address: AddressRequest::Auto,
        labels: BTreeMap::new(),
        autostart: false,
        restart: RestartPolicy::default(),
        privileged: false,
        nesting: false,
        command: None,
    }
}

/// Makes an ask of that operation.
pub fn asked(ask: Ask, by: StreamName) -> Asked {
    let principal = Principal::runtime();
    Asked { ask, by, operation: operation(), step: "test", at: Timestamp::from_micros(1_000_000), principal }
}

/// Gives every command after every history, and after every beginning of it: facts, or words for why not.
///
/// # Panics
/// If a refusal has no code or no words.
#[track_caller]
pub fn answers_everything<A: Aggregate + PartialEq + Debug>(histories: &[Vec<A::Event>], commands: &[A::Command]) {
    for history in histories {
        for length in 0..=history.len() {
            for command in commands {
                let decided = given::<A>(history[..length].to_vec()).when(command.clone());
                if let Err(refusal) = decided.result {
                    let told = refusal.code.contains('.') && !refusal.message.is_empty();
                    assert!(told, "{command:?} after {:?}: {refusal:?}", &history[..length]);
                }
            }
        }
    }
}

/// Writes a state as a snapshot does, and reads it back.
///
/// # Panics
/// If a snapshot cannot hold it.
#[track_caller]
pub fn as_snapshot<A: Aggregate>(state: &A) -> A {
    let written = serde_json::to_vec(state).expect("a state is written as JSON");
    serde_json::from_slice(&written).expect("what is written is read back")
}

/// Begins with a history.
///
/// # Panics
/// If a snapshot after any of its facts would lead elsewhere.
#[track_caller]
pub fn given<A: Aggregate + PartialEq + Debug>(history: impl IntoIterator<Item = A::Event>) -> Scenario<A> {
    let (mut state, mut snapshotted) = (A::default(), A::default());
    let given = Given { operation: operation(), at: Timestamp::from_micros(1_000_000) };
    for event in history {
        state.evolve(&event, given);
        snapshotted.evolve(&event, given);
        snapshotted = as_snapshot(&snapshotted);
        assert_eq!(snapshotted, state, "a snapshot makes another state");
    }
    Scenario { state, given }
}

impl<A: Aggregate> Scenario<A> {
    /// Names the operation of the commands to come.
    pub fn operation(mut self, operation: OperationId) -> Self {
        self.given.operation = operation;
        self
    }

    /// Gives a command.
    pub fn when(mut self, command: A::Command) -> Decided<A> {
        let result = self.state.decide(&command, self.given);
        for event in result.iter().flatten() {
            self.state.evolve(event, self.given);
        }
        Decided { state: self.state, result: result.map_err(Into::into) }
    }

    /// Returns the state that the history leads to.
    pub fn state(self) -> A {
        self.state
    }

    /// Returns what the history still owes the world.
    pub fn owes(&self) -> Option<Effect> {
        self.state.next_effect()
    }
}

impl<A: Aggregate> Decided<A> {
    /// Demands exactly these facts.
    ///
    /// # Panics
    /// If others came, or a refusal.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = A::Event>) -> Self
    where
        A::Event: PartialEq + Debug,
    {
        let expected: Vec<_> = expected.into_iter().collect();
        assert_eq!(self.result.as_ref().ok(), Some(&expected), "{:?}", self.result.as_ref().err());
        self
    }

    /// Demands that it was so already.
    ///
    /// # Panics
    /// If any fact came, or a refusal.
    #[track_caller]
    pub fn then_nothing(self) -> Self
    where
        A::Event: PartialEq + Debug,
    {
        self.then([])
    }

    /// Demands a refusal with that code.
    ///
    /// # Panics
    /// If facts came, or another refusal.
    #[track_caller]
    pub fn then_refused(self, code: &str) -> Self {
        let refused = self.result.as_ref().err().map(|refusal| refusal.code.as_str());
        assert_eq!(refused, Some(code));
        self
    }

    /// Demands that the state now owes that step, or nothing.
    ///
    /// # Panics
    /// If it owes another.
    #[track_caller]
    pub fn owing(self, step: Option<&str>) -> Self {
        assert_eq!(self.state.next_effect().map(|effect| effect.step), step);
        self
    }
}
