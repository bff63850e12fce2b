//! Lets packets pass between a bridge and the host's own links, and takes that back.
//!
//! The kernel asks the interface that a packet came in by (Documentation/networking/ip-sysctl.rst,
//! `conf/interface/forwarding`). So the bridge and the links that carry routes are enough; the global switch, which turns
//! every link of the host into a router's, is left alone.
//!
//! Each instance writes down for the boot which switches it needs and how it found them. One that an instance found on
//! because a neighbour had turned it on counts as the neighbour found it: whoever goes last puts it back, and nobody before.
//! Unless somebody has switched forwarding on for the whole host meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::is_name_of_berth;
use crate::sys::fs::lock;

use crate::sys::netlink::{Link, Netlink};

const GLOBAL: &str = "/proc/sys/net/ipv4/ip_forward";
const RECORD: &str = "forwarding.json";
const ON: &str = "1";

/// Turns forwarding on for `bridge` and for every link of the host that carries a route, and records how it was.
pub(super) fn ensure(netlink: &mut Netlink, bridge: &str, runtime: &Path) -> io::Result<()> {
    let _lock = locked(runtime)?;
    let mut needed = recorded(runtime)?;
    for name in carriers(netlink)?.into_iter().chain([bridge.to_owned()]) {
        let Some(present) = read(&name)? else { continue };
        if !needed.contains_key(&name) {
            // Recorded first: a crash in between leaves a note too many, never a change without one.
            needed.insert(name.clone(), found_by_another(runtime, &name).unwrap_or_else(|| present.clone()));
            record(runtime, &needed)?;
        }
        if present != ON {
            fs::write(switch(&name), ON)?;
        }
    }
    Ok(())
}

/// Names the links that were found off.
pub(super) fn changed(runtime: &Path) -> Vec<String> {
    let needed = recorded(runtime).unwrap_or_default();
    needed.into_iter().filter(|(_, before)| before != ON).map(|(name, _)| name).collect()
}

/// Names the links whose forwarding is off though containers need it.
pub(super) fn missing(netlink: &mut Netlink, bridge: &str) -> io::Result<Vec<String>> {
    let mut off = vec![];
    for name in carriers(netlink)?.into_iter().chain([bridge.to_owned()]) {
        if read(&name)?.is_some_and(|present| present != ON) {
            off.push(format!("forwarding from {name}"));
        }
    }
    Ok(off)
}

/// Puts back what `ensure` changed, but for what other instances need.
pub(super) fn restore(runtime: &Path) -> io::Result<()> {
    let Ok(_lock) = locked(runtime) else { return Ok(()) }; // without the folder there is no record
    let whole_host = fs::read_to_string(GLOBAL).is_ok_and(|value| value.trim() == ON);
    for (name, before) in recorded(runtime)? {
        if before != ON && !whole_host && found_by_another(runtime, &name).is_none() && switch(&name).exists() {
            fs::write(switch(&name), before)?;
        }
    }
    match fs::remove_file(runtime.join(RECORD)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Instances read each other's records; the folder they all lie in is the lock.
fn locked(runtime: &Path) -> io::Result<File> {
    let folder = File::open(runtime.parent().unwrap_or(runtime))?;
    while !lock::try_exclusive(folder.as_fd())? {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(folder)
}

/// Lists the links that IPv4 routes lead by. Ports of bridges carry none of their own, and bridges of Berth, this instance's
/// others and those of its neighbours, are no way out: each is seen to with its own network.
fn carriers(netlink: &mut Netlink) -> io::Result<Vec<String>> {
    let routes = netlink.routes()?.into_iter().filter(|route| route.ipv4);
    let with_routes: BTreeSet<u32> = routes.filter_map(|route| route.index).collect();
    let is_way = |link: &Link| link.name != "lo" && !(link.bridge && is_name_of_berth(&link.name));
    let links = netlink.links()?.into_iter().filter(|link| with_routes.contains(&link.index) && is_way(link));
    Ok(links.map(|link| link.name).collect())
}

fn switch(name: &str) -> PathBuf {
    Path::new("/proc/sys/net/ipv4/conf").join(name).join("forwarding")
}

/// Returns nothing for a link that went meanwhile.
fn read(name: &str) -> io::Result<Option<String>> {
    match fs::read_to_string(switch(name)) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn recorded(runtime: &Path) -> io::Result<BTreeMap<String, String>> {
    match fs::read(runtime.join(RECORD)) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

fn record(runtime: &Path, needed: &BTreeMap<String, String>) -> io::Result<()> {
    let partial = runtime.join("forwarding.json.partial");
    fs::write(&partial, serde_json::to_vec(needed)?)?;
    fs::rename(partial, runtime.join(RECORD))
}

/// Returns how another instance that needs this switch found it.
fn found_by_another(runtime: &Path, name: &str) -> Option<String> {
    let instances = fs::read_dir(runtime.parent()?).ok()?;
    let others = instances.flatten().map(|entry| entry.path()).filter(|path| path != runtime);
    let found = others.filter_map(|other| recorded(&other).ok()?.remove(name));
    // A neighbour that came when it was on already found it so; whoever turned it on knows better.
    found.min()
}
