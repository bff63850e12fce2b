//! A model of packet filters, just deep enough to ask what becomes of a container's packet.
//!
//! What a rule asks of a packet is known, or it is not: a rule about marks, sets by name or limits says nothing about
//! containers in general. Such a rule is passed by, whatever it would do: somebody wrote it for some packets, and what is
//! looked for here are filters that let none through.

use std::net::Ipv4Addr;

use crate::types::Ipv4Subnet;

/// How many rules are looked at for one packet: chains that jump to each other in a ring end here.
const RULES_MAX: u32 = 100_000;
/// How deep chains may call each other (`NFT_JUMP_STACK_SIZE` is 16, xtables take more).
const DEPTH_MAX: u32 = 64;

/// Is a place where the kernel asks filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hook {
    /// Whatever comes in.
    Prerouting,
    /// For the host itself.
    Input,
    /// From one link to another.
    Forward,
    /// From the host itself.
    Output,
    /// Whatever goes out.
    Postrouting,
}

impl Hook {
    /// Reads the name of a hook, as nft or as iptables write it.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "prerouting" => Self::Prerouting,
            "input" => Self::Input,
            "forward" => Self::Forward,
            "output" => Self::Output,
            "postrouting" => Self::Postrouting,
            _ => return None,
        })
    }
}

/// Says by which program a filter was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// nft, or iptables on top of nf_tables.
    Nft,
    /// iptables of the old kind, with tables of its own in the kernel.
    Legacy,
}

/// Is a list of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) program: Program,
    pub(super) family: String,
    pub(super) table: String,
    pub(super) name: String,
    /// Where the kernel begins with it; nothing if other chains jump to it.
    pub(super) hook: Option<Hook>,
    /// Whether a packet that no rule decided about is dropped.
    pub(super) drops: bool,
    pub(super) rules: Vec<Rule>,
}

impl Chain {
    /// Says whether both lie in one table, so that one can jump to the other.
    pub(super) fn beside(&self, other: &Self) -> bool {
        (self.program, &self.family, &self.table) == (other.program, &other.family, &other.table)
    }
}

/// Is one rule: what it asks, and what it does then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) then: Then,
}

/// Says what a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    Accept,
    Drop,
    Reject,
    Return,
    Jump(String),
    Goto(String),
    /// What follows depends on a field (verdict maps).
    Choose(Field, Vec<(String, Then)>),
}

/// Is something that a rule asks of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// The link it came in by.
    In,
    /// The link it goes out by.
    Out,
    Source,
    Destination,
    /// The state of its connection.
    State,
    Protocol,
    /// The port it is for.
    Port,
    Family,
}

/// Is one question of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    /// The field has one of the values, or, negated, none of them.
    Is { field: Field, values: Vec<String>, negated: bool },
    /// Something about the connection, in a form that is not to be read: nearly always that it is known already.
    Connection,
    /// No packet of IPv4.
    Never,
    /// Nobody knows.
    Unknown,
}

/// Is a packet as far as filters ask for it; what is `None` can be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) input: Option<&'a str>,
    pub(super) output: Option<&'a str>,
    pub(super) source: Option<Ipv4Subnet>,
    pub(super) destination: Option<Ipv4Subnet>,
    pub(super) state: &'static str,
    pub(super) protocol: &'static str,
    pub(super) port: Option<&'static str>,
}

/// Says how a chain stops a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stop {
    /// The chain that decides; it is the one that was asked, or one that it jumps to.
    pub(super) chain: String,
    /// Whether the chain's policy does it, not a rule.
    pub(super) by_policy: bool,
    /// Whether the sender is told.
    pub(super) rejects: bool,
}

/// Says whether a chain that the kernel begins with stops the packet.
pub(super) fn stops(base: &Chain, all: &[Chain], packet: &Packet<'_>) -> Option<Stop> {
    let mut walk = Walk { all, packet, left: RULES_MAX };
    match walk.chain(base, 0) {
        Fate::Stopped(stop) => Some(stop),
        Fate::Returned if base.drops => Some(Stop { chain: base.name.clone(), by_policy: true, rejects: false }),
        Fate::Returned | Fate::Accepted => None,
    }
}

enum Fate {
    Accepted,
    Stopped(Stop),
    /// Nothing decided; goes on behind the jump, or with the policy.
    Returned,
}

struct Walk<'a> {
    all: &'a [Chain],
    packet: &'a Packet<'a>,
    left: u32,
}

impl Walk<'_> {
    fn chain(&mut self, chain: &Chain, depth: u32) -> Fate {
        for rule in &chain.rules {
            if depth > DEPTH_MAX || self.left == 0 {
                return Fate::Accepted; // what cannot be followed is not complained about
            }
            self.left -= 1;
            if rule.conditions.iter().all(|condition| self.packet.fulfils(condition)) {
                let chosen = self.packet.choose(&rule.then);
                let goes = matches!(chosen, Then::Goto(_) | Then::Return);
                match self.then(chosen, chain, depth) {
                    Fate::Returned if !goes => {}
                    fate => return fate,
                }
            }
        }
        Fate::Returned
    }

    fn then(&mut self, then: &Then, chain: &Chain, depth: u32) -> Fate {
        let stopped = |rejects| Fate::Stopped(Stop { chain: chain.name.clone(), by_policy: false, rejects });
        match then {
            Then::Accept => Fate::Accepted,
            Then::Drop => stopped(false),
            Then::Reject => stopped(true),
            Then::Jump(name) | Then::Goto(name) => {
                match self.all.iter().find(|other| other.beside(chain) && other.name == *name) {
                    Some(other) => self.chain(other, depth + 1),
                    None => Fate::Returned,
                }
            }
            Then::Nothing | Then::Return | Then::Choose(..) => Fate::Returned,
        }
    }
}

impl Packet<'_> {
    fn fulfils(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Is { field, values, negated } => self.is_any(*field, values) == Some(!negated),
            Condition::Connection => self.state == "established",
            Condition::Never | Condition::Unknown => false,
        }
    }

    fn choose<'t>(&self, then: &'t Then) -> &'t Then {
        let Then::Choose(field, ways) = then else { return then };
        let fits = |value: &String| self.is_any(*field, std::slice::from_ref(value)) == Some(true);
        ways.iter().find(|(value, _)| fits(value)).map_or(&Then::Nothing, |(_, way)| way)
    }

    /// Says whether the field has one of these values; nothing if that depends on the packet.
    fn is_any(&self, field: Field, values: &[String]) -> Option<bool> {
        let equal = |own: &str| values.iter().any(|value| value.eq_ignore_ascii_case(own));
        match field {
            Field::In => self.input.map(|own| values.iter().any(|value| glob(value, own))),
            Field::Out => self.output.map(|own| values.iter().any(|value| glob(value, own))),
            Field::State => Some(equal(self.state)),
            Field::Protocol => Some(equal(self.protocol) || equal("all")),
            Field::Port => self.port.map(equal),
            Field::Family => Some(equal("ipv4") || equal("ip")),
            Field::Source => within(self.source, values),
            Field::Destination => within(self.destination, values),
        }
    }
}

/// A link's name may end in a star.
fn glob(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

/// Says whether a range lies in one of those written; nothing if it lies in none as a whole, but may in part.
fn within(own: Option<Ipv4Subnet>, values: &[String]) -> Option<bool> {
    let ranges = values.iter().map(|value| range(value)).collect::<Option<Vec<_>>>()?;
    let (first, last) = own.map_or((0, u32::MAX), |own| (own.network().to_bits(), own.broadcast().to_bits()));
    if ranges.iter().any(|(from, to)| *from <= first && last <= *to) {
        return Some(true);
    }
    let touches = ranges.iter().any(|(from, to)| *from <= last && first <= *to);
    if touches { None } else { Some(false) }
}

/// Reads `a`, `a/length`, `a/mask` or `a-b`.
fn range(text: &str) -> Option<(u32, u32)> {
    if let Some((from, to)) = text.split_once('-') {
        return Some((from.parse::<Ipv4Addr>().ok()?.to_bits(), to.parse::<Ipv4Addr>().ok()?.to_bits()));
    }
    let (address, length) = text.split_once('/').unwrap_or((text, "32"));
    let prefix = match length.parse::<Ipv4Addr>() {
        Ok(mask) => u8::try_from(mask.to_bits().leading_ones()).ok()?,
        Err(_) => length.parse().ok()?,
    };
    let subnet = Ipv4Subnet::around(address.parse().ok()?, prefix)?;
    Some((subnet.network().to_bits(), subnet.broadcast().to_bits()))
}
