//! Races for what exists once, and the sweep of what the dead left.

use std::collections::{BTreeMap, BTreeSet};

use berth::actors::sweep::{Claim, Holder, Living, Swept, What, dead};
use berth::domain::backup_group::{self, BackupGroup};
use berth::domain::backup_job::BackupJob;
use berth::domain::container::{Command, Container};
use berth::domain::directory::{self, Directory};
use berth::domain::network::{self, Network};
use berth::domain::node::{self, Node};
use berth::domain::store::{self, Store};
use berth::domain::template::{self, Template};
use berth::events::{Closing, HoldKind};
use berth::storage::EventLog as _;
use berth::types::{BackupId, Category, OperationId, StoreId, StreamName};

use crate::daemon::{Daemon, End, Faults, LogFault, Scene, in_system, node};
use crate::plans::{container, create, define, id, import, network, store, template};
use crate::shell::foreign;

fn names() -> StreamName {
    StreamName::new(Category::Directory, Category::Container)
}

fn closing(daemon: &Daemon, operation: &str) -> Closing {
    daemon.picture().closed(operation).cloned().unwrap_or_else(|| panic!("{operation}: {}", daemon.history()))
}

/// Creates two containers at once and demands that one wins and the other leaves nothing.
async fn race(daemon: &Daemon, first: Command, second: Command) -> (Closing, Closing) {
    let (a, b) = (container("first"), container("second"));
    let (one, two) =
        tokio::join!(daemon.order::<Container>(&a, first, "first"), daemon.order::<Container>(&b, second, "second"));
    one.unwrap();
    two.unwrap();
    assert_eq!(daemon.quiet().await, End::Quiet);
    assert_eq!(daemon.dead_claims(), [], "{}", daemon.history());
    (closing(daemon, "first"), closing(daemon, "second"))
}

fn one_winner(ends: &(Closing, Closing)) {
    let won = [&ends.0, &ends.1].into_iter().filter(|end| **end == Closing::Done).count();
    assert_eq!(won, 1, "{ends:?}");
}

fn with_name(command: Command, wanted: &str) -> Command {
    let Command::Create { id, configuration, parent, .. } = command else { return command };
    Command::Create { id, name: wanted.parse().unwrap(), configuration, parent }
}

fn on_network(command: Command, wanted: &str) -> Command {
    let Command::Create { id, name, mut configuration, parent } = command else { return command };
    configuration.network = Some(berth::types::NetworkId::derived(wanted));
    Command::Create { id, name, configuration, parent }
}

#[test]
fn of_two_containers_with_one_name_one_is_made_and_the_other_leaves_nothing() {
    in_system(async {
        let scene = Scene::new();
        let daemon = Daemon::start(&scene, Faults::default());
        daemon.found().await;
        let ends = race(&daemon, with_name(create("first"), "same"), with_name(create("second"), "same")).await;
        one_winner(&ends);
        let picture = daemon.picture();
        assert_eq!(picture.get::<Directory>(&names()).unwrap().holders().count(), 2);
        assert_eq!(picture.get::<Network>(&network("lan")).unwrap().holders().count(), 2);
        assert_eq!(picture.get::<Template>(&template("debian")).unwrap().holders().count(), 2);
        daemon.crash();
    });
}

#[test]
fn of_two_containers_that_want_the_last_address_one_is_made_and_the_other_leaves_nothing() {
    in_system(async {
        let scene = Scene::new();
        let daemon = Daemon::start(&scene, Faults::default());
        daemon.found().await;
        daemon.order::<Network>(&network("tiny"), define("tiny", 9, 30), "tiny").await.unwrap();
        assert_eq!(daemon.quiet().await, End::Quiet);
        let ends = race(&daemon, on_network(create("first"), "tiny"), on_network(create("second"), "tiny")).await;
        one_winner(&ends);
        let picture = daemon.picture();
        assert_eq!(picture.get::<Network>(&network("tiny")).unwrap().holders().count(), 1);
        assert_eq!(picture.get::<Directory>(&names()).unwrap().holders().count(), 2);
        daemon.crash();
    });
}

#[test]
fn a_template_is_deleted_or_used_but_never_both() {
    in_system(async {
        let scene = Scene::new();
        let daemon = Daemon::start(&scene, Faults::default());
        daemon.found().await;
        daemon.order::<Template>(&template("alpine"), import("alpine"), "alpine").await.unwrap();
        assert_eq!(daemon.quiet().await, End::Quiet);
        let Command::Create { id, name, mut configuration, parent } = create("first") else { panic!("no create") };
        configuration.template = berth::types::TemplateId::derived("alpine");
        let command = Command::Create { id, name, configuration, parent };
        let stream = template("alpine");
        let made = container("first");
        let (created, deleted) = tokio::join!(
            daemon.order::<Container>(&made, command, "first"),
            daemon.order::<Template>(&stream, template::Command::Delete, "delete")
        );
        created.unwrap();
        assert_eq!(daemon.quiet().await, End::Quiet);
        let used = closing(&daemon, "first") == Closing::Done;
        let gone = deleted.is_ok() && closing(&daemon, "delete") == Closing::Done;
        assert!(used != gone, "used {used}, deleted {gone}: {}", daemon.history());
        assert_eq!(daemon.dead_claims(), []);
        daemon.crash();
    });
}

/// Makes a log in which a claimant is dead and its claims are not released.
async fn claims_of_the_dead(daemon: &Daemon) {
    let ghost = container("ghost");
    daemon.found().await;
    daemon.tell("gone", create("gone")).await;
    daemon.tell("gone", Command::Delete { grave: crate::plans::GRAVE }).await;
    daemon.tell("gone", Command::Purge).await;
    let holder = || container("gone");
    let reserve = directory::Command::Reserve { name: "taken".parse().unwrap(), holder: holder() };
    daemon.order::<Directory>(&names(), reserve, "a").await.unwrap();
    let this = StreamName::new(Category::Node, node());
    daemon.order::<Node>(&this, node::Command::ClaimIdRange { holder: holder() }, "b").await.unwrap();
    daemon.order::<Template>(&template("debian"), template::Command::Claim { holder: ghost }, "c").await.unwrap();
    let request = berth::events::AddressRequest::Auto;
    let lease = network::Command::Lease { holder: holder(), request };
    daemon.order::<Network>(&network("lan"), lease, "d").await.unwrap();
    let operation = OperationId::derived("long over");
    daemon.order::<Store>(&store("local"), store::Command::OpenWriter { operation }, "e").await.unwrap();
    let (stream, command) = crate::plans::backup("web", "first");
    daemon.tell("web", create("web")).await;
    daemon.order::<BackupJob>(&stream, command, "first").await.unwrap();
    assert_eq!(daemon.quiet().await, End::Quiet);
    let group = backup_group::stream(StoreId::derived("local"), id("web"));
    let admit = backup_group::Command::Admit { operation };
    daemon.order::<BackupGroup>(&group, admit, "f").await.unwrap();
    let pin = backup_group::Command::Pin { backup: BackupId::derived("first"), operation };
    daemon.order::<BackupGroup>(&group, pin, "g").await.unwrap();
    let by = StreamName::new(Category::RestoreJob, "gone");
    daemon.tell("held", create("held")).await;
    for kind in [HoldKind::Writing, HoldKind::Exchanging] {
        let hold = Command::Hold { kind, by: by.clone() };
        daemon.order::<Container>(&container("held"), hold, "long over").await.unwrap();
    }
}

#[test]
fn a_dead_claimants_claims_are_released_and_nobody_elses() {
    in_system(async {
        let scene = Scene::new();
        let daemon = Daemon::start(&scene, Faults::default());
        claims_of_the_dead(&daemon).await;
        daemon.crash();
        let daemon = Daemon::start(&scene, Faults::default());
        let before = daemon.picture();
        let dead: BTreeSet<_> = daemon.dead_claims().into_iter().map(|claim| claim.what).collect();
        let owned = [What::Name, What::IdRange, What::Template, What::Address];
        let pin = What::Pin(BackupId::derived("first"));
        let worked_on = [What::Writer, What::Hold, What::OldFiles, What::Expected, pin];
        assert_eq!(dead, owned.into_iter().chain(worked_on).collect());
        assert_eq!(daemon.sweep().await.released, 9);
        assert_eq!(daemon.dead_claims(), []);
        assert_eq!(daemon.sweep().await, Swept::default(), "what is swept is swept once");
        let picture = daemon.picture();
        let names_left = picture.get::<Directory>(&names()).unwrap().holders().count();
        assert_eq!(names_left, 3, "the living keep their names");
        assert_eq!(picture.get::<Network>(&network("lan")).unwrap().holders().count(), 3);
        assert_eq!(before.running(), picture.running());
        daemon.tell("held", Command::Start { parent: None }).await;
        daemon.crash();
    });
}

/// One owner has facts of a newer program, another one does not get its release into the log.
#[test]
fn an_owner_that_cannot_be_read_or_lets_nothing_go_keeps_its_own_claims_and_no_others() {
    in_system(async {
        let scene = Scene::new();
        let daemon = Daemon::start(&scene, Faults::default());
        claims_of_the_dead(&daemon).await;
        let (unread, reluctant) = (names(), template("debian"));
        daemon.store.append(foreign(&unread, &daemon)).await.unwrap().unwrap();
        daemon.crash();
        let faults = Faults { log: Some(LogFault::Refuse(1)), of: Some(reluctant.clone()), ..Faults::default() };
        let daemon = Daemon::start(&scene, faults);
        let swept = daemon.sweep().await;
        let left = Claim { owner: reluctant, holder: Holder::Stream(container("ghost")), what: What::Template };
        assert_eq!(swept, Swept { released: 7, left: vec![left.clone()], unread: vec![unread] });
        assert_eq!(daemon.dead_claims(), [left]);
        daemon.crash();
    });
}

#[test]
fn a_claim_of_somebody_at_work_or_not_understood_is_left_alone() {
    let claim = |key: &str, what: What| Claim {
        owner: names(),
        holder: Holder::Stream(StreamName::new(Category::Container, key)),
        what,
    };
    let working =
        Claim { owner: store("local"), holder: Holder::Operation(OperationId::derived("open")), what: What::Writer };
    let over = Claim { holder: Holder::Operation(OperationId::derived("over")), ..working.clone() };
    let stream = |key: &str| StreamName::new(Category::Container, key);
    let having: BTreeMap<_, _> = [
        (stream("alive"), Some([What::Name].into())),
        (stream("busy"), Some(BTreeSet::new())),
        (stream("foreign"), None),
        (stream("dead"), Some(BTreeSet::new())),
    ]
    .into();
    let living = Living { open: [OperationId::derived("open")].into(), having, busy: [stream("busy")].into() };
    let all = ["alive", "busy", "foreign", "unheard-of", "dead"].map(|key| claim(key, What::Name));
    let claims = all.into_iter().chain([working, over.clone(), claim("alive", What::Address)]).collect();
    let expected = [claim("dead", What::Name), over, claim("alive", What::Address)];
    assert_eq!(dead(claims, &living), expected);
}
