//! Keeps `docs/events.md` true: the catalogue of everything that can be recorded, made of the sources and checked.
//!
//! Meaning and fields come from the doc comments in `src/events`; what an event does to its operation, and its words, come
//! from the code itself, asked with a made-up event of each kind. `UPDATE_DOCS=1 cargo test --test events_doc` rewrites
//! the page.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{any, env, fs};

use berth::events::{self, DomainEvent, Mark};
use berth::types::{ContainerId, Size, Span, Timestamp};
use serde_json::{Value, json};

/// Is a type as its source shows it.
#[derive(Default)]
struct Definition {
    is_enum: bool,
    kebab: bool,
    tag: Option<String>,
    fields: Vec<Field>,
    variants: Vec<Variant>,
}

struct Field {
    name: String,
    kind: String,
}

#[derive(Default)]
struct Variant {
    name: String,
    meaning: String,
    /// The only, nameless field.
    inner: Option<String>,
    fields: Vec<Field>,
}

type Sources = BTreeMap<String, Definition>;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Lists the sources below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let all = listed.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    let mut found: Vec<_> = all.filter(|path| path.extension().is_some_and(|end| end == "rs")).collect();
    found.sort();
    found
}

fn field(line: &str) -> Option<Field> {
    let (name, kind) = line.trim().trim_start_matches("pub ").trim_end_matches(',').split_once(": ")?;
    let plain = name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
    plain.then(|| Field { name: name.to_owned(), kind: kind.to_owned() })
}

/// Reads the structs and enums of one formatted file: the formatter's indents stand in for a parser.
fn read_definitions(text: &str, found: &mut Sources) {
    let mut lines = text.lines();
    let mut attributes = String::new();
    while let Some(line) = lines.next() {
        let opened = line.strip_suffix(" {").and_then(|line| {
            let name = line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub enum "))?;
            Some((name.to_owned(), line.starts_with("pub enum ")))
        });
        if let Some((name, is_enum)) = opened {
            let body: Vec<_> = lines.by_ref().take_while(|line| *line != "}").collect();
            let tag = attributes.split("tag = \"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned);
            let mut definition =
                Definition { is_enum, kebab: attributes.contains("kebab-case"), tag, ..Definition::default() };
            if is_enum {
                definition.variants = variants(&body);
            } else {
                definition.fields = body.iter().filter(|line| !line.contains("///")).filter_map(|l| field(l)).collect();
            }
            found.insert(name, definition);
        } else if line.starts_with("#[") {
            attributes.push_str(line);
        }
        if !line.starts_with("#[") && !line.starts_with("///") {
            attributes.clear();
        }
    }
}

fn variants(body: &[&str]) -> Vec<Variant> {
    let mut found: Vec<Variant> = vec![];
    let mut meaning = String::new();
    for line in body {
        let depth = line.len() - line.trim_start().len();
        let words = line.trim();
        match (depth, words.strip_prefix("///")) {
            (4, Some(text)) => {
                meaning.push_str(text);
            }
            (4, None) if words.starts_with(char::is_uppercase) => {
                let name: String = words.chars().take_while(char::is_ascii_alphanumeric).collect();
                let inner = words.split_once('(').map(|(_, rest)| rest.trim_end_matches(',').trim_end_matches(')'));
                let meaning = std::mem::take(&mut meaning).trim().to_owned();
                found.push(Variant { name, meaning, inner: inner.map(str::to_owned), fields: vec![] });
            }
            (8, None) => found.iter_mut().last().into_iter().for_each(|variant| variant.fields.extend(field(line))),
            _ => {}
        }
    }
    found
}

fn kebab(name: &str) -> String {
    let mut written = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !written.is_empty() {
            written.push('-');
        }
        written.push(letter.to_ascii_lowercase());
    }
    written
}

fn generic<'a>(kind: &'a str, outer: &str) -> Option<&'a str> {
    kind.strip_prefix(outer)?.strip_prefix('<')?.strip_suffix('>')
}

/// Makes up a value of a type: the least one, and for a choice the first.
fn sample(sources: &Sources, kind: &str) -> Value {
    let kind = kind.rsplit_once("super::").map_or(kind, |(before, after)| if before.is_empty() { after } else { kind });
    if let Some(inner) = generic(kind, "Box") {
        return sample(sources, inner);
    }
    if generic(kind, "Option").is_some() {
        return Value::Null;
    }
    if generic(kind, "Vec").is_some() || generic(kind, "BTreeSet").is_some() {
        return json!([]);
    }
    match kind {
        kind if kind.starts_with("BTreeMap<") => json!({}),
        "String" => json!("…"),
        "Name" | "LabelKey" | "LabelValue" => json!("name"),
        "bool" => json!(false),
        "u16" | "u32" | "u64" | "i32" | "i64" | "Position" => json!(0),
        "Category" | "StreamName" => json!("container/name"),
        "Timestamp" => json!(Timestamp::from(chrono::DateTime::UNIX_EPOCH)),
        "Size" => json!(Size::default()),
        "Span" => json!(Span::default()),
        "IpAddr" => json!("10.0.0.2"),
        "Subnet" => json!("10.0.0.0/24"),
        "MacAddress" => json!("02:00:00:00:00:01"),
        "CronExpression" => json!("@daily"),
        "HostName" => json!("web1.example.org"),
        "Managed" => json!("until-changed"),
        "Zone" => json!("UTC"),
        kind if kind.ends_with("Id") => {
            json!("a".repeat(json!(ContainerId::from_bytes([0; 16])).as_str().unwrap().len()))
        }
        kind => composed(sources, sources.get(kind).unwrap_or_else(|| panic!("no sample of the type {kind} is known"))),
    }
}

fn composed(sources: &Sources, definition: &Definition) -> Value {
    if !definition.is_enum {
        return object(sources, &definition.fields);
    }
    let first = definition.variants.first().unwrap();
    let name = if definition.kebab { kebab(&first.name) } else { first.name.clone() };
    if let Some(tag) = &definition.tag {
        let mut value = object(sources, &first.fields);
        value[tag] = json!(name);
        return value;
    }
    match (&first.inner, first.fields.is_empty()) {
        (Some(inner), _) => json!({ name: sample(sources, inner) }),
        (None, true) => json!(name),
        (None, false) => json!({ name: object(sources, &first.fields) }),
    }
}

fn object(sources: &Sources, fields: &[Field]) -> Value {
    fields.iter().map(|field| (field.name.clone(), sample(sources, &field.kind))).collect()
}

fn made_up<E: DomainEvent>(sources: &Sources, variant: &Variant) -> E {
    let body = match (&variant.inner, variant.fields.is_empty()) {
        (Some(inner), _) => sample(sources, inner),
        (None, true) => Value::Null,
        (None, false) => object(sources, &variant.fields),
    };
    let bytes = serde_json::to_vec(&body).unwrap();
    events::decode(&variant.name, 1, &bytes)
        .unwrap_or_else(|error| panic!("{}: {error}: {:?}: {body}", variant.name, std::error::Error::source(&error)))
}

fn mark_in_words(mark: &Mark) -> String {
    match mark {
        Mark::Opened { verb } => format!("opens `{verb}`"),
        Mark::Phase { name } => format!("phase: {name}"),
        Mark::Closed { outcome } => {
            format!("closes: {}", outcome.words().split(':').next().unwrap_or_default())
        }
        Mark::Done { verb } => format!("is `{verb}`"),
        Mark::Fact => "–".to_owned(),
    }
}

fn carried(variant: &Variant) -> String {
    let names: Vec<_> = variant.fields.iter().map(|field| format!("`{}`", field.name)).collect();
    let inner = variant.inner.as_ref().map(|inner| format!("{inner}, see the source"));
    inner.unwrap_or_else(|| if names.is_empty() { "–".to_owned() } else { names.join(", ") })
}

/// Writes the table of one kind of stream.
fn chapter<E: DomainEvent>(sources: &Sources, page: &mut String) {
    let name = any::type_name::<E>().rsplit("::").next().unwrap();
    let definition = &sources[name];
    let written: Vec<_> = definition.variants.iter().map(|variant| variant.name.as_str()).collect();
    let mut known = E::KINDS.to_vec();
    known.sort_unstable();
    let mut listed = written.clone();
    listed.sort_unstable();
    assert_eq!(listed, known, "{name}: the source was not read as the compiler reads it");
    writeln!(page, "\n## {}\n", E::CATEGORY).unwrap();
    writeln!(page, "| event | what it says | its operation | carries | as a line of history |\n|---|---|---|---|---|")
        .unwrap();
    for variant in &definition.variants {
        let event = made_up::<E>(sources, variant);
        let (mark, sentence) = (mark_in_words(&event.mark()), event.sentence());
        assert!(!variant.meaning.is_empty() && !sentence.is_empty(), "{name}::{} says nothing", variant.name);
        let meaning = variant.meaning.replace('|', "\\|");
        writeln!(page, "| `{}` | {meaning} | {mark} | {} | {sentence} |", variant.name, carried(variant)).unwrap();
    }
}

fn catalogue() -> String {
    let mut sources = Sources::new();
    for path in files(&root().join("src/types")).into_iter().chain(files(&root().join("src/events"))) {
        read_definitions(&fs::read_to_string(path).unwrap(), &mut sources);
    }
    let mut page = "\
# Events

Everything that can be recorded, by kind of stream. This page is made of `src/events` by `tests/events_doc.rs` and checked
by `cargo test`; `UPDATE_DOCS=1 cargo test --test events_doc` writes it anew.

*Its operation* says what an event does to the operation it belongs to: it opens one, tells of another phase, or closes it;
a dash is a fact beside that. Where an outcome depends on what is carried, an example is shown. The *line of history* is
what `event list` prints, here with made-up values: `…` for words, `aaaa` for ids. Around each event stands the same
envelope: position, stream, version, time, principal, operation, cause, node, boot (`src/events/envelope.rs`; as bytes:
`formats/log.md`).
"
    .to_owned();
    chapter::<events::NodeEvent>(&sources, &mut page);
    chapter::<events::ClockEvent>(&sources, &mut page);
    chapter::<events::DirectoryEvent>(&sources, &mut page);
    chapter::<events::ContainerEvent>(&sources, &mut page);
    chapter::<events::SessionEvent>(&sources, &mut page);
    chapter::<events::TemplateEvent>(&sources, &mut page);
    chapter::<events::NetworkEvent>(&sources, &mut page);
    chapter::<events::StoreEvent>(&sources, &mut page);
    chapter::<events::BackupGroupEvent>(&sources, &mut page);
    chapter::<events::BackupJobEvent>(&sources, &mut page);
    chapter::<events::RestoreEvent>(&sources, &mut page);
    chapter::<events::MaintenanceEvent>(&sources, &mut page);
    chapter::<events::BatchEvent>(&sources, &mut page);
    chapter::<events::ScheduleEvent>(&sources, &mut page);
    let words = || "…".to_owned();
    let failed = events::AttemptFailed { step: words(), reason: words(), again: true, class: None, code: None };
    let (kind, sentence) = (events::AttemptFailed::KIND, failed.sentence());
    write!(
        page,
        "\n## any stream\n\n`{kind}` (`step`, `reason`, `again`, `class`, `code`) is the first failed try of a step that is tried again; the last
one is told by the outcome, and stands before it where it has a class (`conflict`, `limit` …), which the exit code of whoever
waits follows from. As a line of history: {sentence}\n"
    )
    .unwrap();
    page
}

#[test]
fn the_catalogue_of_events_is_what_the_code_says() {
    let page: &Path = &root().join("docs/events.md");
    let true_now = catalogue();
    if env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        fs::write(page, &true_now).unwrap();
    }
    let written = fs::read_to_string(page).unwrap_or_default();
    let differs = written.lines().zip(true_now.lines()).find(|(written, now)| written != now);
    assert!(
        written == true_now,
        "docs/events.md is not what the code says{}; UPDATE_DOCS=1 cargo test --test events_doc writes it anew",
        differs.map(|(_, now)| format!(" (first: {now})")).unwrap_or_default()
    );
}

/// Returns what a page names between backquotes that is a path of this project.
fn places(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2).map(str::to_owned);
    quoted
        .filter(|word| ["src/", "tests/", "docs/", "bench/", "packaging/"].iter().any(|at| word.starts_with(at)))
        .collect()
}

fn is_there(place: &str) -> bool {
    let (path, name) = place.split_once("::").map_or((place, None), |(path, name)| (path, Some(name)));
    let path = root().join(path.split(' ').next().unwrap_or_default());
    let Some(name) = name else { return path.exists() };
    let text = fs::read_to_string(path).unwrap_or_default();
    ["fn ", "struct ", "enum ", "trait ", "const ", "macro_rules! "].iter().any(|word| {
        text.match_indices(&format!("{word}{name}")).any(|(at, found)| {
            !text[at + found.len()..].starts_with(|letter: char| letter.is_alphanumeric() || letter == '_')
        })
    })
}

#[test]
fn pages_name_only_places_that_are_there() {
    let mut wrong = vec![];
    for page in ["README.md", "docs/architecture.md", "docs/operating.md", "docs/runtime.md", "docs/security.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap_or_default();
        wrong
            .extend(places(&text).into_iter().filter(|place| !is_there(place)).map(|place| format!("{page}: {place}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        !is_there("src/actors/shell.rs::no_such_name") && !is_there("src/no/such/file.rs"),
        "the check sees nothing"
    );
}

/// Splits a text in what stands outside and what stands inside of pairs of a mark.
fn outside_and_inside(text: &str, mark: char) -> impl Iterator<Item = (&str, bool)> {
    text.split(mark).enumerate().map(|(index, part)| (part, index % 2 == 1))
}

/// Returns the tests that the last cell of a table's row names, each with the file that stands before it, if one does: a
/// function behind `::`, a title in italics.
fn tests_of(row: &str) -> Vec<(String, String)> {
    let cell = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap_or_default();
    let (mut file, mut found) = (String::new(), vec![]);
    for (part, code) in outside_and_inside(cell, '`') {
        if code {
            let (path, name) = part.split_once("::").unwrap_or((part, ""));
            path.clone_into(&mut file);
            found.extend((!name.is_empty()).then(|| (file.clone(), format!("fn {name}("))));
        } else {
            let titles = outside_and_inside(part, '*').filter(|(_, inside)| *inside);
            found.extend(titles.map(|(title, _)| (file.clone(), title.to_owned())));
        }
    }
    found
}

/// Returns the rows below a table's head that ends so.
fn rows<'a>(text: &'a str, head: &str) -> Vec<&'a str> {
    let mut below = false;
    let rows = text.lines().filter(|line| {
        below = line.starts_with('|') && (below || line.ends_with(head));
        below && !line.ends_with(head) && !line.starts_with("|--")
    });
    rows.collect()
}

fn is_tried(row: &str) -> bool {
    let named = tests_of(row);
    let is_there = |(file, name): &(String, String)| {
        let text = fs::read_to_string(root().join(file)).unwrap_or_default();
        text.contains(&if name.starts_with("fn ") { name.clone() } else { format!("\"{name}\"") })
    };
    !named.is_empty() && named.iter().all(is_there)
}

#[test]
fn every_barrier_has_a_test_that_is_there() {
    let text = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let barriers = rows(&text, "| tried by |");
    assert!(barriers.len() > 30, "the check sees only {} barriers", barriers.len());
    let untried: Vec<_> = barriers.into_iter().filter(|row| !is_tried(row)).collect();
    assert!(untried.is_empty(), "{}", untried.join("\n"));
    for row in
        ["| a | b | – |", "| a | b | `tests/kernel/attack.rs` *no such title* |", "| a | `src/lib.rs::no_such` |"]
    {
        assert!(!is_tried(row), "the check sees nothing in {row}");
    }
}

/// The titles of tests on the real kernel, and the names of functions as titles.
fn titles() -> Vec<String> {
    let (kernel, source) = (files(&root().join("tests/kernel")), files(&root().join("src")));
    let read = |paths: Vec<PathBuf>| paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect::<String>();
    let titles =
        read(kernel).split("(\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect();
    let functions = read(source);
    let functions = functions.lines().filter_map(|line| line.trim_start().strip_prefix("fn "));
    let functions = functions.filter_map(|rest| Some(rest.split_once('(')?.0.replace('_', " ")));
    [titles, functions.collect::<Vec<_>>()].concat()
}

#[test]
fn every_pool_is_drained_by_a_test_that_is_there() {
    let (text, titles) = (fs::read_to_string(root().join("docs/runtime.md")).unwrap(), titles());
    let pools = rows(&text, "| bounded by | test |");
    assert!(pools.len() > 15, "the check sees only {} pools", pools.len());
    let begins = |start: &str| titles.iter().any(|title| title.starts_with(start.trim_end_matches(" …")));
    assert!(!begins("nobody tries this …"), "the check sees nothing");
    for row in pools {
        let named = tests_of(row);
        assert!(!named.is_empty() && named.iter().all(|(_, title)| begins(title)), "{row}");
    }
}

fn pages(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.into_iter().chain(folders.iter().flat_map(|folder| pages(folder))).collect()
}

/// Returns the links of a page that lead nowhere.
fn dead_links(page: &Path, text: &str) -> Vec<String> {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    let leads = |link: &str| link.is_empty() || link.contains("://") || page.parent().unwrap().join(link).exists();
    links.filter(|link| !leads(link)).map(|link| format!("{}: {link}", page.display())).collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let all = pages(&root().join("docs")).into_iter().chain([root().join("README.md")]);
    let dead: Vec<String> = all.flat_map(|page| dead_links(&page, &fs::read_to_string(&page).unwrap())).collect();
    assert!(dead.is_empty(), "{}", dead.join("\n"));
    assert_eq!(dead_links(&root().join("README.md"), "[a](no-such.md) [b](docs)").len(), 1, "the check sees nothing");
}
