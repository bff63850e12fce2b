//! What is asked of a container.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::events::DiskKind;

/// Is the body of `POST /v1/containers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateContainer {
    /// Its name.
    pub name: String,
    /// The template, by name, id or prefix.
    pub template: String,
    /// Most memory; as much as there is if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Most processor time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<String>,
    /// Most processes and threads, or `none`; 4096 if nothing is said and the host can limit them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<String>,
    /// Size of the disk; 10G if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// What holds its files; an image where the host can, if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_kind: Option<DiskKind>,
    /// The network; `none` for no network; the one named `default`, if there is one, if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The address there; the next free one if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The host name inside; its name if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Which of `hostname`, `hosts` and `resolv` are written into its `/etc` at each start, with commas between; `none`; each
    /// until it is changed inside (`until-changed`), if nothing is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manage: Option<String>,
    /// Free words to find it by.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether it starts with the node.
    #[serde(default)]
    pub autostart: bool,
    /// When it starts again by itself: `never`, `on-reboot` (if nothing is named) or `on-failure`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<String>,
    /// Whether root inside is root outside.
    #[serde(default)]
    pub privileged: bool,
    /// Whether every user inside may make user namespaces, not its root alone.
    #[serde(default)]
    pub nesting: bool,
    /// A command to run instead of the template's init.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}

/// Is the body of `POST /v1/containers/{ref}/stop`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopRequest {
    /// How long its init may take; 30s if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<String>,
    /// Whether it is killed at once.
    #[serde(default)]
    pub kill: bool,
}

/// Is the body of `POST /v1/containers/{ref}/restart`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartRequest {
    /// How long its init may take; 30s if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<String>,
}

/// Is the body of `POST /v1/containers/{ref}/delete`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteRequest {
    /// How long it can be taken back; 7d if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grave: Option<String>,
}

/// Is the body of `POST /v1/containers/{ref}/undelete`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndeleteRequest {
    /// Under which name; its old one if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// In which network, or `none`; in its old one if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// At which address, or `auto`; its old one, if that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// Is the body of `POST /v1/containers/{ref}/rename`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenameRequest {
    /// The new name.
    pub name: String,
}

/// Is the body of `POST /v1/containers/{ref}/set`. Limits, then autostart, the restart policy and labels are
/// carried out one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetLimits {
    /// Most memory; `none` lifts the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Most processor time; `none` lifts the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<String>,
    /// Most processes and threads; `none` lifts the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<String>,
    /// Size of the disk; it only grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// Whether it starts with the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autostart: Option<bool>,
    /// When it starts again by itself: `never`, `on-reboot` or `on-failure`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<String>,
    /// The host name inside, from the next start on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Whether every user inside may make user namespaces, not its root alone, from the next start on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nesting: Option<bool>,
    /// Which of `hostname`, `hosts` and `resolv` are written into its `/etc` at each start, `none`, or `until-changed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manage: Option<String>,
    /// Labels to put on it.
    #[serde(default)]
    pub labels_set: BTreeMap<String, String>,
    /// Labels to take off.
    #[serde(default)]
    pub labels_remove: Vec<String>,
}

/// Is the body of `POST /v1/containers/{ref}/sessions/{id}/close`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseSession {
    /// The exit code that the caller saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
}
