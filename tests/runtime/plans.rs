//! Every plan: what has to be there before it, and the order that begins it.

use std::net::Ipv4Addr;

use berth::actors::CommandError;
use berth::domain::backup_job::{self, BackupJob};
use berth::domain::container::{self, Container};
use berth::domain::network::{self, Network};
use berth::domain::node::{self, Node};
use berth::domain::store::{self, Store};
use berth::domain::template::{self, Template};
use berth::domain::testing;
use berth::events::{BackupMode, Configuration, LimitChange, TemplateSource};
use berth::types::{
    BackupId, Category, ContainerId, NetworkId, RunId, Size, Span, StoreId, StreamName, Subnet, TemplateId,
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

impl Daemon {
    /// Gives an order to a container and waits for its end.
    pub async fn tell(&self, name: &str, command: container::Command) {
        let operation = format!("{name} {command:?}");
        self.order::<Container>(&container(name), command, &operation).await.unwrap();
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
}

impl Plan {
    /// Makes what the plan needs.
    pub async fn prepare(self, daemon: &Daemon) {
        use container::Command;
        match self {
            Self::Create | Self::ImportTemplate | Self::DefineNetwork | Self::CreateStore => return,
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
            _ => {}
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
        )
    }

    /// Says whether the container's init is another one afterwards, or none.
    pub fn ends_init(self) -> bool {
        matches!(self, Self::Stop | Self::StopOfADeafInit | Self::Kill | Self::Restart)
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
            Self::Undelete => Command::Undelete { name: None },
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
                daemon.order::<Network>(&network("dmz"), network::Command::ReportMissing, operation).await.map(drop)
            }
            Self::DeleteNetwork => {
                daemon.order::<Network>(&network("dmz"), network::Command::Delete, operation).await.map(drop)
            }
            Self::CreateStore => {
                daemon.order::<Store>(&store("vault"), create_store("vault"), operation).await.map(drop)
            }
            _ => {
                let (stream, command) = backup("web", "run");
                daemon.order::<BackupJob>(&stream, command, operation).await.map(drop)
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
            _ => container("web"),
        }
    }

    /// Gives the order that gets out of a plan which is stuck.
    pub async fn unstick(self, daemon: &Daemon) -> Result<(), CommandError> {
        let operation = "unstick";
        match self {
            Self::Stop | Self::StopOfADeafInit | Self::Kill => self.order(daemon, operation).await,
            Self::ImportTemplate | Self::DeleteTemplate => {
                Self::DeleteTemplate.order_of_others(daemon, operation).await
            }
            Self::DefineNetwork | Self::DeleteNetwork => Self::DeleteNetwork.order_of_others(daemon, operation).await,
            Self::BackupRunning | Self::BackupPaused | Self::BackupStopped => {
                daemon.sweep().await;
                Ok(())
            }
            _ => {
                let purged = daemon.order::<Container>(&container("web"), container::Command::Purge, operation).await;
                purged.map(drop)
            }
        }
    }
}
