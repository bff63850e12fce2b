//! Tells a store that cannot be read as a whole from one in which something is damaged.

use std::io;

use super::error::Error;
use super::medium::Medium;

/// How many packs are looked into before a store counts as gone.
const PACKS_LOOKED_INTO: usize = 3;

/// Says what an error in reading one thing of a store means: damage, if something else can be read still; else the store is
/// gone. A disk that was pulled out and a server that went away say the same as a bad sector does.
pub(super) fn judge(medium: &dyn Medium, error: Error) -> Error {
    if !matches!(error, Error::Io { .. } | Error::Missing { .. }) {
        return error;
    }
    match (look(medium), error) {
        (Ok(()), Error::Io { action, path, source }) => Error::damaged(path, format!("cannot {action} it: {source}")),
        (Err(_), Error::Io { action, path, source }) => Error::Vanished { action, path, source },
        (Err(source), _) => Error::Vanished { action: "read", path: "its config".to_owned(), source },
        (Ok(()), other) => other,
    }
}

/// Reads a little of a store from where it is kept: its config, and the beginning or the end of any of a few packs, which lie
/// elsewhere. Of a disk that is gone much can still be read from memory.
fn look(medium: &dyn Medium) -> io::Result<()> {
    read_anew(medium, "config", |length| length)?;
    let mut looked = Ok(());
    for path in some_packs(medium)? {
        looked = read_anew(medium, &path, |_| 0).or_else(|_| read_anew(medium, &path, |length| length));
        if looked.is_ok() {
            break;
        }
    }
    looked
}

/// Reads one byte, the first or the last before `end`.
fn read_anew(medium: &dyn Medium, path: &str, end: impl FnOnce(u64) -> u64) -> io::Result<()> {
    medium.forget(path)?;
    let at = end(medium.length(path)?).saturating_sub(1);
    medium.read(path, at, 1).map(|_| ())
}

fn some_packs(medium: &dyn Medium) -> io::Result<Vec<String>> {
    let mut paths = Vec::new();
    for directory in medium.list("packs")? {
        let names = medium.list(&format!("packs/{directory}"))?;
        paths.extend(names.iter().map(|name| format!("packs/{directory}/{name}")));
        if paths.len() >= PACKS_LOOKED_INTO {
            break;
        }
    }
    paths.truncate(PACKS_LOOKED_INTO);
    Ok(paths)
}
