//! Every plan: what has to be there before it, and the order that begins it.

use std::net::Ipv4Addr;

use berth::actors::CommandError;
use berth::domain::backup_job::{self, BackupJob};
use berth::domain::batch::{self, Batch};
use berth::domain::container::{self, Container};
use berth::domain::maintenance::{self, Maintenance};
use berth::domain::network::{self, Network};
use berth::domain::node::{self, Node};
use berth::domain::restore_job::{self, RestoreJob};
use berth::domain::schedule::{self, Schedule};
use berth::domain::store::{self, Store};
use berth::domain::template::{self, Template};
use berth::domain::testing;
use berth::events::{
    BackupMode, BatchAction, BatchMember, Configuration, LimitChange, MaintenanceAction, RestoreTarget,
    ScheduleDefinition, ScheduledAction, Selection, TemplateSource,
};
use berth::types::{
    BackupId, CatchUp, Category, ContainerId, NetworkId, OperationId, RunId, ScheduleId, Size, Span, StoreId,
    StreamName, Subnet, TemplateId, Timestamp,
};

use crate::daemon::{self, Daemon, End};

pub const GRAVE: Span = Span::from_secs(3_600);

pub fn id(name: &str) -> ContainerId {
    ContainerId::derived(name)
}

pub fn container(name: &str) -> StreamName {
    StreamName::new(Category::Container, id(name))
}

pub fn template(name: &str) -> StreamName {
    StreamName::new(Category::Template, TemplateId::derived(name))
}

pub fn network(name: &str) -> StreamName {
    StreamName::new(Category::Network, NetworkId::derived(name))
}

pub fn store(name: &str) -> StreamName {
    StreamName::new(Category::Store, StoreId::derived(name))
}

pub fn configuration(name: &str) -> Configuration {
    Configuration {
        hostname: name.parse().unwrap(),
        managed: berth::types::Managed::default(),
        template: TemplateId::derived("debian"),
        network: Some(NetworkId::derived("lan")),
        ..testing::configuration()
    }
}

pub fn create(name: &str) -> container::Command {
    let configuration = Box::new(configuration(name));
    container::Command::Create { id: id(name), name: name.parse().unwrap(), configuration, parent: None }
}

pub fn define(name: &str, third: u8, prefix: u8) -> network::Command {
    let subnet: Subnet = format!("{}/{prefix}", Ipv4Addr::new(10, 0, third, 0)).parse().unwrap();
    let (id, bridge) = (NetworkId::derived(name), format!("br-{name}"));
    network::Command::Define { id, name: name.parse().unwrap(), subnet, bridge }
}

pub fn import(name: &str) -> template::Command {
    let source = TemplateSource::Directory { path: "/srv/debian".to_owned() };
    template::Command::Import { id: TemplateId::derived(name), name: name.parse().unwrap(), source }
}

pub fn create_store(name: &str) -> store::Command {
    let path = format!("/srv/{name}");
    store::Command::Create { id: StoreId::derived(name), name: name.parse().unwrap(), path, node: daemon::node() }
}

pub fn backup(name: &str, run: &str) -> (StreamName, backup_job::Command) {
    let run_id = RunId::derived(run);
    let command = backup_job::Command::Request {
        id: run_id,
        container: id(name),
        store: StoreId::derived("local"),
        mode: BackupMode::Incremental,
        backup: BackupId::derived(run),
        schedule: None,
        parent: None,
    };
    (StreamName::new(Category::BackupJob, run_id), command)
}

pub fn run(category: Category, name: &str) -> StreamName {
    StreamName::new(category, RunId::derived(name))
}

pub fn restore(run: &str, target: RestoreTarget) -> restore_job::Command {
    restore_job::Command::Request(restore_job::Request {
        id: RunId::derived(run),
        backup: BackupId::derived("first"),
        source: id("web"),
        store: StoreId::derived("local"),
        target,
        start: false,
    })
}

pub fn restore_new() -> restore_job::Command {
    let configuration = Box::new(configuration("copy"));
    restore("run", RestoreTarget::New { container: id("copy"), name: "copy".parse().unwrap(), configuration })
}

pub fn restore_in_place() -> restore_job::Command {
    restore("run", RestoreTarget::InPlace { container: id("web") })
}

fn members() -> Vec<BatchMember> {
    let member = |name: &str| BatchMember {
        container: id(name),
        run: RunId::derived(&format!("batch-{name}")),
        operation: OperationId::derived(&format!("batch-{name}")),
        backup: BackupId::derived(&format!("batch-{name}")),
    };
    ["web", "bystander"].map(member).to_vec()
}

fn action() -> BatchAction {
    BatchAction::Backup { store: StoreId::derived("local"), mode: BackupMode::Incremental }
}

fn nightly() -> StreamName {
    StreamName::new(Category::Schedule, ScheduleId::derived("nightly"))
}

fn create_schedule() -> schedule::Command {
    let definition = ScheduleDefinition {
        cron: "0 3 * * *".parse().unwrap(),
        zone: "UTC".parse().unwrap(),
        action: ScheduledAction::Backup { store: StoreId::derived("local"), mode: BackupMode::Incremental },
        selection: Selection::All,
        catch_up: CatchUp::Once,
        jitter: Span::default(),
        window: None,
        parallel: 1,
    };
    let (id, from) = (ScheduleId::derived("nightly"), Timestamp::from_micros(1_000_000));
    schedule::Command::Create { id, name: "nightly".parse().unwrap(), definition: Box::new(definition), from }
}

fn fire(operation: &str) -> schedule::Command {
    schedule::Command::Fire {
        slot: Timestamp::from_micros(2_000_000),
        batch: RunId::derived("run"),
        operation: OperationId::derived(operation),
        action: action(),
        members: members(),
    }
}

impl Daemon {
    /// Gives an order to a container and waits for its end.
    pub async fn tell(&self, name: &str, command: container::Command) {
        let operation = format!("{name} {command:?}");
        self.order::<Container>(&container(name), command, &operation).await.unwrap();
        assert_eq!(self.quiet().await, End::Quiet);
    }

    /// Gives an order again while the actor is being made anew.
    pub async fn tell_until_taken(&self, name: &str, command: container::Command) {
        let stream = container(name);
        while let Err(CommandError::Stopping) = self.order::<Container>(&stream, command.clone(), "again").await {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        assert_eq!(self.quiet().await, End::Quiet);
    }

    /// Makes what every plan stands on: the node, a template, a network, a store, and a container that runs beside.
    pub async fn found(&self) {
        let this = StreamName::new(Category::Node, daemon::node());
        let initialise = node::Command::Initialise { hostname: "host".to_owned(), instance: "0011aabb".to_owned() };
        self.order::<Node>(&this, initialise, "initialise").await.unwrap();
        self.order::<Template>(&template("debian"), import("debian"), "import").await.unwrap();
        self.order::<Network>(&network("lan"), define("lan", 1, 24), "define").await.unwrap();
        self.order::<Store>(&store("local"), create_store("local"), "store").await.unwrap();
        assert_eq!(self.quiet().await, End::Quiet);
        self.tell("bystander", create("bystander")).await;
        self.tell("bystander", container::Command::Start { parent: None }).await;
    }
}

/// Is a plan that the laws are tried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    Create,
    Start,
    Stop,
    StopOfADeafInit,
    Kill,
    Restart,
    Pause,
    Resume,
    SetLimits,
    Grow,
    Rename,
    Delete,
    Undelete,
    Purge,
    ImportTemplate,
    VerifyTemplate,
    DeleteTemplate,
    DefineNetwork,
    RestoreNetwork,
    DeleteNetwork,
    CreateStore,
    BackupRunning,
    BackupPaused,
    BackupStopped,
    RestoreNew,
    RestoreInPlace,
    RestoreFiles,
    ConfirmRestore,
    RollBack,
    Defragment,
    UpdateCheck,
    Verify,
    RunBatch,
    CreateSchedule,
    FireSchedule,
    DeleteSchedule,
}

impl Plan {
    /// Makes what the plan needs.
    pub async fn prepare(self, daemon: &Daemon) {
        use container::Command;
        match self {
            Self::Create | Self::ImportTemplate | Self::DefineNetwork | Self::CreateStore | Self::CreateSchedule => {
                return;
            }
            Self::VerifyTemplate | Self::DeleteTemplate => {
                daemon.order::<Template>(&template("alpine"), import("alpine"), "alpine").await.unwrap();
                assert_eq!(daemon.quiet().await, End::Quiet);
                return;
            }
            Self::RestoreNetwork | Self::DeleteNetwork => {
                daemon.order::<Network>(&network("dmz"), define("dmz", 2, 24), "dmz").await.unwrap();
                assert_eq!(daemon.quiet().await, End::Quiet);
                return;
            }
            _ => daemon.tell("web", create("web")).await,
        }
        if self.begins_running() {
            daemon.tell("web", Command::Start { parent: None }).await;
        }
        match self {
            Self::Resume | Self::BackupPaused => daemon.tell("web", Command::Pause).await,
            Self::Undelete | Self::Purge => daemon.tell("web", Command::Delete { grave: GRAVE }).await,
            Self::StopOfADeafInit => drop(daemon.world().deaf.insert(id("web"))),
            _ => self.prepare_runs(daemon).await,
        }
        assert_eq!(daemon.quiet().await, End::Quiet);
    }

    /// Makes the backup, the restore or the schedule that the plan goes on with.
    async fn prepare_runs(self, daemon: &Daemon) {
        if self.restores() || self == Self::Verify {
            let (stream, command) = backup("web", "first");
            daemon.order::<BackupJob>(&stream, command, "first").await.unwrap();
            assert_eq!(daemon.quiet().await, End::Quiet);
        }
        if matches!(self, Self::ConfirmRestore | Self::RollBack) {
            let command = restore_in_place();
            daemon.order::<RestoreJob>(&run(Category::RestoreJob, "run"), command, "restore").await.unwrap();
        }
        if matches!(self, Self::FireSchedule | Self::DeleteSchedule) {
            daemon.order::<Schedule>(&nightly(), create_schedule(), "schedule").await.unwrap();
        }
    }

    pub fn restores(self) -> bool {
        matches!(
            self,
            Self::RestoreNew | Self::RestoreInPlace | Self::RestoreFiles | Self::ConfirmRestore | Self::RollBack
        )
    }

    /// Says whether the way back is that of another plan, tried there.
    pub fn is_made_of_others(self) -> bool {
        matches!(self, Self::RunBatch | Self::FireSchedule | Self::BackupPaused | Self::BackupStopped)
    }

    /// Says whether the stream was made by the plan and stays to tell what became of it.
    pub fn has_child(self, stream: &StreamName) -> bool {
        match self {
            Self::RestoreNew => *stream == container("copy"),
            Self::RunBatch | Self::FireSchedule => matches!(stream.category(), Category::BackupJob | Category::Batch),
            _ => false,
        }
    }

    fn begins_running(self) -> bool {
        matches!(
            self,
            Self::Stop
                | Self::StopOfADeafInit
                | Self::Kill
                | Self::Restart
                | Self::Pause
                | Self::Resume
                | Self::SetLimits
                | Self::BackupRunning
                | Self::BackupPaused
                | Self::RestoreInPlace
                | Self::RollBack
                | Self::Defragment
                | Self::UpdateCheck
                | Self::RunBatch
        )
    }

    /// Says whether the container's init is another one afterwards, or none.
    pub fn ends_init(self) -> bool {
        matches!(
            self,
            Self::Stop | Self::StopOfADeafInit | Self::Kill | Self::Restart | Self::RestoreInPlace | Self::RollBack
        )
    }

    /// Gives the order.
    pub async fn order(self, daemon: &Daemon, operation: &str) -> Result<(), CommandError> {
        use container::Command;
        let (patient, hasty) = (Span::from_secs(60), Span::from_micros(20_000));
        let command = match self {
            Self::Create => create("web"),
            Self::Start => Command::Start { parent: None },
            Self::Stop => Command::Stop { grace: patient, parent: None },
            Self::StopOfADeafInit => Command::Stop { grace: hasty, parent: None },
            Self::Kill => Command::Stop { grace: Span::default(), parent: None },
            Self::Restart => Command::Restart { grace: patient },
            Self::Pause => Command::Pause,
            Self::Resume => Command::Resume,
            Self::SetLimits => {
                Command::ChangeLimits(LimitChange { memory: Some(Some(Size::from_mib(64))), ..LimitChange::default() })
            }
            Self::Grow => {
                Command::ChangeLimits(LimitChange { disk: Some(Size::from_mib(4096)), ..LimitChange::default() })
            }
            Self::Rename => Command::Rename("shop".parse().unwrap()),
            Self::Delete => Command::Delete { grave: GRAVE },
            Self::Undelete => Command::Undelete { name: None, place: None },
            Self::Purge => Command::Purge,
            _ => return self.order_of_others(daemon, operation).await,
        };
        daemon.order::<Container>(&container("web"), command, operation).await.map(drop)
    }

    async fn order_of_others(self, daemon: &Daemon, operation: &str) -> Result<(), CommandError> {
        match self {
            Self::ImportTemplate => {
                daemon.order::<Template>(&template("alpine"), import("alpine"), operation).await.map(drop)
            }
            Self::VerifyTemplate => {
                daemon.order::<Template>(&template("alpine"), template::Command::Verify, operation).await.map(drop)
            }
            Self::DeleteTemplate => {
                daemon.order::<Template>(&template("alpine"), template::Command::Delete, operation).await.map(drop)
            }
            Self::DefineNetwork => {
                daemon.order::<Network>(&network("dmz"), define("dmz", 2, 24), operation).await.map(drop)
            }
            Self::RestoreNetwork => {
                let missing = network::Command::ReportMissing { missing: vec!["the bridge".to_owned()] };
                daemon.order::<Network>(&network("dmz"), missing, operation).await.map(drop)
            }
            Self::DeleteNetwork => {
                daemon.order::<Network>(&network("dmz"), network::Command::Delete, operation).await.map(drop)
            }
            Self::CreateStore => {
                daemon.order::<Store>(&store("vault"), create_store("vault"), operation).await.map(drop)
            }
            Self::BackupRunning | Self::BackupPaused | Self::BackupStopped => {
                let (stream, command) = backup("web", "run");
                daemon.order::<BackupJob>(&stream, command, operation).await.map(drop)
            }
            _ => self.order_of_runs(daemon, operation).await,
        }
    }

    async fn order_of_runs(self, daemon: &Daemon, operation: &str) -> Result<(), CommandError> {
        let stream = self.subject();
        let maintain = |action| maintenance::Command::Request { id: RunId::derived("run"), action, parent: None };
        let container = id("web");
        match self {
            Self::Defragment => {
                let command = maintain(MaintenanceAction::Defragment { container });
                daemon.order::<Maintenance>(&stream, command, operation).await.map(drop)
            }
            Self::UpdateCheck => {
                let command = maintain(MaintenanceAction::UpdateCheck { container });
                daemon.order::<Maintenance>(&stream, command, operation).await.map(drop)
            }
            Self::Verify => {
                let (store, backup) = (StoreId::derived("local"), BackupId::derived("first"));
                let command = maintain(MaintenanceAction::Verify { container, store, backup });
                daemon.order::<Maintenance>(&stream, command, operation).await.map(drop)
            }
            Self::RunBatch => {
                let (id, action, members) = (RunId::derived("run"), action(), members());
                let request = batch::Request { id, action, members, schedule: None, parallel: 1, parent: None };
                daemon.order::<Batch>(&stream, batch::Command::Request(request), operation).await.map(drop)
            }
            Self::CreateSchedule => daemon.order::<Schedule>(&stream, create_schedule(), operation).await.map(drop),
            Self::FireSchedule => daemon.order::<Schedule>(&stream, fire(operation), "fire").await.map(drop),
            Self::DeleteSchedule => {
                daemon.order::<Schedule>(&stream, schedule::Command::Delete, operation).await.map(drop)
            }
            _ => daemon.order::<RestoreJob>(&stream, self.restore_command(), operation).await.map(drop),
        }
    }

    fn restore_command(self) -> restore_job::Command {
        match self {
            Self::RestoreNew => restore_new(),
            Self::RestoreInPlace => restore_in_place(),
            Self::ConfirmRestore => restore_job::Command::Confirm,
            Self::RollBack => restore_job::Command::RollBack,
            _ => {
                let (paths, into) = (vec!["etc".to_owned()], "/tmp/nowhere".to_owned());
                restore("run", RestoreTarget::Directory { paths, into, owner: Some((0, 0)), privileges: false })
            }
        }
    }

    /// Returns the stream that the order goes to.
    pub fn subject(self) -> StreamName {
        match self {
            Self::ImportTemplate | Self::VerifyTemplate | Self::DeleteTemplate => template("alpine"),
            Self::DefineNetwork | Self::RestoreNetwork | Self::DeleteNetwork => network("dmz"),
            Self::CreateStore => store("vault"),
            Self::BackupRunning | Self::BackupPaused | Self::BackupStopped => backup("web", "run").0,
            Self::RestoreNew | Self::RestoreInPlace | Self::RestoreFiles | Self::ConfirmRestore | Self::RollBack => {
                run(Category::RestoreJob, "run")
            }
            Self::Defragment | Self::UpdateCheck | Self::Verify => run(Category::Maintenance, "run"),
            Self::RunBatch => run(Category::Batch, "run"),
            Self::CreateSchedule | Self::FireSchedule | Self::DeleteSchedule => nightly(),
            _ => container("web"),
        }
    }

    /// Calls it off.
    pub async fn cancel(self, daemon: &Daemon, operation: &str) -> Result<(), CommandError> {
        let (stream, name) = (self.subject(), "cancel");
        let operation = OperationId::derived(operation);
        match stream.category() {
            Category::Template => {
                daemon.order::<Template>(&stream, template::Command::Cancel { operation }, name).await.map(drop)
            }
            Category::Network => {
                daemon.order::<Network>(&stream, network::Command::Cancel { operation }, name).await.map(drop)
            }
            Category::Store => {
                daemon.order::<Store>(&stream, store::Command::Cancel { operation }, name).await.map(drop)
            }
            Category::BackupJob => {
                daemon.order::<BackupJob>(&stream, backup_job::Command::Cancel { operation }, name).await.map(drop)
            }
            Category::RestoreJob => {
                daemon.order::<RestoreJob>(&stream, restore_job::Command::Cancel { operation }, name).await.map(drop)
            }
            Category::Maintenance => {
                daemon.order::<Maintenance>(&stream, maintenance::Command::Cancel { operation }, name).await.map(drop)
            }
            Category::Batch => {
                daemon.order::<Batch>(&stream, batch::Command::Cancel { operation }, name).await.map(drop)
            }
            _ => daemon.order::<Container>(&stream, container::Command::Cancel { operation }, name).await.map(drop),
        }
    }

    /// Gives the order that gets out of a plan which is stuck.
    pub async fn unstick(self, daemon: &Daemon) -> Result<(), CommandError> {
        let operation = "unstick";
        match self {
            Self::Stop | Self::StopOfADeafInit | Self::Kill | Self::Restart => {
                let command = container::Command::Stop { grace: Span::default(), parent: None };
                daemon.order::<Container>(&container("web"), command, operation).await.map(drop)
            }
            Self::ImportTemplate | Self::DeleteTemplate => {
                Self::DeleteTemplate.order_of_others(daemon, operation).await
            }
            Self::DefineNetwork | Self::DeleteNetwork => Self::DeleteNetwork.order_of_others(daemon, operation).await,
            Self::Create | Self::Start | Self::Delete | Self::Undelete | Self::Purge => {
                let purged = daemon.order::<Container>(&container("web"), container::Command::Purge, operation).await;
                purged.map(drop)
            }
            Self::RestoreNew | Self::RestoreInPlace => {
                daemon.sweep().await;
                let (stream, command) = (self.subject(), restore_job::Command::RollBack);
                daemon.order::<RestoreJob>(&stream, command, operation).await?;
                assert_eq!(daemon.quiet().await, End::Quiet);
                assert_eq!(daemon.picture().closed(operation), Some(&berth::events::Closing::Done));
                if self == Self::RestoreInPlace {
                    daemon.tell("web", container::Command::Start { parent: None }).await;
                }
                Ok(())
            }
            _ => {
                daemon.sweep().await;
                Ok(())
            }
        }
    }
}
