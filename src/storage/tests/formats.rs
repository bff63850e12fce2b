//! The written format: the vectors in `docs/formats/log.md`, and a reader in another language that knows only it.

use std::path::PathBuf;
use std::process::Command;

use super::*;
use crate::events::{Context, EventReference};
use crate::storage::checkpoint::{Checkpoint, Signer, VKEY_FILE, origin};
use crate::storage::leaf::{Header, annex_commitment, commitment};
use crate::storage::merkle::{Frontier, hex};
use crate::types::{Category, LogId, NodeId, OperationId, Principal};

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Lists what the document must say, as name and value.
fn vectors() -> Vec<(&'static str, String)> {
    let log = LogId::from_bytes(*b"berth-vector-log");
    let first = StreamName::new(Category::Container, "web");
    let context = Context {
        wall_clock: Timestamp::from_micros(1_700_000_000_000_000),
        boot: "5d6c7b1e-0000-4000-8000-000000000001".to_owned(),
        principal: Principal::local("alice", 1000),
        operation: OperationId::from_bytes([0x11; 16]),
        causation: None,
        node: NodeId::from_bytes([0x22; 16]),
    };
    let body = commitment(&[0x33; 16], br#"{"name":"web"}"#);
    let annex = annex_commitment(&[&[0x44; 16][..], b"because"].concat());
    let recorded_at = Timestamp::from_micros(1_700_000_000_000_001);
    let kind = "ContainerCreated";
    let version = Version::new(1);
    let header = Header {
        log: &log,
        stream: &first,
        version,
        kind,
        schema: 1,
        recorded_at,
        context: &context,
        body: &body,
        annex: None,
    };
    let mut bytes = Vec::new();
    header.write(&mut bytes);
    let mut tree = Frontier::default();
    let leaf_one = header.leaf(&mut Vec::new());
    tree.push(leaf_one);
    let root_one = tree.root();
    let causation = Some(EventReference { stream: first.clone(), version });
    let context = Context { causation, ..context.clone() };
    let second = StreamName::new(Category::Network, "lan");
    let header = Header { stream: &second, kind: "AddressLeased", context: &context, annex: Some(&annex), ..header };
    let leaf_two = header.leaf(&mut Vec::new());
    tree.push(leaf_two);
    let sealed_at = Timestamp::from_micros(1_700_000_000_000_002);
    let checkpoint = Checkpoint { origin: origin(log), size: 2, root: tree.root(), sealed_at };
    let signer = Signer::from_seed(origin(log), &[0x55; 32]).unwrap();
    vec![
        ("body commitment", hex(&body)),
        ("annex commitment", hex(&annex)),
        ("header 1", hex(&bytes)),
        ("leaf 1", hex(&leaf_one)),
        ("root 1", hex(&root_one)),
        ("leaf 2", hex(&leaf_two)),
        ("root 2", hex(&tree.root())),
        ("vkey", signer.key().to_string()),
        ("note", signer.sign(&checkpoint)),
    ]
}

#[test]
fn the_document_has_the_vectors() {
    let document = std::fs::read_to_string(project("docs/formats/log.md")).unwrap();
    for (name, value) in vectors() {
        assert!(document.contains(value.trim_end()), "docs/formats/log.md lacks the {name}:\n{value}");
    }
    let schema = include_str!("../schema/log.sql");
    let tables = schema.lines().filter_map(|line| line.strip_prefix("CREATE TABLE ")?.split(' ').next());
    for table in tables {
        assert!(document.contains(&format!("`{table}`")), "docs/formats/log.md does not name the table {table}");
    }
}

#[test]
fn a_reader_written_from_the_document_reads_a_real_log() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: there is no python3 here");
        return;
    }
    let home = Home::new();
    let log = home.open();
    fill(&log, 30);
    wait(log.seal()).unwrap();
    wait(log.archive(Position::new(20))).unwrap();
    wait(log.redact((1..=30).map(Position::new).collect())).unwrap();
    append(&log, commit("d", 0, &["tail"])).unwrap();
    let head = log.head();
    drop(log);
    let read = || {
        let output = Command::new("python3")
            .arg(project("tests/formats/read_log.py"))
            .arg(home.log())
            .arg("--vkey")
            .arg(home.options().key_dir.join(head.log.to_string()).join(VKEY_FILE))
            .arg("--checkpoint")
            .arg(home.state().join(CHECKPOINT_FILE))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    };
    let (fits, said) = read();
    assert!(fits, "{said}");
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["root"], hex(&head.root));
    assert_eq!((&report["events"], &report["redacted"]), (&91.into(), &10.into()));
    let log = rusqlite::Connection::open(home.log()).unwrap();
    log.execute_batch("DROP TRIGGER events_update; UPDATE events SET body = x'00' WHERE position = 40").unwrap();
    drop(log);
    let (fits, said) = read();
    assert!(!fits && said.contains("event 40 is altered"), "{said}");
    let dangling = [
        ("UPDATE events SET stream = 999 WHERE position = 41", "event 41 cannot be read: its stream 999 is not there"),
        ("UPDATE events SET kind = 999 WHERE position = 42", "event 42 cannot be read: its kind 999 is not there"),
        ("UPDATE events SET boot = 999 WHERE position = 43", "event 43 cannot be read: its boot 999 is not there"),
        (
            "UPDATE events SET principal = 999 WHERE position = 44",
            "event 44 cannot be read: its principal 999 is not there",
        ),
        ("UPDATE events SET node = 999 WHERE position = 45", "event 45 cannot be read: its node 999 is not there"),
        (
            "UPDATE events SET cause_stream = 999, cause_version = 1 WHERE position = 46",
            "event 46 cannot be read: its causing stream 999 is not there",
        ),
        (
            "DROP TRIGGER checkpoints_update; UPDATE checkpoints SET note = 'x' WHERE size = 90",
            "the checkpoint 90 cannot be read",
        ),
    ];
    for (sql, wanted) in dangling {
        let log = rusqlite::Connection::open(home.log()).unwrap();
        log.execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}")).unwrap();
        drop(log);
        let (fits, said) = read();
        assert!(!fits && said.contains(wanted) && !said.contains("Traceback"), "{sql}: {said}");
    }
}
