//! The house as a test: who may import whom, which names are banned where, and that the test itself can fail.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms and what each may import. Adding an edge is a reviewed change.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("sys", &[]),
    ("types", &[]),
    ("events", &["types"]),
    ("domain", &["types", "events"]),
    ("kernel", &["types", "sys"]),
    ("repository", &["types", "sys"]),
    ("shim", &["types", "sys", "kernel"]),
    ("storage", &["types", "events", "sys"]),
    ("effects", &["types", "events", "domain", "sys", "kernel", "repository", "shim"]),
    ("projections", &["types", "events", "storage"]),
    ("actors", &["types", "events", "domain", "storage", "effects", "projections"]),
    ("scheduler", &["types", "events", "domain", "storage", "projections", "actors"]),
    ("api", &["types", "events", "domain", "storage", "effects", "projections", "actors", "scheduler", "sys"]),
    ("cli", &["types", "events", "api", "projections", "sys", "shim"]),
];

/// Narrower doors where a whole room would be too much: importer, room, the only paths in it.
const ONLY: &[(&str, &str, &[&str])] = &[
    ("effects", "shim", &["shim::protocol", "shim::client", "shim::attach", "shim::record", "shim::{"]),
    ("api", "scheduler", &["scheduler::due"]),
    ("cli", "projections", &["projections::query", "projections::rows", "projections::{"]),
    ("cli", "shim", &["shim::protocol", "shim::attach", "shim::{"]),
    ("cli", "sys", &["sys::tty"]),
    ("cli", "api", &["api::client", "api::resources", "api::{"]),
];

/// Words that may stand only in some rooms.
const BANNED: &[(&str, &[&str])] = &[
    ("rusqlite", &["storage", "projections", "repository"]),
    ("actix", &["actors", "scheduler", "api", "main"]),
    ("unsafe ", &["sys"]),
    ("libc::", &["sys"]),
    ("nix::", &["sys"]),
    ("rustix", &["sys"]),
    ("SystemTime::now", &["effects/clock.rs"]),
    ("Utc::now", &["effects/clock.rs"]),
    ("todo!", &[]),
    ("unimplemented!", &[]),
    ("dbg!", &[]),
    ("FIXME", &[]),
    (".unwrap()", &[]),
    ("cfg!(test)", &[]),
    ("effects::linux", &["effects", "main"]),
    ("effects::sim", &["effects"]),
];

/// Returns every Rust file below `src` with its path from there.
fn sources(root: &Path) -> Vec<(String, String)> {
    let mut found = vec![];
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn room(file: &str) -> &str {
    let first = file.split('/').next().unwrap_or(file);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// Returns the code of a file: no comments, no test modules (which stand last, by the order of this house).
fn code(text: &str) -> Vec<(usize, String)> {
    let mut lines = vec![];
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            let next = text.lines().nth(index + 1).unwrap_or_default();
            if next.contains("mod ") && next.trim_end().ends_with('{') {
                break;
            }
        }
        let bare = line.split("//").next().unwrap_or_default();
        lines.push((index + 1, strip_strings(bare)));
    }
    lines
}

/// Takes out what stands between quotation marks: a word in a message is no use of it.
fn strip_strings(line: &str) -> String {
    let mut inside = false;
    let mut escaped = false;
    line.chars()
        .filter(|character| {
            let quote = *character == '"' && !escaped;
            escaped = inside && *character == '\\' && !escaped;
            if quote {
                inside = !inside;
            }
            !inside && !quote
        })
        .collect()
}

fn is_test_file(file: &str) -> bool {
    file.ends_with("tests.rs")
        || file.contains("/tests/")
        || file.ends_with("conformance.rs")
        || file.ends_with("oracle.rs")
}

fn import_violations(files: &[(String, String)]) -> Vec<String> {
    let mut found = vec![];
    for (file, text) in files {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == room(file)) else { continue };
        if is_test_file(file) {
            continue;
        }
        for (number, line) in code(text) {
            for (start, _) in line.match_indices("crate::") {
                let path = &line[start + 7..];
                let target: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let known = MAY_IMPORT.iter().any(|(name, _)| *name == target);
                if known && target != room(file) && !allowed.contains(&target.as_str()) {
                    found.push(format!("{file}:{number}: {} imports {target}", room(file)));
                }
                let door = ONLY.iter().find(|(from, to, _)| *from == room(file) && *to == target);
                if door.is_some_and(|(_, _, paths)| !paths.iter().any(|allowed| path.starts_with(allowed))) {
                    found.push(format!("{file}:{number}: {} imports {path}", room(file)));
                }
            }
        }
    }
    found
}

fn name_violations(files: &[(String, String)]) -> Vec<String> {
    let mut found = vec![];
    for (file, text) in files {
        if is_test_file(file) || room(file) == "main" && !file.contains('/') && file != "main.rs" {
            continue;
        }
        for (number, line) in code(text) {
            for (word, rooms) in BANNED {
                let allowed = rooms.iter().any(|allowed| *allowed == room(file) || *allowed == file);
                let used = line.match_indices(word).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    word.starts_with('.') || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
                });
                if used && !allowed {
                    found.push(format!("{file}:{number}: {word} in {}", room(file)));
                }
            }
        }
    }
    found
}

fn house() -> Vec<(String, String)> {
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

#[test]
fn imports_point_only_downward() {
    let found = import_violations(&house());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn names_stay_in_their_rooms() {
    let found = name_violations(&house());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The sizes that let a stranger read: a function on one screen and a half, a file in one sitting, a folder at one glance.
const LINES_OF_FUNCTION: usize = 70;
const LINES_OF_FILE: usize = 450;
const FILES_OF_FOLDER: usize = 24;

fn size_violations(files: &[(String, String)]) -> Vec<String> {
    let mut found = vec![];
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    for (file, text) in files {
        *folders.entry(file.rsplit_once('/').map_or("", |(folder, _)| folder)).or_default() += 1;
        if is_test_file(file) {
            continue;
        }
        let code = code(text);
        if code.len() > LINES_OF_FILE {
            found.push(format!("{file}: {} lines, at most {LINES_OF_FILE}", code.len()));
        }
        for (number, lines) in functions(&code).filter(|(_, lines)| *lines > LINES_OF_FUNCTION) {
            found.push(format!("{file}:{number}: a function of {lines} lines, at most {LINES_OF_FUNCTION}"));
        }
    }
    let full = folders.into_iter().filter(|(_, count)| *count > FILES_OF_FOLDER);
    found.extend(full.map(|(folder, count)| format!("{folder}: {count} files, at most {FILES_OF_FOLDER}")));
    found
}

/// Returns where each function begins and how many lines it has: to the brace at the depth of its first line.
fn functions(code: &[(usize, String)]) -> impl Iterator<Item = (usize, usize)> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let begins = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.contains(&"fn") && !line.trim_end().ends_with(';')
    };
    code.iter().enumerate().filter(move |(_, (_, line))| begins(line)).map(move |(at, (number, line))| {
        let closed = |other: &str| other.trim_start().starts_with('}') && indent(other) == indent(line);
        let lines = code[at + 1..].iter().position(|(_, other)| closed(other)).map_or(1, |lines| lines + 2);
        (*number, lines)
    })
}

#[test]
fn functions_files_and_folders_stay_small() {
    let found = size_violations(&house());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_room_of_the_design_stands() {
    for (room, _) in MAY_IMPORT {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room);
        assert!(folder.join("mod.rs").is_file(), "src/{room}/mod.rs is missing");
    }
    for folder in ["src/actors", "src/events", "src/storage", "src/scheduler", "tests", "README.md", "Cargo.toml"] {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).exists(), "{folder} is missing");
    }
}

#[test]
fn every_file_says_in_its_head_what_it_is() {
    let silent: Vec<_> =
        house().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(file, _)| file).collect();
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

#[test]
fn planted_violations_are_caught() {
    let plant = |file: &str, text: &str| vec![(file.to_owned(), text.to_owned())];
    let imports = [
        ("domain/x.rs", "use crate::storage::Reader;"),
        ("storage/x.rs", "use crate::domain::Aggregate;"),
        ("types/x.rs", "use crate::events::Envelope;"),
        ("cli/x.rs", "fn f() { crate::actors::Registry::new(); }"),
        ("effects/x.rs", "use crate::shim::supervisor::Supervisor;"),
        ("api/x.rs", "use crate::scheduler::ticker::Ticker;"),
    ];
    for (file, text) in imports {
        assert_eq!(import_violations(&plant(file, text)).len(), 1, "{file}: {text}");
    }
    let names = [
        ("domain/x.rs", "use rusqlite::Connection;"),
        ("effects/x.rs", "use actix::Actor;"),
        ("kernel/x.rs", "unsafe { libc::getpid() }"),
        ("actors/x.rs", "let now = chrono::Utc::now();"),
        ("shim/x.rs", "value.unwrap()"),
        ("cli/x.rs", "todo!()"),
        ("storage/x.rs", "rustix::fs::fsync(file)"),
    ];
    for (file, text) in names {
        assert!(!name_violations(&plant(file, text)).is_empty(), "{file}: {text}");
    }
    let fine = [
        ("domain/x.rs", "use crate::types::Name; // crate::storage is not for us"),
        ("domain/x.rs", "let text = \"unsafe rusqlite\";"),
        ("domain/x.rs", "#[cfg(test)]\nmod tests {\n use crate::storage::Reader;\n}"),
    ];
    for (file, text) in fine {
        assert!(import_violations(&plant(file, text)).is_empty(), "{text}");
        assert!(name_violations(&plant(file, text)).is_empty(), "{text}");
    }
}
