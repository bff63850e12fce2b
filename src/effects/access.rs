//! What users reach into while it is there: sessions, console logs, usage, files in backups. Nothing here changes state.

use std::io::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::command_line::CommandLine;
use crate::domain::effect::Failure;
use crate::types::{BackupId, BytePath, ContainerId, Fingerprint, SessionId, StoreId, Timestamp, Usage};

/// The least that is kept free where the disks lie: what the log calls critical (`storage::Watermarks`).
pub const RESERVE_MIN: u64 = 128 << 20;
/// The most: what is written while containers are found, told and held still, many times over.
const RESERVE_MAX: u64 = 1 << 30;

/// Returns how much is kept free of the file system where the disks lie, by its size: an eighth, within bounds.
/// With less all containers stand still.
pub fn reserve(size: u64) -> u64 {
    (size / 8).clamp(RESERVE_MIN, RESERVE_MAX)
}

/// Returns how much has to be free, of a reserve, for those to go on that stand still.
pub const fn enough(reserve: u64) -> u64 {
    2 * reserve
}

/// Is what somebody wants to run inside a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRequest {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// More environment, `KEY=value`.
    pub environment: Vec<String>,
    /// The user inside; root if none is named.
    pub user: Option<String>,
    /// The working directory inside.
    pub directory: Option<String>,
    /// Rows and columns of the terminal, if one is wanted.
    pub terminal: Option<(u16, u16)>,
    /// Whether that terminal does not print what is typed, since a file types.
    #[serde(default)]
    pub without_echo: bool,
}

/// Lets its bearer into a container once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionTicket {
    /// The session.
    pub session: SessionId,
    /// The supervisor's socket.
    pub socket: PathBuf,
    /// The secret to show there; valid once.
    pub token: String,
}

/// Is one entry of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Its path.
    pub path: BytePath,
    /// `file`, `directory`, `symlink` …
    pub kind: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group inside the container.
    pub owner: (u32, u32),
    /// Bytes of content.
    pub size: u64,
    /// Last change of content.
    pub modified: Timestamp,
    /// Where a symbolic link points.
    pub target: Option<BytePath>,
}

/// Gives access to what is there.
pub trait Access: Send + Sync + 'static {
    /// Prepares a session and returns the ticket for it; whoever shows it is connected by the supervisor itself.
    ///
    /// # Errors
    /// The container does not run, or its supervisor does not answer.
    fn open_session(
        &self,
        container: ContainerId,
        session: SessionId,
        request: &SessionRequest,
    ) -> Result<SessionTicket, Failure>;

    /// Lists the sessions that a container's supervisor knows, entered or still waited for; none where nothing runs.
    fn sessions(&self, container: ContainerId) -> Vec<SessionId>;

    /// Returns the file that holds what a container's console prints while it runs.
    fn console_log(&self, container: ContainerId) -> PathBuf;

    /// Returns the files of what it printed in the runs that are kept, the oldest first; the last is the run under way, if
    /// there is one.
    fn console_logs(&self, container: ContainerId) -> Vec<PathBuf>;

    /// Returns what a running container uses.
    fn usage(&self, container: ContainerId) -> Option<Usage>;

    /// Returns the bytes that are free where the disks of containers lie.
    fn disk_space(&self) -> Option<u64>;

    /// Returns the bytes that there are in all, free or not.
    fn disk_size(&self) -> Option<u64>;

    /// Says whether what is written below a path takes of that room.
    fn shares_disk_space(&self, path: &str) -> bool;

    /// Returns the bytes that a container's disk takes there.
    fn disk_allocated(&self, container: ContainerId) -> u64;

    /// Returns the most that may still come to the disks of these containers from what they wrote; with none named, from
    /// anybody.
    fn unwritten(&self, containers: &[ContainerId]) -> u64;

    /// Has these containers stand still at once, whatever is known of them elsewhere, and returns those that did not until now.
    fn hold_still(&self, containers: &[ContainerId]) -> Vec<ContainerId>;

    /// Lets those of these containers go on that stand still though their supervisors know of no reason.
    fn let_go(&self, containers: &[ContainerId]);

    /// Kills what writes on in those of these containers that are to stand still, and returns the names of
    /// those programs.
    fn end_writers(&self, containers: &[ContainerId]) -> Vec<(ContainerId, Vec<String>)>;

    /// Lists the entries of a backup below a path, template files included.
    ///
    /// # Errors
    /// The store or the backup cannot be read.
    fn backup_files(&self, store: StoreId, backup: BackupId, below: &str) -> Result<Vec<BackupFile>, Failure>;

    /// Writes the content of one file of a backup.
    ///
    /// # Errors
    /// There is no such file, or it cannot be read.
    fn backup_file(&self, store: StoreId, backup: BackupId, path: &str, out: &mut dyn Write) -> Result<(), Failure>;

    /// Keeps a command line, durably, before its fingerprint is recorded.
    ///
    /// # Errors
    /// It cannot be written.
    fn keep_command(&self, line: &CommandLine) -> Result<(), Failure>;

    /// Lists the command lines that are kept.
    ///
    /// # Errors
    /// They cannot be listed.
    fn kept_commands(&self) -> Result<Vec<Fingerprint>, Failure>;

    /// Forgets a command line for good; one that is not kept counts as forgotten.
    ///
    /// # Errors
    /// It cannot be removed.
    fn forget_command(&self, fingerprint: Fingerprint) -> Result<(), Failure>;

    /// Says why each of these stores cannot be reached or read, if so: its disk is not mounted or does not answer, it was
    /// moved away or emptied.
    fn store_troubles(&self, stores: &[StoreId]) -> Vec<Option<String>>;

    /// Returns the recovery key of a store, for the one who puts it in a safe place.
    ///
    /// # Errors
    /// The node does not hold it.
    fn recovery_key(&self, store: StoreId) -> Result<String, Failure>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_grows_with_the_disk_within_bounds() {
        assert_eq!([0, 1 << 30, 4 << 30, 1 << 40].map(reserve), [128 << 20, 128 << 20, 512 << 20, 1 << 30]);
    }
}
