//! What programs inside ask before they go on: whether they may have a user namespace of their own.
//!
//! The container's root may, one level deep: systemd makes them for services with `PrivateUsers=`. It gains nothing by that, for
//! it has every capability in the container's own; a program without privilege would gain all of them, and may not.

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::kernel::inner::UserNamespace;
use crate::sys::seccomp::{self, Heard, Question};

/// The most listeners that are kept, one for each command that something is left of: more are not listened to, and what
/// they would have asked for is not there (`ENOSYS`).
const LISTENERS_MAX: usize = 256;
/// The longest that one round of answers may take, whoever else waits for the shim.
const ROUND: Duration = Duration::from_millis(5);
/// The most answers in a second: whoever asks without end waits, and does not have the shim work outside the container's quota.
const ANSWERS_MAX: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);

/// The listeners of all system call filters inside, one for the first process and one for each command beside it.
#[derive(Debug)]
pub(super) struct Questions {
    /// Those heard last are at the end.
    listeners: VecDeque<OwnedFd>,
    /// The container's own user namespace, as it was before its first process began: that one may leave it later.
    own: Option<UserNamespace>,
    begun: Instant,
    answered: u32,
}

impl Questions {
    pub(super) fn new(now: Instant) -> Self {
        Self { listeners: VecDeque::new(), own: None, begun: now, answered: 0 }
    }

    /// Notes whose questions these are, while the first process still waits for the word to begin.
    pub(super) fn begin(&mut self, init: i32) {
        self.own = UserNamespace::of(init);
    }

    pub(super) fn add(&mut self, listener: Option<OwnedFd>) {
        self.listeners.extend(listener.filter(|_| self.listeners.len() < LISTENERS_MAX));
    }

    /// Returns what to listen to: nothing for the rest of a second in which enough was answered.
    pub(super) fn listeners(&self, now: Instant) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.listeners.iter().filter(move |_| self.goes_on(now).is_none()).map(OwnedFd::as_fd)
    }

    /// Returns when it goes on, where enough was answered.
    pub(super) fn goes_on(&self, now: Instant) -> Option<Instant> {
        let next = self.begun + SECOND;
        (self.answered >= ANSWERS_MAX && now < next).then_some(next)
    }

    /// Answers one question of each listener that has one, in turn, and lets go of those that can have none any more.
    pub(super) fn answer(&mut self, now: Instant) {
        if self.begun + SECOND <= now {
            (self.begun, self.answered) = (now, 0);
        }
        for _ in 0..self.listeners.len() {
            if self.answered >= ANSWERS_MAX || now.elapsed() >= ROUND {
                return;
            }
            let Some(listener) = self.listeners.pop_front() else { return };
            match seccomp::hear(listener.as_fd()) {
                Ok(Heard::Question(question)) => {
                    self.answered += 1;
                    self.reply(listener.as_fd(), question);
                    self.listeners.push_back(listener);
                }
                Ok(Heard::Nothing) => self.listeners.push_back(listener),
                Ok(Heard::End) | Err(_) => {}
            }
        }
    }

    fn reply(&self, listener: BorrowedFd<'_>, question: Question) {
        let may = self.own.is_some_and(|own| own.lets_make_another(question.thread));
        // Its number may be another thread's by now, if it has gone.
        let granted = may && seccomp::still_waits(listener, question);
        seccomp::reply(listener, question, granted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_listened_to_for_the_rest_of_a_second_that_had_enough() {
        let begun = Instant::now();
        let mut questions = Questions::new(begun);
        questions.add(Some(std::fs::File::open("/dev/null").unwrap().into()));
        assert_eq!(questions.listeners(begun).count(), 1);
        questions.answered = ANSWERS_MAX;
        assert_eq!((questions.listeners(begun).count(), questions.goes_on(begun)), (0, Some(begun + SECOND)));
        assert_eq!((questions.listeners(begun + SECOND).count(), questions.goes_on(begun + SECOND)), (1, None));
        questions.answer(begun + SECOND);
        assert_eq!(questions.answered, 0);
    }

    #[test]
    fn the_bound_holds_however_many_listeners_there_are() {
        let mut questions = Questions::new(Instant::now());
        for _ in 0..2 * LISTENERS_MAX {
            questions.add(Some(std::fs::File::open("/dev/null").unwrap().into()));
        }
        assert_eq!(questions.listeners.len(), LISTENERS_MAX);
        questions.answered = ANSWERS_MAX;
        questions.answer(questions.begun);
        assert_eq!((questions.listeners.len(), questions.answered), (LISTENERS_MAX, ANSWERS_MAX), "nobody is heard");
    }
}
