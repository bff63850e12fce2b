//! What is done to a log over the years: sealing, redaction, archiving, snapshots, copies.

use std::fs;

use super::*;
use crate::storage::checkpoint::{SignedCheckpoint, VerifierKey, vkey_path};
use crate::types::StreamName;
use rusqlite::Connection;

#[test]
fn a_checkpoint_comes_every_so_many_events_and_at_the_end() {
    let home = Home::new();
    let log = SqliteLog::open(&home.state(), Options { seal_events: 10, ..home.options() }).unwrap();
    fill(&log, 12);
    let notes = log.reader().checkpoints().unwrap();
    assert!(notes.len() >= 3, "{} checkpoints", notes.len());
    append(&log, commit("z", 0, &["last"])).unwrap();
    let (head, key) = (log.head(), log.key().clone());
    drop(log);
    let reader = Reader::open(&home.state()).unwrap();
    let note = reader.latest_checkpoint().unwrap().unwrap();
    let signed = SignedCheckpoint::parse(&note).unwrap();
    assert_eq!((signed.checkpoint.size, signed.checkpoint.root), (head.position.get(), head.root));
    signed.verify(&key).unwrap();
    assert_eq!(fs::read_to_string(home.state().join(CHECKPOINT_FILE)).unwrap(), note);
    let text = fs::read_to_string(vkey_path(&home.options().key_dir, head.log)).unwrap();
    assert_eq!(VerifierKey::parse(&text).unwrap(), key);
}

#[test]
fn every_event_can_be_proved_against_a_checkpoint() {
    let home = Home::new();
    let log = home.open();
    fill(&log, 7);
    let head = log.head();
    for position in 1..=head.position.get() {
        let proof = log.reader().prove(Position::new(position), head.position).unwrap().unwrap();
        assert_eq!(proof.root, head.root);
        assert!(merkle::verify_inclusion(&proof.leaf, proof.index, proof.size, &proof.hashes, &head.root));
    }
    assert_eq!(log.reader().prove(Position::new(0), head.position).unwrap(), None);
    assert_eq!(log.reader().prove(head.position.next(), head.position).unwrap(), None);
}

#[test]
fn redaction_takes_the_bytes_and_leaves_the_proof() {
    let home = Home::new();
    let log = home.open();
    fill(&log, 20);
    let root = log.head().root;
    assert!(bytes_of(&home).windows(9).any(|window| window == b"secret of"));
    let all: Vec<_> = (1..=60).map(Position::new).collect();
    assert_eq!(wait(log.redact(all)).unwrap(), 20);
    let events = log.read_all(Position::default(), 100).unwrap();
    assert!(events.iter().all(|event| event.annex.is_none()));
    assert_eq!(log.reader().head().unwrap().root, root);
    let report = verify(&log.reader(), &Evidence::default()).unwrap();
    assert!(report.is_intact() && report.redacted == 20, "{report}");
    drop(log);
    assert!(!bytes_of(&home).windows(9).any(|window| window == b"secret of"), "no copy of the bytes is left");
}

#[test]
fn redaction_leaves_no_hash_of_the_request_to_guess_from() {
    let home = Home::new();
    let log = home.open();
    let hash = [7; 32];
    for (stream, key) in [("a", "k"), ("b", "k#second")] {
        let mut commit = commit(stream, 0, &["x"]);
        commit.events[0].annex = Some(b"secret".to_vec());
        append(&log, Commit { key: Some(key.to_owned()), request_hash: hash, ..commit }).unwrap();
    }
    append(&log, Commit { key: Some("other".to_owned()), request_hash: [8; 32], ..commit("c", 0, &["x"]) }).unwrap();
    append(&log, Commit { key: Some("none".to_owned()), request_hash: [0; 32], ..commit("d", 0, &["x"]) }).unwrap();
    // Once more, as at each start, and after what has no hash.
    for position in [4, 1, 1] {
        wait(log.redact(vec![Position::new(position)])).unwrap();
    }
    assert!(log.recall("other", [8; 32]).unwrap().is_some(), "another request is still known");
    assert!(matches!(log.recall("k", hash), Err(AppendError::KeyReused { .. })), "it is not carried out twice");
    drop(log);
    assert!(!bytes_of(&home).windows(32).any(|window| window == hash), "of no part of the request");
}

#[test]
fn a_redaction_that_a_reader_keeps_from_the_files_says_so_and_is_finished_later() {
    let home = Home::new();
    let log = home.open();
    fill(&log, 20);
    let has_secret = || bytes_of(&home).windows(9).any(|window| window == b"secret of");
    let reader = rusqlite::Connection::open(home.log()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM events").unwrap();
    let all = || (1..=60).map(Position::new).collect();
    let error = wait(log.redact(all())).unwrap_err().to_string();
    assert!(error.contains("somebody reads the log") && has_secret(), "{error}");
    drop(reader);
    assert_eq!(wait(log.redact(all())).unwrap(), 0);
    assert!(!has_secret(), "the second time finishes the first");
    append(&log, commit("a", 20, &["it goes on"])).unwrap();
}

/// Reads every file of the log, the write-ahead log too.
fn bytes_of(home: &Home) -> Vec<u8> {
    let files = fs::read_dir(home.state()).unwrap().map(|entry| entry.unwrap().path());
    files.flat_map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn archived_bodies_read_as_before() {
    let home = Home::new();
    let log = home.open();
    fill(&log, 50);
    let before = log.read_all(Position::default(), 1_000).unwrap();
    assert_eq!(wait(log.archive(Position::new(100))).unwrap(), 100);
    assert_eq!(wait(log.archive(Position::new(100))).unwrap(), 0);
    assert_eq!(wait(log.archive(Position::new(120))).unwrap(), 20);
    assert_eq!(log.read_all(Position::default(), 1_000).unwrap(), before);
    append(&log, commit("a", 50, &["after"])).unwrap();
    drop(log);
    let report = verify(&Reader::open(&home.state()).unwrap(), &Evidence::default()).unwrap();
    assert!(report.is_intact() && report.archived == 120, "{report}");
}

fn snapshot(key: &str, version: u64) -> Snapshot {
    Snapshot {
        stream: StreamName::new(crate::types::Category::Container, key),
        version: Version::new(version),
        state_schema: 4,
        state: format!("state {version}").into_bytes(),
    }
}

/// Keeps snapshots and returns once the writer is through with them.
fn keep(log: &SqliteLog, snapshots: impl IntoIterator<Item = Snapshot>) {
    for snapshot in snapshots {
        log.keep(snapshot);
    }
    wait(log.seal()).unwrap();
}

#[test]
fn snapshots_are_kept_one_per_stream_and_only_of_what_is_in_the_log() {
    let home = Home::new();
    let log = home.open();
    fill(&log, 3);
    let before = log.head();
    keep(&log, [snapshot("a", 1), snapshot("b", 1), snapshot("nobody", 1), snapshot("c", 4)]);
    keep(&log, [snapshot("a", 3)]);
    let kept = |key: &str| log.snapshot(&snapshot(key, 0).stream).unwrap();
    assert_eq!([kept("a"), kept("b")], [Some(snapshot("a", 3)), Some(snapshot("b", 1))]);
    assert_eq!([kept("nobody"), kept("c")], [None, None], "no event stands there");
    assert_eq!(log.head(), before);
    assert!(verify(&log.reader(), &Evidence::default()).unwrap().is_intact());
    drop(log);
    assert_eq!(
        home.open().snapshot(&snapshot("a", 3).stream).unwrap(),
        Some(snapshot("a", 3)),
        "they outlive a restart"
    );
}

#[test]
fn a_snapshot_that_is_damaged_or_of_another_place_is_as_none() {
    let home = Home::new();
    let log = home.open();
    fill(&log, 3);
    for damage in [
        "UPDATE snapshots SET state = zeroblob(3)",
        "UPDATE snapshots SET state = CAST(replace(CAST(state AS TEXT), 'state', 'stats') AS BLOB)",
        "UPDATE snapshots SET version = 2",
        "UPDATE snapshots SET stream = (SELECT id FROM streams WHERE name = 'container/b')",
        "UPDATE snapshots SET state_schema = 5",
    ] {
        keep(&log, [snapshot("a", 3)]);
        let hand = Connection::open(home.log()).unwrap();
        hand.execute_batch(damage).unwrap();
        for key in ["a", "b"] {
            assert_eq!(log.snapshot(&snapshot(key, 0).stream).unwrap(), None, "{damage}");
        }
        hand.execute_batch("DELETE FROM snapshots").unwrap();
    }
}

#[test]
fn a_copy_can_be_verified_by_a_stranger() {
    let home = Home::new();
    let log = home.open();
    fill(&log, 10);
    let note = wait(log.seal()).unwrap().unwrap();
    append(&log, commit("a", 10, &["tail"])).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy.db");
    log.reader().copy_to(&copy).unwrap();
    let evidence = Evidence { checkpoint: Some(note), key: Some(log.key().clone()) };
    let report = verify(&Reader::open_file(&copy).unwrap(), &evidence).unwrap();
    let text = report.to_string();
    assert!(report.is_intact() && report.events == 31, "{text}");
    assert!(text.contains("consistent with the given checkpoint of 30 events from 2027-01-15"), "{text}");
    assert!(text.contains("the last 1 events are sealed by no checkpoint yet"), "{text}");
    let report = verify(&Reader::open_file(&copy).unwrap(), &Evidence::default()).unwrap();
    assert!(report.to_string().contains("not shown  that the log was not cut or rewritten as a whole"), "{report}");
}

#[test]
fn one_process_writes_a_state_directory() {
    let home = Home::new();
    let log = home.open();
    let second = SqliteLog::open(&home.state(), home.options()).err().unwrap();
    assert!(matches!(second, OpenError::InUse { .. }), "{second}");
    drop(log);
    home.open();
}

#[test]
fn the_triggers_allow_redaction_and_archiving_and_nothing_else() {
    let home = Home::new();
    let log = home.open();
    fill(&log, 3);
    drop(log);
    let log = Connection::open(home.log()).unwrap();
    let columns = "stream version kind schema recorded_at wall_clock boot principal operation cause_stream \
                   cause_version node body_salt body segment body_commitment annex_commitment leaf";
    for column in columns.split_whitespace() {
        for value in ["NULL", "x'00112233445566778899aabbccddeeff'", "77"] {
            if value == "NULL" && ["segment", "body_commitment"].contains(&column) {
                continue; // they are
            }
            let changed = log.execute(&format!("UPDATE events SET {column} = {value} WHERE position = 2"), []);
            assert!(changed.is_err(), "{column} = {value}");
        }
    }
    let values = "stream, version, kind, schema, recorded_at, wall_clock, boot, principal, operation, cause_stream,
        cause_version, node, body_salt, body, segment, body_commitment, annex, annex_commitment, leaf";
    let copied = |position: &str, version: &str| {
        let chosen = values.replace("version, kind", &format!("{version}, kind"));
        format!(
            "INSERT OR REPLACE INTO events (position, {values}) SELECT {position}, {chosen} FROM events WHERE position = 2"
        )
    };
    for forbidden in [
        "DELETE FROM events WHERE position = 9",
        "DELETE FROM events",
        "UPDATE events SET position = 99 WHERE position = 9",
        "UPDATE events SET annex = x'00' WHERE position = 2",
        "UPDATE streams SET name = 'container/x'",
        "DELETE FROM streams",
        "UPDATE checkpoints SET note = ''",
        "DELETE FROM checkpoints",
        "UPDATE log SET id = x'00112233445566778899aabbccddeeff'",
        &copied("2", "version"),
        &copied("10", "version"),
        &copied("11", "4"),
    ] {
        assert!(log.execute(forbidden, []).is_err(), "{forbidden}");
    }
    assert_eq!(log.execute("UPDATE events SET annex = NULL WHERE position = 2", []).unwrap(), 1);
    assert!(log.execute("UPDATE events SET annex = x'00' WHERE position = 2", []).is_err());
    assert_eq!(log.execute(&copied("10", "4"), []).unwrap(), 1, "an event right after the last one is an insert");
}
