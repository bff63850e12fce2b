//! What this host can do and what it lacks, each with what to do about it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use berth::api::resources::{DoctorFinding, DoctorReport};
use berth::effects::linux::network::Networks;
use berth::kernel::probe::{Feature, PLACE_PREFIX, State, Weight};
use berth::sys::ext4;
use berth::sys::loop_device::{Backing, LoopDevice};
use berth::sys::mount;
use berth::types::DiskFaults;

use super::{identity, leftovers};

/// The finding that says whether containers can start at all.
pub(crate) const START: &str = "start-containers";

/// The program of this very process, also when an upgrade has put another one in its place (proc_pid_exe(5)).
const OWN_PROGRAM: &str = "/proc/self/exe";

/// The first of all features.
const ROOT: &str = "root";

/// What to do about a missing feature, by its name.
const CURES: &[(&str, &str)] = &[
    (ROOT, "run the daemon as root to start containers; everything else works without"),
    ("loop devices", "load the module loop, or use --disk-kind directory; in a container: --privileged --nesting"),
    ("cgroup devices", "in a container of another host: give it --privileged --nesting"),
    (
        "overlay in a user namespace",
        "a state directory on ext4, btrfs or xfs, not on an overlay or a network's file system",
    ),
    ("mkfs.ext4", "install the package e2fsprogs, or use --disk-kind directory"),
    ("nft", "install the package nftables for masquerading and anti-spoofing"),
    ("CAP_SYS_RESOURCE", "disks in use cannot grow here; stop a container before growing its disk"),
    ("VLAN", "nothing needs it yet"),
    (
        "room for compiled filters",
        "stop what takes so many, or raise the limit: sysctl -w net.core.bpf_jit_limit=BYTES",
    ),
];

/// Looks at the host, and at what the file system of the state directory can do. The probe forks, so it runs in a
/// process of one thread.
pub(crate) fn report(state: &Path) -> DoctorReport {
    let features = match probe(state) {
        Ok(features) => features,
        Err(reason) => {
            return DoctorReport { findings: vec![finding(START, true, false, reason, None)] };
        }
    };
    let missing: Vec<_> = features.iter().filter(|feature| required_and_missing(feature)).collect();
    // Without root nearly everything is missing, and root is what is to be told.
    let told = if missing.iter().any(|feature| feature.name == ROOT) { &missing[..1] } else { &missing[..] };
    let reason = told.iter().map(|feature| format!("{}: {}", feature.name, reason_of(feature))).collect::<Vec<_>>();
    let mut findings = vec![finding(START, true, missing.is_empty(), reason.join("; "), None)];
    findings.extend(features.iter().filter(|feature| feature.weight != Weight::Fact).map(|feature| {
        let cure = CURES.iter().find(|(name, _)| *name == feature.name).map(|(_, cure)| (*cure).to_owned());
        let required = feature.weight == Weight::Required;
        finding(&feature.name, required, feature.is_there(), reason_of(feature), cure.filter(|_| !feature.is_there()))
    }));
    findings.extend(networks(state));
    findings.extend(disks(state));
    if features.iter().any(|feature| feature.name == ROOT && feature.is_there()) {
        findings.push(leftovers::finding(state));
    }
    findings.push(limits_inside());
    DoctorReport { findings }
}

/// Says whether containers can start here.
pub(crate) fn can_start(report: &DoctorReport) -> bool {
    report.findings.iter().any(|finding| finding.feature == START && finding.ok)
}

/// Layers are tried where those of containers will lie, or as near to it as anything is there.
fn probe(state: &Path) -> Result<Vec<Feature>, String> {
    let mut command = Command::new(OWN_PROGRAM);
    if let Some(place) = state.ancestors().find(|place| place.is_dir()) {
        sweep(place);
        command.env("TMPDIR", place);
    }
    let output = command.args(["shim", "--probe"]).output().map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout).map_err(|error| format!("the probe said nothing sensible: {error}"))
}

/// Removes what a probe left that was killed, or whose machine lost its power.
fn sweep(place: &Path) {
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(PLACE_PREFIX));
        if rest
            .and_then(|rest| rest.split('-').next()?.parse::<u32>().ok())
            .is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn required_and_missing(feature: &Feature) -> bool {
    feature.weight == Weight::Required && !feature.is_there()
}

fn reason_of(feature: &Feature) -> String {
    match &feature.state {
        State::Present { detail } => detail.clone(),
        State::Missing { reason } | State::Unknown { reason } => reason.clone(),
    }
}

fn finding(feature: &str, required: bool, ok: bool, reason: String, fix: Option<String>) -> DoctorFinding {
    DoctorFinding { feature: feature.to_owned(), required, spoilt: false, ok, reason, fix }
}

/// Asks what stands in the way of each network that this instance has on the host now.
fn networks(state: &Path) -> Vec<DoctorFinding> {
    let Some(identity) = identity::known(state) else { return vec![] };
    let networks = Networks::new(&identity.instance, &identity::run_directory(state, &identity));
    let found = networks.on_host().unwrap_or_default().into_iter().map(|(bridge, subnet)| {
        let shortcomings = networks.shortcomings(&bridge, subnet).unwrap_or_else(|failure| vec![failure.to_string()]);
        let reason = if shortcomings.is_empty() { subnet.to_string() } else { shortcomings.join("; ") };
        finding(&format!("network on {bridge}"), false, shortcomings.is_empty(), reason, None)
    });
    found.collect()
}

/// Names the disks in use to which writes failed.
fn disks(state: &Path) -> Vec<DoctorFinding> {
    let containers = fs::read_dir(state.join("containers")).into_iter().flatten().flatten();
    let images: Vec<PathBuf> = containers.map(|entry| entry.path().join("disk.img")).collect();
    let has_room = mount::room(state).is_ok_and(|room| room.bytes_free >= DiskFaults::HOST_ROOM.as_bytes());
    let failing = ext4::failing().into_iter().filter(|(_, errors, _)| *errors > 0 || !has_room);
    let found = failing.filter_map(|(device, errors, warnings)| {
        let backing = LoopDevice::open(&Path::new("/dev").join(device)).and_then(|device| device.backing()).ok()?;
        let image = images.iter().find(|image| Backing::of(image).is_ok_and(|own| own == backing))?;
        let container = image.parent()?.file_name()?.to_string_lossy().into_owned();
        let reason = format!("writes to it failed, and may be lost: {}", DiskFaults { errors, warnings }.words());
        // A backup may have the disk mounted though the container is stopped: a disk in use is locked.
        let image = image.display();
        let check = format!("flock --verbose -w 60 {image} e2fsck -fp {image}");
        let fix = format!(
            "see that the host has room, then: berth container stop {container}; {check}; \
             berth container start {container}; what it had at its last backup: \
             berth backup restore {container}@latest --in-place"
        );
        let found = finding(&format!("disk of {container}"), false, false, reason, Some(fix));
        Some(DoctorFinding { spoilt: true, ..found })
    });
    found.collect()
}

/// A container sees the host's figures in `/proc/meminfo`: said plainly instead of hidden.
fn limits_inside() -> DoctorFinding {
    let reason = "free and nproc inside a container show the host's figures; its limits hold all the same";
    finding("limits visible inside", false, false, reason.to_owned(), None)
}
