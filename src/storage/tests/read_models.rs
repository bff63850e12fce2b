//! Projections: live equals rebuilt equals folded from the past, and a broken one stops nothing.

use serde_json::{Value, json};

use super::*;

/// Counts the events of each stream; `Gone` removes the row, `Bad` breaks the fold.
struct Counter {
    version: u32,
    strict: bool,
}

impl InlineProjection for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn schema(&self) -> &'static str {
        "CREATE TABLE {table} (key TEXT PRIMARY KEY, row TEXT NOT NULL, position INTEGER NOT NULL,
            count INTEGER GENERATED ALWAYS AS (row ->> '$.count') VIRTUAL CHECK (count < 1000)) STRICT"
    }

    fn indexes(&self) -> &'static str {
        "CREATE INDEX {table}_count ON {table} (count)"
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        vec![event.stream.to_string(), "all".to_owned()]
    }

    fn fold(&self, key: &str, row: Option<Value>, event: &Envelope) -> Option<Value> {
        assert!(!(self.strict && event.kind == "Bad"), "a fold that breaks");
        if event.kind == "Huge" {
            return Some(json!({ "count": 5_000 }));
        }
        if event.kind == "Gone" && key != "all" {
            return None;
        }
        let count = row.map_or(0, |row| row["count"].as_u64().unwrap_or(0)) + u64::from(self.version);
        Some(json!({ "count": count, "last": event.version.get() }))
    }
}

fn open(home: &Home, version: u32, strict: bool) -> SqliteLog {
    let projections: Vec<Box<dyn InlineProjection>> = vec![Box::new(Counter { version, strict })];
    SqliteLog::open(&home.state(), Options { projections, ..home.options() }).unwrap()
}

fn kind(name: &str, commit: Commit) -> Commit {
    let mut commit = commit;
    commit.events.iter_mut().for_each(|event| event.kind = name.to_owned());
    commit
}

fn rows(log: &SqliteLog) -> Vec<(String, Value)> {
    log.reader().rows("counter", "", 100).unwrap()
}

#[test]
fn rebuilt_rows_equal_live_rows_and_every_moment_can_be_folded_again() {
    let home = Home::new();
    let log = open(&home, 1, true);
    let mut history = vec![rows(&log)];
    for step in 0..8 {
        for key in ["a", "b"] {
            let name = if step == 4 && key == "b" { "Gone" } else { "Noted" };
            append(&log, kind(name, commit(key, step, &["x"]))).unwrap();
            history.push(rows(&log));
        }
    }
    let counter = Counter { version: 1, strict: true };
    for (position, wanted) in history.iter().enumerate() {
        let at = Position::new(position as u64);
        assert_eq!(log.reader().rows_at(&counter, at).unwrap().into_iter().collect::<Vec<_>>(), *wanted);
        for key in ["container/a", "container/b", "all"] {
            let row = wanted.iter().find(|(name, _)| name == key).map(|(_, row)| row.clone());
            assert_eq!(log.reader().row_at(&counter, key, at).unwrap(), row);
        }
    }
    let live = rows(&log);
    drop(log);
    assert_eq!(rows(&open(&home, 1, true)), live, "opening again changes nothing");
    home.open().close();
    append(&home.open(), commit("a", 8, &["while it was not registered"])).unwrap();
    let log = open(&home, 1, true);
    assert_eq!(rows(&log)[0].1["count"], 17, "a projection that was away catches up");
    drop(log);
    let doubled = open(&home, 2, true);
    assert_eq!(rows(&doubled)[0].1["count"], 34, "another version is rebuilt");
    let status = doubled.reader().projections().unwrap();
    assert_eq!((status[0].version, status[0].position.get(), &status[0].error), (2, 17, &None));
    let indexes: i64 = doubled
        .reader()
        .query(|c| {
            c.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'projection_counter_count'", [], |r| r.get(0))
        })
        .unwrap();
    assert_eq!(indexes, 1);
}

/// Has a table that SQLite refuses.
struct Shapeless;

impl InlineProjection for Shapeless {
    fn name(&self) -> &'static str {
        "shapeless"
    }

    fn version(&self) -> u32 {
        1
    }

    fn schema(&self) -> &'static str {
        "CREATE TABLE {table} (nonsense NONSENSE) STRICT"
    }

    fn keys(&self, _event: &Envelope) -> Vec<String> {
        vec!["x".to_owned()]
    }

    fn fold(&self, _key: &str, row: Option<Value>, _event: &Envelope) -> Option<Value> {
        row
    }
}

#[test]
fn a_projection_without_a_table_stops_nothing() {
    let home = Home::new();
    let projections: Vec<Box<dyn InlineProjection>> =
        vec![Box::new(Shapeless), Box::new(Counter { version: 1, strict: true })];
    let log = SqliteLog::open(&home.state(), Options { projections, ..home.options() }).unwrap();
    append(&log, commit("a", 0, &["x"])).unwrap();
    let status = log.reader().projections().unwrap();
    assert_eq!(status.iter().map(|one| one.error.is_some()).collect::<Vec<_>>(), [false, true], "{status:?}");
    assert_eq!(rows(&log).len(), 2);
}

#[test]
fn a_projection_that_fails_is_parked_and_the_log_goes_on() {
    for (name, said) in [("Bad", "a fold that breaks"), ("Huge", "CHECK constraint failed")] {
        let home = Home::new();
        let log = open(&home, 1, true);
        append(&log, commit("a", 0, &["x"])).unwrap();
        let before = rows(&log);
        append(&log, kind(name, commit("a", 1, &["x"]))).unwrap();
        append(&log, commit("a", 2, &["x"])).unwrap();
        let status = log.reader().projections().unwrap().remove(0);
        assert!(status.error.as_deref().is_some_and(|error| error.contains(said)), "{status:?}");
        assert_eq!((status.position.get(), rows(&log)), (1, before), "its rows stay as of then");
        drop(log);
        let log = open(&home, 1, name == "Huge");
        let status = log.reader().projections().unwrap().remove(0);
        assert_eq!(status.error.is_none(), name == "Bad", "a mended projection is rebuilt at the next start");
    }
}
