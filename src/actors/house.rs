//! What every actor needs: the log, the host, the clock, and who and where we are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::broadcast;

use crate::effects::{Host, ProgressSink, ProgressUpdate};
use crate::storage::EventLog;
use crate::types::{Clock, ClockWatch, NodeId, StreamName};

/// How many progress updates a slow watcher may fall behind before it misses some.
const PROGRESS_QUEUE: usize = 1_024;
/// The least time between two updates of one phase of an effect.
const PROGRESS_PAUSE: Duration = Duration::from_millis(100);

/// Says how long an effect that may yet work is tried.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Tries of a step forward.
    pub forward: u32,
    /// Tries of an undo: leaving something half-done is worse than waiting.
    pub undo: u32,
    /// Pause before the second try; it doubles from then on.
    pub pause: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// Pause before an actor that broke down is made anew, so that a fault in its stream does not spin.
    pub revival: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            forward: 5,
            undo: 12,
            pause: Duration::from_millis(50),
            pause_max: Duration::from_secs(5),
            revival: Duration::from_millis(200),
        }
    }
}

impl RetryPolicy {
    /// Returns how many times an effect is tried in all.
    pub fn tries(&self, undo: bool) -> u32 {
        if undo { self.undo } else { self.forward }
    }

    /// Returns the pause after the try of that number, from 1.
    pub fn pause_after(&self, attempt: u32) -> Duration {
        self.pause.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(self.pause_max)
    }
}

/// Is what all actors share.
pub struct House {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The seam to the world.
    pub host: Arc<dyn Host>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is known of that time.
    pub watch: Arc<ClockWatch>,
    /// This machine.
    pub node: NodeId,
    /// The kernel's id of this boot.
    pub boot: String,
    /// How long effects are tried.
    pub retry: RetryPolicy,
    progress: broadcast::Sender<ProgressUpdate>,
    lanes: Mutex<HashMap<StreamName, Arc<Mutex<()>>>>,
}

impl House {
    /// Puts the parts together.
    pub fn new(
        log: Arc<dyn EventLog>,
        host: Arc<dyn Host>,
        clock: Arc<dyn Clock>,
        node: NodeId,
        boot: String,
        retry: RetryPolicy,
    ) -> Self {
        let (progress, _) = broadcast::channel(PROGRESS_QUEUE);
        let watch = Arc::new(ClockWatch::new(Arc::clone(&clock)));
        Self { log, host, clock, watch, node, boot, retry, progress, lanes: Mutex::default() }
    }

    /// Shares the watch of the log's own clock.
    pub fn watched_by(self, watch: Arc<ClockWatch>) -> Self {
        Self { watch, ..self }
    }

    /// Watches the progress of every operation from now on.
    pub fn watch_progress(&self) -> broadcast::Receiver<ProgressUpdate> {
        self.progress.subscribe()
    }

    /// Returns where one effect tells how far it is. A walk tells of each entry: what comes faster than people read is
    /// dropped here, because waking whoever waits took a quarter of a backup's time (measured).
    pub(super) fn progress_sink(&self) -> ProgressSink {
        let progress = self.progress.clone();
        let told: Mutex<Option<(String, Instant)>> = Mutex::default();
        Arc::new(move |update: ProgressUpdate| {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            let phase = &update.progress.phase;
            if told.as_ref().is_some_and(|(last, at)| last == phase && at.elapsed() < PROGRESS_PAUSE) {
                return;
            }
            *told = Some((phase.clone(), Instant::now()));
            let _ = progress.send(update); // nobody watching is fine
        })
    }

    /// Returns the lane of a stream: host effects of one stream never overlap, not even those of an actor that died.
    pub(super) fn lane(&self, stream: &StreamName) -> Arc<Mutex<()>> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        Arc::clone(lanes.entry(stream.clone()).or_default())
    }
}
