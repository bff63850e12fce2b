//! Reads what `iptables-save` of the old kind says (iptables-save(8)).

use super::ruleset::{Chain, Condition, Field, Hook, Program, Rule, Then};

/// Reads every chain, but those that translate addresses.
pub(super) fn read(text: &str) -> Vec<Chain> {
    let mut chains: Vec<Chain> = vec![];
    let mut table = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name.trim();
        } else if let Some(declared) = line.strip_prefix(':').filter(|_| table != "nat") {
            chains.extend(chain(table, declared));
        } else if line.starts_with("-A ") && table != "nat" {
            let words = words(line);
            let of = |chain: &&mut Chain| chain.table == table && Some(&chain.name) == words.get(1);
            if let Some(chain) = chains.iter_mut().find(of) {
                chain.rules.push(rule(words.get(2..).unwrap_or_default()));
            }
        }
    }
    chains
}

/// Reads `NAME POLICY [packets:bytes]`; the policy of a chain that others jump to is a dash.
fn chain(table: &str, declared: &str) -> Option<Chain> {
    let mut words = declared.split_whitespace();
    let (name, policy) = (words.next()?, words.next()?);
    Some(Chain {
        program: Program::Legacy,
        family: "ip".to_owned(),
        table: table.to_owned(),
        name: name.to_owned(),
        hook: Hook::named(name).filter(|_| policy != "-"),
        drops: policy == "DROP",
        rules: vec![],
    })
}

/// Splits a line as a shell would, as far as iptables-save quotes: comments in double quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut escaped) = (vec![], String::new(), false, false);
    for character in line.chars().chain([' ']) {
        match character {
            _ if escaped => {
                word.push(character);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ' ' if !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(character),
        }
    }
    words
}

fn rule(words: &[String]) -> Rule {
    let mut rule = Rule { conditions: vec![], then: Then::Nothing };
    let (mut negated, mut rest) = (false, words.iter().map(String::as_str));
    while let Some(word) = rest.next() {
        let field = match word {
            "!" => {
                negated = true;
                continue;
            }
            "-j" => {
                rule.then = target(rest.next().unwrap_or_default());
                break; // what follows is about the target
            }
            "-g" => {
                rule.then = Then::Goto(rest.next().unwrap_or_default().to_owned());
                break;
            }
            "-m" | "--comment" | "--mode" => {
                rest.next();
                continue;
            }
            "-i" => Field::In,
            "-o" => Field::Out,
            "-s" => Field::Source,
            "-d" => Field::Destination,
            "-p" => Field::Protocol,
            "--ctstate" | "--state" => Field::State,
            "--dport" | "--dports" => Field::Port,
            option if option.starts_with("--") => {
                rule.conditions.push(Condition::Unknown);
                negated = false;
                continue;
            }
            _ => continue, // the value of an option that is not known
        };
        let values = rest.next().unwrap_or_default().split(',').map(value).collect();
        rule.conditions.push(Condition::Is { field, values, negated });
        negated = false;
    }
    rule
}

/// A link's name that ends in a plus stands for all that begin so.
fn value(text: &str) -> String {
    text.strip_suffix('+').map_or_else(|| text.to_owned(), |start| format!("{start}*"))
}

/// A target that is no verdict is a chain, or something like LOG: then there is no chain of that name.
fn target(name: &str) -> Then {
    match name {
        "ACCEPT" | "NFQUEUE" => Then::Accept,
        "DROP" => Then::Drop,
        "REJECT" => Then::Reject,
        "RETURN" => Then::Return,
        other => Then::Jump(other.to_owned()),
    }
}
