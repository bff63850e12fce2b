//! The terminals of a container that are Berth's own: its console, and those of the commands that enter it.
//!
//! The kernel has one count of pseudo-terminals for all, of which it keeps a part for the host's own devpts
//! (`kernel.pty.reserve`). The console comes from there, and so does a command's terminal when the container's devpts has
//! none left: neither a start nor an administrator's shell waits for what others hold. A command's terminal comes from
//! the devpts that was mounted at the start, by its descriptor: what the container mounts over it is not looked at.

use std::os::fd::OwnedFd;
use std::path::Path;

use super::failure::{Failure, Step as _};
use crate::sys::tty::{self, PseudoTerminal, WindowSize};
use crate::sys::{descriptor, mount};

/// Where the host's devpts lies, from the staging place.
const HOST_TERMINALS: &str = "terminals";
/// The group tty of every distribution.
pub(super) const GROUP: u32 = 5;
/// How many a container may have in its devpts, so that one that leaks them does not take the kernel's all. Its root can
/// change that: the kernel counts terminals for nobody else.
pub(super) const MOST: &str = "256";

/// Brings the host's terminals to the staging place.
pub(super) fn bring_to(place: &Path) -> Result<(), Failure> {
    let target = place.join(HOST_TERMINALS);
    std::fs::create_dir(&target).step("make a staging directory")?;
    mount::bind(Path::new("/dev/pts"), &target).step("bring the host's terminals to the stage")
}

/// Opens the console of a container whose root has the id `root` outside; returns it and a copy of its node's mount.
pub(super) fn open_console(root: u32) -> Result<(PseudoTerminal, OwnedFd), Failure> {
    let console = open_on_host(root).step("open the console")?;
    let node = Path::new(HOST_TERMINALS).join(console.number.to_string());
    let node = mount::copy_tree(&node).step("copy the console's node")?;
    Ok((console, node))
}

/// Opens a terminal of this size for a command in a container with these terminals of its own.
pub(super) fn open(own: &OwnedFd, root: u32, size: WindowSize) -> Result<PseudoTerminal, Failure> {
    let terminal = open_in(own, root).or_else(|_| open_on_host(root)).step("open a terminal")?;
    tty::set_size(&terminal.master, size).step("size the terminal")?;
    Ok(terminal)
}

fn open_on_host(root: u32) -> std::io::Result<PseudoTerminal> {
    open_in(&descriptor::open_directory(HOST_TERMINALS.as_ref())?, root)
}

fn open_in(devpts: &OwnedFd, root: u32) -> std::io::Result<PseudoTerminal> {
    let terminal = tty::open_pair(devpts)?;
    tty::give_slave_to(&terminal.slave, root, root + GROUP)?;
    Ok(terminal)
}
