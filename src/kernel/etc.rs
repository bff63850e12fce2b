//! The files of a container's `/etc` that say who it is and whom it asks: `hostname`, `hosts`, `resolv.conf`.
//!
//! Each file that is written here carries a digest of its content in an extended attribute. So it is known afterwards, from
//! the file alone, whether the container has changed it: with the digest it goes along in backups, restores and copies, and
//! an editor that writes a new file in its place takes the attribute away with the old one.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::sys::descriptor;
use crate::sys::fs::xattr;
use crate::sys::fs::{Access, AsFd, BorrowedFd, FileKind, open_beneath, read_at, stat};
use crate::types::{HostName, Managed, ManagedFile};

/// The attribute that has the digest.
const WRITTEN: &[u8] = b"user.berth.written";
/// A longer file is none that was written here.
const LENGTH_MAX: usize = 64 << 10;

/// What these files are to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The host name.
    pub hostname: HostName,
    /// Its address, if it has one.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// Contents of `/etc/resolv.conf`; none = as it is on the disk.
    #[serde(default)]
    pub resolv_conf: Option<String>,
    /// Which of the files are written.
    #[serde(default)]
    pub managed: Managed,
}

impl Names {
    /// Returns the files that are left as they are: those that are not to be written, and those that the container has
    /// changed, as its own files tell. Where it has made something else of its `/etc`, it is tried to write them.
    pub fn kept(&self, upper: Option<BorrowedFd<'_>>) -> Vec<ManagedFile> {
        let mut kept = ManagedFile::ALL.to_vec();
        kept.retain(|file| match &self.managed {
            Managed::Only(files) => !files.contains(file),
            Managed::UntilChanged => upper.is_some_and(|upper| is_changed(upper, *file)),
        });
        kept
    }

    /// Returns the name that the container has: its own, where it keeps that itself.
    pub fn present(&self, kept: &[ManagedFile]) -> HostName {
        let own = kept.contains(&ManagedFile::Hostname).then(own_name).flatten();
        own.unwrap_or_else(|| self.hostname.clone())
    }

    /// Writes the files but for those that are kept, from inside of the container. Returns what could not be written.
    pub fn write(&self, name: &HostName, kept: &[ManagedFile]) -> Vec<String> {
        let files = ManagedFile::ALL.into_iter().filter(|file| !kept.contains(file));
        let written = files.filter_map(|file| Some((file, write_into_etc(file.file(), &self.text(file, name)?))));
        written
            .filter_map(|(file, done)| Some(format!("/etc/{} was not written: {}", file.file(), done.err()?)))
            .collect()
    }

    fn text(&self, file: ManagedFile, name: &HostName) -> Option<String> {
        match file {
            ManagedFile::Hostname => Some(format!("{name}\n")),
            ManagedFile::Hosts => Some(hosts(name, self.address)),
            ManagedFile::Resolv => self.resolv_conf.clone(),
        }
    }
}

/// As Debian has it (hosts(5); the Debian reference, "The hostname resolution"): the own name on the own address, or on
/// 127.0.1.1 where there is none, so that it is never that of `localhost`.
fn hosts(name: &HostName, address: Option<IpAddr>) -> String {
    let own = address.map_or_else(|| "127.0.1.1".to_owned(), |address| address.to_string());
    let names = if name.short() == name.as_str() { name.to_string() } else { format!("{name} {}", name.short()) };
    let own = if name.as_str() == "localhost" { String::new() } else { format!("{own}\t{names}\n") };
    format!(
        "127.0.0.1\tlocalhost\n{own}\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
    )
}

/// Tells whether the container has made something of its own of a file. One that it removed or emptied is written anew:
/// an empty one is also what a power cut leaves of a file that had not reached the disk, and to wait for the disk would make
/// every first start slower by a fifth.
fn is_changed(upper: BorrowedFd<'_>, file: ManagedFile) -> bool {
    let path = format!("etc/{}", file.file());
    let Ok(place) = open_beneath(upper, path.as_bytes(), Access::Place) else { return false };
    match stat(place.as_fd()).map(|found| found.kind) {
        // How an overlay says that there is nothing.
        Ok(FileKind::CharDevice) | Err(_) => false,
        Ok(FileKind::Regular) => match is_as_written(upper, &path) {
            Ok(as_written) => !as_written,
            // A file system without attributes: nobody can tell, and a resolver that is out of date helps nobody.
            Err(error) => error.kind() != io::ErrorKind::Unsupported,
        },
        Ok(_) => true,
    }
}

fn is_as_written(upper: BorrowedFd<'_>, path: &str) -> io::Result<bool> {
    let file = open_beneath(upper, path.as_bytes(), Access::Read)?;
    let mut bytes = vec![0; LENGTH_MAX];
    let count = read_at(file.as_fd(), &mut bytes, 0)?;
    Ok(count == 0
        || xattr::get(file.as_fd(), WRITTEN)?.is_some_and(|digest| digest == digest_of(&bytes[..count]).as_bytes()))
}

fn digest_of(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

fn own_name() -> Option<HostName> {
    let file = descriptor::open_untrusted_file("/etc/hostname".as_ref()).ok()?;
    let mut bytes = vec![0; 1024];
    let count = read_at(file.as_fd(), &mut bytes, 0).ok()?;
    let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
    text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?.parse().ok()
}

fn write_into_etc(name: &str, text: &str) -> io::Result<()> {
    let etc = Path::new("/etc");
    // The root of a single program need not have one.
    match std::fs::create_dir(etc) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    descriptor::replace_untrusted_file(etc, name, text.as_bytes(), (WRITTEN, digest_of(text.as_bytes()).as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::sys::fs::open_root;

    fn names(managed: &str) -> Names {
        let hostname = "a.example".parse().unwrap();
        Names { hostname, address: None, resolv_conf: Some("x\n".to_owned()), managed: managed.parse().unwrap() }
    }

    fn kept(names: &Names, upper: &Path) -> Vec<&'static str> {
        names.kept(Some(open_root(upper).unwrap().as_fd())).into_iter().map(ManagedFile::word).collect()
    }

    fn written(upper: &Path, file: ManagedFile, text: &str) {
        let digest = digest_of(text.as_bytes());
        let etc = upper.join("etc");
        descriptor::replace_untrusted_file(&etc, file.file(), text.as_bytes(), (WRITTEN, digest.as_bytes())).unwrap();
    }

    #[test]
    fn a_container_knows_itself_by_both_names_and_on_its_address() {
        let fqdn: HostName = "web1.example.org".parse().unwrap();
        let text = hosts(&fqdn, Some("10.1.2.3".parse().unwrap()));
        assert!(text.starts_with("127.0.0.1\tlocalhost\n10.1.2.3\tweb1.example.org web1\n"), "{text}");
        assert!(text.contains("\n::1\tlocalhost "), "{text}");
        assert!(hosts(&"web1".parse().unwrap(), None).contains("\n127.0.1.1\tweb1\n"));
        assert!(!hosts(&"localhost".parse().unwrap(), None).contains("127.0.1.1"));
    }

    #[test]
    fn what_was_written_is_written_again_until_it_is_changed_inside() {
        let place = tempfile::tempdir().unwrap();
        let (upper, names) = (place.path(), names("until-changed"));
        assert_eq!(names.kept(None), []);
        assert_eq!(kept(&names, upper), [""; 0], "a new disk");
        std::fs::create_dir(upper.join("etc")).unwrap();
        for file in ManagedFile::ALL {
            written(upper, file, "text\n");
        }
        assert_eq!(kept(&names, upper), [""; 0]);
        std::fs::write(upper.join("etc/hosts"), "text\nmore\n").unwrap();
        assert_eq!(kept(&names, upper), ["hosts"], "changed in place");
        std::fs::remove_file(upper.join("etc/resolv.conf")).unwrap();
        assert_eq!(kept(&names, upper), ["hosts"], "removed: written anew");
        std::fs::write(upper.join("etc/resolv.conf"), "").unwrap();
        assert_eq!(kept(&names, upper), ["hosts"], "emptied, or cut off by a power cut: written anew");
        std::fs::remove_file(upper.join("etc/resolv.conf")).unwrap();
        symlink("../run/systemd/resolve/stub-resolv.conf", upper.join("etc/resolv.conf")).unwrap();
        std::fs::remove_file(upper.join("etc/hostname")).unwrap();
        std::fs::write(upper.join("etc/hostname"), "text\n").unwrap();
        assert_eq!(kept(&names, upper), ["hostname", "hosts", "resolv"], "a link, and another file in its place");
        std::fs::write(upper.join("etc/hosts"), "text\n").unwrap();
        assert_eq!(kept(&names, upper), ["hostname", "resolv"], "taken back");
    }

    #[test]
    fn who_names_files_has_these_written_and_no_others() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("etc")).unwrap();
        std::fs::write(place.path().join("etc/hosts"), "its own\n").unwrap();
        assert_eq!(kept(&names("until-changed"), place.path()), ["hosts"]);
        assert_eq!(kept(&names("hosts,resolv"), place.path()), ["hostname"]);
        assert_eq!(kept(&names("none"), place.path()), ["hostname", "hosts", "resolv"]);
    }

    #[test]
    fn an_etc_that_is_a_link_is_not_looked_into() {
        let (place, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("hosts"), "the host's\n").unwrap();
        symlink(outside.path(), place.path().join("etc")).unwrap();
        assert_eq!(kept(&names("until-changed"), place.path()), [""; 0]);
    }
}
