//! Turns what the host shows into commands: transitions only, and never a change of state by peeking.
//!
//! At start every container that the log says is running is looked at before the API opens, so that every state shown is
//! true. From then on the host tells what changes by itself.

use std::sync::Arc;
use std::time::Duration;

use super::message::{CommandError, Mode, Order};
use super::registry::Registry;
use crate::domain::Given;
use crate::domain::container::{Command, Container};
use crate::effects::{Change, Observation};
use crate::events::{Exit, ProcessIdentity};
use crate::types::{Category, ContainerId, OperationId, Principal, StreamName};

/// How often what could not be taken note of is told again.
const TRIES: u32 = 120;
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(250);

/// Looks at each container that the log says is running, and tells what is true of it now.
pub async fn settle(registry: &Arc<Registry>, running: &[ContainerId]) {
    for container in running {
        let boot = registry.house().boot.clone();
        tell(registry, *container, Command::ReportBoot { boot }, "boot").await;
        let host = Arc::clone(&registry.house().host);
        let looked = *container;
        let seen = tokio::task::spawn_blocking(move || host.observe(looked)).await;
        if let Ok(observation) = seen {
            report(registry, Change { container: *container, observation }).await;
        }
    }
}

/// Starts the containers that start with the node; those that cannot say why in the log.
pub async fn autostart(registry: &Arc<Registry>, containers: &[ContainerId]) {
    for container in containers {
        tell(registry, *container, Command::Start { parent: None }, "autostart").await;
    }
}

/// Passes on what the host tells, until it is closed.
pub fn follow(registry: Arc<Registry>) {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let host = Arc::clone(&registry.house().host);
    std::thread::spawn(move || {
        while let Some(change) = host.next_change() {
            if sender.send(change).is_err() {
                return;
            }
        }
    });
    actix::spawn(async move {
        while let Some(change) = receiver.recv().await {
            let registry = Arc::clone(&registry);
            actix::spawn(async move { report(&registry, change).await });
        }
    });
}

async fn report(registry: &Arc<Registry>, change: Change) {
    let Change { container, observation } = change;
    match observation {
        Observation::Running { init, ready: true } => {
            tell(registry, container, Command::ReportReady { init }, "ready").await;
        }
        Observation::Exited { init, exit } => report_exit(registry, container, init, exit).await,
        Observation::Running { ready: false, .. } | Observation::Absent | Observation::Remains => {}
    }
}

/// Tells of an exit until it has been cleared away: an init may end before its start is recorded, or during a rename.
async fn report_exit(registry: &Arc<Registry>, container: ContainerId, init: ProcessIdentity, exit: Exit) {
    let told = Observation::Exited { init: init.clone(), exit };
    for _ in 0..TRIES {
        tell(registry, container, Command::ReportExit { init: init.clone(), exit }, "exit").await;
        tokio::time::sleep(PAUSE).await;
        let host = Arc::clone(&registry.house().host);
        let seen = tokio::task::spawn_blocking(move || host.observe(container)).await;
        if seen.ok().as_ref() != Some(&told) {
            return;
        }
    }
    tracing::error!(%container, "an exit is not taken note of");
}

/// Gives a command of the runtime itself; a stream that is busy is told again.
async fn tell(registry: &Arc<Registry>, container: ContainerId, command: Command, occasion: &str) {
    let stream = StreamName::new(Category::Container, container);
    for _ in 0..TRIES {
        let at = registry.house().clock.now();
        let operation = OperationId::derived(&format!("{occasion}/{stream}/{at}"));
        let order = Order {
            command: command.clone(),
            given: Given { operation, at },
            principal: Principal::runtime(),
            idempotency: None,
            annex: None,
            mode: Mode::Commit,
        };
        match registry.perform::<Container>(&stream, order).await {
            Ok(_) => return,
            Err(CommandError::Busy { .. }) => tokio::time::sleep(PAUSE).await,
            Err(error) => {
                tracing::warn!(%container, occasion, %error, "the container did not take it");
                return;
            }
        }
    }
}
