//! `berth container set`: what can be changed of a container that there is.

use std::collections::BTreeMap;

use clap::Args;

use super::targets::{self, Names};
use crate::api::resources::SetLimits;
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::context::{Context, shell_quoted};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::events::RestartPolicy;
use crate::projections::rows::ContainerRow;
use crate::types::{Cpus, Label, Managed, Size};

/// Change limits, autostart, restart policy, host name, nesting and labels
///
/// Limits change while it runs; the host name, nesting and what is written into /etc at the next start. A disk only grows. The word
/// none lifts a limit.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth container set web1 --memory 2G --reason 'OOM in php-fpm'\n  \
    berth container set web1 --cpus none --label tier=front --remove-label old")]
pub struct Arguments {
    #[command(flatten)]
    targets: Names,
    /// Most memory
    #[arg(long, value_name = "SIZE|none", value_parser = limit::<Size>, allow_hyphen_values = true)]
    memory: Option<String>,
    /// Most processor time
    #[arg(long, value_name = "NUMBER|none", value_parser = limit::<Cpus>, allow_hyphen_values = true)]
    cpus: Option<String>,
    /// Most processes and threads
    #[arg(long, value_name = "COUNT|none", value_parser = limit::<u64>, allow_hyphen_values = true)]
    pids: Option<String>,
    /// Size of its disk; it only grows
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    disk: Option<Size>,
    /// Whether it starts with the node
    #[arg(long, value_name = "true|false")]
    autostart: Option<bool>,
    /// When it starts again by itself: never, on-reboot or on-failure
    #[arg(long, value_name = "POLICY")]
    restart: Option<RestartPolicy>,
    /// The host name inside, also with a domain, from its next start on
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Let every user inside make user namespaces, not its root alone, from its next start on
    #[arg(long, conflicts_with = "no_nesting")]
    nesting: bool,
    /// Let its root alone make them again, from its next start on
    #[arg(long)]
    no_nesting: bool,
    /// Which files of its /etc are written at each start: hostname,hosts,resolv, some of them, none, or until-changed
    #[arg(long, value_name = "FILES")]
    manage: Option<Managed>,
    /// A label to put on it; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<Label>,
    /// A label to take off; may be given several times
    #[arg(long, value_name = "KEY")]
    remove_label: Vec<String>,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Checks a limit here, so that a typing mistake is told before anything is asked for.
pub(super) fn limit<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<String, String> {
    match text {
        "none" => Ok(text.to_owned()),
        _ => text.parse::<T>().map(|_| text.to_owned()).map_err(|error| error.to_string()),
    }
}

impl Arguments {
    fn body(&self) -> SetLimits {
        let labels = self.label.iter().map(|label| (label.key.to_string(), label.value.to_string()));
        SetLimits {
            memory: self.memory.clone(),
            cpus: self.cpus.clone(),
            pids: self.pids.clone(),
            disk: self.disk.map(change::size_flag),
            autostart: self.autostart,
            restart: self.restart.map(|policy| policy.word().to_owned()),
            hostname: self.hostname.clone(),
            nesting: self.nesting_wish(),
            manage: self.manage.as_ref().map(ToString::to_string),
            labels_set: labels.collect::<BTreeMap<_, _>>(),
            labels_remove: self.remove_label.clone(),
        }
    }

    /// Returns the label that is both to be put on and to be taken off.
    fn contradiction(&self) -> Option<&String> {
        self.remove_label.iter().find(|key| self.label.iter().any(|label| label.key.as_str() == key.as_str()))
    }

    fn nesting_wish(&self) -> Option<bool> {
        (self.nesting || self.no_nesting).then_some(self.nesting)
    }

    /// Says whether something is set that a running container takes up at its next start only.
    fn waits_for_a_start(&self) -> bool {
        self.hostname.is_some() || self.manage.is_some() || self.nesting_wish().is_some()
    }

    /// Returns the options that bring back what is now; a disk cannot shrink, so it is left out.
    fn undo(&self, now: &ContainerRow) -> String {
        let limits = &now.configuration.limits;
        let none = || "none".to_owned();
        let mut options = Vec::new();
        let mut add = |name: &str, value: String| options.push(format!("--{name} {}", shell_quoted(&value)));
        if self.memory.is_some() {
            add("memory", limits.memory.map_or_else(none, change::size_flag));
        }
        if self.cpus.is_some() {
            add("cpus", limits.cpus.map_or_else(none, |cpus| cpus.to_string()));
        }
        if self.pids.is_some() {
            add("pids", limits.pids.map_or_else(none, |pids| pids.to_string()));
        }
        if self.autostart.is_some() {
            add("autostart", now.configuration.autostart.to_string());
        }
        if self.restart.is_some() {
            add("restart", now.configuration.restart.word().to_owned());
        }
        if self.hostname.is_some() {
            add("hostname", now.configuration.hostname.to_string());
        }
        if self.manage.is_some() {
            add("manage", now.configuration.managed.to_string());
        }
        let set = self.label.iter().map(|label| label.key.to_string());
        for key in set.chain(self.remove_label.iter().cloned()) {
            match now.configuration.labels.get(&key) {
                Some(value) => add("label", format!("{key}={value}")),
                None => add("remove-label", key),
            }
        }
        if self.nesting_wish().is_some() {
            options.push(if now.configuration.nesting { "--nesting" } else { "--no-nesting" }.to_owned());
        }
        options.join(" ")
    }
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    if let Some(pair) = arguments.targets.names.iter().find(|name| name.contains('=')) {
        return Err(no_name(pair));
    }
    let body = arguments.body();
    if body == SetLimits::default() {
        return Err(Failure::usage("usage.nothing", "nothing to set was named")
            .hinted("Name a limit:  berth container set NAME --memory 2G"));
    }
    if let Some(key) = arguments.contradiction() {
        let message = format!("--label and --remove-label both name {key:?}; it is put on or taken off");
        return Err(Failure::usage("usage.conflict", message));
    }
    if arguments.disk.is_some() && !arguments.options.is_dry_run() {
        context.screen.note("note: a disk only grows: its new size cannot be taken back");
    }
    let mut changes = Vec::new();
    for name in arguments.targets.resolved(context)? {
        changes.push(change_of(context, arguments, &body, &name));
    }
    change::apply_all(context, &arguments.options, changes)
}

/// Refuses what can be no name, since no name has an equals sign, and says how it is written if it is meant for an option.
fn no_name(pair: &str) -> Failure {
    let failure = Failure::usage("usage.name", format!("{pair:?} is no container name"));
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let key = key.trim_start_matches('-');
    let is_option = Arguments::augment_args(clap::Command::new("set"))
        .get_arguments()
        .any(|known| known.get_long() == Some(key) && known.get_action().takes_values());
    if is_option { failure.hinted(format!("Write it as an option:  --{key} {}", shell_quoted(value))) } else { failure }
}

/// What is now is only needed for the undo and for what comes next; whoever is not found is told of by the change itself.
fn change_of(context: &Context<'_>, arguments: &Arguments, body: &SetLimits, name: &str) -> Change {
    let change = targets::change(name, "set", "set").body(body);
    let now = targets::present(context, name);
    let Ok(now) = now else { return change };
    let options = arguments.undo(&now);
    let change = if options.is_empty() { change } else { change.undo(format!("container set {name} {options}")) };
    if arguments.waits_for_a_start() && now.init.is_some() {
        change.next(format!("container restart {name}"))
    } else {
        change
    }
}
