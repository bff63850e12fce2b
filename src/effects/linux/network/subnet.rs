//! Which addresses the host uses itself, and a range for containers that is in nobody's way.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use crate::sys::netlink::{Link, Netlink, Route};
use crate::types::{Ipv4Subnet, Subnet};

/// Where a range is sought, in this order (RFC 1918).
const PRIVATE: [(Ipv4Addr, u8); 3] =
    [(Ipv4Addr::new(10, 0, 0, 0), 8), (Ipv4Addr::new(172, 16, 0, 0), 12), (Ipv4Addr::new(192, 168, 0, 0), 16)];
/// Other ranges that belong to nobody on the Internet (RFC 6890): carriers' own, tests of benches, documentation.
const NOBODY: [(Ipv4Addr, u8); 5] = [
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
];
/// How long a chosen range's prefix is: a thousand containers and their gateway, which is also as many ports as a bridge
/// takes (`BR_MAX_PORTS`, net/bridge/br_private.h); or, where that much is free nowhere, a hundredth of it.
const PREFIXES: [u8; 2] = [22, 24];
/// A route this wide is a way to everywhere: VPNs write the default route in two halves.
const EVERYWHERE: u8 = 1;

/// Is a range of addresses that something has already, and what that is, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// The range.
    pub subnet: Ipv4Subnet,
    what: String,
    link: Option<u32>,
}

impl fmt::Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.what)
    }
}

/// Returns the first free range, seeking from a place that depends on `seed`.
///
/// Two hosts that later meet over a VPN should not have chosen the same one, so the search does not begin at the same
/// place everywhere. Nothing is returned if no private range is free.
pub fn choose_subnet(taken: &[Ipv4Subnet], seed: &str) -> Option<Subnet> {
    let hash = blake3::hash(seed.as_bytes());
    let start = u32::from(u16::from_be_bytes([hash.as_bytes()[0], hash.as_bytes()[1]]));
    let ranges = PREFIXES.iter().flat_map(|prefix| PRIVATE.iter().map(move |range| (*range, *prefix)));
    ranges
        .flat_map(|((network, wide), prefix)| {
            let count = 1_u32 << (prefix - wide);
            let nth = move |step| network.to_bits() | (((start + step) % count) << (32 - prefix));
            (0..count).filter_map(move |step| Ipv4Subnet::around(Ipv4Addr::from_bits(nth(step)), prefix))
        })
        .find(|candidate| !taken.iter().any(|other| other.overlaps(*candidate)))
        .map(Subnet::V4)
}

/// Names everything that a range for containers would be in the way of, on this host; `own` is its bridge, if it is there.
///
/// # Errors
/// What rtnetlink(7) says.
pub fn in_the_way(netlink: &mut Netlink, subnet: Subnet, own: Option<u32>) -> io::Result<Vec<String>> {
    let Subnet::V4(subnet) = subnet;
    let used = used_by_host(netlink)?;
    let others = used.iter().filter(|used| used.link.is_none() || used.link != own);
    let mut found: Vec<String> = others.filter(|used| used.subnet.overlaps(subnet)).map(Used::to_string).collect();
    found.extend(public(subnet));
    Ok(found)
}

/// Lists every IPv4 range that the host has an address in or a route to, its gateways and its name servers.
///
/// # Errors
/// What rtnetlink(7) says.
pub fn used_by_host(netlink: &mut Netlink) -> io::Result<Vec<Used>> {
    let links = netlink.links()?;
    let name = |index: Option<u32>| name_of(&links, index);
    let mut used: Vec<Used> = vec![];
    for found in netlink.addresses()? {
        let link = Some(found.index);
        let what = format!("the address {}/{} of {}", found.address, found.prefix, name(link));
        used.extend(range(found.address, found.prefix).map(|subnet| Used { subnet, what, link }));
    }
    for route in netlink.routes()? {
        for other in ways(&route, &name(route.index)) {
            let known = |one: &Used| one.link == other.link && one.subnet.covers(other.subnet);
            if !used.iter().any(known) {
                used.push(other);
            }
        }
    }
    let resolver =
        |server| Some(Used { subnet: range(server, 32)?, what: format!("the resolver {server}"), link: None });
    used.extend(super::name_servers_of_host().into_iter().filter_map(resolver));
    Ok(used)
}

/// A route claims where it leads to and whom it goes by.
fn ways(route: &Route, link: &str) -> Vec<Used> {
    let to = route.destination.filter(|_| route.prefix > EVERYWHERE);
    let led = to.and_then(|to| range(to, route.prefix)).map(|subnet| Used {
        subnet,
        what: format!("the route to {subnet} by {link}"),
        link: route.index,
    });
    let gateway = route.gateway.and_then(|gateway| {
        Some(Used { subnet: range(gateway, 32)?, what: format!("the gateway {gateway} on {link}"), link: route.index })
    });
    led.into_iter().chain(gateway).collect()
}

fn name_of(links: &[Link], index: Option<u32>) -> String {
    let link = links.iter().find(|link| Some(link.index) == index);
    link.map_or_else(|| "no link".to_owned(), |link| link.name.clone())
}

fn range(address: IpAddr, prefix: u8) -> Option<Ipv4Subnet> {
    match address {
        IpAddr::V4(address) => Ipv4Subnet::around(address, prefix),
        IpAddr::V6(_) => None,
    }
}

/// Says so if the addresses may be somebody's on the Internet.
fn public(subnet: Ipv4Subnet) -> Option<String> {
    let mut nobody =
        PRIVATE.iter().chain(&NOBODY).filter_map(|(network, prefix)| Ipv4Subnet::around(*network, *prefix));
    let is_nobody = nobody.any(|range| range.covers(subnet));
    (!is_nobody).then(|| "hosts of the Internet (it is no private range)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subnet(text: &str) -> Ipv4Subnet {
        text.parse().unwrap()
    }

    proptest! {
        #[test]
        fn the_choice_collides_with_nothing(taken in proptest::collection::vec((any::<u32>(), 9_u8..=32), 0..40), seed: String) {
            let taken: Vec<_> = taken
                .into_iter()
                .filter_map(|(bits, prefix)| Ipv4Subnet::around(Ipv4Addr::from_bits((bits >> 8) | (10 << 24)), prefix))
                .collect();
            let Some(Subnet::V4(chosen)) = choose_subnet(&taken, &seed) else { return Ok(()) };
            prop_assert!(chosen.prefix() == 22, "{}", chosen);
            prop_assert!(taken.iter().all(|other| !other.overlaps(chosen)));
        }
    }

    #[test]
    fn a_chosen_range_holds_a_thousand_containers() {
        let Some(Subnet::V4(chosen)) = choose_subnet(&[], "seed") else { panic!("none") };
        assert!(chosen.host_count() > 1_000, "{chosen}");
    }

    #[test]
    fn the_choice_goes_to_the_other_private_ranges_and_to_smaller_pieces_at_last() {
        let chosen = |taken: &[&str]| {
            let taken: Vec<_> = taken.iter().map(|text| subnet(text)).collect();
            choose_subnet(&taken, "").map(|Subnet::V4(chosen)| chosen)
        };
        assert!(subnet("172.16.0.0/12").covers(chosen(&["10.0.0.0/8"]).unwrap()));
        assert!(subnet("192.168.0.0/16").covers(chosen(&["10.0.0.0/8", "172.16.0.0/12"]).unwrap()));
        let nearly: Vec<String> = (0..64).map(|piece| format!("192.168.{}.0/24", piece * 4)).collect();
        let mut taken = vec!["10.0.0.0/8", "172.16.0.0/12"];
        taken.extend(nearly.iter().map(String::as_str));
        assert_eq!(chosen(&taken).unwrap().prefix(), 24);
        assert_eq!(chosen(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]), None);
    }

    #[test]
    fn public_addresses_are_in_the_way_of_their_owners() {
        for text in ["8.8.8.0/24", "172.0.0.0/8", "192.169.0.0/24", "0.0.0.0/1"] {
            assert!(public(subnet(text)).is_some(), "{text}");
        }
        for text in ["10.40.0.0/24", "172.31.0.0/16", "192.168.0.0/16", "100.64.3.0/24", "192.0.2.0/24"] {
            assert_eq!(public(subnet(text)), None, "{text}");
        }
    }

    #[test]
    fn a_default_route_in_two_halves_is_no_claim_but_its_gateway_is() {
        let half = Route {
            ipv4: true,
            destination: Some(IpAddr::from([128, 0, 0, 0])),
            prefix: 1,
            gateway: Some(IpAddr::from([10, 8, 0, 1])),
            index: Some(3),
        };
        let found = ways(&half, "tun0");
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["the gateway 10.8.0.1 on tun0"]);
    }
}
