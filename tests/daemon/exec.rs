//! `exec` from the command line: what goes through it, how long it may be, and how it ends.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use berth::sys::{descriptor, process, signal};
use serde_json::Value;

use crate::check;
use crate::fixture::{Node, PATIENCE, run_within};
use crate::harness::{Outcome, Stop, Test, need};

pub const TESTS: &[Test] = &[
    ("nothing is lost through ends that do not wait, a slow reader and a late writer", streams),
    ("what is left behind and prints for ever keeps no client, and nothing of the command's is lost", left_behind),
    ("a command takes as many arguments as the kernel does", arguments),
    ("a terminal whose input is a file shows it once and ends with it", file_as_terminal),
    ("when nobody reads any more, a client ends and what it ran does, with a terminal and without", unread),
    ("a command whose client is killed is hung up on, or its session goes on", killed),
    (
        "a client that is told to end does so: with its command if that can hear, else when it is told again",
        told_to_end,
    ),
    ("a full process limit is named", process_limit),
    ("from the command's word on everything is the command's", words),
];

const PLAIN: &[&str] = &["--disk-kind", "directory"];
const MANY: usize = 8 << 20;

fn node(name: &str) -> Result<Node, Stop> {
    let node = Node::begin(name)?;
    node.template()?;
    node.running("c1", PLAIN)?;
    Ok(node)
}

fn exec(node: &Node, words: &[&str]) -> Command {
    let mut command = Command::new(&node.program);
    command.arg("exec").args(words).env("BERTH_STATE", node.state());
    command
}

/// Waits for the end, at most as long as anything may take.
fn end_of(mut child: Child) -> Result<i32, Stop> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code().unwrap_or(-1));
        }
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Err("exec does not end".into());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn streams() -> Outcome {
    need(&["start-containers"])?;
    let node = node("exec-streams")?;
    let sent: Vec<u8> = (0..MANY).map(|number| (number / 3 % 251) as u8).collect();
    for out in ["1", "2"] {
        let (input, writer) = descriptor::pipe()?;
        let (reader, output) = descriptor::pipe()?;
        descriptor::set_nonblocking(&input)?;
        descriptor::set_nonblocking(&output)?;
        let mut command = exec(&node, &["-T", "c1", "sh", "-c", &format!("cat >&{out}")]);
        command.stdin(input);
        if out == "1" {
            command.stdout(output).stderr(Stdio::null())
        } else {
            command.stdout(Stdio::null()).stderr(output)
        };
        let child = command.spawn()?;
        drop(command); // it holds the ends
        let (late, bytes) = (File::from(writer), sent.clone());
        let writing = thread::spawn(move || {
            thread::sleep(Duration::from_millis(500));
            (&late).write_all(&bytes)
        });
        let received = read_slowly(File::from(reader))?;
        check!(writing.join().is_ok_and(|written| written.is_ok()), "not all was taken");
        check!(end_of(child)? == 0, "cat failed");
        check!(received == sent, "{} of {MANY} bytes came back", received.len());
    }
    node.finish()
}

/// Reads with rests, so that the writer has to wait more than once.
fn read_slowly(mut from: impl io::Read) -> Result<Vec<u8>, Stop> {
    let (mut all, mut piece) = (Vec::new(), vec![0; 256 * 1024]);
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(all),
            length => all.extend_from_slice(&piece[..length]),
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn left_behind() -> Outcome {
    need(&["start-containers"])?;
    let node = node("exec-left-behind")?;
    let printing = ["setsid yes", "setsid sh -c 'while :; do echo; sleep 0.01; done'"];
    // A reader that is never in the way: something can be read at any moment.
    for left in printing {
        let mut command = exec(&node, &["-t", "c1", "sh", "-c", &format!("trap '' HUP; {left} & sleep 0.1; exit 7")]);
        let code = end_of(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?)?;
        check!(code == 7, "{left}: {code}");
    }
    for (streams, end_of_line) in [("-t", "\r\n"), ("-T", "\n")] {
        for left in printing {
            let line = format!("trap '' HUP; seq 100000; {left} & sleep 0.1; exit 7");
            let mut command = exec(&node, &[streams, "c1", "sh", "-c", &line]);
            let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
            let out = child.stdout.take().ok_or("no output")?;
            let reading = thread::spawn(move || read_slowly(out));
            let code = end_of(child)?;
            check!(code == 7, "{streams}, {left}: {code}");
            let out = reading.join().map_err(|_| "no output")??;
            let own = (1..=100_000).map(|number| number.to_string()).collect::<Vec<_>>().join(end_of_line);
            check!(out.starts_with(own.as_bytes()), "{streams}, {left}: {} bytes came", out.len());
        }
    }
    node.finish()
}

fn arguments() -> Outcome {
    need(&["start-containers"])?;
    let node = node("exec-arguments")?;
    for (count, length) in [(18_000, 5), (3_000, 600), (14, 130_000)] {
        let word = "x".repeat(length);
        let mut command = exec(&node, &["c1", "sh", "-c", "echo $# $(echo \"$@\" | wc -c)", "sh"]);
        command.args(std::iter::repeat_n(&word, count));
        let told = run_within(&mut command, PATIENCE)?;
        check!(
            told.out.trim() == format!("{count} {}", count * (length + 1)),
            "{count} times {length}: {}",
            shown(&told.err, &told.out)
        );
    }
    // The record keeps the first words and says how many there were.
    let history = node.must(&["event", "list", "--all", "-o", "json"]);
    let text = history.map(|answer| answer.out).unwrap_or_default();
    check!(text.len() < 1 << 20, "the record has {} bytes", text.len());
    // More than the kernel takes for a program: said, not broken.
    let long = serde_json::json!({
        "argv": ["echo", "x".repeat(200_000)], "environment": [], "user": null, "directory": null, "terminal": null,
    });
    let ticket = node.api().ask("POST", "/v1/containers/c1/sessions", None, Some(&long))?;
    check!(ticket.status == 201, "{ticket:?}");
    let socket = ticket.body["socket"].as_str().unwrap_or_default().to_owned();
    let refused = berth::shim::attach::attach(socket.as_ref(), ticket.body["token"].as_str().unwrap_or_default());
    let told = refused.err().map(|error| error.to_string()).unwrap_or_default();
    check!(told.contains("execute echo: Argument list too long"), "{told:?}");
    node.finish()
}

fn shown(err: &str, out: &str) -> String {
    let cut = |text: &str| text.chars().take(300).collect::<String>();
    format!("{:?} {:?}", cut(err), cut(out))
}

fn file_as_terminal() -> Outcome {
    need(&["start-containers"])?;
    let node = node("exec-file")?;
    for (text, shown) in [("web1\n", "web1\r\n"), ("no end", "no end"), ("", ""), ("a\n\nb", "a\r\n\r\nb")] {
        let file = node.place.join("input");
        fs::write(&file, text)?;
        let mut command = exec(&node, &["-t", "c1", "tee", "/dev/null"]);
        let mut child = command.stdin(File::open(&file)?).stdout(Stdio::piped()).spawn()?;
        let mut out = child.stdout.take().ok_or("no output")?;
        let reading = thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).map(|_| text)
        });
        check!(end_of(child)? == 0, "tee failed for {text:?}");
        let out = reading.join().map_err(|_| "no output")??;
        check!(out == shown, "{text:?} gave {out:?}");
    }
    // A program that flushes what was typed before it began does not wait for ever.
    let mut command = exec(&node, &["-t", "c1", "sh", "-c", "sleep 1; stty -icanon; stty icanon; cat"]);
    check!(end_of(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?)? == 0, "cat failed");
    node.finish()
}

fn sessions(node: &Node) -> Result<Vec<Value>, Stop> {
    node.api().items("/v1/containers/c1/sessions")
}

fn wait_until(what: &str, is_so: &mut dyn FnMut() -> Result<bool, Stop>) -> Outcome {
    let begun = Instant::now();
    while !is_so()? {
        check!(begun.elapsed() < PATIENCE, "{what}: not so in time");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn unread() -> Outcome {
    need(&["start-containers"])?;
    let node = node("exec-unread")?;
    let broken = 128 + signal::PIPE;
    // Input without an end into a terminal, one that only prints, one that is deaf to the hang-up; then pipes.
    let cases: [&[&str]; 5] = [
        &["exec", "-t", "c1", "--", "sh"],
        &["exec", "-t", "c1", "--", "yes"],
        &["exec", "-t", "c1", "--", "sh", "-c", "trap '' HUP; yes"],
        &["exec", "-T", "c1", "--", "yes"],
        &["enter", "c1", "--shell", "/bin/sh"],
    ];
    for words in cases {
        let mut command = Command::new(&node.program);
        command.args(words).env("BERTH_STATE", node.state());
        let mut typing = Command::new("yes").arg("echo hello").stdout(Stdio::piped()).spawn()?;
        let typed = typing.stdout.take().ok_or("no input")?;
        let mut child = command.stdin(typed).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        drop(command); // it holds the ends
        let mut piece = [0; 100];
        child.stdout.take().ok_or("no output")?.read_exact(&mut piece)?;
        let code = end_of(child);
        typing.kill()?;
        typing.wait()?;
        check!(matches!(code, Ok(code) if code == broken), "{words:?}: {code:?}");
    }
    node.berth(&["exec", "c1", "--", "pkill", "-9", "yes"])?;
    wait_until("the ends are recorded", &mut || Ok(sessions(&node)?.iter().all(|row| !row["closed_at"].is_null())))?;
    check!(sessions(&node)?.iter().any(|row| row["code"] == 129), "none was hung up on: {:?}", sessions(&node)?);
    node.finish()
}

fn killed() -> Outcome {
    need(&["start-containers"])?;
    let node = node("exec-killed")?;
    let begin = |line: &str| -> Result<Child, Stop> {
        let mut command = exec(&node, &["c1", "sh", "-c", line]);
        Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?)
    };
    let runs = || Ok::<_, Stop>(node.berth(&["exec", "c1", "sh", "-c", "kill -0 $(cat /tmp/pid)"])?.code == 0);
    let mut client = begin("echo $$ >/tmp/pid; exec sleep 4711")?;
    wait_until("the command runs", &mut || runs())?;
    client.kill()?;
    client.wait()?;
    wait_until("the command is over", &mut || Ok(!runs()?))?;
    wait_until("the end is recorded", &mut || Ok(sessions(&node)?.iter().any(|row| row["code"] == 129)))?;
    // One that does not listen to a hang-up has an open session for as long as it lives.
    let mut client = begin("trap '' HUP; echo $$ >/tmp/pid; exec sleep 4712")?;
    wait_until("the command runs", &mut || runs())?;
    client.kill()?;
    client.wait()?;
    thread::sleep(Duration::from_millis(500));
    let open = |rows: Vec<Value>| rows.iter().filter(|row| row["closed_at"].is_null()).count();
    check!(open(sessions(&node)?) >= 1, "the session is closed while its command lives");
    node.must(&["exec", "c1", "sh", "-c", "kill $(cat /tmp/pid)"])?;
    wait_until("the end is recorded", &mut || Ok(open(sessions(&node)?) == 0))?;
    node.finish()
}

fn told_to_end() -> Outcome {
    need(&["start-containers"])?;
    let node = node("exec-told-to-end")?;
    let begin = |line: &str| -> Result<Child, Stop> {
        let mut command = exec(&node, &["c1", "sh", "-c", line]);
        let client = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let is_there = || Ok::<_, Stop>(node.berth(&["exec", "c1", "rm", "/tmp/there"])?.code == 0);
        wait_until("the command runs", &mut || is_there())?;
        Ok(client)
    };
    let tell = |client: &Child| process::kill(client.id() as i32, signal::TERMINATE);
    // One that is stopped hears of it.
    let client = begin("touch /tmp/there; kill -STOP $$")?;
    tell(&client)?;
    let code = end_of(client)?;
    check!(code == 128 + signal::TERMINATE, "{code}");
    // One that does not listen is waited for. Two that come at once are one: timeout(1) tells its command and its group.
    let mut client = begin("trap '' TERM HUP; echo $$ >/tmp/pid; touch /tmp/there; exec sleep 4713")?;
    tell(&client)?;
    thread::sleep(Duration::from_millis(300));
    tell(&client)?;
    thread::sleep(Duration::from_millis(1200));
    check!(client.try_wait()?.is_none(), "it does not wait for its command");
    tell(&client)?;
    let mut words = client.stderr.take().ok_or("no stderr")?;
    let code = end_of(client)?;
    let mut told = String::new();
    words.read_to_string(&mut told)?;
    check!(code == 1 && told.contains("told to end and has not"), "{code} {told}");
    let open = |rows: Vec<Value>| rows.iter().filter(|row| row["closed_at"].is_null()).count();
    check!(open(sessions(&node)?) == 1, "its session is closed");
    node.must(&["exec", "c1", "sh", "-c", "kill -9 $(cat /tmp/pid)"])?;
    wait_until("the end is recorded", &mut || Ok(open(sessions(&node)?) == 0))?;
    check!(sessions(&node)?.iter().any(|row| row["code"] == 137), "{:?}", sessions(&node)?);
    node.finish()
}

fn process_limit() -> Outcome {
    need(&["start-containers"])?;
    let node = Node::begin("exec-limit")?;
    node.template()?;
    node.running("c1", PLAIN)?;
    // The limit comes when there are more already: nothing that is just ending can make room.
    node.must(&["exec", "c1", "sh", "-c", "for n in $(seq 30); do sleep 1000 >/dev/null 2>&1 & done"])?;
    node.must(&["container", "set", "c1", "--pids", "20"])?;
    let told = node.berth(&["exec", "c1", "true"])?;
    check!(told.code == 126, "{told:?}");
    check!(told.err.contains("the container's limit of 20 processes is reached"), "{told:?}");
    check!(told.err.contains("berth container set c1 --pids"), "{told:?}");
    node.finish()
}

fn words() -> Outcome {
    need(&["start-containers"])?;
    let node = node("exec-words")?;
    let out = |words: &[&str]| Ok::<_, Stop>(node.must(&[&["exec"], words].concat())?.out);
    check!(out(&["c1", "ls", "-d", "/etc"])?.trim() == "/etc", "ls");
    check!(out(&["--user", "root", "c1", "echo", "-x", "--help", "--", "-y"])? == "-x --help -- -y\n", "echo");
    check!(out(&["c1", "--dir", "/etc", "pwd"])? == "/etc\n", "options between name and command");
    check!(out(&["c1", "--", "echo", "-o", "json"])? == "-o json\n", "after --");
    node.refused(&["exec", "c1", "--usr", "root", "id"], 2, "usage.option")?;
    node.finish()
}
