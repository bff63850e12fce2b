//! Backup stores: where each one lies, and the open repository behind it.
//!
//! The place of a store is a small file in the state directory; its key and its recovery key lie in the key directory,
//! which is outside. A repository is made beside its place under another name and moved there when it is whole.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::each::Each;
use super::failure::cannot;
use super::host::{LinuxHost, lock};
use super::listing::known_entries;
use super::paths::{ensure_directory, sync_directory};
use crate::domain::RefusalClass;
use crate::domain::effect::{Facts, Failure, FailureKind};
use crate::effects::patience::{AT_ONCE, Answer, Unheard};
use crate::effects::steps::StepName;
use crate::repository::{self, Access, Directory, Purpose, Repository, WeakRepository};
use crate::shim::record;
use crate::sys::fs::is_full;
use crate::types::{NodeId, StoreId};

/// How long the place of a store may take to answer somebody who only wants to know.
const GLANCE: Duration = Duration::from_secs(2);
/// How long each try may wait for it where there is work in it: a disk spins up, an automount mounts, a server is busy.
const PATIENCE: Duration = Duration::from_secs(8);

/// Knows the stores that are open. Each has a lock of its own: one that does not answer while it is opened is nobody else's.
pub(super) type Repositories = Each<StoreId, Option<WeakRepository>>;

#[derive(Serialize, Deserialize)]
struct Place {
    path: PathBuf,
    /// Where that led when the store was made: of one that does not answer nobody can find it out.
    real: Option<PathBuf>,
}

/// Turns what a repository says into a failure; a place that is busy may become free.
pub(super) fn repository_failure(error: repository::Error) -> Failure {
    let kind = match &error {
        repository::Error::Cancelled => FailureKind::Cancelled,
        repository::Error::Locked { .. } => FailureKind::Transient,
        _ => FailureKind::Permanent,
    };
    Failure::new(kind, chain(&error)).classed(class_of(&error))
}

fn class_of(error: &repository::Error) -> Option<RefusalClass> {
    use repository::Error::{Exists, Fenced, Full, Io, Locked, Missing, NotEmpty, ReadOnly};
    match error {
        Full { .. } => Some(RefusalClass::Limit),
        Io { source, .. } if is_full(source) => Some(RefusalClass::Limit),
        Missing { .. } => Some(RefusalClass::NotFound),
        Locked { .. } | Exists { .. } | NotEmpty { .. } | ReadOnly { .. } | Fenced { .. } => {
            Some(RefusalClass::Conflict)
        }
        _ => None,
    }
}

/// Returns an error with all its causes: they are told once, here, where they leave as words.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

impl LinuxHost {
    fn stores(&self) -> PathBuf {
        self.options.paths.root().join("stores")
    }

    fn recovery_file(&self, store: StoreId) -> PathBuf {
        self.options.key_dir.join(format!("store-{store}.recovery"))
    }

    fn access(&self, path: &Path, node: NodeId) -> Access {
        Access {
            place: path.display().to_string(),
            key_directory: self.options.key_dir.clone(),
            cache_directory: self.options.paths.root().join("cache"),
            node,
            epoch: 1,
        }
    }

    pub(super) fn store(&self, store: StoreId, path: &str, node: NodeId, step: StepName) -> Result<Facts, Failure> {
        let path = Path::new(path);
        if step == "repository" {
            ensure_directory(&self.options.paths.root().join("cache"))?;
            ensure_directory(&self.options.key_dir)?;
            if !path.join("config").exists() {
                self.make_repository(store, path, node)?;
            }
            return Ok(Facts::None);
        }
        ensure_directory(&self.stores())?;
        let place = serde_json::to_vec(&Place { path: path.to_owned(), real: path.canonicalize().ok() })
            .map_err(std::io::Error::from);
        let written = place
            .and_then(|place| crate::sys::fs::durable::replace(&self.stores().join(format!("{store}.json")), &place));
        written.map_err(cannot("write the place of store", store))?;
        let repository = self.repository(store)?;
        let recovery = self.recovery_text(store)?;
        let fingerprint = blake3::hash(recovery.trim().as_bytes()).to_hex();
        Ok(Facts::Repository {
            repository: repository.id().to_string(),
            recovery_fingerprint: fingerprint[..16].to_owned(),
        })
    }

    /// Makes a repository beside its place and moves it there: a crash leaves no store without its recovery key, and a
    /// failure leaves nothing.
    fn make_repository(&self, store: StoreId, path: &Path, node: NodeId) -> Result<(), Failure> {
        let parent = path.parent().ok_or_else(|| Failure::permanent("the root directory cannot be a store"))?;
        std::fs::create_dir_all(parent).map_err(cannot("make", parent.display()))?;
        require_room(path)?;
        let beside = parent.join(format!(".berth-store-{store}"));
        self.clear_attempt(store, &beside)?;
        let made = self.make_beside(store, &beside, path, node);
        if made.is_err() {
            self.clear_attempt(store, &beside)?;
        }
        made?;
        sync_directory(parent).map_err(cannot("sync", parent.display()))
    }

    fn make_beside(&self, store: StoreId, beside: &Path, path: &Path, node: NodeId) -> Result<(), Failure> {
        ensure_directory(beside)?;
        let medium = Directory::open(beside).map_err(cannot("open", beside.display()))?;
        let made = Repository::create(Box::new(medium), store, self.access(path, node));
        let (repository, recovery) = made.map_err(repository_failure)?;
        drop(repository);
        let text = recovery.to_text();
        let written = write_secret(&self.recovery_file(store), &text);
        written.and_then(|()| sync_directory(&self.options.key_dir)).map_err(cannot("write", "the recovery key"))?;
        std::fs::rename(beside, path).map_err(cannot("move the store to", path.display()))
    }

    /// Removes what an attempt that did not end, or failed, has made.
    fn clear_attempt(&self, store: StoreId, beside: &Path) -> Result<(), Failure> {
        for key in [self.options.key_dir.join(format!("store-{store}.key")), self.recovery_file(store)] {
            let _ = std::fs::remove_file(key); // there may be none
        }
        crate::effects::linux::life::stop::remove_folder(beside)
    }

    /// Returns the open repository of a store, opened once for as long as somebody uses it: what lies idle is let go, so
    /// that its disk can be taken out.
    pub(super) fn repository(&self, store: StoreId) -> Result<Repository, Failure> {
        self.store_is_there(store)?;
        let place = self.repositories.of(store);
        let mut open = lock(&place);
        let path = self.place_of(store)?;
        if let Some(repository) = open.take().and_then(|known| known.upgrade())
            && path.join("config").exists()
        {
            *open = Some(repository.downgrade());
            return Ok(repository);
        }
        if !path.join("config").exists() {
            return Err(not_there(&path));
        }
        let medium = Directory::open(&path).map_err(cannot("open the store in", path.display()))?;
        let access = self.access(&path, self.options.node);
        let repository = Repository::open(Box::new(medium), access, Purpose::Write, None);
        let repository = repository.map_err(repository_failure)?;
        *open = Some(repository.downgrade());
        Ok(repository)
    }

    fn store_is_there(&self, store: StoreId) -> Result<(), Failure> {
        let (look, path) = self.look_at(store)?;
        look.before(Instant::now() + PATIENCE).unwrap_or_else(|why| Err(unheard(&path, why)))
    }

    /// Looks whether what lies in the places of stores is them, and this node has its keys to them. Many are looked at at
    /// once, and one whose disk or server does not answer is not waited for: who asks while a look hangs hears so at once.
    pub(super) fn stores_are_there(&self, stores: &[StoreId]) -> Vec<Result<(), Failure>> {
        stores.chunks(AT_ONCE).flat_map(|some| self.are_there(some)).collect()
    }

    fn are_there(&self, stores: &[StoreId]) -> Vec<Result<(), Failure>> {
        let begun: Vec<Result<_, Failure>> = stores.iter().map(|store| self.look_at(*store)).collect();
        let heard =
            |(look, path): (Answer<_>, PathBuf)| look.within(GLANCE).unwrap_or_else(|why| Err(unheard(&path, why)));
        let there = begun.into_iter().map(|look| look.and_then(heard));
        stores.iter().zip(there).map(|(store, there)| there.and_then(|()| self.has_key(*store))).collect()
    }

    /// Returns where the stores of this node lie. One elsewhere that does not answer is left out.
    ///
    /// # Errors
    /// One below this place does not answer.
    pub(super) fn places_of_stores(&self, below: &Path) -> Result<Vec<PathBuf>, Failure> {
        let id = |name: &OsStr| name.to_str()?.strip_suffix(".json")?.parse().ok();
        let entries = known_entries(&self.stores());
        let stores: Vec<StoreId> = entries.into_iter().filter_map(|entry| id(&entry.file_name())).collect();
        let mut places = Vec::new();
        for some in stores.chunks(AT_ONCE) {
            let begin = |store: &StoreId| Some((self.look_at(*store).ok()?, self.place(*store).ok()?.real));
            let begun: Vec<_> = some.iter().filter_map(begin).collect();
            let until = Instant::now() + PATIENCE;
            for ((look, path), real) in begun {
                match look.before(until) {
                    Ok(_) => places.push(path),
                    Err(why) if real.as_ref().unwrap_or(&path).starts_with(below) => return Err(unheard(&path, why)),
                    Err(_) => {}
                }
            }
        }
        Ok(places)
    }

    fn has_key(&self, store: StoreId) -> Result<(), Failure> {
        repository::has_key(&self.options.key_dir, store).map_err(repository_failure)
    }

    fn look_at(&self, store: StoreId) -> Result<(Answer<Result<(), Failure>>, PathBuf), Failure> {
        let path = self.place_of(store)?;
        let own = path.clone();
        Ok((self.store_looks.begin(&store, &path, move || is_there(&own, store)), path))
    }

    fn place_of(&self, store: StoreId) -> Result<PathBuf, Failure> {
        self.place(store).map(|place| place.path)
    }

    fn place(&self, store: StoreId) -> Result<Place, Failure> {
        let place = record::read::<Place>(&self.stores(), &format!("{store}.json"));
        let place = place.map_err(cannot("read the place of store", store))?;
        place.ok_or_else(|| Failure::permanent(format!("this node has no store {store}")))
    }

    pub(super) fn recovery_text(&self, store: StoreId) -> Result<String, Failure> {
        let path = self.recovery_file(store);
        std::fs::read_to_string(&path).map_err(cannot("read the recovery key in", path.display()))
    }
}

fn is_there(path: &Path, store: StoreId) -> Result<(), Failure> {
    if !path.join("config").exists() {
        return Err(not_there(path));
    }
    let medium = Directory::open(path).map_err(cannot("open the store in", path.display()))?;
    let found = repository::store_of(&medium).map_err(repository_failure)?;
    if found != store {
        return Err(Failure::permanent(format!("another store is in {}", path.display())));
    }
    Ok(())
}

fn unheard(path: &Path, why: Unheard) -> Failure {
    let path = path.display();
    Failure::transient(match why {
        Unheard::Silent => format!("the store in {path} does not answer: is its disk or its server reachable?"),
        Unheard::Crowded => format!("the store in {path} was not looked at: too many others do not answer"),
    })
}

fn not_there(path: &Path) -> Failure {
    Failure::permanent(format!("the store in {} is not there: is its disk mounted?", path.display()))
}

/// Refuses a place that is something already.
fn require_room(path: &Path) -> Result<(), Failure> {
    let Some(wrong) = repository::occupied(path) else { return Ok(()) };
    Err(Failure::permanent(format!("{} {wrong}; choose an empty directory", path.display())))
}

fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_store_is_a_limit_and_one_in_use_a_conflict() {
        let full = || std::io::Error::from_raw_os_error(28);
        let locked = repository::Error::Locked { path: "x".to_owned() };
        for (error, class) in [
            (repository::Error::store("write", "packs")(full()), Some(RefusalClass::Limit)),
            (repository::Error::io("write", "the restored tree")(full()), Some(RefusalClass::Limit)),
            (repository::Error::Missing { what: "backup x".to_owned() }, Some(RefusalClass::NotFound)),
            (locked, Some(RefusalClass::Conflict)),
            (repository::Error::damaged("pack x", "it is too short"), None),
        ] {
            assert_eq!(repository_failure(error).class, class);
        }
    }
}
