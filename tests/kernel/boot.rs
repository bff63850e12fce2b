//! Boots whole systems and single commands, without privilege on the host, and stops them again.

use std::time::Instant;

use berth::kernel::probe::{Feature, Weight};
use berth::shim::protocol::{Exit, Phase};
use berth::sys::signal;
use berth::types::ManagedFile;

use crate::check;
use crate::fixture::{Plan, TestContainer};
use crate::harness::Outcome;

pub const TESTS: &[crate::harness::Test] = &[
    ("a busybox root boots unprivileged and powers off", busybox),
    ("a container knows its own names, and what it has changed of them is kept", names),
    ("ten starts in a row, timed", timed),
    ("where a container starts, the probe misses nothing that is required", probed),
    ("a Debian systemd root boots to running without failed units and halts", debian),
    ("units start with the options that confine them, user namespaces among them", confined),
    ("one tree of control groups is seen inside, the unified one", unified),
    ("a command runs under the built-in init and its exit code is told", command),
    ("a program that is not there fails the start and leaves nothing", missing_program),
    ("a privileged container runs with the host's ids and its network switched off", privileged),
    ("a reboot from inside is told apart from a halt", reboot),
    ("a stop signal that comes before init listens is sent until it is heard", early),
];

fn busybox() -> Outcome {
    let mut plan = Plan::busybox()?;
    plan.image_bytes = Some(64 << 20);
    let begun = Instant::now();
    let test = TestContainer::start(plan)?;
    eprintln!("spawn of the shim to exec of busybox init, loop disk: {:?}", begun.elapsed());
    let (code, text) = test.shell("cat /proc/1/comm; id -u; hostname; cat /etc/resolv.conf; cat /proc/self/cgroup")?;
    check!(code == 0 && text.starts_with("init\n0\n"), "{code} {text}");
    check!(text.contains("192.0.2.1") && text.contains(&test.spec.id), "{text}");
    let (_, mounts) = test.shell("cat /proc/self/mountinfo")?;
    check!(!mounts.contains("/tmp/berth"), "the host's paths are seen: {mounts}");
    test.wait_console("berth-sysinit")?;
    test.client().signal(signal::USER_2)?;
    let exit = test.wait_exit()?;
    check!(exit.exit == Exit::PowerOff, "{exit:?}");
    check!(exit.leftover.is_none(), "{exit:?}");
    check!(test.console().contains("berth-sysinit"), "{}", test.words());
    check!(test.finish()?, "the disk is still held");
    Ok(())
}

fn early() -> Outcome {
    for _ in 0..10 {
        let test = TestContainer::start(Plan::busybox()?)?;
        test.client().signal(signal::USER_2)?;
        let exit = test.wait_exit()?;
        check!(exit.exit == Exit::PowerOff, "{exit:?}");
        test.finish()?;
    }
    Ok(())
}

fn debian() -> Outcome {
    let mut plan = Plan::debian()?;
    plan.image_bytes = Some(512 << 20);
    let begun = Instant::now();
    let test = TestContainer::start(plan)?;
    let started = begun.elapsed();
    test.wait_ready()?;
    eprintln!("systemd: exec after {started:?}, ready after {:?}", begun.elapsed());
    let (_, state) = test.shell("systemctl is-system-running; systemctl --failed --no-legend")?;
    check!(state.trim() == "running", "{state}\n{}", test.words());
    test.client().signal(signal::realtime(3))?;
    let exit = test.wait_exit()?;
    check!(matches!(exit.exit, Exit::PowerOff), "{exit:?} {}", test.words());
    check!(test.finish()?, "the disk is still held");
    Ok(())
}

/// What stock units of servers have: redis-server asks for a user namespace, most for the others.
fn confined() -> Outcome {
    let test = TestContainer::start(Plan::debian()?)?;
    test.wait_ready()?;
    for options in [
        "PrivateUsers=yes",
        "PrivateUsers=yes User=daemon PrivateTmp=yes PrivateDevices=yes ProtectSystem=strict RestrictNamespaces=yes",
        "DynamicUser=yes PrivateUsers=yes ProtectKernelTunables=yes ProtectControlGroups=yes SystemCallFilter=@system-service",
        "NoNewPrivileges=yes MemoryDenyWriteExecute=yes LockPersonality=yes RestrictRealtime=yes ProtectProc=invisible",
        "KeyringMode=private LimitMEMLOCK=64M OOMScoreAdjust=-900 Nice=-5 PrivateNetwork=yes PrivateIPC=yes",
    ] {
        let words = options.replace(' ', " -p ");
        let (code, text) = test.shell(&format!("systemd-run --quiet --wait --collect -p {words} true"))?;
        check!(code == 0, "{options}: {code} {text}");
    }
    test.finish().map(drop)
}

/// systemd 258 and newer know no other, and end where they see one.
fn unified() -> Outcome {
    let privileged = Plan { privileged: true, ..Plan::busybox()? };
    for plan in [Plan::busybox()?, privileged] {
        let test = TestContainer::start(plan)?;
        let (_, text) =
            test.shell("grep cgroup /proc/mounts; stat -f -c %t /sys/fs/cgroup; cat /proc/1/cgroup | head -1")?;
        let lines: Vec<&str> = text.lines().collect();
        check!(lines.len() == 3 && lines[0].contains(" /sys/fs/cgroup cgroup2 ") && lines[1] == "63677270", "{text}");
        test.finish()?;
    }
    Ok(())
}

fn command() -> Outcome {
    let test = TestContainer::start(Plan::command(&["sh", "-c", "echo hello; sleep 0.2; exit 7"])?)?;
    let exit = test.wait_exit()?;
    check!(exit.exit == Exit::Exited { code: 7 }, "{exit:?} {}", test.words());
    check!(test.console().contains("hello"), "{}", test.words());
    test.finish()?;
    let test = TestContainer::start(Plan::command(&["sh", "-c", "echo up; exec sleep 1000"])?)?;
    test.wait_console("up")?;
    test.client().signal(signal::TERMINATE)?;
    let exit = test.wait_exit()?;
    check!(exit.exit == Exit::CommandSignaled { number: 15 }, "{exit:?}");
    test.finish().map(drop)
}

fn missing_program() -> Outcome {
    for plan in [Plan::command(&["/no/such/program"])?, {
        let mut plan = Plan::busybox()?;
        plan.init = berth::shim::protocol::Init::Own { argv: vec!["/no/such/init".into()], stop_signal: 15 };
        plan
    }] {
        let test = TestContainer::spawn(plan)?;
        test.client().create()?;
        let error = test.client().start().err().map(|error| error.to_string()).unwrap_or_default();
        check!(error.contains("execute /no/such/"), "{error}");
        check!(test.client().status()?.phase == Phase::New, "not undone");
        test.finish()?;
    }
    Ok(())
}

fn reboot() -> Outcome {
    let test = TestContainer::start(Plan::busybox()?)?;
    // Before it has its handlers, the first process of a pid namespace ignores the signal.
    test.wait_console("berth-sysinit")?;
    test.client().signal(signal::TERMINATE)?;
    let exit = test.wait_exit()?;
    check!(exit.exit == Exit::Reboot, "{exit:?}");
    test.finish().map(drop)
}

fn privileged() -> Outcome {
    let mut plan = Plan::busybox()?;
    plan.privileged = true;
    let test = TestContainer::start(plan)?;
    let (_, map) = test.shell("cat /proc/self/uid_map; ls /sys/class/net; grep CapEff /proc/self/status")?;
    check!(map.split_whitespace().take(3).eq(["0", "0", "4294967295"]), "{map}");
    // What the host itself lacks (CAP_SYS_RESOURCE in some) is lacking here too.
    check!(map.contains("00000000b5ecfdff") || map.contains("00000000b4ecfdff"), "{map}");
    let (_, text) = test.shell("readlink /proc/1/exe; head -c 1 /dev/vda; mknod /disk b 7 0; head -c 1 /disk")?;
    check!(!text.contains("berth"), "{text}");
    check!(test.wait_console("berth-sysinit").is_ok(), "{}", test.words());
    test.finish().map(drop)
}

/// The probe runs beside other processes, as under a shell or in the daemon's own leaf.
fn probed() -> Outcome {
    TestContainer::start(Plan::busybox()?)?.finish()?;
    let told = std::process::Command::new(env!("CARGO_BIN_EXE_berth")).args(["shim", "--probe"]).output()?;
    let features: Vec<Feature> = serde_json::from_slice(&told.stdout)?;
    let missing: Vec<_> =
        features.iter().filter(|feature| feature.weight == Weight::Required && !feature.is_there()).collect();
    check!(features.len() > 20 && missing.is_empty(), "{missing:?}");
    Ok(())
}

fn timed() -> Outcome {
    let (mut whole, mut inner) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let begun = Instant::now();
        let test = TestContainer::spawn(Plan::command(&["sleep", "100"])?)?;
        let connected = Instant::now();
        test.client().create()?;
        test.client().start()?;
        inner.push(connected.elapsed());
        whole.push(begun.elapsed());
        test.finish()?;
    }
    whole.sort();
    inner.sort();
    eprintln!("median of 10: spawn to exec {:?}, create + start alone {:?}", whole[5], inner[5]);
    Ok(())
}

/// What a container has changed is its own; what it has not is written anew at each start.
fn names() -> Outcome {
    let test = TestContainer::spawn(Plan::busybox()?)?;
    let (directory, mut spec) = (test.directory.clone(), test.spec.clone());
    let told = |test: &TestContainer, kept: &[ManagedFile]| -> Outcome {
        let created = test.client().create()?;
        test.client().start()?;
        check!(created.prepared.kept == kept && created.prepared.warnings.is_empty(), "{:?}", created.prepared);
        Ok(())
    };
    told(&test, &[])?;
    let (_, text) = test.shell("cat /etc/hosts; cat /etc/hostname")?;
    check!(text.contains("127.0.0.1\tlocalhost\n127.0.1.1\t") && text.contains("::1\tlocalhost"), "{text}");
    test.finish()?;

    let names = &mut spec.container.as_mut().unwrap().names;
    names.hostname = "a.example.org".parse().unwrap();
    names.address = Some("10.9.8.7".parse().unwrap());
    names.resolv_conf = Some("nameserver 192.0.2.9\n".to_owned());
    let test = TestContainer::spawn_spec(directory.clone(), spec.clone())?;
    told(&test, &[])?;
    let (_, text) = test.shell("hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf")?;
    check!(text.starts_with("a.example.org\na.example.org\n"), "{text}");
    check!(text.contains("\n10.9.8.7\ta.example.org a\n") && text.contains("192.0.2.9"), "{text}");
    let (code, text) = test.shell("echo foo > /etc/hostname; echo 10.0.0.1 db >> /etc/hosts; rm /etc/resolv.conf")?;
    check!(code == 0, "{text}");
    test.finish()?;

    let test = TestContainer::spawn_spec(directory.clone(), spec.clone())?;
    told(&test, &[ManagedFile::Hostname, ManagedFile::Hosts])?;
    let (_, text) = test.shell("hostname; tail -1 /etc/hosts; cat /etc/resolv.conf")?;
    check!(text == "foo\n10.0.0.1 db\nnameserver 192.0.2.9\n", "{text}");
    test.finish()?;

    spec.container.as_mut().unwrap().names.managed = "hosts".parse().unwrap();
    let test = TestContainer::spawn_spec(directory, spec)?;
    told(&test, &[ManagedFile::Hostname, ManagedFile::Resolv])?;
    let (_, text) = test.shell("hostname; grep -c db /etc/hosts; grep 10.9 /etc/hosts")?;
    check!(text == "foo\n0\n10.9.8.7\tfoo\n", "{text}");
    test.finish().map(drop)
}
