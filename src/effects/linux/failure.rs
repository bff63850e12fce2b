//! How an error of the kernel becomes the failure of an effect: what was tried, on what, and what was said.

use std::fmt::Display;
use std::io;

use crate::domain::effect::{Failure, FailureKind};

/// Makes the failure for something tried on `object`; a lack of memory, descriptors or time may pass by itself.
pub(super) fn cannot(action: &'static str, object: impl Display) -> impl FnOnce(io::Error) -> Failure {
    move |error| {
        let reason = format!("cannot {action} {object}: {error}");
        match error.kind() {
            io::ErrorKind::Interrupted
            | io::ErrorKind::WouldBlock
            | io::ErrorKind::TimedOut
            | io::ErrorKind::OutOfMemory
            | io::ErrorKind::ResourceBusy => Failure::transient(reason),
            _ => Failure::permanent(reason),
        }
    }
}

/// Makes the failure of work that was called off.
pub(super) fn cancelled() -> Failure {
    Failure { kind: FailureKind::Cancelled, reason: "cancelled".to_owned() }
}

/// Makes the failure of work that has nothing to work on here.
pub(super) fn not_applicable(reason: impl Into<String>) -> Failure {
    Failure { kind: FailureKind::NotApplicable, reason: reason.into() }
}
