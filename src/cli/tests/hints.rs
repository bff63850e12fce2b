//! Every command that any text of this program names is one that can be typed.

use std::fs;
use std::path::Path;

use clap::{CommandFactory as _, Parser as _};

use super::tree::split;
use crate::cli::root::Root;

/// What may follow the name of the program where it is spoken of: "berth makes version 3".
const PROSE: &[&str] = &["and", "cannot", "counts", "from", "made", "makes", "reads", "that", "was"];
/// What is no command of this tree: the supervisor is called by the daemon alone.
const INNER: &[&str] = &["shim"];

/// Returns the literals of a source file, its comments and tests left out.
fn literals(source: &str) -> Vec<String> {
    let own = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = own.lines().filter(|line| !line.trim_start().starts_with("//"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let (mut found, mut literal, mut inside, mut escaped) = (Vec::new(), String::new(), false, false);
    for character in text.chars() {
        match character {
            _ if escaped => {
                escaped = false;
                literal.push(if character == 'n' { '\n' } else { character });
            }
            '\\' if inside => escaped = true,
            '"' if inside => {
                found.push(std::mem::take(&mut literal));
                inside = false;
            }
            '"' => inside = true,
            _ if inside => literal.push(character),
            _ => {}
        }
    }
    found
}

/// Returns the command lines in a text, with a word in every place that is filled in later.
fn commands(text: &str) -> Vec<String> {
    let ends = ["\n", ";", "`", " (", ")", ", ", ": ", " || ", " && ", " &", " > ", ". ", "  "];
    let cut = |line: &str| ends.iter().filter_map(|end| line.find(end)).min().unwrap_or(line.len());
    let starts = text
        .match_indices("berth ")
        .filter(|(at, _)| !text[..*at].ends_with(|before: char| before.is_alphanumeric() || "/._-".contains(before)));
    starts.map(|(at, _)| text[at..at + cut(&text[at..])].trim_end_matches(['.', ',', '?']).to_owned()).collect()
}

fn is_command(line: &str) -> bool {
    let first = line.split(' ').nth(1).unwrap_or_default();
    let is_word = !first.is_empty() && first.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-');
    // Every command goes through that frame, and is tried where it is written; a line of usage is none.
    let is_frame = line.contains("{rest}") || line.contains("[OPTIONS]");
    is_word && !is_frame && !PROSE.contains(&first) && !INNER.contains(&first)
}

/// Fills a line in: whatever stands in braces is a word.
fn filled(line: &str) -> String {
    let (mut text, mut depth) = (String::new(), 0);
    for character in line.chars() {
        match character {
            '{' if depth == 0 => {
                depth = 1;
                text.push('7'); // a name, an id and a number alike
            }
            '}' => depth = 0,
            _ if depth > 0 => {}
            other => text.push(other),
        }
    }
    text
}

fn parses(line: &str) -> Result<(), String> {
    let words = split(&filled(line));
    match Root::try_parse_from(&words) {
        Ok(_) => Ok(()),
        Err(error) if error.exit_code() == 0 => Ok(()), // --help
        Err(error) if error.kind() == clap::error::ErrorKind::ValueValidation => Ok(()), // NAME stands for a value
        Err(error) => Err(format!("{line:?}: {error}")),
    }
}

fn walk(folder: &Path, wrong: &mut Vec<String>, seen: &mut usize) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, wrong, seen);
        } else if !path.components().any(|part| part.as_os_str() == "tests") && !path.ends_with("tests.rs") {
            let lines = literals(&fs::read_to_string(&path).unwrap())
                .iter()
                .flat_map(|text| commands(text))
                .collect::<Vec<_>>();
            for line in lines.iter().filter(|line| is_command(line)) {
                *seen += 1;
                wrong.extend(parses(line).err().map(|why| format!("{}: {why}", path.display())));
            }
        }
    }
}

#[test]
fn every_command_that_is_named_can_be_typed() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut wrong, &mut seen);
    assert!(seen > 150, "only {seen} were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_not_found_is_looked_for_in_a_list_that_there_is() {
    let nouns = [
        "container",
        "template",
        "network",
        "store",
        "schedule",
        "restore",
        "maintenance run",
        "session",
        "backup",
        "operation",
        "event",
    ];
    for noun in nouns {
        let error =
            crate::projections::query::QueryError::NotFound { noun, reference: "x".to_owned(), suggestion: None };
        let hint = error.hint().unwrap();
        assert_eq!(parses(&hint), Ok(()), "{noun}");
    }
    assert!(parses("berth restore list").is_err() && Root::command().find_subcommand("restore").is_none());
}
