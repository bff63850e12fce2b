//! Tells a store that cannot be read as a whole from one in which something is damaged.

use std::io::{self, ErrorKind};

use super::error::Error;
use super::medium::Medium;
use crate::sys::fs::{is_gone, is_of_the_file};

/// How many packs are looked into before a store counts as gone.
const PACKS_LOOKED_INTO: usize = 3;

/// Says what an error in reading one thing of a store means: damage, if something else can be read still; else the store is
/// gone. A disk that was pulled out and a server that went away say the same as a bad sector does. What this host lacks for
/// reading is neither.
pub(super) fn judge(medium: &dyn Medium, error: Error) -> Error {
    let is_of_the_file = match &error {
        Error::Io { source, .. } => is_of_the_file(source),
        Error::Missing { .. } => true,
        _ => false,
    };
    if !is_of_the_file {
        return error;
    }
    match (look(medium), error) {
        (Ok(()), Error::Io { action, path, source }) => Error::damaged(path, format!("cannot {action} it: {source}")),
        (Err((_, why)), Error::Io { action, path, source }) if means_gone(&why) => {
            Error::Vanished { action, path, source }
        }
        (Err((path, why)), Error::Missing { .. }) if means_gone(&why) => {
            Error::Vanished { action: "read", path, source: why }
        }
        (Err((path, why)), _) => Error::Io { action: "read", path, source: why },
        (Ok(()), other) => other,
    }
}

fn means_gone(error: &io::Error) -> bool {
    is_gone(error) || is_of_the_file(error)
}

/// What a look at a store came to: what could not be read, and why.
type Looked = Result<(), (String, io::Error)>;

/// Reads a little of a store from where it is kept: its config, and the beginning or the end of any of a few packs, which lie
/// elsewhere. Of a disk that is gone much can still be read from memory.
fn look(medium: &dyn Medium) -> Looked {
    match read_anew(medium, "config", |length| length) {
        Err(why) if why.kind() != ErrorKind::UnexpectedEof => return Err(("config".to_owned(), why)),
        _ => {}
    }
    let mut looked = Ok(());
    for path in some_packs(medium)? {
        match read_anew(medium, &path, |_| 0).or_else(|_| read_anew(medium, &path, |length| length)) {
            // That this one is too short, or not there, is read from a store that is.
            Err(why) if !matches!(why.kind(), ErrorKind::UnexpectedEof | ErrorKind::NotFound) => {
                looked = Err((path, why));
            }
            _ => return Ok(()),
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

fn some_packs(medium: &dyn Medium) -> Result<Vec<String>, (String, io::Error)> {
    let list = |directory: &str| medium.list(directory).map_err(|why| (directory.to_owned(), why));
    let mut paths = Vec::new();
    for directory in list("packs")? {
        let directory = format!("packs/{directory}");
        paths.extend(list(&directory)?.iter().map(|name| format!("{directory}/{name}")));
        if paths.len() >= PACKS_LOOKED_INTO {
            break;
        }
    }
    paths.truncate(PACKS_LOOKED_INTO);
    Ok(paths)
}
