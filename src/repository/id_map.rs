//! Owner ids in a backup are those the container sees; a tree whose ids are shifted on the host is mapped in and out.
//!
//! Ids sit in three places: owner and group, the entries of POSIX ACLs (acl(5), linux/posix_acl_xattr.h) and the root id
//! of a file capability of version 3 (capabilities(7)). An id outside the container's range is kept as the host's id, and
//! marked, so that it survives a round trip to any other range.

use super::catalogue::{Attribute, Entry};

/// Is an owner as a backup keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Id {
    /// The id that the container sees.
    Inside(u32),
    /// An id of the host that lies outside the container's range.
    Outside(u32),
}

/// Maps the host's ids `base..base + count` to the container's ids `0..count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdMap {
    base: u32,
    count: u32,
}

const ACL_NAMES: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];
const CAPABILITY_NAME: &[u8] = b"security.capability";
const ACL_HEADER: usize = 4;
const ACL_ENTRY: usize = 8;
const ACL_USER: u16 = 0x02;
const ACL_GROUP: u16 = 0x08;
const CAPABILITY_3_LENGTH: usize = 24;
const CAPABILITY_3_ROOT: usize = 20;

impl IdMap {
    /// Maps every id to itself: the tree already holds the ids that the container sees.
    pub const IDENTITY: Self = Self { base: 0, count: u32::MAX };

    /// Maps the `count` ids from `base` on.
    pub const fn new(base: u32, count: u32) -> Self {
        Self { base, count }
    }

    /// Returns what a backup keeps for the host's `id`.
    pub fn inward(self, id: u32) -> Id {
        match id.checked_sub(self.base) {
            Some(inside) if inside < self.count || self == Self::IDENTITY => Id::Inside(inside),
            _ => Id::Outside(id),
        }
    }

    /// Returns the host's id for what a backup keeps; nothing if the range is too small for it.
    pub fn outward(self, id: Id) -> Option<u32> {
        match id {
            Id::Outside(id) => Some(id),
            Id::Inside(id) if self == Self::IDENTITY => Some(id),
            Id::Inside(id) if id < self.count => self.base.checked_add(id),
            Id::Inside(_) => None,
        }
    }

    /// Returns an id of an entry, as owner, group or in an attribute, that the range is too small for; nothing if it has none.
    pub fn beyond(self, entry: &Entry) -> Option<u32> {
        let in_attributes = entry.attributes.iter().flat_map(|attribute| {
            let places = id_places(&attribute.name, &attribute.value).into_iter();
            places
                .filter(|place| !attribute.outside.contains(&(*place as u32)))
                .map(|place| read_id(&attribute.value, place))
        });
        let owners = [entry.owner, entry.group].into_iter().map(|id| match id {
            Id::Inside(id) | Id::Outside(id) => id,
        });
        owners.chain(in_attributes).find(|id| *id >= self.count)
    }

    /// Returns what a backup keeps for an attribute of the host.
    pub fn attribute_inward(self, name: Vec<u8>, mut value: Vec<u8>) -> Attribute {
        let mut outside = Vec::new();
        for place in id_places(&name, &value) {
            match self.inward(read_id(&value, place)) {
                Id::Inside(id) => write_id(&mut value, place, id),
                Id::Outside(_) => outside.push(place as u32),
            }
        }
        Attribute { name, value, outside }
    }

    /// Returns the value to set on the host; nothing if the range is too small for an id in it.
    pub fn attribute_outward(self, attribute: &Attribute) -> Option<Vec<u8>> {
        let mut value = attribute.value.clone();
        for place in id_places(&attribute.name, &attribute.value) {
            if !attribute.outside.contains(&(place as u32)) {
                let id = self.outward(Id::Inside(read_id(&value, place)))?;
                write_id(&mut value, place, id);
            }
        }
        Some(value)
    }
}

/// Lists where in a value the ids stand; nowhere if it is another attribute or no well-formed value.
fn id_places(name: &[u8], value: &[u8]) -> Vec<usize> {
    if name == CAPABILITY_NAME && value.len() == CAPABILITY_3_LENGTH && value[3] == 3 {
        return vec![CAPABILITY_3_ROOT];
    }
    if !ACL_NAMES.contains(&name) || value.len() < ACL_HEADER || !(value.len() - ACL_HEADER).is_multiple_of(ACL_ENTRY) {
        return Vec::new();
    }
    let named = |at: &usize| [ACL_USER, ACL_GROUP].contains(&u16::from_le_bytes([value[*at], value[*at + 1]]));
    (ACL_HEADER..value.len()).step_by(ACL_ENTRY).filter(named).map(|at| at + 4).collect()
}

fn read_id(value: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([value[at], value[at + 1], value[at + 2], value[at + 3]])
}

fn write_id(value: &mut [u8], at: usize, id: u32) {
    value[at..at + 4].copy_from_slice(&id.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn acl(entries: &[(u16, u32)]) -> Vec<u8> {
        let mut value = 2_u32.to_le_bytes().to_vec();
        for (tag, id) in entries {
            value.extend(tag.to_le_bytes());
            value.extend(7_u16.to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        value
    }

    proptest! {
        #[test]
        fn any_attribute_survives_the_way_in_and_out(name in 0_usize..4, value: Vec<u8>, base in 0_u32..2_000_000_000, count in 1_u32..100_000) {
            let names: [&[u8]; 4] = [ACL_NAMES[0], ACL_NAMES[1], CAPABILITY_NAME, b"user.x"];
            let map = IdMap::new(base, count);
            let kept = map.attribute_inward(names[name].to_vec(), value.clone());
            prop_assert_eq!(map.attribute_outward(&kept), Some(value));
        }

        #[test]
        fn any_id_survives_the_way_in_and_out(id: u32, base: u32, count: u32) {
            for map in [IdMap::new(base, count), IdMap::IDENTITY] {
                prop_assert_eq!(map.outward(map.inward(id)), Some(id));
            }
        }
    }

    #[test]
    fn ids_of_an_acl_move_from_range_to_range_and_strangers_stay() {
        let (old, new) = (IdMap::new(100_000, 65_536), IdMap::new(300_000, 65_536));
        let host = acl(&[(1, u32::MAX), (ACL_USER, 101_234), (ACL_GROUP, 77), (0x20, u32::MAX)]);
        let kept = old.attribute_inward(ACL_NAMES[0].to_vec(), host);
        let there = new.attribute_outward(&kept).unwrap();
        assert_eq!(there, acl(&[(1, u32::MAX), (ACL_USER, 301_234), (ACL_GROUP, 77), (0x20, u32::MAX)]));
    }

    #[test]
    fn an_id_that_does_not_fit_the_new_range_is_told() {
        assert_eq!(IdMap::new(5000, 10).outward(Id::Inside(10)), None);
        assert_eq!(IdMap::new(5000, 10).outward(Id::Outside(10)), Some(10));
    }
}
