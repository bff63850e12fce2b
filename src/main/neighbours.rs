//! Several daemons on one host share its user ids: each has a block of them, agreed on under a lock in `/run/berth`.
//!
//! The first one gets most of the range, so that a host with one daemon has room for ten thousand containers; up to
//! sixteen more get 256 slots each. A block is kept in the state directory: containers keep their ids for ever, also
//! across a reboot that empties `/run`. The block of an entry whose state directory is gone is free again; the entry stays,
//! so that it is known whose the bridges and groups are that were left, until somebody sweeps them away. A daemon holds its
//! entry locked while it lives.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use berth::domain::node::{ID_BASE, ID_COUNT, ID_SLOTS_MAX};
use serde::{Deserialize, Serialize};

/// Where the daemons of a host know of each other.
const REGISTER: &str = "/run/berth/instances";
/// Slots of each block but the first.
const SLOTS_OF_OTHERS: u32 = 256;
/// Blocks beside the first.
const OTHERS: u32 = 16;
/// The block's file in the state directory.
const FILE: &str = "id-block";

#[derive(Serialize, Deserialize)]
struct Entry {
    state: PathBuf,
    block: u32,
}

/// Returns the ids that belong to other daemons of this host, as ranges of first id and count.
///
/// # Errors
/// The register cannot be read or written, or every block is taken.
pub(crate) fn foreign_ids(state: &Path, instance: &str) -> io::Result<Vec<(u32, u32)>> {
    foreign_ids_in(Path::new(REGISTER), state, instance)
}

fn foreign_ids_in(register: &Path, state: &Path, instance: &str) -> io::Result<Vec<(u32, u32)>> {
    let _lock = locked(register)?;
    let taken = taken(register, instance)?;
    let own = fs::read_to_string(state.join(FILE)).ok().and_then(|text| text.trim().parse().ok());
    let block = match own {
        Some(block) => block,
        None => (0..=OTHERS).find(|block| !taken.contains(block)).ok_or_else(no_block)?,
    };
    if own.is_none() {
        // Durable before any container has ids of it.
        berth::sys::fs::durable::replace(&state.join(FILE), block.to_string().as_bytes())?;
    }
    let entry = serde_json::to_vec(&Entry { state: state.to_owned(), block })?;
    fs::write(register.join(format!("{instance}.json")), entry)?;
    Ok(all_but(block))
}

/// Gives the block back: nothing on this host carries its ids any more. If nothing else of the instance is left either, its
/// entry goes, and with the last one the register.
pub(crate) fn forget(state: &Path, instance: &str, bare: bool) {
    let Ok(_lock) = register() else { return };
    let _ = fs::remove_file(state.join(FILE));
    if bare {
        strike(instance);
    }
}

/// Takes the register's lock.
pub(crate) fn register() -> io::Result<fs::File> {
    locked(Path::new(REGISTER))
}

/// Removes an entry, and with the last one the register. The caller has the register's lock.
pub(crate) fn strike(instance: &str) {
    let register = Path::new(REGISTER);
    let _ = fs::remove_file(place_of(instance));
    let is_entry = |name: std::ffi::OsString| Path::new(&name).extension().is_some_and(|end| end == "json");
    // Where it cannot be read, others may be there, whose lock it is too.
    let left = fs::read_dir(register).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    if left.is_ok_and(|left| !left.iter().any(|entry| is_entry(entry.file_name()))) {
        let _ = fs::remove_file(register.join("lock"));
        let _ = fs::remove_dir(register);
        let _ = register.parent().map(fs::remove_dir); // what is not empty stays
    }
}

/// Is what the register tells of an instance.
pub(crate) struct Known {
    /// Where its state is, or was.
    pub(crate) state: PathBuf,
    /// Whether a daemon of it lives.
    pub(crate) held: bool,
}

/// Returns what the register tells of an instance.
pub(crate) fn entry_of(instance: &str) -> Option<Known> {
    let file = fs::File::open(place_of(instance)).ok()?;
    let entry: Entry = serde_json::from_reader(&file).ok()?;
    // The lock goes with the file again.
    let held = !berth::sys::fs::lock::try_exclusive(file.as_fd()).unwrap_or(false);
    Some(Known { state: entry.state, held })
}

/// Locks the own entry as long as the file is open: this daemon lives.
pub(crate) fn hold(instance: &str) -> io::Result<fs::File> {
    let file = fs::File::open(place_of(instance))?;
    if berth::sys::fs::lock::exclusive(file.as_fd())? {
        Ok(file)
    } else {
        Err(io::Error::other("another holds the entry"))
    }
}

fn place_of(instance: &str) -> PathBuf {
    Path::new(REGISTER).join(format!("{instance}.json"))
}

/// Takes the register's lock. Whoever held it before may have taken the register away: then it is made anew.
fn locked(register: &Path) -> io::Result<fs::File> {
    let path = register.join("lock");
    loop {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(register)?;
        let file = match fs::File::create(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        while !berth::sys::fs::lock::try_exclusive(file.as_fd())? {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let own = file.metadata()?.ino();
        if fs::metadata(&path).is_ok_and(|found| found.ino() == own) {
            return Ok(file);
        }
    }
}

fn no_block() -> io::Error {
    io::Error::other("every block of user ids on this host belongs to another daemon")
}

/// Reads which blocks living neighbours have; those whose state directory is gone have none any more.
fn taken(register: &Path, instance: &str) -> io::Result<Vec<u32>> {
    let mut blocks = vec![];
    for found in fs::read_dir(register)? {
        let path = found?.path();
        let own = path.file_stem().is_some_and(|stem| stem == instance);
        if own || path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        match serde_json::from_slice::<Entry>(&fs::read(&path)?) {
            Ok(entry) if entry.state.join(FILE).exists() => blocks.push(entry.block),
            Ok(_) => {}
            Err(_) => fs::remove_file(&path)?,
        }
    }
    Ok(blocks)
}

/// Returns everything beside a block.
fn all_but(block: u32) -> Vec<(u32, u32)> {
    let first_of_others = ID_SLOTS_MAX - OTHERS * SLOTS_OF_OTHERS;
    let (start, end) = match block {
        0 => (0, first_of_others),
        other => {
            let start = first_of_others + (other - 1) * SLOTS_OF_OTHERS;
            (start, start + SLOTS_OF_OTHERS)
        }
    };
    let ids = |from: u32, to: u32| (ID_BASE + from * ID_COUNT, (to - from) * ID_COUNT);
    [ids(0, start), ids(end, ID_SLOTS_MAX)].into_iter().filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_never_share_an_id_and_keep_theirs() {
        let place = std::env::temp_dir().join(format!("berth-neighbours-{}", std::process::id()));
        let states: Vec<_> = (0..3).map(|number| place.join(format!("state-{number}"))).collect();
        let register = place.join("register");
        for state in &states {
            fs::create_dir_all(state).unwrap();
        }
        let first: Vec<_> =
            (0..3).map(|n| foreign_ids_in(&register, &states[n], &format!("instance-{n}")).unwrap()).collect();
        assert_ne!(first[0], first[1]);
        assert_ne!(first[1], first[2]);
        assert_eq!(foreign_ids_in(&register, &states[1], "instance-1").unwrap(), first[1]);
        fs::remove_dir_all(&states[1]).unwrap();
        fs::create_dir_all(place.join("state-4")).unwrap();
        assert_eq!(foreign_ids_in(&register, &place.join("state-4"), "instance-4").unwrap(), first[1]);
        fs::remove_dir_all(&place).unwrap();
    }
}
