//! A failed step: which one, why, and the kernel's error number, so that it can cross a process border unchanged.

use std::io;

use serde::{Deserialize, Serialize};

/// Names the step that failed and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{step}: {reason}")]
pub struct Failure {
    /// What was being done, in words of an operator ("mount the overlay").
    pub step: String,
    /// The kernel's words.
    pub reason: String,
    /// The kernel's error number, where it was the kernel that refused.
    pub errno: Option<i32>,
}

impl Failure {
    /// Makes a failure that no system call reported.
    pub fn new(step: &str, reason: impl Into<String>) -> Self {
        Self { step: step.to_owned(), reason: reason.into(), errno: None }
    }
}

/// Adds the name of the step to an I/O error.
pub trait Step<T> {
    /// Turns an error into the failure of this step.
    ///
    /// # Errors
    /// Whatever was an error before.
    fn step(self, step: &str) -> Result<T, Failure>;
}

impl<T> Step<T> for io::Result<T> {
    fn step(self, step: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure { step: step.to_owned(), reason: error.to_string(), errno: error.raw_os_error() })
    }
}
