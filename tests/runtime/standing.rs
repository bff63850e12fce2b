//! Whoever stops a container for a while, and whoever wants something else of it meanwhile.

use std::time::Duration;

use berth::domain::backup_job::BackupJob;
use berth::domain::container::{Command, Container};
use berth::domain::restore_job::{self, RestoreJob};
use berth::events::{Closing, RestoreTarget};
use berth::storage::EventLog as _;
use berth::types::{Category, Position, Span};

use crate::daemon::{Daemon, End, Faults, Scene, in_system};
use crate::plans::{backup, container, create, id, restore_in_place, run};

/// Makes a container that runs and has a backup; its init hears no signal.
async fn deaf(scene: &Scene) -> Daemon {
    let daemon = Daemon::start(scene, Faults::default());
    daemon.found().await;
    daemon.tell("web", create("web")).await;
    daemon.tell("web", Command::Start { parent: None }).await;
    let (stream, command) = backup("web", "first");
    daemon.order::<BackupJob>(&stream, command, "first").await.unwrap();
    assert_eq!(daemon.quiet().await, End::Quiet);
    daemon.world().deaf.insert(id("web"));
    daemon
}

async fn restore(daemon: &Daemon, command: restore_job::Command, operation: &str) {
    let stream = run(Category::RestoreJob, "run");
    daemon.order::<RestoreJob>(&stream, command, operation).await.unwrap();
}

/// Waits until a kind of event is recorded for the so-and-so-manieth time.
async fn until(daemon: &Daemon, kind: &str, times: usize) {
    let told = || {
        let events = daemon.store.read_all(Position::default(), 10_000).unwrap();
        events.iter().filter(|event| event.kind == kind && event.stream == container("web")).count()
    };
    while told() < times {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn stop(grace: Span) -> Command {
    Command::Stop { grace, parent: None }
}

fn is_over(daemon: &Daemon, operation: &str) {
    assert_eq!(daemon.picture().closed(operation), Some(&Closing::Done), "{}", daemon.history());
}

#[test]
fn who_stops_a_container_while_its_restore_does_has_it_stopped() {
    in_system(async {
        let scene = Scene::new();
        let daemon = deaf(&scene).await;
        for (number, (command, operation)) in
            [(restore_in_place(), "restore"), (restore_job::Command::RollBack, "back")].into_iter().enumerate()
        {
            restore(&daemon, command, operation).await;
            until(&daemon, "ReturnPromised", number + 1).await;
            let killed = format!("kill during {operation}");
            daemon.order::<Container>(&container("web"), stop(Span::default()), &killed).await.unwrap();
            assert_eq!(daemon.quiet().await, End::Quiet);
            is_over(&daemon, operation);
            assert_eq!(daemon.picture().running(), [id("bystander")], "{}", daemon.history());
            daemon.world().deaf.remove(&id("web"));
            daemon.tell_until_taken("web", Command::Start { parent: None }).await;
            daemon.world().deaf.insert(id("web"));
        }
        daemon.crash();
    });
}

/// Whoever asks has not heard of the first one: nothing but the container stands against the second.
#[test]
fn a_container_is_restored_in_place_by_one_at_a_time_until_that_is_settled() {
    in_system(async {
        let scene = Scene::new();
        let daemon = deaf(&scene).await;
        daemon.world().deaf.remove(&id("web"));
        restore(&daemon, restore_in_place(), "restore").await;
        // From here on it is let go; the restore itself is not over.
        until(&daemon, "HoldReleased", 2).await;
        let again = |run_id: &str| crate::plans::restore(run_id, RestoreTarget::InPlace { container: id("web") });
        for operation in ["too soon", "unconfirmed"] {
            daemon
                .order::<RestoreJob>(&run(Category::RestoreJob, operation), again(operation), operation)
                .await
                .unwrap();
            assert_eq!(daemon.quiet().await, End::Quiet);
            let picture = daemon.picture();
            let Some(Closing::Failed { reason }) = picture.closed(operation) else { panic!("{}", daemon.history()) };
            assert!(reason.contains("restored in place already"), "{reason}");
        }
        is_over(&daemon, "restore");
        restore(&daemon, restore_job::Command::RollBack, "back").await;
        assert_eq!(daemon.quiet().await, End::Quiet);
        is_over(&daemon, "back");
        daemon.order::<RestoreJob>(&run(Category::RestoreJob, "next"), again("next"), "next").await.unwrap();
        assert_eq!(daemon.quiet().await, End::Quiet);
        is_over(&daemon, "next");
        let confirm = restore_job::Command::Confirm;
        daemon.order::<RestoreJob>(&run(Category::RestoreJob, "next"), confirm, "confirm").await.unwrap();
        assert_eq!(daemon.quiet().await, End::Quiet);
        daemon.order::<RestoreJob>(&run(Category::RestoreJob, "last"), again("last"), "last").await.unwrap();
        assert_eq!(daemon.quiet().await, End::Quiet);
        is_over(&daemon, "last");
        assert!(daemon.picture().running().contains(&id("web")), "{}", daemon.history());
        daemon.crash();
    });
}

#[test]
fn a_restore_and_a_roll_back_wait_for_the_stop_that_is_under_way() {
    in_system(async {
        let scene = Scene::new();
        let daemon = deaf(&scene).await;
        let grace = Span::from_micros(300_000);
        for (command, operation) in [(restore_in_place(), "restore"), (restore_job::Command::RollBack, "back")] {
            daemon.order::<Container>(&container("web"), stop(grace), &format!("before {operation}")).await.unwrap();
            restore(&daemon, command, operation).await;
            assert_eq!(daemon.quiet().await, End::Quiet);
            is_over(&daemon, operation);
            assert_eq!(daemon.picture().running(), [id("bystander")], "{}", daemon.history());
            daemon.tell_until_taken("web", Command::Start { parent: None }).await;
        }
        daemon.crash();
    });
}
