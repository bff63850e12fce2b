//! What the command line needs of parts it must not see: `main` hands it in.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::api::resources::{AcceptedHistory, AuditFinding, DoctorReport, Rebuilt};
use crate::types::Clock;

/// Is everything below the daemon that a command may run in this process.
pub struct Ports {
    /// Tells the time, for ages in tables.
    pub clock: Box<dyn Clock>,
    /// Runs the daemon until it is told to end.
    pub daemon: fn(&DaemonArguments) -> ExitCode,
    /// Looks at this host without a daemon.
    pub doctor: fn(state: &Path) -> DoctorReport,
    /// Recomputes the whole log of a state directory and compares it with what the verifier brings, without a daemon.
    pub audit_verify: fn(state: &Path, evidence: &AuditEvidence) -> Result<AuditReport, AuditFailure>,
    /// Says whether this process is root's.
    pub is_root: fn() -> bool,
    /// Lists what instances that are dead, or of which nobody knows, have on this host; the own state directory is alive.
    pub leftovers: fn(state: &Path) -> Vec<LeftInstance>,
    /// Removes what one of them left.
    pub sweep: fn(state: &Path, left: &LeftInstance) -> Sweep,
    /// Makes everything anew that follows from the log of a state directory, without a daemon.
    pub rebuild: fn(state: &Path) -> Result<Rebuilt, String>,
    /// Goes on with a log that is not the one that was signed, without a daemon; nothing where none other was.
    pub accept_history: fn(&AcceptArguments) -> Result<Option<AcceptedHistory>, String>,
    /// Shows in a state directory of its own what Berth does.
    pub tour: fn(&TourArguments) -> ExitCode,
}

/// Run the daemon in the foreground
///
/// This is what the unit starts. It takes SIGTERM and SIGINT as the order to end; containers go on without it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(after_long_help = "Examples:\n  berth daemon\n  berth --state /srv/berth daemon --key-dir /srv/keys")]
pub struct DaemonArguments {
    /// The state directory, as the global option or its default says
    #[arg(skip)]
    pub state: PathBuf,
    /// Where keys are kept, /etc/berth/keys by default
    #[arg(long, value_name = "DIR")]
    pub key_dir: Option<PathBuf>,
    /// Make a new key for the log, where the directory with its key is lost for good: its stores need theirs all the same
    #[arg(long)]
    pub new_keys: bool,
    /// Refuse disks that are promised more than their file system has free, instead of warning
    #[arg(long)]
    pub refuse_overcommit: bool,
}

/// See what Berth does, in a state directory of its own
///
/// Nothing outside of it is touched, and it is removed at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(after_long_help = "Examples:\n  berth tour\n  berth tour --keep")]
pub struct TourArguments {
    /// Leave everything as it is at the end, to look around in
    #[arg(long)]
    pub keep: bool,
}

/// Is what a verifier brings along, from anywhere but the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct AuditEvidence {
    /// A note of an earlier `berth audit checkpoint`
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub checkpoint: Option<PathBuf>,
    /// The log's public key, checkpoint.vkey, to check signatures with
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub key: Option<PathBuf>,
}

/// Says why nothing was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditFailure {
    /// What the verifier brings is no evidence: which file, and why.
    Evidence(PathBuf, String),
    /// The log cannot be read.
    Log(String),
}

/// Is what an audit of the log found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// How many events were recomputed.
    pub events: u64,
    /// The Merkle root over them, in hexadecimal.
    pub root: String,
    /// How many annexes were redacted.
    pub redacted: u64,
    /// Whether a given checkpoint fits; nothing where none was given.
    pub checkpoint_fits: Option<bool>,
    /// What is wrong; nothing if the log is whole.
    pub findings: Vec<AuditFinding>,
    /// What was shown, and what was not.
    pub statements: Vec<String>,
}

/// Says what is known of the life of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its state directory is gone, and no daemon of it runs.
    Dead,
    /// Nobody knows where its state is.
    Unknown,
}

/// Is one thing on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// What kind of thing it is.
    pub kind: String,
    /// Which.
    pub name: String,
}

/// Is what one instance left on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftInstance {
    /// Its eight hexadecimal digits.
    pub instance: String,
    /// Where its state was, if that is known.
    pub state: Option<PathBuf>,
    /// Whether it is dead.
    pub standing: Standing,
    /// What is there.
    pub things: Vec<Leftover>,
}

/// Is one thing that was left, as a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftoverRow {
    /// Whose it is.
    pub instance: String,
    /// Where that one's state was.
    pub state: Option<String>,
    /// What kind of thing it is.
    pub kind: String,
    /// Which.
    pub name: String,
    /// What came of it.
    pub outcome: String,
}

/// Says what came of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sweep {
    /// All of it is gone.
    Removed,
    /// Something is left, and why.
    Stays(String),
}

impl LeftInstance {
    /// Says in a line whose it is and how much: `c0ffee00 (was /srv/x): 2 link, 1 folder`.
    pub fn words(&self) -> String {
        let mut counts: Vec<(&str, usize)> = vec![];
        for thing in &self.things {
            match counts.iter_mut().find(|(kind, _)| *kind == thing.kind) {
                Some((_, count)) => *count += 1,
                None => counts.push((&thing.kind, 1)),
            }
        }
        let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
        let whose = match (&self.state, self.standing) {
            (Some(state), _) => format!("whose state directory {} is gone", state.display()),
            (None, _) => "of which nobody knows where its state is".to_owned(),
        };
        format!("the instance {}, {whose}, left {}", self.instance, counts.join(", "))
    }

    /// Returns a row for each thing.
    pub fn rows(&self, outcome: &str) -> Vec<LeftoverRow> {
        let row = |thing: &Leftover| LeftoverRow {
            instance: self.instance.clone(),
            state: self.state.as_ref().map(|state| state.display().to_string()),
            kind: thing.kind.clone(),
            name: thing.name.clone(),
            outcome: outcome.to_owned(),
        };
        self.things.iter().map(row).collect()
    }
}

/// Is what it takes to accept a history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AcceptArguments {
    /// The state directory.
    pub state: PathBuf,
    /// Where keys are kept, if not where they usually are.
    pub key_dir: Option<PathBuf>,
    /// Why, for the record.
    pub reason: Option<String>,
    /// Whether it is only shown.
    pub dry_run: bool,
}
