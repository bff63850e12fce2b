//! The daemon: puts the concrete parts together, makes what is shown true, opens the API, and ends in order.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::{Arbiter, System};
use berth::actors::{House, Registry, RetryPolicy, reconcile, recover};
use berth::api::client::{INSTANCE_FILE, RUN_OF_ROOT, Started, signpost};
use berth::api::{LogPorts, NodeFacts, Ports};
use berth::cli::DaemonArguments;
use berth::effects::Host;
use berth::effects::access::Access;
use berth::effects::clock::SystemClock;
use berth::effects::linux::network::{Networks, choose_subnet, in_the_way, used_by_host};
use berth::effects::linux::paths::StatePaths;
use berth::effects::linux::{HostOptions, LinuxHost};
use berth::effects::steps::Immortal;
use berth::kernel::cgroup::{Cgroup, Layout};
use berth::projections::query::{Moment, Query};
use berth::scheduler::ticker::Ticker;
use berth::storage::{Divergence, EventStore, Level, OpenError, Options, Purpose, Reader, SpaceProbe, SqliteStore};
use berth::types::{Clock, ClockWatch, Subnet, Timestamp};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::identity::{self, Identity};
use super::{audit, capacity, clock, doctor, history, neighbours, networks, space, start};

/// How often it is looked whether a log that cannot be written can be.
const LOG_PAUSE: Duration = Duration::from_millis(500);

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
    let store = open_log(&setup, arguments.new_keys)?;
    belongs_here(&setup, &Query::new(store.reader()))?;
    if let Err(error) = started.keep(&setup.state) {
        tracing::warn!(%error, "how the daemon was started cannot be written into the state directory");
    }
    clock::judge(&setup.watch, &Query::new(store.reader()), &setup.boot)?;
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
        key_dir: setup.keys.join(store.head().log.to_string()),
        node: setup.identity.node,
        executable: std::env::current_exe()?,
        cgroup_parent: parent,
        group: berth::api::group_id().filter(|_| berth::sys::process::effective_user() == 0),
        clock: Arc::clone(&setup.clock),
        crash: Arc::new(Immortal),
    })?;
    System::new().block_on(serve(setup, store, host))
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

/// Asks for the free space of the file system that a path is on.
pub(crate) fn space_probe() -> SpaceProbe {
    Arc::new(|path: &Path| {
        let root = berth::sys::fs::open_root(path)?;
        berth::sys::fs::free_bytes(std::os::fd::AsFd::as_fd(&root))
    })
}

/// Refuses the log of another instance: it speaks of containers that are not on this host.
fn belongs_here(setup: &Setup, query: &Query) -> Result<(), Refused> {
    let (own, state) = (&setup.identity.instance, setup.state.display());
    match query.node(Moment::Now)? {
        Some(row) if !row.instance.is_empty() && row.instance != *own => Err(Refused {
            reason: format!(
                "the log in {state} is that of instance {} of {}; this state directory is instance {own}",
                row.instance, row.hostname
            ),
            hint: Some("put the log back that belongs to it, or the file node that belongs to the log".to_owned()),
            code: 1,
        }),
        _ => Ok(()),
    }
}

/// Says that a log is not the one that was signed, and what to do.
fn tell_divergence(found: &Divergence) {
    let cure = found.cure();
    tracing::error!("{found}; until then nothing is recorded, and containers can only be stopped: {cure}");
}

fn open_log(setup: &Setup, new_keys: bool) -> Result<Arc<SqliteStore>, Refused> {
    let mut options = Options::new(Arc::clone(&setup.clock), &setup.keys, space_probe());
    options.projections = berth::projections::all();
    options.purpose = if new_keys { Purpose::Rekey } else { Purpose::Work };
    options.timekeeper = Some(clock::timekeeper(&setup.watch, setup.identity.node, &setup.boot));
    let opened = SqliteStore::open(&setup.state, options);
    if let (Err(OpenError::KeyGone { .. }), Ok(reader)) = (&opened, Reader::open(&setup.state)) {
        belongs_here(setup, &Query::new(reader))?; // that would be why
    }
    opened.map(Arc::new).map_err(|error| {
        let (hint, code) = match error {
            OpenError::InUse { .. } => (Some("another daemon runs on it: berth node status".to_owned()), 6),
            OpenError::KeyGone { .. } => (Some(where_keys_were(setup)), 1),
            _ => (None, 1),
        };
        Refused { reason: error.to_string(), hint, code }
    })
}

/// Says how to start with the keys that the log had, or without them.
fn where_keys_were(setup: &Setup) -> String {
    let state = setup.state.display();
    let lost = format!(
        "If they are lost for good: berth --state {state} daemon --key-dir {} --new-keys (stores of before stay closed without \
         their own)",
        setup.keys.display()
    );
    let before = Started::of(&setup.state).map(|started| started.key_dir.unwrap_or_else(identity::key_directory));
    match before {
        Some(place) if place != setup.keys => {
            let place = place.display();
            format!("The daemon had its keys in {place}: berth --state {state} daemon --key-dir {place}\n  {lost}")
        }
        Some(place) => format!("They were in {}: put that directory back.\n  {lost}", place.display()),
        None => lost,
    }
}

async fn serve(setup: Setup, store: Arc<SqliteStore>, host: Arc<LinuxHost>) -> Result<(), Refused> {
    let log: Arc<dyn EventStore> = Arc::<SqliteStore>::clone(&store);
    let world: Arc<dyn Host> = Arc::<LinuxHost>::clone(&host);
    let house = House::new(
        log,
        world,
        Arc::clone(&setup.clock),
        setup.identity.node,
        setup.boot.clone(),
        RetryPolicy::default(),
    )
    .watched_by(Arc::clone(&setup.watch));
    let arbiter = Arbiter::new();
    let registry = Registry::new(Arc::new(house), arbiter.handle());
    registry.take_up_unrecorded();
    let query = Query::new(store.reader());
    let findings = doctor::report(&setup.state);
    let (end, ending) = watch::channel(false);
    let (setup, alive) = (Arc::new(setup), Arc::new(OnceLock::new()));
    let beginning = Beginning {
        setup: Arc::clone(&setup),
        store: Arc::clone(&store),
        registry: Arc::clone(&registry),
        query: query.clone(),
        host: Arc::clone(&host),
        can_start: doctor::can_start(&findings),
        ending: ending.clone(),
        alive: Arc::clone(&alive),
    };
    if let Some(found) = store.divergence() {
        tell_divergence(&found);
    }
    if let Some(trouble) = store.key_trouble() {
        tracing::error!("{trouble}");
    }
    let begun = store.read_only().is_none();
    let rebooted = begun && beginning.all().await?;
    if !begun {
        beginning.put_off();
    }
    let level = Arc::clone(&store);
    let room = Arc::new(move || level.level() < Level::Tight && level.read_only().is_none());
    let ticking = actix::spawn(Ticker::new(Arc::clone(&registry), query.clone(), room).run(ending.clone()));
    let (socket, keys) = (setup.run.join("api.sock"), setup.keys.clone());
    open_the_way(&setup.run)?;
    if let Err(error) = write_instance(&setup, &socket) {
        tracing::warn!(%error, "where the socket is cannot be written into the state directory");
    }
    let last_look = query.clone();
    let ports = ports(&setup, &store, &host, (Arc::clone(&registry), query.clone()), (findings, ending));
    let serving = berth::api::serve(ports, &socket);
    // Listened for before anybody is told that all is ready: one that came earlier than that would end the process.
    let signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    actix::spawn(end_on_signal(signals, end));
    berth::sys::service::notify(if begun {
        "READY=1"
    } else {
        "READY=1\nSTATUS=Nothing can be recorded: berth node status"
    })?;
    tracing::info!(socket = %socket.display(), "the daemon is ready");
    audit::look_through(&store, &keys)?;
    if begun {
        beginning.autostart(rebooted);
    } else {
        actix::spawn(begin_once_written(Arc::clone(&store), beginning));
    }
    let served = serving.await;

    let _ = berth::sys::service::notify("STOPPING=1");
    ticking.await?;
    start::take_leave(&registry).await;
    // What a history says that nobody accepted is no reason to give anything up.
    let empty = store.divergence().is_none() && start::is_empty(&last_look);
    host.close();
    registry.close().await;
    arbiter.stop();
    let _ = fs::remove_file(setup.state.join(INSTANCE_FILE));
    let _ = fs::remove_file(signpost(&setup.state));
    leave_no_marks(&setup, empty);
    tokio::task::spawn_blocking(move || store.close()).await?;
    Ok(served?)
}

/// Is what has to be true before anything is changed, and what is watched from then on.
struct Beginning {
    setup: Arc<Setup>,
    store: Arc<SqliteStore>,
    registry: Arc<Registry>,
    query: Query,
    host: Arc<LinuxHost>,
    can_start: bool,
    ending: watch::Receiver<bool>,
    /// Says to whoever sweeps after the dead that this instance lives.
    alive: Arc<OnceLock<fs::File>>,
}

impl Beginning {
    /// Makes what is shown true and goes on with what is open; says whether the node went down in between.
    async fn all(&self) -> Result<bool, Refused> {
        let Self { setup, registry, query, host, can_start, ending, .. } = self;
        let rebooted = start::has_rebooted(query, setup);
        start::introduce(registry, setup).await;
        start::end_unknown(registry).await;
        self.hold_entry()?;
        clock::time_boot(registry).await;
        start::sweep(registry, query).await?;
        start::finish_redactions(&self.store, registry, ending.clone()).await;
        start::forget_commands(query, &**host);
        recover(registry, &query.owing_streams()?);
        let access: Arc<dyn Access> = Arc::<LinuxHost>::clone(host);
        start::settle(registry, query, &access).await?;
        start::default_network(registry, query, setup, *can_start).await;
        reconcile::follow(Arc::clone(registry));
        actix::spawn(networks::follow(Arc::clone(registry), query.clone(), Arc::clone(host), ending.clone()));
        actix::spawn(clock::follow(Arc::clone(registry), ending.clone()));
        actix::spawn(space::follow(Arc::clone(registry), query.clone(), access, ending.clone()));
        Ok(rebooted)
    }

    /// Goes without what has to be recorded first; what another daemon must know stands there from an earlier time, if at all.
    fn put_off(&self) {
        if let Err(refused) = self.hold_entry() {
            tracing::warn!(reason = refused.reason, "others may take this daemon for dead");
        }
    }

    /// Says that this instance lives: without that its bridges and groups would pass for left ones; only root has any.
    fn hold_entry(&self) -> Result<(), Refused> {
        if berth::sys::process::effective_user() != 0 || self.alive.get().is_some() {
            return Ok(());
        }
        let held = neighbours::hold(&self.setup.identity.instance).map_err(|error| Refused {
            reason: format!("the register of daemons in /run/berth cannot be used: {error}"),
            hint: Some("make room in /run, or mount it writable, then start again".to_owned()),
            code: 1,
        })?;
        let _ = self.alive.set(held); // nobody else sets it
        Ok(())
    }

    fn autostart(self, rebooted: bool) {
        if rebooted {
            actix::spawn(async move { start::autostart(&self.registry, &self.query).await });
        }
    }
}

/// Begins late, where the log could not be written when the daemon was started: until then it only answers questions.
async fn begin_once_written(log: Arc<SqliteStore>, beginning: Beginning) {
    let mut ending = beginning.ending.clone();
    while log.read_only().is_some() {
        if tokio::time::timeout(LOG_PAUSE, ending.changed()).await.is_ok() {
            return;
        }
    }
    match beginning.all().await {
        Ok(rebooted) => {
            let _ = berth::sys::service::notify("STATUS=");
            beginning.autostart(rebooted);
        }
        Err(refused) => tracing::error!(reason = refused.reason, "the daemon cannot begin; start it anew"),
    }
}

/// Removes what nobody needs any more: empty folders, and without containers the instance's block of ids.
fn leave_no_marks(setup: &Setup, empty: bool) {
    for folder in ["containers", "disks", "sessions", "unrecorded", ""] {
        let _ = fs::remove_dir(setup.run.join(folder)); // what is not empty stays
    }
    if empty {
        let bare = Networks::new(&setup.identity.instance, &setup.run).on_host().is_ok_and(|left| left.is_empty());
        neighbours::forget(&setup.state, &setup.identity.instance, bare);
    }
}

/// Lets members of the group `berth` reach the socket; everything else below is closed by its own mode.
fn open_the_way(run: &Path) -> io::Result<()> {
    for folder in [run.parent(), Some(run)].into_iter().flatten().filter(|folder| folder.starts_with(RUN_OF_ROOT)) {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o711))?;
    }
    Ok(())
}

/// Tells the command line where the socket is: the state directory's own path may be too long for one. Members of the group
/// cannot look into the state directory, and on a full disk nothing can be written there: so it stands below `/run/berth`,
/// too.
fn write_instance(setup: &Setup, socket: &Path) -> io::Result<()> {
    let told = serde_json::json!({
        "instance": setup.identity.instance,
        "run_dir": setup.run,
        "socket": socket,
        "pid": std::process::id(),
        "started_at": setup.clock.now(),
    });
    let told = serde_json::to_vec(&told)?;
    if setup.run.starts_with(RUN_OF_ROOT) {
        let signpost = signpost(&setup.state);
        fs::write(&signpost, &told)?;
        let group = berth::api::group_id();
        std::os::unix::fs::chown(&signpost, None, group)?;
        fs::set_permissions(&signpost, fs::Permissions::from_mode(if group.is_some() { 0o640 } else { 0o600 }))?;
    }
    let path = setup.state.join(INSTANCE_FILE);
    berth::sys::fs::durable::replace(&path, &told).inspect_err(|_| {
        let _ = fs::remove_file(&path); // what an earlier daemon said is worse than nothing
    })
}

type Rules = (Arc<Registry>, Query);

fn ports(
    setup: &Setup,
    store: &Arc<SqliteStore>,
    host: &Arc<LinuxHost>,
    (registry, query): Rules,
    (findings, shutdown): (berth::api::resources::DoctorReport, watch::Receiver<bool>),
) -> Ports {
    let (level, read_only, sealing) = (Arc::clone(store), Arc::clone(store), Arc::clone(store));
    let redacting = Arc::clone(store);
    let (rebuilding, actors) = (Arc::clone(store), Arc::clone(&registry));
    let (accepting, telling, keys) = (Arc::clone(store), Arc::clone(store), Arc::clone(store));
    let (node, wall) = (setup.identity.node, Arc::clone(&setup.clock));
    let networks = Networks::new(&setup.identity.instance, &setup.run);
    let disks = setup.state.clone();
    let (seed, state) = (setup.identity.instance.clone(), setup.state.clone());
    let (watch, recorded) = (Arc::clone(&setup.watch), query.clone());
    let has = |feature: &str| findings.findings.iter().any(|finding| finding.feature == feature && finding.ok);
    Ports {
        registry,
        query,
        access: Arc::<LinuxHost>::clone(host),
        doctor: Arc::new(move || {
            let mut report = doctor::report(&state);
            report.findings.push(clock::finding(&watch, &recorded));
            report.findings.push(history::finding(telling.divergence().as_ref()));
            report.findings.push(history::key_finding(telling.key_trouble()));
            report
        }),
        clock: Arc::clone(&setup.clock),
        log: LogPorts {
            level: Arc::new(move || level.level()),
            read_only: Arc::new(move || read_only.read_only()),
            key_trouble: Arc::new(move || keys.key_trouble()),
            redact: Arc::new(move |positions| redacting.redact(positions)),
            checkpoint: Arc::new(move || sealing.seal()),
            rebuild: Arc::new(move || audit::rebuild_live(&rebuilding, &actors)),
            accept: Arc::new(move |word| {
                history::accept_in(&accepting, node, &*wall, word).map_err(|error| error.to_string())
            }),
        },
        node: NodeFacts {
            id: setup.identity.node,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            directories: own_directories(setup),
            image_disks: has("loop devices") && has("mkfs.ext4") && doctor::can_start(&findings),
            process_limits: has("cgroup controller pids"),
            can_start: doctor::can_start(&findings),
            refuse_overcommit: setup.refuse_overcommit,
            bridge_name: Arc::new(move |network| networks.bridge_name(network)),
            free_subnet: Arc::new(move |taken| free_subnet(taken, &seed)),
            in_the_way: Arc::new(in_the_way_of),
            capacity: Arc::new(move || capacity::of(&disks)),
        },
        shutdown,
    }
}

/// Lists what the daemon keeps for itself. What is large may lie elsewhere, behind a link; and all daemons of root tell of
/// themselves in one folder, beside their run directories.
fn own_directories(setup: &Setup) -> Vec<PathBuf> {
    let large = ["containers", "templates"].map(|name| setup.state.join(name));
    let told = setup.run.starts_with(RUN_OF_ROOT).then(|| PathBuf::from(RUN_OF_ROOT));
    [setup.state.clone(), setup.keys.clone(), setup.run.clone()].into_iter().chain(told).chain(large).collect()
}

/// Finds a range of addresses that is in nobody's way: not on this host, not in another network of ours.
pub(crate) fn free_subnet(taken: &[Subnet], seed: &str) -> Result<Subnet, berth::domain::Failure> {
    let mut netlink = berth::sys::netlink::Netlink::open().map_err(unseen)?;
    let used = used_by_host(&mut netlink).map_err(unseen)?;
    let mut all: Vec<_> = used.into_iter().map(|used| used.subnet).collect();
    all.extend(taken.iter().map(|subnet| match subnet {
        Subnet::V4(subnet) => *subnet,
    }));
    choose_subnet(&all, seed).ok_or_else(|| berth::domain::Failure::permanent("no private range of addresses is free"))
}

fn in_the_way_of(subnet: Subnet) -> Result<Vec<String>, berth::domain::Failure> {
    let mut netlink = berth::sys::netlink::Netlink::open().map_err(unseen)?;
    in_the_way(&mut netlink, subnet, None).map_err(unseen)
}

fn unseen(error: io::Error) -> berth::domain::Failure {
    berth::domain::Failure::transient(format!("cannot look at the host's addresses: {error}"))
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
