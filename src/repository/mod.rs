//! L3: the backup engine: chunks, packs, index, catalogue, keys, stores.

mod backup;
mod bundle;
pub mod catalogue;
mod chunker;
mod compress;
mod content;
mod error;
mod id_map;
mod index;
mod key_file;
mod keys;
mod manifest;
mod medium;
mod pack;
mod pass;
mod pattern;
mod reader;
mod store;
mod walk;
mod writer;

pub use backup::{BackupOptions, Particulars, PassReport, Progress, Session};
pub use error::{Error, Result};
pub use id_map::{Id, IdMap};
pub use keys::RecoveryKey;
pub use manifest::{
    BackupKind, CatalogueReference, Counters, Exception, Manifest, Outcome, TemplateRecord, TreeDigest,
};
pub use medium::{Directory, Medium, MediumFile};
pub use pattern::Pattern;
pub use reader::Reader;
pub use store::{Access, FORMAT, Purpose, Repository};
pub use walk::{Found, LinkNames, Step, Walk};
