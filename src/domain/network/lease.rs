//! Who gets which address.

use std::net::IpAddr;

use super::{Decision, Network, Open, Record, Rejection, Work};
use crate::events::{AddressRequest, Lease, NetworkEvent};
use crate::types::{MacAddress, NetworkId};

impl Network {
    /// Returns the holder's place on the network.
    pub fn lease_of(&self, holder: &str) -> Option<Lease> {
        let (record, (address, mac)) = (self.record.as_ref()?, self.holders.get(holder)?);
        Some(Lease {
            network: record.id,
            bridge: record.bridge.clone(),
            subnet: record.subnet,
            address: *address,
            gateway: record.subnet.first_host(),
            mac: *mac,
        })
    }

    pub(super) fn lease(&self, holder: String, request: AddressRequest) -> Decision {
        let record = self.there()?;
        if matches!(&self.open, Some(Open { work: Work::Delete { .. }, .. })) {
            self.not_busy()?;
        }
        if let Some((present, _)) = self.holders.get(&holder) {
            let same = request == AddressRequest::Auto || request == AddressRequest::Fixed(*present);
            return if same { Ok(vec![]) } else { Err(Rejection::HasOther { holder, address: *present }) };
        }
        let address = match request {
            AddressRequest::Auto => self.lowest_free(record)?,
            AddressRequest::Fixed(address) => self.fixed(record, address)?,
        };
        Ok(vec![NetworkEvent::AddressLeased { holder, address, mac: link_address(record.id, address) }])
    }

    pub(super) fn release(&self, holder: String) -> Vec<NetworkEvent> {
        if self.holders.contains_key(&holder) { vec![NetworkEvent::AddressReleased { holder }] } else { vec![] }
    }

    fn lowest_free(&self, record: &Record) -> Result<IpAddr, Rejection> {
        let mut hosts = record.subnet.hosts().skip(1);
        hosts.find(|address| !self.leases.contains_key(address)).ok_or(Rejection::Full { subnet: record.subnet })
    }

    fn fixed(&self, record: &Record, address: IpAddr) -> Result<IpAddr, Rejection> {
        let subnet = record.subnet;
        if !subnet.contains(address) {
            return Err(Rejection::Outside { address, subnet });
        }
        let reserved = [subnet.network(), subnet.first_host(), subnet.broadcast()];
        if reserved.contains(&address) {
            return Err(Rejection::Reserved { address });
        }
        match self.leases.get(&address) {
            Some(holder) => Err(Rejection::Taken { address, holder: holder.clone() }),
            None => Ok(address),
        }
    }
}

/// Derives the link address of whoever has this address, the gateway too: locally administered, and always the same.
pub fn link_address(network: NetworkId, address: IpAddr) -> MacAddress {
    let seed = NetworkId::derived(&format!("{network}/{address}"));
    let mut bytes = [2; 6];
    bytes[1..].copy_from_slice(&seed.as_bytes()[1..6]);
    MacAddress::local(bytes)
}
