//! Verifies a log without the daemon: for its owner, or for a stranger with a copy.

use std::path::Path;

use berth::cli::{AuditEvidence, AuditReport};
use berth::storage::checkpoint::VerifierKey;
use berth::storage::{Evidence, ReadError, Reader, SqliteStore, merkle, verify};

/// Recomputes the whole log of a state directory and says in words what that shows.
pub(crate) fn run(state: &Path, evidence: &AuditEvidence) -> Result<AuditReport, String> {
    let checkpoint = evidence.checkpoint.as_deref().map(read).transpose()?;
    let key = evidence.key.as_deref().map(read_key).transpose()?;
    let reader = match Reader::open(state) {
        Err(error) if error.is_damage() => return Ok(unreadable(checkpoint.is_some(), &error)),
        opened => opened.map_err(|error| error.to_string())?,
    };
    let report = verify(&reader, &Evidence { checkpoint, key }).map_err(|error| error.to_string())?;
    Ok(AuditReport {
        events: report.events,
        redacted: report.redacted,
        root: merkle::hex(&report.root),
        checkpoint_fits: evidence.checkpoint.as_ref().map(|_| report.outside.is_some()),
        findings: report.told(),
        statements: report.statements(),
    })
}

/// Reads the whole log again beside the daemon's work and tells what is wrong with it; that changes nothing.
///
/// A start reads only what it needs: damage elsewhere would be found when somebody asks, which may be too late for a copy.
///
/// # Errors
/// There is no thread to be had.
pub(crate) fn look_through(store: &SqliteStore) -> std::io::Result<()> {
    let reader = store.reader();
    let look = move || match verify(&reader, &Evidence::default()) {
        Ok(report) => {
            for finding in report.told() {
                tracing::error!(%finding, "the log is not as it was written; nothing was changed: berth audit verify");
            }
            tracing::debug!(events = report.events, intact = report.is_intact(), "the log was read again");
        }
        Err(error) => tracing::error!(%error, "the log cannot be read again"),
    };
    std::thread::Builder::new().name("log-audit".to_owned()).spawn(look).map(drop)
}

/// A log that is too damaged to be opened is a finding like any other: there is one, and it is not what was written.
fn unreadable(compared: bool, error: &ReadError) -> AuditReport {
    AuditReport {
        events: 0,
        redacted: 0,
        root: merkle::hex(&merkle::Hash::default()),
        checkpoint_fits: compared.then_some(false),
        findings: vec![error.to_string()],
        statements: vec![],
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn read_key(path: &Path) -> Result<VerifierKey, String> {
    VerifierKey::parse(read(path)?.trim()).map_err(|error| format!("{}: {error}", path.display()))
}
