//! Addresses of networks and interfaces: subnets (`10.0.3.0/24`) and MAC addresses (`02:5e:…`).
//!
//! They parse, print and calculate. Which subnet is free and who has which address is decided elsewhere.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Is a range of addresses with one prefix.
///
/// IPv4 alone today; the other family becomes a second variant, and every `match` then says where it matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subnet {
    /// A range of IPv4 addresses.
    V4(Ipv4Subnet),
}

/// Is a range of IPv4 addresses (RFC 4632): a network address and the length of its prefix, 0 to 32.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ipv4Subnet {
    network: Ipv4Addr,
    prefix: u8,
}

/// Says why a text is no subnet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSubnet {
    /// Not an address, a slash and a number.
    #[error("cannot read the subnet {text:?}; write an IPv4 network such as 10.0.3.0/24")]
    Unreadable {
        /// What was given.
        text: String,
    },
    /// An IPv6 network.
    #[error("the subnet {text:?} is IPv6, which is not supported; write an IPv4 network such as 10.0.3.0/24")]
    Ipv6 {
        /// What was given.
        text: String,
    },
    /// An address inside a network instead of the network's own.
    #[error("{text} is an address inside a network; the network itself is {network}")]
    HostBits {
        /// What was given.
        text: String,
        /// The network it lies in.
        network: Ipv4Subnet,
    },
}

impl Ipv4Subnet {
    /// Makes the subnet that has the address in it, if the prefix is at most 32.
    pub const fn around(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        if prefix > 32 {
            return None;
        }
        Some(Self { network: Ipv4Addr::from_bits(address.to_bits() & mask(prefix)), prefix })
    }

    /// Returns the first address, which names the network.
    pub const fn network(self) -> Ipv4Addr {
        self.network
    }

    /// Returns the length of the prefix in bits.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// Returns the prefix as a mask: `255.255.255.0`.
    pub const fn netmask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(mask(self.prefix))
    }

    /// Returns the last address; in subnets of /30 and wider it is the broadcast address.
    pub const fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() | !mask(self.prefix))
    }

    /// Returns the first address that an interface can have.
    pub fn first_host(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(*self.host_bits().start())
    }

    /// Returns every address that an interface can have, in order.
    ///
    /// The network and broadcast addresses are left out, but for /31 (RFC 3021) and /32, which have none.
    pub fn hosts(self) -> impl DoubleEndedIterator<Item = Ipv4Addr> {
        self.host_bits().map(Ipv4Addr::from_bits)
    }

    /// Returns how many addresses interfaces can have.
    pub fn host_count(self) -> u64 {
        let bits = self.host_bits();
        u64::from(*bits.end()) - u64::from(*bits.start()) + 1
    }

    /// Returns whether the address lies in the range.
    pub const fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix) == self.network.to_bits()
    }

    /// Returns whether every address of the other range lies in this one.
    pub const fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.network)
    }

    /// Returns whether any address lies in both.
    pub const fn overlaps(self, other: Self) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }

    fn host_bits(self) -> std::ops::RangeInclusive<u32> {
        let (first, last) = (self.network.to_bits(), self.broadcast().to_bits());
        if self.prefix >= 31 { first..=last } else { first + 1..=last - 1 }
    }
}

const fn mask(prefix: u8) -> u32 {
    if prefix == 0 { 0 } else { u32::MAX << (32 - prefix) }
}

impl Subnet {
    /// Returns the first address, which names the network.
    pub const fn network(self) -> IpAddr {
        let Self::V4(subnet) = self;
        IpAddr::V4(subnet.network())
    }

    /// Returns the length of the prefix in bits.
    pub const fn prefix(self) -> u8 {
        let Self::V4(subnet) = self;
        subnet.prefix()
    }

    /// Returns the first address that an interface can have.
    pub fn first_host(self) -> IpAddr {
        let Self::V4(subnet) = self;
        IpAddr::V4(subnet.first_host())
    }

    /// Returns every address that an interface can have, in order.
    pub fn hosts(self) -> impl DoubleEndedIterator<Item = IpAddr> {
        let Self::V4(subnet) = self;
        subnet.hosts().map(IpAddr::V4)
    }

    /// Returns the last address of the range.
    pub const fn broadcast(self) -> IpAddr {
        let Self::V4(subnet) = self;
        IpAddr::V4(subnet.broadcast())
    }

    /// Returns whether the address lies in the range.
    pub const fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4(subnet), IpAddr::V4(address)) => subnet.contains(address),
            (Self::V4(_), IpAddr::V6(_)) => false,
        }
    }

    /// Returns whether any address lies in both.
    pub const fn overlaps(self, other: Self) -> bool {
        let (Self::V4(left), Self::V4(right)) = (self, other);
        left.overlaps(right)
    }
}

impl FromStr for Ipv4Subnet {
    type Err = InvalidSubnet;

    fn from_str(text: &str) -> Result<Self, InvalidSubnet> {
        let shown = || text.chars().take(64).collect::<String>();
        let unreadable = || InvalidSubnet::Unreadable { text: shown() };
        let (address, prefix) = text.split_once('/').ok_or_else(unreadable)?;
        let plain = prefix.len() <= 3 && prefix.bytes().all(|byte| byte.is_ascii_digit()) && !prefix.starts_with("00");
        let prefix: u8 = prefix.parse().ok().filter(|_| plain).ok_or_else(unreadable)?;
        let address = match address.parse() {
            Ok(IpAddr::V4(address)) => address,
            Ok(IpAddr::V6(_)) => return Err(InvalidSubnet::Ipv6 { text: shown() }),
            Err(_) => return Err(unreadable()),
        };
        let network = Self::around(address, prefix).ok_or_else(unreadable)?;
        if network.network != address {
            return Err(InvalidSubnet::HostBits { text: shown(), network });
        }
        Ok(network)
    }
}

impl FromStr for Subnet {
    type Err = InvalidSubnet;
    fn from_str(text: &str) -> Result<Self, InvalidSubnet> {
        text.parse().map(Self::V4)
    }
}

impl TryFrom<String> for Subnet {
    type Error = InvalidSubnet;
    fn try_from(text: String) -> Result<Self, InvalidSubnet> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

impl fmt::Display for Ipv4Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.network, self.prefix))
    }
}

impl fmt::Debug for Ipv4Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::V4(subnet) = self;
        fmt::Display::fmt(subnet, f)
    }
}

impl fmt::Debug for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subnet(text: &str) -> Ipv4Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn it_should_count_the_hosts_of_every_size() {
        for (text, first, last, count) in [
            ("10.0.3.0/24", [10, 0, 3, 1], [10, 0, 3, 254], 254),
            ("10.0.3.4/30", [10, 0, 3, 5], [10, 0, 3, 6], 2),
            ("10.0.3.4/31", [10, 0, 3, 4], [10, 0, 3, 5], 2),
            ("10.0.3.4/32", [10, 0, 3, 4], [10, 0, 3, 4], 1),
            ("0.0.0.0/0", [0, 0, 0, 1], [255, 255, 255, 254], 4_294_967_294),
        ] {
            let subnet = subnet(text);
            assert_eq!(subnet.first_host(), Ipv4Addr::from(first), "{text}");
            assert_eq!(subnet.hosts().next_back(), Some(Ipv4Addr::from(last)), "{text}");
            assert_eq!(subnet.host_count(), count, "{text}");
        }
    }

    #[test]
    fn it_should_name_the_network_when_given_a_host() {
        let message = "10.0.3.7/24".parse::<Subnet>().unwrap_err().to_string();
        assert_eq!(message, "10.0.3.7/24 is an address inside a network; the network itself is 10.0.3.0/24");
    }

    #[test]
    fn it_should_refuse_what_is_no_ipv4_network() {
        for text in
            ["", "10.0.3.0", "10.0.3.0/33", "10.0.3.0/", "10.0.3.0/+8", "10.0.3/24", "fd00::/8", "a/8", "10.0.3.0/-1"]
        {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_subnet_survives_text(bits: u32, prefix in 0_u8..=32) {
            let subnet = Ipv4Subnet::around(Ipv4Addr::from_bits(bits), prefix).unwrap();
            prop_assert_eq!(subnet.to_string().parse::<Ipv4Subnet>(), Ok(subnet));
            prop_assert!(subnet.contains(Ipv4Addr::from_bits(bits)));
        }

        #[test]
        fn two_subnets_overlap_exactly_if_they_share_an_end(a: u32, b: u32, p in 0_u8..=32, q in 0_u8..=32, near: bool) {
            let b = if near { a ^ (b >> 20) } else { b };
            let left = Ipv4Subnet::around(Ipv4Addr::from_bits(a), p).unwrap();
            let right = Ipv4Subnet::around(Ipv4Addr::from_bits(b), q).unwrap();
            let shares = left.network().max(right.network()) <= left.broadcast().min(right.broadcast());
            prop_assert_eq!(left.overlaps(right), shares);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9./:a-f]{0,24}|.{0,40}") {
            let _ = text.parse::<Subnet>();
        }
    }
}
