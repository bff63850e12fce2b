//! The engine as a whole: trees into stores and back, stores that break, processes that die.

mod crash;
mod dying;
mod fidelity;
mod flow;
mod outward;
mod overlay;
mod stores;

use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::sys::fs::xattr;
use crate::sys::fs::{AsFd, Extent, OwnedFd, extents, open_root, remove_tree};
use crate::types::{BackupId, Clock, ContainerId, NodeId, StoreId, Timestamp};

/// A clock that stands still: far ahead nothing is racy, at zero everything is.
pub(super) struct Still(pub i64);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0)
    }
}

pub(super) const LATER: i64 = 90_000_000_000_000_000;

/// A place with a store, keys, caches and trees in it, gone at the end whatever marks its files bear.
pub(super) struct Bench {
    place: tempfile::TempDir,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let root = open_root(self.place.path()).unwrap();
        for name in crate::sys::fs::names(root.as_fd()).unwrap() {
            remove_tree(root.as_fd(), &name).unwrap();
        }
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// Makes one whose files have a disk to be written to: a tmpfs, as many a `/tmp` is, keeps its pages dirty for ever.
    pub(super) fn on_disk() -> Option<Self> {
        let kind = |place: &PathBuf| Command::new("stat").args(["-f", "-c", "%T"]).arg(place).output();
        let is_disk =
            |place: &PathBuf| kind(place).is_ok_and(|said| said.status.success() && said.stdout != b"tmpfs\n");
        let mut places = [std::env::temp_dir(), "/var/tmp".into()].into_iter();
        places.find(is_disk).map(|place| Self::within(&place))
    }

    fn within(place: &Path) -> Self {
        let bench = Self { place: tempfile::Builder::new().prefix("berth-repository.").tempdir_in(place).unwrap() };
        for name in ["store", "keys", "cache", "tree"] {
            std::fs::create_dir(bench.path(name)).unwrap();
        }
        bench
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub(super) fn dir(&self, name: &str) -> OwnedFd {
        let path = self.path(name);
        if !path.exists() {
            std::fs::create_dir(&path).unwrap();
        }
        open_root(&path).unwrap()
    }

    pub(super) fn access(&self) -> Access {
        Access {
            place: self.path("store").display().to_string(),
            key_directory: self.path("keys"),
            cache_directory: self.path("cache"),
            node: NodeId::derived("this"),
            epoch: 1,
        }
    }

    pub(super) fn medium(&self) -> Box<dyn Medium> {
        Box::new(Directory::open(&self.path("store")).unwrap())
    }

    pub(super) fn create(&self) -> (Repository, RecoveryKey) {
        Repository::create(self.medium(), StoreId::derived("store"), self.access()).unwrap()
    }

    pub(super) fn open(&self) -> Repository {
        Repository::open(self.medium(), self.access(), Purpose::Write, None).unwrap()
    }

    pub(super) fn restored(&self, repository: &Repository, id: BackupId, name: &str, ids: IdMap) -> RestoreReport {
        let catalogue = repository.catalogue(&repository.manifest(id).unwrap().catalogue).unwrap();
        let target = self.dir(name);
        require_empty(target.as_fd()).unwrap();
        let reader = Reader::new(repository.clone());
        let entries = select(catalogue.entries(), Vec::new());
        restore(entries, &reader, target.as_fd(), &restore_options(ids), &mut |_| {}).unwrap()
    }
}

pub(super) fn restore_options(ids: IdMap) -> RestoreOptions {
    RestoreOptions { ids, outward: None, overwrite: None, closed: Vec::new(), cancelled: Arc::default() }
}

pub(super) fn options() -> BackupOptions {
    BackupOptions {
        ids: IdMap::IDENTITY,
        full: false,
        base: None,
        exclude: Vec::new(),
        clock: Arc::new(Still(LATER)),
        cancelled: Arc::new(AtomicBool::new(false)),
    }
}

pub(super) fn particulars(name: &str) -> Particulars {
    Particulars {
        id: BackupId::derived(name),
        container: ContainerId::derived("web"),
        name: "web".to_owned(),
        started_at: Timestamp::from_micros(1),
        finished_at: Timestamp::from_micros(2),
        template: None,
        configuration: b"{\"memory\":1}".to_vec(),
        note: "a note".to_owned(),
        exceptions: Vec::new(),
    }
}

pub(super) fn back_up(repository: &Repository, root: &OwnedFd, options: BackupOptions, name: &str) -> Result<Manifest> {
    let mut session = Session::begin(repository, options)?;
    session.live_pass(root.as_fd(), &mut |_| {})?;
    session.commit(particulars(name))
}

/// Everything about one name, looked at by other means than the engine's own walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub kind_and_mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub modified: (i64, i64),
    pub size: u64,
    pub node: u64,
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    pub target: Option<PathBuf>,
    pub content: Option<[u8; 32]>,
    pub extents: Option<Vec<Extent>>,
    pub flags: u32,
    pub first_name: PathBuf,
}

pub(super) fn facts(root: &Path) -> BTreeMap<PathBuf, Facts> {
    let mut found = BTreeMap::new();
    let mut links = HashMap::new();
    look(root, Path::new(""), &mut found, &mut links);
    found
}

fn look(root: &Path, path: &Path, found: &mut BTreeMap<PathBuf, Facts>, links: &mut HashMap<u64, PathBuf>) {
    let whole = root.join(path);
    let metadata = std::fs::symlink_metadata(&whole).unwrap();
    let kind = metadata.file_type();
    let attributes = if path.as_os_str().is_empty() {
        xattr::read(open_root(&whole).unwrap().as_fd())
    } else {
        let parent = open_root(whole.parent().unwrap()).unwrap();
        xattr::read_at(parent.as_fd(), whole.file_name().unwrap().as_bytes())
    };
    let open = (kind.is_file() || kind.is_dir()).then(|| std::fs::File::open(&whole).unwrap());
    let marks = open.as_ref().map_or(0, |file| crate::sys::fs::flags(file.as_fd()).unwrap());
    let one = Facts {
        kind_and_mode: metadata.mode(),
        uid: metadata.uid(),
        gid: metadata.gid(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        size: if kind.is_dir() { 0 } else { metadata.size() },
        node: metadata.rdev(),
        attributes: attributes.unwrap(),
        target: kind.is_symlink().then(|| std::fs::read_link(&whole).unwrap()),
        content: kind.is_file().then(|| *blake3::hash(&std::fs::read(&whole).unwrap()).as_bytes()),
        extents: open.filter(|_| kind.is_file()).map(|file| extents(file.as_fd(), metadata.size()).unwrap()),
        flags: crate::sys::fs::user_settable_flags(marks),
        first_name: if kind.is_dir() {
            path.to_owned()
        } else {
            links.entry(metadata.ino()).or_insert(path.to_owned()).clone()
        },
    };
    found.insert(path.to_owned(), one);
    if kind.is_dir() {
        let mut names: Vec<_> = std::fs::read_dir(&whole).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            look(root, &path.join(name), found, links);
        }
    }
}

pub(super) fn assert_same(left: &BTreeMap<PathBuf, Facts>, right: &BTreeMap<PathBuf, Facts>) {
    for (path, facts) in left {
        assert_eq!(Some(facts), right.get(path), "{}", path.display());
    }
    assert_eq!(left.len(), right.len());
}

pub(super) fn noise(count: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; count];
    blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut bytes);
    bytes
}
