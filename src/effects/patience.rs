//! Looks at what may never answer: a network file system whose server is gone holds whoever asks it, for hours.
//!
//! Each look has a thread of its own that is left to itself when its time is over, and of one thing there is only one at a
//! time: whoever asks meanwhile waits for that one, each as long as he has time. What it hangs on may be mounted no more, and
//! another in its place: that is another thing.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::hash::Hash;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use crate::repository::occupied;

/// How many may hang at once; each has a thread.
const HANGING_MAX: usize = 64;
/// How many whoever looks at many begins at once: of those that answer, each has its turn.
pub const AT_ONCE: usize = 16;

/// Says why nothing is known of what was to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unheard {
    /// It has not answered yet.
    Silent,
    /// Too many others do not answer: nobody looked.
    Crowded,
}

/// Is a look and what comes of it.
struct Pending<T> {
    begun: Instant,
    answer: Mutex<Option<T>>,
    answered: Condvar,
}

/// The looks under way, by what is looked at and the mount that it lies on.
type Known<K, T> = HashMap<(K, Option<u64>), Arc<Pending<T>>>;

/// Knows the looks that are under way.
pub struct Looks<K, T>(Arc<Mutex<Known<K, T>>>);

impl<K, T> Default for Looks<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// Is an answer to come; none where there are too many looks already for another one.
pub struct Answer<T>(Option<Arc<Pending<T>>>);

impl<T: Clone> Answer<T> {
    /// Waits for it until so long after the look began: who asks while it hangs hears so at once.
    ///
    /// # Errors
    /// It is not there by then.
    pub fn within(&self, patience: Duration) -> Result<T, Unheard> {
        let pending = self.0.as_ref().ok_or(Unheard::Crowded)?;
        self.before(pending.begun + patience)
    }

    /// Waits for it until then.
    ///
    /// # Errors
    /// It is not there by then.
    pub fn before(&self, until: Instant) -> Result<T, Unheard> {
        let Pending { answer, answered, .. } = &**self.0.as_ref().ok_or(Unheard::Crowded)?;
        let held = lock(answer);
        let left = until.saturating_duration_since(Instant::now());
        let waited = answered.wait_timeout_while(held, left, |answer| answer.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.clone().ok_or(Unheard::Silent)
    }
}

impl<K: Clone + Eq + Hash + Send + 'static, T: Clone + Send + 'static> Looks<K, T> {
    /// Begins a look at something that lies at a path, or joins the one under way.
    pub fn begin(&self, key: &K, path: &Path, look: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
        self.begin_on((key.clone(), mount_of(path)), look)
    }

    fn begin_on(&self, own: (K, Option<u64>), look: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
        let mut all = lock(&self.0);
        if let Some(pending) = all.get(&own) {
            return Answer(Some(Arc::clone(pending)));
        }
        if all.len() >= HANGING_MAX {
            return Answer(None);
        }
        let pending = Arc::new(Pending { begun: Instant::now(), answer: Mutex::default(), answered: Condvar::new() });
        let (key, known, done) = (own.clone(), Arc::clone(&self.0), Arc::clone(&pending));
        let begun = std::thread::Builder::new().name("look".to_owned()).spawn(move || {
            let answer = look();
            lock(&known).remove(&key);
            *lock(&done.answer) = Some(answer);
            done.answered.notify_all();
        });
        // Without a thread nobody looks now; whoever asks next tries again.
        if begun.is_err() {
            return Answer(None);
        }
        all.insert(own, Arc::clone(&pending));
        Answer(Some(pending))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the kernel's number of the mount that a path lies on, as far as its names say; nothing on it is touched.
fn mount_of(path: &Path) -> Option<u64> {
    fs::read_to_string("/proc/self/mountinfo").ok().and_then(|mounts| mount_in(&mounts, path))
}

/// Finds it among the lines of mountinfo (proc(5)): of those that lie over each other the last counts.
fn mount_in(mounts: &str, path: &Path) -> Option<u64> {
    let over = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (number, place) = (words.next()?.parse().ok()?, unescaped(words.nth(3)?));
        path.starts_with(&place).then(|| (place.as_os_str().len(), number))
    });
    over.max_by_key(|(length, _)| *length).map(|(_, number)| number)
}

/// Reads a path in which spaces and the like are written as octal numbers.
fn unescaped(text: &str) -> PathBuf {
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let number = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.extend(number);
        bytes.extend(part.get(3..).unwrap_or_default().bytes());
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const SHORT: Duration = Duration::from_secs(1);
    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn what_does_not_answer_holds_nobody_and_is_asked_once() {
        let looks = Looks::<&str, u32>::default();
        let (release, released) = channel::<()>();
        let place = Path::new("/");
        let first = looks.begin(&"silent", place, move || {
            let _ = released.recv();
            1
        });
        assert_eq!(first.within(SHORT), Err(Unheard::Silent));
        let begun = Instant::now();
        assert_eq!(looks.begin(&"silent", place, || 2).within(SHORT), Err(Unheard::Silent), "it joins the first");
        assert!(begun.elapsed() < SHORT, "who asks later waits no longer");
        assert_eq!(looks.begin(&"other", place, || 3).within(LONG), Ok(3));
        release.send(()).unwrap();
        assert_eq!(first.before(Instant::now() + LONG), Ok(1));
        assert_eq!(looks.begin(&"silent", place, || 4).within(LONG), Ok(4), "it is looked at anew");
    }

    #[test]
    fn of_one_thing_one_look_hangs_and_of_all_things_not_too_many() {
        let looks = Looks::<usize, u32>::default();
        let (release, released) = channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let hang = |own| {
            let released = Arc::clone(&released);
            looks.begin_on(own, move || {
                let _ = lock(&released).recv();
                1
            })
        };
        let first = hang((0, Some(1)));
        assert!(hang((0, Some(1))).0.is_some_and(|pending| Arc::ptr_eq(&pending, first.0.as_ref().unwrap())));
        assert_eq!(looks.begin_on((0, Some(2)), || 2).within(LONG), Ok(2), "another is mounted there");
        for key in 1..HANGING_MAX {
            assert!(hang((key, Some(1))).0.is_some());
        }
        assert_eq!(hang((HANGING_MAX, Some(1))).within(LONG), Err(Unheard::Crowded), "it is not called silent");
        drop(release);
        assert_eq!(first.before(Instant::now() + LONG), Ok(1));
    }

    #[test]
    fn a_mount_is_found_by_the_names_of_a_path() {
        let mounts = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                      30 21 0:40 / /srv rw - nfs server:/srv rw\n\
                      31 30 0:41 / /srv rw - nfs server:/srv rw\n\
                      32 21 0:42 / /srv/a\\040b rw - nfs server:/b rw\n";
        for (path, number) in
            [("/etc", 21), ("/srv", 31), ("/srv/a", 31), ("/srvx", 21), ("/srv/a b/c", 32), ("/srv/a b", 32)]
        {
            assert_eq!(mount_in(mounts, Path::new(path)), Some(number), "{path}");
        }
        assert!(mount_of(Path::new("/")).is_some());
    }
}
