//! Every saga, under every law.

use super::{Reaction, Story, hold_for};
use crate::domain::effect::{Action, Answer, Ask, Effect, Facts, HostEffect, Outcome};
use crate::domain::testing::{configuration, operation};
use crate::domain::{backup_group, backup_job, batch, container, maintenance, network, restore_job};
use crate::domain::{schedule, store, template};
use crate::events::{
    BackupMode, BackupOutcome, BatchAction, BatchEvent, BatchMember, Closing, ContainerEvent, InitKind, Lease,
    LimitChange, MaintenanceAction, MaintenanceResult, NetworkEvent, ProcessIdentity, RestoreEvent, RestoreTarget,
    ScheduleDefinition, ScheduleEvent, ScheduledAction, Selection, TemplateEvent, TemplateSource, TemplateSummary,
};
use crate::types::{
    BackupId, CatchUp, Category, ContainerId, LeftOut, NetworkId, NodeId, OperationId, RunId, ScheduleId, Size, Span,
    StoreId, StreamName, TemplateId, Timestamp,
};

/// A world in which everything works.
fn kind_world(effect: &Effect) -> Outcome {
    match &effect.action {
        Action::Host(work) => Outcome::Done(facts(work)),
        Action::Ask(_, ask) => Outcome::Answered(answer(ask)),
        Action::Wake(_) => Outcome::Woken,
    }
}

fn facts(work: &HostEffect) -> Facts {
    match work {
        HostEffect::EnsureTemplate { .. } => Facts::Template(sealed()),
        HostEffect::EnsureRunning(_) => {
            Facts::Started { init: init(), took: Span::default(), warnings: vec![], kept: vec![] }
        }
        HostEffect::EnsureStore { .. } => {
            Facts::Repository { repository: "r".to_owned(), recovery_fingerprint: "f".to_owned() }
        }
        HostEffect::LivePass { .. } => Facts::LivePass { entries: 1, read: Size::from_mib(1) },
        HostEffect::FrozenPass { .. } => Facts::FrozenPass { frozen: Span::default() },
        HostEffect::SealBackup(_) => {
            Facts::Sealed(Box::new(backup_group::tests::summary("a", 1, BackupOutcome::Complete)))
        }
        HostEffect::RestoreFiles { .. } | HostEffect::ExtractFiles { .. } => {
            Facts::Restored { entries: 1, written: Size::from_mib(1), left_out: LeftOut::default(), trouble: None }
        }
        HostEffect::Defragment { .. } | HostEffect::UpdateCheck { .. } | HostEffect::VerifyBackup { .. } => {
            Facts::Maintenance(MaintenanceResult::Verified)
        }
        _ => Facts::None,
    }
}

fn answer(ask: &Ask) -> Answer {
    match ask {
        Ask::ClaimIdRange => Answer::IdRange { base: 1_000_000_000, count: 65_536 },
        Ask::ClaimTemplate => Answer::Template { digest: "d".to_owned(), init: Some(InitKind::Systemd) },
        Ask::LeaseAddress(_) => Answer::Lease(Box::new(Lease {
            network: NetworkId::derived("n"),
            bridge: "br0".to_owned(),
            subnet: "10.1.0.0/24".parse().unwrap(),
            address: "10.1.0.2".parse().unwrap(),
            gateway: "10.1.0.1".parse().unwrap(),
            mac: "02:00:00:00:00:01".parse().unwrap(),
        })),
        Ask::Hold(_) => Answer::Held {
            name: "web1".parse().unwrap(),
            configuration: Box::new(configuration()),
            template_digest: "d".to_owned(),
        },
        Ask::AdmitBackup => Answer::Base(None),
        _ => Answer::Accepted,
    }
}

fn sealed() -> TemplateSummary {
    let (digest, size) = ("d".to_owned(), Size::from_mib(1));
    TemplateSummary { digest, size, entries: 1, init: None, system: None, taken_out: std::collections::BTreeMap::new() }
}

fn init() -> ProcessIdentity {
    ProcessIdentity { boot: "b".to_owned(), pid: 2, started: 3 }
}

fn id() -> ContainerId {
    ContainerId::derived("web1")
}

fn parent() -> Option<StreamName> {
    Some(StreamName::new(Category::RestoreJob, "r"))
}

/// Everything works; a grave is not waited for.
fn plain<C>(effect: &Effect) -> Reaction<C> {
    let outcome = (effect.step != "grave").then(|| kind_world(effect));
    Reaction { outcome, later: None }
}

fn created(networked: bool) -> Vec<ContainerEvent> {
    let mut configuration = configuration();
    configuration.network = networked.then(|| NetworkId::derived("n"));
    let requested =
        ContainerEvent::CreateRequested { id: id(), name: "web1".parse().unwrap(), configuration, parent: None };
    vec![
        requested,
        ContainerEvent::NameClaimed,
        ContainerEvent::IdRangeClaimed { base: 1_000_000_000, count: 65_536 },
        ContainerEvent::TemplateClaimed { digest: "d".to_owned(), init: Some(InitKind::Systemd) },
        ContainerEvent::DiskPrepared,
        ContainerEvent::ContainerCreated,
    ]
}

fn running() -> Vec<ContainerEvent> {
    let started =
        ContainerEvent::ContainerStarted { init: init(), took: Span::default(), warnings: vec![], kept: vec![] };
    [created(true), vec![ContainerEvent::StartRequested { parent: None }, started]].concat()
}

fn buried() -> Vec<ContainerEvent> {
    let until = Timestamp::from_micros(9_000_000);
    let gone = [
        ContainerEvent::DeleteRequested { until },
        ContainerEvent::NameReleased,
        ContainerEvent::ContainerBuried { until },
    ];
    [created(true), gone.to_vec()].concat()
}

fn tell(history: Vec<ContainerEvent>, command: container::Command) {
    hold_for(&Story::<container::Container> { history, command, world: plain });
}

#[test]
fn a_container_is_made_or_leaves_nothing() {
    for networked in [false, true] {
        let mut configuration = Box::new(configuration());
        configuration.network = networked.then(|| NetworkId::derived("n"));
        let name = "web1".parse().unwrap();
        tell(vec![], container::Command::Create { id: id(), name, configuration, parent: parent() });
    }
}

#[test]
fn a_container_starts_and_stops_under_every_law() {
    let grace = Span::from_secs(1);
    tell(created(false), container::Command::Start { parent: parent() });
    tell(running(), container::Command::Stop { grace, parent: parent() });
    tell(running(), container::Command::Restart { grace });
    tell(running(), container::Command::Pause);
    let exit = crate::events::Exit::Reboot;
    let delay = Span::from_secs(1);
    let again = [ContainerEvent::InitExited { exit }, ContainerEvent::ContainerHalted { exit, restarts: 2, delay }];
    for under_way in [
        vec![ContainerEvent::StartRequested { parent: None }],
        again.to_vec(),
        vec![ContainerEvent::PauseRequested],
        vec![ContainerEvent::RenameRequested { name: "web2".parse().unwrap() }],
    ] {
        let before =
            if matches!(under_way[0], ContainerEvent::StartRequested { .. }) { created(false) } else { running() };
        let history = [before, under_way].concat();
        // A container that waits is left waiting by a saga.
        let waits = matches!(history.last(), Some(ContainerEvent::ContainerHalted { .. }));
        tell(history.clone(), container::Command::Stop { grace, parent: parent().filter(|_| !waits) });
        if !matches!(history.last(), Some(ContainerEvent::PauseRequested | ContainerEvent::RenameRequested { .. })) {
            tell(history, container::Command::Delete { grave: Span::from_secs(60) });
        }
    }
}

#[test]
fn a_container_changes_under_every_law() {
    let memory = Some(Some(Size::from_mib(64)));
    let change = LimitChange { disk: Some(Size::from_mib(2048)), memory, ..LimitChange::default() };
    tell(running(), container::Command::ChangeLimits(change));
    tell(running(), container::Command::Rename("web2".parse().unwrap()));
}

#[test]
fn a_container_is_buried_and_comes_back_under_every_law() {
    tell(created(true), container::Command::Delete { grave: Span::from_secs(60) });
    tell(buried(), container::Command::Undelete { name: None, place: None });
    tell(buried(), container::Command::Purge);
}

#[test]
fn a_template_keeps_every_law() {
    let (id, name) = (TemplateId::derived("t"), "debian".parse().unwrap());
    let command = template::Command::Import { id, name, source: TemplateSource::Host };
    let requested =
        TemplateEvent::TemplateImportRequested { id, name: "debian".parse().unwrap(), source: TemplateSource::Host };
    let history = vec![requested, TemplateEvent::TemplateNameClaimed, TemplateEvent::TemplateSealed(sealed())];
    hold_for(&Story::<template::Template> { history: vec![], command, world: plain });
    for command in [template::Command::Verify, template::Command::Delete] {
        hold_for(&Story::<template::Template> { history: history.clone(), command, world: plain });
    }
}

#[test]
fn a_network_keeps_every_law() {
    let (id, subnet) = (NetworkId::derived("n"), "10.1.0.0/24".parse().unwrap());
    let (name, bridge): (crate::types::Name, _) = ("lan".parse().unwrap(), "br0".to_owned());
    let requested = NetworkEvent::NetworkRequested { id, name: name.clone(), subnet, bridge: bridge.clone() };
    let history = vec![requested, NetworkEvent::NetworkNameClaimed, NetworkEvent::NetworkCreated];
    let command = network::Command::Define { id, name, subnet, bridge };
    hold_for(&Story::<network::Network> { history: vec![], command, world: plain });
    for command in [network::Command::Delete, network::Command::ReportBoot { boot: "b2".to_owned() }] {
        hold_for(&Story::<network::Network> { history: history.clone(), command, world: plain });
    }
}

#[test]
fn a_store_keeps_every_law() {
    let (id, node) = (StoreId::derived("s"), NodeId::derived("n"));
    let command = store::Command::Create { id, name: "local".parse().unwrap(), path: "/b".to_owned(), node };
    hold_for(&Story::<store::Store> { history: vec![], command, world: plain });
}

#[test]
fn a_backup_keeps_every_law() {
    let command = backup_job::Command::Request {
        id: RunId::derived("r"),
        container: id(),
        store: StoreId::derived("s"),
        mode: BackupMode::Full,
        backup: BackupId::derived("a"),
        schedule: None,
        parent: parent(),
    };
    hold_for(&Story::<backup_job::BackupJob> { history: vec![], command, world: plain });
}

#[test]
fn maintenance_keeps_every_law() {
    let (store, backup) = (StoreId::derived("s"), BackupId::derived("a"));
    for action in [
        MaintenanceAction::Defragment { container: id() },
        MaintenanceAction::Verify { container: id(), store, backup },
    ] {
        let command = maintenance::Command::Request { id: RunId::derived("r"), action, parent: parent() };
        hold_for(&Story::<maintenance::Maintenance> { history: vec![], command, world: plain });
    }
}

/// A container that does what it is asked and says so.
fn asked_container(effect: &Effect) -> Reaction<restore_job::Command> {
    container_that_ends(effect, Closing::Done)
}

/// A container that does what it is asked, but for its start.
fn container_without_init(effect: &Effect) -> Reaction<restore_job::Command> {
    let failed = Closing::Failed { reason: "no init".to_owned() };
    container_that_ends(effect, if matches!(effect.step, "start" | "carry-on") { failed } else { Closing::Done })
}

fn container_that_ends(effect: &Effect, outcome: Closing) -> Reaction<restore_job::Command> {
    let later = match &effect.action {
        Action::Ask(
            child,
            ask @ (Ask::CreateContainer { .. } | Ask::StartContainer | Ask::StopContainer | Ask::CarryOn { .. }),
        ) => {
            let (child, operation) = (child.clone(), ask.operation(effect.operation, effect.step));
            Some(restore_job::Command::FinishChild { child, operation, outcome })
        }
        _ => None,
    };
    Reaction { later, ..plain(effect) }
}

fn restore(target: RestoreTarget) -> restore_job::Request {
    let (id, backup, store) = (RunId::derived("r"), BackupId::derived("a"), StoreId::derived("s"));
    restore_job::Request { id, backup, source: ContainerId::derived("web1"), store, target, start: true }
}

#[test]
fn a_restore_keeps_every_law() {
    let (name, configuration) = ("web2".parse().unwrap(), Box::new(configuration()));
    for target in [
        RestoreTarget::New { container: id(), name, configuration },
        RestoreTarget::InPlace { container: id() },
        RestoreTarget::Directory { paths: vec![], into: "/x".to_owned(), owner: Some((0, 0)), privileges: false },
    ] {
        let command = restore_job::Command::Request(restore(target));
        for world in [asked_container, container_without_init] {
            let command = command.clone();
            hold_for(&Story::<restore_job::RestoreJob> { history: vec![], command, world });
        }
    }
}

#[test]
fn what_follows_a_restore_keeps_every_law() {
    let restore_job::Request { id: run, backup, source, store, target, start } =
        restore(RestoreTarget::InPlace { container: id() });
    let requested = RestoreEvent::RestoreRequested { id: run, backup, source, store, target, start };
    let history = vec![requested, RestoreEvent::RootExchanged, RestoreEvent::RestoreCompleted];
    for command in [restore_job::Command::Confirm, restore_job::Command::RollBack] {
        let history = history.clone();
        hold_for(&Story::<restore_job::RestoreJob> { history, command, world: asked_container });
    }
    let (name, configuration) = ("web2".parse().unwrap(), Box::new(configuration()));
    for target in
        [RestoreTarget::InPlace { container: id() }, RestoreTarget::New { container: id(), name, configuration }]
    {
        let restore_job::Request { id: run, backup, source, store, target, start } = restore(target);
        let requested = RestoreEvent::RestoreRequested { id: run, backup, source, store, target, start };
        let history = vec![requested, RestoreEvent::RestoreStuck { reason: "why".to_owned() }];
        let command = restore_job::Command::RollBack;
        hold_for(&Story::<restore_job::RestoreJob> { history, command, world: asked_container });
    }
}

/// A run that does what it is asked and says so.
fn asked_run(effect: &Effect) -> Reaction<batch::Command> {
    let later = match &effect.action {
        Action::Ask(child, Ask::RequestMaintenance { .. }) => {
            Some(batch::Command::FinishChild { child: child.clone(), outcome: Closing::Done })
        }
        _ => None,
    };
    Reaction { later, ..plain(effect) }
}

#[test]
fn a_batch_keeps_every_law() {
    let member = |name: &str| BatchMember {
        container: ContainerId::derived(name),
        run: RunId::derived(name),
        operation: OperationId::derived(name),
        backup: BackupId::derived(name),
    };
    for parallel in [1, 2] {
        let command = batch::Command::Request(batch::Request {
            id: RunId::derived("batch"),
            action: BatchAction::Defragment,
            members: ["a", "b", "c"].map(member).into(),
            schedule: None,
            parallel,
            parent: parent(),
        });
        hold_for(&Story::<batch::Batch> { history: vec![], command, world: asked_run });
    }
}

/// A run that is called off and says so.
fn called_off_run(effect: &Effect) -> Reaction<batch::Command> {
    let later = match &effect.action {
        Action::Ask(child, Ask::CancelRun) => {
            Some(batch::Command::FinishChild { child: child.clone(), outcome: Closing::Cancelled })
        }
        _ => None,
    };
    Reaction { later, ..plain(effect) }
}

#[test]
fn a_batch_is_called_off_under_every_law() {
    let member = |name: &str| BatchMember {
        container: ContainerId::derived(name),
        run: RunId::derived(name),
        operation: OperationId::derived(name),
        backup: BackupId::derived(name),
    };
    let requested = BatchEvent::BatchRequested {
        id: RunId::derived("batch"),
        action: BatchAction::Defragment,
        members: ["a", "b", "c"].map(member).into(),
        schedule: None,
        parallel: 2,
        parent: parent(),
    };
    let history = vec![requested, BatchEvent::ChildStarted { run: RunId::derived("a") }];
    let command = batch::Command::Cancel { operation: operation() };
    hold_for(&Story::<batch::Batch> { history, command, world: called_off_run });
}

/// A batch that ends as it should.
fn asked_batch(effect: &Effect) -> Reaction<schedule::Command> {
    let later = match &effect.action {
        Action::Ask(child, Ask::RequestBatch { .. }) => {
            Some(schedule::Command::FinishBatch { child: child.clone(), outcome: Closing::Done })
        }
        _ => None,
    };
    Reaction { later, ..plain(effect) }
}

#[test]
fn a_schedule_keeps_every_law() {
    let definition = Box::new(ScheduleDefinition {
        cron: "0 3 * * *".parse().unwrap(),
        zone: "UTC".parse().unwrap(),
        action: ScheduledAction::Defragment,
        selection: Selection::All,
        catch_up: CatchUp::Once,
        jitter: Span::default(),
        window: None,
        parallel: 2,
    });
    let (id, from) = (ScheduleId::derived("s"), Timestamp::from_micros(1));
    let name: crate::types::Name = "nightly".parse().unwrap();
    let requested = ScheduleEvent::ScheduleRequested { id, name: name.clone(), definition: definition.clone(), from };
    let history = vec![requested, ScheduleEvent::ScheduleCreated];
    let (slot, batch) = (Timestamp::from_micros(2), RunId::derived("b"));
    let fire = schedule::Command::Fire {
        slot,
        batch,
        operation: operation(),
        action: BatchAction::Defragment,
        members: vec![],
    };
    let create = schedule::Command::Create { id, name, definition, from };
    for (history, command) in [(vec![], create), (history.clone(), fire), (history, schedule::Command::Delete)] {
        hold_for(&Story::<schedule::Schedule> { history, command, world: asked_batch });
    }
}
