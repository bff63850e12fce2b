//! What is asked of a template.

use serde::{Deserialize, Serialize};

use crate::events::TemplateSource;

/// Is the body of `POST /v1/templates`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportTemplate {
    /// Its name.
    pub name: String,
    /// Where from: `{"from":"directory","path":…}`, `{"from":"archive","path":…}`, `{"from":"host"}`.
    pub source: TemplateSource,
}
