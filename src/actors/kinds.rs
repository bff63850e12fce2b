//! Which aggregate lives in which kind of stream: the one place that lists them all.

use std::sync::Arc;

use super::message::AskMessage;
use super::registry::Registry;
use crate::domain::container::Container;
use crate::types::{Category, StreamName};

/// Runs `$then` with `$kind` standing for the aggregate of a category.
macro_rules! with_aggregate {
    ($category:expr, $kind:ident => $then:expr) => {
        match $category {
            Category::Container => {
                type $kind = Container;
                $then
            }
            _ => {}
        }
    };
}

/// Makes the actor of `stream` look at what it owes.
pub(super) fn wake(registry: &Arc<Registry>, stream: &StreamName) {
    with_aggregate!(stream.category(), Kind => registry.wake_shell::<Kind>(stream));
}

/// Hands an ask to the actor of `stream`.
pub(super) fn ask(registry: &Arc<Registry>, stream: &StreamName, message: AskMessage) {
    with_aggregate!(stream.category(), Kind => registry.ask_shell::<Kind>(stream, message));
}
