//! Links, addresses and routes by rtnetlink(7), one request at a time; set elements of nftables in `nftables`.
//!
//! A socket belongs to the network namespace it was opened in and keeps it, so work inside a container's namespace needs
//! no process there. Nothing here knows what a network of ours looks like.

mod news;
mod nftables;
mod query;

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    BridgeBooleanOptionFlags, BridgeBooleanOptions, InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::thread::LinkNameSpaceType;

pub use news::{Changes, News};
pub use nftables::SetElements;
pub use query::{InterfaceAddress, Link, Route};

/// Says what is to become of a link; what is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkChange {
    /// Whether it carries traffic.
    pub up: Option<bool>,
    /// The index of the bridge it is a port of.
    pub master: Option<u32>,
    /// Its link address.
    pub mac: Option<[u8; 6]>,
    /// Its largest packet in bytes.
    pub mtu: Option<u32>,
    /// A text for people and for recognising it again.
    pub alias: Option<String>,
}

/// Is the far end of a pair of virtual Ethernet devices.
#[derive(Debug, Clone, Copy)]
pub struct VethPeer<'a> {
    /// Its name there.
    pub name: &'a str,
    /// Its link address.
    pub mac: [u8; 6],
    /// The network namespace it is made in.
    pub namespace: BorrowedFd<'a>,
}

/// Talks to the kernel about the links, addresses and routes of one network namespace.
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// What socket(2) and bind(2) say.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Opens a socket in another network namespace, from a thread that enters it and ends.
    ///
    /// # Errors
    /// What setns(2) says, and what `open` says.
    pub fn open_in(namespace: BorrowedFd<'_>) -> io::Result<Self> {
        in_namespace(namespace, Self::open)?
    }

    /// Makes a bridge with a link address of its own; one of that name is left as it is.
    ///
    /// A bridge whose address nobody chose takes the lowest of its ports' (`br_stp_recalculate_bridge_id`), and so another
    /// one whenever ports come and go.
    ///
    /// # Errors
    /// What rtnetlink(7) says.
    pub fn create_bridge(&mut self, name: &str, mac: [u8; 6]) -> io::Result<()> {
        let mut message = new_link(name, InfoKind::Bridge, Some(InfoData::Bridge(vec![InfoBridge::ForwardDelay(0)])));
        message.attributes.push(LinkAttribute::Address(mac.to_vec()));
        match self.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Has a bridge learn nothing from frames to the link-local group (01:80:c2:00:00:0X, kernel 4.20): they pass by its
    /// filters, so anybody behind a port could speak as anybody else in them.
    ///
    /// # Errors
    /// What rtnetlink(7) says.
    pub fn ignore_link_local(&mut self, bridge: &str) -> io::Result<()> {
        let value = BridgeBooleanOptionFlags::NoLinkLocalLearn;
        let options = InfoBridge::MultiBoolOpt(BridgeBooleanOptions { value, mask: value });
        let message = new_link(bridge, InfoKind::Bridge, Some(InfoData::Bridge(vec![options])));
        self.request(RouteNetlinkMessage::NewLink(message), 0)
    }

    /// Makes a pair of virtual Ethernet devices: `name` here, the peer where it says.
    ///
    /// # Errors
    /// `EEXIST` if either name is taken; what rtnetlink(7) says.
    pub fn create_veth(&mut self, name: &str, peer: &VethPeer<'_>, mtu: u32) -> io::Result<()> {
        let mut far = LinkMessage::default();
        far.attributes.push(LinkAttribute::IfName(peer.name.to_owned()));
        far.attributes.push(LinkAttribute::Address(peer.mac.to_vec()));
        far.attributes.push(LinkAttribute::Mtu(mtu));
        far.attributes.push(LinkAttribute::NetNsFd(peer.namespace.as_raw_fd()));
        let mut message = new_link(name, InfoKind::Veth, Some(InfoData::Veth(InfoVeth::Peer(far))));
        message.attributes.push(LinkAttribute::Mtu(mtu));
        self.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Removes a link; one that is not there counts as removed.
    ///
    /// # Errors
    /// What rtnetlink(7) says.
    pub fn delete_link(&mut self, name: &str) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        match self.request(RouteNetlinkMessage::DelLink(message), 0) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            other => other,
        }
    }

    /// Changes a link.
    ///
    /// # Errors
    /// What rtnetlink(7) says.
    pub fn change_link(&mut self, index: u32, change: &LinkChange) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        if let Some(up) = change.up {
            message.header.change_mask = LinkFlags::Up;
            message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        }
        message.attributes.extend(change.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        message.attributes.extend(change.mtu.map(LinkAttribute::Mtu));
        message.attributes.extend(change.master.map(LinkAttribute::Controller));
        message.attributes.extend(change.alias.clone().map(LinkAttribute::IfAlias));
        self.request(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Gives a link an address; one that it has already stays.
    ///
    /// # Errors
    /// What rtnetlink(7) says.
    pub fn add_address(&mut self, index: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.header.prefix_len = prefix;
        message.header.family = family(address);
        message.attributes.push(AddressAttribute::Local(address));
        message.attributes.push(AddressAttribute::Address(address));
        if let (IpAddr::V4(address), 0..=30) = (address, prefix) {
            let broadcast = std::net::Ipv4Addr::from_bits(address.to_bits() | (u32::MAX >> prefix));
            message.attributes.push(AddressAttribute::Broadcast(broadcast));
        }
        match self.request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Sends everything that has no better way through `gateway`, replacing the way there was.
    ///
    /// # Errors
    /// What rtnetlink(7) says.
    pub fn set_default_route(&mut self, index: u32, gateway: IpAddr) -> io::Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(gateway);
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.scope = RouteScope::Universe;
        message.header.kind = RouteType::Unicast;
        message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
        message.attributes.push(RouteAttribute::Oif(index));
        self.request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
    }

    fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.send(message, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        self.receive(|_| ())
    }

    fn dump(&mut self, message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.send(message, NLM_F_REQUEST | NLM_F_DUMP)?;
        let mut found = Vec::new();
        self.receive(|message| found.push(message))?;
        Ok(found)
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        Ok(())
    }

    /// Takes answers until the acknowledgement, the end of the list or an error.
    fn receive(&mut self, mut take: impl FnMut(RouteNetlinkMessage)) -> io::Result<()> {
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let packet = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
                let length = (packet.header.length as usize).next_multiple_of(4).clamp(1, rest.len());
                rest = &rest[length..];
                if packet.header.sequence_number != self.sequence {
                    continue; // A late answer to a request that was given up.
                }
                match packet.payload {
                    NetlinkPayload::Error(error) if error.code.is_none() => return Ok(()),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::Done(_) => return Ok(()),
                    NetlinkPayload::InnerMessage(message) => take(message),
                    _ => {}
                }
            }
        }
    }
}

fn new_link(name: &str, kind: InfoKind, data: Option<InfoData>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    let mut info = vec![LinkInfo::Kind(kind)];
    info.extend(data.map(LinkInfo::Data));
    message.attributes.push(LinkAttribute::LinkInfo(info));
    message
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

/// Opens the network namespace of a process.
///
/// # Errors
/// What open(2) says; `NotFound` if the process has ended.
pub fn network_namespace_of(pid: u32) -> io::Result<File> {
    File::open(format!("/proc/{pid}/ns/net"))
}

/// Runs `work` in another network namespace, in a thread of its own that ends with it.
///
/// # Errors
/// What setns(2) says; a panic of `work` is an error too.
pub fn in_namespace<T: Send>(namespace: BorrowedFd<'_>, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let inside = || -> io::Result<T> {
        rustix::thread::move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
        Ok(work())
    };
    std::thread::scope(|scope| scope.spawn(inside).join())
        .unwrap_or_else(|_| Err(io::Error::other("the work in the network namespace panicked")))
}

/// Makes a new, empty network namespace and returns it; the calling thread stays where it is.
///
/// # Errors
/// What unshare(2) says; `EPERM` without `CAP_SYS_ADMIN`.
#[allow(unsafe_code)]
pub fn new_namespace() -> io::Result<File> {
    let inside = || -> io::Result<File> {
        // SAFETY: only this short-lived thread leaves its network namespace; it shares no file descriptor table anew.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } < 0 {
            return Err(io::Error::last_os_error());
        }
        File::open("/proc/thread-self/ns/net")
    };
    std::thread::spawn(inside).join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
}
