//! What the server answers: one file per noun, its routes and their handlers.

pub(in crate::api) mod backups;
pub(in crate::api) mod console_log;
pub(in crate::api) mod containers;
pub(in crate::api) mod disks;
pub(in crate::api) mod events;
pub(in crate::api) mod maintenance;
pub(in crate::api) mod networks;
pub(in crate::api) mod node;
pub(in crate::api) mod operations;
pub(in crate::api) mod redaction;
pub(in crate::api) mod restores;
pub(in crate::api) mod schedules;
pub(in crate::api) mod sessions;
pub(in crate::api) mod stores;
pub(in crate::api) mod templates;
