//! Installs system call filters (seccomp(2)) and hears what they ask. What they say is built in `kernel::seccomp`.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use super::check;

pub use numbers::*;

/// One instruction of classic BPF (`struct sock_filter`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when true.
    pub jump_true: u8,
    /// Instructions to skip when false.
    pub jump_false: u8,
    /// Operand.
    pub operand: u32,
}

/// Puts the filter on the calling process for good. Needs no_new_privs or `CAP_SYS_ADMIN` in its user namespace.
pub fn install(filter: &[Instruction]) -> io::Result<()> {
    put_on(filter, 0).map(drop)
}

/// The same for a filter that asks about some calls; returns the listener on which it does (seccomp_unotify(2)).
pub fn install_with_listener(filter: &[Instruction]) -> io::Result<OwnedFd> {
    // Once a question is heard, only a deadly signal ends the wait for the answer.
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let number = put_on(filter, flags)?;
    // SAFETY: with this flag a call that succeeds returns a new descriptor, which nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn put_on(filter: &[Instruction], flags: libc::c_ulong) -> io::Result<i32> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?,
        filter: filter.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `Instruction` has the layout of sock_filter; the kernel copies `len` of them during the call and does
    // not write to them.
    let number = check::long(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    });
    let named = |error: io::Error| {
        if error.raw_os_error() == Some(NOT_COMPILED) { io::Error::other(NO_ROOM) } else { error }
    };
    Ok(number.map_err(named)? as i32)
}

/// A call of a thread that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    id: u64,
    /// The thread, as the listener's holder numbers it; zero if it cannot see it.
    pub thread: i32,
}

/// What a listener has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A call waits.
    Question(Question),
    /// Nothing; who asked has gone.
    Nothing,
    /// Nobody is left who could ask.
    End,
}

/// Hears the next question without waiting for one.
pub fn hear(listener: BorrowedFd<'_>) -> io::Result<Heard> {
    let mut poll = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd that lives across the call.
    check::int(unsafe { libc::poll(&raw mut poll, 1, 0) })?;
    if poll.revents & libc::POLLIN == 0 {
        return Ok(if poll.revents == 0 { Heard::Nothing } else { Heard::End });
    }
    let mut asked = MaybeUninit::<libc::seccomp_notif>::zeroed();
    // SAFETY: the call fills a struct of zeroes, which is what it wants to be given.
    match check::int(unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, asked.as_mut_ptr()) }) {
        Ok(_) => {
            // SAFETY: plain numbers, all of them set.
            let asked = unsafe { asked.assume_init() };
            Ok(Heard::Question(Question { id: asked.id, thread: asked.pid as i32 }))
        }
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => Ok(Heard::Nothing),
        Err(error) => Err(error),
    }
}

/// Tells whether who asked still waits; if so, what was read under its number before was its own.
pub fn still_waits(listener: BorrowedFd<'_>, question: Question) -> bool {
    // SAFETY: reads one u64 that lives across the call.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const question.id) == 0 }
}

/// Lets the call go on, or has it fail with `EPERM`. Who has gone meanwhile needs no answer.
pub fn reply(listener: BorrowedFd<'_>, question: Question, granted: bool) {
    let flags = if granted { libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32 } else { 0 };
    let error = if granted { 0 } else { -libc::EPERM };
    let answer = libc::seccomp_notif_resp { id: question.id, val: 0, error, flags };
    // SAFETY: reads one struct that lives across the call.
    let _ = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const answer) };
}

/// What the kernel answers when it has no room left to compile the filter (`ENOTSUPP` of its include/linux/errno.h).
const NOT_COMPILED: i32 = 524;
const NO_ROOM: &str = "the kernel has no room left for compiled filters, which all users of the machine share: stop what \
                       takes so many, or, where Berth is not root of the whole machine, raise net.core.bpf_jit_limit (sysctl)";

/// Tells whether the kernel knows filters that answer with an error number.
pub fn is_available() -> bool {
    let action: u32 = libc::SECCOMP_RET_ERRNO;
    // SAFETY: SECCOMP_GET_ACTION_AVAIL reads one u32 that lives across the call.
    unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) == 0 }
}

/// Numbers of the machine's own system calls and of its architecture.
mod numbers {
    /// The value of `seccomp_data.arch` for this machine's own programs (linux/audit.h).
    #[cfg(target_arch = "x86_64")]
    pub const NATIVE_ARCHITECTURE: u32 = 0xC000_003E;
    /// The value of `seccomp_data.arch` for this machine's own programs (linux/audit.h).
    #[cfg(target_arch = "aarch64")]
    pub const NATIVE_ARCHITECTURE: u32 = 0xC000_00B7;

    macro_rules! calls {
        ($($name:ident = $value:ident),* $(,)?) => {$(
            #[doc = concat!("Number of `", stringify!($value), "`.")]
            pub const $name: u32 = libc::$value as u32;
        )*};
    }

    calls! {
        CLONE = SYS_clone, CLONE3 = SYS_clone3, UNSHARE = SYS_unshare, IOCTL = SYS_ioctl, KEY_CONTROL = SYS_keyctl,
        SOCKET = SYS_socket, SOCKET_PAIR = SYS_socketpair, SET_SOCKET_OPTION = SYS_setsockopt,
    }

    /// The socket families that there are in a container: Unix, the two of the Internet, netlink, and packets. Each has
    /// a network namespace of its own.
    pub const SOCKET_FAMILIES: &[u32] = &[
        libc::AF_UNIX as u32,
        libc::AF_INET as u32,
        libc::AF_INET6 as u32,
        libc::AF_NETLINK as u32,
        libc::AF_PACKET as u32,
    ];

    macro_rules! named {
        ($($value:ident),* $(,)?) => { &[$((stringify!($value), libc::$value as u32)),*] };
    }

    /// Calls denied in every container: they reach the host's kernel, clock, keys, memory or devices.
    pub const DENIED_ALWAYS: &[(&str, u32)] = named![
        SYS_kexec_load,
        SYS_kexec_file_load,
        SYS_init_module,
        SYS_finit_module,
        SYS_delete_module,
        SYS_open_by_handle_at,
        SYS_perf_event_open,
        SYS_userfaultfd,
        SYS_acct,
        SYS_swapon,
        SYS_swapoff,
        SYS_quotactl,
        SYS_quotactl_fd,
        SYS_settimeofday,
        SYS_clock_settime,
        SYS_clock_adjtime,
        SYS_adjtimex,
        SYS_nfsservctl,
        SYS_lookup_dcookie,
        SYS_move_pages,
        SYS_migrate_pages,
        SYS_mbind,
        SYS_kcmp,
        SYS_syslog,
        SYS_io_uring_setup,
        SYS_io_uring_enter,
        SYS_io_uring_register,
        SYS_fanotify_init,
        SYS_process_vm_writev,
    ];

    /// The same, for calls that only this architecture has.
    #[cfg(target_arch = "x86_64")]
    pub const DENIED_HERE: &[(&str, u32)] =
        named![SYS__sysctl, SYS_uselib, SYS_ustat, SYS_sysfs, SYS_iopl, SYS_ioperm, SYS_modify_ldt,];
    /// The same, for calls that only this architecture has.
    #[cfg(target_arch = "aarch64")]
    pub const DENIED_HERE: &[(&str, u32)] = &[];

    /// Calls that a kernel can lack, and is said to lack: those of keyrings, to which keyctl(2) belongs. Runtimes of
    /// containers go on without them then, and give up where they are forbidden. Memory that is secret even to the kernel
    /// can neither be swapped nor moved, and keeps the whole machine from hibernating.
    pub const MISSING: &[(&str, u32)] = named![SYS_add_key, SYS_request_key, SYS_memfd_secret,];

    /// Calls that only a host of containers needs.
    pub const DENIED_BUT_TO_HOSTS: &[(&str, u32)] = named![SYS_bpf,];

    /// Calls that a single command does not need, though an init does.
    pub const DENIED_TO_COMMANDS: &[(&str, u32)] =
        named![SYS_fspick, SYS_name_to_handle_at, SYS_reboot, SYS_setdomainname, SYS_vhangup,];

    /// The same, for those that its launch makes below the filter, with the pass.
    pub const OF_LAUNCHES: &[(&str, u32)] = named![
        SYS_mount,
        SYS_umount2,
        SYS_pivot_root,
        SYS_setns,
        SYS_unshare,
        SYS_move_mount,
        SYS_open_tree,
        SYS_fsopen,
        SYS_fsconfig,
        SYS_fsmount,
        SYS_mount_setattr,
        SYS_sethostname,
    ];
}
