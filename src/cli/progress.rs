//! How far work is: a bar on a terminal, a line each ten seconds elsewhere.

use std::time::{Duration, Instant};

use super::output::look::took;
use crate::api::resources::{WaitPhase, WaitProgress};
use crate::types::{Size, Span};

/// How long a line stands alone where output is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Cells of the bar.
const BAR: usize = 24;

/// Is what is known of one operation under way.
#[derive(Debug)]
pub struct Progress {
    subject: String,
    phase: String,
    amount: Option<(u64, Option<u64>)>,
    began: Instant,
    phase_began: Instant,
    last_line: Instant,
}

impl Progress {
    /// Begins to watch.
    pub fn of(subject: &str) -> Self {
        let now = Instant::now();
        Self {
            subject: subject.to_owned(),
            phase: String::new(),
            amount: None,
            began: now,
            phase_began: now,
            last_line: now,
        }
    }

    /// Takes a phase.
    pub fn phase(&mut self, phase: &WaitPhase) {
        self.enter(phase.phase.as_deref().unwrap_or(&phase.sentence));
    }

    /// Takes how far the phase is.
    pub fn amount(&mut self, progress: &WaitProgress) {
        self.enter(&progress.phase);
        self.amount = Some((progress.done, progress.total));
    }

    fn enter(&mut self, phase: &str) {
        if self.phase != phase {
            phase.clone_into(&mut self.phase);
            self.amount = None;
            self.phase_began = Instant::now();
        }
    }

    /// Returns how long it has been watched.
    pub fn elapsed(&self) -> Span {
        Span::from_micros(i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    /// Returns the line for a terminal.
    pub fn bar(&self, width: usize) -> String {
        let amount =
            self.amount.map_or(String::new(), |(done, total)| amount_of(done, total, self.phase_began.elapsed()));
        let line = format!("{}  {}  {amount}{}", self.subject, self.phase, took(self.elapsed()));
        line.chars().take(width.saturating_sub(1)).collect()
    }

    /// Returns the line for a log if it is time for one.
    pub fn line_if_due(&mut self) -> Option<String> {
        if self.last_line.elapsed() < LINE_EVERY {
            return None;
        }
        self.last_line = Instant::now();
        let amount = match self.amount {
            Some((done, Some(total))) => format!(" {done}/{total} ({}%)", percent(done, total)),
            Some((done, None)) => format!(" {done}"),
            None => String::new(),
        };
        Some(format!("{}: {}{amount} after {}", self.subject, self.phase, took(self.elapsed())))
    }
}

fn percent(done: u64, total: u64) -> u64 {
    if total == 0 { 100 } else { (u128::from(done.min(total)) * 100 / u128::from(total)) as u64 }
}

/// Large numbers are bytes as a rule; entries of a container stay below a few millions.
fn amount_of(done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let words = |count: u64| if count >= 10_000_000 { Size::from_bytes(count).to_string() } else { count.to_string() };
    let Some(total) = total else {
        return format!("{}  ", words(done));
    };
    let percent = percent(done, total);
    let full = BAR * percent as usize / 100;
    let bar: String = "█".repeat(full) + &"░".repeat(BAR - full);
    let left = if done == 0 || done >= total {
        None
    } else {
        Some(elapsed.as_secs_f64() * (total - done) as f64 / done as f64)
    };
    let left = left.map_or(String::new(), |seconds| format!("ETA {}  ", took(Span::from_secs(seconds as i64))));
    format!("{bar} {percent:>3}%  {}/{}  {left}", words(done), words(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_how_much_and_how_long() {
        let text = amount_of(50, Some(100), Duration::from_secs(10));
        assert_eq!(text, format!("{}{}  50%  50/100  ETA 10.0s  ", "█".repeat(12), "░".repeat(12)));
        assert_eq!(amount_of(7, None, Duration::ZERO), "7  ");
        assert_eq!(percent(0, 0), 100);
        assert_eq!(percent(5, 3), 100);
    }

    #[test]
    fn no_line_of_a_log_comes_before_its_time() {
        assert_eq!(Progress::of("web1").line_if_due(), None);
    }
}
