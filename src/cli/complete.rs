//! Completion with live names: the shell asks this program, and it asks the daemon for at most 200 ms.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use serde_json::Value;

use super::context::STATE_VARIABLE;
use super::output::name_of;
use crate::api::client::{Client, ClientError, Target, state_to_ask};
use crate::types::{Zone, terminal_safe};

/// How long a shell may wait for names.
const PATIENCE: Duration = Duration::from_millis(200);

/// Completes names of containers, with state and address beside them.
pub fn containers() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| candidates(current, "/v1/containers", &["state", "lease.address"]))
}

/// Completes names of deleted containers.
pub fn graves() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let target = Target::new("/v1/containers").query("state", "deleted").flag("all", true);
        among(current, target, &["state", "reason"])
    })
}

/// Completes the runs of restores in place that keep the files of before.
pub fn unconfirmed() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let mut all = items(Target::new("/v1/restores"));
        all.retain(|item| item["old_files_kept"] == true || item["state"] == "stuck");
        fitting(&current.to_string_lossy(), &all, &["source_name", "requested_at"])
    })
}

/// Completes names of templates.
pub fn templates() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| candidates(current, "/v1/templates", &["state"]))
}

/// Completes names of networks.
pub fn networks() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| candidates(current, "/v1/networks", &["subnet"]))
}

/// Completes names of stores.
pub fn stores() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| candidates(current, "/v1/stores", &["path"]))
}

/// Completes names of schedules.
pub fn schedules() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| candidates(current, "/v1/schedules", &["definition.cron"]))
}

/// Completes ids of backups, and the newest one of each container by its name.
pub fn backups() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let (all, prefix) = (items(Target::new("/v1/backups")), current.to_string_lossy());
        let owners: BTreeSet<&str> = all.iter().filter_map(|item| item.get("container_name")?.as_str()).collect();
        let newest = owners.into_iter().map(|name| format!("{name}@latest")).filter(|name| name.starts_with(&*prefix));
        let mut found: Vec<_> = newest.map(CompletionCandidate::new).collect();
        found.extend(fitting(&prefix, &all, &["container_name", "taken_at"]));
        found
    })
}

/// Completes time zones.
pub fn zones() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let prefix = current.to_string_lossy().to_lowercase();
        let fitting = Zone::names().filter(|name| name.to_lowercase().starts_with(&prefix));
        fitting.map(CompletionCandidate::new).collect()
    })
}

/// Completes ids of operations under way.
pub fn open_operations() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let target = Target::new("/v1/operations").flag("open", true);
        among(current, target, &["verb", "target_name", "phase"])
    })
}

/// Completes ids of operations.
pub fn operations() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| candidates(current, "/v1/operations", &["verb", "target_name", "state"]))
}

fn candidates(current: &OsStr, path: &'static str, beside: &[&str]) -> Vec<CompletionCandidate> {
    among(current, Target::new(path), beside)
}

fn items(target: Target) -> Vec<Value> {
    ask(&state(std::env::args_os().map(|word| word.to_string_lossy().into_owned())), &target)
}

fn among(current: &OsStr, target: Target, beside: &[&str]) -> Vec<CompletionCandidate> {
    fitting(&current.to_string_lossy(), &items(target), beside)
}

fn fitting(prefix: &str, items: &[Value], beside: &[&str]) -> Vec<CompletionCandidate> {
    let fitting = items.iter().map(|item| (name_of(item), item)).filter(|(name, _)| name.starts_with(prefix));
    fitting.map(|(name, item)| CompletionCandidate::new(name).help(Some(words(item, beside).into()))).collect()
}

fn words(item: &Value, keys: &[&str]) -> String {
    let value = |key: &&str| item.pointer(&format!("/{}", key.replace('.', "/"))).and_then(Value::as_str);
    let words: Vec<&str> = keys.iter().filter_map(value).collect();
    terminal_safe(&words.join(" ")).into_owned()
}

/// Takes the state directory from the words typed so far, else as every command does.
fn state(words: impl Iterator<Item = String>) -> PathBuf {
    let words: Vec<String> = words.collect();
    let named = words.iter().enumerate().find_map(|(index, word)| match word.strip_prefix("--state") {
        Some("") => words.get(index + 1).cloned(),
        Some(rest) => rest.strip_prefix('=').map(str::to_owned),
        None => None,
    });
    let variable = || std::env::var_os(STATE_VARIABLE).map(PathBuf::from);
    named.map(PathBuf::from).or_else(variable).unwrap_or_else(state_to_ask)
}

/// Whatever goes wrong, a shell gets no names rather than an error.
fn ask(state: &std::path::Path, target: &Target) -> Vec<Value> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let asked = runtime.block_on(async {
        let work = async { Client::of_state(state)?.get::<Value>(target).await };
        tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(ClientError::Down))
    });
    let items = asked.ok().and_then(|mut answer| answer.get_mut("items").map(Value::take));
    items.and_then(|items| items.as_array().cloned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_state_directory_is_taken_from_the_words_typed() {
        let of = |text: &str| state(text.split(' ').map(str::to_owned));
        assert_eq!(of("berth -- berth --state /a ct start"), PathBuf::from("/a"));
        assert_eq!(of("berth -- berth ct start --state=/b"), PathBuf::from("/b"));
    }

    #[test]
    fn beside_a_name_stands_what_it_is() {
        let item = json!({"name": "web1", "state": "running", "lease": {"address": "10.0.0.2"}});
        assert_eq!(words(&item, &["state", "lease.address"]), "running 10.0.0.2");
    }
}
