//! What the command line needs of parts it must not see: `main` hands it in.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::api::resources::{AuditFinding, DoctorReport, Rebuilt};
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
    pub audit_verify: fn(state: &Path, evidence: &AuditEvidence) -> Result<AuditReport, String>,
    /// Makes everything anew that follows from the log of a state directory, without a daemon.
    pub rebuild: fn(state: &Path) -> Result<Rebuilt, String>,
    /// Goes on with a log that is not the one that was signed, without a daemon; nothing where none other was.
    pub accept_history: fn(&AcceptArguments) -> Result<Option<Accepted>, String>,
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

/// Is what an audit of the log found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// How many events were recomputed.
    pub events: u64,
    /// The Merkle root over them, in hexadecimal.
    pub root: String,
    /// Whether a given checkpoint fits; nothing where none was given.
    pub checkpoint_fits: Option<bool>,
    /// What is wrong; nothing if the log is whole.
    pub findings: Vec<AuditFinding>,
    /// What was shown, and what was not.
    pub statements: Vec<String>,
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

/// Is a history that was, or would be, accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// What does not fit what was signed.
    pub reason: String,
    /// How many events had been signed.
    pub signed: u64,
    /// How many the log has.
    pub events: u64,
    /// The Merkle root over them, in hexadecimal.
    pub root: String,
    /// Where what was signed is kept; nothing if nothing was changed.
    pub kept: Option<String>,
}
