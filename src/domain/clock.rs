//! The rules of the clock: what is to be known of it from one run of the daemon to the next, and whether it is trusted.
//!
//! ```text
//!   trusted ── stepped ──▶ doubted ── confirmed, or found synchronised ──▶ trusted
//! ```
//!
//! A step while the daemon runs is seen by [`ClockWatch`](crate::types::ClockWatch). One between two runs is told here
//! from what the log knows: the last event, and when the machine came up. A clock that went back is always found. One that
//! went forward cannot be told from time that passed, unless the boot is the same; how much is believed unasked is a
//! matter of what machines are like (docs/decisions/0017-clock-epochs.md).

use serde::{Deserialize, Serialize};

use super::effect::{Answer, Asked, Effect, Report};
use super::refusal::Refusal;
use super::{Aggregate, Given};
use crate::events::ClockEvent;
use crate::types::{CLOCK_SLACK, Category, Span, Step, StepNotice, Timestamp};

/// How long a machine may have been off before a clock that no service keeps is asked about.
pub const OFF_MAX: Span = Span::from_secs(90 * 24 * 60 * 60);
/// How long after a boot a time service is waited for before the clock is taken for right without one.
pub const SETTLING: Span = Span::from_secs(10 * 60);

/// Is everything the log tells about the clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    boot: Option<String>,
    up_since: Option<Timestamp>,
    doubted: bool,
}

/// Is a wish or an observation.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// The daemon runs in this boot.
    TimeBoot {
        /// The kernel's id of it.
        boot: String,
        /// When it began, by the clock of now.
        up_since: Timestamp,
    },
    /// The clock is right.
    Confirm,
    /// A time service keeps the clock.
    ReportSynchronised,
    /// An effect's outcome; a clock has none.
    Report(Report),
}

/// Is a refusal; there is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        match rejection {}
    }
}

impl From<Report> for Command {
    fn from(report: Report) -> Self {
        Self::Report(report)
    }
}

impl TryFrom<Asked> for Command {
    type Error = Asked;

    fn try_from(asked: Asked) -> Result<Self, Asked> {
        Err(asked)
    }
}

impl Aggregate for Clock {
    const CATEGORY: Category = Category::Clock;
    const STATE_SCHEMA: u32 = 1;
    type Command = Command;
    type Event = ClockEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _given: Given) -> Result<Vec<ClockEvent>, Rejection> {
        Ok(match command {
            Command::TimeBoot { boot, .. } if self.boot.as_ref() == Some(boot) => vec![],
            Command::TimeBoot { boot, up_since } => {
                vec![ClockEvent::BootTimed { boot: boot.clone(), up_since: *up_since }]
            }
            Command::Confirm if self.doubted => vec![ClockEvent::ClockConfirmed],
            Command::ReportSynchronised if self.doubted => vec![ClockEvent::ClockSynchronised],
            Command::Confirm | Command::ReportSynchronised | Command::Report(_) => vec![],
        })
    }

    fn evolve(&mut self, event: &ClockEvent, _given: Given) {
        match event {
            ClockEvent::BootTimed { boot, up_since } => {
                (self.boot, self.up_since) = (Some(boot.clone()), Some(*up_since));
            }
            ClockEvent::ClockStepped { from, to, .. } => {
                let by = to.as_micros().saturating_sub(from.as_micros());
                self.up_since = self.up_since.map(|up_since| up_since.moved(by));
                self.doubted = true;
            }
            ClockEvent::ClockConfirmed | ClockEvent::ClockSynchronised => self.doubted = false,
        }
    }

    fn next_effect(&self) -> Option<Effect> {
        None
    }

    fn answer(&self, _: &Asked) -> Answer {
        Answer::Accepted
    }
}

/// Is what the log knows when a daemon starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Before {
    /// When its last event was recorded.
    pub last: Timestamp,
    /// The boot that the clock was compared in last, and when it began by the clock of then.
    pub boot: Option<(String, Timestamp)>,
}

/// Is what a daemon finds when it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What the clock shows.
    pub wall: Timestamp,
    /// The time since boot.
    pub up: Span,
    /// The kernel's id of this boot.
    pub boot: String,
    /// Whether a time service keeps the clock.
    pub is_synchronised: bool,
}

impl Found {
    /// Returns when this boot began, by the clock of now.
    pub fn up_since(&self) -> Timestamp {
        self.wall.moved(self.up.as_micros().saturating_neg())
    }

    /// Says whether the machine has been up all the time: inside a container another boot need not be the kernel's.
    fn continues(&self, before: &Before) -> bool {
        before
            .boot
            .as_ref()
            .is_some_and(|(boot, up_since)| *boot == self.boot || up_since.apart(self.up_since()) <= CLOCK_SLACK)
    }

    /// Returns when this boot began, as it was known before.
    fn same_boot(&self, before: &Before) -> Option<Timestamp> {
        before.boot.as_ref().filter(|(boot, _)| *boot == self.boot).map(|(_, up_since)| *up_since)
    }
}

/// Says whether the clock stepped since the last event, and how that shows.
pub fn step_between(before: &Before, found: &Found) -> Option<Step> {
    let step = |from: Timestamp, noticed| Step { from, to: found.wall, noticed };
    if let Some(up_since) = found.same_boot(before) {
        let expected = up_since.moved(found.up.as_micros());
        return (expected.apart(found.wall) > CLOCK_SLACK).then(|| step(expected, StepNotice::BetweenRuns));
    }
    if found.continues(before) {
        return None;
    }
    let off = found.wall.since(before.last);
    if before.last.since(found.wall) > CLOCK_SLACK {
        return Some(step(before.last, StepNotice::BehindLog));
    }
    if before.last.since(found.up_since()) > CLOCK_SLACK {
        // The boot is at least as young as the last event: what the clock lacks is to be added to what it would show.
        return Some(step(before.last.after(found.up), StepNotice::BeforeBoot));
    }
    (off > OFF_MAX && !found.is_synchronised).then(|| step(before.last, StepNotice::FarAhead))
}

/// Says whether a time service is to be waited for, and until which time since boot: after a boot that the log did not see
/// begin, while none keeps the clock. A machine without one goes on then.
pub fn settles_until(before: Option<&Before>, found: &Found) -> Option<Span> {
    let new_boot = before.is_some_and(|before| !found.continues(before));
    (new_boot && !found.is_synchronised).then(|| Span::from_micros(found.up.as_micros() + SETTLING.as_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::{answers_everything, given};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn timed(boot: &str, up_since: i64) -> ClockEvent {
        ClockEvent::BootTimed { boot: boot.to_owned(), up_since: at(up_since) }
    }

    fn stepped(from: i64, to: i64) -> ClockEvent {
        ClockEvent::ClockStepped { from: at(from), to: at(to), noticed: StepNotice::Running }
    }

    #[test]
    fn a_boot_is_timed_once() {
        let time = |boot: &str, up_since| Command::TimeBoot { boot: boot.to_owned(), up_since: at(up_since) };
        given::<Clock>([]).when(time("a", 5)).then([timed("a", 5)]);
        given::<Clock>([timed("a", 5)]).when(time("a", 6)).then_nothing();
        given::<Clock>([timed("a", 5)]).when(time("b", 60)).then([timed("b", 60)]);
    }

    #[test]
    fn a_step_is_doubted_until_somebody_says_that_it_is_right() {
        for (command, fact) in [
            (Command::Confirm, ClockEvent::ClockConfirmed),
            (Command::ReportSynchronised, ClockEvent::ClockSynchronised),
        ] {
            given::<Clock>([]).when(command.clone()).then_nothing();
            given::<Clock>([stepped(5, 500)]).when(command.clone()).then([fact.clone()]);
            given::<Clock>([stepped(5, 500), fact.clone()]).when(command.clone()).then_nothing();
            given::<Clock>([stepped(5, 500), fact.clone(), stepped(500, 5)]).when(command).then([fact]);
        }
    }

    #[test]
    fn a_step_moves_the_moment_of_the_boot_along() {
        let state = given::<Clock>([timed("a", 100), stepped(150, 1_150)]).state();
        assert_eq!(state.up_since, Some(at(1_100)));
    }

    const DAY: i64 = 86_400;

    fn found(boot: &str, wall: i64, up: i64) -> Found {
        Found { wall: at(wall), up: Span::from_secs(up), boot: boot.to_owned(), is_synchronised: false }
    }

    #[test]
    fn what_lies_between_two_runs_is_judged() {
        use StepNotice::{BeforeBoot, BehindLog, BetweenRuns, FarAhead};
        let last = 1_000 * DAY;
        let before = Before { last: at(last), boot: Some(("a".to_owned(), at(last - 100))) };
        let synchronised = |found: Found| Found { is_synchronised: true, ..found };
        let cases = [
            ("a restart", found("a", last + 60, 160), None),
            ("a restart after a week asleep", found("a", last + 7 * DAY, 7 * DAY + 100), None),
            ("two days ahead in one boot", found("a", last + 2 * DAY, 105), Some((last + 5, BetweenRuns))),
            ("half an hour back in one boot", found("a", last - 1_800, 105), Some((last + 5, BetweenRuns))),
            (
                "the same, though a service says it is right",
                synchronised(found("a", last - 1_800, 105)),
                Some((last + 5, BetweenRuns)),
            ),
            ("a container restarted, the kernel not", found("b", last + 60, 160), None),
            ("a reboot", found("b", last + 90, 30), None),
            ("a reboot within a second of slack", found("b", last + 28, 30), None),
            ("off for a month", found("b", last + 30 * DAY, 30), None),
            ("no battery: 1970", found("b", 40, 40), Some((last, BehindLog))),
            ("before 1970", found("b", -DAY, 40), Some((last, BehindLog))),
            ("ten minutes ahead, put right by the reboot", found("b", last + 20, 80), Some((last + 80, BeforeBoot))),
            ("three years ahead", found("b", last + 1_095 * DAY, 30), Some((last, FarAhead))),
            ("off for three years, kept right", synchronised(found("b", last + 1_095 * DAY, 30)), None),
        ];
        for (what, found, expected) in cases {
            let step = step_between(&before, &found).map(|step| (step.from, step.noticed));
            assert_eq!(step, expected.map(|(from, noticed)| (at(from), noticed)), "{what}");
        }
        let unknown = Before { boot: None, ..before };
        assert_eq!(step_between(&unknown, &found("a", last + 60, 30)), None, "a log of before this was known");
    }

    #[test]
    fn a_time_service_is_waited_for_after_a_boot_only() {
        let before = Before { last: at(1_000), boot: Some(("a".to_owned(), at(900))) };
        let until = Some(Span::from_secs(630));
        assert_eq!(settles_until(Some(&before), &found("b", 2_000, 30)), until);
        assert_eq!(settles_until(Some(&before), &Found { is_synchronised: true, ..found("b", 2_000, 30) }), None);
        assert_eq!(settles_until(Some(&before), &found("a", 2_000, 1_100)), None);
        assert_eq!(settles_until(None, &found("a", 2_000, 30)), None, "there is nothing to delete yet");
    }

    #[test]
    fn every_command_has_an_answer_in_every_state() {
        let time = Command::TimeBoot { boot: "a".to_owned(), up_since: at(5) };
        let commands = [time, Command::Confirm, Command::ReportSynchronised];
        answers_everything::<Clock>(&[vec![], vec![timed("a", 5)], vec![stepped(1, 9)]], &commands);
    }
}
