//! The child's side of a launch: it takes on the ids, assembles the root, waits for the word, becomes the program.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};

use super::plan::{Container, Init, Network};
use super::{CONTROL, Prepared, Word, root, words};
use crate::kernel::cgroup::Doors;
use crate::kernel::failure::{Failure, Step as _};
use crate::kernel::unshared::{self, Renewed};
use crate::kernel::{builtin_init, program, security};
use crate::sys::process::{self, ForkOptions, Forked};
use crate::sys::{descriptor, heritage, namespace, signal, tty};
use crate::types::ManagedFile;

/// What a waiting child ends with when its parent has gone or something failed.
const EXIT_FAILED: i32 = 70;

/// Runs the helper that puts the filter on and makes the child, which is its sibling; never returns.
///
/// The filter needs the privileges of the host, and the child is born into the container's user namespace without them.
pub fn help(container: &Container, kept: &[ManagedFile], options: ForkOptions<'_>, doors: Doors, socket: OwnedFd) -> ! {
    let listener = security::put_filter_on(container.profile());
    let forked = listener.and_then(|listener| {
        words::hand_over(listener, &socket)?;
        process::fork(options).step("fork into the namespaces")
    });
    let told = match forked {
        Ok(Forked::Child) => run(container, kept, doors, socket),
        Ok(Forked::Parent(child)) => Word::Entered(child.pid).send(&socket, &[child.pidfd.as_fd()]),
        Err(failure) => Word::Failed(failure).send(&socket, &[]),
    };
    process::exit_now(if told.is_ok() { 0 } else { EXIT_FAILED })
}

/// Runs the child; never returns.
fn run(container: &Container, kept: &[ManagedFile], doors: Doors, socket: OwnedFd) -> ! {
    let joined = doors.pass();
    let Ok(socket) = descriptor::keep_only(socket) else { process::exit_now(EXIT_FAILED) };
    let Err(failure) = joined.and_then(|()| become_init(container, kept, &socket));
    let _ = Word::Failed(failure).send(&socket, &[]);
    process::exit_now(EXIT_FAILED)
}

/// Runs the child of a rehearsal: the layers and nothing more; never returns.
pub fn rehearse(socket: OwnedFd) -> ! {
    // The parent's end is open here too, and would hide that the parent has given up.
    let Ok(socket) = descriptor::keep_only(socket) else { process::exit_now(EXIT_FAILED) };
    let tried = words::expect(&socket, &Word::Layers, super::PATIENCE).and_then(|layers| {
        process::become_user(0, 0, &[]).step("become root of the container")?;
        root::mount_overlay(layers)
    });
    if let Err(failure) = tried {
        let _ = Word::Failed(failure).send(&socket, &[]);
    }
    process::exit_now(0)
}

fn become_init(container: &Container, kept: &[ManagedFile], socket: &OwnedFd) -> Result<Infallible, Failure> {
    process::forbid_dump().step("close /proc of the first process")?;
    // The upper layer becomes the container's `/`, which every user must be able to pass.
    process::set_file_mode_mask(0o022);
    let mut layers = words::expect(socket, &Word::Layers, super::PATIENCE)?;
    let console = layers.pop().ok_or_else(|| Failure::new("take the console", "none was sent"))?;
    process::become_user(0, 0, &[]).step("become root of the container")?;
    lower_descriptor_limit()?;
    join_new_keyring();
    // After the change of ids, which would forget it.
    process::die_with_parent().step("tie the first process to the shim")?;
    process::new_session().step("start a session")?;
    let mut prepared = Prepared::default();
    let terminals = root::assemble(layers, console, &mut prepared.warnings)?;
    // By its path, so that ttyname(3) finds it.
    let console = tty::open("/dev/console".as_ref()).step("open the console")?;
    if container.renew {
        renew(&mut prepared)?;
    }
    furnish(container, kept, &mut prepared)?;
    Word::Prepared(prepared).send(socket, &[terminals.as_fd()])?;
    drop(terminals);
    wait_for_go(socket)?;
    take_terminal(&console, matches!(container.init, Init::Own { .. }))?;
    drop(console);
    signal::restore_defaults().step("restore signals")?;
    become_first_program(container)
}

/// Takes off a supervisor's limit of descriptors.
pub(in crate::kernel) fn lower_descriptor_limit() -> Result<(), Failure> {
    heritage::lower_descriptor_limit().step("set the limit of descriptors")
}

/// Leaves a supervisor's keyring; a kernel without keyrings has nothing to pass on.
pub(in crate::kernel) fn join_new_keyring() {
    let _ = heritage::join_new_keyring();
}

/// Waits for as long as it takes; a parent that dies or undoes closes the socket.
fn wait_for_go(socket: &OwnedFd) -> Result<(), Failure> {
    match Word::receive(socket)? {
        Some((Word::Go, _)) => Ok(()),
        _ => process::exit_now(EXIT_FAILED),
    }
}

/// Makes anew what no two machines may share. What cannot be keeps nothing from starting.
fn renew(prepared: &mut Prepared) -> Result<(), Failure> {
    let root = descriptor::open_directory("/".as_ref()).step("open the root")?;
    let Renewed { changed, makers, troubles } = unshared::renew(root.as_fd());
    prepared.renewed = changed || !makers.is_empty();
    prepared.makers = makers;
    prepared.warnings.extend(troubles);
    Ok(())
}

/// Settings inside the namespaces and the few files of /etc that belong to the host's knowledge. What the container has
/// made of its /etc, or a full disk, must not keep it from starting: a file that cannot be written is left, with a word.
fn furnish(container: &Container, kept: &[ManagedFile], prepared: &mut Prepared) -> Result<(), Failure> {
    let name = container.names.present(kept);
    namespace::set_hostname(name.as_str()).step("set the host name")?;
    if container.network == Network::Own {
        namespace::bring_loopback_up().step("bring lo up")?;
        // Lets every user ping without capabilities; a kernel without IPv4 has no such file.
        let _ = std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 65535");
    }
    prepared.warnings.extend(container.names.write(&name, kept));
    prepared.kept = kept.to_vec();
    Ok(())
}

/// The built-in init leaves the controlling terminal to its command.
fn take_terminal(slave: &OwnedFd, controlling: bool) -> Result<(), Failure> {
    if controlling {
        tty::make_controlling(slave).step("take the console")?;
    }
    for number in 0..3 {
        descriptor::duplicate_onto(slave, number).step("take the console")?;
    }
    Ok(())
}

fn environment(container: &Container) -> Vec<String> {
    let has = |name: &str| container.environment.iter().any(|entry| entry.starts_with(name));
    let mut all = container.environment.clone();
    let fixed = [
        ("PATH=", program::DEFAULT_PATH.to_owned()),
        ("TERM=", "linux".to_owned()),
        ("HOME=", "/root".to_owned()),
        ("container=", "berth".to_owned()),
    ];
    all.extend(fixed.into_iter().filter(|(name, _)| !has(name)).map(|(name, value)| format!("{name}{value}")));
    if matches!(container.init, Init::Own { .. }) {
        all.push(format!("NOTIFY_SOCKET=/run/host/{CONTROL}/notify"));
    }
    all
}

fn become_first_program(container: &Container) -> Result<Infallible, Failure> {
    let environment = environment(container);
    match &container.init {
        Init::Own { argv, .. } => {
            descriptor::close_all_but_kept().step("close descriptors")?;
            security::drop_capabilities(container.profile())?;
            program::become_program(argv, &environment).step(&program::step(argv))
        }
        Init::Builtin { argv } => builtin_init::run(argv, &environment, container.profile()),
    }
}
