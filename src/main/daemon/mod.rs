//! The daemon: puts the concrete parts together, makes what is shown true, opens the API, and ends in order.

mod beginning;
mod log;
mod marks;
mod ports;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::{Arbiter, System};
use berth::actors::{House, Registry, RetryPolicy};
use berth::api::client::{INSTANCE_FILE, Started, signpost};
use berth::cli::DaemonArguments;
use berth::effects::Host;
use berth::effects::clock::SystemClock;
use berth::effects::linux::paths::StatePaths;
use berth::effects::linux::{HostOptions, LinuxHost};
use berth::effects::steps::Immortal;
use berth::kernel::cgroup::{Cgroup, Layout};
use berth::projections::query::Query;
use berth::scheduler::ticker::Ticker;
use berth::storage::{Divergence, EventLog, Level, SqliteLog};
use berth::types::{Clock, ClockWatch, Timestamp};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::identity::{self, Identity};
use super::{audit, clock, doctor, space, start};

use beginning::{Beginning, begin_once_written};
use log::{belongs_here, open_log};
use marks::{leave_no_marks, open_the_way, write_instance};
use ports::ports;

pub(crate) use log::space_probe;
pub(crate) use ports::free_subnet;

/// How long an orderly end waits until those are recorded who were held still, or go on.
const ROUND_PATIENCE: Duration = Duration::from_secs(5);

/// Is what the parts need to know before any of them is made.
pub(crate) struct Setup {
    pub(crate) state: PathBuf,
    pub(crate) run: PathBuf,
    pub(crate) keys: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) boot: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) watch: Arc<ClockWatch>,
    pub(crate) refuse_overcommit: bool,
}

/// Runs the daemon until it is told to end.
pub(crate) fn run(arguments: &DaemonArguments) -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .log_internal_errors(false) // they would go to standard error, too, and end the process where that is full
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("BERTH_LOG")
                .unwrap_or_else(|_| "info,actix_server=warn".into()),
        )
        .init();
    match begin(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refused) => {
            let hint = refused.hint.map_or_else(String::new, |hint| format!("  {hint}\n"));
            let _ = write!(io::stderr(), "error: {}\n{hint}", refused.reason); // nobody may be there to read it
            ExitCode::from(refused.code)
        }
    }
}

/// Says why the daemon does not run.
pub(crate) struct Refused {
    reason: String,
    hint: Option<String>,
    code: u8,
}

impl<E: std::fmt::Display> From<E> for Refused {
    fn from(error: E) -> Self {
        Self { reason: error.to_string(), hint: None, code: 1 }
    }
}

fn begin(arguments: &DaemonArguments) -> Result<(), Refused> {
    let state: &Path = &arguments.state;
    let identity = identity::of(state).map_err(|error| unusable(state, &error))?;
    let started = started_with(arguments)?;
    let keys = started.key_dir.clone().unwrap_or_else(identity::key_directory);
    let wall: Arc<dyn Clock> = Arc::new(SystemClock);
    refuse_before_1970(wall.now())?;
    let setup = Setup {
        run: identity::run_directory(state, &identity),
        state: absolute(state)?,
        keys,
        identity,
        boot: berth::kernel::identity::boot_id()?,
        watch: Arc::new(ClockWatch::new(Arc::clone(&wall))),
        clock: wall,
        refuse_overcommit: arguments.refuse_overcommit,
    };
    let log = open_log(&setup, arguments.new_keys)?;
    belongs_here(&setup, &Query::new(log.reader()))?;
    if let Err(error) = started.keep(&setup.state) {
        tracing::warn!(%error, "how the daemon was started cannot be written into the state directory");
    }
    clock::judge(&setup.watch, &Query::new(log.reader()), &setup.boot)?;
    // What the host makes needs the log's own place for keys, so the log comes first.
    let parent = Layout::detect().ok().and_then(|layout| match Cgroup::make_room(&layout, "daemon") {
        Ok(parent) => parent,
        Err(failure) => {
            tracing::warn!(%failure, "no room for the control groups of containers");
            None
        }
    });
    let host = LinuxHost::open(HostOptions {
        paths: StatePaths::with_runtime(&setup.state, &setup.run),
        instance: setup.identity.instance.clone(),
        key_dir: setup.keys.join(log.head().log.to_string()),
        node: setup.identity.node,
        executable: std::env::current_exe()?,
        cgroup_parent: parent,
        group: berth::api::group_id().filter(|_| berth::sys::process::effective_user() == 0),
        clock: Arc::clone(&setup.clock),
        crash: Arc::new(Immortal),
    })?;
    System::new().block_on(serve(setup, log, host))
}

/// Returns what has to be said again at the next start.
fn started_with(arguments: &DaemonArguments) -> io::Result<Started> {
    let key_dir = arguments.key_dir.as_deref().map(std::path::absolute).transpose()?;
    Ok(Started { key_dir, refuse_overcommit: arguments.refuse_overcommit })
}

/// The server's own library knows no date before 1970, and no kernel lets a clock be set there: it is somebody's mistake.
fn refuse_before_1970(now: Timestamp) -> Result<(), Refused> {
    if now >= Timestamp::default() {
        return Ok(());
    }
    let reason = format!("the clock shows {now}, which is before 1970 [clock.before-1970]");
    Err(Refused { reason, hint: Some("set it (date --set, or a time service), then start again".to_owned()), code: 1 })
}

fn unusable(state: &Path, error: &io::Error) -> Refused {
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    let hint =
        denied.then(|| "run it as the user the directory belongs to, or name another one with --state".to_owned());
    let reason = format!("the state directory {}: {error}", state.display());
    Refused { reason, hint, code: if denied { 4 } else { 1 } }
}

fn absolute(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path)
}

/// Says that a log is not the one that was signed, and what to do.
fn tell_divergence(found: &Divergence) {
    let cure = found.cure();
    tracing::error!("{found}; until then nothing is recorded, and containers can only be stopped: {cure}");
}

/// Is what works together while the daemon runs.
struct Parts {
    setup: Arc<Setup>,
    log: Arc<SqliteLog>,
    host: Arc<LinuxHost>,
    registry: Arc<Registry>,
    query: Query,
    arbiter: Arbiter,
    round: space::Round,
    /// Says to whoever sweeps after the dead that this instance lives, until it ends.
    alive: Arc<OnceLock<fs::File>>,
}

impl Parts {
    fn new(setup: Setup, log: Arc<SqliteLog>, host: Arc<LinuxHost>) -> Self {
        let shared: Arc<dyn EventLog> = Arc::<SqliteLog>::clone(&log);
        let world: Arc<dyn Host> = Arc::<LinuxHost>::clone(&host);
        let (clock, boot) = (Arc::clone(&setup.clock), setup.boot.clone());
        let house = House::new(shared, world, clock, setup.identity.node, boot, RetryPolicy::default())
            .watched_by(Arc::clone(&setup.watch));
        let arbiter = Arbiter::new();
        let registry = Registry::new(Arc::new(house), arbiter.handle());
        let query = Query::new(log.reader());
        let round = space::Round::default();
        Self { setup: Arc::new(setup), log, host, registry, query, arbiter, round, alive: Arc::default() }
    }

    fn beginning(&self, can_start: bool, ending: watch::Receiver<bool>) -> Beginning {
        Beginning {
            setup: Arc::clone(&self.setup),
            log: Arc::clone(&self.log),
            registry: Arc::clone(&self.registry),
            query: self.query.clone(),
            host: Arc::clone(&self.host),
            can_start,
            ending,
            round: space::Round::clone(&self.round),
            alive: Arc::clone(&self.alive),
        }
    }

    fn ticker(&self) -> Ticker {
        let log = Arc::clone(&self.log);
        let room = Arc::new(move || log.level() < Level::Tight && log.read_only().is_none());
        Ticker::new(Arc::clone(&self.registry), self.query.clone(), room)
    }

    fn tell_trouble(&self) {
        if let Some(found) = self.log.divergence() {
            tell_divergence(&found);
        }
        if let Some(trouble) = self.log.key_trouble() {
            tracing::error!("{trouble}");
        }
    }

    /// Ends in order: nobody works on the log any more when it is closed.
    async fn end(self) -> Result<(), Refused> {
        // Who is held still by now is recorded so, or goes on.
        let _ = tokio::time::timeout(ROUND_PATIENCE, self.round.lock()).await;
        start::take_leave(&self.registry).await;
        // What a history says that nobody accepted is no reason to give anything up.
        let empty = self.log.divergence().is_none() && start::is_empty(&self.query);
        self.host.close();
        self.registry.close().await;
        self.arbiter.stop();
        let _ = fs::remove_file(self.setup.state.join(INSTANCE_FILE));
        let _ = fs::remove_file(signpost(&self.setup.state));
        leave_no_marks(&self.setup, empty);
        Ok(tokio::task::spawn_blocking(move || self.log.close()).await?)
    }
}

async fn serve(setup: Setup, log: Arc<SqliteLog>, host: Arc<LinuxHost>) -> Result<(), Refused> {
    let parts = Parts::new(setup, log, host);
    parts.registry.take_up_unrecorded();
    let findings = doctor::report(&parts.setup.state);
    let (end, ending) = watch::channel(false);
    let beginning = parts.beginning(doctor::can_start(&findings), ending.clone());
    parts.tell_trouble();
    let begun = parts.log.read_only().is_none();
    let rebooted = begun && beginning.all().await?;
    if !begun {
        beginning.put_off();
    }
    let ticking = actix::spawn(parts.ticker().run(ending.clone()));
    let socket = parts.setup.run.join("api.sock");
    open_the_way(&parts.setup.run)?;
    if let Err(error) = write_instance(&parts.setup, &socket) {
        tracing::warn!(%error, "where the socket is cannot be written into the state directory");
    }
    let serving = berth::api::serve(ports(&parts, findings, ending), &socket);
    // Listened for before anybody is told that all is ready: one that came earlier than that would end the process.
    let signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    actix::spawn(end_on_signal(signals, end));
    berth::sys::service::notify(if begun {
        "READY=1"
    } else {
        "READY=1\nSTATUS=Nothing can be recorded: berth node status"
    })?;
    tracing::info!(socket = %socket.display(), "the daemon is ready");
    audit::look_through(&parts.log, &parts.setup.keys)?;
    if begun {
        beginning.autostart(rebooted);
    } else {
        actix::spawn(begin_once_written(Arc::clone(&parts.log), beginning));
    }
    let served = serving.await;

    let _ = berth::sys::service::notify("STOPPING=1");
    ticking.await?;
    parts.end().await?;
    Ok(served?)
}

/// Ends the daemon at SIGTERM or SIGINT; containers go on.
async fn end_on_signal([mut terminate, mut interrupt]: [Signal; 2], end: watch::Sender<bool>) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("ending; containers go on");
    let _ = end.send(true);
}
