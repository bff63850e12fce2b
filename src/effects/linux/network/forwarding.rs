//! Lets packets pass between a bridge and the host's own links, and takes that back.
//!
//! The kernel asks the interface that a packet came in by (Documentation/networking/ip-sysctl.rst,
//! `conf/interface/forwarding`). So the bridge and the links that carry routes are enough; the global switch, which turns
//! every link of the host into a router's, is left alone. What was changed is written down for the boot and put back when
//! the last network goes, unless somebody has switched forwarding on for the whole host meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::sys::netlink::Netlink;

const GLOBAL: &str = "/proc/sys/net/ipv4/ip_forward";
const RECORD: &str = "forwarding.json";

/// Turns forwarding on for `bridge` and for every link of the host that carries a route, and records what was off.
pub(super) fn ensure(netlink: &mut Netlink, bridge: &str, runtime: &Path) -> io::Result<()> {
    let mut changed = recorded(runtime)?;
    for name in carriers(netlink)?.into_iter().chain([bridge.to_owned()]) {
        let before = read(&name)?;
        if before == "1" {
            continue;
        }
        // Recorded first: a crash in between leaves a note too many, never a change without one.
        changed.entry(name.clone()).or_insert(before);
        record(runtime, &changed)?;
        fs::write(switch(&name), "1")?;
    }
    Ok(())
}

/// Puts back what `ensure` changed.
pub(super) fn restore(runtime: &Path) -> io::Result<()> {
    let whole_host = fs::read_to_string(GLOBAL).is_ok_and(|value| value.trim() == "1");
    for (name, before) in recorded(runtime)? {
        if !whole_host && !needed_by_another_instance(runtime, &name) && switch(&name).exists() {
            fs::write(switch(&name), before)?;
        }
    }
    match fs::remove_file(runtime.join(RECORD)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn carriers(netlink: &mut Netlink) -> io::Result<Vec<String>> {
    let with_routes: Vec<u32> = netlink.routes()?.into_iter().filter_map(|route| route.index).collect();
    let links = netlink.links()?.into_iter().filter(|link| with_routes.contains(&link.index) && link.name != "lo");
    Ok(links.map(|link| link.name).collect())
}

fn switch(name: &str) -> PathBuf {
    Path::new("/proc/sys/net/ipv4/conf").join(name).join("forwarding")
}

fn read(name: &str) -> io::Result<String> {
    Ok(fs::read_to_string(switch(name))?.trim().to_owned())
}

fn recorded(runtime: &Path) -> io::Result<BTreeMap<String, String>> {
    match fs::read(runtime.join(RECORD)) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

fn record(runtime: &Path, changed: &BTreeMap<String, String>) -> io::Result<()> {
    let partial = runtime.join("forwarding.json.partial");
    fs::write(&partial, serde_json::to_vec(changed)?)?;
    fs::rename(partial, runtime.join(RECORD))
}

fn needed_by_another_instance(runtime: &Path, name: &str) -> bool {
    let Some(all) = runtime.parent() else { return false };
    let Ok(instances) = fs::read_dir(all) else { return false };
    let others = instances.flatten().map(|entry| entry.path()).filter(|path| path != runtime);
    others.into_iter().any(|other| recorded(&other).is_ok_and(|changed| changed.contains_key(name)))
}
