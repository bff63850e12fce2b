//! Hears what changes: links, addresses, routes and forwarding by rtnetlink(7), tables, chains and rules by the multicast of
//! nftables.
//!
//! Numbers: linux/rtnetlink.h (`RTNLGRP_…`, `RTM_…`), linux/netconf.h (`NETCONFA_…`), linux/netfilter/nfnetlink.h
//! (`NFNLGRP_NFTABLES`), linux/netfilter/nf_tables.h (`NFT_MSG_…`). What every start of a container brings is not told: new
//! links with their settings, elements of sets.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::nftables::{NETLINK_NETFILTER, SUBSYSTEM};
use crate::sys::poll::{self, Interest};

/// Links, IPv4 addresses, IPv4 routes, IPv4 settings of links.
const GROUPS_ROUTE: [u32; 4] = [1, 5, 7, 24];
const GROUP_NFTABLES: u32 = 7;
const LINK_GONE: u16 = 17;
/// An address or a route that comes or goes.
const WAYS: [u16; 4] = [20, 21, 24, 25];
const SETTINGS: u16 = 80;
/// The setting that is told beside forwarding only for a new link, which tells all of them.
const REVERSE_PATH: u16 = 3;
const FORWARDING: u16 = 2;
/// Table, chain and rule, each new and gone, and a set that is gone.
const RULES: [u16; 7] = [0, 2, 3, 5, 6, 8, 11];

/// Says what changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// A link is gone.
    pub links: bool,
    /// Addresses, routes, or whether links forward.
    pub ways: bool,
    /// Filter rules.
    pub rules: bool,
}

impl Changes {
    /// Is when nobody knows what changed.
    pub const ALL: Self = Self { links: true, ways: true, rules: true };

    /// Returns what is in either.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { links: self.links || other.links, ways: self.ways || other.ways, rules: self.rules || other.rules }
    }
}

/// Listens in the network namespace of the thread that opened it.
pub struct News {
    routes: Socket,
    rules: Socket,
}

impl News {
    /// Begins to listen.
    ///
    /// # Errors
    /// What socket(2), bind(2) and setsockopt(2) say.
    pub fn open() -> io::Result<Self> {
        let listen = |protocol, groups: &[u32]| {
            let mut socket = Socket::new(protocol)?;
            socket.bind(&SocketAddr::new(0, 0))?;
            groups.iter().try_for_each(|group| socket.add_membership(*group))?;
            socket.set_non_blocking(true)?;
            Ok::<_, io::Error>(socket)
        };
        Ok(Self { routes: listen(NETLINK_ROUTE, &GROUPS_ROUTE)?, rules: listen(NETLINK_NETFILTER, &[GROUP_NFTABLES])? })
    }

    /// Waits until there is news, at most so long; says what changed, which may be nothing.
    ///
    /// # Errors
    /// What poll(2) and recvfrom(2) say.
    pub fn wait(&self, limit: Duration) -> io::Result<Changes> {
        let mut interests = [Interest::read(self.routes.as_fd()), Interest::read(self.rules.as_fd())];
        poll::wait(&mut interests, Some(limit))?;
        Ok(drain(&self.routes, of_route)?.and(drain(&self.rules, of_filter)?))
    }
}

fn of_route((kind, payload): (u16, &[u8])) -> Changes {
    let ways = WAYS.contains(&kind) || (kind == SETTINGS && tells_forwarding(payload));
    Changes { links: kind == LINK_GONE, ways, rules: false }
}

fn of_filter((kind, _): (u16, &[u8])) -> Changes {
    let rules = kind >> 8 == SUBSYSTEM && RULES.contains(&(kind & 0xff));
    Changes { rules, ..Changes::default() }
}

/// Says whether somebody switched forwarding (`struct netconfmsg`, padded to four bytes, then attributes).
fn tells_forwarding(payload: &[u8]) -> bool {
    let kinds: Vec<u16> = attributes(payload.get(4..).unwrap_or_default()).collect();
    kinds.contains(&FORWARDING) && !kinds.contains(&REVERSE_PATH)
}

/// Lists the kinds of attributes (`struct rtattr`: length, kind, …).
fn attributes(bytes: &[u8]) -> impl Iterator<Item = u16> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?);
        rest = rest.get(length.max(4).next_multiple_of(4)..).unwrap_or_default();
        Some(kind)
    })
}

/// Reads what is there and says what it tells. What the kernel could not deliver may have been anything.
fn drain(socket: &Socket, meaning: impl Fn((u16, &[u8])) -> Changes) -> io::Result<Changes> {
    let mut found = Changes::default();
    loop {
        match socket.recv_from_full() {
            Ok((bytes, _)) => found = messages(&bytes).map(&meaning).fold(found, Changes::and),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(found),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => found = Changes::ALL,
            Err(error) => return Err(error),
        }
    }
}

/// Lists the messages of a datagram with their kinds (`struct nlmsghdr`: length, kind, …, 16 bytes; netlink(7)).
fn messages(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(rest.get(4..6)?.try_into().ok()?);
        let payload = rest.get(16..length.max(16).min(rest.len())).unwrap_or_default();
        rest = rest.get(length.max(16).next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u16, length: u32) -> Vec<u8> {
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize((length as usize).next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn every_message_of_a_datagram_is_seen() {
        let bytes = [message(16, 18), message(LINK_GONE, 16), message(3, 40)].concat();
        assert_eq!(messages(&bytes).map(|(kind, _)| kind).collect::<Vec<_>>(), [16, LINK_GONE, 3]);
        assert_eq!(messages(&bytes).map(|(_, payload)| payload.len()).collect::<Vec<_>>(), [2, 0, 24]);
    }

    #[test]
    fn a_new_link_is_not_taken_for_somebody_who_switches_forwarding() {
        let settings = |kinds: &[u16]| {
            let attribute = |kind: &u16| [8_u16.to_ne_bytes(), kind.to_ne_bytes(), [0, 0], [0, 0]].concat();
            [vec![2, 0, 0, 0], kinds.iter().flat_map(attribute).collect()].concat()
        };
        assert!(of_route((SETTINGS, &settings(&[1, FORWARDING]))).ways);
        assert!(!of_route((SETTINGS, &settings(&[1, FORWARDING, REVERSE_PATH, 4]))).ways);
        assert!(!of_route((SETTINGS, &settings(&[1, 4]))).ways);
    }

    proptest! {
        #[test]
        fn no_datagram_makes_it_hang(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for (_, payload) in messages(&bytes) {
                let _ = tells_forwarding(payload);
            }
        }
    }
}
