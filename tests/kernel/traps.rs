//! Traps that a container lays for whatever enters it: its accounts, shells, terminals, working directories and watchers
//! of /proc lead to what the entering process has open. Each way in must find only the container, also afterwards.

use std::time::{Duration, Instant};

use berth::shim::protocol::{Command, Init, WindowSize};

use crate::check;
use crate::fixture::{Plan, TestContainer};
use crate::harness::{Outcome, Stop};

pub const TESTS: &[crate::harness::Test] = &[
    ("a working directory through an open descriptor is refused", working_directory),
    ("a home that leads to an open descriptor leads nowhere", home),
    ("a working directory is found by links inside, as its user may", plain_directory),
    ("a shell that is the entering program itself is refused", shell),
    ("a first process that is the launching program itself is refused", first_process),
    ("a terminal that is none is not looked at", terminal),
    ("a watcher of /proc gets hold of nothing of those who enter", watcher),
    ("whatever a container makes of its root, it starts again, and what is odd is told", odd_root),
    ("account files without end hold nobody up", accounts),
    ("standard streams can be opened anew by the command's user", streams),
];

/// What changes a setting of the whole machine.
pub const ALONE: &[crate::harness::Test] =
    &[("a watcher of /proc gets hold of nothing where the host opens it to more", watcher_of_what_changed)];

/// More numbers than a supervisor ever has open.
const DESCRIPTORS: u32 = 40;
/// Climbs from any depth to whatever root the place hangs below.
const UP: &str = "../../../../../../../../../../../../..";

fn command(line: &str) -> Command {
    Command {
        argv: vec!["/bin/sh".into(), "-c".into(), format!("exec 2>&1; {line}")],
        environment: Vec::new(),
        user: "root".into(),
        directory: None,
        terminal: None,
        without_echo: false,
    }
}

/// A container whose root is told from every other by a file.
fn marked(plan: Plan) -> Result<TestContainer, Stop> {
    let test = TestContainer::start(plan)?;
    let (code, text) = test.shell("touch /mark-of-the-container; mkdir -p /srv/deep; chmod 700 /srv/deep")?;
    check!(code == 0, "{text}");
    Ok(test)
}

fn in_directory(test: &TestContainer, directory: &str, user: &str) -> Result<(i32, String), Stop> {
    let mut order = command(&format!("pwd; ls {UP}"));
    order.directory = Some(directory.to_owned());
    user.clone_into(&mut order.user);
    test.run_inside(order)
}

fn working_directory() -> Outcome {
    for plan in [Plan::busybox()?, Plan::command(&["sleep", "1000"])?] {
        let test = marked(plan)?;
        let numbers = (0..DESCRIPTORS).map(|number| format!("/proc/self/fd/{number}"));
        let others = ["/proc/self/cwd", "/proc/self/root", "/proc/1/root", "/proc/1/cwd", "/proc/thread-self/cwd"];
        for place in numbers.chain(others.map(str::to_owned)) {
            for directory in [place.clone(), format!("{place}/{UP}"), format!("/srv/../{place}/etc")] {
                let refusal = match in_directory(&test, &directory, "root") {
                    Err(Stop::Failed(refusal)) => refusal,
                    Err(other) => return Err(other),
                    Ok((_, text)) => return Err(format!("{directory} was entered: {text}").into()),
                };
                check!(refusal.contains(&format!("go to {directory}")), "{refusal}");
            }
        }
        test.shell(&format!("ln -s /proc/self/fd/5/{UP} /srv/link"))?;
        check!(in_directory(&test, "/srv/link", "root").is_err(), "a link through a descriptor was followed");
        test.finish()?;
    }
    Ok(())
}

fn home() -> Outcome {
    let test = marked(Plan::busybox()?)?;
    for number in 0..DESCRIPTORS {
        for home in [format!("/proc/self/fd/{number}"), format!("/proc/self/fd/{number}/{UP}")] {
            let (_, text) = test.shell(&format!("echo root:x:0:0:root:{home}:/bin/sh > /etc/passwd"))?;
            let (code, text) = match test.run_inside(command(&format!("pwd; ls {UP}"))) {
                Ok(seen) => seen,
                Err(stop) => return Err(format!("{home}: {stop:?} {text}").into()),
            };
            check!(code == 0 && text.starts_with("/\n") && text.contains("mark-of-the-container"), "{home}: {text}");
        }
    }
    test.finish().map(drop)
}

fn plain_directory() -> Outcome {
    let test = marked(Plan::busybox()?)?;
    test.shell("ln -s /srv/deep /absolute; ln -s ../../../srv /tmp/relative; mkdir -m 755 /srv/open")?;
    for (directory, wanted) in [("/absolute", "/srv/deep"), ("/tmp/relative/deep/..", "/srv"), ("/../../srv", "/srv")] {
        let (code, text) = in_directory(&test, directory, "root")?;
        check!(code == 0 && text.starts_with(&format!("{wanted}\n")), "{directory}: {text}");
        check!(text.contains("mark-of-the-container"), "{text}");
    }
    check!(in_directory(&test, "/srv/open", "ann")?.1.starts_with("/srv/open\n"), "ann is not let in");
    check!(in_directory(&test, "/srv/deep", "ann").is_err(), "ann is let into a place of root");
    let missing = format!("{:?}", in_directory(&test, "/no/such/place", "root").err());
    check!(missing.contains("go to /no/such/place") && missing.contains("No such file"), "{missing}");
    test.finish().map(drop)
}

fn shell() -> Outcome {
    let test = marked(Plan::busybox()?)?;
    test.shell("ln -s /proc/self/exe /srv/shell; ln -s /proc/self/fd/5 /srv/other; cp /bin/sh /srv/good")?;
    for program in ["/proc/self/exe", "/srv/shell", "/srv/other", "/proc/self/fd/4", "/proc/1/exe"] {
        let mut order = command("");
        order.argv = vec![program.to_owned(), "--version".into()];
        let refusal = format!("{:?}", test.run_inside(order));
        // A descriptor that is closed already is not found; what is there is a link that nobody follows.
        let reasons = ["symbolic links", "No such file"];
        check!(refusal.contains("execute") && reasons.iter().any(|one| refusal.contains(one)), "{program}: {refusal}");
    }
    test.finish().map(drop)
}

fn first_process() -> Outcome {
    for init in [
        Init::Own { argv: vec!["/proc/self/exe".into(), "--version".into()], stop_signal: 15 },
        Init::Builtin { argv: vec!["/proc/self/exe".into(), "--version".into()] },
    ] {
        let mut plan = Plan::busybox()?;
        plan.init = init;
        let test = TestContainer::spawn(plan)?;
        test.client().create()?;
        let refusal = format!("{:?}", test.client().start());
        check!(refusal.contains("symbolic links"), "{refusal}");
        test.finish()?;
    }
    Ok(())
}

fn terminal() -> Outcome {
    let test = marked(Plan::busybox()?)?;
    let mut order = command("tty; test -t 0 && echo terminal");
    order.terminal = Some(WindowSize { rows: 24, columns: 80 });
    check!(test.run_inside(order.clone())?.1.contains("/dev/pts/"), "no terminal at all");
    let works = |trap: &str| -> Outcome {
        let told = format!("{:?}", test.run_inside(order.clone()));
        check!(told.contains("terminal\\r\\n"), "{trap}: {told}");
        Ok(())
    };
    let (code, text) = test.shell("mount --bind /etc/passwd /dev/pts/ptmx")?;
    check!(code == 0, "{text}");
    works("a file over ptmx")?;
    test.shell("mount -t tmpfs none /dev/pts")?;
    for trap in ["ln -s /proc/self/fd/3", "ln -s /etc/passwd", "touch", "mkfifo", "ln -s /dev/null"] {
        test.shell(&format!("rm -f /dev/pts/ptmx; {trap} /dev/pts/ptmx"))?;
        works(trap)?;
    }
    let (code, text) = test.shell("cat /etc/passwd")?;
    check!(code == 0 && text.starts_with("root:"), "{text}");
    test.finish().map(drop)
}

/// What the watchers could open or read of processes that are none of theirs. A process that has the entering program's name
/// before and after it was looked at had not become the container's yet.
const WATCHER: &str = r#"
while :; do
  for process in /proc/[0-9]*; do
    for link in $process/fd/* $process/cwd $process/root $process/exe; do
      target=$(readlink "$link" 2>/dev/null) || continue
      case "$target" in
        *berth*|*socket:*|*unreachable*|*deleted*|*pidfd*|*stage*|*upper*) echo "$link -> $target" >> /seen ;;
      esac
    done
    for file in mem maps syscall; do
      read -r before < $process/comm || continue
      case "$before" in berth*) ;; *) continue ;; esac
      case $file in mem) { : < $process/mem; } ;; *) read -r line < $process/$file ;; esac || continue
      read -r after < $process/comm && [ "$after" = "$before" ] && echo "$process/$file of $after" >> /seen
    done
  done
done
"#;

fn watcher() -> Outcome {
    let test = marked(Plan::busybox()?)?;
    test.shell(&format!("cat > /watcher <<'END'\n{WATCHER}\nEND\ntouch /seen"))?;
    test.shell("for i in 1 2; do sh /watcher >/dev/null 2>&1 </dev/null & done")?;
    let begun = Instant::now();
    let mut entered = 0;
    while begun.elapsed() < Duration::from_secs(5) || entered < 60 {
        let mut order = command("true");
        order.terminal = (entered % 2 == 1).then_some(WindowSize { rows: 24, columns: 80 });
        order.directory = Some("/srv".into());
        test.run_inside(order)?;
        entered += 1;
    }
    let (_, seen) = test.shell("cat /seen")?;
    check!(seen.is_empty(), "after {entered} entries: {seen}");
    test.finish().map(drop)
}

/// A setting of the host, put back at the end.
struct Setting(&'static str, String);

impl Setting {
    fn put(path: &'static str, value: &str) -> Result<Self, Stop> {
        let before = Self(path, std::fs::read_to_string(path)?);
        std::fs::write(path, value)?;
        Ok(before)
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        let _ = std::fs::write(self.0, &self.1);
    }
}

/// There the kernel opens /proc of whoever changes its ids or its user namespace.
fn watcher_of_what_changed() -> Outcome {
    let _opened = Setting::put("/proc/sys/fs/suid_dumpable", "1")?;
    watcher()
}

fn streams() -> Outcome {
    let test = marked(Plan::busybox()?)?;
    for user in ["root", "ann"] {
        let mut order = command("echo out > /dev/stdout; echo err > /dev/stderr; cat < /dev/stdin; echo read");
        user.clone_into(&mut order.user);
        let (code, text) = test.run_inside(order)?;
        check!(
            code == 0 && text.contains("out\n") && text.contains("err\n") && text.contains("read"),
            "{user}: {text}"
        );
    }
    test.finish().map(drop)
}

/// What root inside does to its own root, and what is told at the next start; nothing = it is as it was.
const ODD_ROOTS: &[(&str, &str)] = &[
    ("rm -r /etc; ln -s /proc/1/root/x /etc", "/etc/hostname was not written"),
    ("rm -r /etc; ln -s /proc/self/fd/5 /etc", "/etc/hostname was not written"),
    ("rm -r /etc; ln -s /nowhere /etc", "/etc/hostname was not written"),
    ("rm -r /etc; ln -s etc /etc", "/etc/hostname was not written"),
    ("rm -r /etc; echo > /etc", "/etc/hostname was not written"),
    ("rm -r /etc; mkfifo /etc", "/etc/hostname was not written"),
    ("rm -r /etc", ""),
    ("chmod 0 /etc /", ""),
    ("rm /etc/hostname; mkdir -p /etc/hostname/full/of", ""),
    ("rm /etc/hosts; mkfifo /etc/hosts; ln -sf /proc/self/fd/5 /etc/hostname", ""),
    ("ln -sf /dev/zero /etc/hostname; truncate -s 1T /etc/hosts", ""),
    ("rm /etc/resolv.conf; mkfifo /etc/resolv.conf", ""),
    ("mkdir -p /etc/.hosts.berth/x; rm /etc/hosts", ""),
    ("umount -l /run; rm -rf /run; echo > /run", "/run was no directory; what stood there is now /run.aside-1"),
    ("umount -l /sys; rm -rf /sys; ln -s proc /sys; : > /sys.aside-1", "what stood there is now /sys.aside-2"),
    ("umount -l /proc; rm -rf /proc; mkfifo /proc", "/proc was no directory"),
    (
        "for n in $(seq 1 1000); do ln /etc/passwd /run.aside-$n; done; umount -l /run; rm -rf /run; ln -s tmp /run",
        "what stood there is now /run.aside-",
    ),
];

fn odd_root() -> Outcome {
    for (act, wanted) in ODD_ROOTS {
        let test = marked(Plan::busybox()?)?;
        let (_, text) = test.shell(&format!("cd /; {act}"))?;
        let (directory, spec) = (test.directory.clone(), test.spec.clone());
        test.finish()?;
        let test = TestContainer::spawn_spec(directory, spec)?;
        let created = test.client().create().map_err(|error| format!("{act} ({text}): {error}"))?;
        test.client().start().map_err(|error| format!("{act} ({text}): {error}"))?;
        let told = created.prepared.warnings.join("; ");
        check!(told.contains(wanted) && told.is_empty() == wanted.is_empty(), "{act} ({text}): {told:?}");
        let (code, text) = test.shell("hostname; ls /mark-of-the-container /proc/self/stat /dev/null")?;
        check!(code == 0 && text.contains("mark-of-the-container"), "{act}: {text}");
        test.finish()?;
    }
    Ok(())
}

fn accounts() -> Outcome {
    let test = marked(Plan::busybox()?)?;
    for trap in [
        "ln -s /dev/zero $file",
        "ln -s /dev/tty $file",
        "mkfifo $file",
        "mkdir $file",
        "ln -s /proc/kmsg $file",
        "ln -s $file $file",
        "yes root:x:0:0:root:/root:/bin/sh | head -c 100m > $file",
        "truncate -s 1T $file",
    ] {
        let line = format!("for file in /etc/passwd /etc/group; do rm -rf $file; {trap}; done");
        let (_, made) = test.shell(&line)?;
        let begun = Instant::now();
        let (code, text) = test.shell("echo in")?;
        check!(code == 0 && text == "in\n", "{trap} ({made}): {text}");
        check!(begun.elapsed() < crate::fixture::PATIENCE / 4, "{trap} took {:?}", begun.elapsed());
        // Not by id(1), which would read those files itself.
        let mut order = command("grep -c 'Uid:.12345.12345' /proc/self/status");
        order.user = "12345:678".into();
        check!(test.run_inside(order)?.1 == "1\n", "{trap}: a number is not found");
    }
    test.finish().map(drop)
}
