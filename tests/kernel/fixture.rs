//! The life of a test container.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use berth::kernel::cgroup::{Cgroup, Layout};
use berth::kernel::etc::Names;
use berth::shim::attach::{self, SessionStreams};
use berth::shim::client::{Client, Events, prepare_runtime_directory};
use berth::shim::protocol::{
    CgroupPlace, Command as EnterCommand, Container, Disk, Event, ExitRecord, Init, Limits, Network, Readiness,
    SessionTarget, Spec, VERSION,
};
use berth::sys::socket;
use berth::types::{IdRange, Managed};

use crate::check;
use crate::harness::roots::{self, run};
use crate::harness::{Outcome, PROGRAM, Stop, need, scratch, skipped};

/// How long anything may take before it counts as hanging; an emulated machine is slow.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// Marks every name these tests make; the leak test looks for it.
pub fn instance() -> String {
    format!("{:08x}", std::process::id())
}

/// Where the groups of containers go: on pure v2 this process makes room first.
pub fn parent() -> Result<Option<String>, Stop> {
    static PARENT: OnceLock<Result<Option<String>, String>> = OnceLock::new();
    let made = PARENT.get_or_init(|| {
        Layout::detect().and_then(|layout| Cgroup::make_room(&layout, "harness")).map_err(|error| error.to_string())
    });
    made.clone().map_err(Stop::Failed)
}

/// How a test container is to be.
pub struct Plan {
    pub root: PathBuf,
    pub init: Init,
    pub readiness: Readiness,
    pub limits: Limits,
    pub image_bytes: Option<u64>,
    pub privileged: bool,
    pub nesting: bool,
    /// Layers above the root.
    pub layers: Vec<PathBuf>,
    pub environment: Vec<String>,
}

impl Plan {
    fn new(root: PathBuf, init: Init) -> Self {
        Self {
            root,
            init,
            readiness: Readiness::Exec,
            limits: Limits::default(),
            image_bytes: None,
            privileged: false,
            nesting: false,
            layers: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Puts one more layer above the root.
    pub fn with_layer(mut self, layer: PathBuf) -> Self {
        self.layers.insert(0, layer);
        self
    }

    pub fn busybox() -> Result<Self, Stop> {
        need(&["root"])?;
        let init = Init::Own { argv: vec!["/sbin/init".into()], stop_signal: berth::sys::signal::USER_2 };
        Ok(Self::new(roots::busybox()?, init))
    }

    pub fn command(argv: &[&str]) -> Result<Self, Stop> {
        need(&["root"])?;
        let argv = argv.iter().map(|part| (*part).to_owned()).collect();
        Ok(Self::new(roots::busybox()?, Init::Builtin { argv }))
    }

    pub fn debian() -> Result<Self, Stop> {
        need(&["root"])?;
        let init = Init::Own { argv: vec!["/sbin/init".into()], stop_signal: berth::sys::signal::realtime(3) };
        Ok(Self { readiness: Readiness::Notify, ..Self::new(roots::debian()?, init) })
    }
}

static RANGES: Mutex<u32> = Mutex::new(0);
static NAMES: AtomicU32 = AtomicU32::new(0);

fn next_range() -> IdRange {
    let mut used = RANGES.lock().unwrap();
    *used += 1;
    IdRange { base: 1_900_000_000 + *used * 65_536, count: 65_536 }
}

/// A shim with its container; ended and cleaned up when dropped.
pub struct TestContainer {
    pub directory: PathBuf,
    pub spec: Spec,
    pub shim: Child,
    pub client: Option<Client>,
}

impl TestContainer {
    /// Spawns the shim and connects; nothing is created yet.
    pub fn spawn(plan: Plan) -> Result<Self, Stop> {
        Self::spawn_with(plan, |_| {})
    }

    /// Does the same, with changes to how the shim is begun.
    pub fn spawn_with(plan: Plan, adjust: impl FnOnce(&mut Command)) -> Result<Self, Stop> {
        let name = format!("t{}", NAMES.fetch_add(1, Ordering::Relaxed));
        let directory = scratch().join(&name);
        let disk = make_disk(&name, plan.image_bytes)?;
        let container = Container {
            names: Names {
                hostname: name.parse().unwrap(),
                address: None,
                resolv_conf: Some("nameserver 192.0.2.1\n".to_owned()),
                managed: Managed::default(),
            },
            ids: if plan.privileged { None } else { Some(next_range()) },
            lowers: plan.layers.into_iter().chain([plan.root]).collect(),
            init: plan.init,
            environment: plan.environment,
            nesting: plan.nesting,
            network: Network::Own,
            renew: false,
        };
        let spec = Spec {
            version: VERSION,
            id: name.clone(),
            control_socket: directory.join("control"),
            session_socket: directory.join("session"),
            session_group: None,
            disk,
            container: Some(container),
            cgroup: Some(CgroupPlace {
                parent: parent()?,
                below: std::collections::BTreeMap::new(),
                name: format!("berth-{}/{name}", instance()),
            }),
            limits: plan.limits,
            readiness: plan.readiness,
            log_bytes_max: 256 * 1024,
        };
        Self::spawn_spec_with(directory, spec, adjust)
    }

    pub fn spawn_spec(directory: PathBuf, spec: Spec) -> Result<Self, Stop> {
        Self::spawn_spec_with(directory, spec, |_| {})
    }

    fn spawn_spec_with(directory: PathBuf, spec: Spec, adjust: impl FnOnce(&mut Command)) -> Result<Self, Stop> {
        prepare_runtime_directory(&directory, &spec)?;
        let errors = fs::File::create(directory.join("stderr"))?;
        let (socket, theirs) = socket::pair()?;
        let mut command = Command::new(PROGRAM);
        command.args(["shim", "--wait"]).arg(&directory).stdin(theirs).stdout(Stdio::null()).stderr(Stdio::null());
        adjust(&mut command);
        let shim = command.spawn()?;
        drop(command);
        let client = Client::order(socket, &directory, &errors, PATIENCE);
        let mut this = Self { directory, spec, shim, client: None };
        this.client = Some(client.map_err(|error| Stop::Failed(format!("{error}; {}", this.words())))?);
        Ok(this)
    }

    /// Creates and starts.
    pub fn start(plan: Plan) -> Result<Self, Stop> {
        let this = Self::spawn(plan)?;
        this.client().create()?;
        this.client().start()?;
        Ok(this)
    }

    pub fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    pub fn another_client(&self) -> Result<Client, Stop> {
        Ok(Client::connect(&self.spec.control_socket, PATIENCE)?)
    }

    pub fn events(&self) -> Result<Events, Stop> {
        Ok(self.another_client()?.subscribe()?)
    }

    /// What shim and console said, for messages.
    pub fn words(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.directory.join(name)).unwrap_or_default();
        format!("stderr {:?}, console {:?}", read("stderr"), self.console())
    }

    pub fn console(&self) -> String {
        let bytes = fs::read(self.directory.join("console.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn wait_ready(&self) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        let events = self.events()?;
        while !self.client().status()?.ready {
            events.next(Duration::from_millis(500))?;
            check!(Instant::now() < deadline, "not ready in time: {}", self.words());
        }
        Ok(())
    }

    pub fn wait_exit(&self) -> Result<ExitRecord, Stop> {
        let deadline = Instant::now() + PATIENCE;
        let events = self.events()?;
        loop {
            if let Some(exit) = self.client().status()?.exit {
                return Ok(exit);
            }
            if let Some(Event::Exited(record)) = events.next(Duration::from_millis(500))? {
                return Ok(*record);
            }
            check!(Instant::now() < deadline, "did not end in time: {}", self.words());
        }
    }

    /// Runs a shell line inside; returns its exit code and what it printed.
    pub fn shell(&self, line: &str) -> Result<(i32, String), Stop> {
        self.run_inside(EnterCommand {
            argv: vec!["/bin/sh".into(), "-c".into(), format!("exec 2>&1; {line}")],
            environment: Vec::new(),
            user: "root".into(),
            directory: None,
            terminal: None,
            without_echo: false,
        })
    }

    pub fn run_inside(&self, command: EnterCommand) -> Result<(i32, String), Stop> {
        let token = format!("token-{}", NAMES.fetch_add(1, Ordering::Relaxed));
        self.another_client()?.open_session(&token, None, SessionTarget::Command(command))?;
        let (session, streams) = attach::attach(&self.spec.session_socket, &token)?;
        let output = read_all(streams);
        Ok((session.wait()?, output))
    }

    pub fn cgroup(&self) -> Result<Cgroup, Stop> {
        let place = self.spec.cgroup.as_ref().unwrap();
        Ok(Cgroup::at(&Layout::detect()?, place.parent.as_deref(), &place.name)?)
    }

    pub fn wait_console(&self, words: &str) -> Outcome {
        let begun = Instant::now();
        while !self.console().contains(words) {
            check!(begun.elapsed() < PATIENCE, "no {words:?} on the console: {}", self.words());
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Kills, acknowledges, waits for the shim's end; tells whether the disk was released.
    pub fn finish(mut self) -> Result<bool, Stop> {
        let released = self.end()?;
        let status = self.shim.wait()?;
        check!(status.success(), "the shim ended with {status}");
        Ok(released)
    }

    fn end(&mut self) -> Result<bool, Stop> {
        let client = self.another_client()?;
        let status = client.status()?;
        if status.init.is_some() {
            client.kill()?;
            self.wait_exit()?;
        }
        Ok(client.acknowledge_exit()?)
    }
}

impl Drop for TestContainer {
    fn drop(&mut self) {
        if self.shim.try_wait().ok().flatten().is_none() {
            let _ = self.end();
            std::thread::sleep(Duration::from_millis(50));
            if self.shim.try_wait().ok().flatten().is_none() {
                std::thread::sleep(Duration::from_millis(500));
                let _ = self.shim.kill();
            }
            let _ = self.shim.wait();
        }
    }
}

pub fn read_all(streams: SessionStreams) -> String {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    match streams {
        // A terminal ends with an error once its other end is closed.
        SessionStreams::Terminal(master) => drop(fs::File::from(master).read_to_end(&mut bytes)),
        SessionStreams::Pipes { input, output, errors } => {
            drop(input);
            fs::File::from(output).read_to_end(&mut bytes).unwrap();
            fs::File::from(errors).read_to_end(&mut bytes).unwrap();
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn make_disk(name: &str, image_bytes: Option<u64>) -> Result<Disk, Stop> {
    let Some(bytes) = image_bytes else {
        let path = scratch().join(format!("{name}-disk"));
        fs::create_dir_all(&path)?;
        return Ok(Disk::Directory { path });
    };
    if !Path::new("/dev/loop-control").exists() {
        return Err(skipped("loop devices", "no /dev/loop-control"));
    }
    let path = scratch().join(format!("{name}.img"));
    fs::File::create(&path)?.set_len(bytes)?;
    let options = "nodiscard,lazy_itable_init=1,lazy_journal_init=1";
    run(Command::new("mkfs.ext4").args(["-q", "-m", "0", "-E", options]).arg(&path))?;
    Ok(Disk::Image { path, filesystem: "ext4".into(), options: String::new() })
}
