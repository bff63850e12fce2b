//! Who may die when: the daemon's connection, the daemon, the shim, the container.

use std::os::fd::AsFd as _;
use std::process::Command;
use std::time::{Duration, Instant};

use berth::kernel::cgroup::{Cgroup, Layout};
use berth::kernel::failure::Failure;
use berth::kernel::identity::ProcessIdentity;
use berth::shim::protocol::{Directory, Exit, Phase};
use berth::shim::record;

use crate::check;
use crate::fixture::{PATIENCE, Plan, TestContainer, instance, parent};
use crate::harness::{Outcome, Stop, need};

pub const TESTS: &[crate::harness::Test] = &[
    ("a container whose creator goes before the start is undone", creator_gone),
    ("a running container does not notice that nobody is connected", daemon_gone),
    ("an exit without a daemon is kept until it is acknowledged", exit_kept),
    ("a killed shim takes its container along and leaves no mount", shim_killed),
    ("a disk without a container is served and dismissed", disk_alone),
    ("an idle shim sleeps", idle),
    ("a shim that waits to be needed ends with whoever spawned it", waiting),
    ("a create that fails says at which step and leaves no cgroup", create_fails),
    ("groups are made while those of others go and take the instance's along", groups_come_and_go),
];

fn wait_until(what: &str, condition: impl Fn() -> bool) -> Outcome {
    let begun = Instant::now();
    while !condition() {
        check!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn creator_gone() -> Outcome {
    let mut test = TestContainer::spawn(Plan::busybox()?)?;
    let created = test.client().create()?;
    let group = test.cgroup()?;
    check!(created.init.is_alive() && group.exists(), "nothing was created");
    test.client = None;
    wait_until("the first process is gone", || !created.init.is_alive())?;
    wait_until("the cgroup is gone", || !group.exists())?;
    test.client = Some(test.another_client()?);
    check!(test.client().status()?.phase == Phase::New, "not new again");
    test.client().create()?;
    test.client().start()?;
    test.finish().map(drop)
}

fn daemon_gone() -> Outcome {
    let mut test = TestContainer::start(Plan::busybox()?)?;
    let init = test.client().status()?.init.unwrap();
    test.client = None;
    std::thread::sleep(Duration::from_millis(300));
    let found = record::living_shim(&test.directory)?;
    check!(found.is_some_and(|found| found.process.pid == test.shim.id() as i32), "the record does not find it");
    test.client = Some(test.another_client()?);
    check!(test.client().status()?.init == Some(init), "another init");
    test.finish().map(drop)
}

fn exit_kept() -> Outcome {
    let mut test = TestContainer::start(Plan::command(&["sh", "-c", "exit 3"])?)?;
    test.client = None;
    wait_until("exit.json", || matches!(record::unacknowledged_exit(&test.directory), Ok(Some(_))))?;
    let kept = record::unacknowledged_exit(&test.directory)?.unwrap();
    check!(kept.exit == Exit::Exited { code: 3 }, "{kept:?}");
    let directory = test.directory.clone();
    test.finish()?;
    check!(record::unacknowledged_exit(&directory)?.is_none(), "the record outlived its acknowledgement");
    Ok(())
}

fn shim_killed() -> Outcome {
    let mut plan = Plan::busybox()?;
    plan.image_bytes = Some(32 << 20);
    let mut test = TestContainer::start(plan)?;
    let init: ProcessIdentity = test.client().status()?.init.unwrap();
    let group = test.cgroup()?;
    let backing = berth::sys::loop_device::Backing::of(test.spec.disk.path())?;
    let device = berth::sys::loop_device::attached_to(backing)?.pop().ok_or("no loop device")?;
    let user = std::fs::File::open(&device)?;
    test.shim.kill()?;
    test.shim.wait()?;
    wait_until("the container died with its shim", || !init.is_alive())?;
    check!(record::living_shim(&test.directory)?.is_none(), "a dead shim is said to live");
    // What the daemon does when it finds this.
    group.kill()?;
    group.remove()?;
    // Somebody still has the device open, and the namespace is gone in which it was attached.
    let told = berth::sys::loop_device::attached().into_iter().find(|(path, _)| *path == device).map(|(_, file)| file);
    let is_whole = |file: &std::path::PathBuf| {
        // Of a long path the end is told; it has more than the name of the file.
        let (whole, told) = (test.spec.disk.path().to_string_lossy(), file.to_string_lossy());
        whole.ends_with(&*told) && told.len() > "/disk.img".len()
    };
    check!(told.as_ref().is_some_and(is_whole), "{told:?}");
    drop(user);
    wait_until("the loop device let go", || {
        berth::sys::loop_device::attached_to(backing).is_ok_and(|found| found.is_empty())
    })
}

fn disk_alone() -> Outcome {
    let mut plan = Plan::busybox()?;
    plan.image_bytes = Some(32 << 20);
    let test = TestContainer::start(plan)?;
    test.shell("echo kept > /file")?;
    let live: Vec<_> = test.client().open_disk()?.into_iter().map(|(kind, _)| kind).collect();
    check!(live == [Directory::Disk, Directory::Upper], "{live:?}");
    let (directory, mut spec) = (test.directory.clone(), test.spec.clone());
    test.finish()?;
    spec.container = None;
    spec.cgroup = None;
    let test = TestContainer::spawn_spec(directory, spec)?;
    let found = test.client().open_disk()?;
    let (_, upper) = found.iter().find(|(kind, _)| *kind == Directory::Upper).unwrap();
    let path = format!("/proc/self/fd/{}/file", std::os::fd::AsRawFd::as_raw_fd(&upper.as_fd()));
    check!(std::fs::read_to_string(path)? == "kept\n", "the file is not there");
    check!(test.client().create().is_err(), "a disk was started");
    drop(found);
    check!(test.finish()?, "the disk is still held");
    Ok(())
}

fn idle() -> Outcome {
    let test = TestContainer::start(Plan::command(&["sleep", "1000"])?)?;
    let switches = || -> Result<u64, Stop> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", test.shim.id()))?;
        let all = status.lines().filter(|line| line.contains("ctxt_switches"));
        Ok(all.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum())
    };
    std::thread::sleep(Duration::from_millis(300));
    let before = switches()?;
    std::thread::sleep(Duration::from_secs(2));
    check!(switches()? == before, "it woke {} times in two seconds", switches()? - before);
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", test.shim.id()))?;
    eprintln!("shim: {}", rollup.lines().find(|line| line.starts_with("Pss:")).unwrap_or_default());
    test.finish().map(drop)
}

fn create_fails() -> Outcome {
    let mut plan = Plan::busybox()?;
    plan.root = "/no/such/root".into();
    let test = TestContainer::spawn(plan)?;
    let error = test.client().create().err().map(|error| error.to_string()).unwrap_or_default();
    check!(error.contains("/no/such/root"), "{error}");
    check!(!test.cgroup()?.exists(), "the cgroup stayed");
    test.finish().map(drop)
}

fn waiting() -> Outcome {
    let (socket, theirs) = berth::sys::socket::pair()?;
    let mut shim = Command::new(env!("CARGO_BIN_EXE_berth")).args(["shim", "--wait"]).stdin(theirs).spawn()?;
    std::thread::sleep(Duration::from_millis(200));
    check!(shim.try_wait()?.is_none(), "it did not wait");
    drop(socket);
    let begun = Instant::now();
    let ended = loop {
        check!(begun.elapsed() < PATIENCE, "it still waits");
        match shim.try_wait()? {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    check!(ended.success(), "it ended with {ended}");
    Ok(())
}

/// The instance's own group goes with the last container, and just then the next one may begin.
fn groups_come_and_go() -> Outcome {
    need(&["root"])?;
    let (layout, parent) = (Layout::detect()?, parent()?);
    let come_and_go = |name: &str| {
        let group = Cgroup::at(&layout, parent.as_deref(), &format!("berth-{}-race/{name}", instance()))?;
        for _ in 0..300 {
            group.ensure()?;
            group.remove()?;
            group.remove_empty_parent();
        }
        Ok::<_, Failure>(())
    };
    std::thread::scope(|scope| {
        let threads = ["one", "another"].map(|name| scope.spawn(move || come_and_go(name)));
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| panic!("it panicked")))
    })?;
    Ok(())
}
