//! Namespaces and the overlay inside a user namespace, by doing it once.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::{Feature, Weight};
use crate::kernel::cgroup::{Cgroup, Layout};
use crate::kernel::disk::{self, Disk};
use crate::kernel::failure::{Failure, Step as _};
use crate::kernel::{launch, stage};
use crate::sys::namespace::Namespaces;
use crate::sys::process::{self, ForkOptions, Forked};
use crate::sys::{poll, random, signal};
use crate::types::IdRange;

/// What the folder that layers are tried in is called; its process's id follows, and what nobody can foresee.
pub const PLACE_PREFIX: &str = "berth-probe-";

const NAMES: [&str; 3] = ["namespaces", "birth in a cgroup", "overlay in a user namespace"];
/// More than the probe's folders take.
const ROOM: usize = 1 << 20;
/// How long a try may take. What is asked comes at once, but a busy machine may not, and what is taken for missing here is
/// missing until the daemon begins anew.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);

pub(super) fn probe() -> Vec<Feature> {
    if !process::is_single_threaded() {
        return NAMES.map(|name| Feature::unknown(name, Weight::Required, super::ONE_THREAD)).into();
    }
    let plain = |outcome: Result<(), Failure>| outcome.map(|()| String::new());
    let outcomes = [plain(namespaces()), plain(birth_in_cgroup()), overlay()];
    NAMES
        .into_iter()
        .zip(outcomes)
        .map(|(name, outcome)| Feature::new(name, Weight::Required, outcome.map_err(|failure| failure.to_string())))
        .collect()
}

/// Forks a child that does this, and waits for it.
pub(super) fn in_child(options: ForkOptions<'_>, work: impl FnOnce() -> bool) -> Result<(), Failure> {
    match process::fork(options).step("fork")? {
        Forked::Child => process::exit_now(i32::from(!work())),
        Forked::Parent(child) => {
            if !poll::wait_readable(child.pidfd.as_fd(), PATIENCE).step("wait")? {
                let _ = process::signal_pidfd(&child.pidfd, signal::KILL);
            }
            match process::reap_one(child.pid).step("reap")? {
                process::WaitStatus::Exited(0) => Ok(()),
                status => Err(Failure::new("try it in a child", format!("{status:?}"))),
            }
        }
    }
}

fn namespaces() -> Result<(), Failure> {
    let all = [
        Namespaces::USER,
        Namespaces::MOUNT,
        Namespaces::PID,
        Namespaces::NETWORK,
        Namespaces::UTS,
        Namespaces::IPC,
        Namespaces::CGROUP,
    ];
    let namespaces = all.into_iter().fold(Namespaces::default(), Namespaces::and);
    in_child(ForkOptions { namespaces, ..ForkOptions::default() }, || true)
}

fn birth_in_cgroup() -> Result<(), Failure> {
    let group = Cgroup::at(&Layout::detect()?, None, &format!("berth-probe-birth-{}", process::own_pid()))?;
    group.ensure_bare()?;
    let born = group
        .open()
        .and_then(|place| in_child(ForkOptions { cgroup: Some(place.as_fd()), ..ForkOptions::default() }, || true));
    born.and(group.remove())
}

/// Rehearses the layers of a start in `TMPDIR`, in a child whose mounts end with it. A full disk says nothing of them.
fn overlay() -> Result<String, Failure> {
    let Some(place) = make_place(&std::env::temp_dir())? else {
        return Ok("not tried: the file system is full".to_owned());
    };
    let (lower, disk) = (place.join("lower"), place.join("disk"));
    for folder in [&lower, &disk] {
        std::fs::create_dir_all(folder).step("make a directory for the probe")?;
    }
    let reason = place.join("reason");
    let tried = in_child(ForkOptions::default(), || match rehearse(&place, &lower, &disk) {
        Ok(()) => true,
        // The child's memory ends with it.
        Err(failure) => std::fs::write(&reason, serde_json::to_vec(&failure).unwrap_or_default()).is_err(),
    });
    let told = std::fs::read(&reason).ok().and_then(|text| serde_json::from_slice(&text).ok());
    std::fs::remove_dir_all(&place).step("remove the probe's directory")?;
    told.map_or(tried, Err).map(|()| String::new())
}

/// Makes the folder, or nothing if what the probe makes has no room. Others may write where it is made (`/tmp`): it is
/// new, or the probe fails, and nobody else may enter it.
fn make_place(above: &Path) -> Result<Option<PathBuf>, Failure> {
    let chance = u128::from_ne_bytes(random::bytes().step("draw a name for the probe")?);
    let place = above.join(format!("{PLACE_PREFIX}{}-{chance:032x}", process::own_pid()));
    let trial = place.join("room");
    let made = std::fs::DirBuilder::new().mode(0o700).create(&place);
    let tried = made.and_then(|()| std::fs::write(&trial, vec![1; ROOM])).and_then(|()| std::fs::remove_file(&trial));
    match tried {
        Err(error) if crate::sys::fs::is_full(&error) => {
            let _ = std::fs::remove_dir_all(&place);
            Ok(None)
        }
        other => other.step("make a directory for the probe").map(|()| Some(place)),
    }
}

fn rehearse(place: &Path, lower: &Path, folder: &Path) -> Result<(), Failure> {
    let directory = Disk::Directory { path: folder.to_owned() };
    stage::enter(&place.join("stage"), &BTreeSet::from([place.to_owned()]))?;
    disk::mount_disk(&directory)?;
    launch::rehearse_overlay(lower, IdRange { base: 1_000_000_000, count: 65_536 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_probe_is_new_and_its_own() {
        use std::os::unix::fs::PermissionsExt as _;
        let above = tempfile::tempdir().unwrap();
        let [first, second] = [0, 1].map(|_| make_place(above.path()).unwrap().unwrap());
        assert_ne!(first, second, "nobody can stand there first");
        assert_eq!(first.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(std::fs::read_dir(&first).unwrap().count(), 0);
        assert!(make_place(&above.path().join("not-there")).is_err());
    }
}
