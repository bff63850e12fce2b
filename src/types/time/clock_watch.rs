//! Watches the clock on the wall: whether it stepped, and whether it can be trusted with what cannot be taken back.
//!
//! The wall clock is compared with the time since boot, which nobody can set, at every look. What is more than
//! [`CLOCK_SLACK`] off stepped: from then on another *clock epoch* is told, and until somebody confirms the new time, or a
//! time service keeps it, nothing is deleted or caught up by it. One watch serves a whole daemon, so that nobody acts by
//! a new time before it is recorded that it is new.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Clock, Reading, Timestamp};
use crate::types::{Position, Span};

/// How far the wall clock may be off without being said to have stepped: leap seconds and time services do that.
pub const CLOCK_SLACK: Span = Span::from_secs(2);

/// Is a step of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Step {
    /// What it would show without the step.
    pub from: Timestamp,
    /// What it shows.
    pub to: Timestamp,
    /// How that was noticed.
    pub noticed: StepNotice,
}

/// Says how a step of the clock was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepNotice {
    /// The time since boot went on differently while the daemon ran.
    Running,
    /// The time since boot says so, from one run of the daemon to the next within one boot.
    BetweenRuns,
    /// The last event was recorded at a later time.
    BehindLog,
    /// By this clock the machine came up before the last event of an earlier boot.
    BeforeBoot,
    /// After a boot it shows a time so much later that nobody believes it unasked, and no time service keeps it.
    FarAhead,
}

/// Says what the present time is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Everything.
    Sure,
    /// The machine came up not long ago, and a time service may still put its clock right: nothing is deleted or caught
    /// up yet.
    Settling,
    /// The clock stepped, and neither a person nor a time service said that it is right: nothing is deleted or caught up.
    Doubted,
}

/// Watches one clock.
pub struct ClockWatch {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: Option<(Timestamp, Span)>,
    /// A step that is not in the log yet.
    pending: Option<Step>,
    doubted: bool,
    /// Until which time since boot a time service is given to put the clock right.
    settling: Option<Span>,
    /// The recorded steps, oldest first, each with its place in the log.
    steps: Vec<(Position, Step)>,
}

impl State {
    fn look(&mut self, Reading { wall, up }: Reading) {
        let Some(up) = up else { return };
        if let Some((before, then)) = self.last.replace((wall, up)) {
            let expected = before.moved(up.as_micros().saturating_sub(then.as_micros()));
            if expected.apart(wall) > CLOCK_SLACK {
                let step = Step { from: expected, to: wall, noticed: StepNotice::Running };
                self.pending = self.pending.map_or(Some(step), |pending| pending.followed_by(&step));
            }
        }
    }

    fn newest(&self) -> Option<&Step> {
        self.pending.as_ref().or_else(|| self.steps.last().map(|(_, step)| step))
    }
}

impl Step {
    /// Returns how far the clock went, in microseconds.
    pub const fn micros(&self) -> i64 {
        self.to.as_micros().saturating_sub(self.from.as_micros())
    }

    /// Joins a step with one after it; there and back again is none.
    fn followed_by(&self, later: &Self) -> Option<Self> {
        let from = later.to.moved(self.micros().saturating_add(later.micros()).saturating_neg());
        let joined = Self { from, to: later.to, noticed: self.noticed };
        (from.apart(later.to) > CLOCK_SLACK).then_some(joined)
    }
}

impl ClockWatch {
    /// Watches a clock that nothing is known of yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let state = Mutex::default();
        let watch = Self { clock, state };
        watch.now();
        watch
    }

    /// Returns the present time.
    pub fn now(&self) -> Timestamp {
        self.look().0
    }

    /// Returns the present time, and the step that brought it, if that is not recorded yet.
    pub fn look(&self) -> (Timestamp, Option<Step>) {
        let mut state = self.state();
        let reading = self.clock.reading();
        state.look(reading);
        (reading.wall, state.pending)
    }

    /// Returns the time since boot, if the clock counts it.
    pub fn up(&self) -> Option<Span> {
        self.clock.reading().up
    }

    /// Says whether a time service keeps the clock.
    pub fn is_synchronised(&self) -> bool {
        self.clock.is_synchronised()
    }

    /// Takes over what is known from earlier runs.
    pub fn restore(&self, steps: Vec<(Position, Step)>, doubted: bool) {
        let mut state = self.state();
        (state.steps, state.doubted) = (steps, doubted);
    }

    /// Takes note of a step that was found by other means; it is to be recorded.
    pub fn suspect(&self, step: Step) {
        self.state().pending = Some(step);
    }

    /// Takes note that a step is in the log.
    pub fn recorded(&self, step: Step, position: Position) {
        let mut state = self.state();
        if state.pending == Some(step) {
            state.pending = None;
        }
        state.doubted = true;
        state.steps.push((position, step));
    }

    /// Gives a time service until then, in time since boot, to put the clock right.
    pub fn settle_until(&self, up: Span) {
        self.state().settling = Some(up);
    }

    /// Takes note of an event that says the time is right; a step after it is another matter.
    pub fn confirm(&self, said: Position) {
        let mut state = self.state();
        if state.steps.last().is_none_or(|(position, _)| *position < said) {
            (state.doubted, state.settling) = (false, None);
        }
    }

    /// Says what the present time is good for.
    pub fn trust(&self) -> Trust {
        let mut state = self.state();
        let reading = self.clock.reading();
        state.look(reading);
        if state.doubted || state.pending.is_some() {
            return Trust::Doubted;
        }
        let settles = state.settling.is_some_and(|until| reading.up.is_some_and(|up| up < until));
        if settles && !self.clock.is_synchronised() {
            return Trust::Settling;
        }
        state.settling = None;
        Trust::Sure
    }

    /// Returns when the present epoch began, by its own time; nothing if the clock never stepped.
    pub fn epoch(&self) -> Option<Timestamp> {
        self.state().newest().map(|step| step.to)
    }

    /// Returns a moment that was written down before a place in the log's epochs, by the clock of now: what is to last an
    /// hour lasts an hour, whatever the clock does meanwhile.
    pub fn moved(&self, moment: Timestamp, since: Position) -> Timestamp {
        let mut state = self.state();
        state.look(self.clock.reading());
        let later = state.steps.iter().filter(|(position, _)| *position > since).map(|(_, step)| step);
        later.chain(&state.pending).fold(moment, |moment, step| moment.moved(step.micros()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Is a clock whose wall and whose time since boot are set by hand.
    struct Set(Mutex<(i64, i64, bool)>);

    impl Set {
        fn at(wall: i64, up: i64) -> Arc<Self> {
            Arc::new(Self(Mutex::new((wall, up, false))))
        }

        fn passes(&self, seconds: i64) {
            self.turns(seconds, seconds);
        }

        fn turns(&self, wall: i64, up: i64) {
            let mut state = self.0.lock().unwrap();
            (state.0, state.1) = (state.0 + wall, state.1 + up);
        }
    }

    impl Clock for Set {
        fn now(&self) -> Timestamp {
            self.reading().wall
        }

        fn reading(&self) -> Reading {
            let (wall, up, _) = *self.0.lock().unwrap();
            Reading { wall: at(wall), up: Some(Span::from_secs(up)) }
        }

        fn is_synchronised(&self) -> bool {
            self.0.lock().unwrap().2
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn place(position: u64) -> Position {
        Position::new(position)
    }

    #[test]
    fn time_that_passes_is_no_step() {
        let clock = Set::at(1_000, 10);
        let watch = ClockWatch::new(clock.clone());
        clock.passes(200_000); // a night of sleep counts in both
        assert_eq!(watch.look(), (at(201_000), None));
        clock.turns(1, 3);
        assert_eq!(watch.look().1, None, "two seconds are a time service at work");
        assert_eq!(watch.trust(), Trust::Sure);
    }

    #[test]
    fn a_step_is_told_until_it_is_recorded_and_doubted_until_it_is_confirmed() {
        for (wall, up) in [(1_805, 5), (-1_795, 5), (94_608_000, 1), (3, 0), (-3, 0)] {
            let clock = Set::at(1_000_000, 10);
            let watch = ClockWatch::new(clock.clone());
            clock.turns(wall, up);
            let step = Step { from: at(1_000_000 + up), to: at(1_000_000 + wall), noticed: StepNotice::Running };
            assert_eq!((watch.look().1, watch.trust()), (Some(step), Trust::Doubted));
            assert_eq!(watch.look().1, Some(step), "it is not over by being looked at");
            watch.recorded(step, place(7));
            assert_eq!((watch.look().1, watch.trust()), (None, Trust::Doubted));
            watch.confirm(place(6));
            assert_eq!(watch.trust(), Trust::Doubted, "that was said before");
            watch.confirm(place(8));
            assert_eq!((watch.trust(), watch.epoch()), (Trust::Sure, Some(step.to)));
        }
    }

    #[test]
    fn there_and_back_before_anybody_wrote_it_down_is_no_step() {
        let clock = Set::at(1_000, 10);
        let watch = ClockWatch::new(clock.clone());
        clock.turns(1_800, 0);
        assert!(watch.look().1.is_some());
        clock.turns(-1_799, 1);
        assert_eq!((watch.look().1, watch.trust()), (None, Trust::Sure));
        clock.turns(600, 1);
        assert!(watch.look().1.is_some());
        clock.turns(600, 1);
        let step = watch.look().1.unwrap();
        assert_eq!((step.micros(), step.to), (1_198_000_000, at(2_201)), "two steps are one");
    }

    #[test]
    fn what_lasts_an_hour_lasts_an_hour() {
        let clock = Set::at(1_000, 10);
        let watch = ClockWatch::new(clock.clone());
        assert_eq!(watch.moved(at(4_600), place(3)), at(4_600));
        clock.turns(1_000_000, 0);
        assert_eq!(watch.moved(at(4_600), place(3)), at(1_004_600), "also before the step is recorded");
        watch.recorded(watch.look().1.unwrap(), place(4));
        assert_eq!(watch.moved(at(4_600), place(3)), at(1_004_600));
        assert_eq!(watch.moved(at(4_600), place(5)), at(4_600), "written down after it");
        clock.turns(-1_000_000, 0);
        watch.recorded(watch.look().1.unwrap(), place(6));
        assert_eq!(watch.moved(at(4_600), place(3)), at(4_600));
        assert_eq!(watch.moved(at(1_004_600), place(5)), at(4_600));
    }

    #[test]
    fn a_time_service_gets_a_while_after_a_boot() {
        let clock = Set::at(1_000, 10);
        let watch = ClockWatch::new(clock.clone());
        watch.settle_until(Span::from_secs(610));
        assert_eq!(watch.trust(), Trust::Settling);
        clock.passes(300);
        assert_eq!(watch.trust(), Trust::Settling);
        clock.0.lock().unwrap().2 = true;
        assert_eq!(watch.trust(), Trust::Sure, "it is there");
        clock.0.lock().unwrap().2 = false;
        assert_eq!(watch.trust(), Trust::Sure, "what was sure stays so");
        watch.settle_until(Span::from_secs(610));
        clock.passes(300);
        assert_eq!(watch.trust(), Trust::Sure, "a machine without one goes on");
    }
}
