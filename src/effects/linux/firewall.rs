//! The filter rules of a network: masquerading, forwarding, isolation, and ports that cannot lie about who they are.
//!
//! Two tables, both ours alone: `inet berth-BRIDGE` per network, `bridge berth-INSTANCE` for all ports of the instance.
//! Each change is one atomic `nft -f -`, made when a network is made; a container's start only adds its lease to a set, by
//! netlink. What filters of others do to a network's packets is found by `foreign`.

mod foreign;
mod legacy;
mod nft;
mod ruleset;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::domain::effect::Failure;
use crate::sys::netlink::SetElements;
use crate::types::{Ipv4Subnet, MacAddress};

pub use foreign::{Way, obstacles};

const LEASES: &str = "leases";
/// The chain and the set that bound how many connections a container has in the host's table of them.
const CONNECTIONS: &str = "connections";
/// The empty chain that says that this kernel cannot bound them.
const UNCOUNTED: &str = "uncounted";
/// One container has at most one in so many of the connections that the host can keep.
const CONNECTIONS_SHARE: u64 = 4;
/// What the host can keep; there once connections are tracked (nf_conntrack-sysctl in the kernel's documentation).
const CONNECTIONS_OF_HOST: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

/// Says what nft did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The rules are there.
    Yes,
    /// There is no `nft` on this host.
    NoProgram,
}

/// Makes the rules of a network; repeated, they are replaced in one step, and the leases stay.
///
/// # Errors
/// What nft says, in its own words.
pub fn ensure_network_rules(instance: &str, bridge: &str, subnet: Ipv4Subnet) -> Result<Applied, Failure> {
    let applied = apply(&network_rules(instance, bridge, subnet))?;
    if applied == Applied::NoProgram {
        return Ok(applied);
    }
    let bounded = match connections_of_host() {
        Some(all) => bound_connections(bridge, all / CONNECTIONS_SHARE),
        None => Err(Failure::permanent("the kernel does not say how many connections it keeps")),
    };
    // A kernel without nft_connlimit refuses it; the network goes on without, and says so where the rules are.
    if let Err(failure) = bounded {
        tracing::warn!(bridge, %failure, "a container can take every connection that the host keeps");
        apply(&format!("add chain inet berth-{bridge} {UNCOUNTED}\n"))?;
    }
    Ok(applied)
}

fn connections_of_host() -> Option<u64> {
    std::fs::read_to_string(CONNECTIONS_OF_HOST).ok()?.trim().parse().ok()
}

/// Bounds the connections of each address of a network: the table of them is one for the whole host, whoever opens them.
pub(super) fn bound_connections(bridge: &str, each: u64) -> Result<Applied, Failure> {
    apply(&connection_rules(bridge, each))
}

/// Removes the rules of a network; those of the instance's ports go with its last network.
///
/// # Errors
/// What nft says.
pub fn ensure_network_rules_gone(instance: &str, bridge: &str, last: bool) -> Result<Applied, Failure> {
    let mut script = gone("inet", &format!("berth-{bridge}"));
    if last {
        script.push_str(&gone("bridge", &format!("berth-{instance}")));
    }
    apply(&script)
}

/// Lists the tables of an instance, or of every one, each with its family; none on a host without nft.
pub fn tables_of(instance: Option<&str>) -> Vec<(String, String)> {
    let told = run_nft(&["-j", "list", "tables"], "").ok().flatten();
    tables_in(&told.map(|(_, json, _)| json).unwrap_or_default(), instance)
}

fn tables_in(json: &str, instance: Option<&str>) -> Vec<(String, String)> {
    let listed = serde_json::from_str::<Value>(json).unwrap_or_default();
    let objects = listed["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let table = |object: &Value| {
        let text = |key: &str| object["table"][key].as_str().map(str::to_owned);
        let (family, name) = (text("family")?, text("name")?);
        let rest = name.strip_prefix("berth-")?;
        let digits = if family == "bridge" { rest } else { rest.get(1..9)? };
        instance.is_none_or(|instance| instance == digits).then_some((family, name))
    };
    objects.iter().filter_map(table).collect()
}

/// Removes every table of an instance.
///
/// # Errors
/// What nft says.
pub fn ensure_tables_gone(instance: &str) -> Result<Applied, Failure> {
    let script = tables_of(Some(instance)).iter().map(|(family, table)| gone(family, table)).collect::<String>();
    apply(&script)
}

/// How many rules a network has of its own, and how many all ports of an instance share.
const RULES: (usize, usize) = (7, 4);

/// Names the tables whose rules somebody removed; on a host without nft there is nothing to miss.
///
/// # Errors
/// What running nft says.
pub fn missing_rules(instance: &str, bridge: &str) -> Result<Vec<String>, Failure> {
    let tables = [("inet", format!("berth-{bridge}"), RULES.0), ("bridge", format!("berth-{instance}"), RULES.1)];
    let mut missing = vec![];
    for (family, table, rules) in tables {
        let Some((_, json, _)) = run_nft(&["-j", "list", "table", family, &table], "")? else { return Ok(vec![]) };
        let found = rules_in(&json);
        if found.own < rules || (family == "inet" && !found.bounds) {
            missing.push(format!("filter rules of the table {family} {table}"));
        }
    }
    Ok(missing)
}

/// Is what a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rules {
    /// How many rules there are of those that every network has.
    own: usize,
    /// Whether the connections are bounded, or the kernel cannot do it.
    bounds: bool,
}

fn rules_in(json: &str) -> Rules {
    let listed = serde_json::from_str::<Value>(json).unwrap_or_default();
    let objects = listed["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let uncounted = objects.iter().any(|object| object["chain"]["name"] == UNCOUNTED);
    let rules = objects.iter().filter_map(|object| object.get("rule"));
    let (bounds, own): (Vec<_>, Vec<_>) = rules.partition(|rule| rule["chain"] == CONNECTIONS);
    Rules { own: own.len(), bounds: uncounted || !bounds.is_empty() }
}

/// Lets `port` send as this link address and this address, and as nothing else; in the thread's network namespace.
///
/// # Errors
/// `NotFound` if the instance's rules are not there.
pub fn ensure_lease(instance: &str, port: &str, mac: MacAddress, address: Ipv4Addr) -> std::io::Result<()> {
    SetElements { table: &format!("berth-{instance}"), set: LEASES }.add(&lease_key(port, mac, address))
}

/// Takes the lease of `port` back.
///
/// # Errors
/// What nfnetlink says.
pub fn ensure_lease_gone(instance: &str, port: &str, mac: MacAddress, address: Ipv4Addr) -> std::io::Result<()> {
    SetElements { table: &format!("berth-{instance}"), set: LEASES }.remove(&lease_key(port, mac, address))
}

/// The fields `ifname . ether_addr . ipv4_addr`, each padded to four bytes.
fn lease_key(port: &str, mac: MacAddress, address: Ipv4Addr) -> Vec<u8> {
    let mut key = port.as_bytes().to_vec();
    key.resize(16, 0);
    key.extend_from_slice(mac.as_bytes());
    key.resize(24, 0);
    key.extend_from_slice(&address.octets());
    key
}

fn gone(family: &str, table: &str) -> String {
    // Adding before deleting makes the deletion of what is not there no error, and both are one transaction.
    format!("add table {family} {table}\ndelete table {family} {table}\n")
}

fn network_rules(instance: &str, bridge: &str, subnet: Ipv4Subnet) -> String {
    let renew = gone("inet", &format!("berth-{bridge}"));
    format!(
        r#"{renew}
table inet berth-{bridge} {{
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {subnet} oifname != "{bridge}" masquerade
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname "{bridge}" oifname "{bridge}" accept
        oifname "{bridge}" ct state established,related accept
        oifname "{bridge}" ct status dnat accept
        oifname "{bridge}" drop
        iifname "{bridge}" ip saddr != {subnet} drop
        iifname "{bridge}" accept
    }}
}}
table bridge berth-{instance} {{
    set {LEASES} {{
        type ifname . ether_addr . ipv4_addr
    }}
    chain ports {{
        type filter hook prerouting priority -200; policy accept;
    }}
}}
flush chain bridge berth-{instance} ports
add rule bridge berth-{instance} ports iifname != "v{instance}*" accept
add rule bridge berth-{instance} ports ether type ip iifname . ether saddr . ip saddr @{LEASES} accept
add rule bridge berth-{instance} ports ether type arp iifname . ether saddr . arp saddr ip @{LEASES} iifname . arp saddr ether . arp saddr ip @{LEASES} accept
add rule bridge berth-{instance} ports counter drop
"#
    )
}

/// In front of everything that lets a packet through: what is dropped here is not kept in the table either.
fn connection_rules(bridge: &str, each: u64) -> String {
    format!(
        r#"table inet berth-{bridge} {{
    set {CONNECTIONS} {{
        type ipv4_addr
        size 65536
        flags dynamic
    }}
    chain {CONNECTIONS} {{
        type filter hook prerouting priority mangle; policy accept;
    }}
}}
flush chain inet berth-{bridge} {CONNECTIONS}
add rule inet berth-{bridge} {CONNECTIONS} iifname "{bridge}" ct state new add @{CONNECTIONS} {{ ip saddr ct count over {each} }} counter drop
"#
    )
}

fn apply(script: &str) -> Result<Applied, Failure> {
    let Some((status, _, errors)) = run_nft(&["-f", "-"], script)? else { return Ok(Applied::NoProgram) };
    if status {
        return Ok(Applied::Yes);
    }
    let first = errors.lines().next().unwrap_or("it gave no reason");
    Err(Failure::permanent(format!("cannot change the filter rules: nft says: {first}")))
}

fn run_nft(arguments: &[&str], input: &str) -> Result<Option<(bool, String, String)>, Failure> {
    run("nft", arguments, input)
}

/// Runs a program of the host; nothing if there is none of that name.
fn run(program: &str, arguments: &[&str], input: &str) -> Result<Option<(bool, String, String)>, Failure> {
    let failed = |error| super::failure::cannot("run", program)(error);
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if let Some(mut stdin) = child.stdin.take() {
        // An nft that ends early closes the pipe; what it says then is the better message.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Some((output.status.success(), text(&output.stdout), text(&output.stderr))))
}
