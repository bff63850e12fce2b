//! Exit codes: few, fixed, told by `berth exit-codes`. The fine detail is in an error's code word, not here.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::api::resources::WaitOutcome;
use crate::projections::rows::{Cause, OperationState};
use crate::types::RefusalClass;

/// Says how a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// As asked.
    Done,
    /// Not at all.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// Some of it: one target of several, or a backup with unreadable files.
    Partly,
    /// Not for this user.
    NotAllowed,
    /// There is no such thing.
    NotFound,
    /// Somebody else has it, or it is not in that state.
    Conflict,
    /// There is not enough.
    Limit,
    /// No daemon.
    NoDaemon,
    /// The wait was too long; the work goes on.
    Timeout,
    /// It was looked at, and something is wrong.
    Findings,
    /// Interrupted; the work goes on.
    Detached,
    /// What a command inside a container returned.
    Command(u8),
}

impl Exit {
    /// Returns the number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Partly => 3,
            Self::NotAllowed => 4,
            Self::NotFound => 5,
            Self::Conflict => 6,
            Self::Limit => 7,
            Self::NoDaemon => 8,
            Self::Timeout => 9,
            Self::Findings => 10,
            Self::Detached => 130,
            Self::Command(code) => code,
        }
    }

    /// Returns the end that a refusal is.
    pub fn of_class(class: RefusalClass) -> Self {
        match class {
            RefusalClass::Invalid => Self::Usage,
            RefusalClass::NotAllowed => Self::NotAllowed,
            RefusalClass::NotFound => Self::NotFound,
            RefusalClass::Conflict => Self::Conflict,
            RefusalClass::Limit => Self::Limit,
            RefusalClass::Unsupported => Self::Failed,
            RefusalClass::Damaged => Self::Partly,
        }
    }

    /// Returns the end that an operation's end is: one that came to nothing for a reason that would have been refused at once,
    /// had it been known, ends as that refusal does.
    pub fn of_operation(outcome: &WaitOutcome) -> Self {
        if outcome.state == OperationState::Failed && !outcome.members.is_empty() {
            return Self::sum(outcome.members.iter().map(|member| Self::of_state(member.state, member.cause.as_ref())));
        }
        Self::of_state(outcome.state, outcome.cause.as_ref())
    }

    fn of_state(state: OperationState, cause: Option<&Cause>) -> Self {
        match state {
            OperationState::Failed => cause.map_or(Self::Failed, |cause| Self::of_class(cause.class)),
            OperationState::Waiting | OperationState::Running | OperationState::Done => Self::Done,
            OperationState::Partly => Self::Partly,
            OperationState::Skipped => Self::Conflict,
            OperationState::Cancelled | OperationState::Stuck => Self::Failed,
        }
    }

    /// Sums the ends of several targets up: one that all share; else partly if anything was done, or goes on; else what the
    /// first of them ended as.
    pub fn sum(ends: impl IntoIterator<Item = Self>) -> Self {
        let ends: Vec<Self> = ends.into_iter().collect();
        let first = ends.first().copied().unwrap_or(Self::Done);
        let came_to_something = |end: &Self| matches!(end, Self::Done | Self::Partly | Self::Timeout | Self::Detached);
        if ends.iter().any(|end| *end != first) && ends.iter().any(came_to_something) { Self::Partly } else { first }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The help on exit codes.
pub const HELP: &str = "\
Exit codes:
  0    done
  1    failed
  2    the command line makes no sense
  3    partly done: some of the targets, or unreadable files
  4    not allowed
  5    not found
  6    conflict or busy
  7    a limit is reached, or there is no space
  8    no daemon is running
  9    the wait was too long; the work goes on
  10   finished, with findings
  130  detached by Ctrl-C; the work goes on
  exec, enter: what the command returned; 126 cannot be run, 127 not found,
               128+N ended by signal N; 141 also: nobody reads its terminal";

/// Returns the same as a document: each number with its meaning.
pub fn document() -> Value {
    let line = |line: &str| {
        let (number, meaning) = line.trim().split_once(' ')?;
        let number: u8 = number.parse().ok()?;
        Some(json!({"id": number.to_string(), "code": number, "meaning": meaning.trim()}))
    };
    json!({"schema": "berth.exit-code.list/v1", "items": HELP.lines().filter_map(line).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::OperationId;

    #[test]
    fn several_ends_are_partly_unless_all_are_alike() {
        assert_eq!(Exit::sum([]), Exit::Done);
        assert_eq!(Exit::sum([Exit::NotFound, Exit::NotFound]), Exit::NotFound);
        assert_eq!(Exit::sum([Exit::NotFound, Exit::Done]), Exit::Partly);
        assert_eq!(Exit::sum([Exit::Timeout, Exit::NotFound]), Exit::Partly);
    }

    #[test]
    fn where_nothing_was_done_the_first_failure_tells() {
        assert_eq!(Exit::sum([Exit::Conflict, Exit::NotFound]), Exit::Conflict);
        assert_eq!(Exit::sum([Exit::NotFound, Exit::Failed, Exit::Conflict]), Exit::NotFound);
    }

    #[test]
    fn an_operation_ends_as_what_ended_it_would_have_been_refused() {
        let outcome = |state, class: Option<RefusalClass>| WaitOutcome {
            operation: OperationId::derived("x"),
            state,
            reason: Some("why".to_owned()),
            cause: class.map(|class| Cause { class, code: None, reason: "why".to_owned() }),
            warnings: vec![],
            members: vec![],
            opened_at: None,
            closed_at: None,
        };
        for (class, exit) in [
            (None, 1),
            (Some(RefusalClass::NotAllowed), 4),
            (Some(RefusalClass::NotFound), 5),
            (Some(RefusalClass::Conflict), 6),
            (Some(RefusalClass::Limit), 7),
            (Some(RefusalClass::Unsupported), 1),
        ] {
            assert_eq!(Exit::of_operation(&outcome(OperationState::Failed, class)).code(), exit, "{class:?}");
            assert_eq!(Exit::of_operation(&outcome(OperationState::Done, class)), Exit::Done);
            assert_eq!(Exit::of_operation(&outcome(OperationState::Stuck, class)), Exit::Failed);
        }
    }

    #[test]
    fn every_number_is_in_the_help() {
        for number in (0..=10).chain([130]) {
            let items = document()["items"].as_array().unwrap().clone();
            assert!(items.iter().any(|item| item["code"] == number && item["meaning"].is_string()), "{number}");
            assert!(HELP.lines().any(|line| line.trim_start().starts_with(&format!("{number} "))), "{number}");
        }
    }
}
