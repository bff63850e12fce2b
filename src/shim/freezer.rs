//! Who wants the container frozen, and until when: pure bookkeeping, the kernel is asked elsewhere.
//!
//! A pause has no end; a lease has two, so that a backup cannot leave a container frozen: its deadline, and the end of the
//! connection it was asked for on, which a daemon that dies cannot keep. The container stands still while there is a pause or any lease: the end of a backup does not resume a pause.

use std::time::{Duration, Instant};

/// The longest lease.
const LEASE_MAX: Duration = Duration::from_mins(10);

/// A freeze with an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Its name.
    pub number: u64,
    holder: u64,
    since: Instant,
    until: Instant,
}

impl Lease {
    /// Returns how long it has held, in microseconds.
    pub fn held_us(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.since).as_micros() as u64
    }
}

/// Every reason to stand still.
#[derive(Debug, Default)]
pub struct Freezer {
    paused: bool,
    leases: Vec<Lease>,
    last: u64,
}

impl Freezer {
    /// Tells whether the container is to stand still.
    pub fn is_frozen(&self) -> bool {
        self.paused || !self.leases.is_empty()
    }

    /// Tells whether a pause is on.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Sets or ends the pause.
    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Adds a lease of the connection `holder` and returns its name. It counts from `now`, the moment before the kernel was
    /// asked.
    pub fn add(&mut self, holder: u64, now: Instant, lease: Duration) -> u64 {
        self.last += 1;
        self.leases.push(Lease { number: self.last, holder, since: now, until: now + lease.min(LEASE_MAX) });
        self.last
    }

    /// Ends a lease; `None` when it is not on (any more).
    pub fn end(&mut self, number: u64) -> Option<Lease> {
        let index = self.leases.iter().position(|lease| lease.number == number)?;
        Some(self.leases.remove(index))
    }

    /// Takes out the leases of a connection that is gone.
    pub fn abandon(&mut self, holder: u64) -> Vec<Lease> {
        self.leases.extract_if(.., |lease| lease.holder == holder).collect()
    }

    /// Takes out the leases that are over.
    pub fn expire(&mut self, now: Instant) -> Vec<Lease> {
        self.leases.extract_if(.., |lease| lease.until <= now).collect()
    }

    /// Returns when the next lease is over.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.leases.iter().map(|lease| lease.until).min()
    }

    /// Forgets everything: the container has ended.
    pub fn clear(&mut self) {
        self.paused = false;
        self.leases.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_end_of_a_backup_does_not_resume_a_pause() {
        let (mut freezer, now) = (Freezer::default(), Instant::now());
        freezer.set_paused(true);
        let lease = freezer.add(1, now, SECOND);
        assert!(freezer.end(lease).is_some());
        assert!(freezer.is_frozen());
        freezer.set_paused(false);
        assert!(!freezer.is_frozen());
    }

    #[test]
    fn a_lease_ends_with_its_holder_and_with_no_other() {
        let (mut freezer, now) = (Freezer::default(), Instant::now());
        freezer.add(1, now, SECOND);
        assert!(freezer.abandon(2).is_empty());
        assert!(freezer.is_frozen());
        assert_eq!(freezer.abandon(1).len(), 1);
        assert!(!freezer.is_frozen());
    }

    #[test]
    fn a_lease_ends_by_itself_and_says_how_long_it_held() {
        let (mut freezer, now) = (Freezer::default(), Instant::now());
        let lease = freezer.add(1, now, SECOND);
        assert_eq!(freezer.next_expiry(), Some(now + SECOND));
        assert!(freezer.expire(now + SECOND / 2).is_empty());
        let over = freezer.expire(now + SECOND);
        assert_eq!(over[0].held_us(now + SECOND), 1_000_000);
        assert!(freezer.end(lease).is_none());
        assert!(!freezer.is_frozen());
    }
}
