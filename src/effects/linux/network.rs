//! NAT networks: a bridge with the gateway's address, and one link per container.
//!
//! Names on the host carry the instance's 8 hexadecimal digits: bridges `bIIIIIIIINNNNNN`, ports `vIIIIIIIICCCCCC`, 15
//! characters, which is all the kernel gives. A container's start goes by netlink alone and runs no other program.

mod forwarding;
mod managers;
mod resolver;
mod subnet;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::effect::Failure;
use crate::domain::network::link_address;
use crate::events::Lease;
use crate::sys::netlink::{Link, LinkChange, Netlink, VethPeer, network_namespace_of};
use crate::types::{ContainerId, Ipv4Subnet, NetworkId, Subnet};

use super::failure::cannot;
use super::firewall;
use super::paths::ensure_directory;

pub use resolver::{Resolver, name_servers_of_host, resolv_conf};
pub use subnet::{Used, choose_subnet, in_the_way, used_by_host};

/// The container's link, as it is called inside.
const INSIDE: &str = "eth0";
/// What to do about a host without nft.
const NO_NFT: &str = "nft is not installed, so containers reach each other and the host, but nothing beyond, and their \
                      ports can claim any address; install the package nftables";

/// Makes the networks of one instance on this host, in the network namespace of the calling thread.
#[derive(Debug, Clone)]
pub struct Networks {
    instance: String,
    runtime: PathBuf,
    run: PathBuf,
    /// Held while a network is made, removed or looked at: the last one takes what all share along, and there must be none
    /// in the making then.
    change: Arc<Mutex<()>>,
}

impl Networks {
    /// Begins with the instance's 8 hexadecimal digits and its directory for what ends with the boot.
    pub fn new(instance: &str, runtime: &Path) -> Self {
        Self::with_run(instance, runtime, Path::new("/run"))
    }

    fn with_run(instance: &str, runtime: &Path, run: &Path) -> Self {
        let (runtime, run) = (runtime.to_owned(), run.to_owned());
        Self { instance: instance.to_owned(), runtime, run, change: Arc::default() }
    }

    fn alone(&self) -> MutexGuard<'_, ()> {
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the name of a network's bridge.
    pub fn bridge_name(&self, network: NetworkId) -> String {
        format!("b{}{}", self.instance, &network.short()[..6])
    }

    /// Returns the name of a container's port on the host.
    pub fn port_name(&self, container: ContainerId) -> String {
        format!("v{}{}", self.instance, &container.short()[..6])
    }

    /// Makes the bridge with the first address of the subnet, forwarding and filter rules; returns what falls short.
    ///
    /// # Errors
    /// What the kernel or nft says, or that the name is taken by something that is no bridge.
    pub fn ensure_network(&self, network: NetworkId, bridge: &str, subnet: Subnet) -> Result<Vec<String>, Failure> {
        let Subnet::V4(addresses) = subnet;
        let alone = self.alone();
        ensure_directory(&self.runtime)?;
        managers::ensure(&self.run, &self.instance).map_err(cannot("tell the network managers of", bridge))?;
        let mut netlink = open()?;
        let gateway = subnet.first_host();
        let mac = *link_address(network, gateway).as_bytes();
        let link = ensure_bridge(&mut netlink, bridge, mac)?;
        netlink.add_address(link.index, gateway, subnet.prefix()).map_err(cannot("give an address to", bridge))?;
        let mac = (link.mac != Some(mac)).then_some(mac);
        let change = LinkChange { up: Some(true), mtu: uplink_mtu(&mut netlink), mac, ..LinkChange::default() };
        netlink.change_link(link.index, &change).map_err(cannot("bring up", bridge))?;
        forwarding::ensure(&mut netlink, bridge, &self.runtime).map_err(cannot("forward packets of", bridge))?;
        firewall::ensure_network_rules(&self.instance, bridge, addresses)?;
        drop(alone);
        self.shortcomings(bridge, subnet)
    }

    /// Says what of the host stands in the way of a network, each with what helps.
    ///
    /// # Errors
    /// What the kernel or nft says.
    pub fn shortcomings(&self, bridge: &str, subnet: Subnet) -> Result<Vec<String>, Failure> {
        let mut netlink = open()?;
        let own = netlink.link(bridge).map_err(cannot("look for", bridge))?.map(|link| link.index);
        let found = in_the_way(&mut netlink, subnet, own).map_err(cannot("look for addresses beside", bridge))?;
        let mut shortcomings: Vec<String> = found.iter().map(|what| overlap(subnet, what)).collect();
        let Subnet::V4(addresses) = subnet;
        let uplink = uplink(&mut netlink).map(|link| link.name);
        let way = firewall::Way { bridge, subnet: addresses, uplink: uplink.as_deref() };
        match firewall::obstacles(way)? {
            None => shortcomings.push(NO_NFT.to_owned()),
            Some(found) => shortcomings.extend(found),
        }
        Ok(shortcomings)
    }

    /// Removes a network; with the instance's last one, forwarding and the managers' drop-ins go back to what they were.
    ///
    /// # Errors
    /// What the kernel or nft says.
    pub fn ensure_network_gone(&self, bridge: &str) -> Result<(), Failure> {
        let _alone = self.alone();
        let mut netlink = open()?;
        netlink.delete_link(bridge).map_err(cannot("remove", bridge))?;
        let links = netlink.links().map_err(cannot("list", "the links"))?;
        let start = format!("b{}", self.instance);
        let last = !links.iter().any(|link| link.bridge && link.name.starts_with(&start));
        firewall::ensure_network_rules_gone(&self.instance, bridge, last)?;
        if last {
            forwarding::restore(&self.runtime).map_err(cannot("restore forwarding of", bridge))?;
            managers::ensure_gone(&self.run, &self.instance).map_err(cannot("remove drop-ins of", bridge))?;
        }
        Ok(())
    }

    /// Lists the bridges of this instance that are there, each with its range.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn on_host(&self) -> Result<Vec<(String, Subnet)>, Failure> {
        let mut netlink = open()?;
        let addresses = netlink.addresses().map_err(cannot("list", "the addresses"))?;
        let range = |link: &Link| {
            let mut found = addresses.iter().filter(|known| known.index == link.index);
            found.find_map(|known| Ipv4Subnet::around(v4(known.address).ok()?, known.prefix))
        };
        let links = netlink.links().map_err(cannot("list", "the links"))?;
        let start = format!("b{}", self.instance);
        let own = links.into_iter().filter(|link| link.bridge && link.name.starts_with(&start));
        Ok(own.filter_map(|link| Some((link.name.clone(), Subnet::V4(range(&link)?)))).collect())
    }

    /// Names the links that the instance turned forwarding on for.
    pub fn forwarding_changed(&self) -> Vec<String> {
        forwarding::changed(&self.runtime)
    }

    /// Removes everything that the instance has of networks on this host, whatever is recorded about it.
    ///
    /// # Errors
    /// What the kernel or nft says.
    pub fn remove_everything(&self) -> Result<(), Failure> {
        let mut netlink = open()?;
        for name in links_of(Some(&self.instance)) {
            netlink.delete_link(&name).map_err(cannot("remove", name))?;
        }
        firewall::ensure_tables_gone(&self.instance)?;
        forwarding::restore(&self.runtime).map_err(cannot("restore forwarding of", &self.instance))?;
        managers::ensure_gone(&self.run, &self.instance).map_err(cannot("remove drop-ins of", &self.instance))
    }

    /// Names what is missing of a network: bridge, addresses, forwarding, the ports that are in use, the switches that close
    /// these, and, if asked, filter rules.
    ///
    /// # Errors
    /// What the kernel or nft says.
    pub fn missing(
        &self,
        network: NetworkId,
        bridge: &str,
        subnet: Subnet,
        ports: &[String],
        rules: bool,
    ) -> Result<Vec<String>, Failure> {
        let _alone = self.alone();
        let mut netlink = open()?;
        let links = netlink.links().map_err(cannot("list", "the links"))?;
        let Some(found) = links.iter().find(|link| link.name == bridge && link.bridge) else {
            return Ok(vec![format!("the bridge {bridge}")]);
        };
        let mut missing = vec![];
        if !found.up {
            missing.push(format!("the bridge {bridge} is down"));
        }
        let (index, gateway) = (found.index, subnet.first_host());
        let addresses = netlink.addresses().map_err(cannot("list the addresses of", bridge))?;
        if !addresses.iter().any(|known| known.index == index && known.address == gateway) {
            missing.push(format!("the address {gateway} of {bridge}"));
        }
        if found.mac != Some(*link_address(network, gateway).as_bytes()) {
            missing.push(format!("the link address of {bridge}"));
        }
        missing.extend(forwarding::missing(&mut netlink, bridge).map_err(cannot("look at forwarding of", bridge))?);
        let connected = |port: &&String| links.iter().any(|link| link.name == **port && link.master == Some(index));
        missing.extend(ports.iter().filter(|port| !connected(port)).map(|port| format!("the port {port}")));
        missing.extend(changed_switches(bridge, CLOSED_BRIDGE));
        missing.extend(ports.iter().filter(connected).flat_map(|port| changed_switches(port, CLOSED)));
        if rules {
            missing.extend(firewall::missing_rules(&self.instance, bridge)?);
        }
        Ok(missing)
    }

    /// Links a container to its network: `port` on the host, `eth0` with address and default route inside.
    ///
    /// # Errors
    /// What the kernel says; `NotFound` in words if the bridge is gone or the container's process has ended.
    pub fn ensure_link(&self, lease: &Lease, pid: u32, port: &str) -> Result<Vec<String>, Failure> {
        let namespace = network_namespace_of(pid).map_err(cannot("open the network namespace of process", pid))?;
        self.ensure_link_in(lease, &namespace, port)
    }

    /// Links a network namespace to its network, like `ensure_link`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn ensure_link_in(&self, lease: &Lease, namespace: &File, port: &str) -> Result<Vec<String>, Failure> {
        let mut netlink = open()?;
        let bridge = netlink.link(&lease.bridge).map_err(cannot("look for", &lease.bridge))?;
        let bridge = bridge.ok_or_else(|| Failure::transient(format!("the bridge {} is not there", lease.bridge)))?;
        let mut inside = Netlink::open_in(namespace.as_fd()).map_err(cannot("enter the network namespace of", port))?;
        let near = ensure_pair(&mut netlink, &mut inside, lease, namespace.as_fd(), port, bridge.mtu)?;
        set_switches(port, CLOSED).map_err(cannot("close", port))?;
        let warnings = self.ensure_lease(lease, port)?;
        configure_inside(&mut inside, lease).map_err(cannot("set up eth0 behind", port))?;
        // Last, so that the first packet meets a lease and an address.
        let change = LinkChange { up: Some(true), master: Some(bridge.index), ..LinkChange::default() };
        netlink.change_link(near.index, &change).map_err(cannot("connect", port))?;
        Ok(warnings)
    }

    /// Removes a container's link and its lease in the filter rules.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn ensure_link_gone(&self, lease: &Lease, port: &str) -> Result<(), Failure> {
        self.ensure_port_gone(port)?;
        let address = v4(lease.address)?;
        firewall::ensure_lease_gone(&self.instance, port, lease.mac, address)
            .map_err(cannot("remove the lease of", port))
    }

    /// Removes a container's link alone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn ensure_port_gone(&self, port: &str) -> Result<(), Failure> {
        open()?.delete_link(port).map_err(cannot("remove", port))
    }

    fn ensure_lease(&self, lease: &Lease, port: &str) -> Result<Vec<String>, Failure> {
        match firewall::ensure_lease(&self.instance, port, lease.mac, v4(lease.address)?) {
            Ok(()) => Ok(Vec::new()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(vec![format!("the filter rules are not there, so {port} can claim any address")])
            }
            Err(error) => Err(cannot("record the lease of", port)(error)),
        }
    }
}

/// Says whether a link is called as a bridge or a port of an instance is.
fn is_name_of_berth(name: &str) -> bool {
    let digits = name.get(1..9).unwrap_or_default();
    name.len() == 15 && name.starts_with(['b', 'v']) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// Lists the bridges and ports of an instance, or of every one. What others named so by chance is no bridge, and carries no
/// mark of ours.
pub fn links_of(instance: Option<&str>) -> Vec<String> {
    let links = open().ok().and_then(|mut netlink| netlink.links().ok()).unwrap_or_default();
    let marked = |link: &Link| link.alias.as_ref().is_some_and(|alias| alias.starts_with("berth "));
    let ours = |link: &Link| {
        let kind = link.name.get(..1);
        let fits = (kind == Some("b") && link.bridge) || (kind == Some("v") && marked(link));
        fits && is_name_of_berth(&link.name) && instance.is_none_or(|instance| link.name.get(1..9) == Some(instance))
    };
    links.into_iter().filter(ours).map(|link| link.name).collect()
}

/// Lists the files by which network managers of the host are told to leave an instance's links alone.
pub fn drop_ins(instance: &str) -> Vec<PathBuf> {
    managers::present(Path::new("/run"), instance)
}

fn ensure_pair(
    netlink: &mut Netlink,
    inside: &mut Netlink,
    lease: &Lease,
    namespace: BorrowedFd<'_>,
    port: &str,
    mtu: u32,
) -> Result<Link, Failure> {
    let alias = format!("berth {}", lease.mac);
    if let Some(near) = netlink.link(port).map_err(cannot("look for", port))? {
        let ours = near.alias.as_deref() == Some(alias.as_str());
        let far = inside.link(INSIDE).map_err(cannot("look for eth0 behind", port))?;
        if ours && far.is_some_and(|far| far.mac == Some(*lease.mac.as_bytes())) {
            return Ok(near);
        }
        if near.alias.is_some() && !ours {
            return Err(Failure::permanent(format!("the link {port} belongs to something else on this host")));
        }
        // A rest of an earlier run: its far end is in a namespace that is not this one.
        netlink.delete_link(port).map_err(cannot("remove the stale", port))?;
    }
    let peer = VethPeer { name: INSIDE, mac: *lease.mac.as_bytes(), namespace };
    netlink.create_veth(port, &peer, mtu).map_err(cannot("make", port))?;
    let near = netlink.link(port).map_err(cannot("look for", port))?;
    let near = near.ok_or_else(|| Failure::transient(format!("the link {port} vanished")))?;
    let change = LinkChange { alias: Some(alias), ..LinkChange::default() };
    netlink.change_link(near.index, &change).map_err(cannot("name", port))?;
    Ok(near)
}

/// What keeps the host from listening at a port itself. Frames to the link-local group (01:80:c2:00:00:0X) are no bridge's
/// business: the kernel takes them for the host's own, past every filter of the bridge. No IPv6, so no route that a container
/// advertises; no source that is not reached by the port itself, and by a port none is; no answer to ARP.
const CLOSED: &[(&str, &str, &str)] = &[
    ("ipv6", "disable_ipv6", "1"),
    ("ipv4", "rp_filter", "1"),
    ("ipv4", "arp_ignore", "8"),
    ("ipv4", "accept_redirects", "0"),
];

/// The bridge carries IPv4 alone.
const CLOSED_BRIDGE: &[(&str, &str, &str)] = &[("ipv6", "disable_ipv6", "1")];

/// Names the switches of a link that somebody has changed; a kernel without the protocol has none.
fn changed_switches(link: &str, switches: &[(&str, &str, &str)]) -> Vec<String> {
    let is_other = |(protocol, switch, value): &&(&str, &str, &str)| {
        std::fs::read_to_string(switch_of(link, protocol, switch)).is_ok_and(|now| now.trim() != *value)
    };
    switches.iter().filter(is_other).map(|(_, switch, _)| format!("the switch {switch} of {link}")).collect()
}

fn switch_of(link: &str, protocol: &str, switch: &str) -> String {
    format!("/proc/sys/net/{protocol}/conf/{link}/{switch}")
}

/// Sets switches of a link (ip-sysctl in the kernel's documentation); a kernel without the protocol has none.
fn set_switches(link: &str, switches: &[(&str, &str, &str)]) -> std::io::Result<()> {
    for (protocol, switch, value) in switches {
        match std::fs::write(switch_of(link, protocol, switch), value) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn open() -> Result<Netlink, Failure> {
    Netlink::open().map_err(cannot("open", "a netlink socket"))
}

fn ensure_bridge(netlink: &mut Netlink, name: &str, mac: [u8; 6]) -> Result<Link, Failure> {
    netlink.create_bridge(name, mac).map_err(cannot("make the bridge", name))?;
    match netlink.link(name).map_err(cannot("look for", name))? {
        Some(link) if link.bridge => {
            netlink.ignore_link_local(name).map_err(cannot("close the link-local group of", name))?;
            set_switches(name, CLOSED_BRIDGE).map_err(cannot("switch IPv6 off on", name))?;
            Ok(link)
        }
        Some(_) => Err(Failure::permanent(format!("the name {name} is taken by a link that is no bridge"))),
        None => Err(Failure::transient(format!("the bridge {name} vanished"))),
    }
}

fn overlap(subnet: Subnet, what: &str) -> String {
    format!(
        "{subnet} overlaps {what}: containers do not reach what is there, nor does the host; move one of the two, or make \
         another network and delete this one"
    )
}

/// Returns the largest packet of the way out, where it is smaller than Ethernet's: a bridge that promises more loses
/// packets on hosts behind a tunnel.
fn uplink_mtu(netlink: &mut Netlink) -> Option<u32> {
    uplink(netlink).map(|link| link.mtu).filter(|mtu| (576..1500).contains(mtu))
}

/// Returns the link that the default route leads by.
fn uplink(netlink: &mut Netlink) -> Option<Link> {
    let mut routes = netlink.routes().ok()?.into_iter().filter(|route| route.ipv4 && route.destination.is_none());
    let index = routes.find_map(|route| route.index)?;
    netlink.links().ok()?.into_iter().find(|link| link.index == index)
}

fn configure_inside(inside: &mut Netlink, lease: &Lease) -> std::io::Result<()> {
    let up = LinkChange { up: Some(true), ..LinkChange::default() };
    for link in inside.links()?.iter().filter(|link| link.name == INSIDE || link.name == "lo") {
        if link.name == INSIDE {
            inside.add_address(link.index, lease.address, lease.subnet.prefix())?;
        }
        inside.change_link(link.index, &up)?;
        if link.name == INSIDE {
            inside.set_default_route(link.index, lease.gateway)?;
        }
    }
    Ok(())
}

fn v4(address: IpAddr) -> Result<Ipv4Addr, Failure> {
    match address {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(address) => Err(Failure::permanent(format!("the address {address} is IPv6, which networks lack"))),
    }
}
