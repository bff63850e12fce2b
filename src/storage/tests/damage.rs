//! Tampering and damage: what is found, and that nothing is made worse.

use std::fs;

use super::*;
use crate::storage::checkpoint::Signer;
use crate::storage::leaf::{Header, commitment};
use rusqlite::{Connection, params};

const EVENTS: u64 = 60;

/// Makes a log of sixty events with a seal after thirty and one at the end; returns the evidence kept elsewhere.
fn sealed() -> (Home, Evidence) {
    let home = Home::new();
    let log = home.open();
    fill(&log, 10);
    wait(log.seal()).unwrap();
    for step in 10..20 {
        for key in ["a", "b", "c"] {
            append(&log, commit(key, step, &["x"])).unwrap();
        }
    }
    let checkpoint = wait(log.seal()).unwrap();
    let key = Some(log.key().clone());
    (home, Evidence { checkpoint, key })
}

/// Changes the file with all triggers gone, as somebody with root would, and verifies it.
fn tampered(home: &Home, evidence: &Evidence, tamper: impl FnOnce(&Connection)) -> VerifyReport {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    fs::copy(home.log(), &path).unwrap();
    let log = Connection::open(&path).unwrap();
    let triggers: Vec<String> = log
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
        .and_then(|mut found| found.query_map([], |row| row.get(0))?.collect())
        .unwrap();
    for name in triggers {
        log.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    log.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    tamper(&log);
    drop(log);
    verify(&Reader::open_file(&path).unwrap(), evidence).unwrap()
}

#[test]
fn a_log_that_nobody_touched_is_intact() {
    let (home, evidence) = sealed();
    let report = tampered(&home, &evidence, |_| {});
    assert!(report.is_intact() && report.outside.is_some_and(|(size, _)| size == EVENTS), "{report}");
}

#[test]
fn a_changed_value_is_found_at_its_position() {
    let (home, evidence) = sealed();
    let changes = [
        "body = x'7b7d'",
        "body_salt = x'00112233445566778899aabbccddeeff'",
        "leaf = zeroblob(32)",
        "schema = schema + 1",
        "wall_clock = wall_clock + 1",
        "operation = x'00112233445566778899aabbccddeeff'",
        "annex = x'00112233445566778899aabbccddeeff00'",
        "annex_commitment = zeroblob(32)",
        "cause_version = 99",
        "cause_stream = NULL, cause_version = NULL",
        "recorded_at = recorded_at - 1",
    ];
    for change in changes {
        for position in [1, 2, 30, 31, EVENTS] {
            let report = tampered(&home, &evidence, |log| {
                assert_eq!(log.execute(&format!("UPDATE events SET {change} WHERE position = {position}"), []), Ok(1));
            });
            let found = report
                .findings
                .iter()
                .any(|finding| matches!(finding, Finding::Altered { position: at, .. } if at.get() == position));
            assert!(found, "{change} at {position}: {report}");
        }
    }
}

#[test]
fn a_changed_word_is_found() {
    let (home, evidence) = sealed();
    for change in [
        "UPDATE streams SET name = 'container/x' WHERE name = 'container/a'",
        "UPDATE kinds SET name = 'Forged'",
        "UPDATE principals SET who = 'mallory'",
        "UPDATE boots SET name = ''",
        "UPDATE nodes SET node = zeroblob(16)",
    ] {
        let report = tampered(&home, &evidence, |log| log.execute_batch(change).unwrap());
        assert!(!report.is_intact(), "{change}");
    }
}

#[test]
fn what_is_wrong_with_many_events_is_told_in_few_lines() {
    let (home, evidence) = sealed();
    let report = tampered(&home, &evidence, |log| {
        log.execute("UPDATE events SET wall_clock = 7 WHERE position IN (3, 10, 11, 12, 13, 40)", []).unwrap();
        log.execute("DELETE FROM events WHERE position = 20", []).unwrap();
    });
    let altered = "altered: its content does not fit its hash";
    let wanted = [
        format!("event 3 is {altered}"),
        format!("events 10 to 13 are {altered}"),
        "event 20 is missing".to_owned(),
        format!("event 40 is {altered}"),
    ];
    let told: Vec<String> = report.told().into_iter().map(|told| told.finding).collect();
    assert_eq!(told, wanted);
}

#[test]
fn deletion_swap_and_truncation_are_found() {
    let (home, evidence) = sealed();
    for position in [1, 17, 30, 31, 59] {
        let report = tampered(&home, &evidence, |log| {
            log.execute("DELETE FROM events WHERE position = ?1", [position]).unwrap();
        });
        let wanted = Finding::Missing { first: Position::new(position as u64), last: Position::new(position as u64) };
        assert!(report.findings.contains(&wanted), "{position}: {report}");
        let report = tampered(&home, &evidence, |log| swap(log, position, position + 1));
        assert!(!report.is_intact(), "swap at {position}");
        let report = tampered(&home, &evidence, |log| {
            log.execute("DELETE FROM events WHERE position >= ?1", [position]).unwrap();
            log.execute("DELETE FROM checkpoints WHERE size >= ?1", [position]).unwrap();
        });
        let cut = report.findings.iter().any(|finding| matches!(finding, Finding::CutOff { sealed: EVENTS, .. }));
        assert!(cut, "cut at {position}: {report}");
        let report = tampered(&home, &evidence, |log| {
            let close = "UPDATE events SET position = position - 1 WHERE position > ?1";
            log.execute("DELETE FROM events WHERE position = ?1", [position]).unwrap();
            log.execute(close, [position]).unwrap();
        });
        assert!(!report.is_intact(), "a closed gap at {position}");
    }
}

#[test]
fn a_stream_with_a_hole_is_not_read_as_if_it_were_whole() {
    let (home, evidence) = sealed();
    tampered(&home, &evidence, |log| {
        log.execute("DELETE FROM events WHERE position = 4", []).unwrap();
        let reader = Reader::open_file(Path::new(log.path().unwrap())).unwrap();
        let read = |key: &str| reader.read_stream(&commit(key, 0, &["x"]).stream, Version::default(), 1_000);
        let error = read("a").unwrap_err();
        assert!(error.is_damage() && error.to_string().contains("event 2 of container/a is missing"), "{error}");
        assert_eq!(read("b").unwrap().len(), 20);
    });
}

fn swap(log: &Connection, one: i64, other: i64) {
    for (from, to) in [(one, 9_999), (other, one), (9_999, other)] {
        log.execute("UPDATE events SET position = ?2 WHERE position = ?1", [from, to]).unwrap();
    }
}

#[test]
fn an_event_rewritten_with_a_fitting_hash_is_found_between_two_seals() {
    let (home, evidence) = sealed();
    for position in [5_i64, 44] {
        let report = tampered(&home, &evidence, |log| forge(&home, log, position));
        let wanted = |finding: &Finding| match finding {
            Finding::Rewritten { first, last, .. } => first.get() as i64 <= position && position <= last.get() as i64,
            _ => false,
        };
        assert!(report.findings.iter().any(wanted), "{position}: {report}");
    }
}

/// Replaces a body and computes the leaf again, as the writer would have.
fn forge(home: &Home, log: &Connection, position: i64) {
    let reader = Reader::open(&home.state()).unwrap();
    let event = reader.read_all(Position::new(position as u64 - 1), 1).unwrap().remove(0);
    let annex: Option<merkle::Hash> =
        log.query_row("SELECT annex_commitment FROM events WHERE position = ?1", [position], |row| row.get(0)).unwrap();
    let header = Header {
        log: &reader.log(),
        stream: &event.stream,
        version: event.version,
        kind: &event.kind,
        schema: event.schema,
        recorded_at: event.recorded_at,
        context: &event.context,
        body: &commitment(&[1; 16], b"forged"),
        annex: annex.as_ref(),
    };
    let leaf = header.leaf(&mut Vec::new());
    let sql = "UPDATE events SET body_salt = ?2, body = ?3, leaf = ?4 WHERE position = ?1";
    log.execute(sql, params![position, [1_u8; 16], b"forged", leaf]).unwrap();
}

#[test]
fn a_log_sealed_again_with_another_key_is_found() {
    let (home, evidence) = sealed();
    let resealed = |root: Option<merkle::Hash>, size: u64| {
        tampered(&home, &evidence, |log| {
            let name = evidence.key.as_ref().unwrap().name().to_owned();
            let note = "SELECT note FROM checkpoints WHERE size = ?1";
            let note: String = log.query_row(note, [size as i64], |row| row.get(0)).unwrap();
            let mut checkpoint = checkpoint::SignedCheckpoint::parse(&note).unwrap().checkpoint;
            checkpoint.root = root.unwrap_or(checkpoint.root);
            let forged = Signer::from_seed(name, &[5; 32]).unwrap().sign(&checkpoint);
            log.execute("UPDATE checkpoints SET note = ?1 WHERE size = ?2", params![forged, size as i64]).unwrap();
        })
    };
    // What a later note of the key bears out is told, and is no damage: a node whose key was lost went on with another.
    let report = resealed(None, 30);
    assert!(report.is_intact() && report.strange == 1, "{report}");
    assert!(report.to_string().contains("signed with another key"), "{report}");
    let report = resealed(Some([7; 32]), 30);
    assert!(matches!(&report.findings[..], [Finding::Rewritten { .. }, ..]), "{report}");
    let evidence = Evidence { checkpoint: None, ..evidence };
    let report = tampered(&home, &evidence, |log| {
        log.execute("DELETE FROM checkpoints WHERE size = 60", []).unwrap();
        let note: String = log.query_row("SELECT note FROM checkpoints WHERE size = 30", [], |row| row.get(0)).unwrap();
        let checkpoint = checkpoint::SignedCheckpoint::parse(&note).unwrap().checkpoint;
        let forged = Signer::from_seed(evidence.key.as_ref().unwrap().name().to_owned(), &[5; 32]).unwrap();
        log.execute("UPDATE checkpoints SET note = ?1 WHERE size = 30", [forged.sign(&checkpoint)]).unwrap();
    });
    assert!(matches!(&report.findings[..], [Finding::Checkpoint { .. }]), "nothing bears it out: {report}");
    let other = sealed().1;
    let foreign = Evidence { checkpoint: other.checkpoint, key: None };
    let report = tampered(&home, &foreign, |_| {});
    assert!(report.to_string().contains("it is of another log"), "{report}");
}

#[test]
fn a_cut_or_flipped_file_is_refused_and_left_as_it_is() {
    let (home, _) = sealed();
    let whole = fs::read(home.log()).unwrap();
    let mut flipped = whole.clone();
    flipped[..16].copy_from_slice(b"not a database!!");
    let cuts = [0, 10, 100, 4_096, whole.len() / 2, whole.len() - 1];
    for bytes in cuts.into_iter().map(|length| whole[..length].to_vec()).chain([flipped]) {
        fs::write(home.log(), &bytes).unwrap();
        let error = SqliteLog::open(&home.state(), home.options()).err().expect("a damaged log is not opened");
        let damaged = matches!(&error, OpenError::Read(ReadError::Damaged { .. }));
        assert!(damaged && error.to_string().contains("nothing was changed"), "{} bytes: {error}", bytes.len());
        assert_eq!(fs::read(home.log()).unwrap(), bytes, "a damaged file is kept as it was found");
    }
    fs::remove_file(home.log()).unwrap();
    let error = SqliteLog::open(&home.state(), home.options()).err().unwrap();
    assert!(error.to_string().contains("the log is missing"), "{error}");
    assert!(!home.log().exists(), "no empty log takes its place");
    fs::write(home.log(), &whole).unwrap();
    assert_eq!(home.open().head().position.get(), EVENTS);
}

#[test]
fn flipped_bytes_anywhere_never_pass_and_never_panic() {
    let (home, evidence) = sealed();
    let whole = fs::read(home.log()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let honest = verify(&Reader::open(&home.state()).unwrap(), &evidence).unwrap();
    for at in (0..whole.len()).step_by(409) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        fs::write(&path, &bytes).unwrap();
        if let Ok(report) = Reader::open_file(&path).and_then(|reader| verify(&reader, &evidence))
            && report.is_intact()
        {
            assert_eq!((report.events, report.root), (honest.events, honest.root), "byte {at}");
        }
    }
}

/// Changes the file of a log as [`tampered`] does, and leaves it in its place.
fn tampered_in_place(home: &Home, change: &str) {
    let log = Connection::open(home.log()).unwrap();
    log.execute_batch(&format!(
        "DROP TRIGGER IF EXISTS log_update; DROP TRIGGER IF EXISTS checkpoints_update; {change}"
    ))
    .unwrap();
}

#[test]
fn a_damaged_frontier_is_made_again_from_the_leaves() {
    let (home, _) = sealed();
    let root = home.open().head().root;
    for column in ["frontier", "root"] {
        let flipped = format!("UPDATE checkpoints SET {column} = zeroblob(length({column}))");
        tampered_in_place(&home, &flipped);
        let log = home.open();
        assert_eq!(log.head().root, root, "{column}");
        drop(log);
        assert_eq!(home.open().head().root, root, "after a clean end with a damaged {column}");
    }
}

#[test]
fn a_log_that_took_another_id_is_refused_before_it_gets_keys() {
    let (home, _) = sealed();
    tampered_in_place(&home, "UPDATE log SET id = x'00112233445566778899aabbccddeeff'");
    let error = SqliteLog::open(&home.state(), home.options()).err().unwrap().to_string();
    assert!(error.contains("but") && error.contains("seals berth-log/"), "{error}");
    assert_eq!(fs::read_dir(home.options().key_dir).unwrap().count(), 1, "only the keys of the log that was");
}

#[test]
fn an_older_copy_put_back_is_noticed_at_the_start() {
    let home = Home::new();
    let log = home.open();
    fill(&log, 3);
    drop(log);
    let older = fs::read(home.log()).unwrap();
    let log = home.open();
    append(&log, commit("a", 3, &["x"])).unwrap();
    drop(log);
    fs::write(home.log(), older).unwrap();
    assert!(differs(&home).contains("it ends at event 9, but event 10 was sealed"), "{}", differs(&home));
    // The file beside the log was put back along with it: the key directory was not.
    fs::remove_file(home.state().join(CHECKPOINT_FILE)).unwrap();
    assert!(
        differs(&home).contains("it ends at event 9") && differs(&home).contains(RECORD_FILE),
        "{}",
        differs(&home)
    );
    let log = home.open();
    let found = log.divergence().unwrap();
    assert_eq!((found.recorded.size, found.head.position.get()), (10, 9));
    // Whatever comes, it records and signs nothing.
    assert!(matches!(append(&log, commit("b", 3, &["no"])), Err(AppendError::Unaccepted { .. })));
    assert!(matches!(wait(log.seal()), Err(AppendError::Unaccepted { .. })));
    assert!(matches!(wait(log.rebuild(vec![])), Err(AppendError::Unaccepted { .. })));
    assert!(log.read_only().unwrap().contains("it ends at event 9"));
    drop(log);
    let log = home.open();
    assert_eq!((log.head().position, log.divergence()), (found.head.position, Some(found.clone())));
    let kept = log.set_aside(&found).unwrap();
    wait(log.accept(commit("b", 3, &["accepted"]))).unwrap();
    assert_eq!((log.divergence(), log.read_only()), (None, None));
    append(&log, commit("b", 4, &["it goes on"])).unwrap();
    drop(log);
    let given_up = fs::read_to_string(kept).unwrap();
    assert_eq!(checkpoint::SignedCheckpoint::parse(&given_up).unwrap().checkpoint, found.recorded);
    assert!(home.open().divergence().is_none(), "what was accepted goes on");
}

/// Says in what the log differs from what was signed.
fn differs(home: &Home) -> String {
    home.open().divergence().unwrap().to_string()
}

#[test]
fn a_log_that_went_on_otherwise_is_another_history_whatever_its_length() {
    let (older, mut both) = (tempfile::tempdir().unwrap(), Vec::new());
    let home = Home::new();
    let log = home.open();
    fill(&log, 3);
    drop(log);
    fs::copy(home.log(), older.path().join("log.db")).unwrap();
    let keys = home.options().key_dir;
    for more in [1, 4] {
        fs::copy(older.path().join("log.db"), home.log()).unwrap();
        fs::remove_dir_all(&keys).unwrap();
        fs::remove_file(home.state().join(CHECKPOINT_FILE)).unwrap();
        let log = rekeyed(&home);
        (0..more).for_each(|step| drop(append(&log, commit("d", step, &[&more.to_string()])).unwrap()));
        let name = log.head().log.to_string();
        drop(log);
        both.push((fs::read(home.log()).unwrap(), fs::read(keys.join(name).join(RECORD_FILE)).unwrap()));
    }
    let record = keys.join(home_log(&home)).join(RECORD_FILE);
    // The first history's record is signed by a key of which only the second's is left: both are put under one key.
    let signer = Signer::open(&keys, Reader::open(&home.state()).unwrap().log(), false).unwrap();
    let first = checkpoint::SignedCheckpoint::parse(std::str::from_utf8(&both[0].1).unwrap()).unwrap().checkpoint;
    fs::write(&record, signer.sign(&first)).unwrap();
    let told = differs(&home);
    assert!(told.contains("its first 10 events are not those that were sealed"), "{told}");
    // A checkpoint that somebody wrote into the log without the key does not make it the same.
    fs::write(&record, &both[1].1).unwrap();
    drop(home.open());
    let forged = Signer::from_seed(signer.key().name().to_owned(), &[7; 32]).unwrap().sign(&first);
    let change = format!("UPDATE checkpoints SET note = '{forged}' WHERE size = (SELECT max(size) FROM checkpoints)");
    tampered_in_place(&home, &change);
    let told = differs(&home);
    assert!(told.contains("was signed by none of the keys in"), "{told}");
}

#[test]
fn a_tree_that_does_not_follow_from_what_was_signed_is_not_gone_on_with() {
    let home = Home::new();
    let log = home.open();
    fill(&log, 2);
    wait(log.seal()).unwrap();
    let note = fs::read_to_string(home.state().join(CHECKPOINT_FILE)).unwrap();
    append(&log, commit("a", 2, &["x"])).unwrap();
    drop(log);
    // The record beside the keys lags: a daemon died before it wrote it. The newest note is the key's own; what the tree
    // goes on from is another one, consistent with itself.
    fs::write(home.options().key_dir.join(home_log(&home)).join(RECORD_FILE), &note).unwrap();
    fs::write(home.state().join(CHECKPOINT_FILE), &note).unwrap();
    let mut forged = merkle::Frontier::default();
    (0..7).for_each(|leaf| forged.push([leaf; 32]));
    let (root, frontier) = (merkle::hex(&forged.root()), merkle::hex(&forged.to_bytes()));
    let leaf = merkle::hex(&[6; 32]);
    tampered_in_place(
        &home,
        &format!(
            "DROP TRIGGER IF EXISTS events_update; UPDATE events SET leaf = x'{leaf}' WHERE position = 7;
             UPDATE checkpoints SET root = x'{root}', frontier = x'{frontier}' WHERE size = 7"
        ),
    );
    let told = differs(&home);
    assert!(told.contains("its first 7 events are not those that were sealed"), "{told}");
}

#[test]
fn who_only_looks_signs_nothing_and_makes_no_key() {
    let home = Home::new();
    let log = home.open();
    fill(&log, 3);
    drop(log);
    tampered_in_place(&home, "DROP TRIGGER checkpoints_delete; DELETE FROM checkpoints");
    let look = |keys: &std::path::Path, purpose| {
        let options = Options { purpose, key_dir: keys.to_owned(), ..home.options() };
        SqliteLog::open(&home.state(), options).map(|log| log.divergence())
    };
    let elsewhere = tempfile::tempdir().unwrap();
    for purpose in [Purpose::Look, Purpose::Amend] {
        let error = look(elsewhere.path(), purpose).unwrap_err();
        assert!(error.to_string().contains("--key-dir"), "{error}");
    }
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "no key was made");
    let signed = || Reader::open(&home.state()).unwrap().checkpoints().unwrap().len();
    assert!(matches!(look(elsewhere.path(), Purpose::Work), Err(OpenError::KeyGone { .. })), "a log has its key");
    assert_eq!(look(&home.options().key_dir, Purpose::Look).unwrap(), None);
    assert_eq!(signed(), 0);
    look(&home.options().key_dir, Purpose::Work).unwrap();
    assert_eq!(signed(), 1);
}

fn home_log(home: &Home) -> String {
    Reader::open(&home.state()).unwrap().log().to_string()
}

/// Opens the log with a new key.
fn rekeyed(home: &Home) -> SqliteLog {
    SqliteLog::open(&home.state(), Options { purpose: Purpose::Rekey, ..home.options() }).unwrap()
}

#[test]
fn a_record_that_is_unreadable_or_cannot_be_replaced_keeps_nothing_from_starting() {
    let home = Home::new();
    let log = home.open();
    fill(&log, 3);
    drop(log);
    let folder = home.options().key_dir.join(home_log(&home));
    fs::write(folder.join(RECORD_FILE), "no checkpoint").unwrap();
    append(&home.open(), commit("d", 0, &["x"])).unwrap();
    let whole = fs::read_to_string(folder.join(RECORD_FILE)).unwrap();
    assert_eq!(checkpoint::SignedCheckpoint::parse(&whole).unwrap().checkpoint.size, 10, "it is written anew");
    // A record that cannot be replaced lags behind the log, and that is all.
    fs::remove_file(folder.join(RECORD_FILE)).unwrap();
    fs::create_dir(folder.join(format!("{RECORD_FILE}.new"))).unwrap();
    append(&home.open(), commit("d", 1, &["x"])).unwrap();
    assert_eq!(home.open().head().position.get(), 11);
}

#[test]
fn keys_that_are_lost_are_not_replaced_in_silence_and_new_ones_are_told() {
    let home = Home::new();
    let log = home.open();
    fill(&log, 3);
    assert!(log.key_trouble().is_none());
    drop(log);
    let (keys, kept) = (home.options().key_dir, home.state().join("kept-keys"));
    fs::rename(&keys, &kept).unwrap();
    let refused = SqliteLog::open(&home.state(), home.options()).err().unwrap();
    assert!(matches!(refused, OpenError::KeyGone { .. }), "{refused}");
    assert!(!keys.exists(), "a refusal made keys");
    let log = rekeyed(&home);
    assert!(log.key_trouble().unwrap().to_string().contains("no key that signed this log before"));
    append(&log, commit("d", 0, &["x"])).unwrap();
    drop(log);
    assert!(home.open().key_trouble().is_none(), "it has signed the log since");
    let log = home.open();
    fs::remove_file(keys.join(home_log(&home)).join("checkpoint.key")).unwrap();
    assert!(log.key_trouble().unwrap().to_string().contains("any more"));
}

#[test]
fn a_key_that_cannot_be_looked_at_is_not_called_gone() {
    let home = Home::new();
    let log = home.open();
    fill(&log, 3);
    let folder = home.options().key_dir.join(home_log(&home));
    fs::rename(&folder, home.state().join("kept-keys")).unwrap();
    std::os::unix::fs::symlink(&folder, &folder).unwrap(); // it leads to itself
    let trouble = log.key_trouble().unwrap();
    assert!(trouble.to_string().contains("cannot be read") && trouble.cure().contains("namei -l"), "{trouble}");
    drop(log);
    let refused = SqliteLog::open(&home.state(), home.options()).err().unwrap();
    assert!(matches!(refused, OpenError::KeyUnreadable { .. }), "{refused}");
}

#[test]
fn old_keys_put_back_over_newer_ones_are_told_as_that_and_what_is_accepted_verifies() {
    let home = Home::new();
    let log = home.open();
    fill(&log, 3);
    let own = log.key().clone();
    drop(log);
    let (keys, kept) = (home.options().key_dir, tempfile::tempdir().unwrap());
    let folder = |place: &std::path::Path| place.join(home_log(&home));
    fs::rename(folder(&keys), folder(kept.path())).unwrap();
    append(&rekeyed(&home), commit("d", 0, &["x"])).unwrap();
    let interim = fs::read(folder(&keys).join("checkpoint.vkey")).unwrap();
    fs::remove_dir_all(folder(&keys)).unwrap();
    fs::rename(folder(kept.path()), folder(&keys)).unwrap();
    let log = home.open();
    let found = log.divergence().unwrap();
    assert!(found.strange && found.cure().contains("checkpoint-other.vkey"), "{found}");
    drop(log);
    // As it says: their public half is enough.
    let other = folder(&keys).join("checkpoint-other.vkey");
    fs::write(&other, interim).unwrap();
    assert_eq!(home.open().divergence(), None);
    let home = home;
    let verified = |key: &checkpoint::VerifierKey| {
        verify(&Reader::open(&home.state()).unwrap(), &Evidence { checkpoint: None, key: Some(key.clone()) }).unwrap()
    };
    let before = verified(&own);
    assert!(!before.is_intact(), "the newest is none of this key's: {before}");
    let log = home.open();
    append(&log, commit("d", 1, &["goes on"])).unwrap();
    drop(log);
    let after = verified(&own);
    assert!(after.is_intact() && after.strange == 1, "{after}");
    assert!(after.to_string().contains("signed with another key"), "{after}");
}
