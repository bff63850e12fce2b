//! Hears what goes away: links by rtnetlink(7), tables, chains and rules by the multicast of nftables.
//!
//! Numbers: linux/rtnetlink.h (`RTNLGRP_LINK`, `RTM_DELLINK`), linux/netfilter/nfnetlink.h (`NFNLGRP_NFTABLES`),
//! linux/netfilter/nf_tables.h (`NFT_MSG_DEL…`). Elements of sets come and go with every container and are not told.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::nftables::{NETLINK_NETFILTER, SUBSYSTEM};
use crate::sys::poll::{self, Interest};

const GROUP_LINK: u32 = 1;
const GROUP_NFTABLES: u32 = 7;
const LINK_GONE: u16 = 17;
/// Table, chain, rule and set.
const RULES_GONE: [u16; 4] = [2, 5, 8, 11];

/// Says what went away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loss {
    /// A link.
    pub links: bool,
    /// Filter rules.
    pub rules: bool,
}

/// Listens in the network namespace of the thread that opened it.
pub struct News {
    links: Socket,
    rules: Socket,
}

impl News {
    /// Begins to listen.
    ///
    /// # Errors
    /// What socket(2), bind(2) and setsockopt(2) say.
    pub fn open() -> io::Result<Self> {
        let listen = |protocol, group| {
            let mut socket = Socket::new(protocol)?;
            socket.bind(&SocketAddr::new(0, 0))?;
            socket.add_membership(group)?;
            socket.set_non_blocking(true)?;
            Ok::<_, io::Error>(socket)
        };
        Ok(Self { links: listen(NETLINK_ROUTE, GROUP_LINK)?, rules: listen(NETLINK_NETFILTER, GROUP_NFTABLES)? })
    }

    /// Waits until there is news, at most so long; says what was lost, which may be nothing.
    ///
    /// # Errors
    /// What poll(2) and recvfrom(2) say.
    pub fn wait(&self, limit: Duration) -> io::Result<Loss> {
        let mut interests = [Interest::read(self.links.as_fd()), Interest::read(self.rules.as_fd())];
        poll::wait(&mut interests, Some(limit))?;
        let rules = |kind: u16| kind >> 8 == SUBSYSTEM && RULES_GONE.contains(&(kind & 0xff));
        Ok(Loss { links: drain(&self.links, |kind| kind == LINK_GONE)?, rules: drain(&self.rules, rules)? })
    }
}

/// Reads what is there and says whether such a message was in it. What the kernel could not deliver may have been one.
fn drain(socket: &Socket, wanted: impl Fn(u16) -> bool) -> io::Result<bool> {
    let mut found = false;
    loop {
        match socket.recv_from_full() {
            Ok((bytes, _)) => found |= kinds(&bytes).any(&wanted),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(found),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => found = true,
            Err(error) => return Err(error),
        }
    }
}

/// Lists the kinds of the messages in a datagram (`struct nlmsghdr`: length, kind, …; netlink(7)).
fn kinds(bytes: &[u8]) -> impl Iterator<Item = u16> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(rest.get(4..6)?.try_into().ok()?);
        rest = rest.get(length.max(16).next_multiple_of(4)..).unwrap_or_default();
        Some(kind)
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
        assert_eq!(kinds(&bytes).collect::<Vec<_>>(), [16, LINK_GONE, 3]);
    }

    proptest! {
        #[test]
        fn no_datagram_makes_it_hang(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = kinds(&bytes).count();
        }
    }
}
