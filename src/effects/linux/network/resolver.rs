//! A `resolv.conf` that works inside a container, also where the host asks a stub of its own.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// Is where systemd-resolved writes the servers behind its stub (systemd-resolved.service(8)).
const BEHIND_THE_STUB: [&str; 2] = ["/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf"];
/// The most servers that resolvers read (resolv.conf(5), `MAXNS`).
const SERVERS_MAX: usize = 3;

/// Is what a container is told of the host's resolvers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    /// What belongs into its `/etc/resolv.conf`.
    pub text: String,
    /// How many servers that names.
    servers: usize,
}

impl Resolver {
    /// Says that the container will resolve no names, if so, and what to do.
    pub fn warning(&self) -> Option<String> {
        let words = "it resolves no names: the host's /etc/resolv.conf names no server but on the host itself, and neither \
                     systemd-resolved nor NetworkManager tells what is behind it; write a server that can be reached into \
                     the container's /etc/resolv.conf, which is kept then";
        (self.servers == 0).then(|| words.to_owned())
    }
}

/// Returns what belongs into the container's `/etc/resolv.conf`, from the host's own files.
///
/// A loopback address of the host leads nowhere inside the container, so the servers behind a local stub are taken. If the
/// host has a loopback server only and nothing tells what is behind it, there is nothing that works: the file then says so
/// and names no server. Public resolvers are never put in: whom a host asks is its owner's choice.
pub fn resolv_conf() -> Resolver {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let behind: Vec<String> = BEHIND_THE_STUB.iter().map(|path| read(path)).collect();
    resolv_conf_from(&read("/etc/resolv.conf"), &behind)
}

/// Returns the name servers that the host asks, those behind a local stub too.
pub fn name_servers_of_host() -> Vec<IpAddr> {
    let paths = std::iter::once("/etc/resolv.conf").chain(BEHIND_THE_STUB);
    let texts = paths.map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let found: BTreeSet<IpAddr> = texts.flat_map(|text| servers(&text)).collect();
    found.into_iter().filter(|server| !server.is_loopback() && !server.is_unspecified()).collect()
}

fn resolv_conf_from(host: &str, behind_the_stub: &[String]) -> Resolver {
    let usable = |text: &str| {
        let found = servers(text).into_iter().filter(|server| usable_from_elsewhere(*server));
        found.take(SERVERS_MAX).collect::<Vec<_>>()
    };
    let sources = std::iter::once(host).chain(behind_the_stub.iter().map(String::as_str));
    let found = sources.map(usable).find(|found| !found.is_empty()).unwrap_or_default();
    let servers = found.len();
    let mut text = String::from("# Written by berth from the host's resolvers.\n");
    if found.is_empty() {
        text.push_str("# The host names no resolver that can be reached from outside itself.\n");
    }
    for server in found {
        text.push_str("nameserver ");
        text.push_str(&server.to_string());
        text.push('\n');
    }
    for line in host.lines().filter(|line| keeps(line)) {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    Resolver { text, servers }
}

/// Link-local servers need a scope that exists on the host alone.
fn usable_from_elsewhere(server: IpAddr) -> bool {
    match server {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_unspecified() && !address.is_link_local(),
        IpAddr::V6(_) => false, // Containers have no IPv6 way out yet.
    }
}

fn servers(text: &str) -> Vec<IpAddr> {
    let values = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    values.filter_map(|value| value.split_whitespace().next()?.parse().ok()).collect()
}

fn keeps(line: &str) -> bool {
    let word = line.split_whitespace().next();
    matches!(word, Some("search" | "domain")) && !line.chars().any(char::is_control)
        || (word == Some("options") && !line.contains("trust-ad"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_behind_a_local_stub_are_taken() {
        let behind = ["nameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch x\n".to_owned()];
        let text =
            resolv_conf_from("nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch example.org\n", &behind).text;
        assert!(text.contains("nameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch example.org\n"), "{text}");
        assert!(!text.contains("127.0.0.53") && !text.contains("trust-ad"));
    }

    #[test]
    fn the_host_s_own_servers_are_taken_if_they_can_be_reached() {
        let found = resolv_conf_from("nameserver 10.9.9.9\nnameserver ::1\n", &["nameserver 192.0.2.1\n".to_owned()]);
        let text = &found.text;
        assert_eq!(found.warning(), None);
        assert!(text.contains("nameserver 10.9.9.9\n") && !text.contains("192.0.2.1") && !text.contains("::1"));
    }

    #[test]
    fn a_host_that_asks_only_itself_is_said_to() {
        for host in ["nameserver 127.0.0.1\n", "nameserver 127.0.0.53\nsearch x\n", "nameserver fe80::1%eth0\n", ""] {
            let found = resolv_conf_from(host, &[]);
            assert!(!found.text.contains("\nnameserver") && found.text.contains("no resolver"));
            assert!(found.warning().is_some_and(|words| words.contains("resolves no names")), "{host}");
        }
    }
}
