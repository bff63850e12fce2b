//! Looks at what may never answer: a network file system whose server is gone holds whoever asks it, for hours.
//!
//! Each look has a thread of its own that is left to itself when its time is over, and of one thing there is only one at a
//! time: whoever asks meanwhile waits for that one, each as long as he has time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::host::lock;

/// After how long without an answer a look is begun anew: what it hangs on may be mounted no more, and another in its place.
const AGAIN: Duration = Duration::from_mins(1);

/// Is a look and what comes of it.
struct Pending<T> {
    begun: Instant,
    answer: Mutex<Option<T>>,
    answered: Condvar,
}

/// Knows the looks that are under way.
pub(super) struct Looks<K, T>(Arc<Mutex<HashMap<K, Arc<Pending<T>>>>>);

impl<K, T> Default for Looks<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// Is an answer to come.
pub(super) struct Answer<T>(Arc<Pending<T>>);

impl<T: Clone> Answer<T> {
    /// Returns when the look began.
    pub(super) fn begun(&self) -> Instant {
        self.0.begun
    }

    /// Waits for it until then; nothing if it is not there.
    pub(super) fn before(&self, until: Instant) -> Option<T> {
        let Pending { answer, answered, .. } = &*self.0;
        let held = lock(answer);
        let left = until.saturating_duration_since(Instant::now());
        let waited = answered.wait_timeout_while(held, left, |answer| answer.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

impl<K: Clone + Eq + Hash + Send + 'static, T: Clone + Send + 'static> Looks<K, T> {
    /// Begins a look at something, or joins the one under way.
    pub(super) fn begin(&self, key: &K, look: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
        let mut all = lock(&self.0);
        if let Some(pending) = all.get(key).filter(|pending| pending.begun.elapsed() < AGAIN) {
            return Answer(Arc::clone(pending));
        }
        let pending = Arc::new(Pending { begun: Instant::now(), answer: Mutex::default(), answered: Condvar::new() });
        let (own, known, done) = (key.clone(), Arc::clone(&self.0), Arc::clone(&pending));
        let begun = std::thread::Builder::new().name("look".to_owned()).spawn(move || {
            let answer = look();
            let mut known = lock(&known);
            if known.get(&own).is_some_and(|pending| Arc::ptr_eq(pending, &done)) {
                known.remove(&own);
            }
            drop(known);
            *lock(&done.answer) = Some(answer);
            done.answered.notify_all();
        });
        // Without a thread nobody looks now; whoever asks next tries again.
        if begun.is_ok() {
            all.insert(key.clone(), Arc::clone(&pending));
        }
        Answer(pending)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn what_does_not_answer_holds_nobody_and_is_asked_once() {
        let looks = Looks::<&str, u32>::default();
        let (release, released) = channel::<()>();
        let first = looks.begin(&"silent", move || {
            let _ = released.recv();
            1
        });
        assert_eq!(first.before(Instant::now() + SHORT), None);
        assert_eq!(looks.begin(&"silent", || 2).before(Instant::now() + SHORT), None, "it joins the first");
        assert_eq!(looks.begin(&"other", || 3).before(Instant::now() + LONG), Some(3));
        release.send(()).unwrap();
        assert_eq!(first.before(Instant::now() + LONG), Some(1));
        assert_eq!(looks.begin(&"silent", || 4).before(Instant::now() + LONG), Some(4), "it is looked at anew");
    }
}
