//! What follows from the log is compared with it, and made anew from it.

use std::fs;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::*;

/// Counts the events of each stream.
struct Counter;

impl InlineProjection for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn version(&self) -> u32 {
        1
    }

    fn indexes(&self) -> &'static str {
        "CREATE INDEX {table}_position ON {table} (position)"
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        vec![event.stream.key().to_owned()]
    }

    fn fold(&self, key: &str, row: Option<Value>, _event: &Envelope) -> Option<Value> {
        let count = row.map_or(0, |row| row["count"].as_u64().unwrap_or(0)) + 1;
        Some(json!({ "name": format!("n{key}"), "count": count, "state": "stopped" }))
    }

    fn streams(&self, key: &str) -> Option<Vec<StreamName>> {
        Some(vec![commit(key, 0, &["x"]).stream])
    }
}

fn models() -> Vec<Box<dyn InlineProjection>> {
    vec![Box::new(Counter)]
}

fn open(home: &Home) -> SqliteLog {
    SqliteLog::open(&home.state(), Options { projections: models(), ..home.options() }).unwrap()
}

/// Makes a log of sixty events of three streams, with a snapshot and keys, and closes it.
fn whole() -> Home {
    let home = Home::new();
    let log = open(&home);
    fill(&log, 20);
    for step in 20..24 {
        append(&log, Commit { key: Some(format!("key {step}")), ..commit("k", step - 20, &["x"]) }).unwrap();
    }
    let (stream, version) = (commit("a", 0, &["x"]).stream, Version::new(8));
    log.keep(Snapshot { stream, version, state_schema: 1, state: b"state".to_vec() });
    wait(log.seal()).unwrap();
    drop(log);
    home
}

/// Changes the file as somebody with root would, with all triggers as they are.
fn change(home: &Home, sql: &str) {
    Connection::open(home.log()).unwrap().execute_batch(sql).unwrap();
}

fn findings(home: &Home) -> Vec<Finding> {
    let reader = Reader::open(&home.state()).unwrap();
    let report = verify(&reader, &Evidence::default()).unwrap();
    [report.findings, compare(&reader, models()).unwrap()].concat()
}

fn told(home: &Home) -> Vec<String> {
    findings(home).iter().map(Finding::to_string).collect()
}

#[test]
fn what_nobody_touched_follows_from_the_log() {
    assert_eq!(told(&whole()), [""; 0]);
    let empty = Home::new();
    drop(open(&empty));
    assert_eq!(told(&empty), [""; 0]);
}

#[test]
fn whatever_follows_from_the_log_and_was_changed_is_named_and_made_anew() {
    let changes = [
        ("DELETE FROM projection_counter WHERE key = 'a'", "the row of na (a) in the read model counter is missing"),
        (
            "UPDATE projection_counter SET row = json_set(row, '$.state', 'running') WHERE key = 'b'",
            "the row of nb (b) in the read model counter is forged or damaged: state is \"running\" instead of \"stopped\"",
        ),
        (
            "UPDATE projection_counter SET position = 1 WHERE key = 'b'",
            "the row of nb (b) in the read model counter says event 1 instead of 59",
        ),
        (
            "INSERT INTO projection_counter VALUES ('ghost', '{\"name\":\"ghost\"}', 3)",
            "the row of ghost (ghost) in the read model counter stands for nothing in the log",
        ),
        (
            "UPDATE projection_counter SET row = '{' WHERE key = 'c'",
            "the row of nc (c) in the read model counter cannot be read",
        ),
        ("UPDATE projections SET position = 60", "the read model counter stands at event 60, the log at 64"),
        ("UPDATE projections SET error = 'x'", "the read model counter is parked since event 64: x"),
        ("DELETE FROM projections", "the read model counter is not there"),
        ("DROP TABLE projection_counter", "the table projection_counter of the file is missing"),
        ("DROP TRIGGER events_delete", "the trigger events_delete of the file is missing"),
        (
            "DROP TRIGGER events_delete; CREATE TRIGGER events_delete AFTER DELETE ON events BEGIN SELECT 1; END",
            "the trigger events_delete of the file is not the one that berth makes",
        ),
        (
            "CREATE TRIGGER hide AFTER UPDATE ON projection_counter BEGIN DELETE FROM projection_counter; END",
            "the trigger hide of the file is not berth's",
        ),
        ("CREATE VIEW v AS SELECT 1", "the view v of the file is not berth's"),
        ("DROP INDEX projection_counter_position", "the index projection_counter_position of the file is missing"),
    ];
    for (sql, wanted) in changes {
        let home = whole();
        change(&home, sql);
        let said = told(&home);
        assert!(said.iter().any(|finding| finding.starts_with(wanted)), "{sql}: {said:#?}");
        assert!(findings(&home).iter().all(|finding| finding.mended_by() == Some("node rebuild")), "{sql}");
        rebuild(&home.state(), models(), &[]).unwrap();
        assert_eq!(told(&home), [""; 0], "{sql}");
    }
}

#[test]
fn what_is_made_anew_through_the_log_at_work_is_followed_by_what_comes() {
    let home = whole();
    let log = open(&home);
    change(&home, "DELETE FROM projection_counter WHERE key = 'a'; DROP TRIGGER events_delete");
    assert_eq!(told(&home).len(), 2);
    wait(log.rebuild(vec![])).unwrap();
    append(&log, commit("a", 20, &["x"])).unwrap();
    assert_eq!(log.reader().row("counter", "a").unwrap().unwrap()["count"], 21);
    assert_eq!(told(&home), [""; 0]);
}

#[test]
fn a_key_that_stands_for_no_commit_and_one_that_is_not_found_are_told() {
    let home = whole();
    change(&home, "UPDATE commits SET last = last + 5 WHERE first = 62");
    assert!(
        told(&home)[0].starts_with("the idempotency key of the commit at event 62 stands for no commit"),
        "{:?}",
        told(&home)
    );
    assert_eq!(findings(&home)[0].mended_by(), None, "nobody knows it any more");
    let home = whole();
    rebuild(&home.state(), models(), &[]).unwrap();
    change(&home, "DELETE FROM key_index WHERE first = 63");
    assert!(told(&home)[0].contains("event 63 is not in the index"), "{:?}", told(&home));
    rebuild(&home.state(), models(), &[]).unwrap();
    assert_eq!(told(&home), [""; 0]);
}

#[test]
fn every_flipped_bit_of_an_index_is_found_and_mended_from_the_table() {
    let home = whole();
    let bytes = fs::read(home.log()).unwrap();
    let page = |index: &str| {
        let log = Connection::open(home.log()).unwrap();
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
        log.query_row(sql, [index], |row| row.get::<_, i64>(0)).unwrap() as usize
    };
    // The cells of an index page lie at its end.
    for index in ["sqlite_autoindex_events_1", "sqlite_autoindex_streams_1"] {
        let end = page(index) * 4_096;
        for at in (1..14).map(|step| end - step) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(home.log(), &flipped).unwrap();
            let _ = fs::remove_file(home.state().join("log.db-wal"));
            let found = findings(&home);
            let named = found.iter().any(|finding| matches!(finding, Finding::Index { index: found, .. } if found == index || index.contains(found.trim_start_matches("of the table "))));
            assert!(named, "byte {at} of {index}: {found:?}");
            rebuild(&home.state(), models(), &[]).unwrap();
            assert_eq!(told(&home), [""; 0], "byte {at} of {index}");
        }
    }
}

#[test]
fn snapshots_are_shown_whole_or_damaged_and_condemned_ones_are_dropped() {
    let home = whole();
    let kept = |home: &Home| {
        let mut all = Vec::new();
        Reader::open(&home.state()).unwrap().each_snapshot(|kept| all.push(kept.clone())).unwrap();
        all
    };
    let before = kept(&home);
    assert_eq!(before[0].snapshot.as_ref().unwrap().state, b"state");
    change(
        &home,
        "PRAGMA foreign_keys = OFF; UPDATE snapshots SET state = x'00'; INSERT INTO snapshots VALUES (999, 1, 1, 1, x'00')",
    );
    let damaged = kept(&home);
    assert!(damaged.len() == 2 && damaged.iter().all(|kept| kept.snapshot.is_none()), "{damaged:?}");
    rebuild(&home.state(), models(), &[before[0].id]).unwrap();
    assert_eq!(kept(&home), []);
}

#[test]
fn a_start_finds_what_is_not_true_by_a_count_and_a_few_rows_and_makes_it_anew() {
    let changes = [
        "DELETE FROM projection_counter WHERE key = 'a'",
        "UPDATE projection_counter SET row = json_set(row, '$.state', 'running') WHERE key = 'b'",
        "UPDATE projection_counter SET position = 1 WHERE key = 'c'",
        "INSERT INTO projection_counter VALUES ('ghost', '{}', 3)",
        "DROP TABLE projection_counter",
        "DROP TABLE projections; CREATE TABLE projections (name TEXT PRIMARY KEY, version INT, position INT, error TEXT)",
        "CREATE TRIGGER hide AFTER UPDATE ON projection_counter BEGIN DELETE FROM projection_counter; END",
        "DROP TRIGGER events_insert",
        "DROP TABLE key_index; CREATE TABLE key_index (a)",
    ];
    for sql in changes {
        let home = whole();
        change(&home, sql);
        assert!(!told(&home).is_empty(), "{sql}");
        let log = open(&home);
        assert_eq!(told(&home), [""; 0], "{sql}");
        assert!(log.recall("key 22", [0; 32]).unwrap().is_some(), "{sql}");
    }
}
