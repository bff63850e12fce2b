//! kill -9 at any moment: what was acknowledged is there.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;

const HOME: &str = "BERTH_TEST_LOG_HOME";
const ROUNDS: u64 = 12;
const APPENDERS: u64 = 4;

/// Is the process that is killed: appends from several threads and says what was acknowledged.
#[test]
#[ignore = "is started by the test below"]
fn the_process_that_is_killed() {
    let Ok(directory) = std::env::var(HOME) else { return };
    let directory = Path::new(&directory);
    let mut options = Options::new(Arc::new(Hand::default()), directory.join("keys"), Arc::new(|_: &Path| Ok(1 << 40)));
    options.reserve = 0;
    options.seal_events = 50;
    let log = SqliteLog::open(&directory.join("state"), options).unwrap();
    std::thread::scope(|scope| {
        for appender in 0..APPENDERS {
            let log = &log;
            scope.spawn(move || {
                let key = format!("s{appender}");
                let mut version = log.reader().version(&commit(&key, 0, &[]).stream).unwrap().get();
                loop {
                    append(log, commit(&key, version, &["one", "two"])).unwrap();
                    version += 2;
                    println!("\nACK {key} {version}");
                }
            });
        }
    });
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let home = Home::new();
    let (mut acknowledged, mut total) = ([0_u64; APPENDERS as usize], 0);
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "storage::tests::durability::the_process_that_is_killed", "--ignored", "--nocapture"])
            .env(HOME, home.directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reading = std::thread::spawn(move || {
            lines.map_while(Result::ok).filter_map(|line| acknowledgement(&line)).collect::<Vec<_>>()
        });
        std::thread::sleep(Duration::from_millis(60 + round * 37 % 101));
        child.kill().unwrap();
        child.wait().unwrap();
        for (appender, version) in reading.join().unwrap() {
            acknowledged[appender] = acknowledged[appender].max(version);
            total += 1;
        }
        check(&home, &acknowledged);
    }
    assert!(total > ROUNDS, "{total} acknowledgements in {ROUNDS} rounds prove little");
}

#[test]
fn a_batch_that_fails_is_answered_and_the_log_goes_on() {
    let home = Home::new();
    let log = home.open();
    append(&log, commit("a", 0, &["x"])).unwrap();
    let intruder = rusqlite::Connection::open(home.log()).unwrap();
    intruder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = append(&log, commit("a", 1, &["while the file is locked"])).unwrap_err();
    assert!(matches!(error, AppendError::Unavailable { .. }), "{error}");
    intruder.execute_batch("INSERT INTO streams (name) VALUES ('container/b'); COMMIT").unwrap();
    append(&log, commit("a", 1, &["y"])).unwrap();
    append(&log, commit("b", 0, &["y"])).unwrap();
    assert_eq!((log.head().position.get(), log.read_only()), (3, None));
    assert_eq!(log.reader().head().unwrap(), log.head());
}

#[test]
fn what_is_refused_of_one_commit_does_not_touch_the_others_of_its_batch() {
    let home = Home::new();
    let log = home.open();
    append(&log, commit("a", 0, &["x"])).unwrap();
    let intruder = rusqlite::Connection::open(home.log()).unwrap();
    let poison = "CREATE TRIGGER poison BEFORE INSERT ON events WHEN CAST(NEW.body AS TEXT) LIKE '%poison%'
                  BEGIN SELECT raise(ABORT, 'poison'); END";
    intruder.execute_batch(poison).unwrap();
    let keyed =
        |number: u64, body| Commit { key: Some(number.to_string()), ..commit(&number.to_string(), 0, &["x", body]) };
    let bad = |number: u64| number % 40 == 7;
    let send = |number| log.append(keyed(number, if bad(number) { "poison" } else { "y" }));
    let answers: Vec<_> = (0..200).map(send).collect();
    for (number, answer) in (0..200).zip(answers) {
        assert_eq!(wait(answer).is_err(), bad(number), "{number}");
    }
    assert_eq!(log.head().position, Position::new(1 + 195 * 2), "no position is left out");
    assert_eq!(log.reader().head().unwrap(), log.head());
    assert_eq!((log.recall("7", [0; 32]), log.read_only()), (Ok(None), None), "what was refused left no key");
    intruder.execute_batch("DROP TRIGGER poison").unwrap();
    assert!(!append(&log, keyed(7, "y")).unwrap().repeated);
    assert!(append(&log, keyed(8, "y")).unwrap().repeated);
    assert!(verify(&log.reader(), &Evidence::default()).unwrap().is_intact());
}

/// Reads `ACK s<appender> <version>`; a line that the kill cut short is none.
fn acknowledgement(line: &str) -> Option<(usize, u64)> {
    let (appender, version) = line.strip_prefix("ACK s")?.split_once(' ')?;
    Some((appender.parse().ok()?, version.parse().ok()?))
}

fn check(home: &Home, acknowledged: &[u64]) {
    let log = home.open();
    for (appender, version) in acknowledged.iter().enumerate() {
        let found = log.reader().version(&commit(&format!("s{appender}"), 0, &[]).stream).unwrap().get();
        assert!(found >= *version, "s{appender}: {version} was acknowledged, {found} is there");
        assert!(found.is_multiple_of(2), "a commit is there whole or not at all");
    }
    let report = verify(&log.reader(), &Evidence::default()).unwrap();
    assert!(report.is_intact(), "{report}");
}
