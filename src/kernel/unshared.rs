//! What no two machines may share: the names by which others know a machine, and the secrets behind them.
//!
//! A system makes these once, when it is installed or boots for the first time, so a template and a backup carry those of
//! one machine into each container that is made of them. [`KINDS`] is the list. It follows systemd ("Building Images
//! Safely"), virt-sysprep(1) and cloud-init (`cloud-init clean`), and holds what a system makes for itself: what people
//! enrolled by hand (keytabs, certificates, subscriptions, keys of a VPN) is theirs, and nobody could make it again.
//!
//! [`strip`] takes it out of a tree. [`renew`] does the same inside of a container that has never run and makes anew what
//! nobody else would; what only a program of the container can make is left to the caller as [`Renewed::makers`].

mod makers;
#[cfg(test)]
mod tests;

use std::io;

use crate::sys::fs::{
    Access, AsFd, BorrowedFd, FileKind, Metadata, OwnedFd, create_file, names, open_beneath, read_at, remove_tree,
    rename, resolve, set_mode, set_owner, set_times, stat, sync, unlink, write_at,
};

/// What becomes of something that is not to be shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It goes. Its system makes it again, or does without, as it did before it had one.
    Removed,
    /// Its file stays, with this in it: how the system is told to make a new one.
    Asked(&'static str),
}

/// One kind of it.
#[derive(Debug)]
struct Kind {
    /// What people call it.
    name: &'static str,
    /// Where it is; the last part may have one `*`.
    places: &'static [&'static str],
    /// What becomes of it.
    fate: Fate,
}

const fn removed(name: &'static str, places: &'static [&'static str]) -> Kind {
    Kind { name, places, fate: Fate::Removed }
}

/// Where a system keeps its id.
const MACHINE_ID: &str = "etc/machine-id";

/// All kinds, in the order in which they are told.
#[rustfmt::skip]
const KINDS: &[Kind] = &[
    // Debian makes them in the installation of the package only: `makers` makes them again.
    removed("SSH host keys", &["etc/ssh/ssh_host_*", "etc/dropbear/dropbear_*_host_key"]),
    removed("the key of the self-signed certificate", &["etc/ssl/private/ssl-cert-snakeoil.key", "etc/ssl/certs/ssl-cert-snakeoil.pem"]),
    // machine-id(5): an empty file is an image without an id. Where none is there, or "uninitialized" in it, the system is
    // to take its first boot for one (all presets are applied); an image that wants that keeps it, and one that does not
    // must not get it.
    Kind { name: "the machine id", places: &[MACHINE_ID], fate: Fate::Asked("") },
    removed("the machine id of D-Bus", &["var/lib/dbus/machine-id"]),
    removed("the host id", &["etc/hostid"]),
    // systemd, sysvinit, OpenRC and busybox (seedrng).
    removed("the random seed", &["var/lib/systemd/random-seed", "var/lib/urandom/random-seed", "var/lib/misc/random-seed",
        "var/lib/seedrng/seed.*", "var/lib/random-seed"]),
    removed("the secret of systemd's credentials", &["var/lib/systemd/credential.secret", "var/lib/systemd/tpm2-srk-public-key.*"]),
    // dhclient, dhcpcd (old and new places), NetworkManager, systemd-networkd as a server. The client of networkd takes its
    // id from the machine id.
    removed("DHCP ids and leases", &["var/lib/dhcp/*", "var/lib/dhclient/*", "var/lib/dhcpcd/*", "var/lib/dhcpcd5/*",
        "etc/dhcpcd.duid", "etc/dhcpcd.secret", "var/lib/NetworkManager/*.lease", "var/lib/systemd/network/*"]),
    removed("the secret of NetworkManager", &["var/lib/NetworkManager/secret_key"]),
    // open-iscsi makes a name where the file says so; NVMe over fabrics takes its names from the machine id.
    Kind { name: "the iSCSI initiator name", places: &["etc/iscsi/initiatorname.iscsi"], fate: Fate::Asked("GenerateName=yes\n") },
    removed("the NVMe host names", &["etc/nvme/hostnqn", "etc/nvme/hostid"]),
    removed("the state of cloud-init", &["var/lib/cloud/instance", "var/lib/cloud/instances", "var/lib/cloud/data", "var/lib/cloud/sem"]),
    removed("the id of the Docker engine", &["etc/docker/key.json", "var/lib/docker/engine-id"]),
];

/// Something that was taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What people call its kind.
    pub name: &'static str,
    /// Where it was, from the root, without links.
    pub path: Vec<u8>,
}

/// What came of a [`strip`].
#[derive(Debug, Default)]
pub struct Stripped {
    /// What is out now.
    pub taken: Vec<Taken>,
    /// What is still in, and why.
    pub left: Vec<(Taken, io::Error)>,
}

/// What came of a [`renew`].
#[derive(Debug, Default)]
pub struct Renewed {
    /// Whether anything was changed.
    pub changed: bool,
    /// Programs of the container that make the rest, with their arguments.
    pub makers: Vec<Vec<String>>,
    /// What is not as it should be.
    pub troubles: Vec<String>,
}

/// Takes everything of [`KINDS`] out of the tree. Links are followed inside of it, so that what is removed is the thing and
/// not a name of it. Times of directories stay, so that the same source gives the same tree.
pub fn strip(root: BorrowedFd<'_>) -> Stripped {
    let mut stripped = Stripped::default();
    for kind in KINDS {
        for place in kind.places {
            match found(root, place) {
                Ok(paths) => paths.into_iter().for_each(|path| stripped.take(root, kind, path)),
                Err(error) => {
                    let place = Taken { name: kind.name, path: place.as_bytes().to_vec() };
                    stripped.left.push((place, error));
                }
            }
        }
    }
    stripped
}

impl Stripped {
    fn take(&mut self, root: BorrowedFd<'_>, kind: &Kind, path: Vec<u8>) {
        let taken = Taken { name: kind.name, path };
        match take(root, kind, &taken.path) {
            Ok(true) => self.taken.push(taken),
            Ok(false) => {}
            Err(error) => self.left.push((taken, error)),
        }
    }
}

/// Makes a system that never ran one of its own.
pub fn renew(root: BorrowedFd<'_>) -> Renewed {
    let Stripped { taken, left } = strip(root);
    let mut troubles: Vec<String> = left.iter().map(|(taken, error)| shared(taken, error)).collect();
    let made = make_machine_id(root).unwrap_or_else(|error| {
        troubles.push(format!("/{MACHINE_ID} was not written: {error}"));
        false
    });
    Renewed { changed: made || !taken.is_empty(), makers: makers::wanted(root), troubles }
}

fn shared(taken: &Taken, error: &io::Error) -> String {
    format!("{} at /{} may be another machine's, too: it could not be removed: {error}", taken.name, shown(&taken.path))
}

/// Shows a path that may be anybody's.
pub fn shown(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}

/// Returns what is at a place of the table, as paths without links.
///
/// # Errors
/// What is in a directory cannot be told.
fn found(root: BorrowedFd<'_>, place: &str) -> io::Result<Vec<Vec<u8>>> {
    let (directory, pattern) = place.rsplit_once('/').unwrap_or(("", place));
    let mut paths: Vec<Vec<u8>> = match pattern.split_once('*') {
        None => vec![place.as_bytes().to_vec()],
        Some((start, end)) => {
            let directory_there = resolve(root, directory.as_bytes())
                .and_then(|(path, _)| open_beneath(root, &path, Access::Directory).ok());
            let listed = directory_there.map(|opened| names(opened.as_fd())).transpose()?;
            let fits = |name: &Vec<u8>| {
                name.len() >= start.len() + end.len()
                    && name.starts_with(start.as_bytes())
                    && name.ends_with(end.as_bytes())
            };
            listed.into_iter().flatten().filter(fits).map(|name| [directory.as_bytes(), b"/", &name].concat()).collect()
        }
    };
    paths.sort();
    Ok(paths.iter().filter_map(|path| resolve(root, path).map(|(path, _)| path)).collect())
}

/// Takes one thing out; tells whether there was anything to take.
fn take(root: BorrowedFd<'_>, kind: &Kind, path: &[u8]) -> io::Result<bool> {
    let (parent, name) = open_parent(root, path)?;
    match kind.fate {
        // Debian has the id of D-Bus as a link to it.
        Fate::Removed if Some(path) == resolve(root, MACHINE_ID.as_bytes()).map(|(path, _)| path).as_deref() => {
            Ok(false)
        }
        Fate::Removed => keeping_times(parent.as_fd(), || remove_tree(parent.as_fd(), name)).map(|()| true),
        Fate::Asked(text) => {
            let (metadata, begins) = begin_of(parent.as_fd(), name)?;
            if metadata.kind != FileKind::Regular || is_asking(&begins, text) {
                return Ok(false);
            }
            keeping_times(parent.as_fd(), || replace(parent.as_fd(), name, text.as_bytes(), &metadata)).map(|()| true)
        }
    }
}

/// Tells whether a file asks for a new one already.
fn is_asking(begins: &[u8], text: &str) -> bool {
    begins == text.as_bytes() || (text.is_empty() && begins.trim_ascii() == b"uninitialized")
}

fn open_parent<'a>(root: BorrowedFd<'_>, path: &'a [u8]) -> io::Result<(OwnedFd, &'a [u8])> {
    let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"".as_slice(), path),
    };
    Ok((open_beneath(root, parent, Access::Directory)?, name))
}

/// Returns what a name is and, of a regular file, the first bytes.
fn begin_of(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<(Metadata, Vec<u8>)> {
    let metadata = stat(open_beneath(parent, name, Access::Place)?.as_fd())?;
    let mut begins = vec![0; 256];
    if metadata.kind != FileKind::Regular {
        return Ok((metadata, vec![]));
    }
    let count = read_at(open_beneath(parent, name, Access::Read)?.as_fd(), &mut begins, 0)?;
    begins.truncate(count);
    Ok((metadata, begins))
}

fn keeping_times(directory: BorrowedFd<'_>, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let before = stat(directory)?;
    work()?;
    set_times(directory, before.modified)
}

/// Puts a new file in the place of one, with its owner, mode and time. The old inode may have other names.
fn replace(parent: BorrowedFd<'_>, name: &[u8], bytes: &[u8], like: &Metadata) -> io::Result<()> {
    let beside = [b".", name, b".berth"].concat();
    // One that was left by a crash.
    let _ = unlink(parent, &beside);
    let file = create_file(parent, &beside, 0o600)?;
    write_at(file.as_fd(), bytes, 0)?;
    set_owner(file.as_fd(), like.uid, like.gid)?;
    set_mode(file.as_fd(), like.mode)?;
    set_times(file.as_fd(), like.modified)?;
    sync(file.as_fd())?;
    rename(parent, &beside, parent, name)
}

/// Gives a system whose id is an empty file an id. systemd would do the same at its boot; nobody would without it.
fn make_machine_id(root: BorrowedFd<'_>) -> io::Result<bool> {
    let Some((path, metadata)) = resolve(root, MACHINE_ID.as_bytes()) else { return Ok(false) };
    if metadata.kind != FileKind::Regular || metadata.size != 0 {
        return Ok(false);
    }
    let (parent, name) = open_parent(root, &path)?;
    replace(parent.as_fd(), name, new_id()?.as_bytes(), &metadata)?;
    Ok(true)
}

/// Draws an id as systemd does: a random UUID (RFC 9562, version 4) as 32 digits.
fn new_id() -> io::Result<String> {
    let mut bytes = crate::sys::random::bytes()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Ok(format!("{:032x}\n", u128::from_be_bytes(bytes)))
}
