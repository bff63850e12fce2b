//! Recovery is the normal path: the streams that owe something are woken, and their plans go on by themselves.

use std::sync::Arc;

use super::registry::Registry;
use crate::types::StreamName;

/// Wakes the streams that the projections show as owing something; every other sleeps until it is needed.
pub fn recover(registry: &Arc<Registry>, owing: &[StreamName]) {
    tracing::info!(streams = owing.len(), "recovery: waking streams with open work");
    for stream in owing {
        registry.wake(stream);
    }
}
