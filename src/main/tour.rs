//! `berth tour`: the main job on real parts, in a throw-away state directory, in about a minute: a schedule is waited for.
//!
//! Every step runs the very command that a user would type, by starting this program again, and checks what came of it.
//! Ctrl-C, a closed terminal and a closed output end it early, and everything is removed all the same.
//! On a machine that cannot start containers the rest is done on stopped ones, and the last lines say what was left out.

use std::cell::RefCell;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use berth::effects::clock::SystemClock;
use berth::types::{Clock, Timestamp};
use serde_json::Value;

use crate::stage::{Interrupts, count, find, json, quoted, say, say_some, text, title};

/// How long the schedule may take to fire and its backups to end.
const SCHEDULE_PATIENCE: Duration = Duration::from_secs(150);
/// How long the daemon may take to come up or to go.
const DAEMON_PATIENCE: Duration = Duration::from_secs(30);
/// Whether the machine can start containers, as `berth doctor` names it.
const FEATURE_START: &str = "start-containers";

/// What a container runs that has no init: it waits, and works everywhere.
const COMMAND: &[&str] = &["--", "tail", "-f", "/dev/null"];

type Step = Result<(), String>;

/// Runs the tour.
pub(crate) fn run(keep: bool) -> ExitCode {
    let mut guide = match Guide::begin(keep) {
        Ok(guide) => guide,
        Err(reason) => {
            let _ = writeln!(std::io::stderr(), "error: the tour cannot begin: {reason}");
            return ExitCode::FAILURE;
        }
    };
    let told = guide.all();
    guide.is_over = true;
    let cleared = guide.clear();
    match told.and(cleared) {
        Ok(()) => guide.farewell(),
        Err(reason) => {
            // Written by hand: a panic here would leave everything behind.
            let _ = writeln!(std::io::stderr(), "\nThe tour ended early: {reason}");
            ExitCode::FAILURE
        }
    }
}

struct Guide {
    program: PathBuf,
    place: PathBuf,
    daemon: Option<Child>,
    can_start: bool,
    /// What the containers run, where the system has no init.
    command: &'static [&'static str],
    left_out: Vec<String>,
    made: bool,
    keep: bool,
    begun: Instant,
    before_damage: Timestamp,
    interrupts: RefCell<Interrupts>,
    is_over: bool,
}

impl Guide {
    fn begin(keep: bool) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let interrupts = Interrupts::listen().map_err(|error| format!("signals cannot be received: {error}"))?;
        let interrupts = RefCell::new(interrupts);
        let place = std::env::temp_dir().join(format!("berth-tour-{}", std::process::id()));
        std::fs::create_dir(&place).map_err(|error| format!("{}: {error}", place.display()))?;
        Ok(Self {
            program,
            place,
            daemon: None,
            can_start: false,
            command: &[],
            left_out: vec![],
            made: false,
            keep,
            begun: Instant::now(),
            before_damage: Timestamp::default(),
            interrupts,
            is_over: false,
        })
    }

    fn all(&mut self) -> Step {
        let end = if self.keep { "it is kept" } else { "it is removed at the end" };
        say(&format!("Everything here is real and lies in {}; {end}.", self.place.display()))?;
        self.look_at_the_machine()?;
        self.start_the_daemon()?;
        self.prepare()?;
        self.boot()?;
        self.write_files()?;
        self.schedule()?;
        self.wait_for_the_schedule()?;
        self.damage_and_restore()?;
        self.look_back()?;
        if self.keep {
            return Ok(());
        }
        self.remove()
    }

    fn look_at_the_machine(&mut self) -> Step {
        title("What this machine can do");
        let report = self.quiet(&["doctor", "-o", "json"]).map(|output| json(&output))??;
        let findings = report["findings"].as_array().cloned().unwrap_or_default();
        let start = findings.iter().find(|finding| finding["feature"] == FEATURE_START);
        self.can_start = start.is_some_and(|finding| finding["ok"] == true);
        let missing = findings.iter().filter(|finding| finding["ok"] != true && finding["feature"] != FEATURE_START);
        for finding in missing {
            let weight = if finding["required"] == true { "missing" } else { "optional and missing" };
            say(&format!("  {weight}: {}: {}", text(&finding["feature"]), text(&finding["reason"])))?;
        }
        if !self.can_start {
            let reason = start.map_or("the doctor does not know", |finding| finding["reason"].as_str().unwrap_or("-"));
            self.left_out
                .push(format!("starting containers, what runs inside, and the network between them: {reason}"));
        }
        Ok(())
    }

    fn start_the_daemon(&mut self) -> Step {
        title("A daemon");
        say(&format!("$ export BERTH_STATE={}", self.state().display()))?;
        say(&format!("$ berth daemon --key-dir {} &", self.keys().display()))?;
        let words = std::fs::File::create(self.place.join("daemon.log")).map_err(|error| error.to_string())?;
        let child = Command::new(&self.program)
            .args(["daemon", "--state"])
            .arg(self.state())
            .arg("--key-dir")
            .arg(self.keys())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(words)
            .process_group(0)
            .spawn()
            .map_err(|error| error.to_string())?;
        self.daemon = Some(child);
        let patience = Instant::now() + DAEMON_PATIENCE;
        while !self.state().join("instance.json").exists() || self.quiet(&["node", "status"]).is_err() {
            if Instant::now() > patience {
                let log = std::fs::read_to_string(self.place.join("daemon.log")).unwrap_or_default();
                return Err(format!("the daemon does not answer:\n{log}"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        self.show(&["node", "status"]).map(drop)
    }

    fn prepare(&mut self) -> Step {
        title("A template of this very system, and a store for backups");
        self.show(&["template", "create", "host", "--from-host"])?;
        let template = json(&self.quiet(&["template", "show", "host", "-o", "json"])?)?;
        if find(&template, "init").is_none_or(Value::is_null) {
            say("\n(this system has no init; its containers run a command under Berth's own)")?;
            self.command = COMMAND;
        }
        let vault = self.place.join("vault");
        self.show(&["store", "create", "vault", &vault.display().to_string()]).map(drop)
    }

    fn schedule(&mut self) -> Step {
        title("A schedule for the coming minute");
        let all = ["--action", "backup", "--select", "all", "--store", "vault", "--zone", "UTC"];
        self.show(&[&["schedule", "create", "every-minute", "--cron", "* * * * *"], all.as_slice()].concat())?;
        self.show(&["schedule", "next", "every-minute", "--count", "3"]).map(drop)
    }

    fn boot(&mut self) -> Step {
        title("Two containers");
        let kind = if self.can_start { "image" } else { "directory" };
        for name in ["web1", "web2"] {
            let limits = ["--memory", "512M", "--cpus", "1", "--pids", "256", "--disk", "1G", "--disk-kind", kind];
            self.made = true;
            let create = ["container", "create", name, "--template", "host"];
            self.show(&[create.as_slice(), &limits, self.command].concat())?;
        }
        if !self.can_start {
            return self.show(&["container", "list"]).map(drop);
        }
        self.show(&["container", "start", "web1", "web2"])?;
        self.show(&["container", "list"])?;
        self.show(&["exec", "web1", "--", "cat", "/proc/1/comm", "/etc/hostname"])?;
        self.reach_each_other()
    }

    /// A refused connection proves the way there and back: nobody listens, but somebody answered.
    fn reach_each_other(&mut self) -> Step {
        let shown = json(&self.quiet(&["container", "show", "web2", "-o", "json"])?)?;
        let Some(address) = find(&shown, "lease").and_then(|lease| lease["address"].as_str().map(str::to_owned)) else {
            self.left_out.push("the network between the containers: they have no addresses".to_owned());
            return Ok(());
        };
        let probe = format!("(exec 3<>/dev/tcp/{address}/9) 2>&1 | grep -q refused && echo web2 answers");
        let answer = self.show(&["exec", "web1", "--", "bash", "-c", &probe])?;
        if answer.contains("web2 answers") { Ok(()) } else { Err("web1 cannot reach web2".to_owned()) }
    }

    fn write_files(&mut self) -> Step {
        title("Some work inside");
        if !self.can_start {
            let root = self.state().join("containers");
            say(&format!("(the containers are stopped: the files are laid on their disks in {})", root.display()))?;
            let shown = json(&self.quiet(&["container", "show", "web1", "-o", "json"])?)?;
            let id = find(&shown, "id").and_then(|id| id.as_str().map(str::to_owned)).ok_or("web1 has no id")?;
            let folder = root.join(id).join("disk/upper/srv");
            std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
            return std::fs::write(folder.join("notes"), "precious\n").map_err(|error| error.to_string());
        }
        self.show(&["exec", "web1", "--", "sh", "-c", "mkdir -p /srv && echo precious > /srv/notes && cat /srv/notes"])
            .map(drop)
    }

    fn wait_for_the_schedule(&mut self) -> Step {
        title("The schedule fires while you watch");
        let patience = Instant::now() + SCHEDULE_PATIENCE;
        say("(waiting for the minute to pass)")?;
        while count(&self.quiet(&["backup", "list", "-o", "json"])?)? < 2 {
            if Instant::now() > patience {
                self.show(&["event", "list", "--limit", "20"])?;
                return Err("the schedule did not fire in time".to_owned());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        self.show(&["schedule", "disable", "every-minute"])?;
        self.settle()?;
        self.show(&["event", "list", "--who", "schedule/every-minute", "--limit", "6"])?;
        self.show(&["backup", "list"])?;
        self.show(&["backup", "coverage"]).map(drop)
    }

    /// Waits until nothing is under way.
    fn settle(&self) -> Step {
        let patience = Instant::now() + SCHEDULE_PATIENCE;
        while count(&self.quiet(&["operation", "list", "--open", "-o", "json"])?)? > 0 {
            if Instant::now() > patience {
                return Err("operations do not end".to_owned());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn damage_and_restore(&mut self) -> Step {
        title("Damage, and back: one file, then everything");
        self.before_damage = SystemClock.now();
        let rescued = self.place.join("rescued");
        let into = rescued.display().to_string();
        if self.can_start {
            self.show(&["exec", "web1", "--", "sh", "-c", "rm -rf /srv /etc/passwd; ls /srv"]).ok();
        } else {
            say("(the file is removed from the stopped container's disk)")?;
        }
        self.show(&["backup", "restore", "web1@latest", "--path", "/srv/notes", "--into", &into])?;
        let found = std::fs::read_to_string(rescued.join("srv/notes")).map_err(|error| error.to_string())?;
        say(&format!("\n$ cat {}/srv/notes\n{}", rescued.display(), found.trim_end()))?;
        if found != "precious\n" {
            return Err("the restored file is not what was written".to_owned());
        }
        self.show(&["backup", "restore", "web1@latest", "--in-place", "-y"])?;
        if self.can_start {
            let cat = self.show(&["exec", "web1", "--", "sh", "-c", "cat /srv/notes; head -1 /etc/passwd"])?;
            if !cat.contains("precious") || !cat.contains("root:") {
                return Err("the container does not have its files back".to_owned());
            }
        }
        self.show(&["backup", "restore", "web1@latest", "--to", "web3"])?;
        self.show(&["container", "list"]).map(drop)
    }

    fn look_back(&mut self) -> Step {
        title("What happened, and what was before");
        self.show(&["container", "history", "web1"])?;
        let before = self.before_damage.to_string();
        self.show(&["container", "list", "--as-of", &before])?;
        self.show(&["audit", "verify"]).map(drop)
    }

    fn remove(&mut self) -> Step {
        title("Everything removed");
        if self.can_start {
            self.show(&["container", "stop", "web1", "web2", "--grace", "5s", "-y"])?;
        }
        self.show(&["container", "delete", "web1", "web2", "web3", "-y"])?;
        self.show(&["container", "purge", "web1", "web2", "web3", "-y"])?;
        self.made = false;
        if self.can_start {
            self.show(&["network", "delete", "default"]).ok();
        }
        Ok(())
    }

    /// Ends the daemon and leaves nothing behind, however far the tour came.
    fn clear(&mut self) -> Step {
        if self.keep {
            return say(&format!("\nEverything is left as it is: export BERTH_STATE={}", self.state().display()));
        }
        if self.made {
            for words in [&["stop", "--kill"][..], &["container", "delete"], &["container", "purge"]] {
                for name in ["web1", "web2", "web3"] {
                    let _ = self.quiet(&[words, &[name, "-y"]].concat());
                }
            }
            let _ = self.quiet(&["network", "delete", "default"]);
        }
        if let Some(mut child) = self.daemon.take() {
            let asked = berth::sys::process::kill(child.id() as i32, 15);
            asked.map_err(|error| error.to_string())?;
            let status = child.wait().map_err(|error| error.to_string())?;
            if !status.success() {
                let log = std::fs::read_to_string(self.place.join("daemon.log")).unwrap_or_default();
                return Err(format!("the daemon ended with {status}:\n{log}"));
            }
        }
        std::fs::remove_dir_all(&self.place).map_err(|error| format!("{}: {error}", self.place.display()))
    }

    fn farewell(&self) -> ExitCode {
        let left = if self.keep { "everything is still there" } else { "nothing is left" };
        let mut words = format!("\nDone in {} seconds; {left}.", self.begun.elapsed().as_secs());
        if self.left_out.is_empty() {
            words.push_str("\nEvery step of the tour was run.");
        }
        words.extend(self.left_out.iter().map(|step| format!("\nLeft out: {step}")));
        match say(&words) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        }
    }

    fn state(&self) -> PathBuf {
        self.place.join("state")
    }

    fn keys(&self) -> PathBuf {
        self.place.join("keys")
    }

    /// Prints the command as a user would type it, runs it, prints its answer.
    fn show(&self, arguments: &[&str]) -> Result<String, String> {
        say(&format!("\n$ berth {}", arguments.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")))?;
        let output = self.call(arguments)?;
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        say_some(&answer)?;
        say_some(&words)?;
        if output.status.success() {
            return Ok(answer);
        }
        Err(format!("`berth {}` ended with {}", arguments.join(" "), output.status))
    }

    fn quiet(&self, arguments: &[&str]) -> Result<Output, String> {
        let output = self.call(arguments)?;
        // Exit code 10 tells of findings, which is an answer too.
        if output.status.success() || output.status.code() == Some(10) {
            return Ok(output);
        }
        Err(format!("`berth {}`: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
    }

    /// A process group of its own: Ctrl-C is for the tour, which ends between two commands.
    fn call(&self, arguments: &[&str]) -> Result<Output, String> {
        self.check_signals()?;
        Command::new(&self.program)
            .args(arguments)
            .env("BERTH_STATE", self.state())
            .stdin(Stdio::null())
            .process_group(0)
            .output()
            .map_err(|error| error.to_string())
    }

    /// What clears away is not interrupted.
    fn check_signals(&self) -> Step {
        if self.is_over {
            return Ok(());
        }
        if self.interrupts.borrow_mut().have_come() { Err("interrupted".to_owned()) } else { Ok(()) }
    }
}
