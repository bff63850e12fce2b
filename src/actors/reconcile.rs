//! Turns what the host shows into commands: transitions only, and never a change of state by peeking.
//!
//! At start every container that the log says is running is looked at before the API opens, so that every state shown is
//! true. From then on the host tells what changes by itself.

use std::sync::Arc;
use std::time::Duration;

use super::message::{CommandError, Mode, Order};
use super::registry::Registry;
use super::sweep;
use crate::domain::Given;
use crate::domain::container::{Command, Container};
use crate::domain::session::{self, Session};
use crate::effects::{Change, Observation};
use crate::events::{Exit, ProcessIdentity};
use crate::types::{Category, ContainerId, OperationId, Principal, SessionId, StreamName, Version};

/// How often an exit, or the end of a session, that could not be taken note of is told again.
const TRIES: u32 = 120;
/// How often other news are.
const TRIES_OF_NEWS: u32 = 4;
/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Looks at each container that the log says is running, and tells what is true of it now.
///
/// One of which neither an init nor word of its end is left has ended unseen: its supervisor is gone too.
pub async fn settle(registry: &Arc<Registry>, running: &[ContainerId]) {
    for container in running {
        let boot = registry.house().boot.clone();
        tell(registry, *container, Command::ReportBoot { boot }, "boot").await;
        // Before the look: what goes on by itself may start it meanwhile, and that init has not ended.
        let known = recorded_init(registry, *container);
        let command = match observe(registry, *container).await {
            Some(Observation::Running { init, ready: true }) => Command::ReportReady { init },
            Some(Observation::Exited { init, exit, hits }) => Command::ReportExit { init, exit, hits },
            Some(Observation::Absent | Observation::Remains) => match known {
                Some(init) => Command::ReportExit { init, exit: Exit::Unknown, hits: Box::default() },
                None => continue,
            },
            Some(Observation::Running { ready: false, .. }) | None => continue,
        };
        tell(registry, *container, command, "observation").await;
    }
}

/// Returns the init that the log says is running.
fn recorded_init(registry: &Arc<Registry>, container: ContainerId) -> Option<ProcessIdentity> {
    let stream = StreamName::new(Category::Container, container);
    sweep::fold::<Container>(&*registry.house().log, &stream).ok()?.init().cloned()
}

/// Starts the containers that start with the node; those that cannot say why in the log.
pub async fn autostart(registry: &Arc<Registry>, containers: &[ContainerId]) {
    for container in containers {
        tell(registry, *container, Command::Autostart, "autostart").await;
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
    match change {
        Change::Observed { container, observation } => report_observation(registry, container, observation).await,
        // What nobody takes note of is told again by the host.
        Change::Counted { container, init, hits } => {
            tell(registry, container, Command::ReportHits { init, hits }, "hits").await;
        }
        Change::SessionEnded { session, code } => close_session(registry, session, code, None).await,
    }
}

/// Records that a session is over: in the name of who opened it, as a part of that operation. One that is closed
/// already changes nothing.
pub async fn close_session(registry: &Arc<Registry>, session: SessionId, code: Option<i32>, reason: Option<String>) {
    let stream = StreamName::new(Category::Session, session);
    let read = registry.house().log.read_stream(&stream, Version::default(), 1);
    let Some(opened) = read.ok().and_then(|page| page.into_iter().next()) else {
        return tracing::warn!(%session, "a session ended that was never opened");
    };
    let mut pause = registry.house().retry.revival;
    for _ in 0..TRIES {
        let order = Order {
            command: session::Command::Close { code, reason: reason.clone() },
            given: Given { operation: opened.context.operation, at: registry.house().clock.now() },
            principal: opened.context.principal.clone(),
            idempotency: None,
            annex: None,
            mode: Mode::Commit,
        };
        match registry.perform::<Session>(&stream, order).await {
            Ok(_) => return,
            Err(error @ (CommandError::Refused(_) | CommandError::Parked { .. } | CommandError::Stopping)) => {
                return tracing::warn!(%session, %error, "the end of the session is not recorded");
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn report_observation(registry: &Arc<Registry>, container: ContainerId, observation: Observation) {
    let command = match &observation {
        Observation::Running { init, ready: true } => Command::ReportReady { init: init.clone() },
        Observation::Exited { init, exit, hits } => {
            Command::ReportExit { init: init.clone(), exit: *exit, hits: hits.clone() }
        }
        Observation::Running { ready: false, .. } | Observation::Absent | Observation::Remains => return,
    };
    let tries = if matches!(command, Command::ReportExit { .. }) { TRIES } else { TRIES_OF_NEWS };
    tell_while_seen(registry, container, &observation, &command, tries).await;
}

/// Tells what is seen until somebody takes note of it or it is not seen any more: an init may be ready, or end, before
/// its start is recorded, or during a rename.
///
/// Once noted it is not told again: a clearing away that is stuck must not be begun anew for ever.
async fn tell_while_seen(
    registry: &Arc<Registry>,
    container: ContainerId,
    seen: &Observation,
    command: &Command,
    tries: u32,
) {
    let mut pause = registry.house().retry.revival;
    for _ in 0..tries {
        if tell(registry, container, command.clone(), "observation").await != Told::Unheard {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
        if registry.is_closing() || !observe(registry, container).await.is_some_and(|now| is_same(&now, seen)) {
            return;
        }
    }
}

/// The same end may have left other words in the kernel's log by now.
fn is_same(now: &Observation, seen: &Observation) -> bool {
    match (now, seen) {
        (Observation::Exited { init, exit, .. }, Observation::Exited { init: seen, exit: how, .. }) => {
            init == seen && exit == how
        }
        _ => now == seen,
    }
}

async fn observe(registry: &Arc<Registry>, container: ContainerId) -> Option<Observation> {
    let host = Arc::clone(&registry.house().host);
    tokio::task::spawn_blocking(move || host.observe(container)).await.ok()
}

/// Says what came of telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// It is recorded.
    Noted,
    /// It changed nothing, or could not be recorded now.
    Unheard,
    /// It will never be taken.
    Refused,
}

/// Gives a command of the runtime itself; a stream that is busy is told again.
async fn tell(registry: &Arc<Registry>, container: ContainerId, command: Command, occasion: &str) -> Told {
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
            Ok(receipt) if receipt.events.is_empty() => return Told::Unheard,
            Ok(_) => return Told::Noted,
            Err(CommandError::Busy { .. }) => tokio::time::sleep(registry.house().retry.revival).await,
            Err(error @ (CommandError::Refused(_) | CommandError::Parked { .. })) => {
                tracing::warn!(%container, occasion, %error, "the container did not take it");
                return Told::Refused;
            }
            Err(error) => {
                tracing::warn!(%container, occasion, %error, "the container did not take note of it");
                return Told::Unheard;
            }
        }
    }
    Told::Unheard
}
