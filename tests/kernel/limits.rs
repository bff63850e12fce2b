//! Limits hold, can be changed live, and their hits are counted.

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use berth::kernel::cgroup::{Cgroup, Layout};
use berth::shim::protocol::Limits;

use crate::check;
use crate::fixture::{Plan, TestContainer, instance, parent};
use crate::harness::{Outcome, Stop, need, skipped};

pub const TESTS: &[crate::harness::Test] = &[
    ("exhausted memory kills inside and is counted", memory),
    ("a fork bomb is contained by the process limit", pids),
    ("a processor quota is kept and can be lifted live", cpu),
    ("a full disk is the container's own", disk),
    ("a group is emptied into its leaf while processes come and go in it", vacated),
];

fn with(limits: Limits) -> Result<TestContainer, Stop> {
    let mut plan = Plan::busybox()?;
    plan.limits = limits;
    let test = TestContainer::spawn(plan)?;
    let created = test.client().create().map(drop);
    match created {
        Err(error) if error.to_string().contains("no ") && error.to_string().contains("controller") => {
            Err(skipped("cgroup controllers", error.to_string()))
        }
        Err(error) => Err(error.into()),
        Ok(()) => {
            test.client().start()?;
            Ok(test)
        }
    }
}

fn memory() -> Outcome {
    let test = with(Limits { memory: Some(64 << 20), memory_and_swap: Some(64 << 20), ..Limits::default() })?;
    let (code, _) = test.shell("head -c 200000000 /dev/zero | tail > /dev/null")?;
    check!(code != 0, "200 MB fitted into 64 MiB");
    let statistics = test.cgroup()?.statistics();
    check!(statistics.oom_kills.unwrap_or(0) >= 1, "{statistics:?}");
    check!(statistics.memory_peak.unwrap_or(0) <= 64 << 20, "{statistics:?}");
    let (code, _) = test.shell("true")?;
    check!(code == 0, "the container did not survive");
    test.finish().map(drop)
}

fn pids() -> Outcome {
    let test = with(Limits { pids: Some(40), ..Limits::default() })?;
    let (_, text) = test.shell("i=0; while [ $i -lt 100 ]; do sleep 5 & i=$((i+1)); done; wait")?;
    check!(text.contains("can't fork"), "{text}");
    let statistics = test.cgroup()?.statistics();
    check!(statistics.pids_refused.unwrap_or(0) >= 1, "{statistics:?}");
    test.finish().map(drop)
}

fn cpu() -> Outcome {
    let limits = Limits { cpu_millis: Some(200), ..Limits::default() };
    let test = with(limits.clone())?;
    let spin = "timeout 1 sh -c 'while :; do :; done'";
    let group = test.cgroup()?;
    // In hundredths of one processor: on a slow machine the shell around it takes its time as well.
    let share = |line: &str| -> Result<u64, Stop> {
        let (begun, before) = (Instant::now(), group.statistics().cpu_usec.unwrap_or(0));
        test.shell(line)?;
        let spent = group.statistics().cpu_usec.unwrap_or(0) - before;
        Ok(spent * 100 / (begun.elapsed().as_micros() as u64).max(1))
    };
    let bounded = share(spin)?;
    // A busy machine may give it less than its quota, never more.
    check!((1..=35).contains(&bounded), "{bounded} % of a processor instead of 20");
    let throttled = || group.statistics().throttled_periods.unwrap_or(0);
    let before = throttled();
    check!(before > 0, "never throttled");
    group.set_limits(&Limits { cpu_millis: None, ..limits })?;
    share(spin)?;
    check!(throttled() == before, "throttled {} times without a limit", throttled() - before);
    test.finish().map(drop)
}

fn disk() -> Outcome {
    let mut plan = Plan::busybox()?;
    plan.image_bytes = Some(32 << 20);
    let test = TestContainer::start(plan)?;
    let (code, text) = test.shell("df -k / | tail -1; dd if=/dev/zero of=/big bs=1M count=100; sync")?;
    check!(text.contains("No space left"), "{code} {text}");
    let (code, _) = test.shell("rm /big && echo ok > /small")?;
    check!(code == 0, "the disk did not recover");
    check!(test.finish()?, "the disk is still held");
    Ok(())
}

/// The daemon may be started where others work: from a shell, in a container. Those that end between being seen and being
/// moved are no failure, and those that are born meanwhile move, too.
fn vacated() -> Outcome {
    need(&["root"])?;
    let name = format!("berth-{}/busy", instance());
    let group = Cgroup::at(&Layout::detect()?, parent()?.as_deref(), &name)?;
    (0..8).try_for_each(|_| vacate_busy(&group))
}

fn vacate_busy(group: &Cgroup) -> Outcome {
    group.ensure_bare()?;
    let processes = group.unified_path().join("cgroup.procs");
    let born = "while :; do (:)& (:)& (:)& (:)& wait; done";
    let script = format!("echo $$ > {}; echo in; {born}", processes.display());
    let mut shells = Vec::new();
    for _ in 0..8 {
        let mut shell = Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn()?;
        shell.stdout.as_mut().ok_or("no output")?.read_exact(&mut [0; 3])?;
        shells.push(shell);
    }
    let moved = group.vacate("leaf");
    let left = fs::read_to_string(&processes)?;
    group.kill()?;
    for mut shell in shells {
        shell.wait()?;
    }
    group.remove()?;
    check!(moved.is_ok() && left.is_empty(), "{moved:?}, left: {left:?}");
    Ok(())
}
