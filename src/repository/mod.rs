//! L3: the backup engine: chunks, packs, index, catalogue, keys, stores.
//!
//! A tree goes in through a `Session` (`walk` → `pass` → `content` → `writer` → `pack`), and its `Manifest` makes it a backup.
//! It comes out through a `View` (`catalogue`, `merged`, `select` → `restore`). `store` keeps the order in which things become
//! durable, `verify` finds what did not stay as it was. The engine knows trees, ids and bytes: not containers, schedules,
//! retention or freezing, which are its callers' business, and it collects no garbage yet.

mod backup;
pub mod catalogue;
mod content;
mod data;
mod error;
mod id_map;
mod keys;
mod manifest;
mod medium;
mod pack;
mod pass;
mod pattern;
mod presence;
mod reader;
mod restore;
mod store;
mod template;
mod verify;
mod view;
mod walk;
mod writer;

pub use backup::{BackupOptions, Particulars, PassReport, Progress, Session};
pub use catalogue::footprint::{Footprint, Measure};
pub use catalogue::merged::{Merged, find};
pub use catalogue::select::{Selected, select};
pub use data::{FILE, cat};
pub use error::{Error, Result};
pub use id_map::{Id, IdMap};
pub use keys::RecoveryKey;
pub use keys::key_file::has_key;
pub use keys::owner::store_of;
pub use manifest::{
    BackupKind, CatalogueReference, Counters, Exception, Manifest, Outcome, TemplateRecord, TreeDigest,
};
pub use medium::{Directory, Medium, MediumFile, occupied};
pub use pattern::Pattern;
pub use reader::Reader;
pub use restore::{Inode, Outward, RestoreOptions, RestoreReport, require_empty, restore, strip};
pub use store::{Access, FORMAT, Purpose, Repository, WeakRepository};
pub use verify::{Finding, VerifyReport, verify_without_key};
pub use view::View;
pub use walk::{Found, LinkNames, Step, Walk};

#[cfg(test)]
mod tests;
