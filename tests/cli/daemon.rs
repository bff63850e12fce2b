//! A daemon of a test's own, with state, keys and a small root file system, and nothing left of it afterwards.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const BERTH: &str = env!("CARGO_BIN_EXE_berth");
const PATIENCE: Duration = Duration::from_mins(2);

/// Is what a command printed and how it ended.
#[derive(Debug)]
pub struct Said {
    pub text: String,
    pub code: i32,
}

/// Is a running daemon.
pub struct Daemon {
    home: tempfile::TempDir,
    child: Option<Child>,
}

impl Daemon {
    /// Starts one and waits until it listens.
    pub fn start() -> Self {
        let home = tempfile::Builder::new().prefix("berth-cli.").tempdir().unwrap();
        rootfs(&home.path().join("rootfs"));
        for name in ["state", "keys", "out"] {
            fs::create_dir(home.path().join(name)).unwrap();
        }
        let mut daemon = Self { home, child: None };
        daemon.spawn();
        daemon
    }

    fn spawn(&mut self) {
        let home = self.home.path();
        let log = fs::File::create(home.join("log")).unwrap();
        let mut command = Command::new(BERTH);
        command.arg("daemon").arg("--state").arg(home.join("state")).arg("--key-dir").arg(home.join("keys"));
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.child = Some(child);
        self.wait_until_it_listens();
    }

    fn wait_until_it_listens(&mut self) {
        let began = Instant::now();
        while !self.listens() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(ended.is_none(), "the daemon ended: {ended:?}\n{}", self.log());
            assert!(began.elapsed() < PATIENCE, "the daemon does not listen\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn listens(&self) -> bool {
        let text = fs::read_to_string(self.home.path().join("state/instance.json")).unwrap_or_default();
        let instance: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        instance["socket"].as_str().is_some_and(|socket| UnixStream::connect(socket).is_ok())
    }

    /// Runs a command line for this daemon.
    pub fn berth(&self, words: &[String]) -> Said {
        let words = words.iter().map(|word| self.filled_in(word));
        let mut command = Command::new(BERTH);
        command.args(words).env("BERTH_STATE", self.home.path().join("state")).env("TZ", "UTC").env("NO_COLOR", "1");
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        Said { text: self.emptied(&text), code: output.status.code().unwrap_or(-1) }
    }

    fn places(&self) -> [(&'static str, PathBuf); 3] {
        let home = self.home.path();
        [("{ROOTFS}", home.join("rootfs")), ("{STORE}", home.join("store")), ("{OUT}", home.join("out"))]
    }

    fn filled_in(&self, word: &str) -> String {
        self.places().iter().fold(word.to_owned(), |text, (mark, path)| text.replace(mark, path.to_str().unwrap()))
    }

    fn emptied(&self, text: &str) -> String {
        self.places().iter().fold(text.to_owned(), |text, (mark, path)| text.replace(path.to_str().unwrap(), mark))
    }

    /// Ends the daemon in order.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if began.elapsed() > PATIENCE {
                let _ = child.kill();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns what the daemon printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// Takes away what outlives a daemon: containers and networks.
    fn purge(&self) {
        let listed = self.berth(&["ps".to_owned(), "-o".to_owned(), "name".to_owned()]);
        for name in listed.text.lines().filter(|_| listed.code == 0) {
            for words in
                [&["stop", name, "--kill"][..], &["container", "delete", name], &["container", "purge", name, "-y"]]
            {
                self.berth(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
            }
        }
        self.berth(&["network", "delete", "default", "-y"].map(str::to_owned));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() && self.child.is_none() {
            return; // a second panic would end the process without a word
        }
        if self.child.is_none() {
            self.spawn();
        }
        self.purge();
        self.stop();
    }
}

/// Makes a small system of busybox: enough to boot, to run commands, and to be backed up.
fn rootfs(root: &Path) {
    for name in ["bin", "sbin", "etc", "proc", "sys", "dev", "run", "tmp", "root"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for applet in ["sh", "cat", "echo", "ls", "true", "false", "sleep", "mkdir", "id", "hostname", "ps"] {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    symlink("../bin/busybox", root.join("sbin/init")).unwrap();
    fs::write(root.join("etc/inittab"), "::wait:/bin/true\n").unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
    fs::write(root.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
    fs::write(root.join("etc/os-release"), "PRETTY_NAME=\"Busybox test\"\n").unwrap();
    fs::write(root.join("etc/motd"), "hello\n").unwrap();
}
