//! The log as a whole, on real files.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::types::{Category, Clock, NodeId, OperationId, Principal, Timestamp};

struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000)
    }
}

fn options(state: &Path) -> Options {
    let mut options = Options::new(Arc::new(Wall), state.join("keys"), Arc::new(|_: &Path| Ok(1 << 40)));
    options.ballast = 0;
    options
}

fn commit(key: &str, expected: u64, bodies: &[&str]) -> Commit {
    let event = |body: &&str| NewEvent {
        kind: "ContainerStarted".to_owned(),
        schema: 1,
        body: body.as_bytes().to_vec(),
        annex: body.contains("secret").then(|| b"because".to_vec()),
    };
    Commit {
        stream: StreamName::new(Category::Container, key),
        expected: Expected::Version(Version::new(expected)),
        key: None,
        request_hash: [0; 32],
        context: Context {
            wall_clock: Timestamp::from_micros(5),
            boot: "boot".to_owned(),
            principal: Principal::runtime(),
            operation: OperationId::from_bytes([1; 16]),
            causation: None,
            node: NodeId::from_bytes([2; 16]),
        },
        events: bodies.iter().map(event).collect(),
    }
}

fn append(store: &SqliteStore, commit: Commit) -> Result<Committed, AppendError> {
    store.append(commit).blocking_recv().expect("the writer answers")
}

#[test]
fn what_was_appended_is_read_again_after_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(state.path(), options(state.path())).unwrap();
    let mut subscription = store.subscribe(Position::default());
    let committed = append(&store, commit("a", 0, &["1", "2"])).unwrap();
    assert!(matches!(append(&store, commit("a", 0, &["3"])), Err(AppendError::Conflict { .. })));
    append(&store, commit("b", 0, &["4"])).unwrap();
    let told: Vec<_> = (0..3).map(|_| subscription.blocking_next().unwrap()).collect();
    assert_eq!(told[..2], committed.events[..]);
    let head = store.head();
    drop(store);
    let store = SqliteStore::open(state.path(), options(state.path())).unwrap();
    assert_eq!(store.head(), head);
    assert_eq!(store.reader().head().unwrap(), head);
    let read: Vec<_> = store.read_all(Position::default(), 10).unwrap().into_iter().map(Arc::new).collect();
    assert_eq!(read, told);
}
