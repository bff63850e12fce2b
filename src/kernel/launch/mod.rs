//! Starts the first process of a container, in two acts: [`create`] makes the namespaces and assembles the root, and
//! [`Gate::open`] lets the process become its program. Between the two the network can be moved in.
//!
//! The parent is the shim (one thread, real root, current directory = the staging place). A fork of it puts the system call
//! filter on, which takes the privileges of the host, and makes the child; what makes mounts and namespaces below that
//! filter shows it a pass. Parent and child talk over a packet socket: the child gets the idmapped layers, sends the console,
//! waits for the word, and a closed socket without words tells that exec has taken place.

mod child;
mod plan;
mod root;
pub(super) mod words;

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

pub use plan::{Container, Init, Network};

use super::cgroup::Cgroup;
use super::disk::{self, DISK, UPPER};
use super::etc::Names;
use super::failure::{Failure, Step as _};
use super::terminal;
use crate::sys::fs::open_root;
use crate::sys::mount::{self, TreeAttributes};
use crate::sys::namespace::Namespaces;
use crate::sys::process::{self, Child, ForkOptions, Forked};
use crate::sys::tty::PseudoTerminal;
use crate::sys::{descriptor, heritage, signal, socket};
use crate::types::{HostName, IdRange, Managed};
pub(super) use child::{join_new_keyring, lower_descriptor_limit};
pub use words::Prepared;
use words::Told;
pub(super) use words::Word;

/// How long the child may take for its part of a step.
const PATIENCE: Duration = Duration::from_secs(20);
/// The folder of the stage that the container sees as `/run/host/ctl`; the socket `notify` lies in it.
pub const CONTROL: &str = "ctl";
/// What the built-in init says on that socket, before the number, when a signal ended its command.
pub const COMMAND_SIGNAL: &str = "X_BERTH_COMMAND_SIGNAL=";
/// What it adds to the number for its exit code, as a shell does.
pub const SIGNALED: i32 = 128;
/// The folder of the stage with device nodes of the container's own.
const NODES: &str = "nodes";
/// The character devices of a container: where in /dev, name, major, minor. Nodes of its own and not the host's: locks
/// and watches are of a node, so that those of one container would be everybody's.
const DEVICES: [(&str, &str, u32, u32); 8] = [
    ("null", "null", 1, 3),
    ("zero", "zero", 1, 5),
    ("full", "full", 1, 7),
    ("random", "random", 1, 8),
    ("urandom", "urandom", 1, 9),
    ("tty", "tty", 5, 0),
    ("fuse", "fuse", 10, 229),
    ("net/tun", "tun", 10, 200),
];

/// A container whose first process waits for the word to begin.
#[derive(Debug)]
pub struct Created {
    /// The first process.
    pub child: Child,
    /// The console.
    pub console: PseudoTerminal,
    /// The root of its devpts.
    pub terminals: OwnedFd,
    /// The way to let it begin.
    pub gate: Gate,
    /// What is to be told of its root.
    pub prepared: Prepared,
}

/// Holds the first process back; dropping it unopened ends the process.
#[derive(Debug)]
pub struct Gate {
    socket: OwnedFd,
    listener: Option<OwnedFd>,
    /// The process, where it becomes the program itself; the built-in init looks after its own command.
    program: Option<i32>,
}

impl Gate {
    /// Lets the process become its program and returns when it has: the listener of its system call filter, if that asks.
    ///
    /// # Errors
    /// Names the step in the child that failed (security profile, exec).
    pub fn open(self) -> Result<Option<OwnedFd>, Failure> {
        Word::Go.send(&self.socket, &[])?;
        match self.program {
            Some(pid) => words::wait_for_exec(&self.socket, PATIENCE, pid)?,
            None => words::wait_for_end(&self.socket, PATIENCE)?,
        }
        Ok(self.listener)
    }
}

/// Makes the namespaces, the cgroup membership and the root of the container.
///
/// # Errors
/// Names the step, on whichever side it failed; the child is killed then (its parent still has to reap it).
pub fn create(container: &Container, cgroup: &Cgroup) -> Result<Created, Failure> {
    make_stage(container)?;
    let kept = container.names.kept(own_files().as_ref().map(AsFd::as_fd));
    let (console, node) = terminal::open_console(container.root())?;
    let (ours, theirs) = socket::pair().step("make the launch socket")?;
    let (group, doors) = (cgroup.open()?, cgroup.open_v1()?);
    let options = ForkOptions {
        namespaces: namespaces(container),
        cgroup: Some(group.as_fd()),
        owner: container.ids.map(|range| range.base),
        as_sibling: true,
    };
    if let Forked::Child = process::fork(ForkOptions::default()).step("fork the helper")? {
        child::help(container, &kept, options, doors, theirs);
    }
    drop((theirs, doors));
    let Told { child, listener, .. } = words::expect_entered(&ours, PATIENCE)?;
    match bring_up(container, cgroup, &child, &ours, node) {
        Ok((terminals, prepared)) => {
            let program = matches!(container.init, Init::Own { .. }).then_some(child.pid);
            let gate = Gate { socket: ours, listener, program };
            Ok(Created { child, console, terminals, gate, prepared })
        }
        Err(failure) => {
            let _ = process::signal_pidfd(&child.pidfd, signal::KILL);
            Err(failure)
        }
    }
}

/// Opens what the container's own files are, if it has any yet.
pub fn own_files() -> Option<OwnedFd> {
    open_root(&Path::new(DISK).join(UPPER)).ok()
}

/// The parent's part while the child waits and then assembles its root; returns the root of the child's devpts.
fn bring_up(
    container: &Container,
    cgroup: &Cgroup,
    child: &Child,
    socket: &OwnedFd,
    console: OwnedFd,
) -> Result<(OwnedFd, Prepared), Failure> {
    // The supervisor's own goes on to its child, and is what a container could lower its score to.
    heritage::set_oom_score(&child.pid.to_string(), 0).step("set the oom score of the first process")?;
    if let Some(range) = container.ids {
        write_id_maps(child.pid, range)?;
    }
    if let Some(range) = container.ids {
        cgroup.delegate(range.base)?;
    }
    let mut layers = copy_layers(container, child.pid)?;
    layers.push(console);
    let borrowed: Vec<_> = layers.iter().map(AsFd::as_fd).collect();
    Word::Layers.send(socket, &borrowed)?;
    let (prepared, mut descriptors) = words::expect_prepared(socket, PATIENCE)?;
    let terminals = descriptors.pop().ok_or_else(|| Failure::new("take the terminals", "the child sent none"))?;
    Ok((terminals, prepared))
}

fn namespaces(container: &Container) -> Namespaces {
    let always = Namespaces::PID.and(Namespaces::MOUNT).and(Namespaces::UTS).and(Namespaces::IPC);
    let user = if container.ids.is_some() { Namespaces::USER } else { Namespaces::default() };
    match container.network {
        Network::Own => always.and(user).and(Namespaces::NETWORK),
        Network::Host => always.and(user),
    }
}

/// Makes mount points and device nodes on the stage; some may be there from an earlier try.
fn make_stage(container: &Container) -> Result<(), Failure> {
    for index in 0..container.lowers.len() {
        disk::make_open_directory(root::lower_name(index))?;
    }
    for name in [root::UPPER_DISK, root::ROOT, CONTROL, NODES] {
        disk::make_open_directory(name)?;
    }
    let owner = container.root();
    for (_, name, major, minor) in DEVICES {
        let path = std::path::Path::new(NODES).join(name);
        let _ = fs::remove_file(&path);
        // Without CAP_MKNOD the container has those of the host, and neither fuse nor tun.
        let _ = descriptor::make_character_device(&path, major, minor, owner);
    }
    Ok(())
}

fn write_id_maps(pid: i32, range: IdRange) -> Result<(), Failure> {
    let line = format!("0 {} {}", range.base, range.count);
    for file in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{pid}/{file}"), &line).step(&format!("write the {file}"))?;
    }
    Ok(())
}

/// Copies template layers (read-only) and disk into detached trees, with the ids of the container.
fn copy_layers(container: &Container, pid: i32) -> Result<Vec<OwnedFd>, Failure> {
    let user = match container.ids {
        Some(_) => Some(fs::File::open(format!("/proc/{pid}/ns/user")).step("open the user namespace")?),
        None => None,
    };
    let id_map = user.as_ref().map(AsFd::as_fd);
    let copy = |path: &std::path::Path, read_only| {
        let tree = mount::copy_tree(path).step(&format!("copy the mount of {}", path.display()))?;
        let attributes = TreeAttributes { read_only, no_devices: true, id_map };
        mount::change_tree(&tree, &attributes).step(&format!("map the ids of {}", path.display()))?;
        Ok(tree)
    };
    let mut layers = Vec::new();
    for lower in &container.lowers {
        layers.push(copy(lower, true)?);
    }
    layers.push(copy(DISK.as_ref(), false)?);
    Ok(layers)
}

/// Tries the layers of a start once, at the staging place: an overlay of `lower` and the mounted disk, in a user
/// namespace with this range. For the probe; the mounts end with the caller.
///
/// # Errors
/// Names the step that the kernel refused.
pub(super) fn rehearse_overlay(lower: &std::path::Path, range: IdRange) -> Result<(), Failure> {
    let container = Container {
        names: Names { hostname: HostName::localhost(), address: None, resolv_conf: None, managed: Managed::default() },
        ids: Some(range),
        lowers: vec![lower.to_owned()],
        init: Init::Builtin { argv: Vec::new() },
        environment: Vec::new(),
        nesting: false,
        network: Network::Host,
        renew: false,
    };
    make_stage(&container)?;
    let (ours, theirs) = socket::pair().step("make the launch socket")?;
    let namespaces = Namespaces::USER.and(Namespaces::MOUNT);
    let options = ForkOptions { namespaces, owner: Some(range.base), ..ForkOptions::default() };
    let child = match process::fork(options).step("fork into the namespaces")? {
        Forked::Child => child::rehearse(theirs),
        Forked::Parent(child) => child,
    };
    drop(theirs);
    write_id_maps(child.pid, range)?;
    let layers = copy_layers(&container, child.pid)?;
    Word::Layers.send(&ours, &layers.iter().map(AsFd::as_fd).collect::<Vec<_>>())?;
    words::wait_for_end(&ours, PATIENCE)
}
