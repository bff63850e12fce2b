//! Filters of others that stop what containers send, or what is answered to them: found by asking them about a few packets.
//!
//! An accept in our table does not undo a drop in another's (nft(8), "hook priority"), so each of theirs has to let the
//! packets through. Which filters there are is read anew each time: whoever follows the advice sees the warning go.

use super::ruleset::{Chain, Hook, Packet, Program, Stop, stops};
use super::{legacy, nft, run, run_nft};
use crate::domain::effect::Failure;
use crate::types::Ipv4Subnet;

/// Lists the tables of iptables of the old kind, of the network namespace of the calling thread.
const LEGACY_TABLES: &str = "/proc/thread-self/net/ip_tables_names";
/// Programs that print those tables. The second one may be the new kind, which says so in its first line.
const LEGACY_PROGRAMS: [&str; 2] = ["iptables-legacy-save", "iptables-save"];

/// Is a network as filters see it.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    /// Its bridge.
    pub bridge: &'a str,
    /// Its addresses.
    pub subnet: Ipv4Subnet,
    /// The link that the host's default route leads to, if there is one.
    pub uplink: Option<&'a str>,
}

/// Says in words which filters of others stop the packets of a network, each with its cure; nothing on a host without nft.
///
/// # Errors
/// What running nft or iptables says.
pub fn obstacles(way: Way<'_>) -> Result<Option<Vec<String>>, Failure> {
    let Some((_, json, _)) = run_nft(&["-j", "-t", "list", "ruleset"], "")? else { return Ok(None) };
    let mut chains = nft::read(&json);
    let mut told = vec![];
    if std::fs::read_to_string(LEGACY_TABLES).is_ok_and(|names| !names.trim().is_empty()) {
        match legacy_rules()? {
            Some(text) => chains.extend(legacy::read(&text)),
            None => told.push(UNREADABLE.to_owned()),
        }
    }
    told.extend(obstacles_in(&chains, way));
    Ok(Some(told))
}

const UNREADABLE: &str = "the host has iptables rules of the old kind (/proc/net/ip_tables_names), and no program here can \
                          read them, so nobody knows whether they stop what containers send; install the package iptables";

fn legacy_rules() -> Result<Option<String>, Failure> {
    for program in LEGACY_PROGRAMS {
        let told = run(program, &[], "")?;
        let old = |text: &String| !text.lines().next().is_some_and(|line| line.contains("nft"));
        if let Some((true, text, _)) = told.filter(|(_, text, _)| old(text)) {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

/// Is what a packet is for, in the words of a warning.
struct Errand {
    what: &'static str,
    host: bool,
}

const TO_OTHERS: Errand = Errand { what: "what containers on it send to other hosts", host: false };
const FROM_OTHERS: Errand = Errand { what: "what other hosts answer to containers on it", host: false };
const TO_HOST: Errand =
    Errand { what: "what containers on it send to this host (its services, a resolver on it)", host: true };
const FROM_HOST: Errand = Errand { what: "what this host answers to containers on it", host: true };

pub(super) fn obstacles_in(chains: &[Chain], way: Way<'_>) -> Vec<String> {
    let bases = chains.iter().filter_map(|chain| Some((chain, chain.hook?)));
    let told = bases.filter_map(|(base, hook)| {
        let mut errands = packets(hook, way).into_iter();
        errands
            .find_map(|(errand, packet)| Some(words(base, hook, &errand, &stops(base, chains, &packet)?, chains, way)))
    });
    told.collect()
}

/// Returns the packets that pass a hook: the first of a connection to anywhere, the answer, and the same with the host.
fn packets(hook: Hook, way: Way<'_>) -> Vec<(Errand, Packet<'_>)> {
    let (bridge, subnet) = (Some(way.bridge), Some(way.subnet));
    let gateway = Ipv4Subnet::around(way.subnet.first_host(), 32);
    let (input, output, destination) = (bridge, None, None);
    let new = Packet { input, output, source: subnet, destination, state: "new", protocol: "tcp", port: Some("443") };
    let out = Packet { output: way.uplink, ..new };
    let back = Packet {
        input: way.uplink,
        output: bridge,
        source: None,
        destination: subnet,
        state: "established",
        port: None,
        ..new
    };
    let to_host = Packet { destination: gateway, protocol: "udp", port: Some("53"), ..new };
    let from_host = Packet { input: None, output: bridge, source: gateway, protocol: "udp", ..back };
    match hook {
        Hook::Prerouting => vec![(TO_OTHERS, Packet { output: None, ..out })],
        Hook::Forward => vec![(TO_OTHERS, out), (FROM_OTHERS, back)],
        Hook::Input => vec![(TO_HOST, to_host)],
        Hook::Output => vec![(FROM_HOST, from_host)],
        Hook::Postrouting => vec![(TO_OTHERS, Packet { input: None, ..out })],
    }
}

fn words(base: &Chain, hook: Hook, errand: &Errand, stop: &Stop, all: &[Chain], way: Way<'_>) -> String {
    let Chain { family, table, name, .. } = base;
    let verb = if stop.rejects { "rejects" } else { "drops" };
    let how = match (stop.by_policy, stop.chain == *name) {
        (true, _) => "by default".to_owned(),
        (false, true) => "with a rule".to_owned(),
        (false, false) => format!("with a rule of its chain {}", stop.chain),
    };
    let kind = if base.program == Program::Legacy { " of the old iptables" } else { "" };
    let bridge = way.bridge;
    format!(
        "the chain {name} of table {family} {table}{kind} {verb} {how} {what}, the bridge {bridge}; to let it through: {cure}",
        what = errand.what,
        cure = cure(base, hook, errand, all, way)
    )
}

/// Says which command lets a network through, in the words of whoever wrote the filter.
fn cure(base: &Chain, hook: Hook, errand: &Errand, all: &[Chain], way: Way<'_>) -> String {
    let Way { bridge, subnet, .. } = way;
    let has = |start: &str| all.iter().any(|chain| chain.beside(base) && chain.name.starts_with(start));
    let Chain { family, table, name, .. } = base;
    if table == "firewalld" {
        return format!(
            "`firewall-cmd --permanent --zone=trusted --add-interface={bridge}` and `firewall-cmd --reload`"
        );
    }
    let of_iptables =
        base.program == Program::Legacy || (family == "ip" && name.chars().all(|c| c.is_ascii_uppercase()));
    if of_iptables && has("ufw-") {
        let route = if errand.host { "" } else { "route " };
        return format!("`ufw {route}allow in on {bridge}`");
    }
    let (inward, outward) = match hook {
        Hook::Prerouting | Hook::Input => (true, false),
        Hook::Forward => (true, true),
        Hook::Output | Hook::Postrouting => (false, true),
    };
    let mut commands = vec![];
    if of_iptables {
        let program = if base.program == Program::Legacy { "iptables-legacy" } else { "iptables" };
        let table = if table == "filter" { String::new() } else { format!("-t {table} ") };
        // Docker makes its own chains anew when it starts, and asks this one first.
        let chain = if has("DOCKER-USER") && hook == Hook::Forward { "DOCKER-USER" } else { name };
        let all_of_it = format!("`{program} {table}-I {chain} -i {bridge} -j ACCEPT`");
        let answers = "-m conntrack --ctstate RELATED,ESTABLISHED";
        commands.extend(inward.then_some(all_of_it));
        commands.extend(outward.then(|| match hook {
            Hook::Postrouting => format!("`{program} {table}-I {chain} -s {subnet} -j ACCEPT`"),
            _ => format!("`{program} {table}-I {chain} -o {bridge} {answers} -j ACCEPT`"),
        }));
    } else {
        let insert = format!("nft insert rule {family} {table} {name}");
        commands.extend(inward.then(|| format!("`{insert} iifname {bridge} accept`")));
        commands.extend(outward.then(|| match hook {
            Hook::Postrouting => format!("`{insert} ip saddr {subnet} accept`"),
            _ => format!("`{insert} oifname {bridge} ct state established,related accept`"),
        }));
    }
    commands.join(" and ")
}
