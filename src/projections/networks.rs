//! Networks: what each is, and who has which address.

use crate::events::{DomainEvent, Envelope, NetworkEvent};
use crate::types::Category;

use super::model::{self, Model, table};
use super::rows::{LeaseRow, NetworkRow, ThingState};

/// Is the read model.
pub struct Networks;

impl Model for Networks {
    const NAME: &'static str = "networks";
    const VERSION: u32 = 3;
    const CATEGORY: Category = Category::Network;
    const TABLE: &'static str = table!("name TEXT" => "$.name", "state TEXT" => "$.state");
    type Row = NetworkRow;

    fn fold(_: &str, row: Option<NetworkRow>, event: &Envelope) -> Option<NetworkRow> {
        let Some(fact) = model::decoded::<NetworkEvent>(event) else { return row };
        let mut row = match row {
            Some(row) => row,
            None => begin(&fact, event)?,
        };
        apply(&mut row, &fact, event);
        model::track(&mut row.operation, &fact.mark(), event);
        row.position = event.position;
        Some(row)
    }
}

fn begin(fact: &NetworkEvent, event: &Envelope) -> Option<NetworkRow> {
    let NetworkEvent::NetworkRequested { id, name, subnet, bridge } = fact else { return None };
    Some(NetworkRow {
        id: *id,
        name: name.clone(),
        state: ThingState::Creating,
        change: model::change(event, fact.sentence()),
        reason: None,
        subnet: *subnet,
        gateway: subnet.first_host(),
        bridge: bridge.clone(),
        leases: vec![],
        shortcomings: vec![],
        operation: None,
        created_at: event.recorded_at,
        created_by: event.context.principal.who.clone(),
        position: event.position,
    })
}

fn apply(row: &mut NetworkRow, fact: &NetworkEvent, event: &Envelope) {
    let state = match fact {
        NetworkEvent::NetworkCreated => ThingState::Ready,
        NetworkEvent::NetworkCreateFailed { reason } => {
            row.reason = Some(reason.clone());
            ThingState::Failed
        }
        NetworkEvent::NetworkDeleteRequested => ThingState::Deleting,
        NetworkEvent::NetworkDeleted => ThingState::Deleted,
        NetworkEvent::NetworkDeleteStuck { reason } | NetworkEvent::NetworkCreateStuck { reason } => {
            row.reason = Some(reason.clone());
            ThingState::Stuck
        }
        NetworkEvent::AddressLeased { holder, address, mac } => {
            row.leases.retain(|lease| lease.holder != *holder);
            let (holder, since) = (holder.clone(), event.recorded_at);
            row.leases.push(LeaseRow { holder, address: *address, mac: *mac, since, container_name: None });
            row.state
        }
        NetworkEvent::ShortcomingsFound { shortcomings } => {
            row.shortcomings.clone_from(shortcomings);
            row.state
        }
        NetworkEvent::AddressReleased { holder } => {
            row.leases.retain(|lease| lease.holder != *holder);
            row.state
        }
        _ => row.state,
    };
    if state != row.state {
        row.state = state;
        row.change = model::change(event, fact.sentence());
    }
}
