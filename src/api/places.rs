//! Places of the node that are somebody's: what the daemon keeps for itself, and the stores.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::edge::Edge;
use super::look::in_time;
use super::problem::{ApiError, ApiResult};
use crate::effects::patience::{AT_ONCE, Looks, Unheard};
use crate::projections::query::Moment;
use crate::types::Name;

/// Says whose a place is.
pub(super) enum Taken {
    /// It lies in a directory that the daemon keeps for itself.
    ByDaemon(PathBuf),
    /// It is a store, or lies in one.
    ByStore {
        /// Which.
        store: Name,
        /// Where that one is.
        place: PathBuf,
    },
}

/// Knows all places that are somebody's, by where they lead.
pub(super) struct Places {
    own: Vec<(PathBuf, PathBuf)>,
    stores: Vec<(Name, PathBuf)>,
}

impl Places {
    /// Looks where they lead. One that does not answer goes by the name that it was given.
    pub(super) async fn of(edge: &Edge) -> ApiResult<Self> {
        let own = edge.ports.node.directories.clone();
        let stores = edge.ask(|query| query.stores(false, Moment::Now)).await?;
        let named = own.iter().cloned().chain(stores.iter().map(|store| PathBuf::from(&store.path)));
        let led = named.map(async |path| Ok::<_, ApiError>(leads_to(&path).await?.unwrap_or(path)));
        let all: Vec<_> = stream::iter(led).buffered(AT_ONCE).try_collect().await?;
        let (led, places) = all.split_at(own.len());
        let stores = stores.into_iter().map(|store| store.name).zip(places.iter().cloned()).collect();
        Ok(Self { own: own.into_iter().zip(led.iter().cloned()).collect(), stores })
    }

    /// Says whose a place is that a path leads to; nothing if it is free.
    pub(super) fn taken(&self, wanted: &Path) -> Option<Taken> {
        if let Some((directory, _)) = self.own.iter().find(|(_, place)| wanted.starts_with(place)) {
            return Some(Taken::ByDaemon(directory.clone()));
        }
        let (store, place) = self.stores.iter().find(|(_, place)| wanted.starts_with(place))?;
        Some(Taken::ByStore { store: store.clone(), place: place.clone() })
    }
}

/// Returns where a path leads, if it answers. What hangs is kept by its path, and no more than are looked at at once.
pub(super) async fn leads_to(path: &Path) -> ApiResult<Result<PathBuf, Unheard>> {
    static LOOKS: LazyLock<Looks<PathBuf, PathBuf>> = LazyLock::new(Looks::default);
    in_time(&LOOKS, path, real).await
}

/// Returns where a path leads: symbolic links are followed as far as it is there.
fn real(path: &Path) -> PathBuf {
    let missing = |above: &Path| Some(real(above).join(path.file_name()?));
    std::fs::canonicalize(path).ok().or_else(|| path.parent().and_then(missing)).unwrap_or_else(|| path.to_owned())
}
