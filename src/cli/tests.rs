//! The command line as a whole: the tree of commands, and what goes over the socket.

mod hints;
mod server;
mod sweep;
mod talk;
mod tree;
mod whole;

use std::path::Path;
use std::process::ExitCode;

use super::ports::{AuditReport, Ports};
use super::screen::{Buffer, Screen};
use crate::api::resources::AcceptedHistory;
use crate::api::resources::{DoctorFinding, DoctorReport, Rebuilt};
use crate::types::{Clock, Timestamp};

/// Stands still at 2026-11-23T12:00:00Z.
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_795_435_200_000_000)
    }
}

fn doctor(_: &Path) -> DoctorReport {
    let finding = |feature: &str, required, ok| DoctorFinding {
        feature: feature.to_owned(),
        required,
        spoilt: false,
        ok,
        reason: "tried".to_owned(),
        fix: Some("mend it".to_owned()),
    };
    DoctorReport {
        findings: vec![
            finding("overlay", true, true),
            finding("loop", true, false),
            finding("fuse", false, false),
            DoctorFinding { spoilt: true, ..finding("disk", false, false) },
        ],
    }
}

fn ports() -> Ports {
    Ports {
        clock: Box::new(Noon),
        daemon: |_| ExitCode::from(42),
        doctor,
        audit_verify: |_, _| Ok(AuditReport { events: 3, root: "ab".to_owned(), ..AuditReport::default() }),
        is_root: || true,
        leftovers: |_| sweep::left(),
        sweep: |_, left| sweep::swept(left),
        accept_history: |arguments| {
            let kept = (!arguments.dry_run).then(|| "/keys/given-up".to_owned());
            let reason = "it ends at event 7".to_owned();
            Ok(Some(AcceptedHistory { reason, events: 7, kept, ..AcceptedHistory::default() }))
        },
        rebuild: |_| Ok(Rebuilt { events: 3, mended: vec!["a row".to_owned()], left: vec![] }),
        tour: |_| ExitCode::SUCCESS,
    }
}

/// Is what a command said and how it ended.
#[derive(Debug)]
struct Said {
    code: String,
    out: String,
    err: String,
}

/// Runs a command line for a state directory.
fn berth(state: &Path, words: &str) -> Said {
    said(state, words, |_| {})
}

/// Runs a command line whose output nobody reads.
fn unread(state: &Path, words: &str) -> Said {
    said(state, words, Screen::lose_reader)
}

fn said(state: &Path, words: &str, prepare: fn(&mut Screen)) -> Said {
    let mut arguments = vec!["berth", "--state", state.to_str().unwrap()];
    let words = tree::split(words);
    arguments.extend(words.iter().map(String::as_str));
    let (out, err) = (Buffer::default(), Buffer::default());
    let mut screen = Screen::of_buffers(out.clone(), err.clone());
    screen.quiet = words.iter().any(|word| word == "-q");
    prepare(&mut screen);
    let code = super::run_on(&arguments, screen, &ports());
    Said { code: format!("{code:?}"), out: out.text(), err: err.text() }
}

impl Said {
    fn ended(&self, code: u8) -> bool {
        self.code == format!("{:?}", ExitCode::from(code))
    }
}
