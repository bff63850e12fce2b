//! The Merkle tree over the log's leaves: RFC 6962 section 2.1 with SHA-256.
//!
//! The writer needs only the frontier, one hash per complete subtree, to add a leaf and to tell the root. Proofs need
//! the leaves, and are computed from a list of them: rare, and 32 bytes each. The tree knows nothing of events.

use ring::digest::{Context, SHA256, digest};

/// Is a SHA-256 hash: of a leaf, of an inner node, of the whole tree.
pub type Hash = [u8; 32];

/// Is the domain separation of leaves (RFC 6962 section 2.1).
pub const LEAF_PREFIX: u8 = 0x00;
/// Is the domain separation of inner nodes.
pub const NODE_PREFIX: u8 = 0x01;

/// Hashes bytes with SHA-256.
pub fn sha256(bytes: &[u8]) -> Hash {
    take(digest(&SHA256, bytes))
}

/// Copies a digest out of the library's own type.
pub(in crate::storage) fn take(digest: ring::digest::Digest) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// Writes bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[digit as usize])).collect()
}

/// Hashes two subtrees into the one above them.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [NODE_PREFIX; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    sha256(&bytes)
}

/// Returns the root of the tree without leaves: the hash of nothing.
pub fn empty_root() -> Hash {
    take(Context::new(&SHA256).finish())
}

/// Is the right edge of a tree: the roots of its complete subtrees, largest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// Returns how many leaves the tree has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut size = self.size;
        while size & 1 == 1 {
            if let Some(left) = self.nodes.pop() {
                hash = node_hash(&left, &hash);
            }
            size >>= 1;
        }
        self.nodes.push(hash);
        self.size += 1;
    }

    /// Returns the root of the tree.
    pub fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev();
        let Some(last) = nodes.next() else { return empty_root() };
        nodes.fold(*last, |right, left| node_hash(left, &right))
    }

    /// Writes the hashes one after the other, to continue later from [`Frontier::from_bytes`].
    pub fn to_bytes(&self) -> Vec<u8> {
        self.nodes.concat()
    }

    /// Reads the frontier of a tree of `size` leaves, or nothing if the number of hashes does not fit.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let (nodes, rest) = bytes.as_chunks::<32>();
        let fits = rest.is_empty() && nodes.len() == size.count_ones() as usize;
        fits.then(|| Self { size, nodes: nodes.to_vec() })
    }
}

/// Returns the root over a list of leaves.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Frontier::default();
    for leaf in leaves {
        tree.push(*leaf);
    }
    tree.root()
}

/// Splits as RFC 6962 does: the largest power of two smaller than `size`, which is at least 2.
const fn split(size: usize) -> usize {
    1 << (usize::BITS - 1 - (size - 1).leading_zeros())
}

/// Returns the audit path of the leaf at `index` (from 0), from the leaf upward; nothing if there is no such leaf.
pub fn inclusion_proof(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    (index < leaves.len()).then(|| audit_path(leaves, index))
}

fn audit_path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, other) = if index < left.len() {
        (audit_path(left, index), root(right))
    } else {
        (audit_path(right, index - left.len()), root(left))
    };
    path.push(other);
    path
}

/// Tells whether `proof` shows that `leaf` stands at `index` (from 0) of the tree of `size` leaves with that `root`.
///
/// The walk is that of RFC 9162 section 2.1.3.2.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Returns the proof that the tree over `leaves` continues the one over its first `old` leaves.
///
/// Nothing is returned for an `old` of 0 or beyond the leaves; both sizes equal need no hashes.
pub fn consistency_proof(leaves: &[Hash], old: usize) -> Option<Vec<Hash>> {
    (0 < old && old <= leaves.len()).then(|| subproof(leaves, old, true))
}

fn subproof(leaves: &[Hash], old: usize, whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![root(leaves)] };
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut proof, other) = if old <= left.len() {
        (subproof(left, old, whole), root(right))
    } else {
        (subproof(right, old - left.len(), false), root(left))
    };
    proof.push(other);
    proof
}

/// Tells whether `proof` shows that the tree of `size` leaves continues the one of `old` leaves (RFC 9162 section 2.1.4.2).
pub fn verify_consistency(old: u64, old_root: &Hash, size: u64, new_root: &Hash, proof: &[Hash]) -> bool {
    if old == size {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 || old > size {
        return false;
    }
    let whole = old.is_power_of_two();
    let mut path = whole.then_some(old_root).into_iter().chain(proof);
    let Some(first) = path.next() else { return false };
    let (mut node, mut last) = (old - 1, size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut before, mut after) = (*first, *first);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            before = node_hash(sibling, &before);
            after = node_hash(sibling, &after);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            after = node_hash(&after, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && before == *old_root && after == *new_root
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count as u64).map(|n| sha256(&n.to_be_bytes())).collect()
    }

    /// The definition of RFC 6962 section 2.1, word for word.
    fn definition(leaves: &[Hash]) -> Hash {
        match leaves.len() {
            0 => empty_root(),
            1 => leaves[0],
            n => {
                let mut k = 1;
                while k * 2 < n {
                    k *= 2;
                }
                node_hash(&definition(&leaves[..k]), &definition(&leaves[k..]))
            }
        }
    }

    #[test]
    fn it_should_compute_the_roots_of_the_certificate_transparency_vectors() {
        let inputs: [&[u8]; 4] = [b"", b"\x00", b"\x10", b"\x20\x21"];
        let leaves: Vec<Hash> = inputs.iter().map(|input| sha256(&[&[LEAF_PREFIX], *input].concat())).collect();
        let hex = |hash: Hash| hex(&hash);
        assert_eq!(hex(root(&[])), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(hex(root(&leaves[..1])), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(hex(root(&leaves[..2])), "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
        assert_eq!(hex(root(&leaves[..3])), "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77");
        assert_eq!(hex(root(&leaves)), "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7");
    }

    #[test]
    fn the_frontier_agrees_with_the_definition_at_every_size() {
        let leaves = leaves(130);
        let mut tree = Frontier::default();
        for size in 0..=leaves.len() {
            assert_eq!(tree.root(), definition(&leaves[..size]), "{size}");
            assert_eq!(Frontier::from_bytes(size as u64, &tree.to_bytes()), Some(tree.clone()));
            if let Some(leaf) = leaves.get(size) {
                tree.push(*leaf);
            }
        }
    }

    #[test]
    fn every_leaf_and_every_prefix_of_a_tree_can_be_proved() {
        for size in 1..40_usize {
            let leaves = leaves(size);
            let whole = root(&leaves);
            for index in 0..size {
                let proof = inclusion_proof(&leaves, index).unwrap();
                assert!(
                    verify_inclusion(&leaves[index], index as u64, size as u64, &proof, &whole),
                    "{index} of {size}"
                );
                let prefix = root(&leaves[..=index]);
                let proof = consistency_proof(&leaves, index + 1).unwrap();
                assert!(
                    verify_consistency(index as u64 + 1, &prefix, size as u64, &whole, &proof),
                    "{index} of {size}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn a_proof_shows_nothing_else(size in 2_usize..60, a: prop::sample::Index, b: prop::sample::Index, flip: prop::sample::Index) {
            let leaves = leaves(size);
            let whole = root(&leaves);
            let (index, other) = (a.index(size), b.index(size));
            let mut proof = inclusion_proof(&leaves, index).unwrap();
            if index != other {
                prop_assert!(!verify_inclusion(&leaves[other], other as u64, size as u64, &proof, &whole));
            }
            let at = flip.index(proof.len());
            proof[at][0] ^= 1;
            prop_assert!(!verify_inclusion(&leaves[index], index as u64, size as u64, &proof, &whole));
            let old = 1 + index;
            let mut forged = leaves.clone();
            forged[other][5] ^= 1;
            if other < old {
                let proof = consistency_proof(&forged, old).unwrap();
                prop_assert!(!verify_consistency(old as u64, &root(&leaves[..old]), size as u64, &root(&forged), &proof));
            }
        }
    }
}
