//! What the API may ask of the daemon, put together from the concrete parts.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use berth::api::client::RUN_OF_ROOT;
use berth::api::resources::DoctorReport;
use berth::api::{LogPorts, NodeFacts, Ports};
use berth::effects::linux::LinuxHost;
use berth::effects::linux::network::{Networks, choose_subnet, in_the_way, used_by_host};
use berth::types::Subnet;
use tokio::sync::watch;

use super::super::{audit, capacity, clock, doctor, history};
use super::{Parts, Setup};

pub(super) fn ports(parts: &Parts, findings: DoctorReport, shutdown: watch::Receiver<bool>) -> Ports {
    let Parts { setup, log, host, registry, query, .. } = parts;
    let (level, read_only, sealing) = (Arc::clone(log), Arc::clone(log), Arc::clone(log));
    let redacting = Arc::clone(log);
    let (rebuilding, actors) = (Arc::clone(log), Arc::clone(registry));
    let (accepting, telling, keys) = (Arc::clone(log), Arc::clone(log), Arc::clone(log));
    let (node, wall) = (setup.identity.node, Arc::clone(&setup.clock));
    let networks = Networks::new(&setup.identity.instance, &setup.run);
    let disks = setup.state.clone();
    let (seed, state) = (setup.identity.instance.clone(), setup.state.clone());
    let (watch, recorded) = (Arc::clone(&setup.watch), query.clone());
    let has = |feature: &str| findings.findings.iter().any(|finding| finding.feature == feature && finding.ok);
    Ports {
        registry: Arc::clone(registry),
        query: query.clone(),
        access: Arc::<LinuxHost>::clone(host),
        doctor: Arc::new(move || {
            let mut report = doctor::report(&state);
            report.findings.push(clock::finding(&watch, &recorded));
            report.findings.push(history::finding(telling.divergence().as_ref()));
            report.findings.push(history::key_finding(telling.key_trouble().as_ref()));
            report
        }),
        clock: Arc::clone(&setup.clock),
        log: LogPorts {
            level: Arc::new(move || level.level()),
            read_only: Arc::new(move || read_only.read_only()),
            key_trouble: Arc::new(move || keys.key_trouble().map(|trouble| trouble.to_string())),
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
