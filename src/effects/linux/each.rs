//! One of something for each key, every one under a lock of its own.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use super::host::lock;

/// Is a place for each key.
pub(super) struct Each<K, T>(Mutex<HashMap<K, Arc<Mutex<T>>>>);

impl<K, T> Default for Each<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, T: Default> Each<K, T> {
    /// Returns the place of a key: whoever works under its lock holds up nobody who works under another.
    pub(super) fn of(&self, key: K) -> Arc<Mutex<T>> {
        Arc::clone(lock(&self.0).entry(key).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_on_one_holds_up_no_other() {
        let each = Each::<&str, u32>::default();
        let (one, other) = (each.of("one"), each.of("other"));
        let at_work = lock(&one);
        assert!(each.of("one").try_lock().is_err(), "the same is worked on by one at a time");
        *lock(&other) += 1;
        drop(at_work);
        assert_eq!((*lock(&each.of("one")), *lock(&each.of("other"))), (0, 1));
    }
}
