//! Chooses a subnet that collides with nothing the host can reach.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use crate::sys::netlink::Netlink;
use crate::types::{Ipv4Subnet, Subnet};

/// Returns the first free `10.x.y.0/24`, seeking from a place that depends on `seed`.
///
/// Two hosts that later meet over a VPN should not have chosen the same one, so the search does not begin at the same
/// place everywhere. Nothing is returned if all of `10.0.0.0/8` is taken.
pub fn choose_subnet(taken: &[Ipv4Subnet], seed: &str) -> Option<Subnet> {
    let hash = blake3::hash(seed.as_bytes());
    let start = u32::from(u16::from_be_bytes([hash.as_bytes()[0], hash.as_bytes()[1]]));
    (0..65_536_u32)
        .map(|step| Ipv4Addr::from_bits((10 << 24) | (((start + step) & 0xffff) << 8)))
        .filter_map(|network| Ipv4Subnet::around(network, 24))
        .find(|candidate| !taken.iter().any(|other| other.prefix() > 0 && other.overlaps(*candidate)))
        .map(Subnet::V4)
}

/// Lists every IPv4 subnet that the host has an address in or a route to, and its name servers.
///
/// # Errors
/// What rtnetlink(7) says.
pub fn host_subnets(netlink: &mut Netlink) -> io::Result<Vec<Ipv4Subnet>> {
    let addresses = netlink.addresses()?.into_iter().map(|found| (Some(found.address), found.prefix));
    let routes =
        netlink.routes()?.into_iter().flat_map(|route| [(route.destination, route.prefix), (route.gateway, 32)]);
    let servers = super::name_servers_of_host().into_iter().map(|server| (Some(server), 32));
    Ok(addresses.collect::<Vec<_>>().into_iter().chain(routes).chain(servers).filter_map(subnet).collect())
}

fn subnet((address, prefix): (Option<IpAddr>, u8)) -> Option<Ipv4Subnet> {
    match address? {
        IpAddr::V4(address) => Ipv4Subnet::around(address, prefix).filter(|subnet| subnet.prefix() > 0),
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_choice_collides_with_nothing(taken in proptest::collection::vec((any::<u32>(), 9_u8..=32), 0..40), seed: String) {
            let taken: Vec<_> = taken
                .into_iter()
                .filter_map(|(bits, prefix)| Ipv4Subnet::around(Ipv4Addr::from_bits((bits >> 8) | (10 << 24)), prefix))
                .collect();
            if let Some(Subnet::V4(chosen)) = choose_subnet(&taken, &seed) {
                prop_assert_eq!(chosen.prefix(), 24);
                prop_assert!(taken.iter().all(|other| !other.overlaps(chosen)));
            }
        }
    }

    #[test]
    fn there_is_no_choice_if_all_of_it_is_taken() {
        assert_eq!(choose_subnet(&["10.0.0.0/8".parse().unwrap()], ""), None);
    }
}
