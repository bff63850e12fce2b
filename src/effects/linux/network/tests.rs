//! Networks on a real kernel, inside network namespaces of their own: the machine's network is never touched.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::*;
use crate::sys::netlink::{Changes, News, in_namespace, new_namespace};
use crate::sys::socket::send_frame;
use crate::types::MacAddress;

const INSTANCE: &str = "00c0ffee";
const BRIDGE: &str = "b00c0ffeenet000";

/// A host of its own, with another host one hop away.
struct Fixture {
    host: File,
    outside: File,
    place: tempfile::TempDir,
}

fn fixture() -> Option<Fixture> {
    let (host, outside) = match (new_namespace(), new_namespace()) {
        (Ok(host), Ok(outside)) => (host, outside),
        (Err(error), _) | (_, Err(error)) => {
            println!("skipped: no network namespace: {error}");
            return None;
        }
    };
    let mut netlink = Netlink::open_in(host.as_fd()).unwrap();
    let peer = VethPeer { name: "up0", mac: [2, 0, 0, 0, 0, 9], namespace: outside.as_fd() };
    netlink.create_veth("wan0", &peer, 1500).unwrap();
    up(&mut netlink, "wan0", [192, 0, 2, 1]);
    up(&mut Netlink::open_in(outside.as_fd()).unwrap(), "up0", [192, 0, 2, 2]);
    Some(Fixture { host, outside, place: tempfile::tempdir().unwrap() })
}

fn up(netlink: &mut Netlink, name: &str, address: [u8; 4]) {
    let link = netlink.link(name).unwrap().unwrap();
    netlink.add_address(link.index, IpAddr::from(address), 24).unwrap();
    netlink.change_link(link.index, &LinkChange { up: Some(true), ..LinkChange::default() }).unwrap();
}

impl Fixture {
    fn networks(&self) -> Networks {
        let run = self.place.path();
        Networks::with_run(INSTANCE, &run.join("berth/00c0ffee"), run)
    }

    /// Another instance on the same host.
    fn neighbour(&self) -> Networks {
        let run = self.place.path();
        Networks::with_run("0badcafe", &run.join("berth/0badcafe"), run)
    }

    fn on_host<T: Send>(&self, work: impl FnOnce(&Networks) -> T + Send) -> T {
        let networks = self.networks();
        in_namespace(self.host.as_fd(), || work(&networks)).unwrap()
    }

    fn container(&self, last: u8) -> (File, Lease, String) {
        let namespace = new_namespace().unwrap();
        let (lease, port) = (lease(last), format!("v{INSTANCE}port0{last}"));
        self.on_host(|networks| networks.ensure_link_in(&lease, &namespace, &port)).unwrap();
        (namespace, lease, port)
    }
}

fn subnet() -> Subnet {
    Subnet::V4("10.77.3.0/24".parse::<Ipv4Subnet>().unwrap())
}

fn network() -> NetworkId {
    NetworkId::from_bytes([7; 16])
}

fn lease(last: u8) -> Lease {
    Lease {
        network: network(),
        bridge: BRIDGE.to_owned(),
        subnet: subnet(),
        address: IpAddr::from([10, 77, 3, last]),
        gateway: IpAddr::from([10, 77, 3, 1]),
        mac: MacAddress::local([2, 0, 0, 0, 3, last]),
    }
}

/// How long may take what has to arrive; the wait ends with it.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long is waited for what must not arrive.
const MOMENT: Duration = Duration::from_millis(1500);

/// Tells whether a TCP connection from one namespace to an address that another one serves says what it should.
fn reaches(from: &File, to: &File, address: IpAddr, port: u16, patience: Duration) -> Option<IpAddr> {
    let listener = in_namespace(to.as_fd(), || TcpListener::bind((address, port)).unwrap()).unwrap();
    listener.set_nonblocking(true).unwrap();
    let target = std::net::SocketAddr::new(address, port);
    in_namespace(from.as_fd(), || {
        let mut stream = TcpStream::connect_timeout(&target, patience).ok()?;
        let (mut accepted, from) = listener.accept().ok()?;
        accepted.write_all(b"x").ok()?;
        stream.read_exact(&mut [0]).ok()?;
        Some(from.ip())
    })
    .unwrap()
}

#[test]
fn containers_reach_each_other_and_a_host_outside_through_nat() {
    let Some(fixture) = fixture() else { return };
    let warnings = fixture.on_host(|networks| networks.ensure_network(network(), BRIDGE, subnet())).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let (one, lease_one, port_one) = fixture.container(2);
    let (two, lease_two, _) = fixture.container(3);
    assert_eq!(reaches(&one, &two, lease_two.address, 7001, PATIENCE), Some(lease_one.address));
    let outside = IpAddr::from([192, 0, 2, 2]);
    let seen = reaches(&one, &fixture.outside, outside, 7002, PATIENCE);
    assert_eq!(seen, Some(IpAddr::from([192, 0, 2, 1])), "the outside must see the host's address");
    fixture.on_host(|networks| {
        networks.ensure_network(network(), BRIDGE, subnet()).unwrap(); // Repeated: the leases stay.
        networks.ensure_link_in(&lease_one, &one, &port_one).unwrap();
    });
    assert_eq!(reaches(&two, &one, lease_one.address, 7003, PATIENCE), Some(lease_two.address));
    fixture.on_host(|networks| {
        networks.ensure_link_gone(&lease_one, &port_one).unwrap();
        networks.ensure_link_gone(&lease_one, &port_one).unwrap();
        networks.ensure_network_gone(BRIDGE).unwrap();
        networks.ensure_network_gone(BRIDGE).unwrap();
        let forwarding = std::fs::read_to_string("/proc/sys/net/ipv4/conf/wan0/forwarding").unwrap();
        assert_eq!(forwarding.trim(), "0", "forwarding is what it was");
        let rules = std::process::Command::new("nft").args(["list", "ruleset"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&rules.stdout), "", "no rule is left");
    });
}

/// Tells whether a datagram arrives, sent again and again: the first may be lost while the link address is looked up.
fn datagram_arrives(from: &File, to: &File, target: IpAddr, patience: Duration) -> bool {
    // Any free port: a program that is being spawned beside this keeps the last one in use for a moment.
    let receiver = in_namespace(to.as_fd(), || UdpSocket::bind((target, 0)).unwrap()).unwrap();
    let sender = in_namespace(from.as_fd(), || UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
    let port = receiver.local_addr().unwrap().port();
    arrives(&sender, &receiver, (target, port), patience)
}

fn arrives(sender: &UdpSocket, receiver: &UdpSocket, target: (IpAddr, u16), patience: Duration) -> bool {
    let begun = Instant::now();
    receiver.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    while begun.elapsed() < patience {
        // A neighbour that does not answer is told as an error of the next call.
        let _ = sender.send_to(b"x", target);
        if receiver.recv_from(&mut [0; 4]).is_ok() {
            return true;
        }
    }
    false
}

#[test]
fn a_port_cannot_send_as_another_address_or_link_address() {
    let Some(fixture) = fixture() else { return };
    fixture.on_host(|networks| networks.ensure_network(network(), BRIDGE, subnet())).unwrap();
    let (one, ..) = fixture.container(2);
    let (two, lease_two, _) = fixture.container(3);
    assert!(datagram_arrives(&one, &two, lease_two.address, PATIENCE), "as itself");
    let mut inside = Netlink::open_in(one.as_fd()).unwrap();
    let eth0 = inside.link("eth0").unwrap().unwrap();
    let mac = LinkChange { mac: Some([2, 0, 0, 0, 3, 99]), ..LinkChange::default() };
    inside.change_link(eth0.index, &mac).unwrap();
    assert!(!datagram_arrives(&one, &two, lease_two.address, MOMENT), "with another link address");
    let mac = LinkChange { mac: Some([2, 0, 0, 0, 3, 2]), ..LinkChange::default() };
    inside.change_link(eth0.index, &mac).unwrap();
    assert!(datagram_arrives(&one, &two, lease_two.address, PATIENCE), "as itself again");
    inside.add_address(eth0.index, IpAddr::from([10, 77, 3, 66]), 32).unwrap();
    let spoofed = in_namespace(one.as_fd(), || UdpSocket::bind("10.77.3.66:0").unwrap()).unwrap();
    let receiver = in_namespace(two.as_fd(), || UdpSocket::bind((lease_two.address, 7011)).unwrap()).unwrap();
    assert!(!arrives(&spoofed, &receiver, (lease_two.address, 7011), MOMENT), "as another address");
}

#[test]
fn one_container_does_not_take_every_connection_that_the_host_keeps() {
    let Some(fixture) = fixture() else { return };
    fixture.on_host(|networks| networks.ensure_network(network(), BRIDGE, subnet())).unwrap();
    fixture.on_host(|_| firewall::bound_connections(BRIDGE, 20)).unwrap();
    let ((greedy, _, _), (neighbour, _, _)) = (fixture.container(2), fixture.container(3));
    let outside = IpAddr::from([192, 0, 2, 2]);
    assert!(datagram_arrives(&greedy, &fixture.outside, outside, PATIENCE));
    in_namespace(greedy.as_fd(), || {
        for _ in 0..200 {
            UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"x", (outside, 9)).unwrap();
        }
    })
    .unwrap();
    let kept = fixture.on_host(|_| std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count")).unwrap();
    let kept: u32 = kept.trim().parse().unwrap();
    assert!((15..=40).contains(&kept), "{kept} connections");
    assert!(!datagram_arrives(&greedy, &fixture.outside, outside, MOMENT), "it has all it may have");
    assert!(datagram_arrives(&neighbour, &fixture.outside, outside, PATIENCE));
    let missing = || fixture.on_host(|_| firewall::missing_rules(INSTANCE, BRIDGE)).unwrap();
    assert_eq!(missing(), Vec::<String>::new());
    let flush = ["flush", "chain", "inet", &format!("berth-{BRIDGE}"), "connections"];
    fixture.on_host(|_| std::process::Command::new("nft").args(flush).status()).unwrap();
    assert_eq!(missing().len(), 1);
    for what in [["delete", "chain"], ["delete", "set"]] {
        let delete = [what[0], what[1], "inet", &format!("berth-{BRIDGE}"), "connections"];
        fixture.on_host(|_| std::process::Command::new("nft").args(delete).status()).unwrap();
        assert_eq!(missing().len(), 1, "{what:?}");
    }
    fixture.on_host(|networks| networks.ensure_network(network(), BRIDGE, subnet())).unwrap();
    assert_eq!(missing(), Vec::<String>::new());
}

#[test]
fn a_switch_of_a_port_or_a_bridge_that_somebody_changed_is_missed_and_set_again() {
    let Some(fixture) = fixture() else { return };
    fixture.on_host(|networks| networks.ensure_network(network(), BRIDGE, subnet())).unwrap();
    let (namespace, lease, port) = fixture.container(2);
    let missing = || {
        let ports = std::slice::from_ref(&port);
        fixture.on_host(|networks| networks.missing(network(), BRIDGE, subnet(), ports, false)).unwrap()
    };
    assert_eq!(missing(), Vec::<String>::new());
    for (link, protocol, switch, value) in [
        (port.as_str(), "ipv4", "rp_filter", "0"),
        (&port, "ipv4", "arp_ignore", "0"),
        (&port, "ipv4", "accept_redirects", "1"),
        (&port, "ipv6", "disable_ipv6", "0"),
        (BRIDGE, "ipv6", "disable_ipv6", "0"),
    ] {
        fixture.on_host(|_| std::fs::write(switch_of(link, protocol, switch), value)).unwrap();
        assert_eq!(missing(), [format!("the switch {switch} of {link}")]);
        fixture.on_host(|networks| {
            networks.ensure_network(network(), BRIDGE, subnet()).unwrap();
            networks.ensure_link_in(&lease, &namespace, &port).unwrap();
        });
        assert_eq!(missing(), Vec::<String>::new(), "{switch} of {link}");
    }
}

/// What root of a container can send to a link-local group: a frame that speaks as a neighbour, a router's advertisement, and
/// a datagram from somewhere else.
fn past_the_bridge(own: [u8; 6], other: [u8; 6]) -> [Vec<u8>; 3] {
    let to_group = |from: [u8; 6], kind: u16, rest: &[&[u8]]| {
        let group = [0x01, 0x80, 0xc2, 0, 0, 0x0e];
        [group.as_slice(), &from, &kind.to_be_bytes(), &rest.concat()].concat()
    };
    let router = [&[0xfe, 0x80][..], &[0; 13], &[1]].concat();
    let all_nodes = [&[0xff, 0x02][..], &[0; 13], &[1]].concat();
    let mut advertisement = [&[134, 0, 0, 0, 64, 0, 0, 120][..], &[0; 8], &[1, 1], &own].concat();
    let length = advertisement.len() as u8;
    let pseudo = [router.as_slice(), &all_nodes, &[0, 0, 0, length, 0, 0, 0, 58], &advertisement].concat();
    advertisement[2..4].copy_from_slice(&checksum(&pseudo));
    let head = [0x60, 0, 0, 0, 0, length, 58, 255];
    let datagram = [0, 9, 0x17, 0x6f, 0, 9, 0, 0, b'x'];
    let mut ip = [0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0, 8, 8, 8, 8, 10, 77, 3, 1];
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum);
    [
        to_group(other, 0x88cc, &[&[0; 46]]),
        to_group(own, 0x86dd, &[&head, &router, &all_nodes, &advertisement]),
        to_group(own, 0x0800, &[&ip, &datagram]),
    ]
}

/// The checksum of the internet protocols (RFC 1071).
fn checksum(data: &[u8]) -> [u8; 2] {
    let words = data.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum >> 16 > 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

#[test]
fn frames_that_pass_by_the_bridge_reach_neither_its_table_nor_the_host() {
    let Some(fixture) = fixture() else { return };
    fixture.on_host(|networks| networks.ensure_network(network(), BRIDGE, subnet())).unwrap();
    let ((attacker, own, open), (victim, other, port)) = (fixture.container(2), fixture.container(3));
    let listener = fixture.on_host(|_| UdpSocket::bind("0.0.0.0:5999")).unwrap();
    assert!(datagram_arrives(&victim, &fixture.outside, IpAddr::from([192, 0, 2, 2]), PATIENCE));
    let frames = past_the_bridge(*own.mac.as_bytes(), *other.mac.as_bytes());
    let eth0 = Netlink::open_in(attacker.as_fd()).unwrap().link("eth0").unwrap().unwrap().index;
    in_namespace(attacker.as_fd(), || frames.iter().for_each(|frame| send_frame(eth0, frame).unwrap())).unwrap();
    let other = other.mac.to_string();
    listener.set_read_timeout(Some(MOMENT)).unwrap();
    assert!(listener.recv_from(&mut [0; 4]).is_err(), "a datagram from somewhere else reached the host");
    fixture.on_host(|_| {
        let routes = std::fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap();
        let default = format!("{} 00 ", "0".repeat(32));
        assert!(!routes.lines().any(|line| line.starts_with(&default) && !line.ends_with("lo")), "{routes}");
        let table = std::process::Command::new("bridge").args(["fdb", "show", "br", BRIDGE]).output();
        let table = String::from_utf8(table.expect("the program bridge, of iproute2").stdout).unwrap();
        let lines: Vec<&str> = table.lines().filter(|line| line.starts_with(&other)).collect();
        assert!(lines.iter().all(|line| line.contains(&port)) && !lines.is_empty(), "{table}");
    });
    // They are such frames: a port that is not closed takes them.
    fixture.on_host(|_| std::fs::write(switch_of(&open, "ipv4", "rp_filter"), "0")).unwrap();
    in_namespace(attacker.as_fd(), || send_frame(eth0, &frames[2]).unwrap()).unwrap();
    listener.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(listener.recv_from(&mut [0; 4]).unwrap().1.ip(), IpAddr::from([8, 8, 8, 8]));
}

#[test]
fn two_networks_do_not_see_each_other() {
    let Some(fixture) = fixture() else { return };
    let other = Subnet::V4("10.77.4.0/24".parse().unwrap());
    fixture.on_host(|networks| {
        networks.ensure_network(network(), BRIDGE, subnet()).unwrap();
        networks.ensure_network(NetworkId::from_bytes([8; 16]), "b00c0ffeenet001", other).unwrap();
    });
    let (one, ..) = fixture.container(2);
    let second = Lease {
        bridge: "b00c0ffeenet001".to_owned(),
        subnet: other,
        address: IpAddr::from([10, 77, 4, 2]),
        gateway: IpAddr::from([10, 77, 4, 1]),
        mac: MacAddress::local([2, 0, 0, 0, 4, 2]),
        ..lease(2)
    };
    let two = new_namespace().unwrap();
    fixture.on_host(|networks| networks.ensure_link_in(&second, &two, "v00c0ffeeport99")).unwrap();
    assert_eq!(reaches(&one, &two, second.address, 7020, MOMENT), None);
    assert!(reaches(&two, &fixture.outside, IpAddr::from([192, 0, 2, 2]), 7021, PATIENCE).is_some());
}

#[test]
fn a_link_is_made_in_milliseconds() {
    let Some(fixture) = fixture() else { return };
    fixture.on_host(|networks| networks.ensure_network(network(), BRIDGE, subnet())).unwrap();
    let namespaces: Vec<File> = (0..8).map(|_| new_namespace().unwrap()).collect();
    let before = Instant::now();
    for (index, namespace) in namespaces.iter().enumerate() {
        let port = format!("v{INSTANCE}fast0{index}");
        let lease = lease(100 + index as u8);
        fixture.on_host(|networks| networks.ensure_link_in(&lease, namespace, &port)).unwrap();
    }
    println!("one link took {:?}", before.elapsed() / 8);
}

#[test]
fn the_host_s_subnets_are_not_chosen() {
    let Some(fixture) = fixture() else { return };
    fixture.on_host(|networks| networks.ensure_network(network(), BRIDGE, subnet())).unwrap();
    let mut netlink = Netlink::open_in(fixture.host.as_fd()).unwrap();
    let used = used_by_host(&mut netlink).unwrap();
    let taken: Vec<_> = used.iter().map(|used| used.subnet).collect();
    assert!(taken.contains(&"10.77.3.0/24".parse().unwrap()) && taken.contains(&"192.0.2.0/24".parse().unwrap()));
}

#[test]
fn the_gateway_keeps_its_link_address_whoever_comes_and_goes() {
    let Some(fixture) = fixture() else { return };
    let mac = || {
        let mut netlink = Netlink::open_in(fixture.host.as_fd()).unwrap();
        netlink.link(BRIDGE).unwrap().unwrap().mac
    };
    fixture.on_host(|networks| networks.ensure_network(network(), BRIDGE, subnet())).unwrap();
    let first = mac();
    for last in 2..10 {
        let (_namespace, lease, port) = fixture.container(last);
        let low = LinkChange { mac: Some([2, 0, 0, 0, 0, last]), ..LinkChange::default() };
        let mut netlink = Netlink::open_in(fixture.host.as_fd()).unwrap();
        let index = netlink.link(&port).unwrap().unwrap().index;
        netlink.change_link(index, &low).unwrap();
        assert_eq!(mac(), first, "a port with a lower address came");
        fixture.on_host(|networks| networks.ensure_link_gone(&lease, &port)).unwrap();
        assert_eq!(mac(), first, "it went");
    }
    fixture.on_host(|networks| {
        networks.ensure_network_gone(BRIDGE).unwrap();
        networks.ensure_network(network(), BRIDGE, subnet()).unwrap();
    });
    assert_eq!(mac(), first, "the host was started again");
}

#[test]
fn a_bridge_that_had_no_address_of_its_own_gets_it() {
    let Some(fixture) = fixture() else { return };
    let wanted = *link_address(network(), subnet().first_host()).as_bytes();
    fixture.on_host(|networks| {
        let mut netlink = Netlink::open().unwrap();
        netlink.create_bridge(BRIDGE, [2, 9, 9, 9, 9, 9]).unwrap();
        networks.ensure_network(network(), BRIDGE, subnet()).unwrap();
        assert_eq!(netlink.link(BRIDGE).unwrap().unwrap().mac, Some(wanted));
    });
}

/// What a range would be in the way of on the fixture's host, once it has a default route and one into a VPN.
fn in_the_way_of(fixture: &Fixture, text: &str) -> String {
    let found = fixture.on_host(|_| in_the_way(&mut Netlink::open().unwrap(), text.parse().unwrap(), None).unwrap());
    found.join("; ")
}

#[test]
fn what_the_host_uses_itself_is_named() {
    let Some(fixture) = fixture() else { return };
    fixture.on_host(|_| {
        for words in ["default via 192.0.2.2", "10.0.0.0/9 via 192.0.2.7", "unreachable 172.20.0.0/16"] {
            let words: Vec<&str> = ["route", "add"].into_iter().chain(words.split(' ')).collect();
            assert!(std::process::Command::new("ip").args(words).status().unwrap().success());
        }
    });
    for (text, wanted) in [
        ("192.0.2.0/24", "the address 192.0.2.1/24 of wan0"),
        ("192.0.2.128/25", "the address 192.0.2.1/24 of wan0"),
        ("192.0.0.0/16", "the address 192.0.2.1/24 of wan0"),
        ("10.40.0.0/24", "the route to 10.0.0.0/9 by wan0"),
        ("172.20.4.0/24", "the route to 172.20.0.0/16"),
        ("8.8.8.0/24", "hosts of the Internet"),
    ] {
        let found = in_the_way_of(&fixture, text);
        assert!(found.contains(wanted), "{text}: {found}");
    }
    for text in ["10.200.0.0/24", "192.168.7.0/24", "198.51.100.0/24"] {
        assert_eq!(in_the_way_of(&fixture, text), "", "{text}");
    }
}

#[test]
fn what_comes_into_the_way_later_is_told_and_goes_again() {
    let Some(fixture) = fixture() else { return };
    let warnings = fixture.on_host(|networks| networks.ensure_network(network(), BRIDGE, subnet())).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let route = |verb| {
        let words = ["route", verb, "10.77.0.0/16", "via", "192.0.2.2"];
        assert!(std::process::Command::new("ip").args(words).status().unwrap().success());
    };
    fixture.on_host(|networks| {
        route("add");
        let told = networks.shortcomings(BRIDGE, subnet()).unwrap();
        assert!(told.len() == 1 && told[0].contains("the route to 10.77.0.0/16 by wan0"), "{told:?}");
        route("del");
        assert_eq!(networks.shortcomings(BRIDGE, subnet()).unwrap(), Vec::<String>::new());
    });
}

const WAN: &str = "/proc/sys/net/ipv4/conf/wan0/forwarding";
const GLOBAL: &str = "/proc/sys/net/ipv4/ip_forward";

#[test]
fn an_instance_that_goes_does_not_turn_off_what_another_needs() {
    let Some(fixture) = fixture() else { return };
    let neighbour = fixture.neighbour();
    let other = "b0badcafenet000";
    let range = "10.78.3.0/24".parse().unwrap();
    let forwarding = || std::fs::read_to_string(WAN).unwrap().trim().to_owned();
    for first_goes_first in [true, false] {
        fixture.on_host(|networks| {
            networks.ensure_network(network(), BRIDGE, subnet()).unwrap();
            neighbour.ensure_network(NetworkId::from_bytes([9; 16]), other, range).unwrap();
            assert!(networks.missing(network(), BRIDGE, subnet(), &[], false).unwrap().is_empty());
            std::fs::write(format!("/proc/sys/net/ipv4/conf/{other}/forwarding"), "0").unwrap();
            let missing = networks.missing(network(), BRIDGE, subnet(), &[], false).unwrap();
            assert_eq!(missing, Vec::<String>::new(), "a neighbour's bridge is no way out");
            let (first, last) = ((networks, BRIDGE), (&neighbour, other));
            let (first, last) = if first_goes_first { (first, last) } else { (last, first) };
            first.0.ensure_network_gone(first.1).unwrap();
            assert_eq!(forwarding(), "1", "somebody still needs it");
            last.0.ensure_network_gone(last.1).unwrap();
            assert_eq!(forwarding(), "0", "it is as it was before both");
        });
    }
}

#[test]
fn a_network_that_is_made_while_the_last_one_goes_is_whole() {
    let Some(fixture) = fixture() else { return };
    let networks = fixture.networks();
    let [one, other] = [7, 8].map(|number| {
        let networks = networks.clone();
        let bridge = format!("b{INSTANCE}net00{number}");
        let subnet = Subnet::V4(format!("10.77.{number}.0/24").parse::<Ipv4Subnet>().unwrap());
        let network = NetworkId::from_bytes([number; 16]);
        move || {
            for _ in 0..20 {
                networks.ensure_network(network, &bridge, subnet).unwrap();
                let missing = networks.missing(network, &bridge, subnet, &[], true).unwrap();
                assert_eq!(missing, Vec::<String>::new());
                networks.ensure_network_gone(&bridge).unwrap();
            }
        }
    });
    std::thread::scope(|scope| {
        let host = fixture.host.as_fd();
        let threads = [scope.spawn(move || in_namespace(host, one)), scope.spawn(move || in_namespace(host, other))];
        for thread in threads {
            thread.join().unwrap().unwrap();
        }
    });
}

#[test]
fn what_forwards_no_more_is_missing_and_comes_back() {
    let Some(fixture) = fixture() else { return };
    let missing = |networks: &Networks| networks.missing(network(), BRIDGE, subnet(), &[], true).unwrap();
    fixture.on_host(|networks| {
        networks.ensure_network(network(), BRIDGE, subnet()).unwrap();
        assert_eq!(networks.on_host().unwrap(), [(BRIDGE.to_owned(), subnet())]);
        assert_eq!(missing(networks), Vec::<String>::new());
        // What `sysctl --system` does on a host whose global switch was on: every link is reset with it.
        std::fs::write(GLOBAL, "1").unwrap();
        std::fs::write(GLOBAL, "0").unwrap();
        let off = missing(networks);
        assert!(off.contains(&"forwarding from wan0".to_owned()), "{off:?}");
        assert!(off.contains(&format!("forwarding from {BRIDGE}")), "{off:?}");
        networks.ensure_network(network(), BRIDGE, subnet()).unwrap();
        assert_eq!(missing(networks), Vec::<String>::new());
    });
}

#[test]
fn an_uplink_that_comes_later_is_missed_and_then_carries_the_way_out() {
    let Some(fixture) = fixture() else { return };
    fixture.on_host(|networks| networks.ensure_network(network(), BRIDGE, subnet())).unwrap();
    let (one, ..) = fixture.container(2);
    let far = new_namespace().unwrap();
    let mut netlink = Netlink::open_in(fixture.host.as_fd()).unwrap();
    let peer = VethPeer { name: "up1", mac: [2, 0, 0, 0, 0, 8], namespace: far.as_fd() };
    netlink.create_veth("wan1", &peer, 1500).unwrap();
    up(&mut netlink, "wan1", [198, 51, 100, 1]);
    up(&mut Netlink::open_in(far.as_fd()).unwrap(), "up1", [198, 51, 100, 2]);
    let target = IpAddr::from([198, 51, 100, 2]);
    assert_eq!(reaches(&one, &far, target, 7040, MOMENT), None);
    fixture.on_host(|networks| {
        let missing = networks.missing(network(), BRIDGE, subnet(), &[], false).unwrap();
        assert_eq!(missing, ["forwarding from wan1"]);
        networks.ensure_network(network(), BRIDGE, subnet()).unwrap();
    });
    assert!(reaches(&one, &far, target, 7041, PATIENCE).is_some());
}

#[test]
fn the_kernel_tells_of_forwarding_routes_and_rules_but_not_of_containers() {
    let Some(fixture) = fixture() else { return };
    fixture.on_host(|networks| {
        networks.ensure_network(network(), BRIDGE, subnet()).unwrap();
        let news = News::open().unwrap();
        let heard = || {
            let mut heard = Changes::default();
            while let next @ Changes { .. } = news.wait(Duration::from_millis(100)).unwrap()
                && next != Changes::default()
            {
                heard = heard.and(next);
            }
            heard
        };
        let run = |program: &str, words: &str| {
            assert!(std::process::Command::new(program).args(words.split(' ')).status().unwrap().success(), "{words}");
        };
        let namespace = new_namespace().unwrap();
        networks.ensure_link_in(&lease(2), &namespace, "v00c0ffeeport77").unwrap();
        assert_eq!(heard(), Changes::default(), "a container starts");
        std::fs::write(WAN, "0").unwrap();
        assert_eq!(heard(), Changes { ways: true, ..Changes::default() });
        run("ip", "route add default via 192.0.2.2");
        assert_eq!(heard(), Changes { ways: true, ..Changes::default() });
        run("nft", "add table ip other");
        assert_eq!(heard(), Changes { rules: true, ..Changes::default() });
    });
}
