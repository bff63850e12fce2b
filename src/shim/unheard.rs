//! A signal that the first process does not listen to yet.
//!
//! The kernel drops what reaches the first process of a pid namespace before it has a handler for it (pid_namespaces(7)), and
//! an init takes a while until it has one. Whoever asks it to end does not know that. So the signal is sent again, with
//! growing pauses, until the init listened when it came. It is not sent again after that: many programs take a second
//! request for haste.

use std::time::{Duration, Instant};

const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A signal to be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unheard {
    pub(super) number: i32,
    pub(super) next: Instant,
    pause: Duration,
}

impl Unheard {
    /// Makes it for a signal that was sent for the first time.
    pub(super) fn new(number: i32, now: Instant) -> Self {
        Self { number, next: now + PAUSE_FIRST, pause: PAUSE_FIRST }
    }

    /// Returns it for the time after this one.
    pub(super) fn again(self, now: Instant) -> Self {
        let pause = (self.pause * 2).min(PAUSE_MAX);
        Self { next: now + pause, pause, ..self }
    }
}

/// Tells whether a process would take note of a signal that came now: it has a handler, or reads it from where blocked
/// signals wait.
pub(super) fn listens(pid: i32, number: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    ["SigCgt:", "SigBlk:"].into_iter().any(|field| has(&status, field, number))
}

fn has(status: &str, field: &str, number: i32) -> bool {
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix(field)?.trim(), 16).ok());
    let bit = u32::try_from(number - 1).ok().and_then(|place| 1_u64.checked_shl(place));
    mask.zip(bit).is_some_and(|(mask, bit)| mask & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sent_again_with_growing_pauses() {
        let now = Instant::now();
        let mut unheard = Unheard::new(12, now);
        for millis in [20, 40, 80, 160, 320, 640, 1000, 1000] {
            unheard = unheard.again(now);
            assert_eq!(unheard.next, now + Duration::from_millis(millis));
        }
    }

    #[test]
    fn who_catches_or_blocks_a_signal_hears_it() {
        let status = "Name:\tinit\nSigBlk:\t0000000000000800\nSigIgn:\t0000000000001000\nSigCgt:\t0000002000000001\n";
        for (number, heard) in [(1, true), (12, true), (38, true), (13, false), (15, false), (64, false), (65, false)] {
            let hears = ["SigCgt:", "SigBlk:"].into_iter().any(|field| has(status, field, number));
            assert_eq!(hears, heard, "{number}");
        }
    }
}
