//! Processes: forking into namespaces, exec, waiting, signals by pid and pidfd, attributes of the calling process.
//!
//! A fork copies only the calling thread. [`fork`] therefore refuses in a process with more than one thread: there
//! the child could meet a lock that nobody will ever release.

#![allow(unsafe_code)]

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::namespace::Namespaces;
use super::{capability, check, pass};

/// `CLONE_INTO_CGROUP` of linux/sched.h; the constant of libc is too narrow.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What the new process is put into at its birth.
#[derive(Debug, Default, Clone, Copy)]
pub struct ForkOptions<'a> {
    /// New namespaces of the child.
    pub namespaces: Namespaces,
    /// A cgroup v2 directory to be born in (`CLONE_INTO_CGROUP`, kernel 5.7).
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The child becomes a child of the caller's parent (`CLONE_PARENT`), which then is the one to reap it.
    pub as_sibling: bool,
    /// Whose a new user namespace is (user and group): what is made in it counts as theirs. None = the caller's.
    pub owner: Option<u32>,
}

/// On which side of the fork the caller is.
#[derive(Debug)]
pub enum Forked {
    /// The caller, with the child's pid and pidfd.
    Parent(Child),
    /// The new process.
    Child,
}

/// A process made by [`fork`].
#[derive(Debug)]
pub struct Child {
    /// The pid, as the caller's pid namespace numbers it.
    pub pid: i32,
    /// The pidfd (close-on-exec).
    pub pidfd: OwnedFd,
}

/// Tells whether the process has one thread: unshare(2) with `CLONE_THREAD` has no effect then, else it fails.
pub fn is_single_threaded() -> bool {
    // SAFETY: CLONE_THREAD alone changes nothing in a single-threaded process and fails with EINVAL in another.
    unsafe { pass::call(libc::SYS_unshare, [libc::CLONE_THREAD.into(), 0, 0, 0, 0]) }.is_ok()
}

/// Forks with clone3(2).
///
/// # Errors
/// `EINVAL` in a process with several threads; else what clone3 says.
pub fn fork(options: ForkOptions<'_>) -> io::Result<Forked> {
    if !is_single_threaded() {
        return Err(io::Error::other("fork in a process with several threads"));
    }
    let mut pidfd: RawFd = -1;
    let mut flags = options.namespaces.bits() | libc::CLONE_PIDFD as u64;
    let mut cgroup = 0;
    if let Some(descriptor) = options.cgroup {
        flags |= CLONE_INTO_CGROUP;
        cgroup = descriptor.as_raw_fd() as u64;
    }
    let exit_signal = if options.as_sibling { 0 } else { libc::SIGCHLD as u64 };
    if options.as_sibling {
        flags |= libc::CLONE_PARENT as u64;
    }
    // SAFETY: clone_args is plain data, all-zero is its documented "nothing asked for" value.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags;
    arguments.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    arguments.exit_signal = exit_signal;
    arguments.cgroup = cgroup;
    let borrowed = options.owner.map(BorrowedIds::take).transpose()?;
    let (place, size) = (pass::pointer_mut(&raw mut arguments), size_of::<libc::clone_args>() as libc::c_long);
    // SAFETY: no CLONE_VM and no stack: the child goes on with a copy of the caller's memory, as after fork(2); the
    // process has one thread (checked), so no lock is held by a thread that the child lacks. `arguments` and
    // `pidfd` live across the call.
    let pid = unsafe { pass::call(libc::SYS_clone3, [place, size, 0, 0, 0]) };
    if matches!(pid, Ok(0)) {
        return Ok(Forked::Child);
    }
    borrowed.map_or(Ok(()), BorrowedIds::give_back)?;
    let pid = pid?;
    // SAFETY: the kernel stored a fresh descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Forked::Parent(Child { pid: pid as i32, pidfd }))
}

/// The effective ids of another, taken on with all capabilities: the kernel makes the effective ids of whoever makes a
/// user namespace its owner (user_namespaces(7)), and counts as theirs what is made in it.
struct BorrowedIds {
    user: u32,
    group: u32,
    dumpable: libc::c_int,
}

impl BorrowedIds {
    fn take(id: u32) -> io::Result<Self> {
        let before = Self { user: effective_user(), group: effective_group(), dumpable: dumpable() };
        if let Err(error) = set_effective_ids(id, id).and_then(|()| capability::raise_permitted()) {
            before.give_back()?;
            return Err(error);
        }
        Ok(before)
    }

    /// Takes the own ids back. The kernel has opened or closed /proc of the process with the change, as the host's
    /// `fs.suid_dumpable` says.
    fn give_back(self) -> io::Result<()> {
        set_effective_ids(self.user, self.group)?;
        capability::raise_permitted()?;
        prctl(libc::PR_SET_DUMPABLE, self.dumpable as libc::c_ulong)
    }
}

/// Changes the effective ids alone: the real and saved ones keep others from signalling the process.
fn set_effective_ids(user: u32, group: u32) -> io::Result<()> {
    let (user, group) = (check::id(user)?, check::id(group)?);
    // SAFETY: plain numbers; -1 leaves an id as it is.
    check::int(unsafe { libc::setresgid(u32::MAX, group, u32::MAX) })?;
    // SAFETY: as above.
    check::int(unsafe { libc::setresuid(u32::MAX, user, u32::MAX) }).map(drop)
}

/// Replaces the program. Returns only on failure.
pub fn execute(path: &CStr, arguments: &[CString], environment: &[CString]) -> io::Result<Infallible> {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(arguments), pointers(environment));
    // SAFETY: both vectors end in null and point to NUL-terminated strings that live across the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    Err(io::Error::last_os_error())
}

/// Replaces the program by one given as an open descriptor (execveat(2) with `AT_EMPTY_PATH`).
pub fn execute_descriptor(
    program: impl AsFd,
    arguments: &[CString],
    environment: &[CString],
) -> io::Result<Infallible> {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(arguments), pointers(environment));
    let number = program.as_fd().as_raw_fd();
    // SAFETY: as in `execute`; the empty path is a static NUL-terminated string.
    unsafe {
        libc::syscall(libc::SYS_execveat, number, c"".as_ptr(), argv.as_ptr(), envp.as_ptr(), libc::AT_EMPTY_PATH);
    }
    Err(io::Error::last_os_error())
}

/// Ends the process at once, without running anything that was registered for its exit.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit never returns and touches no memory of the process.
    unsafe { libc::_exit(code) }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitStatus {
    /// It called exit with this code.
    Exited(i32),
    /// This signal ended it.
    Signaled(i32),
}

/// Reaps one child that has ended, if any.
///
/// # Errors
/// `ECHILD` is no error but `None`: there are no children.
pub fn reap() -> io::Result<Option<(i32, WaitStatus)>> {
    let mut status = 0;
    // SAFETY: `status` lives across the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    match pid {
        0 => Ok(None),
        -1 if io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD) => Ok(None),
        -1 => Err(io::Error::last_os_error()),
        pid if libc::WIFEXITED(status) => Ok(Some((pid, WaitStatus::Exited(libc::WEXITSTATUS(status))))),
        pid => Ok(Some((pid, WaitStatus::Signaled(libc::WTERMSIG(status))))),
    }
}

/// Waits for this child to end and reaps it.
pub fn reap_one(pid: i32) -> io::Result<WaitStatus> {
    let mut status = 0;
    // SAFETY: `status` lives across the call.
    check::int(unsafe { libc::waitpid(pid, &raw mut status, 0) })?;
    if libc::WIFEXITED(status) {
        return Ok(WaitStatus::Exited(libc::WEXITSTATUS(status)));
    }
    Ok(WaitStatus::Signaled(libc::WTERMSIG(status)))
}

/// Sends a signal to a process, or with a negative pid to a process group (kill(2)).
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: plain numbers.
    check::int(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Sends a signal to exactly the process that the pidfd names (`pidfd_send_signal(2)`).
pub fn signal_pidfd(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    let number = pidfd.as_fd().as_raw_fd();
    // SAFETY: the descriptor is borrowed for the call; a null siginfo and flags 0 are allowed.
    check::long(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, number, signal, std::ptr::null::<libc::siginfo_t>(), 0)
    })
    .map(drop)
}

/// Opens a pidfd (close-on-exec by itself).
pub fn open_pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers; the result is a fresh descriptor that nobody else owns.
    let number = check::long(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(number as RawFd) })
}

/// Starts a new session.
pub fn new_session() -> io::Result<()> {
    // SAFETY: no arguments.
    check::int(unsafe { libc::setsid() }).map(drop)
}

/// Takes on the user, group and supplementary groups for good (real, effective and saved).
pub fn become_user(user: u32, group: u32, groups: &[u32]) -> io::Result<()> {
    let (user, group) = (check::id(user)?, check::id(group)?);
    keeping_closed(|| {
        set_groups(groups)?;
        // SAFETY: plain numbers.
        check::int(unsafe { libc::setresgid(group, group, group) })?;
        // SAFETY: plain numbers.
        check::int(unsafe { libc::setresuid(user, user, user) }).map(drop)
    })
}

/// Takes these supplementary groups on, and no others.
///
/// # Errors
/// What setgroups(2) says; `EINVAL` of a number that the user namespace does not have.
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the slice lives across the call and its length is given.
    check::int(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) }).map(drop)
}

/// Changes ids or namespaces of a process whose /proc stays closed if it was: with such a change the kernel opens or closes
/// it, as the host's `fs.suid_dumpable` says.
pub(super) fn keeping_closed(change: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let open = dumpable() == 1;
    change()?;
    if open { Ok(()) } else { forbid_dump() }
}

fn dumpable() -> libc::c_int {
    let zero: libc::c_ulong = 0;
    // SAFETY: plain numbers.
    unsafe { libc::prctl(libc::PR_GET_DUMPABLE, zero, zero, zero, zero) }
}

fn prctl(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    let zero: libc::c_ulong = 0;
    // SAFETY: only options that take plain numbers are passed by the functions below.
    check::int(unsafe { libc::prctl(option, value, zero, zero, zero) }).map(drop)
}

/// Makes orphaned descendants children of this process.
pub fn become_subreaper() -> io::Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1)
}

/// Closes /proc/PID of this process to everyone without privilege over the user namespace its memory belongs to.
pub fn forbid_dump() -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0)
}

/// Lets the kernel kill this process when its parent dies; lost when user ids change.
pub fn die_with_parent() -> io::Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong)
}

/// Gives up gaining privilege by exec for good.
pub fn set_no_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Sets the mask for the modes of new files.
pub fn set_file_mode_mask(mask: u32) {
    // SAFETY: a plain number; umask cannot fail.
    unsafe { libc::umask(mask) };
}

/// Changes the words that ps(1) shows of this process, within the room that its first ones took.
///
/// # Errors
/// They do not fit (`InvalidInput`); the old ones stay.
pub fn set_command_line(words: &[&[u8]]) -> io::Result<()> {
    let (start, end) = argument_area()?;
    let room = end.saturating_sub(start);
    let mut text = words.iter().flat_map(|word| word.iter().copied().chain([0])).collect::<Vec<u8>>();
    if text.len() > room {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    text.resize(room, 0);
    // SAFETY: the kernel says that the strings of argv lie there, on the first stack, writable and for as long as the
    // process lives. Nobody keeps a reference to them: std copies them at each call. Every byte written keeps them
    // ended by NUL, as `text` ends in one and is exactly as long.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), start as *mut u8, room) };
    Ok(())
}

/// Returns where the argument strings begin and end: fields 48 and 49 of `/proc/self/stat` (proc(5)).
fn argument_area() -> io::Result<(usize, usize)> {
    let [start, end] = fields_of("self", [48, 49])?;
    if start == 0 { Err(io::ErrorKind::InvalidData.into()) } else { Ok((start, end)) }
}

/// Tells whether a process, or what is left of one that nobody has reaped, has executed a program since it was forked.
pub fn has_executed(pid: i32) -> io::Result<bool> {
    /// `PF_FORKNOEXEC` of linux/sched.h, in field 9.
    const FORKED_ALONE: usize = 0x40;
    let [flags] = fields_of(&pid.to_string(), [9])?;
    Ok(flags & FORKED_ALONE == 0)
}

/// Returns fields of `/proc/PID/stat` behind the name, by their numbers (proc_pid_stat(5)).
fn fields_of<const COUNT: usize>(process: &str, numbers: [usize; COUNT]) -> io::Result<[usize; COUNT]> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> =
        text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let mut found = [0; COUNT];
    for (place, number) in found.iter_mut().zip(numbers) {
        let field = number.checked_sub(3).and_then(|index| fields.get(index)?.parse().ok());
        *place = field.ok_or(io::ErrorKind::InvalidData)?;
    }
    Ok(found)
}

/// Returns the caller's pid.
pub fn own_pid() -> i32 {
    std::process::id() as i32
}

/// Returns the caller's parent's pid; 0 when the parent is outside the pid namespace.
pub fn parent_pid() -> i32 {
    // SAFETY: no arguments.
    unsafe { libc::getppid() }
}

/// Returns the caller's effective user id.
pub fn effective_user() -> u32 {
    // SAFETY: no arguments.
    unsafe { libc::geteuid() }
}

/// Returns the caller's effective group id.
pub fn effective_group() -> u32 {
    // SAFETY: no arguments.
    unsafe { libc::getegid() }
}
