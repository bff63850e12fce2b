//! Verifies a log without the daemon, for its owner or for a stranger with a copy, and mends what follows from it.

use std::path::Path;
use std::sync::Arc;

use berth::actors::{self, Registry};
use berth::api::resources::{AuditFinding, Rebuilt};
use berth::cli::{AuditEvidence, AuditFailure, AuditReport};
use berth::projections;
use berth::storage::checkpoint::{SignedCheckpoint, VerifierKey};
use berth::storage::{
    self, Evidence, Finding, Kept, OpenError, ReadError, Reader, SqliteLog, VerifyReport, compare, merkle, verify,
};
use berth::types::StreamName;

/// Recomputes the whole log of a state directory and says in words what that shows.
pub(crate) fn run(state: &Path, evidence: &AuditEvidence) -> Result<AuditReport, AuditFailure> {
    let checkpoint = evidence.checkpoint.as_deref().map(read_note).transpose()?;
    let key = evidence.key.as_deref().map(read_key).transpose()?;
    let failed = |error: ReadError| AuditFailure::Log(error.to_string());
    let reader = match Reader::open(state) {
        Err(error) if error.is_damage() => return Ok(unreadable(checkpoint.is_some(), &error)),
        opened => opened.map_err(failed)?,
    };
    let report = look(&reader, &Evidence { checkpoint, key }).map_err(failed)?.report;
    Ok(AuditReport {
        events: report.events,
        redacted: report.redacted,
        root: merkle::hex(&report.root),
        checkpoint_fits: evidence.checkpoint.as_ref().map(|_| report.outside.is_some()),
        findings: told(&report),
        statements: report.statements(),
    })
}

/// Is what a look at everything found.
struct Looked {
    report: VerifyReport,
    /// The snapshots that the log does not bear out.
    condemned: Vec<(i64, Option<StreamName>)>,
}

/// Reads the log and everything that follows from it.
fn look(reader: &Reader, evidence: &Evidence) -> Result<Looked, ReadError> {
    let mut report = verify(reader, evidence)?;
    let condemned = match derived(reader, &mut report.findings) {
        Ok(condemned) => condemned,
        Err(error) => {
            report.findings.push(Finding::Incomparable { reason: error.to_string() });
            Vec::new()
        }
    };
    report.derived = report.is_intact();
    Ok(Looked { report, condemned })
}

fn derived(reader: &Reader, findings: &mut Vec<Finding>) -> Result<Vec<(i64, Option<StreamName>)>, ReadError> {
    findings.extend(compare(reader, projections::all())?);
    let mut condemned = Vec::new();
    reader.each_snapshot(|kept| {
        if let Some(reason) = flaw(reader, kept) {
            let stream = kept.stream.as_ref().map_or_else(|| format!("stream {}", kept.id), StreamName::to_string);
            findings.push(Finding::Snapshot { stream, reason: reason.to_owned() });
            condemned.push((kept.id, kept.stream.clone()));
        }
    })?;
    Ok(condemned)
}

/// Says what is wrong with a snapshot. A stream that cannot be read is told elsewhere.
fn flaw(reader: &Reader, kept: &Kept) -> Option<&'static str> {
    let Some(snapshot) = kept.snapshot.clone() else { return Some("is damaged, or stands at no event of it") };
    let differs = actors::differs(reader, snapshot).unwrap_or(false);
    differs.then_some("is not the state that its events make")
}

fn told(report: &VerifyReport) -> Vec<AuditFinding> {
    let told = report.told().into_iter();
    told.map(|told| AuditFinding {
        finding: told.finding,
        mended_by: told.mended_by.map(|verb| format!("berth {verb}")),
    })
    .collect()
}

/// Reads everything again beside the daemon's work and tells what is wrong with it; that changes nothing.
///
/// A start reads only what it needs: damage elsewhere would be found when somebody asks, which may be too late for a copy.
///
/// # Errors
/// There is no thread to be had.
pub(crate) fn look_through(store: &SqliteLog, keys: &Path) -> std::io::Result<()> {
    let reader = store.reader();
    // What was signed last is known beside the keys, where whoever changes the log's file may not reach.
    let record = keys.join(reader.log().to_string()).join(storage::RECORD_FILE);
    let evidence = Evidence { checkpoint: std::fs::read_to_string(record).ok(), key: None };
    let look = move || match look(&reader, &evidence) {
        Ok(Looked { report, .. }) => {
            for AuditFinding { finding, mended_by } in told(&report) {
                let next = mended_by.unwrap_or_else(|| "berth audit verify".to_owned());
                tracing::error!(%finding, "the log is not as it was written; nothing was changed: {next}");
            }
            tracing::debug!(events = report.events, intact = report.is_intact(), "the log was read again");
        }
        Err(error) => tracing::error!(%error, "the log cannot be read again"),
    };
    std::thread::Builder::new().name("log-audit".to_owned()).spawn(look).map(drop)
}

/// Makes everything anew that follows from the log, through the daemon that is at work.
pub(crate) fn rebuild_live(store: &SqliteLog, registry: &Arc<Registry>) -> Result<Rebuilt, String> {
    let reader = store.reader();
    let before = look(&reader, &Evidence::default()).map_err(|error| error.to_string())?;
    let ids = before.condemned.iter().map(|(id, _)| *id).collect();
    let mended = store.rebuild(ids).blocking_recv().map_err(|_| "the log is closed".to_owned())?;
    mended.map_err(|error| unmended(&error))?;
    let distrusted: Vec<StreamName> = before.condemned.iter().filter_map(|(_, stream)| stream.clone()).collect();
    registry.read_again(&distrusted);
    let after = look(&reader, &Evidence::default()).map_err(|error| error.to_string())?;
    Ok(outcome(&before.report, &after.report))
}

/// Makes everything anew that follows from the log of a state directory where no daemon is at work.
pub(crate) fn rebuild(state: &Path) -> Result<Rebuilt, String> {
    let open = || Reader::open(state).map_err(|error| error.to_string());
    let look = || look(&open()?, &Evidence::default()).map_err(|error| error.to_string());
    let before = look()?;
    let ids: Vec<i64> = before.condemned.iter().map(|(id, _)| *id).collect();
    storage::rebuild(state, projections::all(), &ids).map_err(|error| match error {
        OpenError::InUse { .. } => error.to_string(),
        error => unmended(&error),
    })?;
    Ok(outcome(&before.report, &look()?.report))
}

fn unmended(error: &dyn std::fmt::Display) -> String {
    format!("nothing was changed, for the log itself does not allow it: {error}")
}

fn outcome(before: &VerifyReport, after: &VerifyReport) -> Rebuilt {
    let left = told(after);
    let mended = told(before).into_iter().map(|found| found.finding);
    let mended = mended.filter(|finding| left.iter().all(|left| left.finding != *finding)).collect();
    Rebuilt { events: after.events, mended, left }
}

/// A log that is too damaged to be opened is a finding like any other: there is one, and it is not what was written.
fn unreadable(compared: bool, error: &ReadError) -> AuditReport {
    AuditReport {
        events: 0,
        redacted: 0,
        root: merkle::hex(&merkle::Hash::default()),
        checkpoint_fits: compared.then_some(false),
        findings: vec![AuditFinding { finding: error.to_string(), mended_by: None }],
        statements: vec![],
    }
}

/// Reads what the verifier brings.
fn read<T, E: std::fmt::Display>(path: &Path, parse: impl Fn(&str) -> Result<T, E>) -> Result<T, AuditFailure> {
    let unusable = |reason: String| AuditFailure::Evidence(path.to_owned(), reason);
    let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    parse(&text).map_err(|error| unusable(error.to_string()))
}

fn read_note(path: &Path) -> Result<String, AuditFailure> {
    read(path, |text| SignedCheckpoint::parse(text).map(|_| text.to_owned()))
}

fn read_key(path: &Path) -> Result<VerifierKey, AuditFailure> {
    read(path, |text| VerifierKey::parse(text.trim()))
}
