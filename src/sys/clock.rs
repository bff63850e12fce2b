//! What the kernel counts and knows of the time, beside the clock on the wall.

use std::io;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::check::int;

/// Is the kernel's own word about its wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discipline {
    /// What its clock shows, in microseconds since 1970.
    pub wall: i64,
    /// Whether a time service keeps it: not since somebody set it by hand, nor without such a service.
    pub is_synchronised: bool,
}

/// Returns the time since the machine came up, sleep included (clock_gettime(2), `CLOCK_BOOTTIME`). No step of the wall
/// clock changes it.
pub fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Returns for how much of that time the machine slept.
pub fn slept() -> Duration {
    let awake = clock_gettime(ClockId::Monotonic);
    since_boot().saturating_sub(Duration::new(awake.tv_sec.unsigned_abs(), u32::try_from(awake.tv_nsec).unwrap_or(0)))
}

/// Asks whether the wall clock is synchronised (adjtimex(2), the flag that `timedatectl` shows). Changes nothing.
///
/// # Errors
/// The kernel, or a filter in front of it, does not tell.
#[allow(unsafe_code)]
pub fn discipline() -> io::Result<Discipline> {
    // SAFETY: `timex` is a plain struct of integers, for which zeroes are values; with no mode set the call only writes
    // into it, and the pointer is valid for as long as the call lasts.
    let (state, timex) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (int(libc::adjtimex(&raw mut timex))?, timex)
    };
    let fraction = if timex.status & libc::STA_NANO == 0 { timex.time.tv_usec } else { timex.time.tv_usec / 1_000 };
    let wall = timex.time.tv_sec.saturating_mul(1_000_000).saturating_add(fraction);
    let is_synchronised = state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0;
    Ok(Discipline { wall, is_synchronised })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_since_boot_goes_on() {
        let before = since_boot();
        std::thread::sleep(Duration::from_millis(5));
        assert!(since_boot() >= before + Duration::from_millis(5));
    }

    #[test]
    fn the_kernel_tells_its_own_time() {
        let now = clock_gettime(ClockId::Realtime).tv_sec;
        let told = discipline().unwrap();
        assert!((told.wall / 1_000_000 - now).abs() < 60, "{told:?} at {now}");
    }
}
