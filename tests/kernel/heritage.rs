//! What a supervisor and its container have from whoever began the daemon: nothing.

#![allow(unsafe_code)]

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::check;
use crate::fixture::{Plan, TestContainer};
use crate::harness::roots::run;
use crate::harness::{Outcome, Stop, scratch};

pub const TESTS: &[crate::harness::Test] = &[
    ("nothing comes down from an odd daemon to the supervisor and its container", nothing_comes_down),
    ("a running container pins no mount of the host", pins_nothing),
];

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
        libc::signal(libc::SIGTERM, libc::SIG_IGN);
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
        let mut blocked: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut blocked, libc::SIGUSR1);
        libc::sigaddset(&raw mut blocked, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const blocked, std::ptr::null_mut());
        for (resource, soft) in [(libc::RLIMIT_NOFILE, 500), (libc::RLIMIT_STACK, 1 << 20), (libc::RLIMIT_CORE, 4096)] {
            let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            libc::getrlimit(resource, &raw mut limit);
            limit.rlim_cur = soft;
            libc::setrlimit(resource, &raw const limit);
        }
        libc::dup2(0, 77);
    }
    let _ = fs::write("/proc/self/coredump_filter", "0x7f");
    // With the privilege the one of the packaged unit, otherwise one that needs none.
    fs::write("/proc/self/oom_score_adj", "-500").or_else(|_| fs::write("/proc/self/oom_score_adj", "300"))
}

fn spawned(odd: bool) -> Result<TestContainer, Stop> {
    let test = TestContainer::spawn_with(Plan::busybox()?, |command: &mut Command| {
        if odd {
            command.env("ODD", "from-the-daemon");
            // SAFETY: only system calls and writes to /proc between fork and exec.
            unsafe { command.pre_exec(be_odd) };
        }
    })?;
    test.client().create()?;
    test.client().start()?;
    Ok(test)
}

/// What is passed on, of the process with this folder in a /proc, as far as it is to be seen there.
const TELL: &str = r"
tell() {
  grep -E '^(Umask|Groups|SigBlk|SigIgn|Cpus_allowed|THP_enabled|NoNewPrivs):' $1/status
  cat $1/limits $1/oom_score_adj $1/coredump_filter $1/personality $1/timerslack_ns 2>&1
  sed 's/.*) //' $1/stat | cut -d' ' -f16,17,38,39
  tr '\0' '\n' < $1/environ | grep ODD
  ls $1/fd | grep -x 77
  true
}
";

fn told_inside(test: &TestContainer) -> Result<[String; 2], Stop> {
    let tell = |process: &str| Ok::<_, Stop>(test.shell(&format!("{TELL} tell /proc/{process}"))?.1);
    Ok([tell("1")?, tell("$$")?])
}

fn told_here(process: u32) -> Result<String, Stop> {
    // What it has of an environment is up to its spawner, and goes no further.
    let told = Command::new("sh").args(["-c", &format!("{TELL} tell /proc/{process} | grep -v ODD")]).output()?;
    Ok(String::from_utf8_lossy(&told.stdout).into_owned())
}

fn nothing_comes_down() -> Outcome {
    let (plain, odd) = (spawned(false)?, spawned(true)?);
    let (wanted, found) = (told_here(plain.shim.id())?, told_here(odd.shim.id())?);
    check!(wanted == found, "the supervisor: {found}\ninstead of: {wanted}");
    for (wanted, found) in told_inside(&plain)?.into_iter().zip(told_inside(&odd)?) {
        check!(wanted == found, "inside: {found}\ninstead of: {wanted}");
        for part in ["Umask:\t0022", "SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "\n0\n00000033\n"] {
            check!(found.contains(part), "no {part:?} in {found}");
        }
    }
    let (code, _) = odd.shell("echo -1 > /proc/self/oom_score_adj")?;
    check!(code != 0, "the container can have its score lowered");
    odd.finish()?;
    plain.finish().map(drop)
}

/// A file system of the host that was mounted before the container began is unmounted, detached and checked while it runs.
fn pins_nothing() -> Outcome {
    let (image, place) = (scratch().join("pinned.img"), scratch().join("pinned"));
    fs::create_dir_all(&place)?;
    fs::File::create(&image)?.set_len(16 << 20)?;
    run(Command::new("mkfs.ext4").arg("-q").arg(&image))?;
    let device = Command::new("losetup").args(["-f", "--show"]).arg(&image).output()?;
    let device = String::from_utf8_lossy(&device.stdout).trim().to_owned();
    check!(!device.is_empty(), "no loop device");
    let tried = with_mounted(&device, &place);
    let _ = Command::new("umount").arg(&place).output();
    let _ = Command::new("losetup").arg("-d").arg(&device).output();
    tried
}

fn with_mounted(device: &str, place: &std::path::Path) -> Outcome {
    run(Command::new("mount").arg(device).arg(place))?;
    fs::write(place.join("file"), "x")?;
    let test = TestContainer::start(Plan::busybox()?)?;
    run(Command::new("umount").arg(place))?;
    run(Command::new("e2fsck").args(["-f", "-p"]).arg(device))?;
    run(Command::new("losetup").arg("-d").arg(device))?;
    let attached = Command::new("losetup").arg(device).output()?;
    check!(!attached.status.success(), "{device} is still in use");
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", test.shim.id()))?;
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/"));
    check!(root.is_some_and(|line| line.contains(" - tmpfs berth ")), "the supervisor's root: {root:?}");
    let (code, text) = test.shell("echo well")?;
    check!(code == 0 && text == "well\n", "{text}");
    test.finish().map(drop)
}
