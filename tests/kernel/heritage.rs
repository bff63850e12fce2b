//! What a supervisor and its container have from whoever began the daemon: nothing.

#![allow(unsafe_code)]

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use berth::shim::protocol::Command as EnterCommand;

use crate::check;
use crate::fixture::{Plan, TestContainer};
use crate::harness::mounted::Mounted;
use crate::harness::{Outcome, Stop, unit};

pub const TESTS: &[crate::harness::Test] = &[
    ("nothing comes down from an odd daemon to the supervisor and its container", nothing_of_an_odd_daemon),
    ("nothing comes down from the packaged unit to the supervisor and its container", nothing_of_the_unit),
    ("a running container pins no mount of the host", pins_nothing),
];

/// `SIG_IGN` as the kernel knows it.
const IGNORED: u64 = 1;

/// Gives the process that is about to be the shim odd values of all that is passed on, as a service or a shell might.
fn be_odd() -> std::io::Result<()> {
    // SAFETY: plain numbers and memory that lives across the calls, in a child that is about to exec; what the host
    // refuses is not odd then.
    unsafe {
        libc::umask(0);
        libc::setgroups(2, [4, 24].as_ptr());
        libc::setpriority(libc::PRIO_PROCESS, 0, 7);
        let parameters: libc::sched_param = std::mem::zeroed();
        libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters);
        libc::syscall(libc::SYS_ioprio_set, 1, 0, 3 << 13);
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut one);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const one);
        libc::personality(0x0004_0000);
        libc::prctl(libc::PR_SET_TIMERSLACK, 1_000_000_000_u64, 0, 0, 0);
        libc::prctl(libc::PR_SET_THP_DISABLE, 1_u64, 0_u64, 0_u64, 0_u64);
        let (action, none) = ([IGNORED, 0, 0, 0], std::ptr::null_mut::<u64>());
        for signal in 1..=64 {
            // Not by the C library, which keeps two of them for itself.
            libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), none, size_of::<u64>());
        }
        let mut blocked: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut blocked);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const blocked, std::ptr::null_mut());
        for (resource, soft) in [(libc::RLIMIT_NOFILE, 500), (libc::RLIMIT_STACK, 1 << 20), (libc::RLIMIT_CORE, 4096)] {
            let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            libc::getrlimit(resource, &raw mut limit);
            limit.rlim_cur = soft;
            libc::setrlimit(resource, &raw const limit);
        }
        libc::dup2(0, 77);
        be_odd_in_privileges();
    }
    let _ = fs::write("/proc/self/coredump_filter", "0x7f");
    // With the privilege the one of the packaged unit, otherwise one that needs none.
    fs::write("/proc/self/oom_score_adj", "-500").or_else(|_| fs::write("/proc/self/oom_score_adj", "300"))
}

/// What the kernel has no name for in the C library: capabilities beside those of the user, clamps, mitigations.
unsafe fn be_odd_in_privileges() {
    /// `CAP_NET_BIND_SERVICE` and `CAP_NET_RAW`.
    const TWO: u32 = 1 << 10 | 1 << 13;
    let header = [0x2008_0522_u32, 0];
    let (mut data, zero) = ([0_u32; 6], 0 as libc::c_ulong);
    // SAFETY: the header and the two halves that capget(2) and capset(2) of version 3 take; else plain numbers.
    unsafe {
        libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr());
        data[2] = TWO;
        libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr());
        for capability in [10, 13] {
            libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong, capability, zero, zero);
        }
        // PR_SET_IO_FLUSHER, and PR_SET_SPECULATION_CTRL with PR_SPEC_DISABLE.
        libc::prctl(57, 1 as libc::c_ulong, zero, zero, zero);
        for kind in [0, 1] {
            libc::prctl(53, kind as libc::c_ulong, 4 as libc::c_ulong, zero, zero);
        }
        // sched_setattr(2) with both clamps, all else kept.
        let clamped: [u32; 14] = [56, 0, 0x78, 0, 0, 0, 0, 0, 0, 0, 0, 0, 512, 768];
        libc::syscall(libc::SYS_sched_setattr, 0, clamped.as_ptr(), 0);
    }
}

fn spawned(adjust: impl FnOnce(&mut Command)) -> Result<TestContainer, Stop> {
    let test = TestContainer::spawn_with(Plan::busybox()?, adjust)?;
    test.client().create()?;
    test.client().start()?;
    Ok(test)
}

/// Tells what a process has of what is passed on, as far as it is to be seen in its folder of /proc.
fn told(read: impl Fn(&str) -> Result<String, Stop>) -> Result<String, Stop> {
    const LINES: [&str; 14] = [
        "Umask:",
        "Groups:",
        "SigBlk:",
        "SigIgn:",
        "Cpus_allowed:",
        "THP_enabled:",
        "NoNewPrivs:",
        "CapInh:",
        "CapPrm:",
        "CapEff:",
        "CapBnd:",
        "CapAmb:",
        "Speculation_Store_Bypass:",
        "SpeculationIndirectBranch:",
    ];
    let status = read("status")?;
    let wanted = |line: &&str| LINES.iter().any(|start| line.starts_with(start));
    let mut all: Vec<String> = status.lines().filter(wanted).map(str::to_owned).collect();
    for file in ["limits", "oom_score_adj", "coredump_filter", "personality", "timerslack_ns"] {
        all.push(format!("{file}: {}", read(file)?.trim()));
    }
    // Priority, nice value, real-time priority and scheduling class, counted from behind the name.
    let stat = read("stat")?;
    let fields: Vec<&str> = stat.rsplit_once(") ").ok_or("no name in stat")?.1.split(' ').collect();
    all.push(format!("scheduling: {:?}", [15, 16, 37, 38].map(|index| fields.get(index))));
    // PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE: writes back for others.
    let flags: u64 = fields.get(6).and_then(|text| text.parse().ok()).ok_or("no flags in stat")?;
    all.push(format!("flusher: {}", flags & 0x18_0000 != 0));
    let scheduling = read("sched")?;
    let clamps = scheduling.lines().filter(|line| line.contains("uclamp") && !line.starts_with("effective"));
    all.extend(clamps.map(str::to_owned));
    all.push(format!("descriptor 77: {}", read("fdinfo/77")?.contains("pos:")));
    Ok(all.join("\n"))
}

fn told_here(process: u32) -> Result<String, Stop> {
    told(|file| Ok(fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default()))
}

/// The first process, and a command that joins, which no shell has begun: shells ignore signals of their own.
fn told_inside(test: &TestContainer) -> Result<[String; 2], Stop> {
    let cat = |process: &str, file: &str| {
        Ok::<_, Stop>(test.run_inside(command(&["/bin/cat", &format!("/proc/{process}/{file}")]))?.1)
    };
    for process in ["1", "self"] {
        let environment = cat(process, "environ")?;
        check!(environment.contains("PATH=") && !environment.contains("ODD"), "{process}: {environment:?}");
    }
    Ok([told(|file| cat("1", file))?, told(|file| cat("self", file))?])
}

fn command(words: &[&str]) -> EnterCommand {
    EnterCommand {
        argv: words.iter().map(|word| (*word).to_owned()).collect(),
        environment: Vec::new(),
        user: "root".into(),
        directory: None,
        terminal: None,
        without_echo: false,
    }
}

fn nothing_of_an_odd_daemon() -> Outcome {
    nothing_comes_down(|command| {
        command.env("ODD", "from-the-daemon");
        // SAFETY: only system calls and writes to /proc between fork and exec.
        unsafe { command.pre_exec(be_odd) };
        Ok(())
    })
}

fn nothing_of_the_unit() -> Outcome {
    nothing_comes_down(|command| unit::begin_as_service(command.env("ODD", "from-the-unit")))
}

fn nothing_comes_down(begin: impl FnOnce(&mut Command) -> Outcome) -> Outcome {
    let plain = spawned(|_| ())?;
    let mut begun = Ok(());
    let odd = spawned(|command| begun = begin(command))?;
    begun?;
    let (wanted, found) = (told_here(plain.shim.id())?, told_here(odd.shim.id())?);
    check!(wanted == found, "the supervisor: {found}\ninstead of: {wanted}");
    for (wanted, found) in told_inside(&plain)?.into_iter().zip(told_inside(&odd)?) {
        check!(wanted == found, "inside: {found}\ninstead of: {wanted}");
        let fixed = ["Umask:\t0022", "SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "oom_score_adj: 0\n"];
        for part in fixed.into_iter().chain(["coredump_filter: 00000033\n", "descriptor 77: false"]) {
            check!(found.contains(part), "no {part:?} in {found}");
        }
    }
    let (code, _) = odd.shell("echo -1 > /proc/self/oom_score_adj")?;
    check!(code != 0, "the container can have its score lowered");
    odd.finish()?;
    plain.finish().map(drop)
}

/// A file system of the host that was mounted before the container began is unmounted, checked and detached while it runs.
fn pins_nothing() -> Outcome {
    let mounted = Mounted::new("pinned")?;
    let namespace = mounted.namespace()?;
    let test = spawned(|command| {
        // SAFETY: one system call between fork and exec.
        unsafe {
            command.pre_exec(move || match libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            })
        };
    })?;
    mounted.let_go()?;
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", test.shim.id()))?;
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/"));
    check!(root.is_some_and(|line| line.contains(" - tmpfs berth ")), "the supervisor's root: {root:?}");
    let (code, text) = test.shell("echo well")?;
    check!(code == 0 && text == "well\n", "{text}");
    test.finish().map(drop)
}
