//! Commands beside the first process: pipes, terminals, users, tokens, profiles.

use std::io::Write as _;
use std::time::{Duration, Instant};

use berth::kernel::cgroup::Cgroup;
use berth::shim::attach::{self, SessionStreams};
use berth::shim::protocol::{Command, Event, SessionTarget, WindowSize};
use berth::sys::{process, signal};

use crate::check;
use crate::fixture::{PATIENCE, Plan, TestContainer, read_all};
use crate::harness::{Outcome, Stop};

pub const TESTS: &[crate::harness::Test] = &[
    ("a command gets the profile of the init and its exit code is told", profile),
    ("a command with a terminal sees it, its size and its user", terminal),
    ("a token works once and a wrong one never", token),
    ("the end of a session is told by its name", told),
    ("the console can be attached and typed on", console),
    ("commands run as users of the container", users),
    ("a command that cannot run says so", missing),
    ("what is killed before it becomes its program is told so", killed_before_it_begins),
    ("what hangs on a command is hung up on with it when its client goes", hang_up),
    ("a hundred commands leave no process behind", many),
];

fn command(argv: &[&str]) -> Command {
    Command {
        argv: argv.iter().map(|part| (*part).to_owned()).collect(),
        environment: Vec::new(),
        user: "root".into(),
        directory: None,
        terminal: None,
        without_echo: false,
    }
}

fn profile() -> Outcome {
    let test = TestContainer::start(Plan::busybox()?)?;
    let wanted = "grep -E 'CapBnd|CapEff|Seccomp:|NoNewPrivs' /proc";
    let (_, own) = test.shell(&format!("{wanted}/self/status"))?;
    let (code, init) = test.shell(&format!("{wanted}/1/status; exit 9"))?;
    check!(code == 9, "{code}");
    check!(own == init, "the command has {own}, the init {init}");
    check!(own.contains("00000000b5ecfdff") && own.contains("Seccomp:\t2"), "{own}");
    let (_, descriptors) = test.shell("ls /proc/self/fd | sort -n | tr '\\n' ' '")?;
    check!(descriptors.trim() == "0 1 2 3", "{descriptors}");
    let (_, init) = test.shell("ls -l /proc/1/fd")?;
    check!(!init.contains("socket"), "{init}");
    test.finish().map(drop)
}

fn terminal() -> Outcome {
    let test = TestContainer::start(Plan::busybox()?)?;
    let size = WindowSize { rows: 31, columns: 97 };
    let mut order =
        command(&["sh", "-c", "tty; stty size; id -un; ls -l $(tty); echo go; read line; echo got $line; stty size"]);
    order.terminal = Some(size);
    order.user = "ann".into();
    test.client().open_session("tty", None, SessionTarget::Command(order))?;
    let (session, streams) = attach::attach(&test.spec.session_socket, "tty")?;
    let SessionStreams::Terminal(master) = streams else { return Err("no terminal".into()) };
    let (mut terminal, mut text) = (std::fs::File::from(master.try_clone()?), String::new());
    while !text.contains("go") {
        let mut buffer = [0; 256];
        let length = std::io::Read::read(&mut terminal, &mut buffer)?;
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    session.resize(WindowSize { rows: 10, columns: 20 })?;
    std::thread::sleep(Duration::from_millis(100));
    terminal.write_all(b"word\n")?;
    text.push_str(&read_all(SessionStreams::Terminal(master)));
    check!(session.wait()? == 0, "{text}");
    for part in ["/dev/pts/0", "31 97", "ann", "got word", "10 20", "crw--w----"] {
        check!(text.contains(part), "no {part} in {text}");
    }
    test.finish().map(drop)
}

fn token() -> Outcome {
    let test = TestContainer::start(Plan::busybox()?)?;
    test.client().open_session("good", None, SessionTarget::Command(command(&["true"])))?;
    check!(attach::attach(&test.spec.session_socket, "bad").is_err(), "a wrong token worked");
    check!(attach::attach(&test.spec.session_socket, "good").is_ok(), "the right token did not work");
    check!(attach::attach(&test.spec.session_socket, "good").is_err(), "the token worked twice");
    test.finish().map(drop)
}

fn told() -> Outcome {
    let test = TestContainer::start(Plan::busybox()?)?;
    let events = test.events()?;
    let open = |name: &str, argv: &[&str]| {
        test.client().open_session(name, Some(name), SessionTarget::Command(command(argv)))?;
        attach::attach(&test.spec.session_socket, name).map_err(Stop::from)
    };
    let left = open("left", &["sleep", "1000"])?;
    check!(test.client().status()?.session_names == ["left"], "it is not listed");
    let ended = |name: &str, code: Option<i32>| {
        let told = events.next(PATIENCE)?;
        let wanted = Event::SessionEnded { name: name.to_owned(), code };
        check!(told.as_ref() == Some(&wanted), "{told:?} instead of {wanted:?}");
        Ok(())
    };
    drop(left);
    ended("left", Some(128 + berth::sys::signal::HANGUP))?;
    let stays = open(
        "stays",
        &["sh", "-c", "trap '' HUP; touch /tmp/deaf; while [ ! -e /tmp/end ]; do sleep 0.1; done; exit 5"],
    )?;
    test.shell("while [ ! -e /tmp/deaf ]; do sleep 0.1; done")?;
    drop(stays);
    test.shell("sleep 0.5")?;
    let status = test.client().status()?;
    check!(status.session_names == ["stays"] && status.sessions == 1, "{status:?}");
    test.shell("touch /tmp/end")?;
    ended("stays", Some(5))?;
    let _whole = open("whole", &["sh", "-c", "exit 7"])?;
    ended("whole", Some(7))?;
    check!(open("missing", &["/no/such/program"]).is_err(), "it ran");
    ended("missing", None)?;
    check!(test.client().status()?.session_names.is_empty(), "one is left");
    test.finish().map(drop)
}

fn hang_up() -> Outcome {
    let test = TestContainer::start(Plan::busybox()?)?;
    let events = test.events()?;
    for terminal in [None, Some(WindowSize { rows: 24, columns: 80 })] {
        let mut order = command(&["sh", "-c", "sleep 4711 | sleep 4712"]);
        order.terminal = terminal;
        test.client().open_session("pair", Some("pair"), SessionTarget::Command(order))?;
        let client = attach::attach(&test.spec.session_socket, "pair")?;
        let count = "ps | grep -c 'sleep 471[12]'";
        let begun = Instant::now();
        while test.shell(count)?.1.trim() < "2" {
            check!(begun.elapsed() < Duration::from_secs(10), "the pair does not begin");
        }
        drop(client);
        let told = events.next(Duration::from_secs(10))?;
        check!(matches!(told, Some(Event::SessionEnded { code: Some(_), .. })), "{told:?}");
        let (_, left) = test.shell(count)?;
        check!(left.trim() == "0", "{left} are left");
    }
    test.finish().map(drop)
}

fn console() -> Outcome {
    let test = TestContainer::start(Plan::command(&["sh", "-c", "while read line; do echo heard $line; done"])?)?;
    test.client().open_session("console", None, SessionTarget::Console)?;
    let (_session, streams) = attach::attach(&test.spec.session_socket, "console")?;
    let SessionStreams::Terminal(stream) = streams else { return Err("no stream".into()) };
    std::fs::File::from(stream.try_clone()?).write_all(b"ping\n")?;
    let (begun, mut seen) = (Instant::now(), String::new());
    while !seen.contains("heard ping") {
        check!(begun.elapsed() < PATIENCE, "seen {seen:?}, log {:?}", test.console());
        let mut buffer = [0; 256];
        let length = std::io::Read::read(&mut std::fs::File::from(stream.try_clone()?), &mut buffer)?;
        seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    check!(test.console().contains("heard ping"), "not in the log");
    test.finish().map(drop)
}

fn users() -> Outcome {
    let test = TestContainer::start(Plan::busybox()?)?;
    let mut order = command(&["sh", "-c", "id; pwd; grep CapEff /proc/self/status; echo $HOME"]);
    order.user = "ann".into();
    let (_, text) = test.run_inside(order.clone())?;
    for part in ["uid=1000(ann)", "27(sudo)", "/tmp", "CapEff:\t0000000000000000"] {
        check!(text.contains(part), "no {part} in {text}");
    }
    order.user = "eve".into();
    let refused = test.run_inside(order);
    check!(refused.is_err_and(|stop| format!("{stop:?}").contains("no user")), "eve was let in");
    // What means "no change" to the kernel would leave the command root, whoever says it.
    let line = "echo evil:x:4294967295:0::/:/bin/sh >>/etc/passwd; echo none:x:4294967295: >>/etc/group";
    test.run_inside(command(&["sh", "-c", line]))?;
    let highest = ["4294967295", "4294967295:1000", "1000:4294967295", "evil", "ann:none"];
    for (user, terminal) in highest.into_iter().flat_map(|user| [(user, false), (user, true)]) {
        let mut order = command(&["id"]);
        order.user = user.into();
        order.terminal = terminal.then_some(WindowSize { rows: 24, columns: 80 });
        let refused = test.run_inside(order);
        check!(
            refused.as_ref().is_err_and(|stop| format!("{stop:?}").contains("beyond its range")),
            "{user}: {refused:?}"
        );
    }
    // A group that cannot be is nobody's group, and no reason to keep anybody out.
    let line = "echo a:x:4294967295:root,sg >>/etc/group; echo b:x:4000000:root,sg >>/etc/group; \
                echo c:x:77:root,sg >>/etc/group; echo sg:x:1005:5::/:/bin/sh >>/etc/passwd";
    test.run_inside(command(&["sh", "-c", line]))?;
    for (user, ids) in [("root", "uid=0(root) gid=0"), ("sg", "uid=1005(sg) gid=5")] {
        let mut order = command(&["id"]);
        order.user = user.into();
        let (code, text) = test.run_inside(order)?;
        check!(code == 0 && text.contains(ids) && text.contains("77(c)"), "{user}: {code} {text}");
        check!(!text.contains("(a)") && !text.contains("(b)"), "{user}: {text}");
    }
    test.finish().map(drop)
}

fn missing() -> Outcome {
    let test = TestContainer::start(Plan::busybox()?)?;
    let refused = test.run_inside(command(&["no-such-program"]));
    check!(refused.is_err_and(|stop| format!("{stop:?}").contains("execute no-such-program")), "it ran");
    check!(test.client().status()?.sessions == 0, "a session is counted");
    test.finish().map(drop)
}

/// A path in which a program is looked for so long that whoever looks for it can be killed.
fn endless_path() -> String {
    format!("PATH={}/bin", "/a:".repeat(500_000))
}

/// Waits for a process of the container beside its init that has begun no program, and kills it.
fn kill_unbegun(cgroup: &Cgroup, init: i32) -> Outcome {
    let begun = Instant::now();
    loop {
        let leads = |pid: &i32| leader_without_program(*pid).unwrap_or(false);
        if let Some(pid) = cgroup.processes()?.into_iter().find(|pid| *pid != init && leads(pid)) {
            return Ok(process::kill(pid, signal::KILL)?);
        }
        check!(begun.elapsed() < PATIENCE, "nobody looks for a program");
    }
}

/// Tells whether it leads a session, as a command does before anything else, and has not executed anything.
fn leader_without_program(pid: i32) -> std::io::Result<bool> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let session = text.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(3));
    Ok(session == Some(pid.to_string().as_str()) && !process::has_executed(pid)?)
}

fn killed_before_it_begins() -> Outcome {
    const WORDS: &str = "its process was killed before that";
    let test = TestContainer::start(Plan::busybox()?)?;
    let mut order = command(&["nothing-like-it"]);
    order.environment = vec![endless_path()];
    test.client().open_session("slow", None, SessionTarget::Command(order))?;
    let socket = test.spec.session_socket.clone();
    let attached =
        std::thread::spawn(move || attach::attach(&socket, "slow").map(drop).map_err(|error| error.to_string()));
    let init = test.client().status()?.init.ok_or("no init")?.pid;
    kill_unbegun(&test.cgroup()?, init)?;
    let told = attached.join().map_err(|_| "attach panicked")?;
    check!(told.as_ref().is_err_and(|words| words.contains(WORDS)), "{told:?}");
    test.finish()?;
    let mut plan = Plan::command(&["nothing-like-it"])?;
    plan.environment = vec![endless_path()];
    let test = TestContainer::spawn(plan)?;
    test.client().create()?;
    let init = test.client().status()?.init.ok_or("no init")?.pid;
    let starting = test.another_client()?;
    let started = std::thread::spawn(move || starting.start().map_err(|error| error.to_string()));
    kill_unbegun(&test.cgroup()?, init)?;
    let told = started.join().map_err(|_| "the start panicked")?;
    check!(told.as_ref().is_err_and(|words| words.contains(WORDS)), "{told:?}");
    Ok(())
}

fn many() -> Outcome {
    let test = TestContainer::start(Plan::busybox()?)?;
    let mut times = Vec::new();
    for _ in 0..100 {
        let begun = Instant::now();
        let (code, _) = test.run_inside(command(&["true"]))?;
        times.push(begun.elapsed());
        check!(code == 0, "{code}");
    }
    times.sort();
    eprintln!("exec round trip, median of 100: {:?}", times[50]);
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", test.shim.id()))?;
    check!(children.split_whitespace().count() == 1, "children of the shim: {children}");
    test.finish().map(drop)
}
