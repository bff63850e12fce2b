//! Sessions, console logs, usage and files in backups, as users reach for them.

use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::failure::cannot;
use super::host::LinuxHost;
use super::listing::entries;
use super::stores::repository_failure;
use crate::domain::RefusalClass;
use crate::domain::effect::Failure;
use crate::effects::access::{Access, BackupFile, SessionRequest, SessionTicket};
use crate::effects::command_line::CommandLine;
use crate::effects::linux::life::supervisor::shim_failure;
use crate::kernel::cgroup::Cgroup;
use crate::kernel::writers::{Look, WATCHED};
use crate::repository::catalogue::{Entry, Node};
use crate::repository::{self, FILE, Pattern};
use crate::shim::protocol::{Command, SessionTarget, WindowSize};
use crate::shim::record;
use crate::sys::fs::durable;
use crate::types::{BackupId, BytePath, ContainerId, Fingerprint, SessionId, StoreId, Timestamp, Usage, readings};

impl Access for LinuxHost {
    fn open_session(
        &self,
        container: ContainerId,
        session: SessionId,
        request: &SessionRequest,
    ) -> Result<SessionTicket, Failure> {
        let client = self.shim(container)?;
        let secret = [draw()?, draw()?].concat();
        let token = URL_SAFE_NO_PAD.encode(secret);
        let command = Command {
            argv: request.argv.clone(),
            environment: request.environment.clone(),
            user: request.user.clone().unwrap_or_else(|| "root".to_owned()),
            directory: request.directory.clone(),
            terminal: request.terminal.map(|(rows, columns)| WindowSize { rows, columns }),
            without_echo: request.without_echo,
        };
        let name = session.to_string();
        client.open_session(&token, Some(&name), SessionTarget::Command(command)).map_err(shim_failure)?;
        Ok(SessionTicket { session, socket: self.options.paths.session_socket(container), token })
    }

    fn sessions(&self, container: ContainerId) -> Vec<SessionId> {
        let status = self.shim(container).and_then(|client| client.status().map_err(shim_failure));
        let names = status.map(|status| status.session_names).unwrap_or_default();
        names.iter().filter_map(|name| name.parse().ok()).collect()
    }

    fn console_log(&self, container: ContainerId) -> PathBuf {
        self.runtime_of(container).join(record::LOG)
    }

    fn console_logs(&self, container: ContainerId) -> Vec<PathBuf> {
        self.consoles(container)
    }

    fn usage(&self, container: ContainerId) -> Option<Usage> {
        let statistics = self.cgroup(container).ok().flatten()?.statistics();
        Some(Usage {
            memory: statistics.memory,
            memory_cache: statistics.memory_cache,
            out_of_memory_kills: statistics.oom_kills,
            cpu_micros: statistics.cpu_usec,
            pids: statistics.pids,
            disk: allocated(&self.options.paths.disk_image(container)),
        })
    }

    fn disk_space(&self) -> Option<u64> {
        let root = crate::sys::fs::open_root(&self.options.paths.containers()).ok()?;
        crate::sys::fs::free_bytes(root.as_fd()).ok()
    }

    fn disk_size(&self) -> Option<u64> {
        let root = crate::sys::fs::open_root(&self.options.paths.containers()).ok()?;
        crate::sys::fs::size_bytes(root.as_fd()).ok()
    }

    fn shares_disk_space(&self, path: &str) -> bool {
        let device = |path: &Path| std::fs::metadata(path).ok().map(|place| place.dev());
        let there = Path::new(path).ancestors().find_map(device); // it may have to be made
        there.is_some() && there == device(&self.options.paths.containers())
    }

    fn disk_allocated(&self, container: ContainerId) -> u64 {
        allocated(&self.options.paths.disk_image(container)).unwrap_or(0)
    }

    fn unwritten(&self, containers: &[ContainerId]) -> u64 {
        let anybody = unwritten_by_anybody();
        let of = |container: &ContainerId| match self.cgroup(*container) {
            Ok(group) => group.map_or(Some(0), |group| group.unwritten()),
            Err(_) => None,
        };
        if containers.is_empty() {
            return anybody;
        }
        containers.iter().map(of).sum::<Option<u64>>().map_or(anybody, |sum| sum.min(anybody))
    }

    fn hold_still(&self, containers: &[ContainerId]) -> Vec<ContainerId> {
        let moved = |id: &&ContainerId| {
            let group = self.cgroup(**id).ok().flatten().filter(|group| !group.is_told_to_freeze());
            group.is_some_and(|group| group.tell_to_freeze().is_ok())
        };
        containers.iter().filter(moved).copied().collect()
    }

    fn let_go(&self, containers: &[ContainerId]) {
        for id in containers {
            let group = self.cgroup(*id).ok().flatten().filter(|group| group.exists() && group.is_told_to_freeze());
            if let Some(group) = group {
                self.settle_freeze(*id, &group);
            }
        }
    }

    fn end_writers(&self, containers: &[ContainerId]) -> Vec<(ContainerId, Vec<String>)> {
        let groups: Vec<(ContainerId, Cgroup)> =
            containers.iter().filter_map(|id| Some((*id, self.cgroup(*id).ok()??))).collect();
        let looks: Vec<_> = groups.iter().filter_map(|(id, group)| Some((*id, told(*id, Look::at(group))??))).collect();
        if looks.is_empty() {
            return Vec::new();
        }
        std::thread::sleep(WATCHED);
        let ended = looks.into_iter().filter_map(|(id, look)| Some((id, told(id, look.end_writers())?)));
        ended.filter(|(_, names)| !names.is_empty()).collect()
    }

    fn backup_files(&self, store: StoreId, backup: BackupId, below: &str) -> Result<Vec<BackupFile>, Failure> {
        let view = self.view(store, backup)?;
        for path in readings(below) {
            let found = view.files(vec![Pattern::literal(&path)]);
            let found: Vec<_> = found
                .map(|entry| file_of(&entry.map_err(|error| unread(error, backup, below))?))
                .collect::<Result<_, _>>()?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(vec![])
    }

    fn backup_file(&self, store: StoreId, backup: BackupId, wanted: &str, out: &mut dyn Write) -> Result<(), Failure> {
        let view = self.view(store, backup)?;
        let paths = readings(wanted);
        let (last, others) =
            paths.split_last().map_or((wanted.as_bytes(), &[][..]), |(last, others)| (last.as_slice(), others));
        let is_there = |path: &&[u8]| view.find(below_root(path)).is_ok();
        let path = others.iter().map(Vec::as_slice).find(is_there).unwrap_or(last);
        view.cat(below_root(path), out).map_err(|error| unread(error, backup, wanted))
    }

    fn keep_command(&self, line: &CommandLine) -> Result<(), Failure> {
        let folder = self.options.paths.commands();
        durable::private_directory(&folder).map_err(cannot("make", folder.display()))?;
        durable::sync_parent(&folder).map_err(cannot("sync", folder.display()))?;
        let path = self.options.paths.command(line.fingerprint());
        let bytes = line.to_bytes().map_err(|error| Failure::permanent(error.to_string()))?;
        match durable::create_new(&path, &bytes) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(cannot("write", path.display())(error)),
            _ => Ok(()),
        }
    }

    fn kept_commands(&self) -> Result<Vec<Fingerprint>, Failure> {
        let folder = self.options.paths.commands();
        let kept = entries(&folder).map_err(cannot("list", folder.display()))?;
        Ok(kept.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
    }

    fn forget_command(&self, fingerprint: Fingerprint) -> Result<(), Failure> {
        let path = self.options.paths.command(fingerprint);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| durable::sync_parent(&path)).map_err(cannot("remove", path.display())),
        }
    }

    fn store_troubles(&self, stores: &[StoreId]) -> Vec<Option<String>> {
        let looked = self.stores_are_there(stores);
        looked.into_iter().map(|there| there.err().map(|failure| failure.reason)).collect()
    }

    fn recovery_key(&self, store: StoreId) -> Result<String, Failure> {
        self.recovery_text(store)
    }
}

fn told<T>(container: ContainerId, looked: io::Result<T>) -> Option<T> {
    looked.inspect_err(|error| tracing::warn!(%container, %error, "cannot tell what writes on in a container")).ok()
}

/// Returns the bytes in the page cache that no disk of the machine has yet.
fn unwritten_by_anybody() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let of = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
        matches!(name, "Dirty" | "Writeback").then_some(kib << 10)
    };
    text.lines().filter_map(of).sum()
}

/// Says what of a backup is damaged; the rest of what a store has to say is not about its files.
fn unread(error: repository::Error, backup: BackupId, path: &str) -> Failure {
    let damage = match &error {
        repository::Error::Damaged { what, reason } if what == FILE => reason.clone(),
        repository::Error::Damaged { .. } => error.to_string(),
        _ => return repository_failure(error),
    };
    let words = format!("{path} in backup {} cannot be read: {damage}", backup.short());
    Failure::permanent(words).classed(RefusalClass::Damaged)
}

fn below_root(path: &[u8]) -> &[u8] {
    path.iter().position(|byte| *byte != b'/').map_or(b"", |start| &path[start..])
}

fn draw() -> Result<[u8; 16], Failure> {
    crate::sys::random::bytes().map_err(cannot("draw", "a token"))
}

/// Returns the bytes a file takes on the host.
pub(super) fn allocated(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|metadata| metadata.blocks() * 512)
}

fn file_of(entry: &Entry) -> Result<BackupFile, Failure> {
    let (kind, size, target) = match &entry.node {
        Node::File(content) => ("file", content.size, None),
        Node::Directory => ("directory", 0, None),
        Node::Symlink { target } => ("symlink", 0, BytePath::from_bytes(target.clone()).ok()),
        Node::CharDevice { .. } => ("character-device", 0, None),
        Node::BlockDevice { .. } => ("block-device", 0, None),
        Node::Fifo => ("fifo", 0, None),
        Node::Socket => ("socket", 0, None),
    };
    let number = |id| match id {
        crate::repository::Id::Inside(id) | crate::repository::Id::Outside(id) => id,
    };
    let path = BytePath::from_bytes([b"/".as_slice(), &entry.path].concat());
    Ok(BackupFile {
        path: path.map_err(|error| Failure::permanent(error.to_string()))?,
        kind: kind.to_owned(),
        mode: entry.mode,
        owner: (number(entry.owner), number(entry.group)),
        size,
        modified: Timestamp::from_foreign(entry.modified.seconds, entry.modified.nanos),
        target,
    })
}
