//! What is there: links, addresses, routes.

use std::io;
use std::net::IpAddr;

use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Netlink;

/// Is a link of a network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Link {
    /// Its number in the namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its link address, if it is of six bytes.
    pub mac: Option<[u8; 6]>,
    /// Whether it is to carry traffic.
    pub up: bool,
    /// The bridge it is a port of.
    pub master: Option<u32>,
    /// Whether it is a bridge itself.
    pub bridge: bool,
    /// Its largest packet in bytes.
    pub mtu: u32,
    /// The text that was left on it.
    pub alias: Option<String>,
}

/// Is an address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The link's number.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
    /// The length of the prefix of the network it is in.
    pub prefix: u8,
}

/// Is a route of the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Whether it is for IPv4.
    pub ipv4: bool,
    /// Where it leads to; nothing for the default route.
    pub destination: Option<IpAddr>,
    /// The length of the destination's prefix; 0 for the default route.
    pub prefix: u8,
    /// The next hop.
    pub gateway: Option<IpAddr>,
    /// The link's number.
    pub index: Option<u32>,
}

impl Netlink {
    /// Lists the links.
    ///
    /// # Errors
    /// What rtnetlink(7) says.
    pub fn links(&mut self) -> io::Result<Vec<Link>> {
        let found = self.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        Ok(found.into_iter().filter_map(|message| link(message).filter(|link| !link.name.is_empty())).collect())
    }

    /// Finds a link by its name; nothing if there is none.
    ///
    /// # Errors
    /// What rtnetlink(7) says.
    pub fn link(&mut self, name: &str) -> io::Result<Option<Link>> {
        let mut wanted = LinkMessage::default();
        wanted.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.send(
            RouteNetlinkMessage::GetLink(wanted),
            netlink_packet_core::NLM_F_REQUEST | netlink_packet_core::NLM_F_ACK,
        )?;
        let mut found = None;
        match self.receive(|message| found = link(message)) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            other => other.map(|()| found),
        }
    }

    /// Lists the addresses of all links.
    ///
    /// # Errors
    /// What rtnetlink(7) says.
    pub fn addresses(&mut self) -> io::Result<Vec<InterfaceAddress>> {
        let found = self.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
        Ok(found.into_iter().filter_map(address).collect())
    }

    /// Lists the routes of both families, local and broadcast ones included.
    ///
    /// # Errors
    /// What rtnetlink(7) says.
    pub fn routes(&mut self) -> io::Result<Vec<Route>> {
        let found = self.dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()))?;
        Ok(found.into_iter().filter_map(route).collect())
    }
}

fn link(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let up = message.header.flags.contains(LinkFlags::Up);
    let mut link = Link { index: message.header.index, up, ..Link::default() };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Address(bytes) => link.mac = bytes.try_into().ok(),
            LinkAttribute::Controller(index) => link.master = Some(index),
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::IfAlias(text) => link.alias = Some(text),
            LinkAttribute::LinkInfo(info) => link.bridge = info.contains(&LinkInfo::Kind(InfoKind::Bridge)),
            _ => {}
        }
    }
    Some(link)
}

fn address(message: RouteNetlinkMessage) -> Option<InterfaceAddress> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    let mut found = None;
    for attribute in &message.attributes {
        match attribute {
            // On a point-to-point link `Address` is the far end; `Local` is ours and wins.
            AddressAttribute::Local(address) => found = Some(*address),
            AddressAttribute::Address(address) if found.is_none() => found = Some(*address),
            _ => {}
        }
    }
    Some(InterfaceAddress { index: message.header.index, address: found?, prefix: message.header.prefix_len })
}

fn route(message: RouteNetlinkMessage) -> Option<Route> {
    let RouteNetlinkMessage::NewRoute(message) = message else { return None };
    let prefix = message.header.destination_prefix_length;
    let ipv4 = message.header.address_family == AddressFamily::Inet;
    let mut route = Route { ipv4, destination: None, prefix, gateway: None, index: None };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => route.destination = plain(address),
            RouteAttribute::Gateway(address) => route.gateway = plain(address),
            RouteAttribute::Oif(index) => route.index = Some(*index),
            _ => {}
        }
    }
    Some(route)
}

fn plain(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}
