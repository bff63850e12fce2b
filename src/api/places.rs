//! Places of the node that are somebody's: what the daemon keeps for itself, and the stores.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use futures_util::future::try_join_all;

use super::edge::Edge;
use super::look::in_time;
use super::problem::ApiResult;
use crate::effects::patience::Looks;
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

/// Says whose a place is that a path leads to; nothing if it is free.
pub(super) async fn taken(edge: &Edge, wanted: &Path) -> ApiResult<Option<Taken>> {
    if let Some(directory) = edge.ports.node.directories.iter().find(|directory| wanted.starts_with(real(directory))) {
        return Ok(Some(Taken::ByDaemon(directory.clone())));
    }
    let stores = edge.ask(|query| query.stores(false, Moment::Now)).await?;
    let places = try_join_all(stores.iter().map(|store| leads_to(&store.path))).await?;
    // One that does not answer goes by the name that it was given.
    let places = stores.iter().zip(places).map(|(store, place)| place.unwrap_or_else(|| PathBuf::from(&store.path)));
    let found = stores.iter().zip(places).find(|(_, place)| wanted.starts_with(place));
    Ok(found.map(|(store, place)| Taken::ByStore { store: store.name.clone(), place }))
}

/// Returns where a path leads, if it answers.
pub(super) async fn leads_to(path: &str) -> ApiResult<Option<PathBuf>> {
    static LOOKS: LazyLock<Looks<PathBuf, PathBuf>> = LazyLock::new(Looks::default);
    in_time(&LOOKS, path, real).await
}

/// Returns where a path leads: symbolic links are followed as far as it is there.
fn real(path: &Path) -> PathBuf {
    let missing = |above: &Path| Some(real(above).join(path.file_name()?));
    std::fs::canonicalize(path).ok().or_else(|| path.parent().and_then(missing)).unwrap_or_else(|| path.to_owned())
}
