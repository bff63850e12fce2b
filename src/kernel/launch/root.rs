//! Assembles the root of the container, in the child, before the old root goes.
//!
//! All paths start at the staging place. The layers are attached in the child's own mount namespace and the overlay
//! is mounted there by path: layers given as detached descriptors belong to the host's user namespace and are
//! refused. proc and sysfs come before the old root goes, since a user namespace may mount them only while a whole
//! /proc and /sys is visible. What lies in the root is not trusted: mount points are opened without following links.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::{CONTROL, DEVICES, NODES};
use crate::kernel::disk::UPPER;
use crate::kernel::failure::{Failure, Step as _};
use crate::kernel::terminal;
use crate::sys::descriptor;
use crate::sys::mount::{self, Safety, TreeAttributes};
use crate::sys::namespace::{self, Namespaces};

/// Mount point of the disk's idmapped copy.
pub const UPPER_DISK: &str = "upper-disk";
/// Mount point of the assembled root.
pub const ROOT: &str = "root";
const WORK: &str = "work";
/// The major number of what the host's own nodes refuse to an id of the range (misc devices).
const MISCELLANEOUS: u32 = 10;
const LINKS: [(&str, &str); 6] = [
    ("dev/ptmx", "pts/ptmx"),
    ("dev/fd", "/proc/self/fd"),
    ("dev/stdin", "/proc/self/fd/0"),
    ("dev/stdout", "/proc/self/fd/1"),
    ("dev/stderr", "/proc/self/fd/2"),
    ("dev/core", "/proc/kcore"),
];

/// Returns the mount point of a lower layer.
pub fn lower_name(index: usize) -> String {
    format!("lower{index}")
}

/// Assembles the root and makes it the process's root; returns the root of its devpts. `console` is the node's mount. What
/// stood in the way is told in `warnings`.
pub fn assemble(layers: Vec<OwnedFd>, console: OwnedFd, warnings: &mut Vec<String>) -> Result<OwnedFd, Failure> {
    mount::set_propagation(mount::Propagation::Dependent).step("make the mounts dependent")?;
    mount_overlay(layers)?;
    // This process has joined its groups at its birth: they become the roots of what it sees.
    namespace::leave(Namespaces::CGROUP).step("make the cgroup namespace")?;
    let root = descriptor::open_place(ROOT.as_ref()).step("open the root")?;
    let mut place = Place { root: &root, warnings };
    mount_kernel_views(&mut place)?;
    mount_devices(&mut place)?;
    mount_run(&mut place)?;
    attach_node(console, "the console", &format!("{ROOT}/dev/console"))?;
    let terminals = descriptor::open_place(format!("{ROOT}/dev/pts").as_ref()).step("open the terminals")?;
    drop(root);
    std::env::set_current_dir(ROOT).step("go to the root")?;
    mount::make_current_directory_root().step("change the root")?;
    Ok(terminals)
}

/// Attaches the layers and mounts the overlay over them.
pub fn mount_overlay(layers: Vec<OwnedFd>) -> Result<(), Failure> {
    let lowers = layers.len().saturating_sub(1);
    for (index, layer) in layers.into_iter().enumerate() {
        let target = if index < lowers { lower_name(index) } else { UPPER_DISK.to_owned() };
        mount::attach(layer, target.as_ref()).step("attach a layer")?;
    }
    for name in [UPPER, WORK] {
        make_directory(&format!("{UPPER_DISK}/{name}"))?;
    }
    let lower: Vec<String> = (0..lowers).map(lower_name).collect();
    let options = [
        ("source", "overlay"),
        ("userxattr", ""),
        ("lowerdir", &lower.join(":")),
        ("upperdir", &format!("{UPPER_DISK}/{UPPER}")),
        ("workdir", &format!("{UPPER_DISK}/{WORK}")),
    ];
    let overlay = mount::new_file_system("overlay", &options, Safety::Plain);
    let overlay = overlay.map_err(|error| no_room_left(&error).unwrap_or(error)).step("mount the overlay")?;
    mount::attach(overlay, ROOT.as_ref()).step("attach the overlay")
}

/// Says what helps where a disk has no room for what a root needs: what the container has made itself, nobody can remove but
/// from inside.
fn no_room_left(error: &io::Error) -> Option<io::Error> {
    let words = "its disk has no room (bytes or inodes); it can be made larger: berth container set NAME --disk SIZE";
    crate::sys::fs::is_full(error).then(|| io::Error::other(words))
}

fn make_directory(path: &str) -> Result<(), Failure> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).step(&format!("make the directory {path}"))
        }
        _ => Ok(()),
    }
}

/// The root that is assembled, and what had to be moved out of the way there.
struct Place<'a> {
    root: &'a OwnedFd,
    warnings: &'a mut Vec<String>,
}

impl Place<'_> {
    /// Mounts a new file system at a directory of the root that is a directory and no link. The container may have put
    /// anything else there; that must not keep it from starting.
    fn mount(&mut self, target: &str, kind: &str, options: &[(&str, &str)], safety: Safety) -> Result<(), Failure> {
        let step = format!("mount {kind} at /{target}");
        let place = descriptor::place_beneath(self.root, target);
        let (place, aside) = place.map_err(|error| no_room_left(&error).unwrap_or(error)).step(&step)?;
        self.warnings.extend(aside.map(|name| format!("/{target} was no directory; what stood there is now /{name}")));
        let tree = mount::new_file_system(kind, options, safety).step(&step)?;
        mount::attach_at(tree, place).step(&step)
    }
}

fn mount_kernel_views(place: &mut Place<'_>) -> Result<(), Failure> {
    place.mount("proc", "proc", &[], Safety::DataOnly)?;
    // In a container of a container the view above is read-only, and the kernel lets no mount below be less so.
    place.mount("sys", "sysfs", &[("ro", "")], Safety::ReadOnlyData)?;
    place.mount("sys/fs/cgroup", "cgroup2", &[], Safety::DataOnly)
}

fn mount_devices(place: &mut Place<'_>) -> Result<(), Failure> {
    place.mount("dev", "tmpfs", &[("mode", "755"), ("size", "64k")], Safety::NoSetUserId)?;
    // From here on paths below dev are our own making.
    for folder in ["pts", "shm", "mqueue", "net"] {
        make_directory(&format!("{ROOT}/dev/{folder}"))?;
    }
    let pts = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5"), ("max", terminal::MOST)];
    place.mount("dev/pts", "devpts", &pts, Safety::NoSetUserId)?;
    place.mount("dev/shm", "tmpfs", &[("mode", "1777")], Safety::NoDevices)?;
    place.mount("dev/mqueue", "mqueue", &[], Safety::DataOnly)?;
    for (place, name, major, _) in DEVICES {
        let own = Path::new(NODES).join(name);
        if own.exists() {
            bind_node(&own, &format!("{ROOT}/dev/{place}"))?;
        } else if major != MISCELLANEOUS {
            bind_node(&Path::new("/dev").join(name), &format!("{ROOT}/dev/{place}"))?;
        }
    }
    for (link, target) in LINKS {
        std::os::unix::fs::symlink(target, format!("{ROOT}/{link}")).step("make a link in /dev")?;
    }
    Ok(())
}

fn bind_node(node: &Path, target: &str) -> Result<(), Failure> {
    let tree = mount::copy_tree(node).step(&format!("copy the device {}", node.display()))?;
    attach_node(tree, &node.display().to_string(), target)
}

fn attach_node(tree: OwnedFd, name: &str, target: &str) -> Result<(), Failure> {
    let step = format!("bind the device {name}");
    fs::File::create(target).step(&step)?;
    mount::attach(tree, target.as_ref()).step(&step)
}

/// Mounts /run and, read-only, the folder with the readiness socket (a socket can be written on a read-only mount).
fn mount_run(place: &mut Place<'_>) -> Result<(), Failure> {
    place.mount("run", "tmpfs", &[("mode", "755")], Safety::NoDevices)?;
    let target = format!("{ROOT}/run/host/{CONTROL}");
    fs::create_dir_all(&target).step("make /run/host")?;
    let tree = mount::copy_tree(CONTROL.as_ref()).step("bind the control folder")?;
    let attributes = TreeAttributes { read_only: true, no_devices: true, id_map: None };
    mount::change_tree(&tree, &attributes).step("restrict the control folder")?;
    mount::attach(tree, target.as_ref()).step("bind the control folder")
}
