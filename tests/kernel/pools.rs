//! What a container can take of the host's pools, and that its neighbour and the host go on when it takes all it can.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use berth::kernel::probe::Feature;
use berth::shim::protocol::{Command as EnterCommand, Limits, WindowSize};

use crate::check;
use crate::drain;
use crate::fixture::{PATIENCE, Plan, TestContainer};
use crate::harness::{Outcome, Stop};

pub const TESTS: &[crate::harness::Test] = &[
    ("inotify instances are the container's own", inotify),
    ("timers and queued signals are the container's own", timers),
    ("message queues, shared memory and semaphores are the container's own", ipc),
    ("terminals of one container do not run out for another", terminals),
    ("all terminals drained keep no container from its start and nobody from a shell", no_terminals),
    ("groups inside are bounded, and a v1 tree takes none", groups),
    ("all containers together leave processes and memory to the host", shares),
    ("a full tmpfs is the container's own memory", memory),
    ("watches, files, names and mounts end with the container's own memory", counted_as_memory),
    ("locked memory and descriptors in flight are bounded, and the container's own", per_user),
    ("locks on devices are the container's own", device_locks),
    ("buffers of connections end with the container's memory", connections),
    ("sockets that reach past the namespaces are not there", sockets),
    ("pressure triggers of the whole machine are the host's alone", pressure),
    ("keys, fanotify and the kernel's log are refused", refused),
];

/// What takes for a moment what everybody on the machine needs.
pub const ALONE: &[crate::harness::Test] =
    &[("compiled filters drained keep no container from its start and nobody from a shell", no_filters)];

/// What a drain said: how many it took, and the number of the error that ended it.
#[derive(Debug, PartialEq, Eq)]
struct Taken {
    count: usize,
    errno: i32,
}

fn parse(line: &str) -> Result<Taken, Stop> {
    let told = line.trim().strip_prefix("took ").and_then(|rest| rest.split_once(", "));
    let told = told.and_then(|(count, errno)| Some(Taken { count: count.parse().ok()?, errno: errno.parse().ok()? }));
    told.ok_or_else(|| Stop::Failed(format!("the drain said {line:?}")))
}

/// A container with the draining program in it.
fn container() -> Result<TestContainer, Stop> {
    TestContainer::start(Plan::busybox()?.with_layer(drain::lower()?))
}

/// Takes as many as there are, at most so many, and keeps them.
fn drain_inside(test: &TestContainer, pool: &str, most: usize) -> Result<Taken, Stop> {
    let inside = drain::INSIDE;
    let (code, text) = test.shell(&format!(
        "mkfifo /hold-{pool}; setsid {inside} drain {pool} {most} hold < /hold-{pool} > /took-{pool} 2>&1 & \
         exec 9>/hold-{pool}; while ! grep -qs took /took-{pool}; do kill -0 $! 2>/dev/null || break; sleep 0.1; done; cat /took-{pool}; \
         setsid sleep 1000 >/dev/null 2>&1 &"
    ))?;
    check!(code == 0, "{code} {text}");
    parse(&text)
}

/// Takes a few in a container where nobody drains, and gives them back.
fn few_inside(test: &TestContainer, pool: &str) -> Result<Taken, Stop> {
    parse(&test.shell(&format!("{} drain {pool} 3", drain::INSIDE))?.1)
}

/// Takes a few on the host, and gives them back.
fn few_here(pool: &str) -> Result<Taken, Stop> {
    let mut child: Child =
        Command::new(std::env::current_exe()?).args(["drain", pool, "3"]).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    child.wait()?;
    parse(&line)
}

const FEW: Taken = Taken { count: 3, errno: 0 };

/// Terminals are the one pool that a test takes from the whole host: whoever counts them must not run beside it.
static TERMINALS: Mutex<()> = Mutex::new(());

/// One container takes all it can get; a second one and the host have enough.
fn drained(pool: &str, most: usize) -> Result<Taken, Stop> {
    let (greedy, neighbour) = (container()?, container()?);
    let taken = drain_inside(&greedy, pool, most)?;
    let (beside, here) = (few_inside(&neighbour, pool)?, few_here(pool)?);
    check!(beside == FEW, "{pool}: one container took {taken:?}, and its neighbour got {beside:?}");
    check!(here == FEW, "{pool}: a container took {taken:?}, and the host got {here:?}");
    neighbour.finish()?;
    greedy.finish()?;
    Ok(taken)
}

fn inotify() -> Outcome {
    let taken = drained("inotify", 20_000)?;
    check!(taken.errno == libc::EMFILE, "never refused: {taken:?}");
    Ok(())
}

fn timers() -> Outcome {
    let taken = drained("timers", 10_000_000)?;
    check!(taken.errno == libc::EAGAIN, "never refused: {taken:?}");
    Ok(())
}

fn ipc() -> Outcome {
    for (pool, errno) in
        [("message-queues", libc::EMFILE), ("shared-memory", libc::ENOSPC), ("semaphores", libc::ENOSPC)]
    {
        let taken = drained(pool, 100_000)?;
        check!(taken.errno == errno, "{pool} never refused: {taken:?}");
    }
    Ok(())
}

fn terminals() -> Outcome {
    let _alone = TERMINALS.lock().unwrap_or_else(PoisonError::into_inner);
    let taken = drained("terminals", 100_000)?;
    check!(taken.errno == libc::ENOSPC && taken.count <= 256, "more than there are: {taken:?}");
    Ok(())
}

/// Root inside mounts a devpts of its own, without a limit: the kernel counts terminals for nobody.
fn no_terminals() -> Outcome {
    let _alone = TERMINALS.lock().unwrap_or_else(PoisonError::into_inner);
    let (greedy, neighbour) = (container()?, container()?);
    let (code, text) = greedy.shell("mkdir -p /mnt; mount -t devpts -o newinstance,ptmxmode=0666 none /mnt")?;
    check!(code == 0, "{text}");
    let taken = drain_inside(&greedy, "terminals-elsewhere", 100_000)?;
    check!(taken.errno == libc::ENOSPC, "{taken:?}");
    check!(few_here("terminals")? == FEW, "the host has no terminals");
    let late = container()?;
    late.wait_console("berth-sysinit")?;
    for test in [&greedy, &neighbour, &late] {
        let (code, text) = with_terminal(test, "test -t 0 && echo terminal")?;
        check!(code == 0 && text.contains("terminal"), "{code} {text}");
    }
    [late, neighbour, greedy].into_iter().try_for_each(|test| test.finish().map(drop))
}

/// The kernel keeps the compiled filters of everybody in one pool, and refuses who has no privilege of the host.
fn no_filters() -> Outcome {
    let nothing = Taken { count: 0, errno: drain::NO_ROOM_FOR_FILTERS };
    let (greedy, neighbour) = (container()?, container()?);
    let taken = drain_inside(&greedy, "filters", usize::MAX)?;
    check!(taken.errno == drain::NO_ROOM_FOR_FILTERS, "never refused: {taken:?}");
    eprintln!("filters: {taken:?}, with them {:?}", greedy.cgroup()?.statistics());
    let mut nesting = Plan::busybox()?;
    nesting.nesting = true;
    let late = [container()?, TestContainer::start(nesting)?, TestContainer::start(Plan::command(&["sleep", "100"])?)?];
    for test in late.iter().chain([&greedy, &neighbour]) {
        let (code, text) = test.shell("grep Seccomp: /proc/1/status /proc/self/status")?;
        check!(code == 0 && text.matches("\t2\n").count() == 2, "{code} {text}");
    }
    check!(!has_room_for_filters()?, "the doctor does not say so");
    check!(few_inside(&neighbour, "filters")? == nothing, "there was room all the while");
    greedy.finish()?;
    // The kernel gives back what a process had some time after its end.
    let begun = Instant::now();
    while few_inside(&neighbour, "filters")? != FEW {
        check!(begun.elapsed() < PATIENCE, "what the greedy one had is not given back");
        std::thread::sleep(Duration::from_millis(50));
    }
    check!(has_room_for_filters()?, "the doctor says that there is no room");
    late.into_iter().chain([neighbour]).try_for_each(|test| test.finish().map(drop))
}

/// Asks the probe behind `berth doctor`.
fn has_room_for_filters() -> Result<bool, Stop> {
    let told = Command::new(env!("CARGO_BIN_EXE_berth")).args(["shim", "--probe"]).output()?;
    let features: Vec<Feature> = serde_json::from_slice(&told.stdout)?;
    let room = features.iter().find(|feature| feature.name == "room for compiled filters");
    Ok(room.ok_or("no such feature")?.is_there())
}

fn with_terminal(test: &TestContainer, line: &str) -> Result<(i32, String), Stop> {
    test.run_inside(EnterCommand {
        argv: vec!["/bin/sh".into(), "-c".into(), line.into()],
        environment: Vec::new(),
        user: "root".into(),
        directory: None,
        terminal: Some(WindowSize { rows: 24, columns: 80 }),
        without_echo: false,
    })
}

fn groups() -> Outcome {
    let (greedy, neighbour) = (container()?, container()?);
    let taken = drain_inside(&greedy, "groups", 100_000)?;
    check!(taken.errno == libc::EAGAIN && taken.count <= 2048, "{taken:?}");
    check!(few_inside(&neighbour, "groups")? == FEW, "the neighbour has none");
    greedy.finish()?;
    let (code, text) =
        neighbour.shell("mkdir -p /mnt; mount -t cgroup -o none,name=systemd none /mnt && mkdir /mnt/more")?;
    check!(code != 0, "a group in a v1 tree: {text}");
    neighbour.finish().map(drop)
}

fn shares() -> Outcome {
    let test = container()?;
    let directories = test.cgroup()?.directories();
    let read = |file: &str| {
        let texts = directories.iter().filter_map(|path| std::fs::read_to_string(path.parent()?.join(file)).ok());
        texts.filter_map(|text| text.trim().parse::<u64>().ok()).min()
    };
    let number = |path: &str| std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let all = number("/proc/sys/kernel/pid_max").ok_or("no pid_max")?;
    check!(read("pids.max").is_some_and(|most| most < all), "{:?} of {all} processes", read("pids.max"));
    let memory = read("memory.max").or_else(|| read("memory.limit_in_bytes"));
    check!(memory.is_some_and(|most| most < 1 << 50), "{memory:?} bytes of memory");
    test.finish().map(drop)
}

fn memory() -> Outcome {
    let mut plan = Plan::busybox()?;
    plan.limits = Limits { memory: Some(64 << 20), memory_and_swap: Some(64 << 20), ..Limits::default() };
    let test = TestContainer::start(plan)?;
    let (code, text) = test.shell("dd if=/dev/zero of=/dev/shm/full bs=1M count=500")?;
    check!(code != 0, "500 MB fitted into 64 MiB: {text}");
    let statistics = test.cgroup()?.statistics();
    check!(statistics.memory_peak.unwrap_or(0) <= 64 << 20, "{statistics:?}");
    test.finish().map(drop)
}

/// What the kernel has no other bound for, or one that is beyond everybody's memory: it counts as the container's memory.
fn counted_as_memory() -> Outcome {
    const LIMIT: u64 = 48 << 20;
    let neighbour = container()?;
    for pool in ["watches", "files", "names", "names-that-are-not", "mounts"] {
        let mut plan = Plan::busybox()?.with_layer(drain::lower()?);
        plan.limits = Limits { memory: Some(LIMIT), memory_and_swap: Some(LIMIT), ..Limits::default() };
        let greedy = TestContainer::start(plan)?;
        let line = format!("{} drain {pool} 400000; echo \"ended $?\"", drain::INSIDE);
        let (_, text) = greedy.shell(&line)?;
        let statistics = greedy.cgroup()?.statistics();
        check!(statistics.memory_peak.is_some_and(|peak| peak <= LIMIT), "{pool}: {statistics:?}");
        let all_at_once = pool != "names-that-are-not" && text.contains("took 400000,");
        check!(!all_at_once, "{pool}: 400000 fitted into {LIMIT} bytes: {text}");
        eprintln!("{pool}: {}, at most {:?} bytes", text.trim().replace('\n', ", "), statistics.memory_peak);
        // The host's own would have to be mounted and unmounted, which the machine is not here for.
        if pool != "mounts" {
            check!(few_inside(&neighbour, pool)? == FEW, "{pool}: the neighbour has none");
            check!(few_here(pool)? == FEW, "{pool}: the host has none");
        }
        for number in 0..3 {
            let _ = std::fs::remove_file(format!("/dev/shm/drain-{number}"));
        }
        greedy.finish()?;
    }
    neighbour.finish().map(drop)
}

fn per_user() -> Outcome {
    let taken = drained("locked-memory", 100)?;
    check!(taken.errno == libc::ENOMEM && taken.count <= 8, "{taken:?}");
    let taken = drained("in-flight", 10_000)?;
    check!(taken.errno == libc::ETOOMANYREFS, "never refused: {taken:?}");
    // Whoever enters sends descriptors as the same user.
    let greedy = container()?;
    drain_inside(&greedy, "in-flight", 10_000)?;
    let (code, text) = greedy.shell("echo in")?;
    check!(code == 0 && text == "in\n", "{text}");
    greedy.finish().map(drop)
}

fn device_locks() -> Outcome {
    let taken = drained("device-locks", 5)?;
    check!(taken == Taken { count: 5, errno: 0 }, "{taken:?}");
    Ok(())
}

/// They have a limit beside the one of memory where that does not count them (v1).
fn connections() -> Outcome {
    const LIMIT: u64 = 48 << 20;
    let mut plan = Plan::busybox()?.with_layer(drain::lower()?);
    plan.limits = Limits { memory: Some(LIMIT), memory_and_swap: Some(LIMIT), ..Limits::default() };
    let greedy = TestContainer::start(plan)?;
    greedy.shell("ip link set lo up")?;
    // Version 2 counts the buffers and ends who fills them, a packet or two behind the limit; version 1 may find room for all.
    let taken = drain_inside(&greedy, "tcp", 400);
    let statistics = greedy.cgroup()?.statistics();
    check!(statistics.memory_peak.is_some_and(|peak| peak <= LIMIT + (1 << 20)), "{statistics:?}");
    let is_ended = statistics.oom_kills.is_some_and(|kills| kills > 0);
    check!(is_ended || matches!(taken, Ok(Taken { count: 400, errno: 0 })), "{statistics:?}");
    let neighbour = container()?;
    neighbour.shell("ip link set lo up")?;
    check!(few_inside(&neighbour, "tcp")? == FEW, "the neighbour has none");
    neighbour.finish()?;
    greedy.finish().map(drop)
}

/// Through a virtual machine's socket one would reach its hypervisor; this kernel has more families than a container.
fn sockets() -> Outcome {
    let test = container()?;
    for (family, wanted) in [(libc::AF_UNIX, 0), (libc::AF_INET, 0), (libc::AF_NETLINK, 0)] {
        let taken = few_inside(&test, &format!("socket-{family}"))?;
        check!(taken.errno == wanted, "family {family}: {taken:?}");
    }
    for family in (0..64).filter(|family| ![1, 2, 10, 16, 17].contains(family)) {
        let taken = few_inside(&test, &format!("socket-{family}"))?;
        check!(taken == Taken { count: 0, errno: libc::EAFNOSUPPORT }, "family {family}: {taken:?}");
    }
    test.finish().map(drop)
}

fn refused() -> Outcome {
    let test = container()?;
    for (pool, errno) in [("keys", libc::ENOSYS), ("fanotify", libc::EPERM), ("kernel-log", libc::EPERM)] {
        let taken = few_inside(&test, pool)?;
        check!(taken == Taken { count: 0, errno }, "{pool}: {taken:?}");
    }
    test.finish().map(drop)
}

fn pressure() -> Outcome {
    let test = container()?;
    let files = "/proc/pressure/cpu /proc/pressure/io /proc/pressure/memory";
    let each = format!(
        "for file in {files}; do [ -e $file ] || continue; (echo 'some 50000 500000' >$file) 2>&1; cat $file; done"
    );
    // Also through an instance of proc of the container's own.
    for script in [each.clone(), format!("mkdir -p /p && mount -t proc proc /p && {}", each.replace("/proc/", "/p/"))] {
        let (_, text) = test.shell(&script)?;
        let there = text.matches("avg10").count() / 2;
        check!(text.matches("ermission denied").count() >= there.min(3), "{text}");
        check!(there > 0 || !std::path::Path::new("/proc/pressure").exists(), "{text}");
    }
    test.finish().map(drop)
}
