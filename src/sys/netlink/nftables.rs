//! Adds and removes elements of a set of nftables, straight over netlink: no program is started for it.
//!
//! Message layout: linux/netfilter/nfnetlink.h (batches) and nf_tables.h (`NFTA_SET_ELEM_LIST_*`). Tables, sets and rules
//! themselves are made by `nft`, away from the path of a container's start.

use std::io;

use netlink_sys::{Socket, SocketAddr};

pub(super) const NETLINK_NETFILTER: isize = 12;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
pub(super) const SUBSYSTEM: u16 = 10;
const NEW_ELEMENT: u16 = (SUBSYSTEM << 8) | 0x0c;
const DELETE_ELEMENT: u16 = (SUBSYSTEM << 8) | 0x0e;
const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const CREATE: u16 = 0x400;
const NESTED: u16 = 0x8000;
const HEADER: usize = 16;

/// Is a family of tables that has sets (`NFPROTO_BRIDGE`).
const BRIDGE_FAMILY: u8 = 7;

/// Names a set of a table of the bridge family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetElements<'a> {
    /// The table.
    pub table: &'a str,
    /// The set in it.
    pub set: &'a str,
}

impl SetElements<'_> {
    /// Adds an element in the network namespace of the calling thread; one that is there stays.
    ///
    /// `key` is the concatenation of the set's fields, each padded to four bytes.
    ///
    /// # Errors
    /// `NotFound` if there is no such table or set; what nfnetlink says.
    pub fn add(&self, key: &[u8]) -> io::Result<()> {
        self.change(NEW_ELEMENT, CREATE, key)
    }

    /// Removes an element; one that is not there counts as removed, as does one of a table that is not there.
    ///
    /// # Errors
    /// What nfnetlink says.
    pub fn remove(&self, key: &[u8]) -> io::Result<()> {
        match self.change(DELETE_ELEMENT, 0, key) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn change(&self, kind: u16, flags: u16, key: &[u8]) -> io::Result<()> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.send_to(&self.batch(kind, flags, key), &SocketAddr::new(0, 0), 0)?;
        let (answer, _) = socket.recv_from_full()?;
        result(&answer)
    }

    fn batch(&self, kind: u16, flags: u16, key: &[u8]) -> Vec<u8> {
        let mut out = message(BATCH_BEGIN, REQUEST, 0, SUBSYSTEM, &[]);
        out.extend(message(kind, REQUEST | ACK | flags, BRIDGE_FAMILY, 0, &self.attributes(key)));
        out.extend(message(BATCH_END, REQUEST, 0, SUBSYSTEM, &[]));
        out
    }

    fn attributes(&self, key: &[u8]) -> Vec<u8> {
        let value = attribute(1, key); // NFTA_DATA_VALUE
        let element = attribute(1 | NESTED, &attribute(1 | NESTED, &value)); // NFTA_LIST_ELEM of NFTA_SET_ELEM_KEY
        let mut out = attribute(1, &terminated(self.table)); // NFTA_SET_ELEM_LIST_TABLE
        out.extend(attribute(2, &terminated(self.set))); // NFTA_SET_ELEM_LIST_SET
        out.extend(attribute(3 | NESTED, &element)); // NFTA_SET_ELEM_LIST_ELEMENTS
        out
    }
}

fn terminated(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 7);
    out.extend_from_slice(&(payload.len() as u16 + 4).to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(payload);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn message(kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + 4 + attributes.len());
    out.extend_from_slice(&((HEADER + 4 + attributes.len()) as u32).to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&flags.to_ne_bytes());
    out.extend_from_slice(&1_u32.to_ne_bytes()); // Sequence: one request per socket.
    out.extend_from_slice(&0_u32.to_ne_bytes()); // Port: the kernel fills it in.
    out.extend_from_slice(&[family, 0]); // struct nfgenmsg: family, version, resource in network order.
    out.extend_from_slice(&resource.to_be_bytes());
    out.extend_from_slice(attributes);
    out
}

fn result(answer: &[u8]) -> io::Result<()> {
    let code = answer.get(HEADER..HEADER + 4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "nfnetlink answered with too few bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_made_of_whole_aligned_messages() {
        let bytes = SetElements { table: "berth-00000000", set: "leases" }.batch(NEW_ELEMENT, CREATE, &[7; 28]);
        let mut rest = bytes.as_slice();
        let mut kinds = Vec::new();
        while !rest.is_empty() {
            let length = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
            assert_eq!(length % 4, 0);
            kinds.push(u16::from_ne_bytes(rest[4..6].try_into().unwrap()));
            rest = &rest[length..];
        }
        assert_eq!(kinds, [BATCH_BEGIN, NEW_ELEMENT, BATCH_END]);
    }
}
