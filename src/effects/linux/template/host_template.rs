//! The host's own system as a template, without its users, keys, data and services.
//!
//! Program files are hard-linked where that is safe: regular files of root's without setuid, setgid, capabilities or ACL,
//! on the same file system, outside `/etc` and `/var`. Everything else is copied. Nothing of a linked inode is ever
//! changed: an upgrade of the host that replaces files leaves the template as it was, one that changes them in place shows
//! in `template verify`. Which files make the system is the package database's word, or else a list of programs.

mod binaries;
mod dpkg;
mod elf;
mod generated;
mod md5;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::domain::effect::Failure;
use crate::sys::fs::xattr;
use crate::sys::fs::{AsFd, AsRawFd, Moment, OwnedFd};
use crate::sys::process::effective_user;

use crate::effects::linux::failure::{cancelled, cannot};
use crate::effects::linux::listing::entries;
use crate::effects::linux::template::Watch;
use crate::effects::linux::template::copier::copy_content;
use crate::effects::linux::template::writer::{Attributes, TreeWriter};

use dpkg::{Database, Package};

/// What every root has, with its mode.
const SKELETON: [(&str, u32); 27] = [
    ("", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("media", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("srv", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/local", 0o755),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/cache/apt", 0o755),
    ("var/cache/apt/archives", 0o755),
    ("var/cache/apt/archives/partial", 0o755),
    ("var/lib", 0o755),
    ("var/lib/apt", 0o755),
    ("var/lib/apt/lists", 0o755),
    ("var/log", 0o755),
    ("var/spool", 0o755),
    ("var/tmp", 0o1777),
    ("boot", 0o755),
];
/// The host's own, or no use in a container.
const LEFT_OUT: [&str; 24] = [
    "/boot/",
    "/dev/",
    "/home/",
    "/media/",
    "/mnt/",
    "/proc/",
    "/root/",
    "/run/",
    "/srv/",
    "/sys/",
    "/tmp/",
    "/usr/local/",
    "/usr/share/man/",
    "/usr/share/info/",
    "/usr/share/locale/",
    "/usr/share/lintian/",
    "/usr/share/bug/",
    "/usr/lib/modules/",
    "/lib/modules/",
    "/usr/lib/firmware/",
    "/etc/ssh/",
    "/etc/systemd/system/",
    "/var/log/",
    "/etc/ssl/private/",
];
/// Names at the top that are symbolic links where `/usr` is merged.
const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Fills a tree with the system of this host.
///
/// # Errors
/// What cannot be read or written, with the path.
pub(in crate::effects::linux) fn fill(writer: &mut TreeWriter, watch: &Watch<'_>) -> Result<(), Failure> {
    let mut building = Building::new(Path::new("/"), writer, watch);
    building.skeleton()?;
    match Database::read(Path::new("/")).map_err(cannot("read", "the package database"))? {
        Some(database) => building.packages(&database)?,
        None => building.programs()?,
    }
    generated::write(Path::new("/"), building.writer)?;
    building.library_cache()
}

struct Building<'a, 'w> {
    host: &'a Path,
    writer: &'a mut TreeWriter,
    watch: &'a Watch<'w>,
    placed: HashSet<PathBuf>,
    parents: HashMap<PathBuf, Option<PathBuf>>,
}

impl<'a, 'w> Building<'a, 'w> {
    fn new(host: &'a Path, writer: &'a mut TreeWriter, watch: &'a Watch<'w>) -> Self {
        Self { host, writer, watch, placed: HashSet::new(), parents: HashMap::new() }
    }

    fn skeleton(&mut self) -> Result<(), Failure> {
        for (path, mode) in SKELETON {
            self.writer.directory(path.as_bytes(), Attributes::of_root(mode))?;
            self.placed.insert(Path::new("/").join(path));
        }
        for name in MERGED {
            if self.host.join(name).is_symlink() {
                self.place(&Path::new("/").join(name))?;
            }
        }
        Ok(())
    }

    fn packages(&mut self, database: &Database) -> Result<(), Failure> {
        let system = database.system();
        for package in &system {
            if (self.watch.cancelled)() {
                return Err(cancelled());
            }
            let paths = database.paths(package).map_err(cannot("read the file list of", &package.name))?;
            for path in paths.iter().filter(|path| belongs(path)) {
                self.package_path(package, path)?;
            }
            for record in database.records(package).map_err(cannot("read the records of", &package.name))? {
                self.place(&record)?;
            }
        }
        let status: String = system.iter().flat_map(|package| [package.paragraph.as_str(), "\n\n"]).collect();
        self.writer.file_of(b"var/lib/dpkg/status", status.as_bytes(), &Attributes::of_root(0o644))?;
        self.writer.file_of(b"var/lib/dpkg/available", b"", &Attributes::of_root(0o644))?;
        for path in ["/var/lib/dpkg/info/format", "/var/lib/dpkg/arch"] {
            self.place(Path::new(path))?;
        }
        self.writer.directory(b"var/lib/dpkg/updates", Attributes::of_root(0o755))?;
        self.alternatives()
    }

    /// Of the files in `/etc` only those come along that are as the package shipped them.
    fn package_path(&mut self, package: &Package, path: &str) -> Result<(), Failure> {
        let real = Path::new(path);
        let settings =
            path.starts_with("/etc/") && self.host_path(real).symlink_metadata().is_ok_and(|found| found.is_file());
        if settings {
            let shipped = package.conffiles.iter().find(|(name, _)| name == path).map(|(_, sum)| sum.as_str());
            let bytes = fs::read(self.host_path(real)).unwrap_or_default();
            if shipped != Some(md5::md5(&bytes).as_str()) {
                return Ok(());
            }
        }
        self.place(real)
    }

    /// update-alternatives(1) makes `/usr/bin/awk` and the like outside of any package.
    fn alternatives(&mut self) -> Result<(), Failure> {
        let database = self.host.join("var/lib/dpkg/alternatives");
        for entry in entries(&database).map_err(cannot("list", database.display()))? {
            let path = entry.path();
            if !path.is_file() {
                continue;
            }
            let text = fs::read(&path).map_err(cannot("read", path.display()))?;
            let text = String::from_utf8_lossy(&text);
            let name = entry.file_name().to_string_lossy().into_owned();
            let mut lines = text.lines().skip(1);
            let mut pairs = vec![(name, lines.next().unwrap_or_default().to_owned())];
            while let (Some(slave), Some(link)) = (lines.next().filter(|line| !line.is_empty()), lines.next()) {
                pairs.push((slave.to_owned(), link.to_owned()));
            }
            for (name, link) in pairs.iter().filter(|(_, link)| belongs(link)) {
                let switch = Path::new("/etc/alternatives").join(name);
                let Ok(target) = fs::read_link(self.host_path(&switch)) else { continue };
                if self.destination(&target).is_some_and(|target| self.placed.contains(&target)) {
                    self.place(&switch)?;
                    self.place(Path::new(link))?;
                }
            }
        }
        Ok(())
    }

    fn programs(&mut self) -> Result<(), Failure> {
        let files = binaries::files(self.host);
        files.iter().try_for_each(|path| self.place(path))?;
        for path in ["/usr/lib/os-release", "/etc/os-release"] {
            self.place(Path::new(path))?;
        }
        Ok(())
    }

    /// ldconfig(8) works inside the tree alone; without it the dynamic linker finds the default directories.
    fn library_cache(&mut self) -> Result<(), Failure> {
        let tree = format!("/proc/{}/fd/{}", std::process::id(), self.writer.root().as_raw_fd());
        let mut command = Command::new("ldconfig");
        command.args(["-X", "-r", &tree]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.status() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot("run", "ldconfig")(error)),
            _ => Ok(()),
        }
    }

    fn host_path(&self, path: &Path) -> PathBuf {
        self.host.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Returns where a path lands once the links above it (`/lib` → `usr/lib`) are followed.
    fn destination(&mut self, path: &Path) -> Option<PathBuf> {
        let (parent, name) = (path.parent()?, path.file_name()?);
        if !self.parents.contains_key(parent) {
            let real = fs::canonicalize(self.host_path(parent)).ok();
            let real =
                real.and_then(|real| real.strip_prefix(self.host).ok().map(|inside| Path::new("/").join(inside)));
            self.parents.insert(parent.to_owned(), real);
        }
        self.parents.get(parent)?.as_ref().map(|parent| parent.join(name))
    }

    /// Puts one path of the host into the tree; one that is not there is left out, as dpkg's path-exclude does.
    fn place(&mut self, path: &Path) -> Result<(), Failure> {
        let Some(place) = self.destination(path) else { return Ok(()) };
        if !self.placed.insert(place.clone()) {
            return Ok(());
        }
        if let Some(parent) = place.parent().filter(|parent| *parent != Path::new("/")) {
            self.place(parent)?;
        }
        let source = self.host_path(&place);
        let metadata = match source.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_closed(&error, effective_user()) => {
                self.placed.remove(&place);
                return Ok(());
            }
            Err(error) => return Err(cannot("read", source.display())(error)),
        };
        let attributes = attributes(&metadata);
        let inside = place.as_os_str().as_bytes().strip_prefix(b"/").unwrap_or_default();
        if metadata.is_dir() {
            self.writer.directory(inside, attributes)
        } else if metadata.is_symlink() {
            let target = fs::read_link(&source).map_err(cannot("read", source.display()))?;
            self.writer.symlink(inside, target.as_os_str().as_bytes(), &attributes)
        } else if metadata.is_file() {
            self.watch.entry(metadata.len());
            self.file(&source, inside, &metadata, attributes)
        } else {
            Ok(())
        }
    }

    fn file(
        &mut self,
        source: &Path,
        inside: &[u8],
        metadata: &fs::Metadata,
        mut attributes: Attributes,
    ) -> Result<(), Failure> {
        let shown = || source.display();
        let file = match fs::File::open(source) {
            Err(error) if is_closed(&error, effective_user()) => return Ok(()),
            opened => OwnedFd::from(opened.map_err(cannot("open", shown()))?),
        };
        attributes.xattrs = xattr::read(file.as_fd()).map_err(cannot("read the attributes of", shown()))?;
        // Another file system, too many links, an immutable inode: a copy is always right.
        if may_be_linked(inside, metadata, &attributes) && self.writer.link_inode(inside, file.as_fd()).is_ok() {
            return Ok(());
        }
        let copy = self.writer.file(inside, metadata.len())?;
        copy_content(file.as_fd(), copy.as_fd(), self.watch).map_err(cannot("copy", shown()))?;
        TreeWriter::finish_file(inside, copy.as_fd(), &attributes)
    }
}

/// What a user who is not root may not read is left out: there is no way to it, and the rest is still a system.
fn is_closed(error: &io::Error, user: u32) -> bool {
    user != 0 && error.kind() == io::ErrorKind::PermissionDenied
}

fn belongs(path: &str) -> bool {
    let documentation = path.starts_with("/usr/share/doc/") && !path.ends_with("/copyright");
    !documentation && !LEFT_OUT.iter().any(|start| path.starts_with(start))
}

fn attributes(metadata: &fs::Metadata) -> Attributes {
    let modified = Moment { seconds: metadata.mtime(), nanos: metadata.mtime_nsec() as u32 };
    Attributes {
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        modified,
        ..Attributes::default()
    }
}

fn may_be_linked(inside: &[u8], metadata: &fs::Metadata, attributes: &Attributes) -> bool {
    let changes_in_place = inside.starts_with(b"etc/") || inside.starts_with(b"var/");
    let of_root_alone = metadata.uid() == 0 && metadata.gid() == 0 && metadata.mode() & 0o7022 == 0;
    !changes_in_place && of_root_alone && attributes.xattrs.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::linux::paths::StatePaths;
    use crate::effects::linux::template::{Verdict, ensure_template, ensure_template_gone, verify_template};
    use crate::effects::linux::update_check::{Output, update_check};
    use crate::events::{MaintenanceResult, TemplateSource};
    use crate::sys::fs::open_root;
    use crate::types::TemplateId;
    use std::time::Instant;

    /// In `/var/tmp`, which is on the root file system more often than `/tmp`.
    fn tree() -> tempfile::TempDir {
        tempfile::Builder::new().prefix("berth-host-template.").tempdir_in("/var/tmp").unwrap()
    }

    fn run(root: &Path, command: &[&str]) -> Option<std::process::Output> {
        if !root.join("bin/sh").exists() && !root.join("usr/bin/sh").exists() {
            return None;
        }
        Command::new("chroot").arg(root).args(command).env_clear().env("PATH", "/usr/bin:/usr/sbin:/bin").output().ok()
    }

    #[test]
    fn the_host_s_system_runs_commands_and_brings_no_secrets() {
        if !crate::sys::capability::effective().is_ok_and(|held| held & 1 != 0) {
            println!("skipped: making a template from the host needs root");
            return;
        }
        let place = tree();
        let before = Instant::now();
        let mut writer = TreeWriter::new(open_root(place.path()).unwrap());
        fill(&mut writer, &Watch::NONE).unwrap();
        writer.finish().unwrap();
        println!("the host's system took {:?}", before.elapsed());
        let output = run(place.path(), &["sh", "-c", "id -un && ls /"]).unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("root\n"));
        for secret in ["etc/ssh", "root/.ssh", "etc/systemd/system/multi-user.target.wants", "etc/ssl/private"] {
            let path = place.path().join(secret);
            assert!(!path.exists() || fs::read_dir(&path).unwrap().next().is_none(), "{secret}");
        }
        let shadow = fs::read_to_string(place.path().join("etc/shadow")).unwrap();
        assert!(shadow.starts_with("root:*:"), "{shadow}");
        assert_eq!(fs::read(place.path().join("etc/machine-id")).unwrap(), b"");
        let (own, theirs) = (place.path().join("usr/bin/su"), Path::new("/usr/bin/su"));
        if let (Ok(own), Ok(theirs)) = (fs::metadata(own), fs::metadata(theirs)) {
            assert_ne!(own.ino(), theirs.ino(), "a setuid program is never linked");
        }
    }

    #[test]
    fn a_whole_template_of_the_host_is_sealed_and_intact() {
        if !crate::sys::capability::effective().is_ok_and(|held| held & 1 != 0) {
            println!("skipped: making a template from the host needs root");
            return;
        }
        let place = tree();
        let paths = StatePaths::with_runtime(place.path().join("state"), place.path().join("run"));
        let id = TemplateId::from_bytes([9; 16]);
        let before = Instant::now();
        let summary = ensure_template(&paths, id, &TemplateSource::Host, &Watch::NONE).unwrap();
        println!("{summary:?} took {:?}", before.elapsed());
        assert_eq!(
            summary.init.is_some(),
            Path::new("/sbin/init").exists() && Path::new("/var/lib/dpkg/status").exists()
        );
        let before = Instant::now();
        let verdict = verify_template(&paths, id, &summary.digest, &Watch::NONE).unwrap();
        println!("verified in {:?}", before.elapsed());
        assert_eq!(verdict, Verdict::Intact);
        let installed = run(&paths.template_root(id), &["dpkg", "-l", "dpkg"]).unwrap();
        let expected = Path::new("/var/lib/dpkg/status").exists();
        assert_eq!(installed.status.success(), expected, "{installed:?}");
        if expected {
            asks_apt(&paths.template_root(id));
        }
        ensure_template_gone(&paths, id).unwrap();
    }

    /// In a network namespace of its own, where no list can be fetched: apt's own words must come back, and its answer.
    fn asks_apt(root: &Path) {
        let nowhere = crate::sys::netlink::new_namespace().unwrap();
        let mut ask = |argv: &[&str]| {
            let output = run(root, argv).unwrap();
            Ok(Output { code: output.status.code().unwrap(), stdout: output.stdout, stderr: output.stderr })
        };
        let checked = crate::sys::netlink::in_namespace(nowhere.as_fd(), || update_check(&mut ask)).unwrap().unwrap();
        println!("{checked:?}");
        let MaintenanceResult::UpdatesListed { stale: Some(words), .. } = checked else { panic!("{checked:?}") };
        assert!(words.contains("E:") || words.contains("W:"), "{words}");
    }

    #[test]
    fn without_a_package_database_a_list_of_programs_runs_too() {
        if !crate::sys::capability::effective().is_ok_and(|held| held & 1 != 0) {
            println!("skipped: making a template from the host needs root");
            return;
        }
        let place = tree();
        let mut writer = TreeWriter::new(open_root(place.path()).unwrap());
        let mut building = Building::new(Path::new("/"), &mut writer, &Watch::NONE);
        building.skeleton().unwrap();
        building.programs().unwrap();
        generated::write(Path::new("/"), building.writer).unwrap();
        building.library_cache().unwrap();
        writer.finish().unwrap();
        let output = run(place.path(), &["sh", "-c", "ls / && grep root /etc/passwd"]).unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
