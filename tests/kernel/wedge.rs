//! What a container does so that nobody else gets on: its supervisor, its daemon, its stop.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use berth::kernel::writers::{Look, WATCHED};
use berth::shim::client::Client;
use berth::shim::protocol::{Directory, Init};
use berth::sys::fs::{DirectoryStack, make_directory, open_root};
use berth::sys::signal;

use crate::check;
use crate::drain;
use crate::fixture::{Plan, TestContainer};
use crate::freeze::berth_upper;
use crate::harness::{Outcome, Stop};

pub const TESTS: &[crate::harness::Test] = &[
    ("groups nested beyond every path are bounded, entered, and taken away", nested_groups),
    ("a group of an old hierarchy goes, however deep others lie in it", deep_groups),
    ("a file whose close never ends holds no supervisor up", file_without_end),
    ("a first process that lives in a file system of its own keeps nobody from its disk", lives_elsewhere),
    ("a connection that lingers holds no supervisor up", lingering_connection),
    ("a process that waits in the kernel keeps nobody from a pause", waiting_in_the_kernel),
    (
        "a process that writes on in the kernel while all is to stand still is ended, and nobody else",
        writing_in_the_kernel,
    ),
    ("a first process that its container freezes itself is ended as any other", frozen_from_inside),
];

/// Longer than anything takes, and much shorter than what would hold it up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A container in which somebody does it; returns what came of it.
fn container_with(deed: &str) -> Result<(TestContainer, String), Stop> {
    let test = TestContainer::start(Plan::busybox()?.with_layer(drain::lower()?))?;
    let inside = drain::INSIDE;
    let (code, text) = test.shell(&format!(
        "setsid {inside} act {deed} < /dev/null > /said 2>&1 & while ! grep -qs done /said; do sleep 0.1; done; cat /said"
    ))?;
    check!(code == 0, "{code} {text}");
    Ok((test, text.trim().to_owned()))
}

/// Everything that is asked of a supervisor still works, and nothing is left of its container.
fn goes_on_and_ends(test: TestContainer) -> Outcome {
    let client = Client::connect(&test.spec.control_socket, PATIENCE)?;
    check!(client.status()?.init.is_some(), "it does not run");
    drop(client);
    let (code, text) = test.shell("echo in")?;
    check!(code == 0 && text == "in\n", "{code} {text}");
    let cgroup = test.cgroup()?;
    test.finish()?;
    check!(cgroup.directories().is_empty(), "{:?} is left", cgroup.directories());
    Ok(())
}

fn nested_groups() -> Outcome {
    let (test, said) = container_with("nest")?;
    check!(said == format!("done 32, {}", libc::EAGAIN), "{said}");
    goes_on_and_ends(test)
}

fn deep_groups() -> Outcome {
    let test = TestContainer::start(Plan::busybox()?)?;
    for group in test.cgroup()?.directories() {
        let mut stack = DirectoryStack::new(open_root(&group)?.as_fd(), false)?;
        // The unified one has the bound of containers.
        while stack.depth() < 300 && make_directory(stack.top()?, &[b'x'; 250], 0o755).is_ok() {
            stack.push(&[b'x'; 250])?;
        }
        check!(stack.depth() >= 32, "no groups in {}", group.display());
    }
    goes_on_and_ends(test)
}

fn file_without_end() -> Outcome {
    let (test, said) = container_with("send-file")?;
    check!(said == "done sent", "{said}");
    goes_on_and_ends(test)
}

fn lingering_connection() -> Outcome {
    let (test, said) = container_with("send-connection")?;
    check!(said == "done sent", "{said}");
    goes_on_and_ends(test)
}

fn lives_elsewhere() -> Outcome {
    let mut plan = Plan::busybox()?.with_layer(drain::lower()?);
    let argv = [drain::INSIDE, "act", "live-elsewhere"].map(str::to_owned).to_vec();
    plan.init = Init::Own { argv, stop_signal: signal::TERMINATE };
    let test = TestContainer::start(plan)?;
    test.wait_console("done gone")?;
    let client = Client::connect(&test.spec.control_socket, PATIENCE)?;
    let kinds: Vec<_> = client.open_disk()?.into_iter().map(|(kind, _)| kind).collect();
    check!(kinds == [Directory::Disk, Directory::Upper], "{kinds:?}");
    test.finish().map(drop)
}

fn waiting_in_the_kernel() -> Outcome {
    let (test, said) = container_with("wait")?;
    check!(said == "done waits", "{said}");
    test.shell("i=0; while true; do i=$((i+1)); echo $i > /count; usleep 10000; done > /dev/null 2>&1 &")?;
    let counted = || -> Result<String, Stop> { Ok(std::fs::read_to_string(berth_upper(&test).join("count"))?) };
    let goes_on = || -> Result<bool, Stop> {
        let before = counted()?;
        std::thread::sleep(Duration::from_millis(200));
        Ok(counted()? != before)
    };
    std::thread::sleep(Duration::from_millis(200));
    let client = Client::connect(&test.spec.control_socket, PATIENCE)?;
    // Who wants every process at rest is told that one is not, and all goes on.
    let refused = client.freeze(Duration::from_mins(1)).err().map(|error| error.to_string()).unwrap_or_default();
    check!(refused.contains("is in the kernel and waits"), "{refused:?}");
    check!(goes_on()?, "a freeze that failed left it at rest");
    client.pause()?;
    check!(!goes_on()?, "it goes on");
    check!(client.freeze(Duration::from_mins(1)).is_err(), "all are at rest");
    check!(!goes_on()?, "a freeze that failed ended the pause");
    client.resume()?;
    check!(goes_on()?, "it does not go on");
    goes_on_and_ends(test)
}

fn frozen_from_inside() -> Outcome {
    let group = "/sys/fs/cgroup/own";
    let line = format!(
        "mkdir {group}; echo 1 >{group}/cgroup.procs; echo 1 >{group}/cgroup.freeze; cat {group}/cgroup.events; echo froze; sleep 1000"
    );
    let test = TestContainer::start(Plan::command(&["sh", "-c", &line])?)?;
    test.wait_console("frozen 1")?;
    test.wait_console("froze")?;
    let begun = Instant::now();
    let client = Client::connect(&test.spec.control_socket, PATIENCE)?;
    client.signal(signal::TERMINATE)?;
    check!(client.status()?.init.is_some(), "a signal ended it");
    // Whoever comes in is put where it is, and stands still there.
    check!(test.shell("echo in").is_err(), "it is not frozen");
    check!(begun.elapsed() < Duration::from_secs(8), "it held everybody up for {:?}", begun.elapsed());
    let begun = Instant::now();
    client.kill()?;
    test.wait_exit()?;
    check!(begun.elapsed() < Duration::from_secs(2), "its end took {:?}", begun.elapsed());
    test.finish().map(drop)
}

fn writing_in_the_kernel() -> Outcome {
    let (test, said) = container_with("write-on")?;
    check!(said == "done writes", "{said}");
    let cgroup = test.cgroup()?;
    check!(Look::at(&cgroup)?.is_none(), "nobody is to stand still");
    let pausing = Client::connect(&test.spec.control_socket, PATIENCE)?;
    let paused = std::thread::spawn(move || pausing.pause());
    let (begun, mut ended) = (Instant::now(), Vec::new());
    while ended.is_empty() {
        check!(begun.elapsed() < PATIENCE, "nobody writes on");
        if let Some(look) = Look::at(&cgroup)? {
            std::thread::sleep(WATCHED);
            ended = look.end_writers()?;
        }
    }
    check!(ended == ["drain"], "{ended:?}");
    paused.join().map_err(|_| "the pause panicked")??;
    let much = berth_upper(&test).join("much");
    let length = std::fs::metadata(&much)?.len();
    check!(!cgroup.is_settling()?, "not all is at rest");
    std::thread::sleep(Duration::from_millis(200));
    check!(std::fs::metadata(&much)?.len() == length, "it writes on");
    std::fs::remove_file(&much)?;
    test.client().resume()?;
    goes_on_and_ends(test)
}
