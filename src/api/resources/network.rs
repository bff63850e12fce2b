//! What is asked of a network.

use serde::{Deserialize, Serialize};

/// Is the body of `POST /v1/networks`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateNetwork {
    /// Its name.
    pub name: String,
    /// Its addresses; a free range is chosen if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// Takes the addresses although the host uses them itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}
