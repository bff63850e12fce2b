//! What is asked of a backup store, and its recovery key.

use serde::{Deserialize, Serialize};

/// Is the body of `POST /v1/stores`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateStore {
    /// Its name.
    pub name: String,
    /// The absolute path of its directory.
    pub path: String,
}

/// Is the answer of `GET /v1/stores/{ref}/recovery-key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryKey {
    /// The name of the store.
    pub store: String,
    /// The key: keep it in a safe place, not on this machine.
    pub key: String,
    /// What it can be recognised by.
    pub fingerprint: Option<String>,
}
