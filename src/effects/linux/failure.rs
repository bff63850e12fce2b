//! How an error of the kernel becomes the failure of an effect: what was tried, on what, and what was said.

use std::fmt::Display;
use std::io;

use crate::domain::RefusalClass;
use crate::domain::effect::{Failure, FailureKind};
use crate::sys::fs::is_full;

/// Makes the failure for something tried on `object`; a lack of memory, descriptors or time may pass by itself.
pub(super) fn cannot(action: &'static str, object: impl Display) -> impl FnOnce(io::Error) -> Failure {
    move |error| {
        let reason = format!("cannot {action} {object}: {error}");
        let failure = match error.kind() {
            io::ErrorKind::Interrupted
            | io::ErrorKind::WouldBlock
            | io::ErrorKind::TimedOut
            | io::ErrorKind::OutOfMemory
            | io::ErrorKind::ResourceBusy => Failure::transient(reason),
            _ => Failure::permanent(reason),
        };
        failure.classed(is_full(&error).then_some(RefusalClass::Limit))
    }
}

/// Makes the failure of work that was called off.
pub(super) fn cancelled() -> Failure {
    Failure::new(FailureKind::Cancelled, "cancelled")
}

/// Makes the failure of work that has nothing to work on here.
pub(super) fn not_applicable(reason: impl Into<String>) -> Failure {
    Failure::new(FailureKind::NotApplicable, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_left_is_a_limit_and_nothing_else_is() {
        for (errno, class) in [(28, Some(RefusalClass::Limit)), (122, Some(RefusalClass::Limit)), (5, None)] {
            let failure = cannot("write", "x")(io::Error::from_raw_os_error(errno));
            assert_eq!((failure.kind, failure.class), (FailureKind::Permanent, class), "{failure}");
        }
    }
}
