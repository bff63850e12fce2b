//! L3: the event log.
