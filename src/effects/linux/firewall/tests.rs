//! Filters of others: read from what programs say, and asked about real packets in a network namespace.

use std::os::fd::AsFd;

use proptest::prelude::*;

use super::foreign::obstacles_in;
use super::*;
use crate::sys::netlink::{in_namespace, new_namespace};

const BRIDGE: &str = "b00c0ffeenet000";

fn way() -> Way<'static> {
    let subnet = Ipv4Subnet::around(Ipv4Addr::new(10, 77, 0, 0), 22).unwrap();
    Way { bridge: BRIDGE, subnet, uplink: Some("eth0") }
}

/// What is found in a rule set of nft, in a network namespace of its own; nothing without one.
fn found_in(rules: &str) -> Option<Vec<String>> {
    let Ok(host) = new_namespace() else {
        println!("skipped: no network namespace");
        return None;
    };
    let look = || {
        let (fine, _, errors) = run_nft(&["-f", "-"], rules).unwrap()?;
        assert!(fine, "{errors}");
        obstacles(way()).unwrap()
    };
    in_namespace(host.as_fd(), look).unwrap()
}

fn table(chains: &str) -> String {
    format!("table inet fw {{\n{chains}\n}}\n")
}

#[test]
fn every_shape_of_a_filter_that_stops_packets_is_found() {
    for (rules, wanted) in [
        // A policy.
        (
            "chain f { type filter hook forward priority 0; policy drop; }",
            "drops by default what containers on it send",
        ),
        // A last rule, as the firewall of a distribution ends.
        (
            "chain f { type filter hook forward priority 0; policy accept\n ct state established,related accept\n reject with icmpx admin-prohibited\n }",
            "rejects with a rule what containers on it send to other hosts",
        ),
        // Behind jumps.
        (
            "chain last { counter drop; }\n chain f { type filter hook forward priority 10\n iifname \"lo\" accept\n jump last\n }",
            "drops with a rule of its chain last",
        ),
        // A verdict map, and only links that are named may pass.
        (
            "chain f { type filter hook forward priority 0\n ct state vmap { established : accept, invalid : drop }\n iifname != \"eth1\" drop\n }",
            "drops with a rule what containers on it send",
        ),
        // Only what is answered is stopped.
        (
            "chain f { type filter hook forward priority 0; policy drop\n iifname \"b*\" accept\n }",
            "drops by default what other hosts answer",
        ),
        // What is for the host itself.
        (
            "chain i { type filter hook input priority 0; policy drop\n ct state established,related accept\n tcp dport 22 accept\n }",
            "drops by default what containers on it send to this host",
        ),
        // Before routing.
        (
            "chain p { type filter hook prerouting priority raw\n iifname != \"eth0\" drop\n }",
            "chain p of table inet fw drops with a rule",
        ),
        // On the way out.
        (
            "chain p { type filter hook postrouting priority 0\n ip saddr 10.0.0.0/8 oifname \"eth0\" drop\n }",
            "chain p of table inet fw drops with a rule",
        ),
    ] {
        let Some(found) = found_in(&table(rules)) else { return };
        assert_eq!(found.len(), 1, "{rules}: {found:#?}");
        assert!(found[0].contains(wanted), "{rules}: {found:#?}");
    }
}

#[test]
fn a_filter_that_lets_containers_through_is_no_obstacle() {
    for rules in [
        "chain f { type filter hook forward priority 0; policy accept\n }",
        // Only some packets are stopped.
        "set bad { type ipv4_addr; }\n chain f { type filter hook forward priority 0\n ip saddr @bad drop\n tcp dport 25 reject\n \
         ct state invalid drop\n ip daddr 192.0.2.7 drop\n meta nfproto ipv6 drop\n ip6 saddr ::/0 drop\n limit rate over 3/second drop\n }",
        // Other links.
        "chain f { type filter hook forward priority 0\n iifname \"docker0\" drop\n oifname { \"docker0\", \"lxcbr*\" } drop\n }",
        // Other networks.
        "chain f { type filter hook forward priority 0\n ip saddr 10.80.0.0/16 drop\n ip saddr != { 10.0.0.0/8, 192.168.0.0/16 } drop\n }",
        // What the host needs of containers, and only that.
        "chain i { type filter hook input priority 0; policy drop\n iifname \"b00c0ffee*\" udp dport 53 accept\n }",
        // Containers by their addresses.
        "chain f { type filter hook forward priority 0; policy drop\n meta mark 7 drop\n ip saddr 10.77.0.0/16 accept\n ct state established accept\n }",
    ] {
        let Some(found) = found_in(&table(rules)) else { return };
        assert_eq!(found, Vec::<String>::new(), "{rules}");
    }
}

/// Takes the commands out of a warning.
fn commands(words: &str) -> Vec<String> {
    words.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn whoever_follows_the_advice_sees_the_warning_go() {
    let all = "chain f { type filter hook forward priority 0; policy drop; }
        chain i { type filter hook input priority 0; policy drop; }
        chain o { type filter hook output priority 0; policy drop; }
        chain p { type filter hook prerouting priority raw\n iifname != \"eth0\" drop\n }
        chain q { type filter hook postrouting priority 0\n ip saddr 10.0.0.0/8 reject\n }";
    let Ok(host) = new_namespace() else { return println!("skipped: no network namespace") };
    let follow = || {
        let Some((true, ..)) = run_nft(&["-f", "-"], &table(all)).unwrap() else { return };
        let found = obstacles(way()).unwrap().unwrap();
        assert_eq!(found.len(), 5, "{found:#?}");
        for command in found.iter().flat_map(|words| commands(words)) {
            let words = command.strip_prefix("nft ").unwrap();
            let (fine, _, errors) = run_nft(&["-f", "-"], &format!("{words}\n")).unwrap().unwrap();
            assert!(fine, "{command}: {errors}");
        }
        assert_eq!(obstacles(way()).unwrap().unwrap(), Vec::<String>::new());
    };
    in_namespace(host.as_fd(), follow).unwrap();
}

/// What iptables on top of nf_tables is told as: matches and targets that nft does not know are named, or not even that.
#[test]
fn rules_of_iptables_are_understood_through_nft() {
    let rule = |expressions: &str| {
        format!(r#"{{"rule": {{"family": "ip", "table": "filter", "chain": "FORWARD", "expr": [{expressions}]}}}}"#)
    };
    let base = r#"{"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "type": "filter", "hook": "forward",
                   "prio": 0, "policy": "drop"}}"#;
    let link = |key: &str| {
        format!(r#"{{"match": {{"op": "==", "left": {{"meta": {{"key": "{key}"}}}}, "right": "{BRIDGE}"}}}}"#)
    };
    let found = |rules: &[String]| {
        let objects = [base.to_owned()].into_iter().chain(rules.iter().cloned()).collect::<Vec<_>>().join(",");
        obstacles_in(&nft::read(&format!(r#"{{"nftables": [{objects}]}}"#)), way())
    };
    let told = found(&[]);
    assert!(told[0].contains(&format!("`iptables -I FORWARD -i {BRIDGE} -j ACCEPT`")), "{told:#?}");
    let there = rule(&format!(r#"{}, {{"counter": {{}}}}, {{"accept": null}}"#, link("iifname")));
    for opaque in [r#"{"xt": {"type": "match", "name": "conntrack"}}"#, r#"{"xt": null}"#] {
        let back = rule(&format!(r#"{}, {opaque}, {{"accept": null}}"#, link("oifname")));
        assert_eq!(found(&[there.clone(), back]), Vec::<String>::new());
        // By itself that lets nothing new through.
        assert_eq!(found(&[rule(&format!(r#"{opaque}, {{"accept": null}}"#))]).len(), 1);
    }
    let rejects = rule(r#"{"counter": {}}, {"xt": {"type": "target", "name": "REJECT"}}"#);
    assert!(found(&[rejects])[0].contains("rejects with a rule"));
    let user = r#"{"chain": {"family": "ip", "table": "filter", "name": "DOCKER-USER"}}"#.to_owned();
    assert!(found(&[user])[0].contains("iptables -I DOCKER-USER -i"));
    let ufw = r#"{"chain": {"family": "ip", "table": "filter", "name": "ufw-user-forward"}}"#.to_owned();
    assert!(found(&[ufw])[0].contains(&format!("`ufw route allow in on {BRIDGE}`")));
}

const LEGACY: &str = "# Generated by iptables-save v1.8.9\n*nat\n:POSTROUTING DROP [0:0]\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\n\
    :FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:mine - [0:0]\n";

#[test]
fn rules_of_the_old_iptables_are_understood() {
    let found = |rules: &str| obstacles_in(&legacy::read(&format!("{LEGACY}{rules}\nCOMMIT\n")), way());
    for rules in [
        "",
        "-A FORWARD -i eth1 -j DROP",
        "-A FORWARD -s 192.168.0.0/16 -j REJECT --reject-with icmp-port-unreachable",
        "-A FORWARD -p tcp -m tcp --dport 25 -m comment --comment \"no -j mail\" -j DROP",
        "-A FORWARD -m set --match-set bad src -j DROP",
        "-A FORWARD -i b00c0ffee+ -j ACCEPT\n-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -j DROP",
        "-A FORWARD -j LOG --log-prefix \"x -j DROP\"",
    ] {
        assert_eq!(found(rules), Vec::<String>::new(), "{rules}");
    }
    for (rules, wanted) in [
        ("-A FORWARD -j REJECT --reject-with icmp-host-prohibited", "rejects with a rule"),
        (
            "-A FORWARD -j mine\n-A mine ! -i eth0 -m comment --comment \"all but one\" -j DROP",
            "a rule of its chain mine",
        ),
        ("-A FORWARD -g mine\n-A mine -s 10.0.0.0/255.0.0.0 -j DROP", "a rule of its chain mine"),
        ("-A FORWARD -i b00c0ffee+ -j ACCEPT\n-A FORWARD -j DROP", "what other hosts answer"),
        ("-A INPUT -m state --state NEW -j DROP", "send to this host"),
    ] {
        let told = found(rules);
        assert!(told.len() == 1 && told[0].contains(wanted), "{rules}: {told:#?}");
    }
    let told = obstacles_in(&legacy::read(&LEGACY.replace("FORWARD ACCEPT", "FORWARD DROP")), way());
    assert!(told[0].contains(&format!("`iptables-legacy -I FORWARD -i {BRIDGE} -j ACCEPT`")), "{told:#?}");
    assert!(told[0].contains("of table ip filter of the old iptables drops by default"), "{told:#?}");
}

#[test]
fn rules_of_the_old_iptables_are_found_on_a_kernel_that_has_them() {
    let Ok(host) = new_namespace() else { return println!("skipped: no network namespace") };
    let look = || {
        let run = |words: &str| run("iptables-legacy", &words.split(' ').collect::<Vec<_>>(), "").unwrap();
        let Some((true, ..)) = run("-P FORWARD DROP") else {
            return println!("skipped: no iptables-legacy, or no tables of its kind in the kernel");
        };
        let found = obstacles(way()).unwrap().unwrap();
        assert!(found.len() == 1 && found[0].contains("drops by default"), "{found:#?}");
        for command in commands(&found[0]) {
            assert!(run(command.strip_prefix("iptables-legacy ").unwrap()).unwrap().0, "{command}");
        }
        assert_eq!(obstacles(way()).unwrap().unwrap(), Vec::<String>::new());
    };
    in_namespace(host.as_fd(), look).unwrap();
}

#[test]
fn the_rules_of_a_network_are_counted_as_they_are_written() {
    let subnet = Ipv4Subnet::around(Ipv4Addr::new(10, 1, 0, 0), 24).unwrap();
    let script = network_rules("c0ffee00", "bc0ffee00net000", subnet);
    let own = script.split("table bridge").next().unwrap();
    let verdicts = |line: &&str| ["accept", "drop", "masquerade"].iter().any(|word| line.ends_with(word));
    assert_eq!(own.lines().filter(verdicts).count(), RULES.0);
    assert_eq!(script.lines().filter(|line| line.starts_with("add rule")).count(), RULES.1);
    let found = |own, bounds| Rules { own, bounds };
    let plain = r#"{"nftables": [{"metainfo": {}}, {"table": {}}, {"rule": {}}, {"rule": {}}]}"#;
    assert_eq!(rules_in(plain), found(2, false));
    let bounded =
        r#"{"nftables": [{"chain": {"name": "connections"}}, {"rule": {"chain": "connections"}}, {"rule": {}}]}"#;
    assert_eq!(rules_in(bounded), found(1, true));
    assert_eq!(rules_in(r#"{"nftables": [{"chain": {"name": "connections"}}, {"rule": {}}]}"#), found(1, false));
    assert_eq!(rules_in(r#"{"nftables": [{"chain": {"name": "uncounted"}}]}"#), found(0, true));
    assert_eq!(rules_in("Error: No such file or directory"), found(0, false));
}

#[test]
fn tables_are_an_instance_s_by_their_whole_names() {
    let json = r#"{"nftables": [{"metainfo": {}}, {"table": {"family": "inet", "name": "berth-bc0ffee00net000"}},
        {"table": {"family": "bridge", "name": "berth-c0ffee00"}}, {"table": {"family": "inet", "name": "filter"}},
        {"table": {"family": "inet", "name": "berth-bc0ffee01net000"}}, {"table": {"family": "bridge", "name": "berth-"}}]}"#;
    let names = |instance| tables_in(json, instance).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
    assert_eq!(names(Some("c0ffee00")), ["berth-bc0ffee00net000", "berth-c0ffee00"]);
    assert_eq!(names(Some("deadbeef")), Vec::<String>::new());
    assert_eq!(names(None).len(), 4);
}

proptest! {
    #[test]
    fn no_answer_of_a_program_makes_it_panic(text in ".{0,200}|([*:A-Z!]|-[Ajgimo]|--[a-z]{1,9}|[ \n\",+/]|[0-9.]{1,9}){0,40}") {
        let _ = rules_in(&text);
        let _ = tables_in(&text, None);
        let _ = obstacles_in(&nft::read(&text), way());
        let _ = obstacles_in(&legacy::read(&text), way());
    }
}
