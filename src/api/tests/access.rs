//! Access to containers that are not there.

use std::io::Write;
use std::path::PathBuf;

use crate::api::resources::{BackupFile, SessionRequest, SessionTicket};
use crate::domain::{Failure, RefusalClass};
use crate::effects::access::Access;
use crate::effects::command_line::CommandLine;
use crate::types::{BackupId, BytePath, ContainerId, Fingerprint, SessionId, StoreId, Timestamp, Usage};

/// Reaches into nothing, but says so plausibly.
pub(super) struct Simulated {
    pub(super) folder: PathBuf,
}

impl Access for Simulated {
    fn open_session(
        &self,
        _: ContainerId,
        session: SessionId,
        request: &SessionRequest,
    ) -> Result<SessionTicket, Failure> {
        if request.argv[0] == "fails" {
            return Err(Failure::permanent("the supervisor does not answer"));
        }
        Ok(SessionTicket { session, socket: self.folder.join("shim"), token: "secret".to_owned() })
    }

    fn sessions(&self, _: ContainerId) -> Vec<SessionId> {
        vec![]
    }

    fn console_log(&self, _: ContainerId) -> PathBuf {
        self.folder.join("console.log")
    }

    fn console_logs(&self, _: ContainerId) -> Vec<PathBuf> {
        let logs = ["1.log", "2.log", "console.log"].map(|name| self.folder.join(name));
        logs.into_iter().filter(|path| path.exists()).collect()
    }

    fn usage(&self, _: ContainerId) -> Option<Usage> {
        Some(Usage { memory: Some(4_096), ..Usage::default() })
    }

    fn disk_space(&self) -> Option<u64> {
        Some(20 << 30)
    }

    fn disk_allocated(&self, _: ContainerId) -> u64 {
        1 << 30
    }

    fn disk_size(&self) -> Option<u64> {
        None
    }

    fn shares_disk_space(&self, _: &str) -> bool {
        false
    }

    fn hold_still(&self, _: &[ContainerId]) -> Vec<ContainerId> {
        vec![]
    }

    fn let_go(&self, _: &[ContainerId]) {}

    fn end_writers(&self, _: &[ContainerId]) -> Vec<(ContainerId, Vec<String>)> {
        vec![]
    }

    fn unwritten(&self, _: &[ContainerId]) -> u64 {
        0
    }

    fn backup_files(&self, _: StoreId, _: BackupId, below: &str) -> Result<Vec<BackupFile>, Failure> {
        let entry = |path| BackupFile {
            path,
            kind: "directory".to_owned(),
            mode: 0o755,
            owner: (0, 0),
            size: 0,
            modified: Timestamp::from_micros(0),
            target: None,
        };
        let there = BytePath::from_bytes(below).ok().filter(|_| below.starts_with("/srv"));
        Ok(there.map(entry).into_iter().collect())
    }

    fn backup_file(&self, _: StoreId, _: BackupId, path: &str, out: &mut dyn Write) -> Result<(), Failure> {
        if path == "/absent" {
            return Err(Failure::permanent("there is no /absent in the backup"));
        }
        for number in 0..1_000 {
            if path == "/cut" && number == 300 {
                let words = "/cut in backup aaaa cannot be read: pack bbbb is damaged";
                return Err(Failure::permanent(words).classed(RefusalClass::Damaged));
            }
            out.write_all(&[b'x'; 1_000]).map_err(|error| Failure::permanent(error.to_string()))?;
        }
        Ok(())
    }

    fn store_troubles(&self, stores: &[StoreId]) -> Vec<Option<String>> {
        let moved = self.folder.join("store-moved-away").exists();
        let told = moved.then(|| "the store in /srv/vault is not there: is its disk mounted?".to_owned());
        vec![told; stores.len()]
    }

    fn keep_command(&self, line: &CommandLine) -> Result<(), Failure> {
        let path = self.folder.join(line.fingerprint().to_string());
        std::fs::write(path, line.to_bytes().unwrap()).map_err(|error| Failure::permanent(error.to_string()))
    }

    fn kept_commands(&self) -> Result<Vec<Fingerprint>, Failure> {
        let names = std::fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().file_name());
        Ok(names.filter_map(|name| name.to_str()?.parse().ok()).collect())
    }

    fn forget_command(&self, fingerprint: Fingerprint) -> Result<(), Failure> {
        let _ = std::fs::remove_file(self.folder.join(fingerprint.to_string()));
        Ok(())
    }

    fn recovery_key(&self, _: StoreId) -> Result<String, Failure> {
        Ok("KEY".to_owned())
    }
}
