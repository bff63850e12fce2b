//! Reads what `nft -j list ruleset` says (libnftables-json(5)).

use serde_json::Value;

use super::ruleset::{Chain, Condition, Field, Hook, Program, Rule, Then};

/// Reads every filter chain that packets of IPv4 meet, but those of Berth.
pub(super) fn read(json: &str) -> Vec<Chain> {
    let listed = serde_json::from_str::<Value>(json).unwrap_or_default();
    let objects = listed["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut chains: Vec<Chain> = objects.iter().filter_map(|object| chain(object.get("chain")?)).collect();
    for rule in objects.iter().filter_map(|object| object.get("rule")) {
        let text = |key: &str| rule[key].as_str().unwrap_or_default();
        let of = |chain: &&mut Chain| {
            chain.family == text("family") && chain.table == text("table") && chain.name == text("chain")
        };
        if let Some(chain) = chains.iter_mut().find(of) {
            chain.rules.push(read_rule(rule["expr"].as_array().map(Vec::as_slice).unwrap_or_default()));
        }
    }
    chains
}

fn chain(told: &Value) -> Option<Chain> {
    let text = |key: &str| told[key].as_str();
    let (family, table) = (text("family")?, text("table")?);
    let routes = matches!(family, "ip" | "inet") && !table.starts_with("berth-");
    let filters = matches!(text("type"), Some("filter" | "route"));
    routes.then(|| Chain {
        program: Program::Nft,
        family: family.to_owned(),
        table: table.to_owned(),
        name: text("name").unwrap_or_default().to_owned(),
        hook: text("hook").filter(|_| filters).and_then(Hook::named),
        drops: text("policy") == Some("drop"),
        rules: vec![],
    })
}

fn read_rule(statements: &[Value]) -> Rule {
    let mut rule = Rule { conditions: vec![], then: Then::Nothing };
    for statement in statements.iter().filter_map(Value::as_object) {
        for (word, value) in statement {
            match word.as_str() {
                "match" => rule.conditions.push(condition(value)),
                "limit" | "quota" | "ct count" => rule.conditions.push(Condition::Unknown),
                "xt" => extension(value, &mut rule),
                _ => rule.then = verdict(word, value).unwrap_or(rule.then),
            }
        }
    }
    rule
}

/// Reads a verdict; statements that decide nothing are none.
fn verdict(word: &str, value: &Value) -> Option<Then> {
    let target = || value["target"].as_str().unwrap_or_default().to_owned();
    Some(match word {
        "accept" | "queue" => Then::Accept,
        "drop" => Then::Drop,
        "reject" => Then::Reject,
        "return" => Then::Return,
        "jump" => Then::Jump(target()),
        "goto" => Then::Goto(target()),
        "vmap" => choice(value),
        _ => return None,
    })
}

fn choice(told: &Value) -> Then {
    let ways = told["data"]["set"].as_array().map(Vec::as_slice).unwrap_or_default();
    let way = |pair: &Value| {
        let (word, value) = pair[1].as_object()?.iter().next()?;
        Some((scalar(&pair[0])?, verdict(word, value)?))
    };
    match field(&told["key"]) {
        Asked::Field(field) => Then::Choose(field, ways.iter().filter_map(way).collect()),
        Asked::Never | Asked::Unknown => Then::Nothing,
    }
}

/// A match or a target of iptables that nft passes through; an old nft does not even name it.
fn extension(told: &Value, rule: &mut Rule) {
    match (told["type"].as_str(), told["name"].as_str()) {
        (Some("target"), Some("REJECT")) => rule.then = Then::Reject,
        (Some("target"), Some("DROP")) => rule.then = Then::Drop,
        (Some("target"), _) | (Some("match"), Some("comment")) => {}
        (Some("match"), Some("conntrack" | "state")) | (None, _) => rule.conditions.push(Condition::Connection),
        _ => rule.conditions.push(Condition::Unknown),
    }
}

enum Asked {
    Field(Field),
    Never,
    Unknown,
}

fn field(told: &Value) -> Asked {
    let key = |kind: &str| told[kind]["key"].as_str();
    if let Some(key) = key("meta") {
        return match key {
            "iifname" | "iif" => Asked::Field(Field::In),
            "oifname" | "oif" => Asked::Field(Field::Out),
            "nfproto" | "protocol" => Asked::Field(Field::Family),
            "l4proto" => Asked::Field(Field::Protocol),
            _ => Asked::Unknown,
        };
    }
    if key("ct") == Some("state") {
        return Asked::Field(Field::State);
    }
    let payload = &told["payload"];
    match (payload["protocol"].as_str(), payload["field"].as_str()) {
        (Some("ip"), Some("saddr")) => Asked::Field(Field::Source),
        (Some("ip"), Some("daddr")) => Asked::Field(Field::Destination),
        (Some("ip"), Some("protocol")) => Asked::Field(Field::Protocol),
        (Some("ether"), Some("type")) => Asked::Field(Field::Family),
        (Some("tcp" | "udp" | "th"), Some("dport")) => Asked::Field(Field::Port),
        (Some("ip6" | "icmpv6" | "icmp" | "igmp"), _) => Asked::Never,
        _ => Asked::Unknown,
    }
}

fn condition(told: &Value) -> Condition {
    let negated = match told["op"].as_str() {
        Some("==" | "in") => false,
        Some("!=") => true,
        _ => return Condition::Unknown,
    };
    match (field(&told["left"]), values(&told["right"])) {
        (Asked::Never, _) => Condition::Never,
        (Asked::Field(field), Some(values)) => Condition::Is { field, values, negated },
        _ => Condition::Unknown,
    }
}

/// Reads one value or several; a set by name is not known.
fn values(told: &Value) -> Option<Vec<String>> {
    match told.get("set").unwrap_or(told) {
        Value::Array(list) => list.iter().map(scalar).collect(),
        one => scalar(one).map(|value| vec![value]),
    }
}

fn scalar(told: &Value) -> Option<String> {
    match told {
        Value::String(text) if text.starts_with('@') => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(_) => {
            let (prefix, range) = (&told["prefix"], &told["range"]);
            match (prefix["addr"].as_str(), range[0].as_str(), range[1].as_str()) {
                (Some(address), ..) => Some(format!("{address}/{}", prefix["len"])),
                (_, Some(from), Some(to)) => Some(format!("{from}-{to}")),
                _ => told.get("elem").and_then(|element| scalar(&element["val"])),
            }
        }
        _ => None,
    }
}
