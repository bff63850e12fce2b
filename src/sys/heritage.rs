//! What a process has from whoever began it, beside memory and descriptors: each set to a fixed value.
//!
//! The kernel passes these on through fork and exec, mostly unseen (credentials(7), execve(2) "Effect on process
//! attributes"). What a host refuses stays as it was: none of them is worth not starting for.

#![allow(unsafe_code)]

use std::fs;
use std::io;

use super::{capability, check, pass};

/// Nanoseconds by which the kernel may be late with a timer: its own first value.
const TIMER_SLACK: libc::c_ulong = 50_000;
/// What of memory goes into a core dump (core(5)): the kernel's own first value.
const CORE_DUMP_FILTER: &str = "0x33";
/// `IOPRIO_WHO_PROCESS` of linux/ioprio.h; the priority 0 is "as the nice value says".
const IO_PRIORITY_OF_PROCESS: libc::c_int = 1;
/// `KEYCTL_JOIN_SESSION_KEYRING` of linux/keyctl.h.
const JOIN_SESSION_KEYRING: libc::c_int = 1;
/// `PR_SET_IO_FLUSHER` of linux/prctl.h.
const SET_IO_FLUSHER: libc::c_int = 57;
/// `PR_SET_SPECULATION_CTRL` of linux/prctl.h, and its kinds with the kernel's own first values: `PR_SPEC_STORE_BYPASS` and
/// `PR_SPEC_INDIRECT_BRANCH` are `PR_SPEC_ENABLE`, `PR_SPEC_L1D_FLUSH` is `PR_SPEC_DISABLE`.
const SET_SPECULATION: libc::c_int = 53;
const SPECULATION: [(libc::c_ulong, libc::c_ulong); 3] = [(0, 1 << 1), (1, 1 << 1), (2, 1 << 2)];
/// "Nobody logged in" of audit(7).
const NO_LOGIN: &str = "4294967295";
/// The limits of descriptors of a program, as systemd gives them; the soft one is so low since some cannot have more
/// (select(2)).
const DESCRIPTORS: (u64, u64) = (1024, 524_288);
/// That of a supervisor: more than any program has. The kernel compares it with what the user has in flight between
/// processes, and whoever enters a container sends descriptors as the container's root, which may have sent all it can.
const DESCRIPTORS_OF_SUPERVISOR: u64 = 2 * DESCRIPTORS.1;
const NO_LIMIT: u64 = libc::RLIM_INFINITY;

/// Sets everything that is passed on to the kernel's own first values, but what [`set_oom_score`] sets.
pub fn forget() {
    be_scheduled_plainly();
    forget_utilisation();
    set_limits();
    set_marks();
    let _ = capability::forget_inherited();
    let _ = join_new_keyring();
    let _ = fs::write("/proc/self/coredump_filter", CORE_DUMP_FILTER);
    let _ = fs::write("/proc/self/loginuid", NO_LOGIN);
}

fn be_scheduled_plainly() {
    // SAFETY: sched_param is plain data, all-zero is valid.
    let parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: every processor; the mask is a plain array that lives across the calls, as does `parameters`. The kernel
    // takes the processors that there are and that the group may have.
    unsafe {
        libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const parameters);
        libc::setpriority(libc::PRIO_PROCESS, 0, 0);
        libc::syscall(libc::SYS_ioprio_set, IO_PRIORITY_OF_PROCESS, 0, 0);
        let all = [u8::MAX; 1024];
        libc::syscall(libc::SYS_sched_setaffinity, 0, all.len(), all.as_ptr());
        // MPOL_DEFAULT: memory of the nearest node.
        libc::syscall(libc::SYS_set_mempolicy, 0, std::ptr::null::<libc::c_ulong>(), 0);
    }
}

/// `sched_attr` of linux/sched/types.h.
#[repr(C)]
#[derive(Default)]
struct SchedulingAttributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
    utilisation_min: u32,
    utilisation_max: u32,
}

/// Takes off the clamps of utilisation, by which the kernel chooses processors and their speed; it may have none.
fn forget_utilisation() {
    /// `SCHED_FLAG_KEEP_ALL`, `_UTIL_CLAMP_MIN` and `_UTIL_CLAMP_MAX` of linux/sched.h.
    const KEEP_ALL_BUT_CLAMPS: u64 = 0x08 | 0x10 | 0x20 | 0x40;
    let attributes = SchedulingAttributes {
        size: size_of::<SchedulingAttributes>() as u32,
        flags: KEEP_ALL_BUT_CLAMPS,
        // -1 is "as the kernel has it".
        utilisation_min: u32::MAX,
        utilisation_max: u32::MAX,
        ..SchedulingAttributes::default()
    };
    // SAFETY: the structure is what version 1 of sched_setattr(2) reads; it lives across the call.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}

/// Sets the limits of getrlimit(2). What may run and what lies in memory is bounded by the control group.
fn set_limits() {
    let queued = queued_signals();
    let all = [
        (libc::RLIMIT_AS, NO_LIMIT, NO_LIMIT),
        (libc::RLIMIT_CORE, 0, NO_LIMIT),
        (libc::RLIMIT_CPU, NO_LIMIT, NO_LIMIT),
        (libc::RLIMIT_DATA, NO_LIMIT, NO_LIMIT),
        (libc::RLIMIT_FSIZE, NO_LIMIT, NO_LIMIT),
        (libc::RLIMIT_LOCKS, NO_LIMIT, NO_LIMIT),
        (libc::RLIMIT_MEMLOCK, 8 << 20, 8 << 20),
        (libc::RLIMIT_MSGQUEUE, 819_200, 819_200),
        (libc::RLIMIT_NICE, 0, 0),
        // A supervisor's connections are descriptors, too.
        (libc::RLIMIT_NOFILE, DESCRIPTORS_OF_SUPERVISOR, DESCRIPTORS_OF_SUPERVISOR),
        (libc::RLIMIT_NPROC, NO_LIMIT, NO_LIMIT),
        (libc::RLIMIT_RSS, NO_LIMIT, NO_LIMIT),
        (libc::RLIMIT_RTPRIO, 0, 0),
        (libc::RLIMIT_RTTIME, NO_LIMIT, NO_LIMIT),
        (libc::RLIMIT_SIGPENDING, queued, queued),
        (libc::RLIMIT_STACK, 8 << 20, NO_LIMIT),
    ];
    for (resource, soft, hard) in all {
        let _ = set_limit(resource, soft, hard);
    }
}

/// As many as the kernel gives its first process.
fn queued_signals() -> u64 {
    let threads = fs::read_to_string("/proc/sys/kernel/threads-max").unwrap_or_default();
    threads.trim().parse::<u64>().map_or(NO_LIMIT, |threads| threads / 2)
}

/// Sets a limit, or without the privilege to raise it what comes nearest.
fn set_limit(resource: libc::__rlimit_resource_t, soft: u64, hard: u64) -> io::Result<()> {
    let wanted = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the structure lives across the call.
    if check::int(unsafe { libc::setrlimit(resource, &raw const wanted) }).is_ok() {
        return Ok(());
    }
    let now = hard_limit(resource)?;
    let nearest = libc::rlimit { rlim_cur: soft.min(now), rlim_max: hard.min(now) };
    // SAFETY: as above.
    check::int(unsafe { libc::setrlimit(resource, &raw const nearest) }).map(drop)
}

fn hard_limit(resource: libc::__rlimit_resource_t) -> io::Result<u64> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure lives across the call.
    check::int(unsafe { libc::getrlimit(resource, &raw mut now) })?;
    Ok(now.rlim_max)
}

/// Lets the next program have as many descriptors as programs expect, and at most half of a supervisor's; it may take more
/// up to the hard limit.
pub fn lower_descriptor_limit() -> io::Result<()> {
    let half = hard_limit(libc::RLIMIT_NOFILE)? / 2;
    set_limit(libc::RLIMIT_NOFILE, DESCRIPTORS.0.min(half), DESCRIPTORS.1.min(half))
}

/// Sets the process-wide marks that prctl(2) and personality(2) know.
fn set_marks() {
    let zero: libc::c_ulong = 0;
    let marks = [
        (libc::PR_SET_TIMERSLACK, TIMER_SLACK),
        (libc::PR_SET_THP_DISABLE, 0),
        (libc::PR_SET_SECUREBITS, 0),
        (libc::PR_SET_MEMORY_MERGE, 0),
        (libc::PR_MCE_KILL, libc::PR_MCE_KILL_CLEAR as libc::c_ulong),
        (SET_IO_FLUSHER, 0),
        (libc::PR_SET_TSC, libc::PR_TSC_ENABLE as libc::c_ulong),
    ];
    // SAFETY: only options that take plain numbers, and a plain number.
    unsafe {
        for (mark, value) in marks {
            libc::prctl(mark, value, zero, zero, zero);
        }
        for (kind, value) in SPECULATION {
            libc::prctl(SET_SPECULATION, kind, value, zero, zero);
        }
        libc::personality(0);
        libc::setgroups(0, std::ptr::null());
    }
}

/// Leaves the session keyring for a new one with nothing in it; it counts as the effective user's.
pub fn join_new_keyring() -> io::Result<()> {
    let arguments = [JOIN_SESSION_KEYRING.into(), pass::pointer(std::ptr::null::<u8>()), 0, 0, 0];
    // SAFETY: a null name asks for a keyring without one.
    unsafe { pass::call(libc::SYS_keyctl, arguments) }.map(drop)
}

/// Sets how soon the kernel ends a process (or `self`) when memory runs out. With the privilege it also becomes what the
/// process may not go below.
pub fn set_oom_score(process: &str, score: i32) -> io::Result<()> {
    fs::write(format!("/proc/{process}/oom_score_adj"), score.to_string())
}
