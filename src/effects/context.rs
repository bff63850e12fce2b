//! What goes with an effect: whose it is, whether it was called off, and where progress goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::domain::effect::Failure;
use crate::domain::{FailureKind, Step};
use crate::types::{OperationId, StreamName};

/// Is a flag that calls an effect off; a host looks at it between steps and in every long loop.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Calls the effect off.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Says whether it was called off.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Ends an effect that was called off.
    ///
    /// # Errors
    /// A failure of kind `Cancelled` if so.
    pub fn check(&self) -> Result<(), Failure> {
        if self.is_cancelled() {
            return Err(Failure::new(FailureKind::Cancelled, "cancelled"));
        }
        Ok(())
    }
}

/// Is how far an effect is: shown, never recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// What is being done.
    pub phase: String,
    /// Entries or bytes done.
    pub done: u64,
    /// Of how many, if known.
    pub total: Option<u64>,
}

/// Is progress with the operation it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProgressUpdate {
    /// Which operation.
    pub operation: OperationId,
    /// How far.
    pub progress: Progress,
}

/// Takes progress; it may forget it.
pub type ProgressSink = Arc<dyn Fn(ProgressUpdate) + Send + Sync>;

/// Is what an effect knows besides its own words.
#[derive(Clone)]
pub struct EffectContext {
    /// The stream that owes it.
    pub stream: StreamName,
    /// The operation; with the stream it makes a repeated effect recognisable.
    pub operation: OperationId,
    /// The step of the plan.
    pub step: Step,
    /// Whether it was called off.
    pub cancel: Cancel,
    /// Where progress goes.
    pub progress: ProgressSink,
}

impl EffectContext {
    /// Tells how far the effect is.
    pub fn report(&self, phase: &str, done: u64, total: Option<u64>) {
        let progress = Progress { phase: phase.to_owned(), done, total };
        (self.progress)(ProgressUpdate { operation: self.operation, progress });
    }
}
