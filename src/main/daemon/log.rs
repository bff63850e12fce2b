//! The log, opened for this daemon: with its keys, or with words on where they were.

use std::path::Path;
use std::sync::Arc;

use berth::api::client::Started;
use berth::cli::shell_quoted;
use berth::projections::query::{Moment, Query};
use berth::storage::{OpenError, Options, Purpose, Reader, SpaceProbe, SqliteLog};

use super::super::{clock, identity};
use super::{Refused, Setup};

/// Asks for the free space of the file system that a path is on.
pub(crate) fn space_probe() -> SpaceProbe {
    Arc::new(|path: &Path| {
        let root = berth::sys::fs::open_root(path)?;
        berth::sys::fs::free_bytes(std::os::fd::AsFd::as_fd(&root))
    })
}

/// Refuses the log of another instance: it speaks of containers that are not on this host.
pub(super) fn belongs_here(setup: &Setup, query: &Query) -> Result<(), Refused> {
    let (own, state) = (&setup.identity.instance, setup.state.display());
    match query.node(Moment::Now)? {
        Some(row) if !row.instance.is_empty() && row.instance != *own => Err(Refused {
            reason: format!(
                "the log in {state} is that of instance {} of {}; this state directory is instance {own}",
                row.instance, row.hostname
            ),
            hint: Some("put the log back that belongs to it, or the file node that belongs to the log".to_owned()),
            code: 1,
        }),
        _ => Ok(()),
    }
}

pub(super) fn open_log(setup: &Setup, new_keys: bool) -> Result<Arc<SqliteLog>, Refused> {
    let mut options = Options::new(Arc::clone(&setup.clock), &setup.keys, space_probe());
    options.projections = berth::projections::all();
    options.purpose = if new_keys { Purpose::Rekey } else { Purpose::Work };
    options.timekeeper = Some(clock::timekeeper(&setup.watch, setup.identity.node, &setup.boot));
    let opened = SqliteLog::open(&setup.state, options);
    if let (Err(OpenError::KeyGone { .. }), Ok(reader)) = (&opened, Reader::open(&setup.state)) {
        belongs_here(setup, &Query::new(reader))?; // that would be why
    }
    opened.map(Arc::new).map_err(|error| {
        let (hint, code) = match error {
            OpenError::InUse { .. } => (Some("another daemon runs on it: berth node status".to_owned()), 6),
            OpenError::KeyGone { .. } => (Some(where_keys_were(setup)), 1),
            OpenError::KeyUnreadable { ref path, .. } => (Some(berth::storage::who_may_read(path)), 1),
            _ => (None, 1),
        };
        Refused { reason: error.to_string(), hint, code }
    })
}

/// Says how to start with the keys that the log had, or without them.
fn where_keys_were(setup: &Setup) -> String {
    let word = |path: &Path| shell_quoted(&path.display().to_string());
    let state = word(&setup.state);
    let lost = format!(
        "If they are lost for good: berth --state {state} daemon --key-dir {} --new-keys (stores of before stay closed without \
         their own)",
        word(&setup.keys)
    );
    let before = Started::of(&setup.state).map(|started| started.key_dir.unwrap_or_else(identity::key_directory));
    match before {
        Some(place) if place != setup.keys => {
            let keys = word(&place);
            let place = place.display();
            format!("The daemon had its keys in {place}: berth --state {state} daemon --key-dir {keys}\n  {lost}")
        }
        Some(place) => format!("They were in {}: put that directory back.\n  {lost}", place.display()),
        None => lost,
    }
}
