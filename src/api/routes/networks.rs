//! Networks: lists with their leases, creation, removal.

use actix_web::web;

use super::containers::{NO_NETWORK, can_start, read};
use super::templates::All;
use crate::api::edge::{Edge, Room, Subject, draw};
use crate::api::look::{Look, block};
use crate::api::problem::{ApiError, ApiResult};
use crate::api::resources::CreateNetwork;
use crate::domain::network::{Command, Network};
use crate::domain::{Refusal, RefusalClass};
use crate::projections::query::Moment;
use crate::types::{Category, Name, NetworkId, StreamName, Subnet};

/// How much of what is in the way a refusal names.
const NAMED_MAX: usize = 3;

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/networks", web::get().to(list))
        .route("/networks", web::post().to(create))
        .route("/networks/{reference}", web::get().to(show))
        .route("/networks/{reference}/delete", web::post().to(delete));
}

async fn list(look: Look, wanted: web::Query<All>) -> ApiResult {
    look.list("network", move |query, moment| query.networks(wanted.all, moment)).await
}

async fn show(look: Look, reference: web::Path<String>) -> ApiResult {
    look.show(move |query, moment| query.network(&reference, moment)).await
}

async fn create(edge: Edge) -> ApiResult {
    edge.check_room(Room::Much)?;
    can_start(&edge).await?; // What a container needs of the host, its network needs too.
    let wish: CreateNetwork = edge.body()?;
    let name: Name = read("name.invalid", &wish.name)?;
    if name.as_str() == NO_NETWORK {
        let message = format!("a network cannot be called {NO_NETWORK}: containers ask for no network by that word");
        return Err(ApiError::invalid("name.reserved", message));
    }
    let subnet = match &wish.subnet {
        Some(text) => {
            let subnet = apart(&edge, read("subnet.invalid", text)?).await?;
            apart_from_host(&edge, subnet, wish.force).await?
        }
        None => free_subnet(&edge).await?,
    };
    let id = NetworkId::from_bytes(draw()?);
    let bridge = (edge.ports.node.bridge_name)(id);
    let subject = Subject::new(StreamName::new(Category::Network, id), Some(&name));
    edge.foresee_name(&subject.stream, &name).await?;
    edge.perform::<Network>(subject, Command::Define { id, name, subnet, bridge }).await
}

/// Refuses addresses that another network has: the host could not tell whom a packet is for.
async fn apart(edge: &Edge, subnet: Subnet) -> ApiResult<Subnet> {
    let others = edge.ask(|query| query.networks(false, Moment::Now)).await?;
    let Some(other) = others.into_iter().find(|other| other.subnet.overlaps(subnet)) else { return Ok(subnet) };
    let message = format!("{subnet} overlaps the network {}, which has {}", other.name, other.subnet);
    Err(Refusal::new(RefusalClass::Conflict, "network.overlaps", message).hinted("berth network list").into())
}

/// Refuses addresses that the host uses itself, or warns if they are wanted all the same: what is behind them is reached no
/// more.
async fn apart_from_host(edge: &Edge, subnet: Subnet, force: bool) -> ApiResult<Subnet> {
    let look = edge.ports.node.in_the_way.clone();
    let found = block(move || look(subnet)).await??;
    if found.is_empty() {
        return Ok(subnet);
    }
    if force {
        let words =
            |what| format!("{subnet} overlaps {what}: neither this host nor its containers reach what is there");
        edge.warn(found.iter().map(words));
        return Ok(subnet);
    }
    let others = found.len().saturating_sub(NAMED_MAX);
    let more = if others > 0 { format!(" and {others} more") } else { String::new() };
    let named = found.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    let message = format!(
        "{subnet} overlaps {named}{more}: neither this host nor its containers would reach what is there any more"
    );
    let hint = "leave --subnet out for a range that is free here; --force takes this one all the same";
    Err(Refusal::new(RefusalClass::Conflict, "network.overlaps-host", message).hinted(hint).into())
}

/// Finds addresses that neither another network nor the host has.
async fn free_subnet(edge: &Edge) -> ApiResult<Subnet> {
    let taken = edge.ask(|query| query.networks(false, Moment::Now)).await?;
    let taken: Vec<Subnet> = taken.into_iter().map(|row| row.subnet).collect();
    let find = edge.ports.node.free_subnet.clone();
    Ok(block(move || find(&taken)).await??)
}

async fn delete(edge: Edge, reference: web::Path<String>) -> ApiResult {
    let row = edge.ask(move |query| query.usable_network(&reference)).await?;
    let subject = Subject::new(StreamName::new(Category::Network, row.id), Some(&row.name));
    edge.perform::<Network>(subject, Command::Delete).await
}
