//! What may go along when a container's files leave it for a place of the host.
//!
//! Inside, an unprivileged container's root is nobody on the host, and a set-uid bit, a file capability or a device node of
//! its making is worth nothing. Outside the same bits would be obeyed for everybody. Every way out passes its entries through
//! `Outward::admit`; ids of the container are no ids of the host, so files belong to whoever asked for them.

use serde::{Deserialize, Serialize};

use crate::repository::catalogue::{Entry, Node};
use crate::repository::id_map::Id;
use crate::types::LeftOut;

const SET_IDS: u32 = 0o6000;
const GROUP_BITS: u32 = 0o070;
const CAPABILITY: &[u8] = b"security.capability";
const ACCESS_LIST: &[u8] = b"system.posix_acl_access";
const ACCESS_LISTS: &[u8] = b"system.posix_acl_";
/// Attributes that no kernel and no security module reads.
const PLAIN: &[u8] = b"user.";
/// Tags of an entry of an access control list (linux/posix_acl.h).
const OWN_GROUP: u16 = 0x04;
const MASK: u16 = 0x10;

/// Says what may go along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outward {
    /// To whom the files belong outside: user and group of the host; the numbers from inside, if nobody is named.
    pub owner: Option<(u32, u32)>,
    /// Whether what the host would obey goes along: set-uid, set-gid, capabilities, devices, security attributes.
    pub privileges: bool,
}

impl Outward {
    /// Lets everything through as it is.
    pub const EVERYTHING: Self = Self { owner: None, privileges: true };

    /// Makes an entry harmless and counts what that took; `false` says that it stays behind.
    pub fn admit(self, entry: &mut Entry, left_out: &mut LeftOut) -> bool {
        if !self.privileges {
            if matches!(entry.node, Node::CharDevice { .. } | Node::BlockDevice { .. }) {
                left_out.devices += 1;
                return false;
            }
            left_out.set_ids += u64::from(entry.mode & SET_IDS != 0);
            entry.mode &= !SET_IDS;
            entry.attributes.retain(|attribute| is_harmless(&attribute.name, left_out));
        }
        if let Some((user, group)) = self.owner {
            (entry.owner, entry.group) = (Id::Outside(user), Id::Outside(group));
            entry.project = 0;
            drop_access_lists(entry, left_out);
        }
        true
    }
}

fn is_harmless(name: &[u8], left_out: &mut LeftOut) -> bool {
    if name.starts_with(PLAIN) || name.starts_with(ACCESS_LISTS) {
        return true;
    }
    let count = if name == CAPABILITY { &mut left_out.capabilities } else { &mut left_out.attributes };
    *count += 1;
    false
}

/// Takes the lists away, which name users of the container; the group keeps what its own entry allowed, not the mask.
fn drop_access_lists(entry: &mut Entry, left_out: &mut LeftOut) {
    if let Some(bits) = entry.attribute(ACCESS_LIST).and_then(group_bits) {
        entry.mode = entry.mode & !GROUP_BITS | bits;
    }
    let before = entry.attributes.len();
    entry.attributes.retain(|attribute| !attribute.name.starts_with(ACCESS_LISTS));
    left_out.access_lists += u64::from(entry.attributes.len() < before);
}

/// Returns what a list allows the owning group, as bits of a mode (acl(5); linux/posix_acl_xattr.h for the layout).
fn group_bits(list: &[u8]) -> Option<u32> {
    let entries = list.get(4..)?.chunks_exact(8);
    let mut allowed = 0o7;
    for entry in entries {
        let (tag, bits) = (u16::from_le_bytes([entry[0], entry[1]]), u16::from_le_bytes([entry[2], entry[3]]));
        if tag == OWN_GROUP || tag == MASK {
            allowed &= bits;
        }
    }
    Some(u32::from(allowed & 0o7) << 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::catalogue::Attribute;
    use crate::sys::fs::Moment;

    const CALLER: Outward = Outward { owner: Some((1000, 100)), privileges: false };

    fn entry(node: Node, mode: u32, attributes: &[(&[u8], &[u8])]) -> Entry {
        let attribute = |(name, value): &(&[u8], &[u8])| Attribute {
            name: name.to_vec(),
            value: value.to_vec(),
            outside: Vec::new(),
        };
        Entry {
            path: b"f".to_vec(),
            node,
            mode,
            owner: Id::Inside(0),
            group: Id::Inside(33),
            modified: Moment { seconds: 0, nanos: 0 },
            changed: Moment { seconds: 0, nanos: 0 },
            inode: 1,
            links: 1,
            hard_link: None,
            attributes: attributes.iter().map(attribute).collect(),
            flags: 0,
            project: 7,
            racy: false,
        }
    }

    fn names(entry: &Entry) -> Vec<&[u8]> {
        entry.attributes.iter().map(|attribute| attribute.name.as_slice()).collect()
    }

    #[test]
    fn what_the_host_would_obey_stays_behind_and_is_counted() {
        let mut left_out = LeftOut::default();
        let attributes: [(&[u8], &[u8]); 5] = [
            (CAPABILITY, b"x"),
            (b"security.ima", b"x"),
            (b"trusted.overlay.opaque", b"y"),
            (b"btrfs.compression", b"zstd"),
            (b"user.note", b"x"),
        ];
        let mut file = entry(Node::Fifo, 0o6755, &attributes);
        assert!(CALLER.admit(&mut file, &mut left_out));
        assert_eq!((file.mode, file.owner, file.group, file.project), (0o755, Id::Outside(1000), Id::Outside(100), 0));
        assert_eq!(names(&file), [b"user.note"]);
        for node in [Node::CharDevice { major: 1, minor: 1 }, Node::BlockDevice { major: 8, minor: 0 }] {
            assert!(!CALLER.admit(&mut entry(node, 0o666, &[]), &mut left_out));
        }
        let counted = LeftOut { set_ids: 1, capabilities: 1, devices: 2, attributes: 3, access_lists: 0 };
        assert_eq!(left_out, counted);
    }

    #[test]
    fn a_list_that_is_left_out_gives_the_group_no_more_than_it_had() {
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, bits) in [(0x01_u16, 7_u16), (0x02, 6), (OWN_GROUP, 4), (MASK, 6), (0x20, 0)] {
            list.extend([tag.to_le_bytes(), bits.to_le_bytes()].concat());
            list.extend(1000_u32.to_le_bytes());
        }
        let mut left_out = LeftOut::default();
        let mut file = entry(Node::Fifo, 0o760, &[(ACCESS_LIST, &list)]);
        assert!(CALLER.admit(&mut file, &mut left_out));
        assert_eq!((file.mode, names(&file).len(), left_out.access_lists), (0o740, 0, 1));
    }

    #[test]
    fn what_is_asked_to_go_along_does() {
        let mut left_out = LeftOut::default();
        let whole = entry(Node::CharDevice { major: 1, minor: 3 }, 0o6666, &[(CAPABILITY, b"x"), (ACCESS_LIST, b"x")]);
        let mut kept = whole.clone();
        assert!(Outward::EVERYTHING.admit(&mut kept, &mut left_out) && kept == whole && left_out.is_empty());
        let mut numbers = entry(Node::Fifo, 0o4700, &[(ACCESS_LIST, b"x")]);
        assert!(Outward { owner: None, privileges: false }.admit(&mut numbers, &mut left_out));
        assert_eq!((numbers.owner, numbers.mode, names(&numbers).len()), (Id::Inside(0), 0o700, 1));
    }
}
