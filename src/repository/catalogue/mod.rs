//! The catalogue: every name of a tree in one order, with all that makes it what it is, in blocks that stand alone.
//!
//! Browsing and restoring one file read only the blocks they need: `blocks` finds them. The byte layout is written down in
//! `encode`; `decode` is its mirror and takes nothing on trust; `digest` gives a tree its name.

mod blocks;
mod bytes;
mod decode;
mod digest;
mod encode;
mod entry;
pub(super) mod footprint;
pub(super) mod merged;
pub(super) mod select;

pub use blocks::{Blocks, Catalogue, Entries};
pub use bytes::Malformed;
pub(super) use bytes::{Reader, put_number};
pub use decode::decode_block;
pub use digest::{Digest, Hasher, hash_file, tree_digest};
pub use encode::{BlockReference, BlockSink, CatalogueWriter, encode_block};
pub use entry::{Attribute, ChunkId, ChunkReference, Entry, FileContent, Node, is_beneath, order};
