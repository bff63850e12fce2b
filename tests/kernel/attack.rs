//! What root inside a container tries against its host, and how it ends.

use std::time::{Duration, Instant};

use berth::shim::protocol::Init;
use berth::types::ManagedFile;

use crate::check;
use crate::fixture::{Plan, TestContainer};
use crate::harness::Outcome;

pub const TESTS: &[crate::harness::Test] = &[
    ("host processes are neither seen nor signalled", processes),
    ("the host's cgroups are out of reach and limits cannot be raised", cgroups),
    ("fresh mounts of proc and of the groups show nothing of the host", views),
    ("a fork bomb harms neither the host nor its neighbour", bomb),
    ("devices, modules, clocks and foreign mounts are refused", kernel),
    ("links in the root do not lead a start out of it", links),
    ("the host's binary cannot be reached through proc", binary),
    ("user namespaces inside are root's, one level deep, without the nesting switch", nesting),
    ("whoever asks for user namespaces without end is answered ever more slowly", asking),
];

fn processes() -> Outcome {
    let test = TestContainer::start(Plan::busybox()?)?;
    let (_, seen) = test.shell("ls /proc 2>/dev/null | grep -c '^[0-9]'")?;
    check!(seen.trim().parse::<u32>().is_ok_and(|count| count < 10), "{seen} processes");
    let own = std::process::id();
    let (code, text) = test.shell(&format!("kill -0 {own}; kill -9 {own}"))?;
    check!(code != 0 && text.contains("No such process"), "{text}");
    let (_, text) = test.shell("kill -9 -1; echo alive; kill -STOP 1; cat /proc/1/comm")?;
    check!(!text.contains("denied"), "{text}");
    let (code, text) = test.shell("echo -1000 > /proc/self/oom_score_adj")?;
    check!(code != 0, "{text}");
    test.finish().map(drop)
}

fn cgroups() -> Outcome {
    let mut plan = Plan::busybox()?;
    plan.limits.pids = Some(200);
    let test = TestContainer::start(plan)?;
    let (_, text) = test.shell("cat /proc/self/cgroup; ls /sys/fs/cgroup")?;
    check!(text.contains("0::/\n"), "{text}");
    for attempt in [
        "echo 1 > /sys/fs/cgroup/cgroup.freeze",
        "echo max > /sys/fs/cgroup/pids.max",
        "echo max > /sys/fs/cgroup/memory.max",
        "echo max > /sys/fs/cgroup/cpu.max",
        "echo 1 > /sys/fs/cgroup/cgroup.kill",
        "echo $$ > /sys/fs/cgroup/../cgroup.procs",
        "mount -t cgroup -o memory none /mnt && echo -1 > /mnt/memory.limit_in_bytes",
        "ulimit -H -n 1073741816",
        "nice -n -20 true",
        "mkdir /sys/fs/cgroup/../escape",
        "mount -t cgroup -o pids none /mnt && echo max > /mnt/pids.max",
        "mount -t cgroup -o devices none /mnt && echo a > /mnt/devices.allow",
        "mount -o remount,rw /sys && echo 1 > /sys/kernel/mm/ksm/run",
    ] {
        let (code, text) = test.shell(&format!("mkdir -p /mnt; {attempt}"))?;
        check!(code != 0, "{attempt} worked: {text}");
    }
    test.finish().map(drop)
}

fn views() -> Outcome {
    let test = TestContainer::start(Plan::busybox()?)?;
    let (code, text) =
        test.shell("mkdir -p /mnt; mount -t proc proc /mnt && ls /mnt | grep -c '^[0-9]'; umount /mnt")?;
    check!(code == 0 && text.trim().parse::<u32>().is_ok_and(|count| count < 10), "{code} {text}");
    let (code, text) = test.shell("mount -t cgroup2 none /mnt && cat /mnt/cgroup.procs && ls /mnt")?;
    check!(code == 0, "{text}");
    // The processes of a group outside the namespace would be told as 0.
    check!(text.lines().any(|line| line == "1") && !text.lines().any(|line| line == "0"), "{text}");
    check!(!text.contains("berth-") && !text.contains("system.slice") && !text.contains(&test.spec.id), "{text}");
    test.finish().map(drop)
}

fn bomb() -> Outcome {
    let neighbour = TestContainer::start(Plan::busybox()?)?;
    let before = neighbour.client().status()?.init;
    let mut plan = Plan::busybox()?;
    plan.limits.pids = Some(120);
    let test = TestContainer::start(plan)?;
    let group = test.cgroup()?;
    test.shell("(bomb() { bomb | bomb & }; bomb) >/dev/null 2>&1 </dev/null &")?;
    let begun = std::time::Instant::now();
    while group.statistics().pids_refused.unwrap_or(0) < 50 {
        check!(begun.elapsed() < crate::fixture::PATIENCE, "the bomb does not go off: {:?}", group.statistics());
        check!(group.statistics().pids.unwrap_or(0) <= 120, "{:?}", group.statistics());
    }
    let (code, text) = neighbour.shell("echo well")?;
    check!(code == 0 && text == "well\n" && neighbour.client().status()?.init == before, "{code} {text}");
    check!(std::process::Command::new("true").status()?.success(), "the host cannot fork");
    test.client().kill()?;
    test.wait_exit()?;
    check!(test.finish().is_ok() && !group.exists(), "the bomb outlived its container");
    neighbour.finish().map(drop)
}

fn kernel() -> Outcome {
    let test = TestContainer::start(Plan::busybox()?)?;
    for attempt in [
        "mknod /disk b 254 0 && head -c 1 /disk",
        "mknod /memory c 1 1 && head -c 1 /memory",
        "mknod /tmp/loop b 7 0 && mkdir -p /mnt && mount -t ext4 /tmp/loop /mnt",
        "date -s 2001-01-01 2>&1 | grep -v 'not permitted' | grep -v 2001",
        "dmesg",
        "echo x > /proc/sys/kernel/core_pattern",
        "echo b > /proc/sysrq-trigger",
        "mkdir -p /mnt; mount -t ext4 /dev/loop0 /mnt",
        "chroot /proc/1/root/../.. ls /work",
        "swapon /dev/null",
        "cat /dev/kmsg",
        "nsenter -t 1 -m ls /work",
    ] {
        let (code, text) = test.shell(attempt)?;
        check!(code != 0, "{attempt} worked: {text}");
    }
    for wanted in ["echo x > /dev/null", "head -c 4 /dev/urandom | wc -c", "mount -t tmpfs none /tmp && umount /tmp"] {
        let (code, text) = test.shell(wanted)?;
        check!(code == 0, "{wanted} failed: {text}");
    }
    test.finish().map(drop)
}

/// A container prepares its root so that the next start would write or mount elsewhere.
fn links() -> Outcome {
    let test = TestContainer::start(Plan::busybox()?)?;
    let victim = crate::harness::scratch().join(format!("victim-{}", test.spec.id));
    std::fs::create_dir_all(&victim)?;
    let target = victim.display();
    let (code, text) = test.shell(&format!(
        "rm -f /etc/hostname /etc/resolv.conf; ln -s {target}/hostname /etc/hostname; \
         ln -s /proc/self/fd/1 /etc/resolv.conf; ls -l /etc"
    ))?;
    check!(code == 0, "{text}");
    let (directory, spec) = (test.directory.clone(), test.spec.clone());
    test.finish()?;
    let test = TestContainer::spawn_spec(directory.clone(), spec.clone())?;
    let created = test.client().create()?;
    test.client().start()?;
    let (_, text) = test.shell("hostname; ls -l /etc")?;
    check!(created.prepared.kept == [ManagedFile::Hostname, ManagedFile::Resolv], "{:?}", created.prepared.kept);
    check!(text.contains(&format!("{target}/hostname")) && text.starts_with(&spec.id), "{text}");
    test.finish()?;
    let mut managed = spec.clone();
    managed.container.as_mut().unwrap().names.managed = "hostname,hosts,resolv".parse().unwrap();
    let test = TestContainer::spawn_spec(directory.clone(), managed)?;
    test.client().create()?;
    test.client().start()?;
    let (_, text) = test.shell("cat /etc/hostname /etc/resolv.conf; ls -l /etc")?;
    check!(text.contains("192.0.2.1") && !text.contains("->"), "{text}");
    test.finish()?;
    let upper = spec.disk.path().join("upper");
    let _ = std::fs::remove_dir_all(upper.join("dev"));
    std::os::unix::fs::symlink(&victim, upper.join("dev"))?;
    let test = TestContainer::spawn_spec(directory, spec)?;
    let created = test.client().create()?;
    test.client().start()?;
    check!(
        created.prepared.warnings == ["/dev was no directory; what stood there is now /dev.aside-1"],
        "{:?}",
        created.prepared.warnings
    );
    let (_, text) = test.shell("readlink /dev.aside-1; ls /dev/null")?;
    check!(text == format!("{target}\n/dev/null\n"), "{text}");
    check!(std::fs::read_dir(&victim)?.next().is_none(), "something was written outside the root");
    test.finish().map(drop)
}

fn binary() -> Outcome {
    // Process 1 of a command container is the host's own binary, still in memory.
    let test = TestContainer::start(Plan::command(&["sleep", "1000"])?)?;
    for attempt in [
        "cat /proc/1/exe | head -c 4",
        "echo x > /proc/1/exe",
        "ls /proc/1/fd",
        "ls /proc/1/root/",
        "cat /proc/1/environ",
        "cat /proc/1/mem",
    ] {
        let (code, text) = test.shell(attempt)?;
        check!(code != 0 || text.contains("denied"), "{attempt} worked: {text}");
    }
    let (_, text) = test.shell("cat /proc/1/comm; for i in /proc/[0-9]*/exe; do readlink $i; done")?;
    check!(!text.contains("target/debug"), "{text}");
    test.finish().map(drop)
}

fn nesting() -> Outcome {
    let test = TestContainer::start(Plan::busybox()?)?;
    let (code, text) = test.shell("unshare -U -r id -u")?;
    check!(code == 0 && text.trim() == "0", "{code} {text}");
    for attempt in [
        "unshare -U -r unshare -U true",
        "su ann -c 'unshare -U true'",
        "su ann -c 'unshare -U -m -n true'",
        // All capabilities that it has there are for what is in there.
        "unshare -U -r -m mknod /tmp/disk b 7 0",
        "unshare -U -r -m mount -t ext4 /dev/loop0 /tmp",
        "unshare -U -r hostname other",
        "unshare -U -r date -s 2001-01-01 2>&1 | grep 'not permitted'; false",
    ] {
        let (code, text) = test.shell(attempt)?;
        let refused = text.contains("not permitted") || text.contains("denied");
        check!(code != 0 && refused, "{attempt}: {code} {text}");
    }
    test.finish()?;
    // A first process that left the container's namespace is in the one level there is, too.
    // It leaves when somebody is inside already: into where it goes nobody follows.
    let script = "mkfifo /go /said; cat /go; \
                  exec unshare -U -r sh -c 'unshare -U true 2>/second; echo $? >>/second; >/said; sleep 1000'";
    let mut plan = Plan::busybox()?;
    plan.init = Init::Own { argv: vec!["/bin/sh".into(), "-c".into(), script.into()], stop_signal: 9 };
    let test = TestContainer::start(plan)?;
    let (_, text) = test.shell("while ! [ -p /said ]; do sleep 0.1; done; >/go; cat /said; cat /second")?;
    check!(text.contains("not permitted") && text.trim().ends_with('1'), "{text}");
    test.finish()?;
    let mut plan = Plan::busybox()?;
    plan.nesting = true;
    let test = TestContainer::start(plan)?;
    let (code, text) = test.shell("su ann -c 'unshare -U -r unshare -U -r id -u'")?;
    check!(code == 0 && text.trim() == "0", "{code} {text}");
    test.finish().map(drop)
}

fn asking() -> Outcome {
    let test = TestContainer::start(Plan::busybox()?)?;
    let begun = Instant::now();
    let (_, text) = test
        .shell("i=0; while [ $i -lt 250 ]; do su ann -c 'unshare -U true'; i=$((i+1)); done 2>&1 | sort | uniq -c")?;
    check!(text.contains("250 unshare: unshare(0x10000000): Operation not permitted"), "{text}");
    check!(begun.elapsed() > Duration::from_secs(2), "all were answered within {:?}", begun.elapsed());
    test.finish().map(drop)
}
