//! Locks the shapes of what is kept: every row of a read model, every state in a snapshot, every event.
//!
//! A row or state whose shape changes without its number would be read back wrongly: the number is what makes the next
//! start build it anew. `tests/formats/shapes.txt` holds each shape as its sources show it, with its number. A shape that
//! changed needs a higher number; then `UPDATE_SHAPES=1 cargo test --test shapes` writes the file, and refuses what was not
//! raised. Events get theirs from an upcaster (`src/events/upcast.rs`), from the first released version on.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Whether there are logs in the world that a later version must read. Until then events change without upcasters.
const RELEASED: bool = false;

/// A type that serde writes: where it stands, and its text without comments, attributes but serde's, and visibility.
struct Definition {
    file: String,
    text: String,
}

type Definitions = BTreeMap<String, Vec<Definition>>;

/// A shape: its number, and the types that make it up, the root first.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    number: u32,
    text: String,
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let all = listed.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    all.filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
}

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut read: Vec<_> = files(&root)
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            (name, without_comments(&fs::read_to_string(&path).unwrap()))
        })
        .collect();
    read.sort();
    read
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| line.split(" //").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Finds every struct and enum below `#[derive(…Serialize…)]` in one file.
fn definitions_of(file: &str, text: &str, found: &mut Definitions) {
    for (start, _) in text.match_indices("#[derive(") {
        let Some(end) = text[start..].find(")]").map(|at| start + at) else { continue };
        if !text[start..end].contains("Serialize") {
            continue;
        }
        let body = definition(&text[end + 2..]);
        let words: Vec<&str> = body.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let name = words.iter().position(|word| ["struct", "enum"].contains(word)).and_then(|at| words.get(at + 1));
        if let Some(name) = name {
            let text = plain(body);
            found.entry((*name).to_owned()).or_default().push(Definition { file: file.to_owned(), text });
        }
    }
}

/// Returns the text up to the end of the item that begins there.
fn definition(text: &str) -> &str {
    let mut depth = 0_u32;
    let mut attribute = 0_u32;
    for (at, letter) in text.char_indices() {
        match letter {
            '[' => attribute += 1,
            ']' => attribute = attribute.saturating_sub(1),
            '{' if attribute == 0 => depth += 1,
            '}' if attribute == 0 && depth == 1 => return &text[..=at],
            '}' if attribute == 0 => depth = depth.saturating_sub(1),
            ';' if attribute == 0 && depth == 0 => return &text[..=at],
            _ => {}
        }
    }
    text
}

/// Leaves only what decides over the bytes: serde's attributes, names, types.
fn plain(body: &str) -> String {
    let lines = body.lines().map(str::trim).filter(|line| !line.starts_with("#[") || line.starts_with("#[serde"));
    let words = lines.flat_map(str::split_whitespace).filter(|word| *word != "pub" && !word.starts_with("pub("));
    words.collect::<Vec<_>>().join(" ")
}

/// Returns the types that a definition names: what follows a colon or stands in brackets. The rest are its own name and
/// those of its variants.
fn types_in(text: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let (mut depth, mut before, mut begun) = (0_i32, ' ', None);
    for (at, letter) in text.char_indices() {
        let of_word = letter.is_alphanumeric() || letter == '_';
        match begun {
            None if of_word => begun = Some(at),
            Some(start) if !of_word => {
                let names_type = text[start..].starts_with(|c: char| c.is_ascii_uppercase());
                if names_type && (depth > 0 || before == ':') {
                    found.insert(&text[start..at]);
                }
                (begun, before) = (None, ' ');
            }
            _ => {}
        }
        match letter {
            '<' | '(' => depth += 1,
            '>' | ')' => depth -= 1,
            _ => {}
        }
        if !of_word && letter != ' ' {
            before = letter;
        }
    }
    found
}

/// Returns the definitions that a name in `file` may mean: its own, those of its folder, or all.
fn meant<'a>(known: &'a Definitions, file: &str, name: &str) -> Vec<&'a Definition> {
    let all: Vec<_> = known.get(name).into_iter().flatten().collect();
    let folder = |path: &str| path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
    let own: Vec<_> = all.iter().copied().filter(|one| one.file == file).collect();
    let near: Vec<_> = all.iter().copied().filter(|one| folder(&one.file) == folder(file)).collect();
    [own, near, all].into_iter().find(|some| !some.is_empty()).unwrap_or_default()
}

/// Returns the text of a type and of every type that it holds.
fn shape(known: &Definitions, file: &str, root: &str) -> String {
    let mut seen = BTreeSet::new();
    let mut ahead: Vec<(String, String)> = vec![(file.to_owned(), root.to_owned())];
    let mut lines = vec![];
    while let Some((file, name)) = ahead.pop() {
        for one in meant(known, &file, &name) {
            if seen.insert((one.file.clone(), name.clone())) {
                lines.push(format!("  {}", one.text));
                ahead.extend(types_in(&one.text).into_iter().map(|inner| (one.file.clone(), inner.to_owned())));
            }
        }
    }
    lines[1..].sort();
    lines.join("\n")
}

/// Returns the number that a line such as `const VERSION: u32 = 5;` gives.
fn number(text: &str, constant: &str) -> Option<u32> {
    let (_, after) = text.split_once(&format!("const {constant}: u32 = "))?;
    after.split(';').next()?.parse().ok()
}

fn word_after<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let (_, after) = text.split_once(before)?;
    after.split(|c: char| !c.is_alphanumeric()).next()
}

fn shapes() -> BTreeMap<String, Shape> {
    let sources = sources();
    let mut known = Definitions::new();
    for (file, text) in &sources {
        definitions_of(file, text, &mut known);
    }
    let mut found = BTreeMap::new();
    for (file, text) in &sources {
        let state = number(text, "STATE_SCHEMA").zip(word_after(text, "impl Aggregate for "));
        let row =
            number(text, "VERSION").zip(word_after(text, "type Row = ")).filter(|_| text.contains("impl Model for "));
        for (number, root, label) in
            state.map(|(number, root)| (number, root, "state")).into_iter().chain(row.map(|(n, root)| (n, root, "row")))
        {
            found.insert(format!("{label} {root}"), Shape { number, text: shape(&known, file, root) });
        }
    }
    for (root, definition) in known.iter().filter(|(name, _)| name.ends_with("Event")) {
        let Some(first) = definition.iter().find(|one| one.file.starts_with("events/")) else { continue };
        found.insert(format!("events {root}"), Shape { number: 1, text: shape(&known, &first.file, root) });
    }
    found
}

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/shapes.txt")
}

fn written(shapes: &BTreeMap<String, Shape>) -> String {
    let parts =
        shapes.iter().map(|(name, shape)| [name.as_str(), " ", &shape.number.to_string(), "\n", &shape.text].concat());
    parts.collect::<Vec<_>>().join("\n\n") + "\n"
}

fn read(text: &str) -> BTreeMap<String, Shape> {
    let parts = text.trim_end().split("\n\n").filter(|part| !part.trim().is_empty());
    parts
        .map(|part| {
            let (head, text) = part.split_once('\n').unwrap();
            let (name, number) = head.rsplit_once(' ').unwrap();
            (name.to_owned(), Shape { number: number.parse().unwrap(), text: text.to_owned() })
        })
        .collect()
}

/// Lists the shapes that changed and kept their number.
fn not_raised(before: &BTreeMap<String, Shape>, now: &BTreeMap<String, Shape>) -> Vec<String> {
    let changed = now.iter().filter(|(name, shape)| {
        let same_number = |old: &Shape| old.text != shape.text && old.number >= shape.number;
        before.get(*name).is_some_and(same_number) && (RELEASED || !name.starts_with("events "))
    });
    changed.map(|(name, shape)| format!("{name}: the shape changed, its number is still {}", shape.number)).collect()
}

#[test]
fn a_changed_shape_has_a_higher_number() {
    let now = shapes();
    let before = read(&fs::read_to_string(kept()).unwrap_or_default());
    let kinds = ["state ", "row ", "events "].map(|kind| now.keys().filter(|name| name.starts_with(kind)).count());
    assert!(kinds.iter().all(|count| *count >= 10), "the sources are not understood any more: {kinds:?}");
    let low = not_raised(&before, &now);
    assert!(low.is_empty(), "{}", low.join("\n"));
    if env::var_os("UPDATE_SHAPES").is_some() {
        return fs::write(kept(), written(&now)).unwrap();
    }
    let stale: Vec<_> =
        now.iter().filter(|(name, shape)| before.get(*name) != Some(shape)).map(|(name, _)| name).collect();
    assert!(stale.is_empty() && before.len() == now.len(), "UPDATE_SHAPES=1 cargo test --test shapes: {stale:?}");
}

#[test]
fn what_changes_bytes_is_seen_and_what_does_not_is_not() {
    let shape_of = |text: &str| {
        let mut known = Definitions::new();
        definitions_of("domain/x.rs", &without_comments(text), &mut known);
        shape(&known, "domain/x.rs", "State")
    };
    let plain = "#[derive(Debug, Serialize)]\npub struct State {\n    a: u32,\n    b: Inner,\n}\n\
                 #[derive(Serialize)]\nenum Inner {\n    One,\n}\n";
    let same = "/// A state.\n#[derive(Clone, Serialize)]\n#[allow(dead_code)]\nstruct State {\n    /// It.\n    pub a: u32, // why\n    \
                b: Inner,\n}\n#[derive(Serialize, Default)]\npub(super) enum Inner {\n    #[default]\n    One,\n}\n";
    assert_eq!(shape_of(plain), shape_of(same));
    for (from, to) in [("a: u32", "a: u64"), ("One,", "One,\n    Two,"), ("    a", "    #[serde(default)]\n    a")] {
        assert_ne!(shape_of(plain), shape_of(&plain.replace(from, to)), "{to}");
    }
    let held = types_in(
        "enum E { Unit, Tuple(A, Vec<B>), Named { c: C, d: e::D, f: Map<G, (H, I)>, }, #[serde(default)] Last, }",
    );
    assert_eq!(held.into_iter().collect::<String>(), "ABCDGHIMapVec");
    let shapes = |number, text: &str| BTreeMap::from([("row X".to_owned(), Shape { number, text: text.to_owned() })]);
    assert_eq!(not_raised(&shapes(1, "a"), &shapes(1, "b")).len(), 1);
    assert!(not_raised(&shapes(1, "a"), &shapes(2, "b")).is_empty());
    assert!(not_raised(&shapes(1, "a"), &shapes(1, "a")).is_empty());
    assert_eq!(read(&written(&shapes(3, "  a\n  b"))), shapes(3, "  a\n  b"));
}
