//! Snapshots save reading and nothing else: with one, without one, or with a bad one the same daemon goes on.

use berth::actors::{CommandError, Replica, differs};
use berth::domain::Aggregate;
use berth::domain::directory::{self, Directory};
use berth::events::DirectoryEvent;
use berth::storage::{EventLog, Snapshot};
use berth::types::{Category, StreamName, Version};

use crate::daemon::{Daemon, Faults, Scene, in_system};
use crate::plans::container;

fn names() -> StreamName {
    StreamName::new(Category::Directory, "trial")
}

fn reserve(number: u32) -> directory::Command {
    let name = format!("name-{number}").parse().unwrap();
    directory::Command::Reserve { name, holder: container(&format!("c{number}")) }
}

async fn reserve_all(daemon: &Daemon, numbers: std::ops::Range<u32>) {
    for number in numbers {
        daemon.order::<Directory>(&names(), reserve(number), &format!("order {number}")).await.unwrap();
    }
}

/// Waits until the writer is through with what nobody waits for.
async fn written(daemon: &Daemon) {
    daemon.store.seal().await.unwrap().unwrap();
}

fn version_of_snapshot(daemon: &Daemon) -> Option<Version> {
    daemon.store.snapshot(&names()).unwrap().map(|snapshot| snapshot.version)
}

/// Demands that a reader with the snapshot and one of the whole log see the same.
fn tells_the_truth(daemon: &Daemon) {
    let replica = Replica::<Directory>::read(&*daemon.store, &names()).unwrap();
    assert_eq!(Some(&replica.state), daemon.picture().get::<Directory>(&names()));
    let events = daemon.store.read_stream(&names(), Version::default(), 1_000).unwrap();
    let last = events.last().unwrap();
    let asker = replica.asker(last.context.operation);
    assert_eq!((replica.version, asker), (last.version, last.context.principal.clone()));
}

#[test]
fn a_long_stream_gets_a_snapshot_and_its_next_actor_goes_on_from_it() {
    in_system(async {
        let scene = Scene::new();
        let daemon = Daemon::start(&scene, Faults::default());
        reserve_all(&daemon, 0..10).await;
        written(&daemon).await;
        assert_eq!(version_of_snapshot(&daemon), None, "a short stream is read faster than its snapshot is written");
        reserve_all(&daemon, 10..70).await;
        written(&daemon).await;
        let kept = version_of_snapshot(&daemon).unwrap();
        assert!(kept > Version::default() && kept < Version::new(70), "{kept}");
        tells_the_truth(&daemon);
        daemon.crash();

        let daemon = Daemon::restart(&scene, Faults::default()).await;
        let taken = daemon.order::<Directory>(&names(), reserve(3), "again").await.unwrap();
        assert_eq!(taken.events, [], "it is so already: the snapshot knows");
        let other = directory::Command::Reserve { name: "name-3".parse().unwrap(), holder: container("other") };
        let refused = daemon.order::<Directory>(&names(), other, "other").await;
        assert!(matches!(&refused, Err(CommandError::Refused(why)) if why.code == "name.taken"), "{refused:?}");
        reserve_all(&daemon, 70..71).await;
        tells_the_truth(&daemon);
        daemon.crash();
    });
}

#[test]
fn a_daemon_that_ends_in_order_leaves_its_long_streams_with_a_snapshot_at_their_end() {
    in_system(async {
        let scene = Scene::new();
        let daemon = Daemon::start(&scene, Faults::default());
        reserve_all(&daemon, 0..80).await;
        written(&daemon).await;
        assert_eq!(version_of_snapshot(&daemon), Some(Version::new(64)));
        daemon.registry.close().await;
        written(&daemon).await;
        assert_eq!(version_of_snapshot(&daemon), Some(Version::new(80)));
        tells_the_truth(&daemon);
        daemon.crash();
    });
}

#[test]
fn a_snapshot_that_this_program_cannot_use_changes_nothing() {
    in_system(async {
        let scene = Scene::new();
        let daemon = Daemon::start(&scene, Faults::default());
        reserve_all(&daemon, 0..40).await;
        daemon.registry.close().await;
        written(&daemon).await;
        let good = daemon.store.snapshot(&names()).unwrap().unwrap();
        let text = String::from_utf8(good.state.clone()).unwrap();
        let state = |text: &str| text.as_bytes().to_vec();
        let unusable = [
            Snapshot { state_schema: Directory::STATE_SCHEMA + 1, state: state("{}"), ..good.clone() },
            Snapshot { state: state("no state at all"), ..good.clone() },
            Snapshot { state: state(&text[..text.len() / 2]), ..good.clone() },
            Snapshot { state: state(&text.replace(env!("CARGO_PKG_VERSION"), "0.0.0")), ..good.clone() },
            Snapshot { version: Version::new(1_000), ..good.clone() },
        ];
        for snapshot in unusable {
            assert_ne!(snapshot, good);
            daemon.store.keep(snapshot);
            written(&daemon).await;
            tells_the_truth(&daemon);
        }
        let head = daemon.store.head();
        daemon.crash();
        let daemon = Daemon::restart(&scene, Faults::default()).await;
        assert_eq!(daemon.store.head(), head, "no snapshot is part of the log");
        let recorded = daemon.order::<Directory>(&names(), reserve(40), "on").await.unwrap();
        assert!(matches!(&recorded.events[..], [DirectoryEvent::NameReserved { .. }]), "{recorded:?}");
        assert_eq!(recorded.recorded[0].version, Version::new(41));
        daemon.crash();
    });
}

#[test]
fn a_forged_snapshot_is_told_from_a_true_one_and_its_actor_reads_the_log_again() {
    in_system(async {
        let scene = Scene::new();
        let daemon = Daemon::start(&scene, Faults::default());
        reserve_all(&daemon, 0..40).await;
        daemon.registry.close().await;
        written(&daemon).await;
        let good = daemon.store.snapshot(&names()).unwrap().unwrap();
        assert!(!differs(&daemon.store.reader(), good.clone()).unwrap());
        let text = String::from_utf8(good.state.clone()).unwrap();
        assert!(text.contains("name-33"), "{text}");
        let forged = Snapshot { state: text.replace("name-33", "name-xx").into_bytes(), ..good };
        assert!(differs(&daemon.store.reader(), forged.clone()).unwrap());
        daemon.store.keep(forged);
        written(&daemon).await;
        daemon.crash();

        let daemon = Daemon::restart(&scene, Faults::default()).await;
        reserve_all(&daemon, 40..41).await;
        let mut kept = Vec::new();
        daemon.store.reader().each_snapshot(|snapshot| kept.push(snapshot.id)).unwrap();
        daemon.store.rebuild(kept).await.unwrap().unwrap();
        daemon.registry.read_again(&[names()]);
        let other = directory::Command::Reserve { name: "name-33".parse().unwrap(), holder: container("other") };
        let refused = daemon.order::<Directory>(&names(), other, "other").await;
        assert!(matches!(&refused, Err(CommandError::Refused(why)) if why.code == "name.taken"), "{refused:?}");
        daemon.crash();
    });
}
