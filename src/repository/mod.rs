//! L3: the backup engine: chunks, packs, index, catalogue, keys, stores.

pub mod catalogue;
mod error;
mod id_map;
mod walk;

pub use error::{Error, Result};
pub use id_map::{Id, IdMap};
pub use walk::{Found, LinkNames, Step, Walk};
