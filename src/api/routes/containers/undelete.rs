//! Where a container comes back to: the network and the address that it had, or others.

use super::create::{NO_NETWORK, address};
use crate::api::edge::Edge;
use crate::api::problem::{ApiError, ApiResult};
use crate::api::resources::UndeleteRequest;
use crate::domain::network::{self, Network};
use crate::domain::{Refusal, RefusalClass};
use crate::events::AddressRequest;
use crate::projections::query::QueryError;
use crate::projections::rows::{ContainerRow, NetworkRow};
use crate::types::{Category, NetworkId, StreamName};

/// The word for any free address.
const ANY_ADDRESS: &str = "auto";

/// Returns the network and the address that are chosen anew; nothing if none is. Refuses what cannot be had, with the
/// command that can.
pub(super) async fn place(
    edge: &Edge,
    row: &ContainerRow,
    wish: &UndeleteRequest,
) -> ApiResult<Option<(Option<NetworkId>, AddressRequest)>> {
    let wanted = address(wish.address.as_deref().filter(|text| *text != ANY_ADDRESS))?;
    let network = match wish.network.clone() {
        Some(reference) if reference == NO_NETWORK => None,
        Some(reference) => Some(edge.ask(move |query| query.usable_network(&reference)).await?),
        None => present(edge, row).await?,
    };
    let kept = wish.network.is_none() && wish.address.is_none();
    let wanted = if kept { row.configuration.address } else { wanted };
    match &network {
        Some(network) => free(edge, row, network, wanted).await?,
        None if wish.address.is_some() => {
            let message = "an address is one in a network, and the container is to have none; leave out --ip";
            return Err(ApiError::invalid("address.no-network", message));
        }
        None => {}
    }
    Ok((!kept).then(|| (network.map(|network| network.id), wanted)))
}

/// Finds the network that the container was in.
async fn present(edge: &Edge, row: &ContainerRow) -> ApiResult<Option<NetworkRow>> {
    let Some(id) = row.configuration.network else { return Ok(None) };
    let found = edge.ask(move |query| match query.usable_network(&id.to_string()) {
        Err(QueryError::NotFound { .. }) => Ok((None, query.network_by_id(id)?)),
        found => Ok((Some(found?), None)),
    });
    let (network, gone) = found.await?;
    if network.is_some() {
        return Ok(network);
    }
    let name = gone.map_or_else(|| id.short(), |gone| gone.name.to_string());
    let message = format!("the network {name} that {} was in is gone", row.name);
    let hint = format!("berth container undelete {} --network none (or: --network NETWORK)", row.name);
    Err(Refusal::new(RefusalClass::Conflict, "network.gone", message).hinted(hint).into())
}

async fn free(edge: &Edge, row: &ContainerRow, network: &NetworkRow, request: AddressRequest) -> ApiResult<()> {
    let holder = StreamName::new(Category::Container, row.id);
    let lease = network::Command::Lease { holder, request };
    match edge.foresee::<Network>(&StreamName::new(Category::Network, network.id), lease).await {
        Err(ApiError::Refused(refusal)) if refusal.code.starts_with("address.") => {
            let hint = format!("berth container undelete {} --ip auto (or: --ip ADDRESS)", row.name);
            Err(Refusal { hint: None, ..refusal }.hinted(hint).into())
        }
        foreseen => foreseen.map_err(|error| error.named(Some(network.name.as_str()))),
    }
}
