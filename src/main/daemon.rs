//! The daemon: puts the concrete parts together, makes what is shown true, opens the API, and ends in order.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use actix::{Arbiter, System};
use berth::actors::{House, Registry, RetryPolicy, reconcile, recover};
use berth::api::client::{INSTANCE_FILE, RUN_OF_ROOT, signpost};
use berth::api::{LogPorts, NodeFacts, Ports};
use berth::effects::Host;
use berth::effects::access::Access;
use berth::effects::clock::SystemClock;
use berth::effects::linux::network::{Networks, choose_subnet, host_subnets};
use berth::effects::linux::paths::StatePaths;
use berth::effects::linux::{HostOptions, LinuxHost};
use berth::effects::steps::Immortal;
use berth::kernel::cgroup::{Cgroup, Layout};
use berth::projections::query::{Moment, Query};
use berth::scheduler::ticker::Ticker;
use berth::storage::{EventStore, Level, OpenError, Options, SpaceProbe, SqliteStore};
use berth::types::{Clock, Subnet};
use tokio::sync::watch;

use super::identity::{self, Identity};
use super::{audit, doctor, neighbours, networks, start};

/// Is what the parts need to know before any of them is made.
pub(crate) struct Setup {
    pub(crate) state: PathBuf,
    pub(crate) run: PathBuf,
    pub(crate) keys: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) boot: String,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Runs the daemon until it is told to end.
pub(crate) fn run(state: &Path, key_dir: Option<&Path>) -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("BERTH_LOG")
                .unwrap_or_else(|_| "info,actix_server=warn".into()),
        )
        .init();
    match begin(state, key_dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refused) => {
            eprintln!("error: {}", refused.reason);
            if let Some(hint) = refused.hint {
                eprintln!("  {hint}");
            }
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

fn begin(state: &Path, key_dir: Option<&Path>) -> Result<(), Refused> {
    let identity = identity::of(state).map_err(|error| unusable(state, &error))?;
    let keys = key_dir.map_or_else(identity::key_directory, Path::to_path_buf);
    let setup = Setup {
        run: identity::run_directory(state, &identity),
        state: absolute(state)?,
        keys,
        identity,
        boot: berth::kernel::identity::boot_id()?,
        clock: Arc::new(SystemClock),
    };
    let store = open_log(&setup)?;
    belongs_here(&setup, &Query::new(store.reader()))?;
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

/// Says what to type where a log is not the one that was signed.
fn accept_hint(setup: &Setup) -> String {
    let (state, keys) = (setup.state.display(), setup.keys.display());
    format!("put the newer copy back, or go on with this one: berth --state {state} node accept-history --key-dir {keys}")
}

fn open_log(setup: &Setup) -> Result<Arc<SqliteStore>, Refused> {
    let mut options = Options::new(Arc::clone(&setup.clock), &setup.keys, space_probe());
    options.projections = berth::projections::all();
    let opened = SqliteStore::open(&setup.state, options);
    opened.map(Arc::new).map_err(|error| {
        let (hint, code) = match error {
            OpenError::InUse { .. } => (Some("another daemon runs on it: berth node status".to_owned()), 6),
            OpenError::History(_) => (Some(accept_hint(setup)), 10),
            _ => (None, 1),
        };
        Refused { reason: error.to_string(), hint, code }
    })
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
    );
    let arbiter = Arbiter::new();
    let registry = Registry::new(Arc::new(house), arbiter.handle());
    let query = Query::new(store.reader());
    let findings = doctor::report(&setup.state);
    let rebooted = start::has_rebooted(&query, &setup);
    start::introduce(&registry, &setup).await;
    start::sweep(&registry, &query).await?;
    recover(&registry, &query.owing_streams()?);
    let access: Arc<dyn Access> = Arc::<LinuxHost>::clone(&host);
    start::settle(&registry, &query, &access).await?;
    start::default_network(&registry, &query, &setup, doctor::can_start(&findings)).await;
    reconcile::follow(Arc::clone(&registry));

    let (end, ending) = watch::channel(false);
    let watching = networks::follow(Arc::clone(&registry), query.clone(), Arc::clone(&host), ending.clone());
    actix::spawn(watching);
    let level = Arc::clone(&store);
    let room = Arc::new(move || level.level() < Level::Tight);
    let ticking = actix::spawn(Ticker::new(Arc::clone(&registry), query.clone(), room).run(ending.clone()));
    let (socket, keys) = (setup.run.join("api.sock"), setup.keys.clone());
    open_the_way(&setup.run)?;
    write_instance(&setup, &socket)?;
    let last_look = query.clone();
    let ports = ports(&setup, &store, &host, (Arc::clone(&registry), query.clone()), (findings, ending));
    let serving = berth::api::serve(ports, &socket);
    actix::spawn(end_on_signal(end));
    berth::sys::service::notify("READY=1")?;
    tracing::info!(socket = %socket.display(), "the daemon is ready");
    audit::look_through(&store, &keys)?;
    if rebooted {
        let starting = Arc::clone(&registry);
        actix::spawn(async move { start::autostart(&starting, &query).await });
    }
    let served = serving.await;

    let _ = berth::sys::service::notify("STOPPING=1");
    ticking.await?;
    start::take_leave(&registry).await;
    let empty = start::is_empty(&last_look);
    host.close();
    registry.close().await;
    arbiter.stop();
    let _ = fs::remove_file(setup.state.join(INSTANCE_FILE));
    let _ = fs::remove_file(signpost(&setup.state));
    leave_no_marks(&setup, empty);
    tokio::task::spawn_blocking(move || store.close()).await?;
    Ok(served?)
}

/// Removes what nobody needs any more: empty folders, and without containers the instance's block of ids.
fn leave_no_marks(setup: &Setup, empty: bool) {
    for folder in ["containers", "disks", "sessions", ""] {
        let _ = fs::remove_dir(setup.run.join(folder)); // what is not empty stays
    }
    if empty {
        neighbours::forget(&setup.state, &setup.identity.instance);
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
/// cannot look into the state directory; for them it stands below `/run/berth`, too.
fn write_instance(setup: &Setup, socket: &Path) -> io::Result<()> {
    let told = serde_json::json!({
        "instance": setup.identity.instance,
        "run_dir": setup.run,
        "socket": socket,
        "pid": std::process::id(),
        "started_at": setup.clock.now(),
    });
    let told = serde_json::to_vec(&told)?;
    fs::write(setup.state.join(INSTANCE_FILE), &told)?;
    let signpost = signpost(&setup.state);
    match berth::api::group_id().filter(|_| setup.run.starts_with(RUN_OF_ROOT)) {
        Some(group) => {
            fs::write(&signpost, &told)?;
            std::os::unix::fs::chown(&signpost, None, Some(group))?;
            fs::set_permissions(&signpost, fs::Permissions::from_mode(0o640))
        }
        None => Ok(()),
    }
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
    let (rebuilding, actors) = (Arc::clone(store), Arc::clone(&registry));
    let networks = Networks::new(&setup.identity.instance, &setup.run);
    let (seed, state) = (setup.identity.instance.clone(), setup.state.clone());
    let has = |feature: &str| findings.findings.iter().any(|finding| finding.feature == feature && finding.ok);
    Ports {
        registry,
        query,
        access: Arc::<LinuxHost>::clone(host),
        doctor: Arc::new(move || doctor::report(&state)),
        clock: Arc::clone(&setup.clock),
        log: LogPorts {
            level: Arc::new(move || level.level()),
            read_only: Arc::new(move || read_only.read_only()),
            checkpoint: Arc::new(move || sealing.seal()),
            rebuild: Arc::new(move || audit::rebuild_live(&rebuilding, &actors)),
        },
        node: NodeFacts {
            id: setup.identity.node,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            image_disks: has("loop devices") && has("mkfs.ext4") && doctor::can_start(&findings),
            process_limits: has("cgroup controller pids"),
            can_start: doctor::can_start(&findings),
            bridge_name: Arc::new(move |network| networks.bridge_name(network)),
            free_subnet: Arc::new(move |taken| free_subnet(taken, &seed)),
        },
        shutdown,
    }
}

/// Finds a range of addresses that is in nobody's way: not on this host, not in another network of ours.
pub(crate) fn free_subnet(taken: &[Subnet], seed: &str) -> Result<Subnet, berth::domain::Failure> {
    let failed =
        |error: io::Error| berth::domain::Failure::transient(format!("cannot look at the host's addresses: {error}"));
    let mut netlink = berth::sys::netlink::Netlink::open().map_err(failed)?;
    let mut all = host_subnets(&mut netlink).map_err(failed)?;
    all.extend(taken.iter().map(|subnet| match subnet {
        Subnet::V4(subnet) => *subnet,
    }));
    choose_subnet(&all, seed).ok_or_else(|| berth::domain::Failure::permanent("no private range of addresses is free"))
}

/// Ends the daemon at SIGTERM or SIGINT; containers go on.
async fn end_on_signal(end: watch::Sender<bool>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be received");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("ending; containers go on");
    let _ = end.send(true);
}
