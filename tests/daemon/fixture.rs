//! A daemon with a place of its own, its command line and its API.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value;

use crate::check;
use crate::harness::{Outcome, PROGRAM, Stop, remains, roots, scratch};

/// How long anything may take before it counts as hanging: four times the longest grace that Berth itself gives an init, for
/// this machine may be busy with other things.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// What a command line answered.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Answer {
    pub fn json(&self) -> Result<Value, Stop> {
        serde_json::from_str(&self.out).map_err(|error| Stop::Failed(format!("{error}: {self:?}")))
    }

    /// Returns the code word in brackets that every error ends with.
    pub fn word(&self) -> &str {
        let line = self.err.lines().find(|line| line.starts_with("error:")).unwrap_or_default();
        line.rsplit_once('[').map_or("", |(_, rest)| rest.trim_end_matches(']'))
    }
}

/// What the API answered.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub body: Value,
}

/// Speaks to the daemon of a state directory, whichever it is; may be shared by threads.
#[derive(Debug, Clone)]
pub struct Api {
    pub state: PathBuf,
}

impl Api {
    /// Asks once.
    ///
    /// # Errors
    /// There is no daemon, or it went away before it answered.
    pub fn ask(&self, method: &str, path: &str, key: Option<&str>, body: Option<&Value>) -> io::Result<Reply> {
        let told = berth::api::client::Instance::load(&self.state).map_err(io::Error::other)?;
        let mut stream = UnixStream::connect(told.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let key = key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: berth\r\nconnection: close\r\n{key}");
        let length = body.len();
        write!(stream, "{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        parse_reply(&text)
    }

    pub fn get(&self, path: &str) -> io::Result<Reply> {
        self.ask("GET", path, None, None)
    }

    /// Returns the items of a list.
    pub fn items(&self, path: &str) -> Result<Vec<Value>, Stop> {
        let reply = self.get(path)?;
        let items = reply.body["items"].as_array().cloned();
        items.ok_or_else(|| Stop::Failed(format!("GET {path}: {reply:?}")))
    }
}

fn parse_reply(text: &str) -> io::Result<Reply> {
    let broken = || io::Error::new(io::ErrorKind::UnexpectedEof, "the answer is not whole");
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(broken)?;
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    if length.is_some_and(|length: usize| length != body.len()) {
        return Err(broken());
    }
    Ok(Reply { status, body: serde_json::from_str(body).unwrap_or(Value::Null) })
}

/// A daemon with a place of its own; ended and swept away when dropped.
pub struct Node {
    pub place: PathBuf,
    pub program: PathBuf,
    /// Words before the daemon's own, such as `unshare -m`.
    pub wrapper: Vec<String>,
    /// Words before the command line's own.
    pub client_wrapper: Vec<String>,
    pub daemon: Option<Child>,
    known: String,
    finished: bool,
}

impl Node {
    /// Makes the place; no daemon runs yet.
    pub fn new(name: &str) -> Result<Self, Stop> {
        let place = scratch().join(name);
        fs::create_dir_all(&place)?;
        let program = PathBuf::from(PROGRAM);
        Ok(Self {
            place,
            program,
            wrapper: vec![],
            client_wrapper: vec![],
            daemon: None,
            known: String::new(),
            finished: false,
        })
    }

    /// Makes the place and starts the daemon.
    pub fn begin(name: &str) -> Result<Self, Stop> {
        let mut node = Self::new(name)?;
        node.start()?;
        Ok(node)
    }

    pub fn state(&self) -> PathBuf {
        self.place.join("state")
    }

    pub fn api(&self) -> Api {
        Api { state: self.state() }
    }

    /// Returns the daemon's command, which appends what it says to the place's log.
    pub fn command(&self) -> Command {
        let mut words: Vec<String> = self.wrapper.clone();
        words.push(self.program.to_string_lossy().into_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["daemon", "--key-dir"]).arg(self.place.join("keys"));
        command.env("BERTH_STATE", self.state()).env_remove("XDG_RUNTIME_DIR").stdin(Stdio::null());
        command
    }

    /// Starts the daemon and waits until its API answers.
    pub fn start(&mut self) -> Outcome {
        self.start_with(|_| Ok(()))
    }

    /// Does the same, with changes to how the daemon is begun.
    pub fn start_with(&mut self, adjust: impl FnOnce(&mut Command) -> Outcome) -> Outcome {
        let words = fs::File::options().create(true).append(true).open(self.place.join("daemon.log"))?;
        let mut command = self.command();
        adjust(&mut command)?;
        let child = command.stdout(Stdio::null()).stderr(words).spawn()?;
        let pid = child.id();
        self.daemon = Some(child);
        let begun = Instant::now();
        while !self.answers(pid) {
            if let Some(status) = self.daemon.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                self.daemon = None;
                return Err(Stop::Failed(format!("the daemon ended with {status}: {}", self.words())));
            }
            check!(begun.elapsed() < PATIENCE, "the daemon does not answer: {}", self.words());
            thread::sleep(Duration::from_millis(5));
        }
        self.known = self.instance();
        remains::remember(&self.known);
        Ok(())
    }

    /// Says whether this very daemon answers, not an earlier one's file.
    fn answers(&self, pid: u32) -> bool {
        let told = berth::api::client::Instance::load(&self.state());
        told.is_ok_and(|told| told.pid == pid) && self.api().get("/v1/node").is_ok_and(|reply| reply.status == 200)
    }

    /// Returns the last of what the daemon said.
    pub fn words(&self) -> String {
        let text = fs::read_to_string(self.place.join("daemon.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    pub fn instance(&self) -> String {
        let told = fs::read(self.state().join("node")).unwrap_or_default();
        let told: Value = serde_json::from_slice(&told).unwrap_or_default();
        told["instance"].as_str().unwrap_or_default().to_owned()
    }

    /// Ends the daemon without a warning.
    pub fn kill(&mut self) -> Outcome {
        if let Some(mut child) = self.daemon.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Ends the daemon in order.
    pub fn stop(&mut self) -> Outcome {
        let Some(mut child) = self.daemon.take() else { return Ok(()) };
        berth::sys::process::kill(child.id() as i32, 15)?;
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                check!(status.success(), "the daemon ended with {status}: {}", self.words());
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Stop::Failed(format!("the daemon does not end: {}", self.words())));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns a command line that runs beside the test.
    pub fn beside(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("BERTH_STATE", self.state());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs a command line to its end, at most as long as anything may take.
    pub fn berth(&self, arguments: &[&str]) -> Result<Answer, Stop> {
        let mut words = self.client_wrapper.clone();
        words.push(self.program.to_string_lossy().into_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(arguments).env("BERTH_STATE", self.state());
        run_within(&mut command, PATIENCE)
    }

    /// Runs a command line that has to work.
    pub fn must(&self, arguments: &[&str]) -> Result<Answer, Stop> {
        let answer = self.berth(arguments)?;
        check!(answer.code == 0, "berth {}: {answer:?}\n{}", arguments.join(" "), self.words());
        Ok(answer)
    }

    /// Runs a command line that has to be refused with that exit code and code word.
    pub fn refused(&self, arguments: &[&str], code: i32, word: &str) -> Result<Answer, Stop> {
        let answer = self.berth(arguments)?;
        let fits = answer.code == code && answer.word() == word;
        check!(fits, "berth {}: not refused with {code} [{word}]: {answer:?}", arguments.join(" "));
        Ok(answer)
    }

    /// Returns the row of a container.
    pub fn container(&self, name: &str) -> Result<Value, Stop> {
        let reply = self.api().get(&format!("/v1/containers/{name}"))?;
        check!(reply.status == 200, "{name}: {reply:?}");
        Ok(reply.body)
    }

    /// Waits until a container's row is as wanted.
    pub fn wait_for(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value, Stop> {
        let begun = Instant::now();
        loop {
            let row = self.container(name)?;
            if wanted(&row) {
                return Ok(row);
            }
            check!(begun.elapsed() < PATIENCE, "{name} does not become as wanted: {row:#}\n{}", self.words());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until no operation is open.
    pub fn settle(&self) -> Outcome {
        let begun = Instant::now();
        loop {
            let open = self.api().items("/v1/operations?open=true")?;
            if open.is_empty() {
                return Ok(());
            }
            check!(begun.elapsed() < PATIENCE, "operations do not end: {open:#?}\n{}", self.words());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Makes the template `bb` of busybox.
    pub fn template(&self) -> Outcome {
        let root = roots::busybox()?;
        self.must(&["template", "create", "bb", "--from-dir", &root.to_string_lossy()]).map(drop)
    }

    /// Makes a small container and starts it.
    pub fn running(&self, name: &str, more: &[&str]) -> Outcome {
        let words = ["container", "create", name, "--template", "bb", "--disk", "32M", "--start"];
        self.must(&[words.as_slice(), more].concat()).map(drop)
    }

    /// Removes everything as a user would, ends the daemon, and looks that nothing is left.
    pub fn finish(mut self) -> Outcome {
        self.settle()?;
        for row in self.api().items("/v1/containers")? {
            let name = row["id"].as_str().unwrap_or_default().to_owned();
            if row["init"] != Value::Null {
                self.must(&["container", "stop", &name, "--kill"])?;
            }
            self.must(&["container", "delete", &name])?;
        }
        for row in self.api().items("/v1/containers?all=true")? {
            if row["state"] == "deleted" {
                self.must(&["container", "purge", row["id"].as_str().unwrap_or_default(), "-y"])?;
            }
        }
        for row in self.api().items("/v1/networks")? {
            self.must(&["network", "delete", row["name"].as_str().unwrap_or_default()])?;
        }
        self.stop()?;
        let left = self.left();
        check!(left.is_empty(), "left behind: {left:#?}");
        self.finished = true;
        Ok(())
    }

    /// Names what is left of this node in the kernel; waits a moment, since the kernel lets go by and by.
    pub fn left(&self) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let mut left = remains::of(&self.instance());
            left.extend(remains::loops(&self.place.to_string_lossy()));
            if left.is_empty() || begun.elapsed() > PATIENCE {
                return left;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A state directory on a file system of its own may be gone by now.
        let instance = self.known.clone();
        let _ = self.kill();
        if !self.finished {
            remains::sweep(&instance);
            for (pid, _) in remains::processes(&self.place.to_string_lossy()) {
                remains::kill(pid);
            }
        }
        if instance.len() == 8 {
            let _ = fs::remove_dir_all(Path::new("/run/berth").join(&instance));
        }
        if std::env::var_os("BERTH_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.place);
        }
    }
}

/// Runs a program; one that takes too long is killed, which is a failure.
pub fn run_within(command: &mut Command, patience: Duration) -> Result<Answer, Stop> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (out, err) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begun.elapsed() > patience {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Stop::Failed(format!("{command:?} hangs")));
        }
        thread::sleep(Duration::from_millis(2));
    };
    let read = |text: thread::JoinHandle<String>| text.join().unwrap_or_default();
    Ok(Answer { code: status.code().unwrap_or(-1), out: read(out), err: read(err) })
}

fn drain(pipe: Option<impl io::Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
