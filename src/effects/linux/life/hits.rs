//! How often a running container ran into its limits: the kernel counts, and is asked every few seconds.
//!
//! It counts for as long as the container's control group is there, whoever looks. So nothing is lost while no daemon runs:
//! the next one compares what it finds with what the log last said, and what was counted at the end stands in the
//! supervisor's record of it. A disk has no counter; one that is full and has room again between two looks is not noticed.
//! Its file system counts warnings, of which only those tell of lost writes that came while the host had no room.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::out_of_memory::{self, Found};
use crate::effects::Change;
use crate::events::ProcessIdentity;
use crate::kernel::cgroup::{Cgroup, Layout};
use crate::kernel::disk;
use crate::shim::protocol::{Disk, ExitRecord, Spec};
use crate::shim::record;
use crate::sys::{ext4, mount};
use crate::types::{ContainerId, DiskFaults, Hits};

/// How long between two looks.
const ROUND: Duration = Duration::from_secs(5);
/// How long nothing more is told of a kind that was told: a container that runs into its limit all the time fills no log.
const INTERVAL: Duration = Duration::from_mins(1);
/// A disk with less room than this is full: a file system keeps a little for itself when it refuses already.
const FULL: u64 = 1 << 20;
/// One with this much, and at least this part of it, has room again.
const ROOM: u64 = 2 << 20;
const ROOM_PART: u64 = 50;

/// Is a container that is looked at.
pub(in crate::effects::linux) struct Watched {
    container: ContainerId,
    init: ProcessIdentity,
    group: Cgroup,
    disk: Option<OwnDisk>,
    warnings: Warnings,
    bounds: Bounds,
    next: Instant,
}

impl Watched {
    /// Finds what there is to look at while this first process runs.
    pub(in crate::effects::linux) fn find(
        container: ContainerId,
        directory: &Path,
        init: ProcessIdentity,
    ) -> Option<Self> {
        let spec = Spec::load(directory).ok()?;
        let group = group_of(&spec)?;
        let disk = own_disk(&spec, directory);
        let (warnings, bounds, next) = (Warnings::default(), Bounds::default(), Instant::now());
        Some(Self { container, init, group, disk, warnings, bounds, next })
    }

    /// Returns how long there is to wait until the next look.
    pub(in crate::effects::linux) fn pause(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Looks, if it is time, and returns what is to be told.
    pub(in crate::effects::linux) fn look(&mut self, now: Instant) -> Option<Change> {
        if now < self.next {
            return None;
        }
        self.next = now + ROUND;
        let (kills, refused) = self.group.hits();
        let is_full = self.disk.as_ref().and_then(|disk| fullness(&disk.mounted));
        let known = self.bounds.told; // what cannot be read now has not become less
        let faults = self.disk.as_ref().and_then(|disk| disk.faults(&mut self.warnings)).unwrap_or(known.faults);
        let (kills, refused) = (kills.unwrap_or(known.kills), refused.unwrap_or(known.refused));
        let told = self.bounds.pass(Seen { kills, refused, is_full, faults }, now)?;
        let hits = hits_of(told, Some(&self.group), &self.init);
        Some(Change::Counted { container: self.container, init: self.init.clone(), hits: Box::new(hits) })
    }
}

/// Returns what was counted until a container ended.
pub(in crate::effects::linux) fn at_the_end(directory: &Path, exit: &ExitRecord, init: &ProcessIdentity) -> Hits {
    let spec = Spec::load(directory).ok();
    let disk = spec.as_ref().and_then(|spec| own_disk(spec, directory));
    let counted = Seen {
        kills: exit.statistics.oom_kills.unwrap_or(0),
        refused: exit.statistics.pids_refused.unwrap_or(0),
        is_full: None,
        faults: disk.and_then(|disk| disk.faults(&mut Warnings::default())).unwrap_or_default(),
    };
    hits_of(counted, spec.as_ref().and_then(group_of).as_ref(), init)
}

fn group_of(spec: &Spec) -> Option<Cgroup> {
    spec.cgroup.as_ref()?.group(&Layout::detect().ok()?).ok()
}

fn hits_of(counted: Seen, group: Option<&Cgroup>, init: &ProcessIdentity) -> Hits {
    let Seen { kills, refused, is_full, faults } = counted;
    let path = group.filter(|_| kills > 0).and_then(Cgroup::memory_path);
    let Found { victims, bound, init_killed } =
        path.map_or_else(Found::default, |path| out_of_memory::find(&path, init));
    Hits { kills, refused, is_full, faults: Some(faults), victims, bound, init_killed }
}

/// A disk that has a file system of its own.
fn own_disk(spec: &Spec, directory: &Path) -> Option<OwnDisk> {
    let path = match &spec.disk {
        Disk::Directory { .. } => return None,
        Disk::Image { path, .. } | Disk::Device { path, .. } => path.clone(),
    };
    Some(OwnDisk { path, mounted: mounted_disk(directory)? })
}

/// Is a disk that has a file system of its own.
struct OwnDisk {
    /// Where it lies.
    path: PathBuf,
    mounted: PathBuf,
}

impl OwnDisk {
    /// Asks its file system what failed; nothing where that is not ext4.
    fn faults(&self, known: &mut Warnings) -> Option<DiskFaults> {
        let (errors, warnings) = ext4::failures(&ext4::name_of_device(&self.mounted).ok()?)?;
        let has_room = mount::room(&self.path).is_ok_and(|room| room.bytes_free >= DiskFaults::HOST_ROOM.as_bytes());
        Some(DiskFaults { errors, warnings: known.look(warnings, !has_room) })
    }
}

/// Is what is known of a file system's warnings from one look to the next.
#[derive(Default)]
struct Warnings {
    seen: u64,
    was_short: bool,
    /// How many there were when last some came while the host had no room.
    lost: u64,
}

impl Warnings {
    /// Returns how many are to be told. What came since the last look came without room if there was none then or is none now.
    fn look(&mut self, count: u64, is_short: bool) -> u64 {
        if count > self.seen && (is_short || self.was_short) {
            self.lost = count;
        }
        (self.seen, self.was_short) = (count, is_short);
        self.lost
    }
}

/// The disk as the container's supervisor has it mounted: a path that nothing of the container can lead elsewhere.
fn mounted_disk(directory: &Path) -> Option<PathBuf> {
    let shim = record::living_shim(directory).ok()??;
    Some(PathBuf::from(format!("/proc/{}/cwd/{}", shim.process.pid, disk::DISK)))
}

/// Says whether a disk is full; nothing where it is neither that nor has room to speak of.
fn fullness(disk: &Path) -> Option<bool> {
    let room = mount::room(disk).ok()?;
    if room.bytes_free < FULL || (room.files > 0 && room.files_free == 0) {
        return Some(true);
    }
    let (bytes, files) = room_of(&room);
    (room.bytes_free >= bytes && room.files_free >= files).then_some(false)
}

/// Returns how many bytes and how many files have to be free for a disk to have room.
pub(in crate::effects::linux) fn room_of(disk: &mount::Room) -> (u64, u64) {
    (ROOM.max(disk.bytes / ROOM_PART), disk.files / ROOM_PART)
}

/// Is one look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    kills: u64,
    refused: u64,
    is_full: Option<bool>,
    faults: DiskFaults,
}

/// Holds back what was told a short while ago.
#[derive(Debug, Default)]
struct Bounds {
    told: Seen,
    /// When news of each kind were told last.
    at: [Option<Instant>; 4],
    /// When anything was.
    last: Option<Instant>,
    /// Whether there was ever anything to tell.
    was_hit: bool,
}

impl Bounds {
    /// Returns what of a look is to be told now. What was told is told again after a while, should nobody have heard it.
    fn pass(&mut self, seen: Seen, now: Instant) -> Option<Seen> {
        let is_over = |at: Option<Instant>| at.is_none_or(|at| now.duration_since(at) >= INTERVAL);
        // That there is room ends what was told, or is no news: it waits for nothing and holds nothing back.
        let has_room = seen.is_full == Some(false);
        let due = self.news(seen).map(|kind| kind.filter(|kind| (*kind == 2 && has_room) || is_over(self.at[*kind])));
        for kind in due.into_iter().flatten().filter(|kind| *kind != 2 || !has_room) {
            self.at[kind] = Some(now);
        }
        self.told = Seen {
            kills: if due[0].is_some() { seen.kills } else { self.told.kills },
            refused: if due[1].is_some() { seen.refused } else { self.told.refused },
            is_full: if due[2].is_some() { seen.is_full } else { self.told.is_full },
            faults: if due[3].is_some() { seen.faults } else { self.told.faults },
        };
        let Seen { kills, refused, is_full, faults } = self.told;
        self.was_hit |= kills > 0 || refused > 0 || is_full == Some(true) || faults != DiskFaults::default();
        let again = self.was_hit && is_over(self.last);
        if due == [None; 4] && !again {
            return None;
        }
        self.last = Some(now);
        Some(self.told)
    }

    /// Says which kinds have changed since they were told.
    fn news(&self, seen: Seen) -> [Option<usize>; 4] {
        let told = self.told;
        let changed = [
            seen.kills != told.kills,
            seen.refused != told.refused,
            seen.is_full.is_some() && seen.is_full != told.is_full,
            seen.faults != told.faults,
        ];
        [0, 1, 2, 3].map(|kind| Some(kind).filter(|kind| changed[*kind]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(kills: u64, refused: u64, is_full: Option<bool>) -> Seen {
        Seen { kills, refused, is_full, faults: DiskFaults::default() }
    }

    #[test]
    fn each_kind_is_told_at_once_and_then_once_in_an_interval() {
        let (mut bounds, begun) = (Bounds::default(), Instant::now());
        let mut pass = |seconds: u64, seen| bounds.pass(seen, begun + Duration::from_secs(seconds));
        assert_eq!(pass(0, seen(0, 0, None)), None);
        assert_eq!(pass(5, seen(2, 0, None)), Some(seen(2, 0, None)));
        for second in [10, 30, 60] {
            assert_eq!(pass(second, seen(100 * second, 0, None)), None, "{second}");
        }
        // Another kind does not wait, and takes nothing of the first along.
        assert_eq!(pass(61, seen(7000, 3, None)), Some(seen(2, 3, None)));
        assert_eq!(pass(65, seen(8000, 900, None)), Some(seen(8000, 3, None)));
        assert_eq!(pass(121, seen(8000, 950, None)), Some(seen(8000, 950, None)));
    }

    #[test]
    fn a_disk_that_has_room_again_is_told_at_once_and_the_next_time_it_fills_once_in_an_interval() {
        let (mut bounds, begun) = (Bounds::default(), Instant::now());
        let mut pass = |seconds: u64, full| bounds.pass(seen(0, 0, Some(full)), begun + Duration::from_secs(seconds));
        assert_eq!(pass(0, false).map(|told| told.is_full), Some(Some(false)));
        assert_eq!(pass(0, true).map(|told| told.is_full), Some(Some(true)));
        assert_eq!(pass(1, false).map(|told| told.is_full), Some(Some(false)));
        assert!((2..60).all(|second| pass(second, second % 2 == 0).is_none()));
        assert_eq!(pass(60, true).map(|told| told.is_full), Some(Some(true)));
        assert_eq!(pass(65, false).map(|told| told.is_full), Some(Some(false)));
    }

    #[test]
    fn only_warnings_that_came_while_the_host_had_no_room_are_told() {
        let mut known = Warnings::default();
        let looks = [(2, false), (2, true), (5, true), (5, false), (9, false), (9, true), (11, false), (12, false)];
        let told = looks.map(|(count, is_short)| known.look(count, is_short));
        assert_eq!(told, [0, 0, 5, 5, 5, 5, 11, 11]);
    }

    #[test]
    fn what_was_told_is_told_again_after_a_while() {
        let (mut bounds, begun) = (Bounds::default(), Instant::now());
        assert!(bounds.pass(seen(1, 0, None), begun).is_some());
        assert_eq!(bounds.pass(seen(1, 0, None), begun + INTERVAL), Some(seen(1, 0, None)));
    }
}
