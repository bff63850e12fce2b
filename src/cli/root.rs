//! The tree of commands: nouns with one fixed short form each, and everyday verbs without their noun.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args, Parser, Subcommand};

use super::context::{Context, STATE_VARIABLE};
use super::exit::{self, Exit};
use super::failure::Failure;
use super::output::{self, Format, Listing};
use super::ports::{DaemonArguments, Ports, TourArguments};
use super::screen::Colour;
use super::{
    audit, backup, completion, container, doctor, event, maintenance, network, node, operation, schedule, store,
    template,
};
use crate::api::client::default_state;

/// System containers on Linux; every change is an event
#[derive(Debug, Parser)]
#[command(name = "berth", version, propagate_version = false, arg_required_else_help = true, max_term_width = 80)]
#[command(after_long_help = concat!(
    "Names:\n  A thing is called by its name, its id, or the first four or more characters of its id.\n  ",
    "Backups also by NAME@latest and NAME@2 (two back).\n\n",
    "Sizes count in 1024: 512M = 512 MiB. Spans: 30s, 10m, 1h30m, 2d."
))]
pub struct Root {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Is what every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// State directory: /var/lib/berth for root, ~/.local/state/berth for others
    #[arg(long, global = true, env = STATE_VARIABLE, hide_env_values = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Form of the result
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "table|wide|json|jsonl|yaml|csv|name"
    )]
    output: Format,
    /// The same as -o json
    #[arg(long, global = true, conflicts_with = "output")]
    json: bool,
    /// Answer questions with yes
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Refuse instead of asking
    #[arg(long, global = true, conflicts_with = "yes")]
    pub no_input: bool,
    /// When to use colour
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "auto|always|never"
    )]
    pub color: Colour,
    /// Print results only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Tell on standard error what is asked for, and every step of it
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
}

impl Global {
    /// Returns the form of the result.
    pub const fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

/// Is the first word after `berth`. Only what is named is built.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Containers: create, run, change, delete
    #[command(
        subcommand,
        visible_alias = "ct",
        after_long_help = "Examples:\n  berth container create web1 --template debian --start\n  berth container list\n  berth container delete web1"
    )]
    Container(container::Verb),
    /// Templates: the files that containers begin with
    #[command(
        subcommand,
        visible_alias = "tpl",
        after_long_help = "Examples:\n  berth template create debian --from-tar debian-13.tar.zst\n  berth template list"
    )]
    Template(template::Verb),
    /// Networks: bridges and the addresses on them
    #[command(
        subcommand,
        visible_alias = "net",
        after_long_help = "Examples:\n  berth network create lab --subnet 10.40.0.0/24\n  berth network list"
    )]
    Network(network::Verb),
    /// Stores: where backups lie
    #[command(subcommand, after_long_help = "Examples:\n  berth store create main /srv/backup\n  berth store list")]
    Store(store::Verb),
    /// Backups: make, look into, restore
    #[command(
        subcommand,
        visible_alias = "bk",
        after_long_help = "Examples:\n  berth backup run web1\n  berth backup list web1\n  berth backup restore web1@latest --to web1-test"
    )]
    Backup(backup::Verb),
    /// Schedules: what is done by itself, and when
    #[command(
        subcommand,
        visible_alias = "sch",
        after_long_help = "Examples:\n  berth schedule create nightly --cron '30 2 * * *' --action backup --select all\n  berth schedule next nightly"
    )]
    Schedule(schedule::Verb),
    /// Runs of maintenance and what they found
    #[command(subcommand, after_long_help = "Examples:\n  berth maintenance list --container web1")]
    Maintenance(maintenance::Verb),
    /// Operations: work under way and done
    #[command(
        subcommand,
        visible_alias = "op",
        after_long_help = "Examples:\n  berth operation list --open\n  berth operation wait 7q2mabcd"
    )]
    Operation(operation::Verb),
    /// Events: everything that ever happened
    #[command(
        subcommand,
        visible_alias = "ev",
        after_long_help = "Examples:\n  berth event list --since 6h\n  berth event follow"
    )]
    Event(event::Verb),
    /// This machine
    #[command(subcommand, after_long_help = "Examples:\n  berth node status")]
    Node(node::Verb),
    /// Proof that the log is whole
    #[command(
        subcommand,
        after_long_help = "Examples:\n  berth audit verify\n  berth audit checkpoint --to /mnt/usb/berth.checkpoint"
    )]
    Audit(audit::Verb),
    /// List containers (= container list)
    #[command(display_order = 100)]
    Ps(Box<container::list::Arguments>),
    /// Start containers (= container start)
    #[command(display_order = 100)]
    Start(Box<container::start::Arguments>),
    /// Stop containers (= container stop)
    #[command(display_order = 100)]
    Stop(Box<container::stop::Arguments>),
    /// Open a shell in a container (= container enter)
    #[command(display_order = 100)]
    Enter(Box<container::enter::Arguments>),
    /// Run a command in a container (= container exec)
    #[command(display_order = 100)]
    Exec(Box<container::exec::Arguments>),
    /// Show what a container's console printed (= container logs)
    #[command(display_order = 100)]
    Logs(Box<container::logs::Arguments>),
    /// List events (= event list)
    #[command(display_order = 100)]
    Events(Box<event::list::Arguments>),
    #[command(display_order = 200)]
    #[allow(missing_docs)]
    Doctor(Box<doctor::Arguments>),
    #[command(display_order = 200)]
    #[allow(missing_docs)]
    Daemon(Box<DaemonArguments>),
    #[command(display_order = 200)]
    #[allow(missing_docs)]
    Tour(Box<TourArguments>),
    #[command(display_order = 200)]
    #[allow(missing_docs)]
    Completion(Box<completion::Arguments>),
    /// Explain the exit codes
    #[command(display_order = 200)]
    ExitCodes,
}

impl Command {
    /// Runs what is not a command of this layer at all, if it is such.
    pub fn run_port(&self, global: &Global, ports: &Ports) -> Option<ExitCode> {
        match self {
            Self::Daemon(arguments) => {
                let state = global.state.clone().unwrap_or_else(default_state);
                Some((ports.daemon)(&DaemonArguments { state, ..DaemonArguments::clone(arguments) }))
            }
            Self::Tour(arguments) => Some((ports.tour)(arguments)),
            _ => None,
        }
    }

    /// Runs the command.
    ///
    /// # Errors
    /// See the verb.
    pub fn run(&self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Container(verb) => verb.run(context),
            Self::Template(verb) => verb.run(context),
            Self::Network(verb) => verb.run(context),
            Self::Store(verb) => verb.run(context),
            Self::Backup(verb) => verb.run(context),
            Self::Schedule(verb) => verb.run(context),
            Self::Maintenance(verb) => verb.run(context),
            Self::Operation(verb) => verb.run(context),
            Self::Event(verb) => verb.run(context),
            Self::Node(verb) => verb.run(context),
            Self::Audit(verb) => verb.run(context),
            Self::Ps(arguments) => container::list::run(context, arguments),
            Self::Start(arguments) => container::start::run(context, arguments),
            Self::Stop(arguments) => container::stop::run(context, arguments),
            Self::Enter(arguments) => container::enter::run(context, arguments),
            Self::Exec(arguments) => container::exec::run(context, arguments),
            Self::Logs(arguments) => container::logs::run(context, arguments),
            Self::Events(arguments) => event::list::run(context, arguments),
            Self::Doctor(arguments) => doctor::run(context, arguments),
            Self::Completion(arguments) => completion::run(context, arguments),
            Self::Daemon(_) | Self::Tour(_) => Ok(Exit::Done), // Ports, taken before a context is made.
            Self::ExitCodes => {
                if context.format.is_for_people() {
                    context.screen.write(&format!("{}\n", exit::HELP))?;
                    return Ok(Exit::Done);
                }
                let listing = Listing { document: exit::document(), recorded: None };
                output::machine(&mut context.screen, context.format, &listing).map(|()| Exit::Done)
            }
        }
    }
}
