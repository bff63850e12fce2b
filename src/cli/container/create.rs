//! `berth container create`: a container of a template.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};

use super::set::limit;
use super::targets;
use crate::api::resources::{CreateContainer, DiskKind};
use crate::cli::change::{self, Change, ChangeOptions};
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::events::RestartPolicy;
use crate::types::{Cpus, Label, Managed, Size};

/// Make a container of a template
///
/// It has a disk of its own above the template's files, and does not run until started.
#[derive(Debug, Args)]
#[command(
    override_usage = "berth container create [OPTIONS] --template <TEMPLATE> <NAME>\n       [-- <COMMAND>...]",
    after_long_help = "Examples:\n  berth container create web1 --template debian --memory 512M --cpus 1.5 --start\n  \
    berth container create job --template debian --network none -- /usr/bin/python3 -m http.server"
)]
pub struct Arguments {
    /// Its name: a-z, 0-9 and - inside, at most 63
    #[arg(value_name = "NAME")]
    name: String,
    /// The template
    #[arg(short, long, value_name = "TEMPLATE", add = complete::templates())]
    template: String,
    /// Most memory, as much as there is by default
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory: Option<Size>,
    /// Most processor time, such as 1.5
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    cpus: Option<Cpus>,
    /// Size of its disk, 10G by default
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    disk: Option<Size>,
    /// Most processes and threads, 4096 by default
    #[arg(long, value_name = "COUNT|none", value_parser = limit::<u64>, allow_hyphen_values = true)]
    pids: Option<String>,
    /// The network it joins, or none; the one named default if there is one
    #[arg(long, value_name = "NETWORK", add = complete::networks())]
    network: Option<String>,
    /// Its address there; auto takes the next free one
    #[arg(long, value_name = "auto|ADDRESS")]
    ip: Option<String>,
    /// The host name inside, also with a domain; its name by default
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Which files of its /etc are written at each start: hostname,hosts,resolv, some of them, or none; until-changed by default
    #[arg(long, value_name = "FILES")]
    manage: Option<Managed>,
    /// A word to find it by; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<Label>,
    /// Start it with the node
    #[arg(long)]
    autostart: bool,
    /// When it starts again by itself: never, on-reboot (a reboot from inside), on-failure; on-reboot by default
    #[arg(long, value_name = "POLICY")]
    restart: Option<RestartPolicy>,
    /// Make root inside root outside: dangerous
    #[arg(long)]
    privileged: bool,
    /// Let every user inside make user namespaces, not its root alone: for containers in it, and sandboxes
    #[arg(long)]
    nesting: bool,
    /// What holds its files
    #[arg(long, value_enum, value_name = "KIND")]
    disk_kind: Option<Kind>,
    /// Start it when it is made
    #[arg(long, conflicts_with = "no_wait")]
    start: bool,
    /// A command to run instead of the template's own init
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Is the word for a kind of disk.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// An image of its own: a hard limit
    Image,
    /// A directory: no limit
    Directory,
}

impl From<Kind> for DiskKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Image => Self::Image,
            Kind::Directory => Self::Directory,
        }
    }
}

impl Arguments {
    fn body(&self) -> CreateContainer {
        let labels: BTreeMap<String, String> =
            self.label.iter().map(|label| (label.key.to_string(), label.value.to_string())).collect();
        CreateContainer {
            name: self.name.clone(),
            template: self.template.clone(),
            memory: self.memory.map(change::size_flag),
            cpus: self.cpus.map(|cpus| cpus.to_string()),
            pids: self.pids.clone(),
            disk: self.disk.map(change::size_flag),
            disk_kind: self.disk_kind.map(DiskKind::from),
            network: self.network.clone(),
            address: self.ip.clone().filter(|address| address != "auto"),
            hostname: self.hostname.clone(),
            manage: self.manage.as_ref().map(ToString::to_string),
            labels,
            autostart: self.autostart,
            restart: self.restart.map(|policy| policy.word().to_owned()),
            privileged: self.privileged,
            nesting: self.nesting,
            command: Some(self.command.clone()).filter(|command| !command.is_empty()),
        }
    }
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let name = &arguments.name;
    if arguments.network.as_deref() == Some("none") && arguments.ip.is_some() {
        return Err(Failure::usage("usage.conflict", "--ip is an address in a network, and --network none is none"));
    }
    let create =
        Change::new(targets::list(), name, "created").body(&arguments.body()).undo(format!("container delete {name}"));
    if !arguments.start {
        let create = create.next(format!("container start {name}"));
        return change::apply(context, &arguments.options, create);
    }
    let start = targets::change(name, "start", "started").undo(format!("container stop {name}"));
    change::apply_in_turn(context, &arguments.options, vec![create, start])
}
