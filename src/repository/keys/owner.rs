//! Who owns a store: its `config`, the fences of its owners, and what another node may do.
//!
//! One node writes, by its epoch; a node that takes over has a higher one. The file of an epoch is made exclusively, so two
//! nodes that both think it is theirs find out before either writes.

use serde::{Deserialize, Serialize};

use crate::repository::error::{Error, Result};
use crate::repository::medium::Medium;
use crate::repository::store::{Access, FORMAT, Purpose, missing, put};
use crate::types::{NodeId, StoreId};

/// The most that a small file of a store can have.
pub const SMALL_MAX: u64 = 64 << 10;

/// Is what a store says of itself to everyone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Config {
    /// How it is written.
    pub format: u32,
    /// Which store it is.
    pub store: StoreId,
    /// The node that writes to it.
    pub owner: NodeId,
    /// The owner's epoch.
    pub epoch: u64,
}

/// Writes the config; from then on it counts.
///
/// # Errors
/// What the store says.
pub fn put_config(medium: &dyn Medium, config: &Config) -> Result<()> {
    let json = serde_json::to_vec_pretty(config).map_err(|error| Error::damaged("config", error.to_string()))?;
    put(medium, "config", &json)
}

/// Reads the config.
///
/// # Errors
/// `Newer` before anything else is looked at; `Missing` if there is no store; what the store says.
pub fn read_config(medium: &dyn Medium) -> Result<Config> {
    #[derive(Deserialize)]
    struct Mark {
        format: u32,
    }
    let bytes = medium.read_whole("config", SMALL_MAX).map_err(missing("the config of a backup store"))?;
    let damaged = |error: serde_json::Error| Error::damaged("the config of the backup store", error.to_string());
    let mark: Mark = serde_json::from_slice(&bytes).map_err(damaged)?;
    if mark.format > FORMAT {
        return Err(Error::Newer { found: mark.format, known: FORMAT });
    }
    serde_json::from_slice(&bytes).map_err(damaged)
}

/// Returns which store lies in a place.
///
/// # Errors
/// What [`read_config`] says.
pub fn store_of(medium: &dyn Medium) -> Result<StoreId> {
    Ok(read_config(medium)?.store)
}

/// Makes the epoch this owner's: the file is made exclusively, so two nodes cannot both have it.
///
/// # Errors
/// `Fenced` if another has it; what the store says.
pub fn fence(medium: &dyn Medium, config: &Config) -> Result<()> {
    let path = format!("fences/{}", config.epoch);
    let owner = config.owner.to_string();
    let mut file = match medium.create(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return check_fence(medium, &path, config),
        Err(error) => return Err(Error::store("create", &path)(error)),
    };
    file.write(owner.as_bytes()).map_err(Error::store("write", &path))?;
    file.sync().map_err(Error::store("sync", &path))?;
    medium.sync_directory("fences").map_err(Error::store("sync", "fences"))
}

/// Takes a fence that this node made in an attempt that died; any other is another's.
fn check_fence(medium: &dyn Medium, path: &str, config: &Config) -> Result<()> {
    let bytes = medium.read_whole(path, SMALL_MAX).map_err(Error::store("read", path))?;
    let owner = String::from_utf8_lossy(&bytes).into_owned();
    if owner == config.owner.to_string() { Ok(()) } else { Err(Error::Fenced { owner, epoch: config.epoch }) }
}

/// Makes this node the owner, or finds that it is.
///
/// # Errors
/// `ReadOnly` if another owns the store, `Fenced` if the epoch is taken or past; what the store says.
pub fn claim(medium: &dyn Medium, config: Config, access: &Access, purpose: Purpose) -> Result<Config> {
    let fenced = || Error::Fenced { owner: config.owner.to_string(), epoch: access.epoch };
    match (config.owner == access.node, purpose) {
        (true, _) if access.epoch < config.epoch => Err(fenced()),
        (true, _) if access.epoch == config.epoch => Ok(config),
        (false, Purpose::TakeOver) if access.epoch <= config.epoch => Err(fenced()),
        (false, Purpose::Read | Purpose::Write) => {
            Err(Error::ReadOnly { owner: config.owner.to_string(), epoch: config.epoch })
        }
        _ => {
            let claimed = Config { owner: access.node, epoch: access.epoch, ..config };
            fence(medium, &claimed)?;
            put_config(medium, &claimed)?;
            Ok(claimed)
        }
    }
}
