//! Starting, stopping, pausing and limiting containers, through their supervisors.
//!
//! What a start needs to know later (which link to take away, which init it was) lies in the runtime directory, which ends
//! with the boot like everything it names. A start runs no other program than the supervisor itself.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::failure::cannot;
use super::host::{LinuxHost, lock};
use super::network::resolv_conf;
use super::ready::words_of;
use crate::domain::effect::{Facts, Failure, InitSignal, RunSpecification};
use crate::effects::steps::StepName;
use crate::effects::{Host as _, Observation};
use crate::events::{Exit, InitKind, Lease, Limits, ProcessIdentity};
use crate::kernel::cgroup::{Cgroup, Layout};
use crate::shim::client::{Client, ClientError, prepare_runtime_directory};
use crate::shim::protocol::{self, CgroupPlace, Disk, Event, Init, Network, Phase, Readiness, Spec, Status, VERSION};
use crate::shim::record;
use crate::types::{ContainerId, Span, Subnet, Timestamp};

/// How long a supervisor may take for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How much of a console is kept.
const CONSOLE_BYTES_MAX: u64 = 4 << 20;
/// The container's link on the host, to be taken away when it stops.
const LINK_FILE: &str = "link.json";
/// The init that was started, should its supervisor die without a word.
const STARTED_FILE: &str = "started.json";

/// Is a start under way: what its steps leave each other.
pub(super) struct Starting {
    /// When it began, for the record of how long it took.
    at: Timestamp,
    supervisor: Option<Supervisor>,
    /// The first process, held back.
    init: Option<protocol::ProcessIdentity>,
}

/// Is a supervisor of this daemon; it undoes a creation when the connection closes.
pub(super) struct Supervisor {
    pub(super) client: Client,
    pub(super) child: Child,
}

#[derive(Serialize, Deserialize)]
struct Link {
    lease: Lease,
    port: String,
}

#[derive(Serialize, Deserialize)]
struct Started {
    init: ProcessIdentity,
    took: Span,
}

/// Returns the failure of a call to a supervisor; one that is away may come back, one that refuses will not.
pub(super) fn shim_failure(error: ClientError) -> Failure {
    match &error {
        ClientError::TimedOut { .. } => Failure::transient(error.to_string()),
        _ => Failure::permanent(error.to_string()),
    }
}

pub(super) fn identity(process: &protocol::ProcessIdentity) -> ProcessIdentity {
    ProcessIdentity { boot: process.boot.clone(), pid: process.pid.unsigned_abs(), started: process.started }
}

pub(super) fn exit_of(exit: protocol::Exit) -> Exit {
    match exit {
        protocol::Exit::Reboot => Exit::Reboot,
        protocol::Exit::PowerOff => Exit::PowerOff,
        protocol::Exit::Exited { code } => Exit::Code(code),
        protocol::Exit::Signaled { number } => Exit::Signal(number),
    }
}

fn shim_limits(limits: &Limits) -> protocol::Limits {
    let memory = limits.memory.map(crate::types::Size::as_bytes);
    protocol::Limits {
        memory,
        memory_and_swap: memory,
        cpu_millis: limits.cpus.map(crate::types::Cpus::as_millis),
        cpu_weight: None,
        pids: limits.pids,
    }
}

fn init_of(run: &RunSpecification) -> Result<(Init, Readiness), Failure> {
    if let Some(argv) = &run.configuration.command {
        return Ok((Init::Builtin { argv: argv.clone() }, Readiness::Exec));
    }
    let kind = run.init.ok_or_else(|| Failure::permanent("the template has no init and the container no command"))?;
    let readiness = if kind == InitKind::Systemd { Readiness::Notify } else { Readiness::Exec };
    Ok((Init::Own { argv: vec!["/sbin/init".to_owned()], stop_signal: stop_signal(InitSignal::Of(kind)) }, readiness))
}

/// Returns the signal that asks an init to power off: systemd(1) SIGRTMIN+3, busybox init SIGUSR2, others SIGTERM.
fn stop_signal(signal: InitSignal) -> i32 {
    const SIGUSR2: i32 = 12;
    const SIGTERM: i32 = 15;
    const SIGRTMIN_PLUS_3: i32 = 37;
    match signal {
        InitSignal::Of(InitKind::Systemd) => SIGRTMIN_PLUS_3,
        InitSignal::Of(InitKind::Busybox) => SIGUSR2,
        InitSignal::Of(InitKind::Openrc | InitKind::Other) | InitSignal::Terminate => SIGTERM,
    }
}

impl LinuxHost {
    pub(super) fn runtime_of(&self, container: ContainerId) -> PathBuf {
        self.options.paths.container_runtime(container)
    }

    /// Connects to a supervisor that runs.
    pub(super) fn shim(&self, container: ContainerId) -> Result<Client, Failure> {
        let directory = self.runtime_of(container);
        Client::connect(&directory.join("control"), PATIENCE).map_err(shim_failure)
    }

    fn specification(&self, run: &RunSpecification) -> Result<Spec, Failure> {
        let directory = self.runtime_of(run.container);
        let (init, readiness) = init_of(run)?;
        let configuration = &run.configuration;
        Ok(Spec {
            version: VERSION,
            id: run.container.to_string(),
            control_socket: directory.join("control"),
            session_socket: self.options.paths.session_socket(run.container),
            session_group: self.options.group,
            disk: self.shim_disk(run.container),
            container: Some(protocol::Container {
                hostname: configuration.hostname.to_string(),
                ids: run.ids,
                lowers: vec![self.options.paths.template_root(configuration.template)],
                init,
                environment: vec![],
                nesting: configuration.nesting,
                network: Network::Own,
                resolv_conf: run.lease.as_ref().map(|_| resolv_conf()),
            }),
            cgroup: Some(self.cgroup_place(run.container)),
            limits: shim_limits(&configuration.limits),
            readiness,
            log_bytes_max: CONSOLE_BYTES_MAX,
        })
    }

    pub(super) fn cgroup_place(&self, container: ContainerId) -> CgroupPlace {
        CgroupPlace {
            parent: self.options.cgroup_parent.clone(),
            name: format!("berth-{}/{container}", self.options.instance),
        }
    }

    pub(super) fn shim_disk(&self, container: ContainerId) -> Disk {
        let image = self.options.paths.disk_image(container);
        if image.exists() {
            let options = "noinit_itable".to_owned();
            return Disk::Image { path: image, filesystem: "ext4".to_owned(), options };
        }
        Disk::Directory { path: self.options.paths.disk_directory(container) }
    }

    pub(super) fn start_step(&self, run: &RunSpecification, step: StepName) -> Result<Facts, Failure> {
        let container = run.container;
        let directory = self.runtime_of(container);
        if step == "runtime-folder" {
            self.abandon(container);
        }
        // What this very start has made by now need not be looked at before each of its steps.
        let under_way = lock(&self.starting).contains_key(&container);
        if !under_way && let Observation::Running { .. } = self.look(container) {
            return Ok(started(&directory).unwrap_or(Facts::None));
        }
        match step {
            "runtime-folder" => self.begin_runtime(run, &directory)?,
            "supervisor" => self.ensure_supervisor(container, &directory)?,
            "namespaces" => self.ensure_created(container)?,
            "link" => self.ensure_link(run, &directory)?,
            "init" => return self.release_init(container, &directory),
            _ => {}
        }
        Ok(Facts::None)
    }

    /// Clears what an earlier try left and writes the order for the supervisor.
    fn begin_runtime(&self, run: &RunSpecification, directory: &Path) -> Result<(), Failure> {
        let at = self.options.clock.now();
        if directory.exists() {
            for step in crate::effects::steps::steps_of(&stopped(run.container)) {
                self.stop_step(run.container, step)?;
            }
        }
        let spec = self.specification(run)?;
        prepare_runtime_directory(directory, &spec).map_err(cannot("prepare", directory.display()))?;
        lock(&self.starting).insert(run.container, Starting { at, supervisor: None, init: None });
        Ok(())
    }

    /// Orders a supervisor for a runtime directory; when this returns it listens.
    pub(super) fn supervisor(&self, directory: &Path) -> Result<Supervisor, Failure> {
        let words = words_of(directory)?;
        let unordered = self.ready.take()?;
        match Client::order(unordered.socket, directory, &words, PATIENCE) {
            Ok(client) => Ok(Supervisor { client, child: unordered.child }),
            Err(error) => {
                reap(unordered.child);
                Err(with_words(shim_failure(error), directory))
            }
        }
    }

    fn ensure_supervisor(&self, container: ContainerId, directory: &Path) -> Result<(), Failure> {
        let supervisor = self.supervisor(directory)?;
        self.starting(container, |starting| {
            starting.supervisor = Some(supervisor);
            Ok(())
        })
    }

    /// Works on the start under way; other starts go on meanwhile.
    fn starting<T>(
        &self,
        container: ContainerId,
        work: impl FnOnce(&mut Starting) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let taken = lock(&self.starting).remove(&container);
        let mut starting = taken.ok_or_else(|| Failure::transient("the supervisor is not connected"))?;
        let result = work(&mut starting);
        lock(&self.starting).insert(container, starting);
        result
    }

    /// Lets go of a start that is not gone on with: its supervisor undoes it.
    fn abandon(&self, container: ContainerId) {
        let left = lock(&self.starting).remove(&container);
        if let Some(Supervisor { client, child }) = left.and_then(|starting| starting.supervisor) {
            drop(client);
            reap(child);
            self.ready.refill();
        }
    }

    fn ensure_created(&self, container: ContainerId) -> Result<(), Failure> {
        self.starting(container, |starting| {
            let created = starting.client()?.create().map_err(shim_failure)?;
            starting.init = Some(created.init);
            Ok(())
        })
    }

    fn ensure_link(&self, run: &RunSpecification, directory: &Path) -> Result<(), Failure> {
        let Some(lease) = &run.lease else { return Ok(()) };
        let port = self.networks.port_name(run.container);
        let link = Link { lease: lease.clone(), port: port.clone() };
        record::write(directory, LINK_FILE, &link).map_err(cannot("write", directory.display()))?;
        let init = self.starting(run.container, |starting| starting.init())?;
        for warning in self.networks.ensure_link(lease, init.pid.unsigned_abs(), &port)? {
            tracing::warn!(container = %run.container, warning);
        }
        Ok(())
    }

    /// Connects the running containers of a network again: with their bridge their ports were lost, with its rules their
    /// leases. One that ends meanwhile is nobody's loss.
    pub(super) fn ensure_ports(&self, bridge: &str) {
        for (container, link) in self.links_of(bridge) {
            let Observation::Running { init, .. } = self.look(container) else { continue };
            match self.networks.ensure_link(&link.lease, init.pid, &link.port) {
                Ok(warnings) => {
                    for words in warnings {
                        tracing::warn!(%container, words);
                    }
                }
                Err(failure) => tracing::warn!(%container, %failure, "not connected again"),
            }
        }
    }

    /// Names what is missing of a network on this host, the ports of running containers among it.
    ///
    /// # Errors
    /// What the kernel or nft says.
    pub fn missing_of_network(&self, bridge: &str, subnet: Subnet, rules: bool) -> Result<Vec<String>, Failure> {
        let running = |container| matches!(self.look(container), Observation::Running { .. });
        let links = self.links_of(bridge).into_iter().filter(|(container, _)| running(*container));
        let ports: Vec<String> = links.map(|(_, link)| link.port).collect();
        self.networks.missing(bridge, subnet, &ports, rules)
    }

    fn links_of(&self, bridge: &str) -> Vec<(ContainerId, Link)> {
        let link = |container| record::read::<Link>(&self.runtime_of(container), LINK_FILE).ok().flatten();
        let links = self.observed().into_iter().filter_map(|container| Some((container, link(container)?)));
        links.filter(|(_, link)| link.lease.bridge == bridge).collect()
    }

    fn release_init(&self, container: ContainerId, directory: &Path) -> Result<Facts, Failure> {
        let (init, at) = self.starting(container, |starting| {
            starting.client()?.start().map_err(|error| with_words(shim_failure(error), directory))?;
            Ok((identity(&starting.init()?), starting.at))
        })?;
        let took = self.options.clock.now().since(at);
        let started = Started { init: init.clone(), took };
        record::write(directory, STARTED_FILE, &started).map_err(cannot("write", directory.display()))?;
        let done = lock(&self.starting).remove(&container).and_then(|starting| starting.supervisor);
        self.watch(container, done.map(|supervisor| supervisor.child));
        self.ready.refill();
        Ok(Facts::Started { init, took })
    }

    pub(super) fn undo_start(&self, container: ContainerId, step: StepName) -> Result<(), Failure> {
        self.abandon(container);
        match step {
            "link" => self.remove_link(container),
            "runtime-folder" => crate::effects::steps::steps_of(&stopped(container))
                .iter()
                .try_for_each(|step| self.stop_step(container, step).map(drop)),
            _ => Ok(()),
        }
    }

    pub(super) fn stop_step(&self, container: ContainerId, step: StepName) -> Result<Facts, Failure> {
        let directory = self.runtime_of(container);
        match step {
            "kill" => kill(&directory)?,
            "link" => self.remove_link(container)?,
            "supervisor" => dismiss(&directory)?,
            "control-group" => self.remove_cgroup(container)?,
            "runtime-folder" => {
                // A supervisor that was killed could not take its socket along.
                remove_file(&self.options.paths.session_socket(container))?;
                remove_folder(&directory)?;
            }
            _ => {}
        }
        Ok(Facts::None)
    }

    fn remove_link(&self, container: ContainerId) -> Result<(), Failure> {
        let directory = self.runtime_of(container);
        let link = record::read::<Link>(&directory, LINK_FILE).map_err(cannot("read", directory.display()))?;
        link.map_or(Ok(()), |link| self.networks.ensure_link_gone(&link.lease, &link.port))
    }

    fn remove_cgroup(&self, container: ContainerId) -> Result<(), Failure> {
        if !self.runtime_of(container).exists() {
            return Ok(());
        }
        let Some(cgroup) = self.cgroup(container)? else { return Ok(()) };
        if !cgroup.exists() {
            return Ok(());
        }
        cgroup.kill().map_err(|failure| Failure::transient(failure.to_string()))?;
        cgroup.remove().map_err(|failure| Failure::transient(failure.to_string()))?;
        cgroup.remove_empty_parent();
        Ok(())
    }

    /// Returns the handle of a container's control group; none on a host without any.
    pub(super) fn cgroup(&self, container: ContainerId) -> Result<Option<Cgroup>, Failure> {
        let Ok(layout) = Layout::detect() else { return Ok(None) };
        let place = self.cgroup_place(container);
        let cgroup = Cgroup::at(&layout, place.parent.as_deref(), &place.name);
        cgroup.map(Some).map_err(|failure| Failure::permanent(failure.to_string()))
    }

    pub(super) fn signal(&self, container: ContainerId, signal: InitSignal) -> Result<Facts, Failure> {
        self.shim(container)?.signal(stop_signal(signal)).map_err(shim_failure)?;
        Ok(Facts::None)
    }

    pub(super) fn pause(&self, container: ContainerId) -> Result<Facts, Failure> {
        self.shim(container)?.pause().map_err(shim_failure)?;
        Ok(Facts::None)
    }

    pub(super) fn resume(&self, container: ContainerId) -> Result<Facts, Failure> {
        self.shim(container)?.resume().map_err(shim_failure)?;
        Ok(Facts::None)
    }

    pub(super) fn limit(&self, container: ContainerId, limits: &Limits) -> Result<Facts, Failure> {
        let cgroup = self.cgroup(container)?.ok_or_else(|| Failure::permanent("this host has no control groups"))?;
        cgroup.set_limits(&shim_limits(limits)).map_err(|failure| Failure::permanent(failure.to_string()))?;
        Ok(Facts::None)
    }

    pub(super) fn look(&self, container: ContainerId) -> Observation {
        look_into(&self.runtime_of(container))
    }
}

impl Starting {
    fn client(&self) -> Result<&Client, Failure> {
        let client = self.supervisor.as_ref().map(|supervisor| &supervisor.client);
        client.ok_or_else(|| Failure::transient("the supervisor is not connected"))
    }

    fn init(&self) -> Result<protocol::ProcessIdentity, Failure> {
        self.init.clone().ok_or_else(|| Failure::transient("the container's namespaces are gone again"))
    }
}

/// Reaps a supervisor that ends by itself, on a thread of its own.
fn reap(mut child: Child) {
    std::thread::spawn(move || child.wait());
}

fn stopped(container: ContainerId) -> crate::domain::effect::HostEffect {
    crate::domain::effect::HostEffect::EnsureStopped { container }
}

/// Tells again of a start that was made before.
fn started(directory: &Path) -> Option<Facts> {
    let Observation::Running { init, .. } = look_into(directory) else { return None };
    let known = record::read::<Started>(directory, STARTED_FILE).ok().flatten();
    Some(Facts::Started { init, took: known.map_or(Span::default(), |started| started.took) })
}

/// Adds what the supervisor said on its way out.
fn with_words(failure: Failure, directory: &Path) -> Failure {
    let words = std::fs::read_to_string(directory.join("words")).unwrap_or_default();
    let said = record::read::<protocol::Failure>(directory, record::FAILURE).ok().flatten();
    let reason = said.map_or_else(|| words.trim().to_owned(), |failure| failure.to_string());
    if reason.is_empty() { failure } else { Failure { reason: format!("{}: {reason}", failure.reason), ..failure } }
}

/// Returns what a supervisor says of its container.
pub(super) fn observation_of(status: Status) -> Observation {
    match (status.phase, status.init, status.exit) {
        (Phase::Running, Some(init), _) => Observation::Running { init: identity(&init), ready: status.ready },
        (Phase::Exited, _, Some(exit)) => Observation::Exited { init: identity(&exit.init), exit: exit_of(exit.exit) },
        _ => Observation::Remains,
    }
}

/// Reads what a runtime directory and its supervisor tell.
pub(super) fn look_into(directory: &Path) -> Observation {
    if !directory.exists() {
        return Observation::Absent;
    }
    let alive = record::living_shim(directory).ok().flatten().is_some();
    if alive
        && let Ok(client) = Client::connect(&directory.join("control"), PATIENCE)
        && let Ok(status) = client.status()
    {
        return observation_of(status);
    }
    if let Ok(Some(exit)) = record::unacknowledged_exit(directory) {
        return Observation::Exited { init: identity(&exit.init), exit: exit_of(exit.exit) };
    }
    // Nobody is left who saw it end: whatever still runs of it is killed when it is cleared away.
    match record::read::<Started>(directory, STARTED_FILE) {
        Ok(Some(started)) => Observation::Exited { init: started.init, exit: Exit::Unknown },
        _ => Observation::Remains,
    }
}

fn kill(directory: &Path) -> Result<(), Failure> {
    let connect = || Client::connect(&directory.join("control"), PATIENCE);
    let Ok(events) = connect().and_then(Client::subscribe) else { return Ok(()) };
    let client = connect().map_err(shim_failure)?;
    match client.status().map_err(shim_failure)?.phase {
        Phase::Exited | Phase::New => return Ok(()),
        Phase::Running => client.kill().map_err(shim_failure)?,
        Phase::Created => {} // undone, or begun, by whoever created it
    }
    let patience = Instant::now() + PATIENCE;
    loop {
        let left = patience.saturating_duration_since(Instant::now());
        match events.next(left).map_err(shim_failure)? {
            Some(Event::Exited(_) | Event::CreationUndone) => return Ok(()),
            None => return Err(Failure::transient("the container's processes do not end")),
            Some(_) => {}
        }
    }
}

/// Lets the supervisor go; one that does not answer is ended.
pub(super) fn dismiss(directory: &Path) -> Result<(), Failure> {
    let Ok(Some(shim)) = record::living_shim(directory) else { return Ok(()) };
    let asked = Client::connect(&directory.join("control"), PATIENCE).and_then(|client| client.acknowledge_exit());
    if asked.is_err() {
        let _ = crate::sys::process::kill(shim.process.pid, 9);
    }
    let ended = wait_for_end(&shim.process).map_err(cannot("wait for", "the supervisor"))?;
    if ended {
        return Ok(());
    }
    Err(Failure::transient(format!("the supervisor, process {}, does not end", shim.process.pid)))
}

/// Waits until exactly this process has ended; tells whether it did in time.
fn wait_for_end(process: &protocol::ProcessIdentity) -> std::io::Result<bool> {
    // Opened first, looked at second: the number may have gone to another process before.
    let Ok(pidfd) = crate::sys::process::open_pidfd(process.pid) else { return Ok(!process.is_alive()) };
    Ok(!process.is_alive() || crate::sys::poll::wait_readable(pidfd.as_fd(), PATIENCE)?)
}

fn remove_file(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(cannot("remove", path.display())(error)),
        _ => Ok(()),
    }
}

pub(super) fn remove_folder(directory: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(cannot("remove", directory.display())(error)),
        _ => Ok(()),
    }
}
